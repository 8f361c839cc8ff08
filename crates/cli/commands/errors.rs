//! The reference of all error codes: `docs/errors.md`, and `flowrun explain`.

use std::fmt::Write as _;

use flowrun_core::diagnostics::nearest;
use flowrun_llm::ModelErrorKind;

use super::{Stop, print_out};

mod outside;
mod talk;
mod tools;

use outside::{HTTP, STORES};
use talk::{LIMITS, TALK};
use tools::TOOLS;

/// The page: every code that a person can meet, with what it means and what to do.
pub(crate) fn error_reference() -> String {
    let mut page = String::from(INTRODUCTION);
    page.push_str("\n## What is wrong with a file\n\n");
    page.push_str("`flowrun check FILE` finds all of these at once. Nothing runs before the errors are gone; warnings, with W, stop nothing.\n");
    for (code, title, text) in file_codes() {
        let _ = write!(page, "\n### {code}: {title}\n\n{text}\n");
    }
    page.push_str("\n## What happens while a flow runs\n\n");
    page.push_str(
        "These are the codes of steps, and what `retry_on:` of a `retry` step and `except_on:` of a `catch` step take: a\ncode, or a kind such as `extract.*`. They also take the status with which a server answered, `429` or `5xx`.\n",
    );
    for (title, codes) in RUN_CODES {
        let _ = write!(page, "\n### {title}\n\n");
        for (code, text) in *codes {
            let _ = writeln!(page, "- **`{code}`**: {text}");
        }
    }
    page.push_str("\n### Models\n\n");
    for (code, text) in BINDING {
        let _ = writeln!(page, "- **`{code}`**: {text}");
    }
    for (kind, what) in models() {
        let fatal = if kind.fatal() {
            " Every further call would fail alike, so the run ends, whatever its policy."
        } else {
            ""
        };
        let _ = writeln!(page, "- **`{}`**: {what} {}{fatal}", kind.code(), sentence(kind.help()));
    }
    page
}

/// `flowrun explain [CODE]`: the part of the page that a code stands in, or the whole page.
pub(super) fn explain(code: Option<&str>) -> Result<(), Stop> {
    let page = error_reference();
    let Some(code) = code else { return print_out(&page) };
    let (heading, item) = (format!("### {code}: "), format!("- **`{code}`**: "));
    if let Some((_, rest)) = page.split_once(&heading) {
        let (title, text) = rest.split_once("\n\n").unwrap_or((rest, ""));
        let text = text.split("\n#").next().unwrap_or(text).trim_end();
        return print_out(&format!("{code}: {title}\n\n{text}\n"));
    }
    if let Some(line) = page.lines().find_map(|line| line.strip_prefix(&item)) {
        return print_out(&format!("{code}\n\n{line}\n"));
    }
    let stop = Stop::usage(format!("there is no error code `{code}`"));
    let known: Vec<_> = file_codes().iter().map(|(code, _, _)| *code).chain(run_codes()).collect();
    Err(match nearest(code, known) {
        Some(near) => stop.help(format!("did you mean `{near}`?")),
        None => stop.help("`flowrun explain` lists them all"),
    })
}

/// What is printed as a fragment behind `help:`, as a sentence.
fn sentence(help: &str) -> String {
    let mut characters = help.chars();
    let first = characters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}

const INTRODUCTION: &str = "# Error codes

Each error has a code in brackets, `error[E0102]`, which stays the same from version to version while the words around
it may get better. Codes with E and W are about a flow's file, those with a dot about a run.
";

/// The codes of files: errors by number, then warnings.
fn file_codes() -> Vec<(&'static str, &'static str, &'static str)> {
    let all =
        [flowrun_yaml::CODES, flowrun_core::compile::codes::CODES, crate::load::CODES, flowrun_agentspec::CODES];
    let mut codes = all.concat();
    codes.sort_by_key(|(code, _, _)| *code);
    codes
}

