//! `LlmNode` and `ExtendedLlmNode`: a `prompt` step.

use flowrun_core::node::{Node, NodeKind};
use flowrun_core::types::{Kind, Type};
use serde_json::{Map, Value as Json, json};

use super::{Around, Draft, Reading, hole_ports};
use crate::castable::{Form, Shape};
use crate::codes;
use crate::component::{Component, LLMS, PROMPTS};
use crate::config::{mapping, text};
use crate::import::Importer;
use crate::property::Property;
use crate::texts::{Holes, variables};

/// What a model gives where nothing is declared.
const GENERATED: &str = "generated_text";
const OUTPUT: &str = "output";

/// What a prompt template calls the conversation so far, and the input of the step that it is here.
const HISTORY: &str = "__CHAT_HISTORY__";
const OUR_HISTORY: &str = "chat_history";

/// Fields of a prompt template that change nothing where they are empty.
const EMPTY_ONLY: &[&str] = &["output_parser", "pre_rendering_transforms", "post_rendering_transforms", "tools"];

impl<'a> Importer<'a> {
    pub(crate) fn llm_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let template = self.doc.needed_text(c, "prompt_template");
        let model = self.doc.needed(c, "llm_config", &LLMS).and_then(|llm| self.model(llm));
        let (template, model) = (template?, model?);
        let mut draft = Draft::new("prompt", c);
        draft.config.set("model", model);
        let written = template.as_str().unwrap_or_default();
        if written.contains("{%") {
            let message =
                "`{% … %}` stands for itself in a prompt; only holes of the form `{{ name }}` are filled";
            self.doc.warn(codes::NO_EFFECT, message, &crate::document::first_line(&template.span));
        }
        let mut holes = Holes::default();
        draft.config.put("template", text(holes.jinja(written), &template.span));
        for hole in &holes.found {
            draft.takes_typed(&hole.variable, &hole.name);
        }
        let inputs = hole_ports(&holes, &template.span);
        let outputs = self.generated(c, GENERATED, None, &mut draft);
        Some(Reading::new(inputs, outputs, draft))
    }

    pub(crate) fn extended_llm_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let plain = self.doc.text(c, "prompt_template").filter(|node| node.as_str() != Some(""));
        let object = c.entry("prompt_template_object");
        if plain.is_some() == object.is_some() {
            let message = format!("`{}` needs either `prompt_template` or `prompt_template_object`", c.name());
            self.doc.error(codes::BAD_COMPONENT, message, c.name_span());
            return None;
        }
        let model = self.doc.needed(c, "llm_config", &LLMS).and_then(|llm| self.model(llm));
        let mut draft = Draft::new("prompt", c);
        if self.doc.flag(c, "send_message", false) {
            draft.config.set_at("send_message", true, c.span_of("send_message"));
        }
        let inputs = match (plain, object) {
            (Some(template), _) => {
                let inputs = self.jinja_inputs(template, &mut draft);
                draft.config.put("template", template.clone());
                inputs
            }
            (None, object) => {
                let prompt = self.doc.component(&object?.value, "prompt_template_object", &PROMPTS)?;
                self.prompt(prompt, &mut draft)
            }
        };
        draft.config.set("model", model?);
        let asked = object.and_then(|entry| self.doc.resolve(&entry.value)?.entry("response_format"));
        let asked = asked.filter(|entry| entry.value.kind != NodeKind::Null);
        let form = asked.and_then(|entry| self.doc.property(self.doc.resolve(&entry.value)?));
        let outputs = self.generated(c, OUTPUT, form, &mut draft);
        Some(Reading::new(inputs?, outputs, draft))
    }

    /// That a field has a value for which there is nothing here.
    pub(crate) fn unsupported_value(&self, c: Component<'a>, field: &str, value: &str) {
        let message = format!("`{field}: {value}` of `{}` is not supported here", c.name());
        self.doc.error(codes::UNSUPPORTED, message, c.span_of(field));
    }

    /// The inputs of a Jinja text; nothing where it does not parse, which is reported.
    pub(crate) fn jinja_inputs(&self, node: &'a Node, draft: &mut Draft) -> Option<Vec<Property>> {
        let written = node.as_str().unwrap_or_default();
        let found = match variables(written) {
            Ok(found) => found,
            Err(error) => {
                let span = node.span_within(error.range.clone());
                let message = format!("the text does not parse: {}", error.message);
                self.doc.error(codes::WRONG_FIELD, message, &crate::document::first_line(&span));
                return None;
            }
        };
        let ports = found.into_iter().map(|read| {
            let shape = if read.printed { Shape::string() } else { Shape::any() };
            if !draft.inputs.iter().any(|taken| taken.node == read.name) {
                draft.takes_typed(&read.name, &read.name);
            }
            let port = Property::new(&read.name, shape, &node.span);
            if read.optional { port.or("") } else { port }
        });
        Some(ports.collect())
    }

    /// The outputs of a prompt: one text is the reply as it comes, all else has a form that the model is asked for.
    fn generated(
        &self,
        c: Component<'a>,
        usual: &str,
        asked: Option<Property>,
        draft: &mut Draft,
    ) -> Vec<Property> {
        let declared = self.inner_outputs(c).or_else(|| asked.map(|asked| vec![asked]));
        let outputs = declared.unwrap_or_else(|| vec![Property::new(usual, Shape::string(), &c.span.clone())]);
        let own = |key: &str| c.own("config").is_some_and(|config| config.get(key).is_some());
        match outputs.as_slice() {
            _ if own("fields") => {}
            [only] if only.shape == Shape::string() || own("output_schema") => {
                draft.gives(OUTPUT, &only.title);
            }
            [] => {}
            // The reply is the object itself, as `WayFlow` asks for it.
            [only] if matches!(only.shape.form, Form::Object { .. }) && only.default.is_none() => {
                draft.config.set("output_schema", form(only));
                draft.gives(OUTPUT, &only.title);
            }
            fields => {
                let forms = fields.iter().map(|field| (field.title.clone(), form(field)));
                draft.config.set("fields", Json::Object(forms.collect()));
            }
        }
        outputs
    }

    /// A prompt template: its messages, and the settings of its call.
    fn prompt(&self, prompt: Component<'a>, draft: &mut Draft) -> Option<Vec<Property>> {
        let own = [
            "messages",
            "inputs",
            "native_tool_calling",
            "response_format",
            "native_structured_generation",
            "strict_output_validation",
            "generation_config",
        ];
        let fields: Vec<&str> = own.iter().chain(EMPTY_ONLY).copied().collect();
        self.doc.known_fields(prompt, &fields);
        for field in EMPTY_ONLY {
            let empty = |node: &Node| node.items().is_some_and(<[Node]>::is_empty);
            if self.doc.get(prompt, field).is_some_and(|node| !empty(node)) {
                let message = format!("`{field}` of `{}` is not supported here", prompt.name());
                self.doc.error(codes::UNSUPPORTED, message, prompt.span_of(field));
            }
        }
        let mut inputs: Option<Vec<Property>> = Some(Vec::new());
        let mut messages = Vec::new();
        for message in self.doc.list(prompt, "messages") {
            if self.doc.resolve(message).is_some_and(stands_for_the_history) {
                match self.history(prompt, message, &messages, draft) {
                    Some(port) => inputs.iter_mut().for_each(|all| all.push(port.clone())),
                    None => inputs = None,
                }
                continue;
            }
            let Some((role, content)) = self.message(prompt, message) else {
                inputs = None;
                continue;
            };
            match self.jinja_inputs(content, draft) {
                None => inputs = None,
                Some(found) => inputs.iter_mut().for_each(|all| {
                    all.extend(
                        found
                            .iter()
                            .filter(|p| crate::property::find(all, &p.title).is_none())
                            .cloned()
                            .collect::<Vec<_>>(),
                    );
                }),
            }
            let entries =
                [("role".to_owned(), text(role, &content.span)), ("content".to_owned(), content.clone())];
            messages.push(mapping(entries, &content.span));
        }
        draft.config.put("messages", Node::new(NodeKind::List(messages), prompt.span_of("messages").clone()));
        for entry in self.doc.map(prompt, "generation_config") {
            self.generation_setting(entry, draft);
        }
        inputs
    }

    /// The input for the conversation so far, which stands behind the instructions.
    fn history(
        &self,
        prompt: Component<'a>,
        at: &'a Node,
        before: &[Node],
        draft: &mut Draft,
    ) -> Option<Property> {
        let instructs = |message: &Node| message.get("role").and_then(Node::as_str) == Some("system");
        let again = draft.inputs.iter().any(|taken| taken.node == HISTORY);
        if again || !before.iter().all(instructs) {
            let what =
                format!("the conversation of `{}` stands once, behind the system's messages alone", prompt.name());
            self.doc.error(codes::UNSUPPORTED, what, &crate::document::first_line(&at.span));
            return None;
        }
        draft.config.set(OUR_HISTORY, true);
        draft.takes(OUR_HISTORY, HISTORY);
        Some(Property::new(HISTORY, Shape::array(Shape::any()), &at.span))
    }

    /// The role and the text of a message.
    fn message(&self, prompt: Component<'a>, message: &'a Node) -> Option<(&'static str, &'a Node)> {
        let message = self.doc.resolve(message)?;
        let role = match message.get("role").or_else(|| message.get("message_type")).and_then(Node::as_str) {
            Some("user" | "USER") => "user",
            Some("system" | "SYSTEM") => "system",
            Some("assistant" | "AGENT" | "agent") => "assistant",
            _ => {
                let what = format!("a message of `{}` is of the user, the system or the assistant", prompt.name());
                self.doc.error(codes::UNSUPPORTED, what, &crate::document::first_line(&message.span));
                return None;
            }
        };
        let contents = message.get("contents").and_then(Node::items).unwrap_or_default();
        let content = match contents {
            [only] if only.get("type").and_then(Node::as_str) == Some("text") => only.get("content"),
            [] => message.get("content"),
            _ => None,
        };
        match content.filter(|content| content.as_str().is_some()) {
            Some(content) => Some((role, content)),
            None => {
                let what = format!("a message of `{}` holds one text and nothing else here", prompt.name());
                self.doc.error(codes::UNSUPPORTED, what, &crate::document::first_line(&message.span));
                None
            }
        }
    }

    fn generation_setting(&self, entry: &'a flowrun_core::node::Entry, draft: &mut Draft) {
        if entry.value.kind == NodeKind::Null {
            return;
        }
        match &*entry.key {
            "max_tokens" | "temperature" | "top_p" | "stop" | "frequency_penalty" => {
                draft.config.put(&entry.key, entry.value.clone());
            }
            "extra_args" if entry.value.entries().is_some_and(<[_]>::is_empty) => {}
            "extra_args" => {
                draft.config.put("extra", entry.value.clone());
            }
            other => {
                let message = format!("a generation has no setting `{other}` here");
                self.doc.error(codes::UNSUPPORTED, message, &entry.key_span);
            }
        }
    }
}

