//! Steps that talk with a person.

use serde_json::{Value as Json, json};

use crate::export::Exporter;
use crate::export::flow::is_late;
use crate::export::node::{NodeOut, StepIn};
use crate::nodes::{ROLES, SPEAKERS};
use crate::texts;

impl Exporter<'_> {
    fn rephrase(&mut self, s: &StepIn<'_>, out: &mut NodeOut) {
        if let Some(model) = s.text("rephrase")
            && let Some(config) = self.model(s.env, model)
        {
            out.field("rephrase", true).field("llm_config", config).says("rephrase");
        }
    }

    pub(super) fn input_message(&mut self, s: &StepIn<'_>) -> NodeOut {
        if s.key("template").is_none() {
            let mut out = NodeOut::core("InputMessageNode", s);
            out.gives("user_provided_input", "user_input");
            return out;
        }
        let mut out = NodeOut::plugin("PluginInputMessageNode", s);
        out.same(s, "template", "message_template").takes_all(s).gives_all(s);
        self.rephrase(s, &mut out);
        out
    }

    pub(super) fn output_message(&mut self, s: &StepIn<'_>) -> NodeOut {
        let exposed = s.flag("expose_message_as_output", true);
        let speaker = s.text("message_type").unwrap_or("agent");
        let plain = !exposed && speaker == "agent" && s.key("rephrase").is_none();
        if plain && let Some(text) = s.text("template").and_then(texts::core) {
            let mut out = NodeOut::core("OutputMessageNode", s);
            out.field("message", text).says("template").says("message_type").says("expose_message_as_output");
            out.takes_all(s);
            return out;
        }
        let mut out = NodeOut::plugin("PluginOutputMessageNode", s);
        match s.text("template") {
            Some(text) => out.field("message", text),
            // The text that comes as it is.
            None => out.field("message", "{{ message }}").without("template"),
        };
        let word = SPEAKERS.iter().find(|(_, ours)| *ours == speaker).map_or(speaker, |(theirs, _)| *theirs);
        out.field("message_type", word).field("expose_message_as_output", exposed);
        out.says("template").says("message_type").says("expose_message_as_output").takes_all(s);
        if exposed {
            out.gives_all(s);
        }
        self.rephrase(s, &mut out);
        out
    }
}

pub(super) fn chat_history(s: &StepIn<'_>) -> NodeOut {
    let mut out = NodeOut::plugin("PluginGetChatHistoryNode", s);
    if s.key("n").is_some_and(|n| !is_late(n)) {
        out.same(s, "n", "n");
    }
    out.same(s, "offset", "offset").same(s, "which", "which_messages");
    let own = vec!["user", "agent"];
    let roles: Vec<&str> = match s.key("roles") {
        Some(roles) => roles.items().unwrap_or_default().iter().filter_map(|role| role.as_str()).collect(),
        None => own,
    };
    let words: Option<Vec<&str>> =
        roles.iter().map(|role| ROLES.iter().find(|(_, ours)| ours == role).map(|(theirs, _)| *theirs)).collect();
    // Calls of tools are no messages that `WayFlow` tells apart.
    if let Some(words) = words {
        out.field("message_types", json!(words)).says("roles");
    }
    let messages = s.text("give") == Some("messages");
    out.field("output_template", if messages { Json::Null } else { json!("") }).says("give");
    out.gives_all(s);
    out
}