/// What each kind of failure of a model means; a new kind has to be explained before this compiles.
fn models() -> impl Iterator<Item = (ModelErrorKind, &'static str)> {
    ModelErrorKind::ALL.iter().map(|kind| {
        let what = match kind {
            ModelErrorKind::Unauthorized => "the endpoint refused the key, or there was none (401, 403).",
            ModelErrorKind::NotFound => "the endpoint knows no such model, or no such path (404).",
            ModelErrorKind::Quota => "the account's quota or credit is used up (402, or 429 that says so).",
            ModelErrorKind::RateLimited => "too many requests, and still too many after all tries (429).",
            ModelErrorKind::ServerError => "the endpoint failed, and went on failing for all tries (5xx).",
            ModelErrorKind::Timeout => "no complete reply came in time.",
            ModelErrorKind::Conflict => "the endpoint reported a conflict (409).",
            ModelErrorKind::Connection => "there was no connection to the endpoint, or it broke.",
            ModelErrorKind::BadRequest => "the endpoint refused the request as it is (400, 413, 422).",
            ModelErrorKind::BadReply => "what came back is no chat completion, or is too large.",
            ModelErrorKind::EmptyReply => "the reply has no text.",
            ModelErrorKind::Truncated => "the reply was cut off at the limit of tokens.",
            ModelErrorKind::NoTemplate => {
                "the model is offline, and the step has no `offline:` text to answer from."
            }
        };
        (*kind, what)
    })
}

/// The codes of all errors of runs, which `retry_on` and `except_on` name.
pub(crate) fn run_codes() -> impl Iterator<Item = &'static str> {
    let tables = RUN_CODES.iter().map(|(_, codes)| codes).chain([&BINDING]);
    let listed = tables.flat_map(|codes| codes.iter().map(|(code, _)| *code));
    listed.chain(ModelErrorKind::ALL.iter().map(|kind| kind.code()))
}

type Codes = &'static [(&'static str, &'static str)];

/// The codes of runs, apart from those of models.
const RUN_CODES: &[(&str, Codes)] = &[
    ("Steps and flows", STEPS),
    ("Files and tables", TABLES),
    ("Writing", WRITE),
    ("Steps that make tables", MAKING),
    ("Maps", MAP),
    ("Prompts", PROMPTS),
    ("Texts", TEXTS),
    ("Choices", CHOICE),
    ("Conversations", TALK),
    ("Limits", LIMITS),
    ("Requests over HTTP", HTTP),
    ("Datastores and search", STORES),
    ("Tools and agents", TOOLS),
    ("The engine", ENGINE),
];

const STEPS: Codes = &[
    (
        "step.type",
        "a value does not have the type that a step's input or output, or a flow's input, has, and cannot be turned into \
         it. Where it comes from `any`, this shows only while running; give the source a narrower type to have it checked \
         before.",
    ),
    (
        "step.missing_input",
        "nothing on the way here gave the input, and it has no default. Wire it with `with:`, or give it a default.",
    ),
    (
        "step.missing_output",
        "the step ended without one of its outputs. This is a mistake in the step type, not in the flow.",
    ),
    (
        "step.late",
        "`{ from: REFERENCE }` of a key gave nothing, or a value that the key does not take: `max_trials` and `parallel` \
         want an integer from 1.",
    ),
    (
        "step.branch",
        "the step took a branch that it had not declared. This is a mistake in the step type, not in the flow.",
    ),
    (
        "step.panic",
        "the program broke down inside of a step. This is a mistake in the step type; it ends the run, whatever its \
         policy. RUST_BACKTRACE=1 shows how it came about. Please report it if the step is one of flowrun's own.",
    ),
    (
        "flow.max_steps",
        "one visit of a flow took more steps than `limits.max_steps` allows, 10,000 where nothing is said: most likely \
         it runs in a circle. Bound the loop with a retry edge, or raise the limit.",
    ),
    (
        "variable.unset",
        "a step reads a variable that has no default and that nothing has written on the way here. Give it a default \
         under `variables:`, or write it on every way to the step.",
    ),
    (
        "flow.missing_output",
        "the flow ended on a path that does not give one of its outputs. Give it on that path too, or leave it out of \
         `outputs:`.",
    ),
    (
        "run.interrupted",
        "the run was told to stop: by Ctrl-C, by the program around it, or by the time limit of the flow. No step is at fault.",
    ),
];

