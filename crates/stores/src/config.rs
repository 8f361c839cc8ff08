//! One entry of a flow's `datastores:`, as written, less its collections.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

/// What kind a datastore is, and where it is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum StoreConfig {
    /// Kept in memory for the length of a run; empty when it begins.
    Memory {},
    /// A file, made where there is none, with a table for each collection.
    Sqlite {
        /// The file, relative to the working folder.
        path: String,
        /// Seconds that one statement may take.
        #[serde(default = "half_a_minute")]
        #[schemars(range(min = 1, max = 86400))]
        timeout: u32,
    },
    /// A Postgres server, with a table for each collection.
    Postgres {
        /// `postgres://USER:PASSWORD@HOST/DATABASE`, best as `${DATABASE_URL}`; it is never printed or recorded. A
        /// server that is not on this machine is spoken to by TLS, unless `?sslmode=disable` says otherwise.
        url: Url,
        /// Whether tables that are missing are made. Without it they are an error.
        #[serde(default)]
        create_tables: bool,
        /// Seconds that one statement may take.
        #[serde(default = "half_a_minute")]
        #[schemars(range(min = 1, max = 86400))]
        timeout: u32,
    },
}

fn half_a_minute() -> u32 {
    30
}

/// The address of a server, which may hold a password. It is never printed.
#[derive(Clone)]
pub struct Url(SecretString);

impl Url {
    /// Keeps an address.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(SecretString::from(text.as_ref().trim()))
    }

    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Url(***)")
    }
}

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl JsonSchema for Url {
    fn schema_name() -> Cow<'static, str> {
        "Url".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "password", "writeOnly": true })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_is_read_and_no_address_is_printed() {
        let read = |json| serde_json::from_value::<StoreConfig>(json);
        assert!(matches!(read(json!({ "type": "memory" })), Ok(StoreConfig::Memory {})));
        assert!(matches!(
            read(json!({ "type": "sqlite", "path": "a" })),
            Ok(StoreConfig::Sqlite { timeout: 30, .. })
        ));
        let server = read(json!({ "type": "postgres", "url": "postgres://u:hunter2@h/d" })).unwrap();
        assert!(!format!("{server:?}").contains("hunter2"));
        for wrong in
            [json!({ "type": "memory", "path": "a" }), json!({ "type": "sqlite" }), json!({ "type": "x" })]
        {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_schema_refuses_what_reading_refuses() {
        let schema = schemars::schema_for!(StoreConfig).to_value();
        for form in schema["oneOf"].as_array().unwrap() {
            assert_eq!(form["additionalProperties"], false, "{form}");
        }
    }
}
