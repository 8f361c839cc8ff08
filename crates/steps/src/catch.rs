//! `catch`: runs a flow and goes where its error says.

use flowrun_core::address::FrameKind;
use flowrun_core::compile::{FlowPorts, Scope};
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::{INTERRUPTED, StepError};
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::types::Type;
use flowrun_core::value::Value;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

const CODE: &str = "exception_name";
const MESSAGE: &str = "exception_payload_name";
/// The branch of an error that no entry names.
const REST: &str = "default_exception_branch";

/// Runs a flow in a frame of its own; an error that is named takes a branch and does not end the run. Then all that the
/// flow would have given is null. An error that would come again for every call, such as a refused key, is never
/// caught.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Catch {
    /// The flow, by its name under `flows:`.
    flow: String,
    /// Errors, by code (`extract.missing`) or kind (`model.*`), each with the branch that it takes. A code goes before
    /// a kind, of several kinds the first.
    #[serde(default)]
    except_on: IndexMap<String, String>,
    /// Whether every other error takes the branch `default_exception_branch`.
    #[serde(default, rename = "catch_all")]
    every: bool,
}

/// Whether a text has the form of a code of an error, `extract.missing`, or of a kind, `model.*`.
fn is_pattern(text: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    match text.strip_suffix(".*") {
        Some(kind) => kind.split('.').all(is_word),
        None => text.contains('.') && text.split('.').all(is_word),
    }
}

impl Catch {
    fn check(&self, scope: &Scope<'_>, inner: &FlowPorts) -> Diagnostics {
        let mut wrong = Diagnostics::new();
        if self.except_on.is_empty() && !self.every {
            let message = "`catch` names no error, so it would catch none";
            let help = "name some under `except_on`, or say `catch_all: true`";
            wrong.push(scope.bad(&["except_on"], message).help(help));
        }
        for code in self.except_on.keys().filter(|code| !is_pattern(code)) {
            let message = format!("`{code}` is neither the code of an error nor a kind");
            let help = if code == "*" {
                "for every error, say `catch_all: true`"
            } else {
                "write a code such as `extract.missing`, or a kind such as `model.*`; `flowrun explain` lists them"
            };
            wrong.push(scope.bad_key(&["except_on", code], message).help(help));
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
        if error.fatal || error.code == INTERRUPTED {
            return None;
        }
        let exact = self.except_on.get(&*error.code);
        let by_kind = || self.except_on.iter().find(|(pattern, _)| error.matches(pattern));
        let named = exact.or_else(|| by_kind().map(|(_, branch)| branch));
        named.map(String::as_str).or(self.every.then_some(REST))
    }
}

impl Step for Catch {
    const TYPE: &'static str = "catch";
    const EFFECT: Effect = Effect::Inner;
    const EXAMPLE: &'static str = "attempt:\n  type: catch\n  flow: write_and_judge\n  except_on: { extract.missing: no_text, \"model.*\": no_model }\n  next: { no_text: given_up, no_model: given_up }";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![Port::new("NAME", Type::any()).doc("One for each input of the flow.")],
            outputs: vec![
                Port::new("NAME", Type::any().nullable())
                    .doc("One for each output of the flow; null when an error was caught."),
                Port::new(CODE, Type::string().nullable()).doc("The code of the error that was caught, or null."),
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
        let outputs = inner.outputs.into_iter().map(|p| Port { value_type: p.value_type.nullable(), ..p });
        let own = [CODE, MESSAGE].map(|name| Port::new(name, Type::string().nullable()));
        Ok(Signature::new(inner.inputs, outputs.chain(own).collect()).branches(branches))
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let kind = FrameKind::Flow(self.flow.as_str().into());
        match cx.run_flow(&self.flow, kind, |name| input.get(name).cloned()).await {
            Ok(end) => {
                let outputs = end.outputs.iter().map(|(name, value)| (name.as_ref(), value.clone()));
                let own = [(CODE, Value::Null), (MESSAGE, Value::Null)];
                let outputs: Ports = outputs.chain(own).collect();
                Ok(Outcome::branch(end.name.as_deref().unwrap_or("next"), outputs))
            }
            Err(error) => {
                let Some(branch) = self.branch_of(&error) else { return Err(error) };
                // The outputs of the flow are not given, which makes them null.
                let own = [(CODE, Value::from(&*error.code)), (MESSAGE, Value::from(error.message.as_str()))];
                let outputs: Ports = own.into_iter().collect();
                Ok(Outcome::branch(branch, outputs).note(format!("caught {}", error.code)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_kinds_have_a_form() {
        for good in ["extract.missing", "model.*", "step.missing_input", "mine.a.b", "mine.*", "a.b.*"] {
            assert!(is_pattern(good), "{good}");
        }
        for bad in ["", "*", ".*", "model", "model.", "model.t*", "429", "4.2", "Model.*", "TimeoutError", "a..b"]
        {
            assert!(!is_pattern(bad), "{bad}");
        }
    }

    #[test]
    fn the_code_goes_before_its_kind_and_a_fatal_error_passes() {
        let named = [("test.*", "kind"), ("test.odd", "odd"), ("test.a.*", "late")];
        let named = named.map(|(code, branch)| (code.to_owned(), branch.to_owned()));
        let mut step = Catch { flow: "f".into(), except_on: named.into_iter().collect(), every: false };
        assert_eq!(step.branch_of(&StepError::new("test.odd", "")), Some("odd"));
        assert_eq!(step.branch_of(&StepError::new("test.a.b", "")), Some("kind"));
        assert_eq!(step.branch_of(&StepError::new("other.odd", "")), None);
        assert_eq!(step.branch_of(&StepError::new("test.odd", "").fatal()), None);
        step.every = true;
        assert_eq!(step.branch_of(&StepError::new("other.odd", "")), Some(REST));
        assert_eq!(step.branch_of(&StepError::new("other.odd", "").fatal()), None);
        assert_eq!(step.branch_of(&StepError::new(INTERRUPTED, "")), None);
    }
}