const TABLES: Codes = &[
    (
        "files.outside",
        "a path leaves the folder that the flow may use: that of the flow's file for reading, the working folder for \
         writing. `--allow-path DIR` allows another.",
    ),
    (
        "table.missing_file",
        "there is no such file. What a flow reads is relative to the flow's file, what is given by `-i` to the working \
         folder.",
    ),
    ("table.not_a_file", "the path is a folder or another thing that is no file. Name a file in it."),
    ("table.unreadable", "the file is there and cannot be read; the message says what the system answered."),
    ("table.empty_file", "the file has no bytes, so that neither columns nor rows are known."),
    (
        "table.changed",
        "the file was changed while the flow ran, so that a second reading would give other rows. Let nothing write to \
         it, and run again.",
    ),
    (
        "table.unknown_format",
        "the ending of the name is none of `.csv`, `.json`, `.jsonl`, `.parquet`. Say `format:`, or name the file so.",
    ),
    (
        "table.too_large",
        "a JSON array is held in memory, and this file is too large for that. Write it as JSONL, which is read in \
         batches.",
    ),
    ("table.bad_csv", "the file is no CSV at the place named."),
    ("table.bad_json", "the file is no JSON at the line and column named."),
    ("table.bad_parquet", "the file is no Parquet file, or a damaged one."),
    (
        "table.ragged",
        "a line of a CSV file has more or fewer fields than its header. A field that has a comma in it must be quoted.",
    ),
    (
        "table.not_a_record",
        "an item is no JSON object. A JSON file is an array of objects, a JSONL file has an object on each line.",
    ),
    ("table.no_columns", "the file has no header, or only records without any field."),
    ("table.duplicate_column", "a column, or a field of a record, stands twice. Rename one of them in the file."),
    (
        "table.reserved_column",
        "the file has a column with the name of a hidden one, by which the rows of a map find their sources. Rename it \
         in the file.",
    ),
    (
        "table.no_column",
        "a condition or a declared type names a column that the table does not have. The nearest name is proposed; an \
         input of the flow is `inputs.NAME`.",
    ),
    ("table.declared", "`columns:` declares types for a Parquet file, which has its own. Leave it out."),
    (
        "table.type",
        "a value does not fit its column: a cell is no number, a null stands where none may, a decimal has too many \
         digits. Correct it, or declare another type under `columns:`.",
    ),
    (
        "table.integer_overflow",
        "an integer does not fit 64 bits. It is never rounded; declare the column a `string`.",
    ),
    ("table.unsupported", "a Parquet column has a type that has no place here. Write it as text or as a number."),
    ("table.arrow", "rows could not be put into columns; a column too large for one batch is the usual cause."),
    (
        "table.length",
        "tables that are put side by side must have as many rows as each other. Where one was made by a map over the \
         other, join them with `add_columns` before anything changes the rows.",
    ),
];

const WRITE: Codes = &[
    (
        "parts.write",
        "the rows of a map are too many for memory, and the file in the run's folder that holds them cannot be written. Make \
         room on its disk, or keep the run elsewhere with `--run-dir`; then resume it.",
    ),
    (
        "parts.read",
        "the file in the run's folder that holds the rows of a map cannot be read. Something else than flowrun changed the \
         folder; `flowrun resume` makes the file anew.",
    ),
    (
        "write.disk_full",
        "there is no room on the disk, or a quota is used up. It ends the run, whatever its policy; the file is as it was \
         before. Make room, or write elsewhere.",
    ),
    ("write.denied", "the folder or the file may not be written by you, or the disk is read-only."),
    ("write.is_directory", "the target is a folder. Name a file in it."),
    ("write.closed", "who read standard output has gone away."),
    (
        "write.not_finite",
        "CSV and JSON have no word for an infinite number or for one that is none. Write Parquet, or keep such numbers \
         out.",
    ),
    ("write.failed", "the file could not be written; the message says why. What was there before is untouched."),
];

