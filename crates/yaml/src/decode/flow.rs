//! A flow: the whole file, or a subflow.

use std::path::PathBuf;
use std::time::Duration;

use flowrun_core::diagnostics::{Diagnostic, Spanned};
use flowrun_core::node::{Entry, Node, NodeKind};
use flowrun_core::spec::{DefinitionSpec, FlowSpec, LimitsSpec, OutputSpec, Reference};

use super::{Decoder, Key, get, key, wrong_kind};
use crate::codes;
use crate::problems::{first_line, quoted, suggest};
use crate::tree;

/// The keys of a flow.
pub(crate) const FLOW_KEYS: &[Key] = &[
    key("flow", "The name of the flow. Without it, the name of the file."),
    key("description", "What the flow is for."),
    key("seed", "The input that gives the run's seed, such as `inputs.seed`. Without it, `--seed` does."),
    key("inputs", "What the flow takes in: a name and a type for each input."),
    key("outputs", "What the flow gives: a name and a wire for each output."),
    key(
        "variables",
        "Values that steps write while the flow runs: a name and a type for each. Each visit of the flow has its own.",
    ),
    key(
        "context",
        "Values for inputs that nothing else gives: under each name a constant, or the flow or tool that gives it.",
    ),
    key("models", "Models by name. All flows below see them."),
    key(
        "tools",
        "Tools by name: what steps call by a name, with arguments and results. All flows below see them.",
    ),
    key("datastores", "Datastores by name, each with its collections of rows. All flows below see them."),
    key("limits", "Bounds on what one visit of the flow may do."),
    key("wiring", "Whether names wire the inputs of steps (`by_name`, the default) or `with` alone (`explicit`)."),
    key("steps", "The steps by name. They run in the order written, unless `next` says otherwise."),
    key("flows", "Subflows by name: the same shape as the whole. All flows below see them."),
];

/// Keys that only the top flow has.
pub(crate) const TOP_KEYS: &[&str] = &["flow", "seed"];

/// The keys of `limits`.
pub(crate) const LIMIT_KEYS: &[Key] = &[
    key("max_steps", "How many steps one visit of the flow may take, 10,000 unless said otherwise."),
    key("max_calls", "How many calls of models one visit may make, those of flows below it included."),
    key(
        "max_tokens",
        "How many tokens, of prompts and replies, one visit may use; calls in flight are finished, so it may become more.",
    ),
    key(
        "timeout",
        "Seconds that one visit may take. At the top what is in flight is finished then, and the run can be resumed.",
    ),
    key("step_timeout", "Seconds that each step of the flow may take, with all below it."),
];

/// The longest time, in seconds: a year.
const LONGEST: f64 = 365.0 * 86400.0;

