//! What a person or a program sets before a file is parsed.

use std::fmt;
use std::path::PathBuf;

/// How a file is parsed.
#[derive(Clone)]
pub struct ParseOptions<'a> {
    /// The file as the person named it; diagnostics show it.
    pub source: String,
    /// The folder of the file: what `!file` is relative to and may not leave.
    pub base_dir: PathBuf,
    /// Folders that `!file` may read besides.
    pub allowed_dirs: Vec<PathBuf>,
    /// Looks up an environment variable.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Whether texts stand for themselves: `${NAME}` is no variable and `!file` no file.
    pub plain: bool,
    /// How large the file may be.
    pub limits: Limits,
}

/// The sizes beyond which a file is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file.
    pub text: usize,
    /// Levels of nesting.
    pub depth: usize,
    /// Values of the whole document, with what aliases add.
    pub nodes: usize,
    /// Values that aliases add.
    pub alias_nodes: usize,
    /// Bytes of a file that `!file` names.
    pub inlined: usize,
    /// Levels of flows within flows.
    pub flow_depth: usize,
    /// Problems that are listed.
    pub problems: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            text: 4 << 20,
            depth: 64,
            nodes: 200_000,
            alias_nodes: 50_000,
            inlined: 4 << 20,
            flow_depth: 16,
            problems: 500,
        }
    }
}

impl<'a> ParseOptions<'a> {
    /// Options for a file of this name in this folder, with an empty environment.
    pub fn new(source: impl Into<String>, base_dir: impl Into<PathBuf>) -> Self {
        Self {
            source: source.into(),
            base_dir: base_dir.into(),
            allowed_dirs: Vec::new(),
            env: &|_| None,
            plain: false,
            limits: Limits::default(),
        }
    }

    /// Sets where environment variables are looked up.
    #[must_use]
    pub fn env(mut self, env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        self.env = env;
        self
    }

    /// Takes texts as they stand, without the environment or other files.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.plain = true;
        self
    }

    /// Adds folders that `!file` may read.
    #[must_use]
    pub fn allow(mut self, dirs: impl IntoIterator<Item = PathBuf>) -> Self {
        self.allowed_dirs.extend(dirs);
        self
    }
}

/// Without the environment, which may hold secrets.
impl fmt::Debug for ParseOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParseOptions")
            .field("source", &self.source)
            .field("base_dir", &self.base_dir)
            .field("allowed_dirs", &self.allowed_dirs)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