const MAKING: Codes = &[
    (
        "synthesize.config",
        "the columns make no sense together: they wait for each other, or name a kind or a parent that does not exist.",
    ),
    (
        "synthesize.no_seed",
        "a column draws from a seed table, and the step has none. Wire `seed_table`, or list `values:`.",
    ),
    ("synthesize.empty_seed", "the seed table has no rows to draw from."),
    ("synthesize.large_seed", "the seed table has more than 4 billion rows. Draw a sample of it first."),
    (
        "synthesize.no_column",
        "the seed table lacks a column that is drawn from. Where it has another name there, say `column:`.",
    ),
    ("synthesize.no_values", "the seed's column has nothing but nulls."),
    (
        "synthesize.no_group",
        "no row of the seed goes with the values that the other columns of a row have. Add such rows to the seed, or list \
         the allowed values under `values:`.",
    ),
    (
        "synthesize.unique",
        "no value is left that has not been used: `unique` wants more than there are. Ask for fewer rows, take a kind \
         with more values, or drop `unique`.",
    ),
    ("synthesize.overflow", "a number of a `sequence` does not fit 64 bits."),
    (
        "synthesize.expression",
        "the expression of a computed column fails for a row, or gives a value that is not of the column's type.",
    ),
    ("synthesize.order", "a column was read before it was made. This is a mistake in flowrun; please report it."),
    ("synthesize.uuid", "an identifier could not be written. This is a mistake in flowrun; please report it."),
    ("sample_rows.empty", "the table to pick from has no rows."),
    (
        "sample_rows.too_many",
        "more rows are asked for than the table has. Ask for fewer, or say `replace: true`, which may pick a row twice.",
    ),
    (
        "sample_rows.ended",
        "the table to pick from has fewer rows than it says. This is a mistake in flowrun; please report it.",
    ),
    ("add_columns.duplicate", "both tables have a column of that name. Rename or leave out one of them."),
    (
        "add_columns.other_rows",
        "the columns were made by a map over other rows than those of the table. Take the table that the map ran over, or \
         one made from it without changing its rows.",
    ),
    ("compare.no_column", "one of the two tables lacks a column that is compared."),
    (
        "compare.not_numeric",
        "a column is to be compared by its numbers and has none. Compare it `{ as: categorical }`.",
    ),
];

const MAP: Codes = &[
    ("map.source", "what is mapped over is neither a list, an object nor a table."),
    ("map.lengths", "sources that are zipped must be of one length."),
    (
        "map.unpack",
        "a query of `unpack:` fails on an item, or has no result. For a part that may be missing, write `.a // null`.",
    ),
    (
        "map.reduce",
        "the values of an output cannot be reduced to one: a sum of whole numbers does not fit 64 bits, a number is not \
         finite, or values are of kinds that do not go together. Nothing is rounded or left out for it, only nulls are.",
    ),
    (
        "map.too_many_errors",
        "so many items failed that `stop_after` ends the map. What most of them have in common is told, with the first such \
         failure. Items in flight have ended and are kept; mend the cause, and `flowrun retry` runs the failed ones once more.",
    ),
    (
        "map.fixed",
        "a map with `target_accepted` draws further rows, and one of its sources cannot grow. Tables of `synthesize` can, \
         those of `sample_rows` with `replace: true`, and such tables side by side.",
    ),
    (
        "map.target",
        "fewer rows were accepted than `target_accepted` wants, of as many items as `max_items` allows. What was run is kept: \
         raise `max_items` and go on with `flowrun resume --accept-changes`.",
    ),
    (
        "map.all_failed",
        "every item failed, so that the map has nothing to give, whatever `on_item_error` says. The first failure is \
         shown; the others stand in the failures file.",
    ),
];

