//! `ApiNode`: an `http` step.

use flowrun_core::diagnostics::Diagnostic;
use flowrun_core::node::{Entry, Node, NodeKind};
use serde_json::{Map, Value as Json, json};

use super::llm::word;
use super::{Around, Draft, Reading, hole_ports};
use crate::castable::Shape;
use crate::codes;
use crate::component::Component;
use crate::config::{mapping, text};
use crate::document::first_line;
use crate::import::Importer;
use crate::property::Property;
use crate::texts::{Holes, escaped, names};

pub(super) const FIELDS: &[&str] = &[
    "url",
    "http_method",
    "api_spec_uri",
    "data",
    "query_params",
    "headers",
    "sensitive_headers",
    "url_allow_list",
    "retry_policy",
];

/// The whole reply, where nothing is declared.
const RESPONSE: &str = "response";
/// Outputs that are no part of the reply's JSON.
const WHOLE_TEXT: &str = "http_response";
const STATUS: &str = "http_status_code";

impl<'a> Importer<'a> {
    pub(crate) fn api_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let (url, method) = (self.doc.needed_text(c, "url"), self.doc.needed_text(c, "http_method"));
        let (url, method) = (url?, method?);
        if c.entry("api_spec_uri").is_some() {
            let message = "`api_spec_uri` is not read";
            self.doc.warn(codes::NO_EFFECT, message, c.span_of("api_spec_uri"));
        }
        let mut draft = Draft::new("http", c);
        let mut holes = Holes::default();
        draft.config.put("url", filled(url, &mut holes));
        draft.config.put("method", filled(method, &mut holes));
        let form = self.headers(c, &mut draft, &mut holes);
        self.body(c, form, &mut draft, &mut holes);
        if let Some(params) = self.doc.get(c, "query_params").filter(|p| !is_empty(p)) {
            self.refuse_key_holes(params);
            draft.config.put("params", filled(params, &mut holes));
        }
        if let Some(list) = self.doc.get(c, "url_allow_list") {
            draft.config.put("url_allow_list", list.clone());
        }
        let retries = self.retries(c);
        if !retries.retry.is_empty() {
            draft.config.set_at("retry", Json::Object(retries.retry), c.span_of("retry_policy"));
        }
        if let Some(seconds) = retries.timeout {
            draft.config.set_at("timeout", seconds, c.span_of("retry_policy"));
        }
        for hole in &holes.found {
            draft.takes_typed(&hole.variable, &hole.name);
        }
        let outputs = self.replies(c, &mut draft);
        Some(Reading::new(hole_ports(&holes, &url.span), outputs, draft))
    }

    /// Sets the headers, and says whether they announce a form.
    fn headers(&self, c: Component<'a>, draft: &mut Draft, holes: &mut Holes) -> bool {
        let open = self.doc.get(c, "headers").filter(|h| !is_empty(h));
        let mut form = false;
        if let Some(headers) = open {
            self.refuse_key_holes(headers);
            form = headers.entries().unwrap_or_default().iter().any(announces_form);
            draft.config.put("headers", filled(headers, holes));
        }
        let Some((entry, secret)) = self.sensitive_headers(c) else { return form };
        // Nothing in a sensitive header is a hole.
        let texts = secret.entries().unwrap_or_default().iter().map(|e| {
            let value = e.value.as_str().map_or_else(|| e.value.clone(), |v| text(escaped(v), &e.value.span));
            (e.key.to_string(), value)
        });
        draft.config.put("sensitive_headers", mapping(texts, &entry.key_span));
        form
    }

    /// The sensitive headers of a component, with their field. Nothing where there are none, and where they are not given,
    /// which is reported.
    pub(crate) fn sensitive_headers(&self, c: Component<'a>) -> Option<(&'a Entry, Node)> {
        let entry = c.entry("sensitive_headers")?;
        let secret = match self.doc.resolve(&entry.value) {
            Some(node) if node.kind == NodeKind::Null => return None,
            Some(node) => node.clone(),
            None => match self.doc.secret(&entry.value) {
                Ok(None) => return None,
                Ok(Some(given)) => match serde_json::from_str::<Json>(&given) {
                    Ok(json @ Json::Object(_)) => crate::config::placed(Node::from_json(&json), &entry.value.span),
                    _ => {
                        let message = "the sensitive headers that the environment gives are no JSON object";
                        self.doc.error(codes::NO_SECRET, message, &first_line(&entry.value.span));
                        return None;
                    }
                },
                Err(secret) => {
                    self.not_given(&secret, &entry.value);
                    return None;
                }
            },
        };
        let names = |node: &Node| -> Vec<String> {
            node.entries().unwrap_or_default().iter().map(|e| e.key.to_ascii_lowercase()).collect()
        };
        let open = self.doc.get(c, "headers").map(names).unwrap_or_default();
        if let Some(twice) = open.iter().find(|name| names(&secret).contains(*name)) {
            let message = format!("`{twice}` is in `headers` and in `sensitive_headers` of `{}`", c.name());
            self.doc.error(codes::HEADER_TWICE, message, &entry.key_span);
        }
        Some((entry, secret))
    }

    fn body(&self, c: Component<'a>, form: bool, draft: &mut Draft, holes: &mut Holes) {
        let Some(data) = self.doc.get(c, "data").filter(|data| !is_empty(data)) else { return };
        self.refuse_key_holes(data);
        let key = if form || data.as_str().is_some() { "data" } else { "json" };
        draft.config.put(key, filled(data, holes));
    }

    /// Keys are texts with holes in Agent Spec, and not here.
    fn refuse_key_holes(&self, node: &'a Node) {
        match &node.kind {
            NodeKind::List(items) => items.iter().for_each(|item| self.refuse_key_holes(item)),
            NodeKind::Map(entries) => {
                for entry in entries {
                    if !names(&entry.key).is_empty() {
                        let message = format!("a hole in a key, as in `{}`, is not supported here", entry.key);
                        self.doc.error(codes::UNSUPPORTED, message, &entry.key_span);
                    }
                    self.refuse_key_holes(&entry.value);
                }
            }
            _ => {}
        }
    }

    /// What is taken out of the reply: the fields of the names that are declared, or all of it.
    fn replies(&self, c: Component<'a>, draft: &mut Draft) -> Vec<Property> {
        let declared = self.doc.properties(c, "outputs").unwrap_or_default();
        let outputs = if declared.is_empty() && c.entry("outputs").is_none() {
            vec![Property::new(RESPONSE, Shape::any(), c.span)]
        } else {
            declared
        };
        let (mut extract, mut types, mut defaults) = (Map::new(), Map::new(), Map::new());
        let alone = outputs.len() == 1;
        for output in &outputs {
            match output.title.as_str() {
                WHOLE_TEXT => {
                    draft.config.set("store_response", true);
                    continue;
                }
                STATUS => continue,
                _ => {}
            }
            let name = serde_json::to_string(&output.title).unwrap_or_default();
            let query = if alone {
                format!("if type == \"object\" and has({name}) then .[{name}] else . end")
            } else {
                format!(".[{name}]")
            };
            extract.insert(output.title.clone(), json!(query));
            if let Some(word) = word(&output.shape) {
                types.insert(output.title.clone(), word);
            }
            if let Some(default) = output.default.as_ref().and_then(|d| d.to_json().ok()) {
                defaults.insert(output.title.clone(), default);
            }
        }
        let span = c.span_of("outputs");
        draft.config.set_at("extract", Json::Object(extract), span);
        draft.config.set_at("types", Json::Object(types), span);
        draft.config.set_at("defaults", Json::Object(defaults), span);
        outputs
    }

    /// That a sensitive value is not given.
    pub(crate) fn not_given(&self, secret: &crate::document::Secret, node: &Node) {
        let message = format!("the sensitive value `{}` is not given", secret.id);
        let wrong = Diagnostic::error(codes::NO_SECRET, message, &first_line(&node.span));
        let help = format!("give it in a file by `--components`, or set {}", secret.variable);
        self.doc.report(wrong.help(help));
    }
}

fn is_empty(node: &Node) -> bool {
    match &node.kind {
        NodeKind::List(items) => items.is_empty(),
        NodeKind::Map(entries) => entries.is_empty(),
        NodeKind::String(text) => text.is_empty(),
        NodeKind::Null => true,
        _ => false,
    }
}

fn announces_form(header: &Entry) -> bool {
    header.key.eq_ignore_ascii_case("content-type")
        && header.value.as_str().is_some_and(|v| v.trim().starts_with("application/x-www-form-urlencoded"))
}

/// A value whose texts are turned into Jinja.
fn filled(node: &Node, holes: &mut Holes) -> Node {
    let kind = match &node.kind {
        NodeKind::String(written) => NodeKind::String(holes.jinja(written).into()),
        NodeKind::List(items) => NodeKind::List(items.iter().map(|item| filled(item, holes)).collect()),
        NodeKind::Map(entries) => {
            NodeKind::Map(entries.iter().map(|e| Entry { value: filled(&e.value, holes), ..e.clone() }).collect())
        }
        other => other.clone(),
    };
    Node::new(kind, node.span.clone())
}
