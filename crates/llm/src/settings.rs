//! The settings of a call, which a model has and a single call can change.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::number;

/// Settings of one call, merged over the model's: each one that is set wins, the others stay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Most tokens that the model may write.
    pub max_tokens: Option<NonZeroU32>,
    /// How freely the model chooses its words; 0 is the least free. Without it the server's own default holds.
    #[serde(deserialize_with = "number::temperature")]
    #[schemars(range(min = 0.0))]
    pub temperature: Option<f64>,
    /// Choose only among the likeliest tokens that together have this probability.
    #[serde(deserialize_with = "number::share")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub top_p: Option<f64>,
    /// Texts at which the model stops writing. An empty list takes the model's own away.
    pub stop: Option<Vec<String>>,
    /// Makes tokens less likely the more often they stand in the text already.
    #[serde(deserialize_with = "number::penalty")]
    #[schemars(range(min = -2.0, max = 2.0))]
    pub frequency_penalty: Option<f64>,
    /// Makes tokens less likely that stand in the text already.
    #[serde(deserialize_with = "number::penalty")]
    #[schemars(range(min = -2.0, max = 2.0))]
    pub presence_penalty: Option<f64>,
    /// The sampling seed that is sent: an integer, or `auto` for one that follows from the call's identity,
    /// so that every call has its own and a repeated run has the same ones.
    pub seed: Option<SeedSetting>,
    /// How many of the likeliest tokens are listed at each place of the reply, beside the one that was taken.
    pub top_logprobs: Option<u8>,
    /// Further fields of the request's JSON, such as `reasoning_effort` or `response_format`. They are merged
    /// field by field over the model's own.
    #[serde(deserialize_with = "extra")]
    pub extra: Map<String, Value>,
}

impl Settings {
    /// These settings over those of `base`, as the request is sent.
    pub(crate) fn over<'a>(&'a self, base: &'a Self) -> Merged<'a> {
        Merged {
            max_tokens: self.max_tokens.or(base.max_tokens),
            temperature: self.temperature.or(base.temperature),
            top_p: self.top_p.or(base.top_p),
            stop: self.stop.as_deref().or(base.stop.as_deref()).unwrap_or_default(),
            frequency_penalty: self.frequency_penalty.or(base.frequency_penalty),
            presence_penalty: self.presence_penalty.or(base.presence_penalty),
            seed: self.seed.or(base.seed),
            top_logprobs: self.top_logprobs.or(base.top_logprobs),
            base_extra: &base.extra,
            extra: &self.extra,
        }
    }
}

/// Two [`Settings`] made one without a copy of either.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Merged<'a> {
    pub(crate) max_tokens: Option<NonZeroU32>,
    pub(crate) temperature: Option<f64>,
    pub(crate) top_p: Option<f64>,
    pub(crate) stop: &'a [String],
    pub(crate) frequency_penalty: Option<f64>,
    pub(crate) presence_penalty: Option<f64>,
    pub(crate) seed: Option<SeedSetting>,
    pub(crate) top_logprobs: Option<u8>,
    base_extra: &'a Map<String, Value>,
    extra: &'a Map<String, Value>,
}

impl<'a> Merged<'a> {
    /// The further fields, each name once.
    pub(crate) fn extra(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        let over = self.extra;
        self.base_extra.iter().filter(move |(name, _)| !over.contains_key(*name)).chain(over)
    }
}

/// The sampling seed that goes with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeedSetting {
    /// The same seed for every call.
    Fixed(i64),
    /// A seed that follows from the identity of the call.
    Auto,
}

impl Serialize for SeedSetting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fixed(seed) => serializer.serialize_i64(*seed),
            Self::Auto => serializer.serialize_str("auto"),
        }
    }
}

