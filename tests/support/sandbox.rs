//! The program in a folder of its own, with an environment of its own.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use regex::Regex;
use tempfile::TempDir;

use super::Mock;

/// A file of this repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The YAML files of a folder of this repository, by name.
pub(crate) fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir(repository(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = all.filter(|path| path.extension() == Some(OsStr::new("yaml"))).collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} holds no YAML file");
    files
}

/// Copies a folder with all that is in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_folder(&from, &to);
        } else {
            std::fs::copy(from, to).unwrap();
        }
    }
}

/// A working folder that is gone after the test.
pub(crate) struct Sandbox {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

impl Sandbox {
    /// An empty folder.
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), environment: Vec::new() }
    }

    /// A folder with a copy of this repository's `flows/`.
    pub(crate) fn with_flows() -> Self {
        let sandbox = Self::new();
        copy_folder(&repository("flows"), &sandbox.path("flows"));
        sandbox
    }

    /// Sets a variable of the program's environment, which is empty otherwise.
    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Lets `provider: auto` and `openai` find this server.
    pub(crate) fn models(self, mock: &Mock) -> Self {
        self.env("OPENAI_BASE_URL", mock.base_url()).env("OPENAI_API_KEY", Mock::KEY)
    }

    /// A place in the folder.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and the folders above it.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// The text of a file.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// The records of a JSON or JSONL file.
    pub(crate) fn records(&self, name: &str) -> Vec<serde_json::Value> {
        let text = self.read(name);
        if Path::new(name).extension() == Some(OsStr::new("json")) {
            return serde_json::from_str(&text).unwrap();
        }
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// All files below a folder by their names, with their bytes.
    pub(crate) fn files(&self, below: &str) -> BTreeMap<String, Vec<u8>> {
        let (root, mut folders, mut files) = (self.path(below), vec![self.path(below)], BTreeMap::new());
        while let Some(folder) = folders.pop() {
            // A folder that the program has not made is one without files.
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
                    files.insert(name, std::fs::read(&path).unwrap());
                }
            }
        }
        files
    }

    /// The program with these arguments, about to run in this folder.
    pub(crate) fn command(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flowrun"));
        command.current_dir(self.folder.path()).args(args).stdin(Stdio::null());
        command.env_clear().env("NO_COLOR", "1").env("COLUMNS", "100");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
        Ran::of(&self.command(args).output().unwrap())
    }

    /// Runs the program to an end with exit code 0.
    pub(crate) fn must_run(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran
    }

    /// A text without what differs between machines and runs: this folder, ports and times.
    pub(crate) fn scrub(&self, text: &str) -> String {
        static VARYING: LazyLock<[(Regex, &str); 4]> = LazyLock::new(|| {
            [
                (Regex::new(r"127\.0\.0\.1:\d+").unwrap(), "127.0.0.1:PORT"),
                (Regex::new(r"  run [a-z0-9]{4}  seed").unwrap(), "  run ID  seed"),
                (Regex::new(r"flowrun (resume|retry) [a-z][a-z2-9]{3}\b").unwrap(), "flowrun $1 ID"),
                (Regex::new(r" (in|after) (\d+:\d\d|\d+\.\d s|\d+ ms)").unwrap(), " $1 TIME"),
            ]
        });
        // Where the system's folder for temporary files is a link, paths without links stand in messages too.
        let real = self.folder.path().canonicalize().unwrap();
        let places = [real.as_path(), self.folder.path()];
        let named =
            places.iter().fold(text.to_owned(), |text, place| text.replace(&place.display().to_string(), "DIR"));
        let parent = real.parent().unwrap().display().to_string();
        VARYING.iter().fold(named.replace(&parent, "ABOVE"), |text, (pattern, name)| {
            pattern.replace_all(&text, *name).into_owned()
        })
    }
}

/// What a run of the program gave.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code; none where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(output: &std::process::Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout.clone()).unwrap(),
            stderr: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }

    /// The one JSON object on standard output.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}{}", self.stdout, self.stderr))
    }
}
