//! Nodes that talk with a person: `input_message`, `output_message` and `chat_history` steps.

use flowrun_core::node::{Node, NodeKind};
use serde_json::json;

use super::{Around, Draft, Reading, hole_ports};
use crate::castable::Shape;
use crate::codes;
use crate::component::{Component, LLMS};
use crate::config::text;
use crate::document::first_line;
use crate::import::Importer;
use crate::property::Property;
use crate::texts::Holes;

/// What a person wrote, by its name here.
const ANSWER: &str = "user_provided_input";
const SAID: &str = "output_message";
const HISTORY: &str = "chat_history";

/// Whose message it is, in `WayFlow` and here.
pub(crate) const SPEAKERS: &[(&str, &str)] =
    &[("AGENT", "agent"), ("SYSTEM", "system"), ("THOUGHT", "thought"), ("DISPLAY_ONLY", "display_only")];

/// Messages that a history may hold, in `WayFlow` and here.
pub(crate) const ROLES: &[(&str, &str)] = &[
    ("USER", "user"),
    ("AGENT", "agent"),
    ("SYSTEM", "system"),
    ("THOUGHT", "thought"),
    ("DISPLAY_ONLY", "display_only"),
];

fn word(known: &[(&str, &'static str)], written: &str) -> Option<&'static str> {
    known.iter().find(|(theirs, ours)| *theirs == written || *ours == written).map(|(_, ours)| *ours)
}

impl<'a> Importer<'a> {
    pub(crate) fn input_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let mut draft = Draft::new("input_message", c);
        let inputs = self.core_message(c, "message", &mut draft)?;
        Some(self.answer(c, "user_input", inputs, draft))
    }

    pub(crate) fn plugin_input_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let mut draft = Draft::new("input_message", c);
        let mut inputs = Vec::new();
        if let Some(template) = self.doc.text(c, "message_template") {
            inputs = self.jinja_inputs(template, &mut draft)?;
            draft.config.put("template", template.clone());
        }
        self.rephrase(c, &mut draft)?;
        Some(self.answer(c, ANSWER, inputs, draft))
    }

    /// The one output of a question, whatever its name.
    fn answer(&self, c: Component<'a>, usual: &str, inputs: Vec<Property>, mut draft: Draft) -> Reading {
        let declared = self.doc.properties(c, "outputs").unwrap_or_default();
        let renamed = self.doc.texts(c, "output_mapping");
        let name = match (declared.as_slice(), renamed.as_slice()) {
            ([only], []) => only.title.as_str(),
            _ => usual,
        };
        draft.gives(ANSWER, name);
        Reading::new(inputs, vec![Property::new(name, Shape::string(), c.span)], draft)
    }

    pub(crate) fn output_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        self.doc.needed_text(c, "message")?;
        let mut draft = Draft::new("output_message", c);
        let inputs = self.core_message(c, "message", &mut draft)?;
        draft.config.set("expose_message_as_output", false);
        Some(Reading::new(inputs, Vec::new(), draft))
    }

    /// A text with the holes of core nodes.
    fn core_message(&self, c: Component<'a>, field: &str, draft: &mut Draft) -> Option<Vec<Property>> {
        let Some(message) = self.doc.text(c, field) else { return c.entry(field).is_none().then(Vec::new) };
        let mut holes = Holes::default();
        draft.config.put("template", text(holes.jinja(message.as_str().unwrap_or_default()), &message.span));
        for hole in &holes.found {
            draft.takes_typed(&hole.variable, &hole.name);
        }
        Some(hole_ports(&holes, &message.span))
    }

    pub(crate) fn plugin_output_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let field = if c.entry("message").is_some() { "message" } else { "message_template" };
        let template = self.doc.needed_text(c, field)?;
        let mut draft = Draft::new("output_message", c);
        let inputs = self.jinja_inputs(template, &mut draft)?;
        draft.config.put("template", template.clone());
        if let Some(kind) = self.doc.text(c, "message_type") {
            let written = kind.as_str().unwrap_or_default();
            let Some(speaker) = word(SPEAKERS, written) else {
                self.unsupported_value(c, "message_type", written);
                return None;
            };
            draft.config.set_at("message_type", speaker, &kind.span);
        }
        self.rephrase(c, &mut draft)?;
        let exposed = self.doc.flag(c, "expose_message_as_output", true);
        draft.config.set("expose_message_as_output", exposed);
        if !exposed {
            return Some(Reading::new(inputs, Vec::new(), draft));
        }
        let declared = self.doc.properties(c, "outputs").unwrap_or_default();
        let name = match declared.as_slice() {
            [only] if self.doc.texts(c, "output_mapping").is_empty() => only.title.as_str(),
            _ => SAID,
        };
        draft.gives(SAID, name);
        Some(Reading::new(inputs, vec![Property::new(name, Shape::string(), c.span)], draft))
    }

    fn rephrase(&self, c: Component<'a>, draft: &mut Draft) -> Option<()> {
        if self.doc.flag(c, "rephrase", false) {
            let model = self.doc.needed(c, "llm_config", &LLMS).and_then(|llm| self.model(llm))?;
            draft.config.set_at("rephrase", model, c.span_of("rephrase"));
        }
        Some(())
    }

    pub(crate) fn history_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let mut draft = Draft::new("chat_history", c);
        for field in ["n", "offset"] {
            if let Some(number) = self.doc.whole(c, field, 0, i64::from(u32::MAX)) {
                draft.config.set_at(field, number, c.span_of(field));
            }
        }
        if let Some(which) = self.doc.text(c, "which_messages") {
            match which.as_str().unwrap_or_default() {
                "last" | "last_messages" => draft.config.set_at("which", "last", &which.span),
                "first" | "first_messages" => draft.config.set_at("which", "first", &which.span),
                other => {
                    self.unsupported_value(c, "which_messages", other);
                    return None;
                }
            };
        }
        self.roles(c, &mut draft)?;
        let shape = match c.node.get("output_template").map(|n| (&n.kind, n)) {
            Some((NodeKind::Null, _)) => {
                draft.config.set("give", "messages");
                Shape::array(Shape::object())
            }
            Some((NodeKind::String(written), node)) if !written.is_empty() => {
                let message = format!("`output_template` of `{}` is not supported here", c.name());
                let wrong = flowrun_core::diagnostics::Diagnostic::error(
                    codes::UNSUPPORTED,
                    message,
                    &first_line(&node.span),
                );
                self.doc.report(wrong.help("leave it empty for a line for each message, or null for the list"));
                return None;
            }
            _ => Shape::string(),
        };
        Some(Reading::new(Vec::new(), vec![Property::new(HISTORY, shape, c.span)], draft))
    }

    fn roles(&self, c: Component<'a>, draft: &mut Draft) -> Option<()> {
        let all = || ROLES.iter().map(|(_, ours)| *ours).collect::<Vec<_>>();
        let roles = match c.node.get("message_types") {
            None => return Some(()),
            Some(Node { kind: NodeKind::Null, .. }) => all(),
            Some(_) => {
                let mut roles = Vec::new();
                for item in self.doc.list(c, "message_types") {
                    let written = item.as_str().unwrap_or_default();
                    let Some(role) = word(ROLES, written) else {
                        self.unsupported_value(c, "message_types", written);
                        return None;
                    };
                    roles.push(role);
                }
                roles
            }
        };
        draft.config.set_at("roles", json!(roles), c.span_of("message_types"));
        Some(())
    }
}
