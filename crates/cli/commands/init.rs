//! `flowrun init`: a folder with a flow that runs.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use flowrun_core::registry::Registry;

use super::{Stop, schema};
use crate::args::InitKind;
use crate::render::Screen;

/// What an editor reads to complete and check the flow.
const SCHEMA: &str = "flow.schema.json";
const README: &str = "README.md";

/// A flow to begin with, and the texts that it reads.
struct Starter {
    /// The name of the flow's file, without its ending.
    name: &'static str,
    about: &'static str,
    /// A command that is worth trying, and what it does.
    more: (&'static str, &'static str),
    /// Paths within the folder, the flow first.
    files: &'static [(&'static str, &'static str)],
}

/// A file of `flows/` under its path there.
macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../flows/", $path)))),*]
    };
}

const JUSTIFY: Starter = Starter {
    name: "justify",
    about: "Loan applications: columns drawn from ten seed records, then a text for each row, written by one model call, \
            judged by another and tried again while the judge refuses it.",
    more: ("-i rows=150", "makes more rows; the first ones stay the same"),
    files: files![
        "justify.yaml",
        "prompts/write.md",
        "prompts/write.offline.md",
        "prompts/judge.md",
        "prompts/judge.offline.md",
        "data/loan_seed.json",
    ],
};

const AUGMENT: Starter = Starter {
    name: "augment",
    about: "Another column for records that you have: a text for each record of a JSONL, JSON, CSV or Parquet file, \
            written by a model from the record's own fields.",
    more: ("-i records=mine.csv -o out/described.csv", "takes a file of your own"),
    files: files!["augment.yaml", "prompts/describe.md", "prompts/describe.offline.md", "data/products.jsonl"],
};

const PAIRS: Starter = Starter {
    name: "pairs",
    about: "A preference dataset: two answers to each question, and the one that a judge prefers.",
    more: ("-i questions=mine.jsonl", "asks questions of your own, with the fields `id`, `question` and `notes`"),
    files: files![
        "pairs.yaml",
        "prompts/answer.offline.md",
        "prompts/answer_offhand.offline.md",
        "prompts/prefer.md",
        "prompts/prefer.offline.md",
        "data/questions.jsonl",
    ],
};

const CHAT: Starter = Starter {
    name: "chat",
    about: "Conversations with a support assistant, as `messages` for fine-tuning.",
    more: ("-i rows=500", "makes more conversations; the first ones stay the same"),
    files: files![
        "chat.yaml",
        "prompts/support.md",
        "prompts/ask.md",
        "prompts/ask.offline.md",
        "prompts/reply.offline.md",
    ],
};

fn starter(kind: InitKind) -> &'static Starter {
    match kind {
        InitKind::Justify => &JUSTIFY,
        InitKind::Augment => &AUGMENT,
        InitKind::Pairs => &PAIRS,
        InitKind::Chat => &CHAT,
    }
}

pub(super) fn init(registry: &Registry, kind: InitKind, dir: &Path, screen: &Screen) -> Result<(), Stop> {
    let starter = starter(kind);
    let files = starter.all_files(registry);
    make(dir, &files)?;
    screen.line(&format!("made {}", dir.display()));
    for (path, _) in &files {
        screen.line(&format!("  {path}"));
    }
    let run = format!("flowrun {}.yaml", starter.name);
    let next = if dir == Path::new(".") { run } else { format!("cd {} && {run}", quoted(dir)) };
    screen.line(&format!("next: {next}"));
    Ok(())
}

impl Starter {
    fn all_files(&self, registry: &Registry) -> Vec<(&'static str, String)> {
        let own = self.files.iter().map(|(path, text)| (*path, self.adapted(path, text)));
        let made = [(README, self.readme()), (SCHEMA, schema::text(registry) + "\n")];
        own.chain(made).collect()
    }

    /// The flow's file says where its schema is, and its commands are those of the folder that it stands in now.
    fn adapted(&self, path: &str, text: &str) -> String {
        if path != format!("{}.yaml", self.name) {
            return text.to_owned();
        }
        let text = text.replace("flowrun flows/", "flowrun ");
        format!("# yaml-language-server: $schema={SCHEMA}\n{text}")
    }

