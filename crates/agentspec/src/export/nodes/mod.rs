//! Which node each type of step is.

mod agent;
mod control;
mod custom;
mod http;
mod map;
mod prompt;
mod stores;
mod talk;
mod texts;

pub(crate) use control::KEY;
pub(crate) use http::policy;

use super::Exporter;
use super::node::{NodeOut, StepIn};

impl Exporter<'_> {
    /// The node that a step is, without the edges to it.
    pub(crate) fn step_node(&mut self, s: &StepIn<'_>, id: String) -> NodeOut {
        let mut out = match s.step.step_type {
            "template" => texts::template(s),
            "constant" => texts::constant(s),
            "extract_json" => texts::extract_json(s),
            "regex" => texts::regex(s),
            "read_variable" => texts::read_variable(s),
            "write_variable" => texts::write_variable(s),
            "variables" => texts::variables(s),
            "prompt" => self.prompt(s, &id),
            "choice" => self.choice(s),
            "input_message" => self.input_message(s),
            "output_message" => self.output_message(s),
            "chat_history" => talk::chat_history(s),
            "branch" if s.key("cases").is_some() => control::branch(s),
            "branch" => control::conditions(s),
            "complete" => NodeOut::core("EndNode", s),
            "start" if s.n == 0 && s.step.signature.begins && !leads_back(s) => NodeOut::core("StartNode", s),
            "flow" => self.flow_step(s),
            "catch" => self.catch(s),
            "retry" => self.retry(s),
            "parallel" => self.parallel(s),
            "map" => self.map(s),
            "tool" => self.tool_step(s),
            "http" => self.http(s, &id),
            "datastore_create" => self.datastore(s, "PluginDatastoreCreateNode"),
            "datastore_list" => self.datastore(s, "PluginDatastoreListNode"),
            "datastore_update" => self.datastore(s, "PluginDatastoreUpdateNode"),
            "datastore_delete" => self.datastore(s, "PluginDatastoreDeleteNode"),
            "datastore_query" => self.datastore_query(s),
            "agent" => self.agent(s, &id),
            _ => self.custom(s),
        };
        out.id = id;
        out.retitle();
        out
    }
}

fn leads_back(s: &StepIn<'_>) -> bool {
    !flowrun_core::feeds::Feeds::new(s.flow).before(0).is_empty()
}
