//! `!file PATH`: the text of a file in place of a scalar.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flowrun_core::diagnostics::Source;

use crate::options::ParseOptions;
use crate::problems::{quoted, size};

/// A file that a flow took in by `!file`.
#[derive(Clone, Debug)]
pub struct InlinedFile {
    /// Where it was read, with symbolic links resolved.
    pub path: PathBuf,
    /// Its text, under the name that diagnostics show.
    pub source: Arc<Source>,
}

/// Why a file was not taken in: what is wrong, and what to do.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) message: String,
    pub(super) help: String,
}

/// A file's text, once as a source and once as a value.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) source: Arc<Source>,
    pub(super) value: Arc<str>,
}

/// Reads the files that a flow takes in, each once.
pub(super) struct Files<'a> {
    options: &'a ParseOptions<'a>,
    /// The folders that may be read, with symbolic links resolved; made when the first file is asked for.
    roots: Option<Vec<PathBuf>>,
    by_path: HashMap<PathBuf, Text>,
    pub(super) read: Vec<InlinedFile>,
}

impl<'a> Files<'a> {
    pub(super) fn new(options: &'a ParseOptions<'a>) -> Self {
        Self { options, roots: None, by_path: HashMap::new(), read: Vec::new() }
    }

    /// The text of the file at `path`, relative to the flow's folder. Messages show the path as `written`, without
    /// what the environment put into it.
    pub(super) fn get(&mut self, path: &str, written: &str) -> Result<Text, Refusal> {
        if path.trim().is_empty() {
            return Err(refusal("`!file` names no file", "write `!file PATH`, relative to this file"));
        }
        let wanted = self.options.base_dir.join(path);
        let real = wanted.canonicalize().map_err(|e| unreadable(written, &e))?;
        if !self.roots().iter().any(|root| real.starts_with(root)) {
            return Err(refusal(
                format!("the file {} lies outside of the flow's folder", quoted(written)),
                "move it there, or allow its folder with `--allow-path DIR`",
            ));
        }
        if let Some(text) = self.by_path.get(&real) {
            return Ok(text.clone());
        }
        let content = self.read(written, &real)?;
        let name = match Path::new(&self.options.source).parent() {
            Some(folder) => folder.join(path).display().to_string(),
            None => path.to_owned(),
        };
        let text = Text { value: content.as_str().into(), source: Source::new(name, content) };
        self.read.push(InlinedFile { path: real.clone(), source: Arc::clone(&text.source) });
        self.by_path.insert(real, text.clone());
        Ok(text)
    }

    fn roots(&mut self) -> &[PathBuf] {
        let options = self.options;
        self.roots.get_or_insert_with(|| {
            let here =
                if options.base_dir.as_os_str().is_empty() { Path::new(".") } else { options.base_dir.as_path() };
            let allowed = options.allowed_dirs.iter().map(PathBuf::as_path);
            // A folder that does not exist holds no file that could be read.
            std::iter::once(here).chain(allowed).filter_map(|dir| dir.canonicalize().ok()).collect()
        })
    }

    fn read(&self, written: &str, real: &Path) -> Result<String, Refusal> {
        let limit = self.options.limits.inlined;
        let is_file = real.metadata().map_err(|e| unreadable(written, &e))?.is_file();
        if !is_file {
            return Err(refusal(format!("{} is no file", quoted(written)), "`!file` takes in a text file"));
        }
        let mut bytes = Vec::new();
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let file = File::open(real).map_err(|e| unreadable(written, &e))?;
        file.take(most).read_to_end(&mut bytes).map_err(|e| unreadable(written, &e))?;
        if bytes.len() > limit {
            return Err(refusal(
                format!("the file {} is larger than {}", quoted(written), size(limit)),
                "`!file` is for prompts and other short texts; let a step read data",
            ));
        }
        String::from_utf8(bytes).map_err(|e| {
            let line =
                String::from_utf8_lossy(&e.as_bytes()[..e.utf8_error().valid_up_to()]).matches('\n').count() + 1;
            refusal(format!("the file {} is not UTF-8 in line {line}", quoted(written)), "save it as UTF-8")
        })
    }
}

fn unreadable(written: &str, error: &std::io::Error) -> Refusal {
    match error.kind() {
        ErrorKind::NotFound => {
            refusal(format!("there is no file {}", quoted(written)), "the path is relative to the flow's file")
        }
        ErrorKind::PermissionDenied => {
            refusal(format!("the file {} may not be read", quoted(written)), "change its permissions")
        }
        _ => refusal(format!("the file {} cannot be read: {error}", quoted(written)), "check the path"),
    }
}

fn refusal(message: impl Into<String>, help: impl Into<String>) -> Refusal {
    Refusal { message: message.into(), help: help.into() }
}