const PROMPTS: Codes = &[
    (
        "model.structure",
        "the reply does not have the form that `fields` or `output_schema` says, and the model, shown its reply and what is \
         wrong with it, did not mend it (an offline text is asked once). The details keep both as they came, `reply` and `first`. Retry \
         the step, `retry_on: [model.structure]`, take another `mode`, or say in the prompt what each field means.",
    ),
    (
        "model.no_logprobs",
        "the step asks for `top_logprobs`, and the endpoint gives none. Leave it out, or take another model.",
    ),
    (
        "prompt.image",
        "an input that `images` names is no picture: no `http` or `https` address, no `data:` address of a picture, and no \
         PNG, JPEG, GIF or WebP file of at most 10 MiB.",
    ),
    (
        "prompt.history",
        "what came as `chat_history` is no list of messages, each an object with a `role` (`system`, `user`, `assistant` or \
         `agent`) and a text as its `content`.",
    ),
];

const TEXTS: Codes = &[
    (
        "template.failed",
        "a text, condition or expression could not be computed: it reads what is not there, prints a null, or uses a value \
         in a way its type does not have. Test what may be missing with `is defined` or `is none`, or give it a `default(…)`.",
    ),
    (
        "extract.missing",
        "the text lacks the part that is wanted, or it is empty. Retry the step that wrote it, `retry_on: \
         [extract.missing]`, or give `extract` a `default:` and `extract_json` one under `defaults:`.",
    ),
    (
        "extract.type",
        "the value that a query finds is there, and is not of the type that `types:` says. Retry the step that wrote it, \
         `retry_on: [extract.type]`, or change the type; `string` takes every value, `T?` takes null too.",
    ),
    ("extract.json", "the query fails on the JSON that was found, as it does on a list where it wants an object."),
    (
        "extract.config",
        "the keys of the step do not say one way to find the part. `flowrun check` finds this before a run.",
    ),
    (
        "regex.missing",
        "nothing in the text matches the pattern; an empty match is none. Retry the step that wrote it, `retry_on: \
         [regex.missing]`, give `regex` a `default:`, or take `all: true`, which gives an empty list.",
    ),
    (
        "regex.too_slow",
        "the pattern was given up on the text after a million steps back. It can match the same text in very many ways, \
         as `(a+)+` can; write it so that there is one.",
    ),
    (
        "regex.config",
        "the pattern does not parse, or the keys of the step contradict each other. `flowrun check` finds this before a run.",
    ),
];

const CHOICE: Codes = &[(
    "choice.unclear",
    "a model was asked to choose, and its reply names none of the choices, or more than one. Ask for the name alone, give \
     the step an `otherwise:` branch, or retry it, `retry_on: [choice.unclear]`.",
)];
const ENGINE: Codes = &[
    (
        "journal.write",
        "the journal of the run cannot be written: the disk is full, or the folder was taken away. The run ends, because what \
         is not kept must not be used; all that is in the journal is safe, and `flowrun resume` goes on from there.",
    ),
    (
        "journal.read",
        "the journal of the run cannot be read while it goes on. Its folder was changed by something else than flowrun.",
    ),
    (
        "journal.record",
        "what a step gave cannot be kept, or what was kept cannot be read. It was written by another version of the step, \
         or the file is damaged.",
    ),
    (
        "engine.resource",
        "a step asks for something that the program did not provide for the run, such as a model or the files. Programs of \
         one's own give it with the run's resources.",
    ),
    (
        "engine.effect",
        "a step journals two effects of one visit under one key. This is a mistake in the step type.",
    ),
    ("engine.flow", "a step runs a flow that its signature did not ask for. This is a mistake in the step type."),
    ("engine.tool", "a step calls a tool that its signature did not ask for. This is a mistake in the step type."),
    (
        "engine.variable",
        "a step uses a variable that its signature does not name, or writes one although its outcome is kept. This is a \
         mistake in the step type: one that writes variables has the effect `Pure` or `Inner`.",
    ),
    ("engine.kept", "two kinds of things are kept in memory under one name. This is a mistake in a step type."),
    ("engine.worker", "a worker ended without an answer. This is a mistake in flowrun; please report it."),
    ("engine.broken", "a step with errors was run. This is a mistake in flowrun; please report it."),
];