impl Decoder<'_> {
    /// The flow of a file; `stem` is its name where it has none.
    pub(super) fn top(&mut self, node: &Node, stem: &str) -> FlowSpec {
        let Some(entries) = node.entries() else {
            if node.kind == NodeKind::Null {
                self.push(tree::empty(&node.span));
                return FlowSpec::new(stem);
            }
            let message =
                format!("a flow file is a mapping, not a {}", node.type_name()).replace("a integer", "an integer");
            self.push(
                Diagnostic::error(codes::WRONG_KIND, message, &first_line(&node.span))
                    .help("begin with `flow: NAME`, and put the steps under `steps:`"),
            );
            return FlowSpec::new(stem);
        };
        let name = get(entries, "flow").and_then(|entry| self.string(entry));
        if let Some(name) = &name {
            self.check_name("flow", &name.value, &name.span);
        }
        let span = first_line(&node.span);
        let name = name.unwrap_or_else(|| Spanned::new(stem.to_owned(), span));
        let seed = get(entries, "seed").and_then(|entry| self.seed(entry));
        FlowSpec { seed, ..self.flow(node, entries, name, 0) }
    }

    fn flow(&mut self, node: &Node, entries: &[Entry], name: Spanned<String>, depth: usize) -> FlowSpec {
        let place = if depth == 0 { "the flow".to_owned() } else { format!("flow {}", quoted(&name.value)) };
        self.flow_keys(entries, &place, depth == 0);
        if get(entries, "steps").is_none() {
            let help = "write `steps: { name: { type: … } }`, each step under its name";
            self.missing("steps", &place, if depth == 0 { &node.span } else { &name.span }, help);
        }
        FlowSpec {
            description: get(entries, "description").and_then(|e| self.string(e)).map(|text| text.value),
            seed: None,
            inputs: get(entries, "inputs").and_then(|e| self.inputs(e)),
            outputs: get(entries, "outputs").and_then(|e| self.outputs(e)),
            variables: get(entries, "variables").map(|e| self.variables(e)).unwrap_or_default(),
            context: get(entries, "context").map(|e| self.context(e)).unwrap_or_default(),
            models: get(entries, "models").map(|e| self.models(e)).unwrap_or_default(),
            datastores: get(entries, "datastores").map(|e| self.datastores(e)).unwrap_or_default(),
            tools: get(entries, "tools").map(|e| self.tools(e)).unwrap_or_default(),
            limits: get(entries, "limits").and_then(|e| self.limits_of(e)).unwrap_or_default(),
            wiring: get(entries, "wiring").and_then(|e| self.wiring(e)).unwrap_or_default(),
            steps: get(entries, "steps").map(|e| self.steps(e)).unwrap_or_default(),
            flows: get(entries, "flows").map(|e| self.flows(e, depth + 1)).unwrap_or_default(),
            folder: PathBuf::new(),
            span: first_line(&node.span),
            name,
        }
    }

    fn flow_keys(&mut self, entries: &[Entry], place: &str, is_top: bool) {
        for entry in entries {
            let name = &*entry.key;
            if !is_top && TOP_KEYS.contains(&name) {
                let message = format!("{} stands only at the top of the file, not in {place}", quoted(name));
                let problem = Diagnostic::error(codes::UNKNOWN_KEY, message, &entry.key_span);
                self.push(match name {
                    "flow" => problem.help("the name of a subflow is its key under `flows`"),
                    _ => problem.help("the seed is the run's; take it out"),
                });
            } else if !FLOW_KEYS.iter().any(|k| k.name == name) {
                let known = FLOW_KEYS.iter().map(|k| k.name).filter(|k| is_top || !TOP_KEYS.contains(k));
                self.push(suggest(super::unknown(name, place, &entry.key_span), name, known));
            }
        }
    }

    fn seed(&mut self, entry: &Entry) -> Option<Spanned<Reference>> {
        let help = "write `seed: inputs.NAME`; for a fixed seed give that input a default, or run with `--seed N`";
        let reference = self.reference("seed", &entry.value, help)?;
        if !matches!(reference, Reference::Input(_)) {
            let problem = wrong_kind("seed", "an input of the flow", &entry.value);
            self.push(problem.help(help));
            return None;
        }
        Some(Spanned::new(reference, entry.value.span.clone()))
    }

    fn outputs(&mut self, entry: &Entry) -> Option<Vec<OutputSpec>> {
        let wires = self.wires("output", entry)?;
        Some(wires.into_iter().map(|(name, wire)| OutputSpec { name, wire }).collect())
    }

    fn models(&mut self, entry: &Entry) -> Vec<DefinitionSpec> {
        let help = "write `models: { name: { provider: …, model: … } }`";
        let Some(entries) = self.entries("models", &entry.value, help) else {
            return Vec::new();
        };
        let mut models = Vec::with_capacity(entries.len());
        for entry in entries {
            let name = self.name("model", entry);
            if self.entries(&entry.key, &entry.value, help).is_some() {
                models.push(DefinitionSpec { name, config: entry.value.clone() });
            }
        }
        models
    }

    fn limits_of(&mut self, entry: &Entry) -> Option<LimitsSpec> {
        let entries = self.entries("limits", &entry.value, "write `limits: { max_steps: 10000 }`")?;
        self.known_keys(entries, LIMIT_KEYS, "`limits`", None);
        Some(LimitsSpec {
            max_steps: self.count_of(entries, "max_steps"),
            max_calls: self.count_of(entries, "max_calls"),
            max_tokens: self.count_of(entries, "max_tokens"),
            timeout: self.seconds_of(entries, "timeout"),
            step_timeout: self.seconds_of(entries, "step_timeout"),
        })
    }

    fn count_of(&mut self, entries: &[Entry], name: &'static str) -> Option<u64> {
        let entry = get(entries, name)?;
        let found = match entry.value.kind {
            NodeKind::Int(number) => u64::try_from(number).ok().filter(|n| *n > 0),
            _ => None,
        };
        if found.is_none() {
            self.push(wrong_kind(name, "a number from 1 on", &entry.value));
        }
        found
    }

    fn seconds_of(&mut self, entries: &[Entry], name: &'static str) -> Option<Duration> {
        let entry = get(entries, name)?;
        let seconds = match entry.value.kind {
            #[expect(clippy::cast_precision_loss, reason = "a time of people")]
            NodeKind::Int(number) => number as f64,
            NodeKind::Float(number) => number,
            _ => f64::NAN,
        };
        let found = (seconds > 0.0 && seconds <= LONGEST).then(|| Duration::from_secs_f64(seconds));
        if found.is_none() {
            self.push(wrong_kind(name, "a number of seconds above 0, at most a year", &entry.value));
        }
        found
    }

    fn flows(&mut self, entry: &Entry, depth: usize) -> Vec<(Spanned<String>, FlowSpec)> {
        if depth > self.limits.flow_depth {
            let message = "flows are nested too deeply in each other";
            let help = format!("at most {} levels; a flow sees all flows above it", self.limits.flow_depth);
            self.push(Diagnostic::error(codes::OVER_LIMIT, message, &entry.key_span).help(help));
            return Vec::new();
        }
        let help = "write `flows: { name: { steps: … } }`";
        let Some(entries) = self.entries("flows", &entry.value, help) else {
            return Vec::new();
        };
        let mut flows = Vec::with_capacity(entries.len());
        for entry in entries {
            let name = self.name("flow", entry);
            if let Some(entries) = self.entries(&entry.key, &entry.value, "a flow has `steps`") {
                let flow = self.flow(&entry.value, entries, name.clone(), depth);
                flows.push((name, flow));
            }
        }
        flows
    }
}
