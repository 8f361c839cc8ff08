//! `prompt` and `choice`: steps that ask a model.

use flowrun_core::node::{Entry, Node, NodeKind};
use flowrun_core::signature::Port;
use flowrun_core::types::{Kind, Type};
use serde_json::{Map, Value as Json, json};

use crate::export::Exporter;
use crate::export::flow::is_late;
use crate::export::node::{NodeOut, StepIn, component, plugged};
use crate::export::properties;
use crate::export::secrets::json_of;
use crate::property::FORBIDDEN;
use crate::texts;

/// Settings of one call that a prompt template has.
const SETTINGS: &[&str] = &["max_tokens", "temperature", "top_p", "stop", "frequency_penalty"];

impl Exporter<'_> {
    pub(super) fn prompt(&mut self, s: &StepIn<'_>, id: &str) -> NodeOut {
        let settings = settings(s);
        let template = s.text("template");
        let alone = s.key("system").is_none() && s.key("messages").is_none() && settings.is_empty();
        let silent = !s.flag("send_message", false);
        let mut out = match template.filter(|_| alone) {
            Some(text) if silent && let Some(core) = texts::core(text) => {
                let mut out = NodeOut::core("LlmNode", s);
                out.field("prompt_template", core).says("template").says("send_message");
                out
            }
            // Of a text alone, `WayFlow` knows no inputs but those that are printed.
            Some(text) if texts::core(text).is_some() => {
                let mut out = NodeOut::plugin("ExtendedLlmNode", s);
                out.field("prompt_template", text).field("send_message", !silent);
                out.says("template").says("send_message");
                out
            }
            _ => {
                let mut out = NodeOut::plugin("ExtendedLlmNode", s);
                let object = self.prompt_template(s, id, settings);
                out.field("prompt_template", "").field("prompt_template_object", object);
                out.field("send_message", !silent).says("send_message");
                for key in ["system", "template", "messages"].iter().chain(SETTINGS) {
                    if s.key(key).is_none_or(|node| !is_late(node)) {
                        out.says(key);
                    }
                }
                if s.key("extra").is_some() {
                    out.says("extra");
                }
                out
            }
        };
        if let Some(model) = s.text("model").and_then(|name| self.model(s.env, name)) {
            out.field("llm_config", model).says("model");
        }
        for port in inputs(s) {
            out.takes(&port.name, &port.name);
        }
        let structured = s.key("fields").is_some() || s.key("output_schema").is_some();
        if out.kind == "LlmNode" && structured {
            self.needs("25.4.2", format!("`{}`, a prompt with a form,", s.step.name), &s.spec.name.span);
        }
        outputs(s, &mut out);
        out
    }

    /// Messages and settings as a prompt template.
    fn prompt_template(&mut self, s: &StepIn<'_>, id: &str, settings: Map<String, Json>) -> Json {
        let name = format!("{} prompt", s.step.name);
        let id = self.id(&format!("{id} prompt"));
        let mut map = component("PluginPromptTemplate", &id, &name, None);
        let message =
            |role: &str, text: &str| json!({ "role": role, "contents": [{ "type": "text", "content": text }] });
        let mut messages: Vec<Json> = Vec::new();
        messages.extend(s.text("system").map(|text| message("system", text)));
        messages.extend(s.text("template").map(|text| message("user", text)));
        for written in s.items("messages") {
            let part = |key: &str| written.get(key).and_then(Node::as_str).unwrap_or_default();
            messages.push(message(part("role"), part("content")));
        }
        map.insert("messages".into(), json!(messages));
        map.insert("inputs".into(), inputs(s).iter().map(|port| properties::port(&port.name, port)).collect());
        map.insert("output_parser".into(), Json::Null);
        if !settings.is_empty() {
            map.insert("generation_config".into(), Json::Object(settings));
        }
        plugged(&mut map, "PromptTemplatePlugin");
        Json::Object(map)
    }

    pub(super) fn choice(&mut self, s: &StepIn<'_>) -> NodeOut {
        let mut out = NodeOut::plugin("PluginChoiceNode", s);
        if let Some(model) = s.text("model").and_then(|name| self.model(s.env, name)) {
            out.field("llm_config", model).says("model");
        }
        let choices = s.entries("choices").iter();
        let branches: Vec<Json> = choices.map(|entry| json!([&*entry.key, json_of(&entry.value)])).collect();
        out.field("next_branches", branches).says("choices");
        out.field("prompt_template", s.text("template").unwrap_or_default()).says("template");
        match s.whole("max_tokens") {
            Some(tokens) => {
                out.field("num_tokens", tokens).says("max_tokens");
            }
            None if s.key("max_tokens").is_none() => {
                out.without("max_tokens");
            }
            None => {}
        }
        match s.text("otherwise") {
            Some(otherwise) => {
                out.branch(otherwise, "default").says("otherwise");
            }
            None => {
                out.dead_branch("default").without("otherwise");
            }
        }
        out.empty_default(s).takes_all(s).gives_all(s);
        out
    }
}