impl<'de> Deserialize<'de> for SeedSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand: `untagged` would lose the place and the words of the mistake.
        struct SeedVisitor;

        impl Visitor<'_> for SeedVisitor {
            type Value = SeedSetting;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer or the word `auto`")
            }

            fn visit_i64<E: Error>(self, seed: i64) -> Result<SeedSetting, E> {
                Ok(SeedSetting::Fixed(seed))
            }

            fn visit_u64<E: Error>(self, seed: u64) -> Result<SeedSetting, E> {
                i64::try_from(seed)
                    .map(SeedSetting::Fixed)
                    .map_err(|_| E::custom(format_args!("seed {seed} does not fit 64 bits with a sign")))
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<SeedSetting, E> {
                if word == "auto" {
                    Ok(SeedSetting::Auto)
                } else {
                    Err(E::invalid_value(serde::de::Unexpected::Str(word), &self))
                }
            }
        }

        deserializer.deserialize_any(SeedVisitor)
    }
}

impl JsonSchema for SeedSetting {
    fn schema_name() -> Cow<'static, str> {
        "SeedSetting".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "integer" }, { "const": "auto" }] })
    }
}

/// Fields of the request that have a key of their own, or that this client sets.
const OWN_FIELDS: &[&str] = &[
    "frequency_penalty",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "model",
    "presence_penalty",
    "seed",
    "stop",
    "stream",
    "temperature",
    "top_p",
];

/// Reads `extra`, and refuses fields that would then stand in the request twice.
pub fn extra<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
    let extra = Map::deserialize(deserializer)?;
    match OWN_FIELDS.iter().find(|field| extra.contains_key(**field)) {
        None => Ok(extra),
        Some(&field @ ("messages" | "stream")) => {
            Err(D::Error::custom(format_args!("`{field}` cannot be set: the program writes it")))
        }
        Some(field) => {
            let key = if *field == "max_completion_tokens" { "max_tokens` and `max_tokens_key" } else { field };
            Err(D::Error::custom(format_args!(
                "`{field}` has its own key: write `{key}` beside `extra`, not in it"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(json: Value) -> Result<Settings, String> {
        serde_json::from_value(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_call_changes_only_what_it_sets() {
        let base =
            settings(json!({ "max_tokens": 10, "temperature": 0.5, "stop": ["a"], "extra": { "x": 1, "y": 2 } }))
                .unwrap();
        let call =
            settings(json!({ "temperature": 0.0, "stop": [], "seed": "auto", "extra": { "y": 3, "z": 4 } }))
                .unwrap();
        let merged = call.over(&base);
        assert_eq!(merged.max_tokens.map(NonZeroU32::get), Some(10));
        assert_eq!(merged.temperature, Some(0.0));
        assert!(merged.stop.is_empty());
        assert_eq!(merged.seed, Some(SeedSetting::Auto));
        let extra: Vec<_> = merged.extra().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(extra, ["x=1", "y=3", "z=4"]);
    }

    #[test]
    fn wrong_settings_are_refused_with_the_reason() {
        for (json, why) in [
            (json!({ "seed": "automatic" }), "an integer or the word `auto`"),
            (json!({ "seed": 1.5 }), "an integer or the word `auto`"),
            (json!({ "seed": u64::MAX }), "64 bits"),
            (json!({ "top_p": 1.5 }), "from 0 to 1"),
            (json!({ "temperature": -1 }), "at least 0"),
            (json!({ "presence_penalty": 3 }), "from -2 to 2"),
            (json!({ "max_tokens": 0 }), "nonzero"),
            (json!({ "extra": { "temperature": 1 } }), "beside `extra`"),
            (json!({ "extra": { "stream": true } }), "cannot be set"),
            (json!({ "temprature": 1 }), "unknown field"),
        ] {
            let error = settings(json).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        for number in [f64::NAN, f64::INFINITY] {
            assert!(
                number::temperature(serde::de::value::F64Deserializer::<serde::de::value::Error>::new(number))
                    .is_err()
            );
        }
    }
}