/// The codes of models that nobody can answer for; they end a run before its first step.
const BINDING: Codes = &[
    (
        "model.nothing_set",
        "nothing says who answers for the model, and a step that asks it has no `offline:` text. Set OPENAI_API_KEY, or \
         OPENAI_BASE_URL to a server of your own, choose with `--model openai:NAME`, or give the steps such texts. \
         Nothing was started.",
    ),
    (
        "model.no_key",
        "the model's provider is openai, and the public endpoint wants a key. Set OPENAI_API_KEY, or OPENAI_BASE_URL to a \
         server that needs none, or choose `--model offline`. Nothing was started.",
    ),
    (
        "model.bad_key",
        "the key holds a line break or another character that cannot be sent; most likely it was copied with more than \
         itself. Nothing was started.",
    ),
    (
        "model.bad_url",
        "the address is no `http://` or `https://` address. Correct `base_url` or OPENAI_BASE_URL. Nothing was started.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    const ROOT: &str = env!("CARGO_MANIFEST_DIR");
    const PAGE: &str = "docs/errors.md";

    /// Set to write the page anew: `FLOWRUN_WRITE_DOCS=1 cargo test error_reference`.
    const WRITE_DOCS: &str = "FLOWRUN_WRITE_DOCS";

    #[test]
    fn error_reference_in_the_docs_is_the_one_made() {
        let page = Path::new(ROOT).join(PAGE);
        if std::env::var_os(WRITE_DOCS).is_some() {
            fs::write(&page, error_reference()).unwrap();
        }
        let kept = fs::read_to_string(page).unwrap_or_default();
        assert!(kept == error_reference(), "{PAGE} is stale: {WRITE_DOCS}=1 cargo test error_reference");
    }

    #[test]
    fn error_reference_has_every_code_of_the_sources_and_no_other() {
        let listed: Vec<&str> = file_codes().iter().map(|(code, _, _)| *code).chain(run_codes()).collect();
        let known: BTreeSet<String> = listed.iter().map(|code| (*code).to_owned()).collect();
        assert_eq!(listed.len(), known.len(), "a code is explained twice");
        let words = sources().iter().flat_map(|path| codes_in(path)).collect::<BTreeSet<String>>();
        let used: BTreeSet<String> = words.into_iter().filter(|w| known.contains(w) || !is_file_name(w)).collect();
        let unexplained: Vec<_> = used.difference(&known).collect();
        assert!(unexplained.is_empty(), "not explained in errors.rs: {unexplained:?}");
        let unused: Vec<_> = known.difference(&used).collect();
        assert!(unused.is_empty(), "explained, and nowhere used: {unused:?}");
    }

    /// All sources of the program but this table and the model server for tests.
    fn sources() -> Vec<PathBuf> {
        let crates = Path::new(ROOT).join("crates");
        let below = ["core", "yaml", "agentspec", "net", "llm", "data", "stores", "tools", "steps", "journal"];
        let mut folders: Vec<PathBuf> = below.map(|name| crates.join(name).join("src")).into();
        folders.push(crates.join("cli"));
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "rs")
                    && !path.ends_with("commands/errors.rs")
                    && !path.ends_with("errors/outside.rs")
                    && !path.ends_with("errors/tools.rs")
                {
                    files.push(path);
                }
            }
        }
        files
    }

    /// The codes that stand in quotes in a source, tests apart.
    fn codes_in(path: &Path) -> Vec<String> {
        if path.ends_with("tests.rs") {
            return Vec::new();
        }
        let text = fs::read_to_string(path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        text.split('"').filter(|word| is_code(word)).map(str::to_owned).collect()
    }

    fn is_code(word: &str) -> bool {
        let numbered =
            word.len() == 5 && word.starts_with(['E', 'W']) && word[1..].bytes().all(|b| b.is_ascii_digit());
        let Some((kind, rest)) = word.split_once('.') else { return numbered };
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        // Marks in the metadata of a table have the form of a code too.
        plain(kind) && plain(rest) && kind != "flowrun"
    }

    fn is_file_name(word: &str) -> bool {
        let endings = ["csv", "json", "jsonl", "md", "parquet", "toml", "yaml"];
        word.split_once('.').is_some_and(|(_, ending)| endings.contains(&ending))
    }
}
