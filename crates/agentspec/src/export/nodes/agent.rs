//! `agent`: an `AgentNode` around an agent.

use serde_json::{Map, Value as Json, json};

use super::prompt::fields;
use crate::export::Exporter;
use crate::export::node::{NodeOut, StepIn, component, plugged};
use crate::export::properties;
use crate::texts;

/// Keys for which no agent of Agent Spec has a field: it has no task but its instructions.
const MORE: &[&str] = &["template", "chat_history"];

impl Exporter<'_> {
    /// An agent; one that is more than an agent of Agent Spec is a step of our own.
    pub(super) fn agent(&mut self, s: &StepIn<'_>, id: &str) -> NodeOut {
        let structured = s.key("fields").is_some();
        // An agent that declares nothing gives nothing.
        let gives_its_text = !structured && s.is_read("output");
        let more = MORE.iter().any(|key| s.key(key).is_some_and(|node| node.to_value().is_truthy()));
        // Of its instructions, an agent knows the inputs that are printed as they are.
        let printed = |system: &&str| {
            let names = texts::names(system);
            s.step.signature.inputs.iter().all(|port| names.contains(&port.name))
        };
        let system = s.text("system").filter(printed);
        let Some(system) = system.filter(|_| !more && !gives_its_text) else { return self.custom(s) };
        let mut out = NodeOut::core("AgentNode", s);
        for key in MORE {
            out.says(key);
        }
        out.takes_all(s);
        if structured {
            fields(s, &mut out);
        }
        let agent = self.agent_component(s, id, system, &mut out);
        out.field("agent", agent);
        // Reading sets these.
        if s.flag("conversation", false) {
            out.says("conversation");
        } else {
            out.without("conversation");
        }
        if s.flag("send_message", false) {
            out.says("send_message");
        } else if !structured {
            out.without("send_message");
        }
        out
    }

    fn agent_component(&mut self, s: &StepIn<'_>, id: &str, system: &str, out: &mut NodeOut) -> Json {
        let core = texts::core(system);
        let rounds = s.whole("max_iterations");
        let extended = core.is_none() || rounds.is_some();
        let id = self.id(&format!("{id} agent"));
        let kind = if extended { "ExtendedAgent" } else { "Agent" };
        let mut map = component(kind, &id, &s.step.name, s.step.doc.as_deref());
        let inputs = s.step.signature.inputs.iter().map(|port| properties::port(&port.name, port));
        map.insert("inputs".into(), inputs.collect());
        map.insert("outputs".into(), out.outputs_of(s));
        if let Some(model) = s.text("model").and_then(|name| self.model(s.env, name)) {
            map.insert("llm_config".into(), model);
            out.says("model");
        }
        map.insert(
            "system_prompt".into(),
            json!(if extended { system } else { core.as_deref().unwrap_or(system) }),
        );
        map.insert("tools".into(), self.agent_tools(s));
        map.insert("human_in_the_loop".into(), json!(s.flag("ask_user", false)));
        out.says("system").says("tools").says("ask_user");
        if extended {
            Self::extend_agent(s, rounds, &mut map, out);
        }
        Json::Object(map)
    }

    fn agent_tools(&mut self, s: &StepIn<'_>) -> Json {
        let names = s.items("tools").iter().filter_map(|name| name.as_str());
        let mut tools = Vec::new();
        for name in names {
            let found = s.step.tool_definitions().find(|(known, _)| *known == name);
            tools.extend(found.map(|(name, definition)| self.tool(s.env, name, definition)));
        }
        json!(tools)
    }

    /// What an agent of `WayFlow` says besides: its instructions are Jinja, and it ends after some rounds.
    fn extend_agent(s: &StepIn<'_>, rounds: Option<i64>, map: &mut Map<String, Json>, out: &mut NodeOut) {
        map.insert("can_finish_conversation".into(), json!(false));
        if let Some(rounds) = rounds {
            map.insert("max_iterations".into(), json!(rounds));
            out.says("max_iterations");
        }
        map.insert("initial_message".into(), Json::Null);
        let mode = if s.flag("ask_user", false) { "always" } else { "never" };
        map.insert("caller_input_mode".into(), json!(mode));
        plugged(map, "AgentPlugin");
    }
}
