//! `catch`: runs a flow and goes where its error says.

use flowrun_core::address::FrameKind;
use flowrun_core::cast::cast;
use flowrun_core::compile::{FlowPorts, Scope};
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::types::Type;
use flowrun_core::value::Value;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::error_name::{ErrorName, class_of};

const CODE: &str = "exception_name";
const MESSAGE: &str = "exception_payload_name";
/// The branch of an error that no entry names.
const REST: &str = "default_exception_branch";

/// Runs a flow in a frame of its own; an error that is named takes a branch and does not end the run. Then all that the
/// flow would have given is null, or with `keep` what it had given by then. An error that would come again for every call,
/// such as a refused key, is never caught.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Catch {
    /// The flow, by its name under `flows:`.
    flow: String,
    /// Errors, by code (`extract.missing`), status of HTTP (`429`, `5xx`), kind (`model.*`) or the class that a tool
    /// says (`ValueError`), each with the branch that it takes. The class of a tool goes before a code, a code before a
    /// status, a status before a class of them, and that before a kind; of several kinds the first.
    #[serde(default)]
    except_on: IndexMap<String, String>,
    /// Whether every other error takes the branch `default_exception_branch`.
    #[serde(default, rename = "catch_all")]
    every: bool,
    /// Whether what the flow had given before the error is given all the same; else it is null.
    #[serde(default)]
    keep: bool,
    /// Whether `exception_name` is the class that a tool says (`ValueError`), where it says one, and not the code.
    #[serde(default)]
    class_names: bool,
    /// What outputs are in the place of null: the flow's where an error was caught, the step's own two where none was.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, serde_json::Value>")]
    defaults: IndexMap<String, Value>,
}

impl Catch {
    fn check(&self, scope: &Scope<'_>, inner: &FlowPorts) -> Diagnostics {
        let mut wrong = Diagnostics::new();
        if self.except_on.is_empty() && !self.every {
            let message = "`catch` names no error, so it would catch none";
            let help = "name some under `except_on`, or say `catch_all: true`";
            wrong.push(scope.bad(&["except_on"], message).help(help));
        }
        for code in self.except_on.keys() {
            if let Some(name) = ErrorName::parse(code) {
                name.check(scope, &["except_on", code]);
                continue;
            }
            let message = format!("`{code}` names no error");
            let help = if code == "*" { "for every error, say `catch_all: true`" } else { ErrorName::FORMS };
            wrong.push(scope.bad_key(&["except_on", code], message).help(help));
        }
        for (name, default) in &self.defaults {
            let own = [CODE, MESSAGE].contains(&name.as_str()).then(Type::string);
            let known = || inner.outputs.iter().map(|p| p.name.as_str());
            let of = own.or_else(|| inner.outputs.iter().find(|p| p.name == *name).map(|p| p.value_type.clone()));
            match of {
                None => {
                    let message = format!("the flow `{}` gives no `{name}`", self.flow);
                    wrong.push(scope.bad_key(&["defaults", name], message).suggest(name, known()));
                }
                Some(of) => {
                    if let Err(why) = cast(default.clone(), &of.nullable()) {
                        let message = format!("the default of `{name}` does not fit: {why}");
                        wrong.push(scope.bad(&["defaults", name], message));
                    }
                }
            }
        }
        for name in [CODE, MESSAGE] {
            if inner.outputs.iter().any(|p| p.name == name) {
                let message =
                    format!("the flow `{}` gives `{name}`, which is a name of the step's own", self.flow);
                wrong.push(scope.bad(&["flow"], message).help("rename the output in the flow"));
            }
        }
        wrong
    }

    /// The branch that an error takes; none where it is not caught.
    fn branch_of(&self, error: &StepError) -> Option<&str> {
        if error.fatal || error.is_stop() {
            return None;
        }
        let names = self.except_on.iter().filter_map(|(name, branch)| Some((ErrorName::parse(name)?, branch)));
        let named = names.filter(|(name, _)| name.names(error)).min_by_key(|(name, _)| name.exactness());
        named.map(|(_, branch)| branch.as_str()).or(self.every.then_some(REST))
    }

    /// What an error comes to; outputs that are not among `given` become null.
    fn caught(&self, error: StepError, given: &Ports) -> Result<Outcome<Ports>, StepError> {
        let Some(branch) = self.branch_of(&error) else { return Err(error) };
        let absent = self.defaults.iter().filter(|(name, _)| given.get(name).is_none() && !is_own(name));
        let absent = absent.map(|(name, value)| (name.as_str(), value.clone()));
        let given = given.iter().map(|(name, value)| (name.as_ref(), value.clone()));
        let class = class_of(&error).filter(|_| self.class_names);
        let name = class.unwrap_or(&error.code);
        let own = [(CODE, Value::from(name)), (MESSAGE, Value::from(error.message.as_str()))];
        let outputs: Ports = given.chain(absent).chain(own).collect();
        Ok(Outcome::branch(branch, outputs).note(format!("caught {}", error.code)))
    }
}

