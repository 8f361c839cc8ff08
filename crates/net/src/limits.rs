//! How long, how large and how often.

use std::num::NonZeroU32;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::Error as _};

/// No wait and no limit is longer than a day.
const LONGEST_SECONDS: f64 = 86_400.0;
/// More tries than this are a mistake, and would hide a server's trouble for hours.
const MOST_TRIES: u32 = 100;

/// What a request may take.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// One try, from looking up the name to the last byte of the reply, redirects included.
    pub timeout: Duration,
    /// Most bytes of a reply.
    pub largest_reply: usize,
    /// Most redirects that are followed; with 0, a redirect is a reply like any other.
    pub redirects: u32,
    /// How a failure that may pass is tried again.
    pub retry: RetryPolicy,
    /// Whether doing it twice does no harm. Without a word GET, HEAD, PUT, DELETE and OPTIONS are so.
    pub idempotent: Option<bool>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            largest_reply: 10 * 1024 * 1024,
            redirects: 5,
            retry: RetryPolicy::default(),
            idempotent: None,
        }
    }
}

impl Limits {
    pub(crate) fn may_repeat(&self, method: &Method) -> bool {
        self.idempotent.unwrap_or_else(|| method.is_idempotent())
    }
}

/// How often and how soon a request is tried again after a failure that may pass: a connection that fails or breaks, no
/// reply in time, and the statuses 408, 409, 429 and 5xx but 501.
///
/// A request that may do harm twice (POST and PATCH, unless `idempotent` says otherwise) is tried again only where the
/// server cannot have begun with it: no connection, or 429. The wait doubles from try to try, and a part of it is left
/// to chance (which follows from the request, so that a repeated run waits alike). Where the server says how long to
/// wait (`Retry-After`), that is done, for 60 seconds at most.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetryPolicy {
    /// Tries in all, with the first. Default: 3.
    #[serde(deserialize_with = "tries")]
    #[schemars(range(min = 1, max = 100))]
    pub tries: NonZeroU32,
    /// Seconds before the second try. Default: 1.
    #[serde(deserialize_with = "wait")]
    #[schemars(with = "f64", range(min = 0.0, max = 86400.0), extend("default" = 1))]
    pub initial_delay: Duration,
    /// Most seconds between two tries. Default: 8.
    #[serde(deserialize_with = "wait")]
    #[schemars(with = "f64", range(min = 0.0, max = 86400.0), extend("default" = 8))]
    pub max_delay: Duration,
    /// The statuses that are tried again, in place of the usual ones, whatever the method.
    #[schemars(inner(range(min = 300, max = 599)))]
    pub statuses: Option<Vec<u16>>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            tries: const { NonZeroU32::new(3).expect("three is not zero") },
            initial_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(8),
            statuses: None,
        }
    }
}

impl RetryPolicy {
    /// Whether a status is tried again; `may_repeat` as [`Limits::idempotent`] says.
    pub(crate) fn names(&self, status: StatusCode, may_repeat: bool) -> bool {
        match (&self.statuses, status.as_u16()) {
            (Some(statuses), code) => statuses.contains(&code),
            (None, 429) => true,
            (None, 408 | 409) => may_repeat,
            (None, 501) => false,
            (None, _) => may_repeat && status.is_server_error(),
        }
    }
}

/// Reads seconds that something may take, from a millisecond to a day; for the configuration of who builds [`Limits`].
///
/// # Errors
/// When the number is out of range.
pub fn timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    seconds(deserializer, 0.001)
}

fn wait<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    seconds(deserializer, 0.0)
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D, least: f64) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    // YAML has `.nan` and `.inf`.
    if seconds.is_finite() && (least..=LONGEST_SECONDS).contains(&seconds) {
        return Ok(Duration::from_secs_f64(seconds));
    }
    let message = format_args!("{seconds} is out of range: write a number from {least} to {LONGEST_SECONDS}");
    Err(D::Error::custom(message))
}

fn tries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NonZeroU32, D::Error> {
    let tries = u32::deserialize(deserializer)?;
    NonZeroU32::new(tries).filter(|tries| tries.get() <= MOST_TRIES).ok_or_else(|| {
        D::Error::custom(format_args!("{tries} is out of range: write a number from 1 to {MOST_TRIES}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_do_harm_twice_is_tried_again_only_where_nothing_was_done() {
        let policy = RetryPolicy::default();
        let tried = |codes: &[u16], may_repeat| {
            let status = |code: &&u16| policy.names(StatusCode::from_u16(**code).unwrap(), may_repeat);
            codes.iter().filter(status).copied().collect::<Vec<_>>()
        };
        let all = [200, 304, 400, 401, 403, 404, 408, 409, 422, 429, 500, 501, 502, 503, 529];
        assert_eq!(tried(&all, true), [408, 409, 429, 500, 502, 503, 529]);
        assert_eq!(tried(&all, false), [429]);
        let limits = Limits::default();
        assert!(limits.may_repeat(&Method::PUT) && !limits.may_repeat(&Method::POST));
        assert!(Limits { idempotent: Some(true), ..limits }.may_repeat(&Method::POST));
        let named = RetryPolicy { statuses: Some(vec![404]), ..policy };
        assert!(named.names(StatusCode::NOT_FOUND, false) && !named.names(StatusCode::BAD_GATEWAY, true));
    }

    #[test]
    fn numbers_out_of_range_are_refused_and_defaults_are_as_the_schema_says() {
        for (json, why) in [
            (r#"{"tries": 0}"#, "1 to 100"),
            (r#"{"max_delay": -1}"#, "0 to 86400"),
            (r#"{"initial_delay": 1e300}"#, "0 to 86400"),
            (r#"{"attempts": 3}"#, "unknown field"),
        ] {
            let error = serde_json::from_str::<RetryPolicy>(json).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let schema = schemars::schema_for!(RetryPolicy).to_value();
        let defaults =
            schema["properties"].as_object().unwrap().iter().map(|(k, v)| (k.clone(), v["default"].clone()));
        let read: RetryPolicy = serde_json::from_value(serde_json::Value::Object(defaults.collect())).unwrap();
        assert_eq!(read, RetryPolicy::default());
    }
}