/// The settings of one call that are known and that a prompt template has.
fn settings(s: &StepIn<'_>) -> Map<String, Json> {
    let mut all = Map::new();
    for key in SETTINGS {
        if let Some(node) = s.key(key).filter(|node| !is_late(node)) {
            all.insert((*key).to_owned(), json_of(node));
        }
    }
    if let Some(extra) = s.key("extra") {
        all.insert("extra_args".into(), json_of(extra));
    }
    all
}

fn texts_of<'s>(s: &StepIn<'s>) -> Vec<&'s str> {
    let mut all: Vec<&str> = ["system", "template"].iter().filter_map(|key| s.text(key)).collect();
    all.extend(s.items("messages").iter().filter_map(|message| message.get("content")?.as_str()));
    all
}

/// The inputs that the texts have.
fn inputs<'s>(s: &StepIn<'s>) -> Vec<&'s Port> {
    let named: Vec<String> = texts_of(s).iter().flat_map(|text| placeholders(text)).collect();
    s.step.signature.inputs.iter().filter(|port| named.contains(&port.name)).collect()
}

fn placeholders(text: &str) -> Vec<String> {
    texts::variables(text).map(|all| all.into_iter().map(|read| read.name).collect()).unwrap_or_default()
}

/// The outputs: a text, or the values of a form.
fn outputs(s: &StepIn<'_>, out: &mut NodeOut) {
    let usual = if out.kind == "LlmNode" { "generated_text" } else { "output" };
    if s.key("fields").is_none() {
        let title = if s.key("output_schema").is_some() { "output" } else { usual };
        out.gives("output", title);
        return;
    }
    fields(s, out);
    if is_the_reply(s) {
        out.unsays("fields");
    }
}

/// The values of a form, each an output.
pub(super) fn fields(s: &StepIn<'_>, out: &mut NodeOut) {
    for entry in s.entries("fields") {
        out.gives(&entry.key, &entry.key);
        let Some(port) = s.step.signature.output(&entry.key) else { continue };
        let written = |key: &str| entry.value.get(key);
        let default = written("default").map(Node::to_value);
        let text = written("description").and_then(Node::as_str);
        out.property(&entry.key, properties::property(&entry.key, &port.value_type, default.as_ref(), text));
    }
    // Reading makes the same form of plain types; what else a form says stands under our own key.
    let plain = |entry: &Entry| is_plain(&entry.value) && !entry.key.contains(FORBIDDEN);
    if s.entries("fields").iter().all(plain) {
        out.says("fields");
    }
}

/// Whether the outputs would be read as the reply itself.
fn is_the_reply(s: &StepIn<'_>) -> bool {
    let whole = |of: &Type| *of == Type::string() || matches!(of.kind, Kind::Object(_));
    matches!(s.step.signature.outputs.as_slice(), [only] if whole(&only.value_type))
}

/// Whether a field of a form is a word, a list of words, or such a type with a description.
fn is_plain(node: &Node) -> bool {
    match &node.kind {
        NodeKind::String(word) => !word.ends_with('?'),
        NodeKind::List(items) => items.iter().all(|item| item.as_str().is_some()),
        NodeKind::Map(entries) => entries.iter().all(|entry| match &*entry.key {
            "type" => entry
                .value
                .as_str()
                .is_some_and(|word| !["object", "array"].contains(&word) && !word.ends_with('?')),
            "description" => true,
            _ => false,
        }),
        _ => false,
    }
}
