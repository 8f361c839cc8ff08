//! [`Program`]: what is started, and the limits under which it works.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flowrun_core::error::StepError;

/// Where programs are looked for when the environment does not say it.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// What is shorter would be found everywhere.
const SHORTEST_SECRET: usize = 4;

/// A program with its arguments, and what it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name or path, and its arguments. No shell reads them.
    pub command: Vec<String>,
    /// The variables of the environment that it gets; no others.
    pub env: Vec<String>,
    /// Variables that it gets besides, with their values.
    pub set_env: BTreeMap<String, String>,
    /// The folder that it works in.
    pub folder: PathBuf,
    /// How many processes work at once, at most.
    pub workers: usize,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Most bytes of a line that it writes.
    pub longest_line: usize,
}

impl Program {
    /// All that can be said against it before it is started: the keys that lead to it, and why.
    pub fn problems(&self) -> Vec<(Vec<String>, String)> {
        let mut wrong = Vec::new();
        for (n, word) in self.command.iter().enumerate().filter(|(_, word)| word.contains('\0')) {
            let path = vec!["command".to_owned(), n.to_string()];
            wrong.push((path, format!("`{}` holds a null character", word.escape_debug())));
        }
        for (n, name) in self.env.iter().enumerate() {
            if name.is_empty() || name.contains(['=', '\0']) {
                let path = vec!["env".to_owned(), n.to_string()];
                wrong.push((path, format!("`{}` is no name of a variable", name.escape_debug())));
            }
        }
        for (name, value) in &self.set_env {
            let path = || vec!["set_env".to_owned(), name.clone()];
            if name.is_empty() || name.contains(['=', '\0']) {
                wrong.push((path(), format!("`{}` is no name of a variable", name.escape_debug())));
            }
            if value.contains('\0') {
                wrong.push((path(), format!("the value of `{}` holds a null character", name.escape_debug())));
            }
        }
        if wrong.is_empty()
            && let Err(why) = self.executable()
        {
            wrong.push((vec!["command".to_owned(), "0".to_owned()], why));
        }
        wrong
    }

    /// The file to execute: a name is looked for where the environment says, a path is relative to the flow's folder.
    pub(super) fn executable(&self) -> Result<PathBuf, String> {
        let Some(name) = self.command.first().filter(|name| !name.is_empty()) else {
            return Err("there is no program to start".to_owned());
        };
        if name.contains(std::path::MAIN_SEPARATOR) {
            let path = self.folder.join(name);
            return if path.is_file() { Ok(path) } else { Err(format!("there is no program `{name}`")) };
        }
        let places = env::var_os("PATH").unwrap_or_else(|| OsString::from(USUAL_PATH));
        let found = env::split_paths(&places).map(|place| place.join(name)).find(|path| is_executable(path));
        found.ok_or_else(|| format!("there is no program `{name}` in the folders of `PATH`"))
    }

    /// The file that says what it does, where it is not one of the system's: the program itself where it is named by a
    /// path, else the first argument that names a file, as in `python3 tool.py`.
    pub fn files(&self) -> Vec<PathBuf> {
        let by_name = self.command.first().is_some_and(|name| !name.contains(std::path::MAIN_SEPARATOR));
        let words = self.command.iter().skip(usize::from(by_name));
        words.map(|word| self.folder.join(word)).find(|path| path.is_file()).into_iter().collect()
    }

    /// The variables that it gets, with their values.
    ///
    /// # Errors
    /// `tool.start` when one is not set.
    pub(super) fn environment(&self) -> Result<Vec<(&str, OsString)>, StepError> {
        fn one<'p>(program: &Program, name: &'p str) -> Result<(&'p str, OsString), StepError> {
            let value = env::var_os(name).ok_or_else(|| {
                let message = format!("the variable `{name}`, which `{}` gets, is not set", program.name());
                StepError::new("tool.start", message).help("set it, or take it out of `env:`")
            })?;
            Ok((name, value))
        }
        let set = self.set_env.iter().map(|(name, value)| Ok((name.as_str(), OsString::from(value))));
        self.env.iter().map(|name| one(self, name)).chain(set).collect()
    }

    /// A text without the values that it was given, which are secrets as often as not.
    pub(crate) fn redact(&self, mut text: String) -> String {
        let inherited = self.env.iter().map(|name| env::var(name).unwrap_or_default());
        for value in inherited.chain(self.set_env.values().cloned()) {
            if value.len() >= SHORTEST_SECRET && text.contains(&value) {
                text = text.replace(&value, "***");
            }
        }
        text
    }

    /// What it is called in messages.
    pub(crate) fn name(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }

    /// All that its processes depend on.
    pub fn key(&self) -> String {
        format!("{self:?}")
    }
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(command: &[&str]) -> Program {
        Program {
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            env: Vec::new(),
            set_env: BTreeMap::new(),
            folder: PathBuf::from("/"),
            workers: 1,
            timeout: Duration::from_secs(5),
            longest_line: 1 << 10,
        }
    }

    #[test]
    fn what_cannot_be_started_is_told_with_its_place() {
        assert_eq!(program(&["cat"]).problems(), []);
        assert_eq!(program(&["bin/cat", "x"]).problems(), []);
        let said = |program: &Program| {
            program
                .problems()
                .into_iter()
                .map(|(path, why)| format!("{}: {why}", path.join(".")))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            said(&program(&["no-such-program"])),
            ["command.0: there is no program `no-such-program` in the folders of `PATH`"]
        );
        assert_eq!(said(&program(&["./no"])), ["command.0: there is no program `./no`"]);
        let named = Program { env: vec!["A=B".to_owned(), String::new()], ..program(&["cat", "a\0b"]) };
        assert_eq!(
            said(&named),
            [
                "command.1: `a\\0b` holds a null character",
                "env.0: `A=B` is no name of a variable",
                "env.1: `` is no name of a variable"
            ]
        );
    }

    #[test]
    fn a_variable_with_its_value_is_given_and_hidden() {
        let set_env = BTreeMap::from([("TOKEN".to_owned(), "very secret".to_owned())]);
        let given = Program { set_env, ..program(&["cat"]) };
        assert_eq!(given.environment().unwrap(), [("TOKEN", OsString::from("very secret"))]);
        assert_eq!(given.redact("a very secret thing".to_owned()), "a *** thing");
        let odd = BTreeMap::from([("A=B".to_owned(), "\0".to_owned())]);
        assert_eq!(Program { set_env: odd, ..program(&["cat"]) }.problems().len(), 2);
    }

    #[test]
    fn a_variable_that_is_not_set_is_an_error() {
        let lacking = Program { env: vec!["FLOWRUN_SURELY_NOT_SET".to_owned()], ..program(&["cat"]) };
        assert_eq!(lacking.environment().unwrap_err().code, "tool.start");
        assert_eq!(lacking.redact("as it is".to_owned()), "as it is");
    }
}
