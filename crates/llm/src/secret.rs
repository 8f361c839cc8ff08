//! Values that must not be printed: keys, and addresses that may carry a password.

use std::borrow::Cow;
use std::fmt;

use reqwest::Url;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use thiserror::Error;

/// A key. It is never printed: neither by `Debug` nor in any error or log line of this crate.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Keeps a key. White space around it is dropped, because a file's last line break is no part of a key.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(SecretString::from(text.as_ref().trim()))
    }

    /// Whether there is nothing in it, which counts as no key.
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }

    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// The text with every occurrence of the key replaced. Some servers quote the key that they refuse.
pub(crate) fn redact(key: Option<&Secret>, text: String) -> String {
    match key.map(Secret::expose) {
        Some(key) if !key.is_empty() && text.contains(key) => text.replace(key, "***"),
        _ => text,
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "password", "writeOnly": true })
    }
}

/// The address of an OpenAI-compatible endpoint, such as `https://api.openai.com/v1`.
///
/// It keeps the text as written; [`parse`](Self::parse) checks it. What it prints leaves out a user name and
/// password.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// Keeps an address, without white space around it.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(text.as_ref().trim().to_owned())
    }

    /// Whether there is nothing in it, which counts as no address.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks the address and gives it back without a slash at its end.
    pub fn parse(&self) -> Result<Url, BaseUrlError> {
        let refused = |why| BaseUrlError { url: self.to_string(), why };
        let mut url = Url::parse(&self.0).map_err(|error| refused(format!("is no address ({error})")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused("does not start with http:// or https://".to_owned()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refused("has a `?` or `#` part, and paths are appended to it".to_owned()));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(url)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By hand and not by a parser: an address that does not parse must be printable too.
        let (scheme, rest) =
            self.0.split_once("://").map_or(("", self.0.as_str()), |(scheme, rest)| (scheme, rest));
        let separator = if scheme.is_empty() { "" } else { "://" };
        match rest.rsplit_once('@') {
            Some((_, host)) => write!(f, "{scheme}{separator}***@{host}"),
            None => write!(f, "{scheme}{separator}{rest}"),
        }
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BaseUrl({self})")
    }
}

impl<'de> Deserialize<'de> for BaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl JsonSchema for BaseUrl {
    fn schema_name() -> Cow<'static, str> {
        "BaseUrl".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "uri", "examples": ["http://localhost:8000/v1"] })
    }
}

/// An address that cannot be the base of an endpoint.
#[derive(Debug, Error)]
#[error("base url `{url}` {why}: write it like https://api.openai.com/v1")]
pub struct BaseUrlError {
    url: String,
    why: String,
}

impl BaseUrlError {
    /// An address that parses, but that no request can be sent to.
    pub(crate) fn unusable(url: &Url, why: &http::Error) -> Self {
        Self { url: BaseUrl::new(url.as_str()).to_string(), why: format!("cannot be asked ({why})") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_at_the_end_do_not_matter() {
        for text in ["http://localhost:8000/v1", "http://localhost:8000/v1/", " http://localhost:8000/v1// "] {
            assert_eq!(BaseUrl::new(text).parse().unwrap().as_str(), "http://localhost:8000/v1");
        }
    }

    #[test]
    fn other_schemes_and_parts_are_refused_by_name() {
        for (text, why) in [
            ("localhost:8000/v1", "http:// or https://"),
            ("ftp://example.com", "http:// or https://"),
            ("example.com/v1", "no address"),
            ("https://example.com/v1?api-version=1", "`?`"),
        ] {
            let error = BaseUrl::new(text).parse().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_not_printed() {
        for text in [
            "https://me:hunter2@example.com/v1",
            "me:hunter2@example.com",
            "ftp://me:hunter2@example.com",
            "http://me:hunter2@",
        ] {
            let url = BaseUrl::new(text);
            let printed = format!("{url} {url:?} {:?}", url.parse().map_err(|error| error.to_string()).err());
            assert!(!printed.contains("hunter2"), "{printed}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_key_is_printed_nowhere(key in "[a-zA-Z0-9_-]{8,40}") {
            let secret = Secret::new(&key);
            let printed = format!("{secret:?}");
            proptest::prop_assert!(!printed.contains(&key));
            let redacted = redact(Some(&secret), format!("incorrect key {key}, see {key}"));
            proptest::prop_assert!(!redacted.contains(&key));
        }
    }
}