fn is_own(name: &str) -> bool {
    name == CODE || name == MESSAGE
}

impl Step for Catch {
    const TYPE: &'static str = "catch";
    const EFFECT: Effect = Effect::Inner;
    const EXAMPLE: &'static str = "attempt:\n  type: catch\n  flow: write_and_judge\n  except_on: { extract.missing: no_text, 429: too_fast, \"model.*\": no_model }\n  next: { no_text: given_up, too_fast: later, no_model: given_up }";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![Port::new("NAME", Type::any()).doc("One for each input of the flow.")],
            outputs: vec![
                Port::new("NAME", Type::any().nullable())
                    .doc("One for each output of the flow; when an error was caught null, or with `keep` what it had given."),
                Port::new(CODE, Type::string().nullable())
                    .doc("The code of the error that was caught, with `class_names` the class that a tool says; or null."),
                Port::new(MESSAGE, Type::string().nullable()).doc("Its message, or null."),
            ],
            branches: vec![
                "next".into(),
                "END: each `complete` step of the flow".into(),
                "BRANCH: each named in `except_on`".into(),
                format!("{REST}: with `catch_all`"),
            ],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let inner = scope.flow(&self.flow, &["flow"])?;
        self.check(scope, &inner).into_result()?;
        let mut branches = inner.branches();
        let named = self.except_on.values().map(String::as_str);
        for branch in named.chain(self.every.then_some(REST)) {
            if !branches.iter().any(|b| b == branch) {
                branches.push(branch.to_owned());
            }
        }
        // What has a default that is none is never null.
        let filled = |name: &str| self.defaults.get(name).is_some_and(|default| !default.is_null());
        let typed = |name: &str, of: Type| if filled(name) { of } else { of.nullable() };
        let outputs = inner.outputs.into_iter().map(|p| Port { value_type: typed(&p.name, p.value_type), ..p });
        let own = [CODE, MESSAGE].map(|name| Port::new(name, typed(name, Type::string())));
        Ok(Signature::new(inner.inputs, outputs.chain(own).collect()).branches(branches))
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let kind = FrameKind::Flow(self.flow.as_str().into());
        let flow = match cx.flow_run(&self.flow, kind, |name| input.get(name).cloned()) {
            Ok(flow) => flow,
            Err(error) => return self.caught(error, &Ports::empty()),
        };
        // What a flow has given costs a look at its slots, so it is asked for only where it is wanted.
        let (end, given) = if self.keep { flow.run_keeping().await } else { (flow.run().await, Ports::empty()) };
        match end {
            Ok(end) => {
                let outputs = end.outputs.iter().map(|(name, value)| (name.as_ref(), value.clone()));
                let own = [CODE, MESSAGE].map(|name| (name, self.defaults.get(name).cloned().unwrap_or_default()));
                let outputs: Ports = outputs.chain(own).collect();
                Ok(Outcome::branch(end.name.as_deref().unwrap_or("next"), outputs))
            }
            Err(error) => self.caught(error, &given),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowrun_core::error::INTERRUPTED;

    #[test]
    fn the_code_goes_before_its_kind_and_a_fatal_error_passes() {
        let named = [("test.*", "kind"), ("test.odd", "odd"), ("test.a.*", "late")];
        let named = named.map(|(code, branch)| (code.to_owned(), branch.to_owned()));
        let mut step = Catch {
            flow: "f".into(),
            except_on: named.into_iter().collect(),
            every: false,
            keep: false,
            class_names: false,
            defaults: IndexMap::new(),
        };
        assert_eq!(step.branch_of(&StepError::new("test.odd", "")), Some("odd"));
        assert_eq!(step.branch_of(&StepError::new("test.a.b", "")), Some("kind"));
        assert_eq!(step.branch_of(&StepError::new("other.odd", "")), None);
        assert_eq!(step.branch_of(&StepError::new("test.odd", "").fatal()), None);
        let named = [("test.*", "kind"), ("4xx", "class"), ("429", "fast")];
        step.except_on = named.map(|(code, branch)| (code.to_owned(), branch.to_owned())).into_iter().collect();
        let answered = |status: &str| StepError::new("test.odd", "").detail("status", status);
        let taken = ["429", "404", "503"].map(|status| step.branch_of(&answered(status)));
        assert_eq!(taken, [Some("fast"), Some("class"), Some("kind")], "the more exact one");
        step.every = true;
        assert_eq!(step.branch_of(&StepError::new("other.odd", "")), Some(REST));
        assert_eq!(step.branch_of(&StepError::new("other.odd", "").fatal()), None);
        assert_eq!(step.branch_of(&StepError::new(INTERRUPTED, "")), None);
    }
}
