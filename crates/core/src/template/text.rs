//! Texts and conditions as fields of a step's configuration.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::{Expression, Extras, Template};
use crate::schema::TEMPLATE_MARK;

macro_rules! field {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $mark:literal, $parse:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(Arc<$inner>);

        impl $name {
            /// Parses a text.
            ///
            /// # Errors
            /// When it does not parse.
            pub fn parse(source: &str) -> Result<Self, super::TemplateError> {
                let parse: fn(&str) -> Result<$inner, super::TemplateError> = $parse;
                parse(source).map(|parsed| Self(Arc::new(parsed)))
            }
        }

        impl Deref for $name {
            type Target = $inner;

            fn deref(&self) -> &$inner {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let source = String::deserialize(deserializer)?;
                Self::parse(&source).map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", TEMPLATE_MARK: $mark})
            }
        }
    };
}

field! {
    /// A text with holes.
    Text, Template, "text", |source| Template::parse(source, Extras::None)
}
field! {
    /// A text that answers in a model's place; it may `pick`.
    OfflineText, Template, "offline", |source| Template::parse(source, Extras::Pick)
}
field! {
    /// A text of which is known afterwards what was put into it.
    PiecesText, Template, "text", Template::parse_pieces
}
field! {
    /// A condition or computed value.
    Condition, Expression, "expression", Expression::parse
}
