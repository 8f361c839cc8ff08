//! `write_table`: a table as a file.

use std::path::{Path, PathBuf};

use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::late::Late;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{FileUse, Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::table::{RowReader, Table, TableError};
use flowrun_core::template::Condition;
use flowrun_core::types::Type;
use flowrun_core::value::Value;
use flowrun_core::words::{plural, thousands};
use flowrun_data::Format;
use flowrun_data::write::{TableWriter, Target, WriteReport};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::condition::{RowCondition, flow_inputs};
use crate::files::{Destination, Files, Written};
use crate::synthesize::table_input;

/// Writes a table to a CSV, JSON (an array of records), JSONL or Parquet file, in batches, beside the target, which is
/// replaced only when all rows are written. With `where`, the rows for which it is not true go to another file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteTable {
    /// The file, relative to the working folder; it may not leave that folder, unless `--allow-path` says so.
    path: Late<String>,
    /// The format. Default: by the file's extension.
    format: Option<Format>,
    /// Which rows are written: a condition over the table's columns and `inputs.NAME` of the flow.
    #[serde(rename = "where")]
    condition: Option<Condition>,
    /// Where the other rows go. Default: `<stem>.rejected.jsonl` beside the target.
    rejected: Option<Late<String>>,
}

/// The default file of rejected rows: `out/loans.rejected.jsonl` beside `out/loans.json`.
pub fn rejected_path(target: &Path) -> PathBuf {
    target.with_extension("rejected.jsonl")
}

/// Where one of the two streams of rows goes.
struct Place {
    target: Target,
    format: Format,
    shown: String,
}

impl WriteTable {
    fn place(&self, cx: &StepCx<'_>, files: &Files) -> Result<(Place, Option<PathBuf>), StepError> {
        let destination = files.destinations.get(&**cx.step_name()).filter(|_| cx.is_top());
        let (path, shown) = match destination {
            Some(Destination::Stdout) => {
                let format = self.format.unwrap_or(Format::Jsonl);
                let target = Target::Stream(Box::new(std::io::stdout()));
                return Ok((Place { target, format, shown: "-".to_owned() }, None));
            }
            Some(Destination::Path(path)) => (files.working_folder.join(path), path.display().to_string()),
            None => {
                let path = self.path.get(cx)?;
                (files.to_write(&path)?, path)
            }
        };
        // The format of the flow is meant for its own target; another target's name says its own.
        let format = match (self.format, destination) {
            (Some(format), None) => format,
            _ => Format::of_path(&path)?,
        };
        Ok((Place { target: Target::Path(path.clone()), format, shown }, Some(path)))
    }

    fn rejected_place(
        &self,
        cx: &StepCx<'_>,
        files: &Files,
        target: Option<&Path>,
    ) -> Result<Option<(Place, PathBuf)>, StepError> {
        let path = match (&self.rejected, target) {
            (Some(late), _) => files.to_write(&late.get(cx)?)?,
            (None, Some(target)) => rejected_path(target),
            (None, None) => files.working_folder.join(format!("{}.rejected.jsonl", files.flow_name)),
        };
        let format = Format::of_path(&path)?;
        let shown = files.shown(&path);
        Ok(Some((Place { target: Target::Path(path.clone()), format, shown }, path)))
    }

    /// In preview nothing is written, only counted.
    fn preview(&self, cx: &StepCx<'_>, table: &Table, shown: &str) -> Result<Outcome<Ports>, StepError> {
        let condition = self.condition.as_ref().map(|c| RowCondition::new(c, cx, table, "where")).transpose()?;
        let (mut rows, mut rejected) = (0, 0);
        for row in table.objects(0..table.len().unwrap_or(u64::MAX))? {
            let row = row?;
            let passes = condition.as_ref().map_or(Ok(true), |c| c.holds(&row))?;
            *(if passes { &mut rows } else { &mut rejected }) += 1;
        }
        let note = format!("would write {} → {shown}", plural(rows, "row"));
        Ok(Outcome::next(ports(shown, rows, rejected)).note(note))
    }
}

fn ports(path: &str, rows: u64, rejected: u64) -> Ports {
    let count = |n: u64| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
    [("written_path", Value::from(path)), ("written_rows", count(rows)), ("rejected_rows", count(rejected))]
        .into_iter()
        .collect()
}

