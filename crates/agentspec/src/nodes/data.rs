//! What several nodes that fetch data have in common: where a value goes, and how often it is tried.

use flowrun_core::node::NodeKind;
use serde_json::{Map, Value as Json, json};

use crate::codes;
use crate::component::Component;
use crate::document::first_line;
use crate::import::Importer;

/// A policy of retries as this program has it.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    /// The keys `tries`, `initial_delay` and `max_delay`.
    pub(crate) retry: Map<String, Json>,
    /// Seconds that one try may take.
    pub(crate) timeout: Option<f64>,
}

const KNOWN: &[&str] = &[
    "max_attempts",
    "request_timeout",
    "initial_retry_delay",
    "max_retry_delay",
    "backoff_factor",
    "jitter",
    "service_error_retry_on_any_5xx",
    "recoverable_statuses",
];

impl<'a> Importer<'a> {
    /// Reads the `retry_policy` of a component.
    pub(crate) fn retries(&self, c: Component<'a>) -> Retries {
        let mut found = Retries::default();
        let Some(policy) = self.doc.get(c, "retry_policy") else { return found };
        let Some(entries) = policy.entries() else {
            self.doc.wrong_field("retry_policy", "a mapping", policy);
            return found;
        };
        for entry in entries.iter().filter(|e| !KNOWN.contains(&&*e.key) && &*e.key != "component_type") {
            let message = format!("a retry policy has no field `{}`", entry.key);
            self.doc.warn(codes::UNKNOWN_FIELD, message, &entry.key_span);
        }
        let number = |key: &str| {
            let node = policy.get(key).filter(|n| n.kind != NodeKind::Null)?;
            let number = node.to_value().as_f64().filter(|n| *n >= 0.0);
            if number.is_none() {
                let message = format!("`{key}` is a number that is not negative");
                self.doc.error(codes::BAD_RETRY, message, &first_line(&node.span));
            }
            number
        };
        match policy.get("max_attempts").map(|n| (&n.kind, &n.span)) {
            None => {
                found.retry.insert("tries".into(), json!(3));
            }
            Some((NodeKind::Int(attempts @ 0..=20), _)) => {
                found.retry.insert("tries".into(), json!(attempts + 1));
            }
            Some((_, span)) => {
                self.doc.error(
                    codes::BAD_RETRY,
                    "`max_attempts` is a whole number from 0 to 20",
                    &first_line(span),
                );
            }
        }
        let first = number("initial_retry_delay").unwrap_or(1.0);
        let most = number("max_retry_delay").unwrap_or(8.0);
        if most < first {
            let message = format!("`max_retry_delay` is {most}, less than `initial_retry_delay`, {first}");
            self.doc.error(codes::BAD_RETRY, message, &first_line(&policy.span));
        }
        found.retry.insert("initial_delay".into(), json!(first));
        found.retry.insert("max_delay".into(), json!(most));
        found.timeout = number("request_timeout");
        let usual = [("backoff_factor", json!(2.0)), ("jitter", json!("full_and_equal_for_throttle"))];
        for (key, usual) in usual {
            let written = policy.entry(key).and_then(|e| Some((e, e.value.to_value().to_json().ok()?)));
            if let Some((entry, written)) = written
                && written != usual
                && written.as_f64() != usual.as_f64().or(Some(f64::NAN))
            {
                let message =
                    format!("`{key}` has no effect here: waits double, and a part of each is left to chance");
                self.doc.warn(codes::NO_EFFECT, message, &entry.key_span);
            }
        }
        found
    }
}
