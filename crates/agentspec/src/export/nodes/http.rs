//! `http`: an `ApiNode`.

use flowrun_core::node::{Node, NodeKind};
use serde_json::{Map, Value as Json, json};

use crate::export::Exporter;
use crate::export::flow::is_late;
use crate::export::node::{NodeOut, StepIn};
use crate::export::properties;
use crate::export::secrets::json_of;
use crate::texts;

const STATUS: &str = "http_status_code";
const WHOLE: &str = "http_response";

/// Most tries that a policy of Agent Spec has.
const MOST_TRIES: i64 = 21;

impl Exporter<'_> {
    pub(super) fn http(&mut self, s: &StepIn<'_>, id: &str) -> NodeOut {
        let mut out = NodeOut::core("ApiNode", s);
        let mut named = Vec::new();
        // What is more than holes stands under our own key, and here as it is.
        let text = |key: &str| s.text(key).map(|text| (text, texts::core(text)));
        match text("url") {
            Some((_, Some(core))) => {
                named.extend(texts::names(&core));
                out.field("url", core).says("url");
            }
            Some((written, None)) => {
                out.field("url", written);
            }
            None => {}
        }
        match text("method") {
            Some((_, Some(core))) => {
                named.extend(texts::names(&core));
                out.field("http_method", core).says("method");
            }
            Some((written, None)) => {
                out.field("http_method", written);
            }
            None => {
                out.field("http_method", "GET").without("method");
            }
        }
        let form = announces_form(s);
        for (key, field) in
            [("params", "query_params"), ("headers", "headers"), ("json", "data"), ("data", "data")]
        {
            let Some(node) = s.key(key).filter(|node| !is_empty(node)) else { continue };
            let body = match key {
                "json" => !form && !matches!(node.kind, NodeKind::String(_)),
                "data" => form || matches!(node.kind, NodeKind::String(_)),
                _ => true,
            };
            let mut holes = Vec::new();
            if let Some(value) = filled(node, &mut holes).filter(|_| body) {
                named.extend(holes);
                out.field(field, value).says(key);
            }
        }
        if let Some(headers) = s.key("sensitive_headers") {
            let open = headers.entries().unwrap_or_default().iter();
            let holes = open
                .filter_map(|entry| entry.value.as_str())
                .any(|text| text.contains("{{") || text.contains("{%"));
            if !holes {
                let found = self.secret(id, "sensitive_headers", &headers.span);
                out.field("sensitive_headers", found).says("sensitive_headers");
                self.needs("25.4.2", format!("`{}`, with sensitive headers,", s.step.name), &s.spec.name.span);
            }
        }
        if s.key("url_allow_list").is_some() {
            out.same(s, "url_allow_list", "url_allow_list");
            self.needs("26.1.2", format!("`url_allow_list` of `{}`", s.step.name), &s.spec.name.span);
        }
        if let Some(policy) = policy(s.key("retry"), s.key("timeout"), (3, 1.0, 8.0)) {
            out.field("retry_policy", policy).says("retry").says("timeout");
            self.needs("26.1.2", format!("the retries of `{}`", s.step.name), &s.spec.name.span);
        }
        for port in s.step.signature.inputs.iter().filter(|port| named.contains(&port.name)) {
            out.takes(&port.name, &port.name);
        }
        replies(s, &mut out);
        out
    }
}

/// What is taken out of the reply: each output by its own name, where the step does just that.
fn replies(s: &StepIn<'_>, out: &mut NodeOut) {
    let queries = s.entries("extract");
    let by_name = queries.iter().all(|entry| {
        let quoted = serde_json::to_string(&*entry.key).unwrap_or_default();
        let query = entry.value.as_str().unwrap_or_default();
        query == format!(".{}", entry.key) || query == format!(".[{quoted}]")
    });
    if by_name && queries.len() != 1 && !queries.is_empty() {
        out.says("extract").says("types").says("defaults");
    } else if queries.is_empty() {
        for key in ["extract", "types", "defaults"] {
            out.without(key);
        }
    }
    for port in &s.step.signature.outputs {
        let own = port.name == STATUS || port.name == WHOLE;
        // An output that nobody reads would be looked for in the reply.
        if own && !s.is_read(&port.name) {
            continue;
        }
        out.gives(&port.name, &port.name);
        let default = s.key("defaults").and_then(|defaults| defaults.get(&port.name)).map(Node::to_value);
        out.property(&port.name, properties::property(&port.name, &port.value_type, default.as_ref(), None));
    }
    if s.is_read(WHOLE) && s.flag("store_response", false) {
        out.says("store_response");
    }
}

fn is_empty(node: &Node) -> bool {
    match &node.kind {
        NodeKind::Map(entries) => entries.is_empty(),
        NodeKind::List(items) => items.is_empty(),
        NodeKind::String(text) => text.is_empty(),
        _ => false,
    }
}

fn announces_form(s: &StepIn<'_>) -> bool {
    s.entries("headers").iter().any(|header| {
        header.key.eq_ignore_ascii_case("content-type")
            && header.value.as_str().is_some_and(|v| v.trim().starts_with("application/x-www-form-urlencoded"))
    })
}

/// A value whose texts are those of a core node; nothing where one of them is more than holes.
fn filled(node: &Node, named: &mut Vec<String>) -> Option<Json> {
    if is_late(node) {
        return None;
    }
    Some(match &node.kind {
        NodeKind::String(text) => {
            let core = texts::core(text)?;
            named.extend(texts::names(&core));
            json!(core)
        }
        NodeKind::List(items) => Json::Array(items.iter().map(|item| filled(item, named)).collect::<Option<_>>()?),
        NodeKind::Map(entries) => {
            // A key is a text with holes too, in a document.
            if entries.iter().any(|entry| !texts::names(&entry.key).is_empty()) {
                return None;
            }
            let entries = entries.iter().map(|e| Some((e.key.to_string(), filled(&e.value, named)?)));
            Json::Object(entries.collect::<Option<Map<_, _>>>()?)
        }
        _ => json_of(node),
    })
}

/// A policy of retries in the words of Agent Spec: `usual` are the tries and the waits where the flow says none. Nothing
/// where the flow says nothing, or more.
pub(crate) fn policy(retry: Option<&Node>, timeout: Option<&Node>, usual: (i64, f64, f64)) -> Option<Json> {
    retry.or(timeout)?;
    let entries = retry.and_then(Node::entries).unwrap_or_default();
    let known = ["tries", "initial_delay", "max_delay"];
    if entries.iter().any(|entry| !known.contains(&&*entry.key) || is_late(&entry.value)) {
        return None;
    }
    let number = |key: &str| retry.and_then(|retry| retry.get(key)).and_then(|node| node.to_value().as_f64());
    let tries =
        retry.and_then(|retry| retry.get("tries")).and_then(|node| node.to_value().as_i64()).unwrap_or(usual.0);
    if !(1..=MOST_TRIES).contains(&tries) {
        return None;
    }
    let first = number("initial_delay").unwrap_or(usual.1);
    let most = number("max_delay").unwrap_or(usual.2);
    if most < first {
        return None;
    }
    let mut map = Map::new();
    map.insert("max_attempts".into(), json!(tries - 1));
    if let Some(seconds) = timeout {
        map.insert("request_timeout".into(), json!(seconds.to_value().as_f64()?));
    }
    map.insert("initial_retry_delay".into(), json!(first));
    map.insert("max_retry_delay".into(), json!(most));
    Some(Json::Object(map))
}
