//! The command line's `--model`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Who answers instead of what the flow says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelChoice {
    /// The offline templates.
    Offline,
    /// An OpenAI-compatible endpoint, with the given model or else the one that the flow names.
    Openai {
        /// The name that the endpoint knows the model by.
        model: Option<String>,
    },
}

impl FromStr for ModelChoice {
    type Err = ModelOverrideError;

    fn from_str(text: &str) -> Result<Self, ModelOverrideError> {
        match text.split_once(':') {
            None if text == "offline" => Ok(Self::Offline),
            None if text == "openai" => Ok(Self::Openai { model: None }),
            Some(("openai", model)) if !model.trim().is_empty() => {
                Ok(Self::Openai { model: Some(model.trim().to_owned()) })
            }
            _ => Err(ModelOverrideError { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for ModelChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offline => f.write_str("offline"),
            Self::Openai { model: None } => f.write_str("openai"),
            Self::Openai { model: Some(model) } => write!(f, "openai:{model}"),
        }
    }
}

/// One `--model`: a choice for every model of the flow, or for the one that is named (`writer=offline`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelOverride {
    /// The entry of the flow's `models:`; all of them where there is none.
    pub name: Option<String>,
    /// Who answers.
    pub choice: ModelChoice,
}

impl ModelOverride {
    /// The choice for a model: one that names it wins over one for all, a later one over an earlier one.
    pub fn choice_for<'a>(overrides: &'a [Self], name: &str) -> Option<&'a ModelChoice> {
        let last = |wanted: Option<&str>| overrides.iter().rev().find(|given| given.name.as_deref() == wanted);
        last(Some(name)).or_else(|| last(None)).map(|given| &given.choice)
    }
}

impl FromStr for ModelOverride {
    type Err = ModelOverrideError;

    fn from_str(text: &str) -> Result<Self, ModelOverrideError> {
        // A `=` behind the `:` belongs to the endpoint's name of the model.
        let (name, choice) = match text.split_once('=') {
            Some((name, choice)) if !name.contains(':') => (Some(name.trim()), choice),
            _ => (None, text),
        };
        match (name, choice.trim().parse()) {
            (Some(""), _) | (_, Err(_)) => Err(ModelOverrideError { text: text.to_owned() }),
            (name, Ok(choice)) => Ok(Self { name: name.map(str::to_owned), choice }),
        }
    }
}

impl fmt::Display for ModelOverride {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name}={}", self.choice),
            None => self.choice.fmt(f),
        }
    }
}

/// A `--model` that says nothing known.
#[derive(Debug, PartialEq, Eq, Error)]
#[error(
    "`{text}` names no way to answer: write `openai:MODEL` (as in openai:gpt-4o-mini), `openai` or `offline`, for one model of the flow with its name before it, as in writer=offline"
)]
pub struct ModelOverrideError {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_written_alike() {
        for text in [
            "offline",
            "openai",
            "openai:gpt-4o-mini",
            "openai:ft:gpt-4o:org",
            "openai:a=b",
            "writer=offline",
            "writer=openai:m",
        ] {
            assert_eq!(text.parse::<ModelOverride>().unwrap().to_string(), text);
        }
        let named: ModelOverride = "writer=openai:a=b:c".parse().unwrap();
        assert_eq!(named.name.as_deref(), Some("writer"));
        assert_eq!(named.choice, ModelChoice::Openai { model: Some("a=b:c".to_owned()) });
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for text in ["", "gpt-4o", "openai:", "offline:x", "=offline", "writer=", "writer=gpt-4o"] {
            let error = text.parse::<ModelOverride>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}` names no way")), "{error}");
        }
    }

    #[test]
    fn the_nearest_choice_wins() {
        let overrides: Vec<ModelOverride> =
            ["judge=offline", "openai:a", "openai:b"].iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(ModelOverride::choice_for(&overrides, "judge"), Some(&ModelChoice::Offline));
        assert_eq!(
            ModelOverride::choice_for(&overrides, "writer").map(ToString::to_string).as_deref(),
            Some("openai:b")
        );
        assert_eq!(ModelOverride::choice_for(&[], "writer"), None);
    }
}
