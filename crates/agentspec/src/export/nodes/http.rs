//! `http`: an `ApiNode`.

use flowrun_core::diagnostics::Spanned;
use flowrun_core::node::{Node, NodeKind};
use serde_json::{Map, Value as Json, json};

use crate::export::Exporter;
use crate::export::flow::is_late;
use crate::export::node::{Keys, NodeOut, StepIn};
use crate::export::properties;
use crate::export::secrets::json_of;
use crate::texts;

const STATUS: &str = "http_status_code";
const WHOLE: &str = "http_response";

/// Most tries that a policy of Agent Spec has.
const MOST_TRIES: i64 = 21;

/// A request in the fields that `ApiNode` and `RemoteTool` share.
#[derive(Default)]
pub(crate) struct Request {
    pub(crate) fields: Map<String, Json>,
    /// Keys of the configuration that the fields say.
    pub(crate) said: Vec<&'static str>,
    /// Keys that reading the fields would add.
    pub(crate) without: Vec<&'static str>,
    /// The names of the holes.
    named: Vec<String>,
}

impl Request {
    /// A text that may hold holes; one that is more than holes stands here as it is, and under our own key.
    fn text(&mut self, keys: Keys<'_>, key: &'static str, field: &str) -> bool {
        let Some(written) = keys.text(key) else { return false };
        let core = texts::core(written);
        if let Some(core) = &core {
            self.named.extend(texts::names(core));
            self.said.push(key);
        }
        self.fields.insert(field.to_owned(), json!(core.as_deref().unwrap_or(written)));
        true
    }

    /// The parts that are mappings: the query, the headers, the body.
    fn parts(&mut self, keys: Keys<'_>) {
        let form = announces_form(keys);
        for (key, field) in
            [("params", "query_params"), ("headers", "headers"), ("json", "data"), ("data", "data")]
        {
            let Some(node) = keys.key(key).filter(|node| !is_empty(node)) else { continue };
            let body = match key {
                "json" => !form && !matches!(node.kind, NodeKind::String(_)),
                "data" => form || matches!(node.kind, NodeKind::String(_)),
                _ => true,
            };
            let mut holes = Vec::new();
            if let Some(value) = filled(node, &mut holes).filter(|_| body) {
                self.named.extend(holes);
                self.fields.insert(field.to_owned(), value);
                self.said.push(key);
            }
        }
    }

    /// What is taken out of the reply: each output by its own name, where that is all that is done.
    fn replies(&mut self, keys: Keys<'_>) {
        let queries = keys.entries("extract");
        let by_name = queries.iter().all(|entry| {
            let quoted = serde_json::to_string(&*entry.key).unwrap_or_default();
            let query = entry.value.as_str().unwrap_or_default();
            query == format!(".{}", entry.key) || query == format!(".[{quoted}]")
        });
        let all = ["extract", "types", "defaults"];
        if by_name && queries.len() != 1 && !queries.is_empty() {
            self.said.extend(all);
        } else if queries.is_empty() {
            self.without.extend(all);
        }
    }
}

impl Exporter<'_> {
    /// A request, of the step or the tool `name`.
    pub(crate) fn request(&mut self, keys: Keys<'_>, id: &str, name: &Spanned<String>) -> Request {
        let mut request = Request::default();
        request.text(keys, "url", "url");
        if !request.text(keys, "method", "http_method") {
            request.fields.insert("http_method".into(), json!("GET"));
            request.without.push("method");
        }
        request.parts(keys);
        let (name, span) = (&name.value, &name.span);
        if request.fields.get("data").is_some_and(|data| !data.is_object()) {
            self.needs("25.4.2", format!("the body of `{name}`, which is no mapping,"), span);
        }
        if let Some(headers) = keys.key("sensitive_headers") {
            let open = headers.entries().unwrap_or_default().iter();
            let holes = open
                .filter_map(|entry| entry.value.as_str())
                .any(|text| text.contains("{{") || text.contains("{%"));
            if !holes {
                let found = self.secret(id, "sensitive_headers", &headers.span);
                request.fields.insert("sensitive_headers".into(), found);
                request.said.push("sensitive_headers");
                self.needs("25.4.2", format!("`{name}`, with sensitive headers,"), span);
            }
        }
        if let Some(list) = keys.key("url_allow_list").filter(|list| !has_any_port(list)) {
            request.fields.insert("url_allow_list".into(), json_of(list));
            request.said.push("url_allow_list");
            self.needs("26.1.2", format!("`url_allow_list` of `{name}`"), span);
        }
        if let Some(policy) = policy(keys.key("retry"), keys.key("timeout"), (3, 1.0, 8.0)) {
            request.fields.insert("retry_policy".into(), policy);
            request.said.extend(["retry", "timeout"]);
            self.needs("26.1.2", format!("the retries of `{name}`"), span);
        }
        request.replies(keys);
        request
    }

    pub(super) fn http(&mut self, s: &StepIn<'_>, id: &str) -> NodeOut {
        let mut out = NodeOut::core("ApiNode", s);
        let request = self.request(s.keys(), id, &s.spec.name);
        out.fields.extend(request.fields);
        for key in request.said {
            out.says(key);
        }
        for key in request.without {
            out.without(key);
        }
        for port in s.step.signature.inputs.iter().filter(|port| request.named.contains(&port.name)) {
            out.takes(&port.name, &port.name);
        }
        outputs(s, &mut out);
        out
    }
}

fn outputs(s: &StepIn<'_>, out: &mut NodeOut) {
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

/// Whether a list of addresses has one with any port, which Agent Spec does not know.
fn has_any_port(list: &Node) -> bool {
    list.items().unwrap_or_default().iter().filter_map(Node::as_str).any(|url| url.contains(":*"))
}

fn is_empty(node: &Node) -> bool {
    match &node.kind {
        NodeKind::Map(entries) => entries.is_empty(),
        NodeKind::List(items) => items.is_empty(),
        NodeKind::String(text) => text.is_empty(),
        _ => false,
    }
}

fn announces_form(keys: Keys<'_>) -> bool {
    keys.entries("headers").iter().any(|header| {
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
    // Agent Spec waits always, and no shorter in the end.
    if most < first || first <= 0.0 {
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