    fn readme(&self) -> String {
        let Self { name, about, more: (more, what), .. } = self;
        let has_data = self.files.iter().any(|(path, _)| path.starts_with("data/"));
        let data = if has_data { "- `data/`: what the flow reads.\n" } else { "" };
        format!(
            "# {name}

{about}

```sh
flowrun {name}.yaml
```

Without a model, the offline texts answer, the same way every time. With `OPENAI_API_KEY` or `OPENAI_BASE_URL` set, or
with `--model openai:NAME`, the same flow asks a real one. Results go to `out/`.

| Command | What it does |
|---|---|
| `flowrun {name}.yaml {more}` | {what} |
| `flowrun {name}.yaml --preview 2` | shows the prompts and replies of two items, and writes nothing |
| `flowrun check {name}.yaml` | says all that is wrong with the flow, without running it |
| `flowrun graph {name}.yaml --format svg > {name}.svg` | draws it |
| `flowrun steps` | lists what a flow can be made of |

- `{name}.yaml`: the flow.
- `prompts/`: what it asks. `NAME.md` is a prompt, `NAME.offline.md` what answers where there is no model.
{data}- `{SCHEMA}`: lets an editor complete and check the flow; `flowrun schema` prints it anew.
"
        )
    }
}

/// A folder as a shell reads it.
fn quoted(dir: &Path) -> String {
    let name = dir.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "._-/\\:~+".contains(c);
    if name.chars().all(plain) { name } else { format!("'{}'", name.replace('\'', "'\\''")) }
}

/// Writes all files below a folder that does not exist yet, or is empty.
fn make(dir: &Path, files: &[(&str, String)]) -> Result<(), Stop> {
    let fails =
        |path: &Path, error: &std::io::Error| Stop::usage(format!("`{}` cannot be made: {error}", path.display()));
    match fs::read_dir(dir).map(|mut entries| entries.next().is_none()) {
        Ok(true) => {}
        Ok(false) => {
            let stop = Stop::usage(format!("`{}` is not empty", dir.display()));
            return Err(stop.help("name a folder that does not exist yet"));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            return Err(Stop::usage(format!("`{}` is no folder", dir.display())));
        }
        Err(error) => return Err(fails(dir, &error)),
    }
    let mut made = Made::default();
    for (path, text) in files {
        let path = dir.join(path);
        made.file(&path, text).map_err(|error| fails(&path, &error))?;
    }
    made.keep();
    Ok(())
}

/// What was made so far, which is removed again unless all of it was.
#[derive(Default)]
struct Made {
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

impl Made {
    fn folder(&mut self, path: &Path) -> std::io::Result<()> {
        if path.as_os_str().is_empty() || path.is_dir() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.folder(parent)?;
        }
        fs::create_dir(path)?;
        self.folders.push(path.to_owned());
        Ok(())
    }

    fn file(&mut self, path: &Path, text: &str) -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            self.folder(folder)?;
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
        self.files.push(path.to_owned());
        file.write_all(text.as_bytes())
    }

    fn keep(mut self) {
        self.files.clear();
        self.folders.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // What cannot be removed stays; the error that led here is the one to tell.
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
        for folder in self.folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;
    use flowrun_steps::Files;

    use crate::load::{Around, check_files, load};

    #[test]
    fn every_flow_to_begin_with_is_complete() {
        let registry = flowrun_steps::registry();
        for kind in InitKind::value_variants() {
            let folder = tempfile::tempdir().unwrap();
            let dir = folder.path().join("a/b");
            let starter = starter(*kind);
            let Ok(()) = make(&dir, &starter.all_files(&registry)) else { panic!("{} is made", starter.name) };
            let file = dir.join(format!("{}.yaml", starter.name));
            let Ok(loaded) = load(&registry, &file, Around::default()) else {
                panic!("{} compiles", starter.name)
            };
            let found = check_files(&loaded.compiled.flow, &Files::new(&loaded.folder, &loaded.folder), false);
            assert!(found.is_empty() && loaded.warnings.is_empty(), "{found} {}", loaded.warnings);
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.starts_with("# yaml-language-server: $schema=flow.schema.json\n"));
            assert!(!text.contains("flows/") && dir.join(SCHEMA).is_file());
            let unread = |path: &&str| !text.contains(*path);
            assert_eq!(starter.files.iter().skip(1).map(|(path, _)| *path).find(unread), None, "{}", starter.name);
        }
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let full = folder.path().join("full");
        fs::create_dir(&full).unwrap();
        fs::write(full.join("mine.txt"), "mine").unwrap();
        for (dir, why) in [(full.clone(), "is not empty"), (full.join("mine.txt"), "is no folder")] {
            let Err(Stop::Usage(message, _)) = make(&dir, &[("a.txt", String::new())]) else { panic!("refused") };
            assert!(message.ends_with(why), "{message}");
        }
        assert_eq!(fs::read_dir(&full).unwrap().count(), 1);
    }

    #[test]
    fn nothing_stays_of_what_was_half_written() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("new/deep");
        let files = [("data/a.txt", "a".to_owned()), ("data/a.txt/b.txt", "b".to_owned())];
        assert!(make(&dir, &files).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_is_written_as_a_shell_reads_it() {
        let texts = ["loans", "my loans", "it's"].map(|dir| quoted(Path::new(dir)));
        assert_eq!(texts, ["loans", "'my loans'", "'it'\\''s'"]);
    }
}
