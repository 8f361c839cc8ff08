//! References: `step.output`, `inputs.name`, `variables.name`, `visits.step`, or a bare name.

use std::fmt;

/// What a reference names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// An output of a step.
    Output {
        /// The step.
        step: String,
        /// Its output, after renaming.
        name: String,
    },
    /// An input of the flow.
    Input(String),
    /// A variable of the flow.
    Variable(String),
    /// How often a step has run in this visit of the flow.
    Visits(String),
    /// Whatever was produced last under this name.
    Name(String),
}

impl Reference {
    /// Reads a reference. Everything after the first dot is the name, so that names with dots can be written.
    pub fn parse(text: &str) -> Self {
        match text.split_once('.') {
            Some(("inputs", name)) => Self::Input(name.to_owned()),
            Some(("variables", name)) => Self::Variable(name.to_owned()),
            Some(("visits", step)) => Self::Visits(step.to_owned()),
            Some((step, name)) => Self::Output { step: step.to_owned(), name: name.to_owned() },
            None => Self::Name(text.to_owned()),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output { step, name } => write!(f, "{step}.{name}"),
            Self::Input(name) => write!(f, "inputs.{name}"),
            Self::Variable(name) => write!(f, "variables.{name}"),
            Self::Visits(step) => write!(f, "visits.{step}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_print_as_they_are_read() {
        for text in ["a.b", "inputs.rows", "variables.v", "visits.write", "name", "a.b.c"] {
            assert_eq!(Reference::parse(text).to_string(), text);
        }
    }
}
