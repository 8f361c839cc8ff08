//! Who answers for a model: decided once, from the flow, the command line and the environment.

use std::env::{self, VarError};
use std::sync::Arc;

use thiserror::Error;

use crate::transport::Unusable;
use crate::{
    BaseUrl, BaseUrlError, ChatRequest, EmbedRequest, Embedded, HttpClient, ModelChoice, ModelConfig, ModelError,
    ModelErrorKind, ModelOverride, OpenAiModel, Price, Provider, Reply, Secret,
};

const KEY_VARIABLE: &str = "OPENAI_API_KEY";
const URL_VARIABLE: &str = "OPENAI_BASE_URL";
const PUBLIC_ENDPOINT: &str = "https://api.openai.com/v1";
const DEFAULT_MODEL: &str = "gpt-4o-mini";

/// What the process environment says about models. Nothing else in this crate reads it.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `OPENAI_API_KEY`; an empty one counts as unset.
    pub openai_api_key: Option<Secret>,
    /// `OPENAI_BASE_URL`; an empty one counts as unset.
    pub openai_base_url: Option<BaseUrl>,
}

impl Environment {
    /// Reads the environment of this process.
    pub fn from_process() -> Result<Self, EnvironmentError> {
        let read = |variable| match env::var(variable) {
            Ok(text) => Ok(Some(text)),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err(EnvironmentError { variable }),
        };
        Ok(Self {
            openai_api_key: read(KEY_VARIABLE)?.map(Secret::new),
            openai_base_url: read(URL_VARIABLE)?.map(BaseUrl::new),
        })
    }
}

/// A variable that holds no text.
#[derive(Debug, Error)]
#[error("the environment variable {variable} is not valid UTF-8: set it again, or unset it")]
pub struct EnvironmentError {
    variable: &'static str,
}

/// How a model answers.
#[derive(Clone, Debug)]
pub enum Answerer {
    /// The caller fills the prompt step's own template.
    Offline(OfflineReason),
    /// An endpoint is asked.
    Openai(Arc<OpenAiModel>),
}

/// Why a model is offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfflineReason {
    /// Its entry says so.
    Configured,
    /// The command line says so.
    Chosen,
    /// `provider: auto` found neither a key nor an address.
    NothingSet,
}

/// A model of a flow with the one who answers for it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BoundModel {
    name: Arc<str>,
    answerer: Answerer,
    price: Option<Price>,
}

impl BoundModel {
    /// Its name in the flow.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who answers.
    pub fn answerer(&self) -> &Answerer {
        &self.answerer
    }

    /// Whether the caller has to answer from a template.
    pub fn is_offline(&self) -> bool {
        matches!(self.answerer, Answerer::Offline(_))
    }

    /// Who answers and why, for people: `openai gpt-4o-mini at api.openai.com` or `offline templates (…)`.
    pub fn describe(&self) -> String {
        match &self.answerer {
            Answerer::Openai(model) => format!("openai {} at {}", model.model(), model.host()),
            Answerer::Offline(OfflineReason::Configured) => "offline templates (provider: offline)".to_owned(),
            Answerer::Offline(OfflineReason::Chosen) => "offline templates (--model offline)".to_owned(),
            Answerer::Offline(OfflineReason::NothingSet) => {
                format!(
                    "offline templates (no {KEY_VARIABLE} or {URL_VARIABLE} set; --model openai:NAME to use one)"
                )
            }
        }
    }

    /// Asks the model. One that is offline has no answer of its own: the caller fills the template instead.
    pub async fn chat(&self, request: &ChatRequest) -> Result<Reply, ModelError> {
        match &self.answerer {
            Answerer::Openai(model) => {
                let reply = model.chat(request).await?;
                Ok(Reply { cost: self.price.and_then(|price| price.of(&reply.usage)), ..reply })
            }
            Answerer::Offline(_) => Err(ModelError::new(
                ModelErrorKind::NoTemplate,
                format!("model `{}` is offline and was asked without a template", self.name),
            )),
        }
    }
}

impl BoundModel {
    /// Asks for the vectors of texts. One that is offline answers with [`crate::offline_vector`].
    pub async fn embed(&self, request: &EmbedRequest) -> Result<Embedded, ModelError> {
        match &self.answerer {
            Answerer::Openai(model) => {
                let embedded = model.embed(request).await?;
                Ok(Embedded { cost: self.price.and_then(|price| price.of(&embedded.usage)), ..embedded })
            }
            Answerer::Offline(_) => Ok(crate::embed::offline(request)),
        }
    }
}

/// Everything that decides who answers.
#[derive(Clone, Copy, Debug)]
pub struct Binder<'a> {
    /// The process environment, or a test's.
    pub environment: &'a Environment,
    /// The command line's `--model`s.
    pub overrides: &'a [ModelOverride],
    /// The connections that all models share.
    pub http: &'a HttpClient,
}