/// Writes a table, its rows parted by the condition. The second file is made at its first row.
fn write(
    table: &Table,
    condition: Option<&RowCondition>,
    place: Place,
    rejected: Option<Place>,
) -> Result<(WriteReport, Option<WriteReport>), TableError> {
    let schema = table.schema();
    let reader = RowReader::new(&schema);
    let mut writer = TableWriter::create(place.target, place.format, &schema)?;
    let mut rest = rejected;
    let mut rejects: Option<TableWriter> = None;
    for batch in table.scan_all()? {
        let batch = batch?;
        let Some(condition) = condition else {
            writer.write(&batch)?;
            continue;
        };
        let passes: Vec<bool> =
            reader.objects(&batch).map(|row| condition.holds(&row)).collect::<Result<_, _>>()?;
        let rejected_too = passes.contains(&false);
        let (kept, others) = part(&batch, passes)?;
        writer.write(&kept)?;
        if !rejected_too {
            continue;
        }
        if let Some(place) = rest.take() {
            rejects = Some(TableWriter::create(place.target, place.format, &schema)?);
        }
        if let Some(rejects) = &mut rejects {
            rejects.write(&others)?;
        }
    }
    // Rejected rows first: the main file in its place says that all is written.
    let rejects = rejects.map(TableWriter::finish).transpose()?;
    Ok((writer.finish()?, rejects))
}

fn part(batch: &RecordBatch, passes: Vec<bool>) -> Result<(RecordBatch, RecordBatch), TableError> {
    let wrong = |e: arrow_schema::ArrowError| TableError::new("write.failed", e.to_string());
    let others: BooleanArray = passes.iter().map(|p| Some(!p)).collect();
    let passes = BooleanArray::from(passes);
    Ok((filter_record_batch(batch, &passes).map_err(wrong)?, filter_record_batch(batch, &others).map_err(wrong)?))
}

impl Step for WriteTable {
    const TYPE: &'static str = "write_table";
    const EFFECT: Effect = Effect::Pure;
    const EXAMPLE: &'static str = "export:\n  type: write_table\n  with: { table: complete_rows.table }\n  where: is_valid\n  path: out/loans.json";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![Port::new("table", Type::table()).doc("The rows.")],
            outputs: vec![
                Port::new("written_path", Type::string()).doc("The file, as it was named."),
                Port::new("written_rows", Type::integer()).doc("How many rows it has."),
                Port::new("rejected_rows", Type::integer()).doc("How many went to the other file."),
            ],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        if self.rejected.is_some() && self.condition.is_none() {
            return Err(scope.bad(&["rejected"], "`rejected` goes with `where`").into());
        }
        let flow_inputs =
            self.condition.as_ref().map(|c| flow_inputs(c, scope, "where")).transpose()?.unwrap_or_default();
        let mut files = Vec::new();
        for (key, path) in [("path", Some(&self.path)), ("rejected", self.rejected.as_ref())] {
            let Some(Late::Now(path)) = path else { continue };
            if (key == "rejected" || self.format.is_none())
                && let Err(error) = Format::of_path(Path::new(path))
            {
                return Err(scope.bad(&[key], error.message).help(error.help.unwrap_or_default()).into());
            }
            files.push(FileUse { path: path.clone(), write: true, span: scope.span(&[key]) });
        }
        let outputs = vec![
            Port::new("written_path", Type::string()),
            Port::new("written_rows", Type::integer()),
            Port::new("rejected_rows", Type::integer()),
        ];
        Ok(Signature { files, flow_inputs, ..Signature::new(vec![Port::new("table", Type::table())], outputs) })
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let table = table_input(&input, "table")?;
        let files: &Files = cx.resource()?;
        let (place, path) = self.place(cx, files)?;
        let shown = place.shown.clone();
        if cx.is_preview() {
            return self.preview(cx, &table, &shown);
        }
        let condition = self.condition.as_ref().map(|c| RowCondition::new(c, cx, &table, "where")).transpose()?;
        let rejected = match &condition {
            Some(_) => self.rejected_place(cx, files, path.as_deref())?,
            None => None,
        };
        let (rejected, rejected_file) = rejected.unzip();
        let rejected_shown = rejected.as_ref().map(|p| p.shown.clone()).unwrap_or_default();
        let (report, rejects) = write(&table, condition.as_ref(), place, rejected)?;
        if let (None, Some(stale)) = (&rejects, &rejected_file) {
            // Rejected rows of an earlier run would pass for this one's.
            remove_stale(stale)?;
        }
        let mut note = format!("{} → {shown}", plural(report.rows, "row"));
        let outputs = ports(&shown, report.rows, rejects.as_ref().map_or(0, |r| r.rows));
        let step = cx.step_name().to_string();
        files.note_written(Written { step: step.clone(), holds: "accepted", path: shown, report, file: path });
        if let Some(report) = rejects {
            note = format!("{note}, {} left out → {rejected_shown}", thousands(report.rows));
            files.note_written(Written {
                step,
                holds: "rejected",
                path: rejected_shown,
                report,
                file: rejected_file,
            });
        }
        Ok(Outcome::next(outputs).note(note))
    }
}

fn remove_stale(path: &Path) -> Result<(), StepError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            let message = format!("`{}` is left of an earlier run and cannot be removed: {error}", path.display());
            Err(StepError::new("write.failed", message))
        }
        _ => Ok(()),
    }
}
