//! Steps that neither Agent Spec nor `WayFlow` has.

use flowrun_core::diagnostics::Diagnostic;
use serde_json::{Map, Value as Json};

use crate::codes;
use crate::component::article;
use crate::export::node::{NodeOut, StepIn};
use crate::export::{CUSTOM_NODE, Exporter};

impl Exporter<'_> {
    /// A step of our own: a component of our own where these are wanted, else an error.
    pub(super) fn custom(&mut self, s: &StepIn<'_>) -> NodeOut {
        let kind = s.step.step_type;
        if !self.options.keep_custom {
            let message = format!(
                "`{}` is {} `{kind}`, which neither Agent Spec nor WayFlow has",
                self.place(),
                article(kind)
            );
            let wrong = Diagnostic::error(codes::OWN_STEP, message, &s.spec.step_type.span);
            self.report(wrong.help("`--keep-custom` carries such steps as components that flowrun alone reads"));
        }
        let mut out = NodeOut::custom(CUSTOM_NODE, s);
        out.field("step_type", kind).gives_all(s);
        // What the step wires itself stays so.
        for port in s.step.signature.inputs.iter().filter(|port| port.wired.is_none()) {
            out.takes(&port.name, &port.name);
        }
        let mut models = Map::new();
        for name in s.step.model_names() {
            models.extend(self.model(s.env, name).map(|model| (name.to_owned(), model)));
        }
        let mut stores = Map::new();
        for name in s.step.datastore_names() {
            stores.extend(self.store(s.env, name).map(|store| (name.to_owned(), store)));
        }
        let mut tools = Map::new();
        for (name, tool) in s.step.tool_definitions() {
            tools.insert(name.to_owned(), self.tool(s.env, name, tool));
        }
        let mut flows = Map::new();
        for (name, flow) in &s.step.flows {
            if let Some(around) = s.env.flow(name) {
                flows.insert(name.clone(), self.flow(&around, flow));
            }
        }
        for (field, all) in [("models", models), ("datastores", stores), ("tools", tools), ("flows", flows)] {
            if !all.is_empty() {
                out.field(field, Json::Object(all));
            }
        }
        out
    }
}
