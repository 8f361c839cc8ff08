//! One entry of a flow's `models:`, as written.

use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{BaseUrl, Secret, SeedSetting, Settings, Usage, number, settings};

/// A chat model that steps refer to by its name.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// Who answers. `auto` asks an endpoint where a key or an address is known, and else fills the `offline`
    /// templates of the prompt steps.
    pub provider: Provider,
    /// The name that the endpoint knows the model by. Default: `gpt-4o-mini`.
    pub model: Option<String>,
    /// The address of an OpenAI-compatible endpoint, up to the version: `/chat/completions` is appended.
    /// Default: the environment variable `OPENAI_BASE_URL`, else `https://api.openai.com/v1`.
    pub base_url: Option<BaseUrl>,
    /// The key of the endpoint; it is never printed or recorded. Default: the environment variable
    /// `OPENAI_API_KEY`. Local servers often need none: then no `Authorization` header is sent.
    pub api_key: Option<Secret>,
    /// Most tokens that the model may write. Without it the server's own limit holds.
    pub max_tokens: Option<NonZeroU32>,
    /// The name that `max_tokens` has in the request. Nearly every server takes `max_tokens`; the
    /// public endpoint's reasoning models refuse it and want `max_completion_tokens`.
    pub max_tokens_key: MaxTokensKey,
    /// How freely the model chooses its words; 0 is the least free. Without it the server's own default holds.
    #[serde(deserialize_with = "number::temperature")]
    #[schemars(range(min = 0.0))]
    pub temperature: Option<f64>,
    /// Choose only among the likeliest tokens that together have this probability.
    #[serde(deserialize_with = "number::share")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub top_p: Option<f64>,
    /// Texts at which the model stops writing.
    pub stop: Vec<String>,
    /// Makes tokens less likely the more often they stand in the text already.
    #[serde(deserialize_with = "number::penalty")]
    #[schemars(range(min = -2.0, max = 2.0))]
    pub frequency_penalty: Option<f64>,
    /// Makes tokens less likely that stand in the text already.
    #[serde(deserialize_with = "number::penalty")]
    #[schemars(range(min = -2.0, max = 2.0))]
    pub presence_penalty: Option<f64>,
    /// The sampling seed that is sent: an integer, or `auto` for one that follows from the call's identity,
    /// so that every call has its own and a repeated run has the same ones. Default: none is sent.
    pub seed: Option<SeedSetting>,
    /// Seconds that one try may take, from connecting to the last byte of the reply. Default: 600.
    #[serde(deserialize_with = "number::limit")]
    #[schemars(with = "f64", range(min = 0.001, max = 86400.0), extend("default" = 600))]
    pub timeout: Duration,
    /// How often and how soon a failed call is tried again.
    pub retry: RetryConfig,
    /// What its tokens cost, by which what runs cost is told. It changes nothing that is asked; where `--model` names
    /// another model, it does not hold.
    pub price: Option<Price>,
    /// Further fields of the request's JSON, such as `reasoning_effort`.
    #[serde(deserialize_with = "settings::extra")]
    pub extra: Map<String, Value>,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            provider: Provider::Auto,
            model: None,
            base_url: None,
            api_key: None,
            max_tokens: None,
            max_tokens_key: MaxTokensKey::MaxTokens,
            temperature: None,
            top_p: None,
            stop: Vec::new(),
            frequency_penalty: None,
            presence_penalty: None,
            seed: None,
            timeout: Duration::from_secs(600),
            retry: RetryConfig::default(),
            price: None,
            extra: Map::new(),
        }
    }
}

/// What a million tokens cost, in dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Of what is sent.
    #[serde(deserialize_with = "number::price")]
    #[schemars(with = "f64", range(min = 0.0, max = 1_000_000.0))]
    pub input: u64,
    /// Of what the model writes; 0 for one that gives vectors.
    #[serde(deserialize_with = "number::price")]
    #[schemars(with = "f64", range(min = 0.0, max = 1_000_000.0))]
    pub output: u64,
    /// Of what is sent and the server has read before, where its replies say how much that is. Default: as `input`.
    #[serde(default, deserialize_with = "number::optional_price")]
    #[schemars(with = "Option<f64>", range(min = 0.0, max = 1_000_000.0))]
    pub cached_input: Option<u64>,
}