/// Whether a message is empty, as the one is in whose place the conversation so far comes.
fn stands_for_the_history(message: &Node) -> bool {
    let none = |node: Option<&Node>| node.is_none_or(|n| n.kind == NodeKind::Null);
    let empty = |node: Option<&Node>| none(node) || node.and_then(Node::items).is_some_and(<[Node]>::is_empty);
    message.get("role").and_then(Node::as_str) == Some("user")
        && empty(message.get("contents"))
        && none(message.get("content"))
}

/// The form of an output as the model is asked for it.
pub(crate) fn form(output: &Property) -> Json {
    let mut form = schema(&output.shape.to_type());
    if let Some(map) = form.as_object_mut() {
        if let Some(description) = &output.description {
            map.insert("description".into(), json!(description));
        }
        if let Some(default) = output.default.as_ref().and_then(|d| d.to_json().ok()) {
            map.insert("default".into(), default);
        }
    }
    form
}

/// The JSON schema of a type in the words that a `prompt` step takes.
fn schema(of: &Type) -> Json {
    let mut map = Map::new();
    match &of.kind {
        Kind::List(item) => {
            map.insert("type".into(), "array".into());
            map.insert("items".into(), schema(item));
        }
        Kind::Object(fields) => {
            map.insert("type".into(), "object".into());
            if !fields.is_empty() {
                let properties = fields.iter().map(|(name, field)| (name.clone(), schema(field)));
                map.insert("properties".into(), Json::Object(properties.collect()));
            }
        }
        Kind::Union(members) => {
            map.insert("anyOf".into(), members.iter().map(schema).collect());
        }
        _ => {
            let plain = Type::from(of.kind.clone());
            map.insert("type".into(), plain.to_string().into());
        }
    }
    if let Some(values) = &of.one_of {
        map.insert("enum".into(), values.iter().filter_map(|v| v.to_json().ok()).collect());
    }
    Json::Object(map)
}

/// The word for a type, where a word is enough.
pub(crate) fn word(shape: &Shape) -> Option<Json> {
    let scalar = |shape: &Shape| match &shape.form {
        Form::Object { fields, .. } if fields.is_empty() => Some("object".to_owned()),
        Form::Object { .. } | Form::Array(_) | Form::Union(_) => None,
        Form::Own(own) if own.kind == Kind::Table => None,
        _ => Some(shape.to_type().to_string()),
    };
    match &shape.form {
        Form::Array(item) => scalar(item).map(|item| json!([item])),
        Form::Union(members) => match members.as_slice() {
            [one, null] | [null, one] if null.form == Form::Null => {
                scalar(one).map(|one| json!(format!("{one}?")))
            }
            _ => None,
        },
        _ => scalar(&Shape::from(shape.form.clone())).map(Json::from),
    }
}