impl Binder<'_> {
    /// Decides who answers for the model `name`. `every_prompt_has_template` says whether each prompt step
    /// that uses the model could do without an endpoint.
    pub fn bind(
        &self,
        name: &str,
        config: &ModelConfig,
        every_prompt_has_template: bool,
    ) -> Result<BoundModel, BindError> {
        let key = pick(config.api_key.as_ref(), self.environment.openai_api_key.as_ref(), Secret::is_empty);
        let url = pick(config.base_url.as_ref(), self.environment.openai_base_url.as_ref(), BaseUrl::is_empty);
        let choice = ModelOverride::choice_for(self.overrides, name);
        let model = match choice {
            Some(ModelChoice::Openai { model: Some(model) }) => Some(model),
            _ => config.model.as_ref(),
        };
        let offline = match (choice, config.provider) {
            (Some(ModelChoice::Offline), _) => Some(OfflineReason::Chosen),
            (Some(ModelChoice::Openai { .. }), _) | (None, Provider::Openai) => None,
            (None, Provider::Offline) => Some(OfflineReason::Configured),
            (None, Provider::Auto) => (key.is_none() && url.is_none()).then_some(OfflineReason::NothingSet),
        };
        let name_of = || name.to_owned();
        let answerer = match offline {
            Some(reason) if every_prompt_has_template => Answerer::Offline(reason),
            Some(OfflineReason::NothingSet) => {
                return Err(BindError::NothingSet { name: name_of() });
            }
            Some(OfflineReason::Configured | OfflineReason::Chosen) => {
                return Err(BindError::NoTemplate { name: name_of() });
            }
            None if key.is_none() && url.is_none() => {
                return Err(BindError::NoKey { name: name_of() });
            }
            None => {
                let public = BaseUrl::new(PUBLIC_ENDPOINT);
                let url = url
                    .unwrap_or(&public)
                    .parse()
                    .map_err(|source| BindError::BadUrl { name: name_of(), source })?;
                let model = model.map_or_else(|| DEFAULT_MODEL.to_owned(), Clone::clone);
                let openai = OpenAiModel::new(config, model, &url, key.cloned(), self.http);
                let openai = openai.map_err(|unusable| match unusable {
                    Unusable::Key => BindError::BadKey { name: name_of() },
                    Unusable::Address(why) => {
                        BindError::BadUrl { name: name_of(), source: BaseUrlError::unusable(&url, &why) }
                    }
                })?;
                Answerer::Openai(Arc::new(openai))
            }
        };
        // What is written of one model does not hold for another.
        let price = config.price.filter(|_| {
            model.is_none_or(|named| config.model.as_ref().map_or(DEFAULT_MODEL, String::as_str) == named)
        });
        Ok(BoundModel { name: name.into(), answerer, price })
    }
}

/// The flow's value, else the environment's; an empty one counts as none, because `${NAME:-}` writes one.
fn pick<'a, T>(
    configured: Option<&'a T>,
    environment: Option<&'a T>,
    is_empty: impl Fn(&T) -> bool,
) -> Option<&'a T> {
    configured.filter(|value| !is_empty(value)).or_else(|| environment.filter(|value| !is_empty(value)))
}

/// Nobody can answer for a model.
#[derive(Debug, Error)]
pub enum BindError {
    /// `provider: auto`, nothing set, and a template is missing.
    #[error(
        "model `{name}` has nobody to answer: neither {KEY_VARIABLE} nor {URL_VARIABLE} is set, and a prompt step that uses it has no `offline` text"
    )]
    NothingSet {
        /// The model's name in the flow.
        name: String,
    },
    /// The public endpoint was chosen without a key.
    #[error("model `{name}` has no key: its provider is openai, and {PUBLIC_ENDPOINT} wants one")]
    NoKey {
        /// The model's name in the flow.
        name: String,
    },
    /// The model is offline by choice, and a template is missing.
    #[error("model `{name}` is offline, and a prompt step that uses it has no `offline` text")]
    NoTemplate {
        /// The model's name in the flow.
        name: String,
    },
    /// The address cannot be used.
    #[error("model `{name}`: {source}")]
    BadUrl {
        /// The model's name in the flow.
        name: String,
        /// What is wrong with it.
        source: BaseUrlError,
    },
    /// The key cannot be sent.
    #[error("model `{name}` has a key that cannot be sent: it holds a line break or another control character")]
    BadKey {
        /// The model's name in the flow.
        name: String,
    },
}

impl BindError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NothingSet { .. } => "model.nothing_set",
            Self::NoKey { .. } => "model.no_key",
            Self::NoTemplate { .. } => ModelErrorKind::NoTemplate.code(),
            Self::BadUrl { .. } => "model.bad_url",
            Self::BadKey { .. } => "model.bad_key",
        }
    }

    /// What to do about it, as a sentence without a full stop.
    pub fn help(&self) -> String {
        match self {
            Self::NothingSet { .. } => format!(
                "set {KEY_VARIABLE}, or set {URL_VARIABLE} to a local server and choose its model with `--model openai:NAME`, or give the prompt step an `offline` text"
            ),
            Self::NoKey { .. } => format!(
                "set {KEY_VARIABLE}, or set {URL_VARIABLE} (or `base_url`) to a server that needs none, or choose `--model offline`"
            ),
            Self::NoTemplate { .. } => {
                "give the prompt step an `offline` text, or choose `--model openai:NAME`".to_owned()
            }
            Self::BadUrl { .. } => "write it as in https://api.openai.com/v1".to_owned(),
            Self::BadKey { .. } => format!("set {KEY_VARIABLE} (or `api_key`) again"),
        }
    }
}

#[cfg(test)]
mod tests;