impl Price {
    /// What a reply cost, in millionths of a millionth of a dollar; none where it did not say its tokens.
    pub(crate) fn of(&self, usage: &Usage) -> Option<u64> {
        let cached = usage.cached_input_tokens.min(usage.input_tokens);
        let parts = [
            (usage.input_tokens - cached, self.input),
            (cached, self.cached_input.unwrap_or(self.input)),
            (usage.output_tokens, self.output),
        ];
        let add = |sum: u64, (tokens, price): (u64, u64)| sum.checked_add(tokens.checked_mul(price)?);
        parts.into_iter().try_fold(0, add).filter(|_| usage.reported)
    }
}

impl ModelConfig {
    /// The part that a single call can change.
    pub fn settings(&self) -> Settings {
        Settings {
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            stop: Some(self.stop.clone()),
            frequency_penalty: self.frequency_penalty,
            presence_penalty: self.presence_penalty,
            seed: self.seed,
            top_logprobs: None,
            extra: self.extra.clone(),
        }
    }
}

/// Who answers the calls of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// An endpoint where a key or an address is known, else the offline templates.
    #[default]
    Auto,
    /// An OpenAI-compatible endpoint.
    Openai,
    /// The `offline` templates of the prompt steps: no network, nothing to pay, the same text every time.
    Offline,
}

/// The name of the field that carries `max_tokens`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MaxTokensKey {
    /// What compatible servers take.
    #[default]
    MaxTokens,
    /// What the public endpoint's reasoning models want.
    MaxCompletionTokens,
}

impl MaxTokensKey {
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

/// How a call is tried again after a failure that may pass: 408, 409, 429 (unless a quota is used up), 5xx
/// (but 501), timeouts, broken connections and replies that cannot be read.
///
/// The wait doubles from try to try, and a part of it is left to chance (which follows from the call, so that
/// a repeated run waits alike). Where the server says how long to wait (`Retry-After`), that is done, for
/// 60 seconds at most.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetryConfig {
    /// Tries in all, with the first. Default: 6.
    #[serde(deserialize_with = "number::tries")]
    #[schemars(range(min = 1, max = 100))]
    pub tries: NonZeroU32,
    /// Seconds before the second try. Default: 0.5.
    #[serde(deserialize_with = "number::wait")]
    #[schemars(with = "f64", range(min = 0.0, max = 86400.0), extend("default" = 0.5))]
    pub initial_delay: Duration,
    /// Most seconds between two tries. Default: 30.
    #[serde(deserialize_with = "number::wait")]
    #[schemars(with = "f64", range(min = 0.0, max = 86400.0), extend("default" = 30))]
    pub max_delay: Duration,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            tries: const { NonZeroU32::new(6).expect("six is not zero") },
            initial_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_empty_entry_is_a_model() {
        let config: ModelConfig = serde_json::from_value(json!({})).unwrap();
        assert_eq!(config.provider, Provider::Auto);
        assert_eq!(config.timeout, Duration::from_secs(600));
        assert_eq!(config.retry, RetryConfig::default());
    }

    #[test]
    fn every_key_is_read() {
        let config: ModelConfig = serde_json::from_value(json!({
            "provider": "openai", "model": "m", "base_url": "http://localhost/v1", "api_key": "k", "max_tokens": 5,
            "max_tokens_key": "max_completion_tokens", "temperature": 1, "top_p": 0.5, "stop": ["x"], "frequency_penalty": 1,
            "presence_penalty": -1, "seed": 7, "timeout": 2.5, "retry": { "tries": 2, "initial_delay": 0, "max_delay": 1 },
            "price": { "input": 0.15, "output": 0.6, "cached_input": 0.075 }, "extra": { "reasoning_effort": "low" },
        }))
        .unwrap();
        assert_eq!(config.timeout, Duration::from_millis(2500));
        assert_eq!(config.retry.initial_delay, Duration::ZERO);
        assert_eq!(config.settings().seed, Some(SeedSetting::Fixed(7)));
        assert_eq!(config.settings().extra["reasoning_effort"], "low");
        assert_eq!(config.price, Some(Price { input: 150_000, output: 600_000, cached_input: Some(75_000) }));
    }

