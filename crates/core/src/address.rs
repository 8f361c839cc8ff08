//! Where something happens in a run: the way through the frames to a step.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::words::push_number;

/// What kind of frame a step opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameKind {
    /// An item of a map, counted from 0.
    Item(u64),
    /// A trial of a retry, counted from 1.
    Trial(u32),
    /// A flow that is run by name.
    Flow(Arc<str>),
    /// The flow of a context provider, run for the step that wants its value.
    Context(Arc<str>),
}

/// The address of a step, or of a frame that a step opened. Cheap to clone and to extend.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Address(Option<Arc<Part>>);

#[derive(Debug, PartialEq, Eq)]
struct Part {
    above: Address,
    step: Arc<str>,
    visit: u32,
    frame: Option<FrameKind>,
}

impl Address {
    /// The address of the run itself.
    pub fn root() -> Self {
        Self(None)
    }

    /// A step below this frame, on its `visit`-th visit.
    #[must_use]
    pub fn step(&self, step: &Arc<str>, visit: u32) -> Self {
        Self(Some(Arc::new(Part { above: self.clone(), step: Arc::clone(step), visit, frame: None })))
    }

    /// A frame that the step at this address opens.
    #[must_use]
    pub fn frame(&self, kind: FrameKind) -> Self {
        match &self.0 {
            Some(part) => Self(Some(Arc::new(Part {
                above: part.above.clone(),
                step: Arc::clone(&part.step),
                visit: part.visit,
                frame: Some(kind),
            }))),
            None => Self(None),
        }
    }

    /// The name of the innermost step.
    pub fn step_name(&self) -> Option<&Arc<str>> {
        self.0.as_ref().map(|part| &part.step)
    }

    /// How many frames lie above the step: 0 for a step of the top flow.
    pub fn depth(&self) -> usize {
        self.parts().len().saturating_sub(1)
    }

    /// The item of the nearest enclosing map.
    pub fn item(&self) -> Option<u64> {
        self.parts().into_iter().rev().find_map(|part| match part.frame {
            Some(FrameKind::Item(n)) => Some(n),
            _ => None,
        })
    }

    /// The items on the way here, the outermost first.
    pub fn items(&self) -> Vec<u64> {
        let item = |part: &Part| match part.frame {
            Some(FrameKind::Item(n)) => Some(n),
            _ => None,
        };
        self.parts().into_iter().filter_map(item).collect()
    }

    /// The exact form that keys and identities are made of: `justify#1[17]/attempt#1.2/write#1`.
    pub fn key(&self) -> String {
        // One allocation, with room for a little more: every effect has a key, and thousands are under way.
        let mut text = String::with_capacity(self.longest_key());
        self.write_key(&mut text);
        text
    }

    /// At least as many bytes as the key has.
    fn longest_key(&self) -> usize {
        const NUMBERS: usize = "/#4294967295[18446744073709551615]".len();
        let Some(part) = &self.0 else { return 0 };
        let flow = match &part.frame {
            Some(FrameKind::Flow(name) | FrameKind::Context(name)) => name.len(),
            _ => 0,
        };
        part.above.longest_key() + part.step.len() + NUMBERS + flow
    }

    fn write_key(&self, text: &mut String) {
        let Some(part) = &self.0 else { return };
        part.above.write_key(text);
        if !text.is_empty() {
            text.push('/');
        }
        text.push_str(&part.step);
        text.push('#');
        push_number(text, part.visit.into());
        match &part.frame {
            Some(FrameKind::Item(n)) => {
                text.push('[');
                push_number(text, *n);
                text.push(']');
            }
            Some(FrameKind::Trial(n)) => {
                text.push('.');
                push_number(text, (*n).into());
            }
            Some(FrameKind::Flow(name)) => {
                text.push(':');
                text.push_str(name);
            }
            Some(FrameKind::Context(name)) => {
                text.push('@');
                text.push_str(name);
            }
            None => {}
        }
    }

    fn parts(&self) -> Vec<&Part> {
        let mut parts = Vec::new();
        let mut here = self;
        while let Some(part) = &here.0 {
            parts.push(&**part);
            here = &part.above;
        }
        parts.reverse();
        parts
    }
}

/// As a record holds it: the parts of the way, the outermost first.
impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.parts().into_iter().map(|part| (&part.step, part.visit, &part.frame)))
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = Vec::<(Arc<str>, u32, Option<FrameKind>)>::deserialize(deserializer)?;
        Ok(parts.into_iter().fold(Self::root(), |above, (step, visit, frame)| {
            Self(Some(Arc::new(Part { above, step, visit, frame })))
        }))
    }
}

/// For a person: `justify[17] › attempt (trial 2) › write`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, part) in self.parts().into_iter().enumerate() {
            if n > 0 {
                f.write_str(" › ")?;
            }
            f.write_str(&part.step)?;
            match &part.frame {
                Some(FrameKind::Item(n)) => write!(f, "[{n}]")?,
                Some(FrameKind::Trial(n)) if *n > 1 => write!(f, " (trial {n})")?,
                Some(FrameKind::Context(name)) => write!(f, " (context {name})")?,
                _ => {}
            }
            if part.visit > 1 {
                write!(f, " (visit {})", part.visit)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_an_exact_and_a_readable_form() {
        let address = Address::root()
            .step(&"justify".into(), 1)
            .frame(FrameKind::Item(17))
            .step(&"attempt".into(), 1)
            .frame(FrameKind::Trial(2))
            .step(&"write".into(), 3);
        assert_eq!(address.key(), "justify#1[17]/attempt#1.2/write#3");
        assert_eq!(address.to_string(), "justify[17] › attempt (trial 2) › write (visit 3)");
        assert_eq!((address.depth(), address.item()), (2, Some(17)));
        let record = serde_json::to_string(&address).unwrap();
        assert_eq!(serde_json::from_str::<Address>(&record).unwrap(), address);
        let provided = Address::root().step(&"write".into(), 1).frame(FrameKind::Context("today".into()));
        let provided = provided.step(&"ask".into(), 1);
        assert_eq!(provided.key(), "write#1@today/ask#1");
        assert_eq!(provided.to_string(), "write (context today) › ask");
    }
}
