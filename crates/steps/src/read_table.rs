//! `read_table`: a file as a table.

use std::fmt;
use std::path::Path;

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::journal::FILE_EFFECT;
use flowrun_core::late::Late;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{FileUse, Grows, Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::types::Type;
use flowrun_core::words::plural;
use flowrun_data::Format;
use flowrun_data::read::{ReadOptions, open};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::files::{CHANGED_HELP, FileRead, Files};

/// Reads a table from a CSV, JSON (an array of records), JSONL or Parquet file. CSV, JSONL and Parquet are read in
/// batches; a JSON array is held in memory. A file that changes while the flow runs is an error.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadTable {
    /// The file, relative to the flow's file; it may not leave that folder, unless `--allow-path` says so.
    path: Late<String>,
    /// The format. Default: by the file's extension.
    format: Option<Format>,
    /// Types of columns that are not to be inferred: `zip: string`. Not for Parquet, which has types.
    #[serde(default)]
    columns: IndexMap<String, String>,
}

impl ReadTable {
    fn types(&self) -> Result<IndexMap<String, Type>, (String, String)> {
        let one = |(name, word): (&String, &String)| match Type::from_word(word) {
            Some(found) => Ok((name.clone(), found)),
            None => Err((name.clone(), format!("`{word}` is no type; types are {}", Type::WORDS.join(", ")))),
        };
        self.columns.iter().map(one).collect()
    }
}

/// What is remembered of a file, so that a run goes on only with the same one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FileFacts {
    bytes: u64,
    digest: String,
}

impl fmt::Display for FileFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.digest.get(..8).unwrap_or(&self.digest);
        write!(f, "{} with the digest {start}…", plural(self.bytes, "byte"))
    }
}

impl Step for ReadTable {
    const TYPE: &'static str = "read_table";
    const EFFECT: Effect = Effect::Inner;
    const EXAMPLE: &'static str = "seed_data:\n  type: read_table\n  path: data/loan_seed.json";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        let outputs = vec![Port::new("table", Type::table()).doc("The rows of the file.")];
        DocumentedPorts { outputs, branches: vec!["next".into()], ..DocumentedPorts::default() }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        if let Err((column, message)) = self.types() {
            return Err(scope.bad(&["columns", &column], message).into());
        }
        let mut files = Vec::new();
        if let Late::Now(path) = &self.path {
            if self.format.is_none()
                && let Err(error) = Format::of_path(Path::new(path))
            {
                let wrong = scope.bad(&["path"], error.message.clone());
                return Err(wrong.help(error.help.unwrap_or_default()).into());
            }
            files.push(FileUse { path: path.clone(), write: false, span: scope.span(&["path"]) });
        }
        let table = Port::new("table", Type::table()).grows(Grows::Never);
        Ok(Signature { files, ..Signature::new(Vec::new(), vec![table]) })
    }

    async fn run(&self, cx: &StepCx<'_>, _: Ports) -> Result<Outcome<Ports>, StepError> {
        let path = self.path.get(cx)?;
        let files: &Files = cx.resource()?;
        let columns = self.types().map_err(|(_, message)| StepError::new("step.type", message))?;
        let options = ReadOptions { format: self.format, columns, ..ReadOptions::default() };
        let read = open(&files.to_read(&path)?, &options).map_err(|mut error| {
            error.message = files.shortened(&error.message);
            error
        })?;
        let shown = files.shown(&read.facts.path);
        let is = FileFacts { bytes: read.facts.size, digest: read.facts.digest.clone() };
        let was = cx.effect(FILE_EFFECT, || async { Ok(is.clone()) }).await?;
        if was != is {
            let message = format!("`{shown}` has changed since the run began: it had {was}, and has {is}");
            return Err(StepError::new("table.changed", message).help(CHANGED_HELP).fatal());
        }
        files.note_read(FileRead {
            step: cx.step_name().to_string(),
            path,
            bytes: read.facts.size,
            digest: read.facts.digest,
        });
        let note = format!("{}   {shown}", read.table);
        Ok(Outcome::next(Ports::one("table", read.table)).note(note))
    }
}