    #[test]
    fn what_a_reply_costs_is_exact() {
        let price = Price { input: 150_000, output: 600_000, cached_input: Some(75_000) };
        let usage = Usage { input_tokens: 1_000, output_tokens: 10, ..Usage::default() };
        assert_eq!(price.of(&usage), Some(156_000_000));
        assert_eq!(price.of(&Usage { cached_input_tokens: 400, ..usage }), Some(126_000_000));
        assert_eq!(
            Price { cached_input: None, ..price }.of(&Usage { cached_input_tokens: 400, ..usage }),
            Some(156_000_000)
        );
        assert_eq!(price.of(&Usage { reported: false, ..usage }), None);
        assert_eq!(
            price.of(&Usage { input_tokens: u64::MAX, ..usage }),
            None,
            "no number is better than a wrong one"
        );
    }

    #[test]
    fn prices_are_read_to_the_last_digit_or_refused() {
        let price =
            |json| serde_json::from_value::<ModelConfig>(json!({ "price": json })).map_err(|e| e.to_string());
        let read = price(json!({ "input": 0.000_001, "output": 1_000_000 })).unwrap().price.unwrap();
        assert_eq!((read.input, read.output, read.cached_input), (1, 1_000_000_000_000, None));
        for (json, why) in [
            (json!({ "input": -1, "output": 0 }), "0 to 1000000"),
            (json!({ "input": 2e6, "output": 0 }), "0 to 1000000"),
            (json!({ "input": 0.000_000_1, "output": 0 }), "six digits"),
            (json!({ "input": 1 }), "missing field `output`"),
            (json!({ "input": 1, "output": 1, "reply": 2 }), "unknown field"),
        ] {
            let error = price(json).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn times_out_of_range_are_refused() {
        for (json, why) in [
            (json!({ "timeout": 0 }), "0.001 to 86400"),
            (json!({ "timeout": 1e300 }), "0.001 to 86400"),
            (json!({ "retry": { "max_delay": -1 } }), "0 to 86400"),
            (json!({ "retry": { "tries": 0 } }), "1 to 100"),
            (json!({ "retries": 3 }), "unknown field"),
        ] {
            let error = serde_json::from_value::<ModelConfig>(json).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn the_schema_names_every_key_with_a_text() {
        let schema = schemars::schema_for!(ModelConfig).to_value();
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(properties.len(), 16);
        for (name, property) in properties {
            assert!(property["description"].is_string() || property["allOf"].is_array(), "{name}: {property}");
        }
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(properties["top_p"]["maximum"], 1.0);
        assert_eq!(properties["provider"]["default"], "auto");

        // The defaults of times are written by hand, in seconds.
        let retry = &schema["$defs"]["RetryConfig"]["properties"];
        let written = json!({
            "timeout": properties["timeout"]["default"],
            "retry": { "tries": retry["tries"]["default"], "initial_delay": retry["initial_delay"]["default"], "max_delay": retry["max_delay"]["default"] },
        });
        let config: ModelConfig = serde_json::from_value(written).unwrap();
        assert_eq!((config.timeout, config.retry), (ModelConfig::default().timeout, RetryConfig::default()));
    }

    #[test]
    fn debug_shows_no_key() {
        let config: ModelConfig =
            serde_json::from_value(json!({ "api_key": "sk-hidden", "base_url": "http://u:pw@h/v1" })).unwrap();
        let printed = format!("{config:?}");
        assert!(!printed.contains("sk-hidden") && !printed.contains("pw"), "{printed}");
    }
}
