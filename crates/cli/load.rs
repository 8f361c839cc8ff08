//! From a file's name to a compiled flow.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use flowrun_agentspec::ImportOptions;
use flowrun_core::compile::{codes::BAD_CONFIG, compile};
use flowrun_core::diagnostics::{Diagnostic, Diagnostics, Span};
use flowrun_core::flow::{Compiled, Flow, FlowStep};
use flowrun_core::node::{Entry, Node, NodeKind};
use flowrun_core::registry::Registry;
use flowrun_core::spec::FlowSpec;
use flowrun_journal::FlowRecord;
use flowrun_steps::stores::Refused;
use flowrun_steps::{Files, Stores};
use flowrun_yaml::{ParseOptions, is_secret_key, parse, parse_node};

use crate::commands::Stop;
use crate::render::without_secrets;

/// A file that a step reads does not exist, or cannot be read.
pub(crate) const MISSING_FILE: &str = "E0220";
/// A file lies outside of the folders that a flow may use.
pub(crate) const OUTSIDE: &str = "E0221";
/// A file cannot be written where a step wants it.
pub(crate) const NOT_WRITABLE: &str = "E0222";

/// The codes of this file, with their titles and what they mean.
pub(crate) const CODES: &[(&str, &str, &str)] = &[
    (
        MISSING_FILE,
        "a file is missing",
        "A step reads a file that does not exist or is no file. Paths that are read are relative to the flow's file.",
    ),
    (
        OUTSIDE,
        "a path leaves its folder",
        "What is read lies below the folder of the flow's file, what is written below the working folder. `--allow-path DIR` allows another folder.",
    ),
    (
        NOT_WRITABLE,
        "a file cannot be written",
        "The folder of a target cannot be made or written, or the target is a folder itself. Nothing was started, so nothing was paid for.",
    ),
];

/// A flow, and where it comes from.
pub(crate) struct Loaded {
    /// The flow as it was written.
    pub(crate) spec: FlowSpec,
    pub(crate) compiled: Compiled,
    pub(crate) warnings: Diagnostics,
    /// The file as it was named.
    pub(crate) name: String,
    /// The folder that its paths are relative to.
    pub(crate) folder: PathBuf,
    /// The BLAKE3 digest of the text and of all that it inlines, in hexadecimal.
    pub(crate) digest: String,
    /// The flow with all that its text depends on, as a run keeps it.
    pub(crate) record: FlowRecord,
}

/// What is around a flow's file.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Around<'a> {
    /// The folder that its paths are relative to, where it is not its own.
    pub(crate) base_dir: Option<&'a Path>,
    /// Folders that it may use besides.
    pub(crate) allow: &'a [PathBuf],
    /// Files of components of an Agent Spec document.
    pub(crate) components: &'a [PathBuf],
    /// Components of such a document that are read already: a name, and the text of a file of them.
    pub(crate) given: Option<(&'a str, &'a [u8])>,
    /// Whether every request may go to servers in private networks.
    pub(crate) private_addresses: bool,
}

/// A text that was read, whichever dialect it is in.
struct Text {
    spec: FlowSpec,
    warnings: Diagnostics,
    /// The texts that it takes in, by name; those with secrets in them are not kept.
    inlined: Vec<(String, Source)>,
    secrets: BTreeSet<String>,
}

/// A text that another one takes in.
struct Source {
    text: String,
    secret: bool,
}

/// Reads, parses and compiles a flow.
pub(crate) fn load(registry: &Registry, file: &Path, around: Around<'_>) -> Result<Loaded, Stop> {
    let (name, text) = read(file)?;
    load_text(registry, file, &name, &text, around)
}

/// As [`load`], where the text is known already.
pub(crate) fn load_text(
    registry: &Registry,
    file: &Path,
    name: &str,
    text: &[u8],
    around: Around<'_>,
) -> Result<Loaded, Stop> {
    let own_folder = if file == Path::new("-") { Path::new(".") } else { file.parent().unwrap_or(Path::new(".")) };
    let folder = around.base_dir.unwrap_or(own_folder);
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let folder = std::path::absolute(folder).map_err(|e| Stop::usage(format!("`{}`: {e}", folder.display())))?;
    let asked = RefCell::new(BTreeMap::new());
    let environment = |variable: &str| {
        let value = std::env::var(variable).ok();
        asked.borrow_mut().insert(variable.to_owned(), value.clone());
        value
    };
    let private = around.private_addresses;
    let mut read = if flowrun_agentspec::is_agent_spec(text) {
        agent_spec(registry, name, text, &folder, around, &environment)?
    } else if !around.components.is_empty() || around.given.is_some() {
        let message = format!("components belong to an Agent Spec document, and `{name}` is none");
        return Err(Stop::usage(message));
    } else {
        native(name, text, &folder, around.allow, &environment)?
    };
    if private {
        allow_private_addresses(&mut read.spec);
    }
    let compiled = compile(&read.spec, registry).map_err(|mut wrong| {
        wrong.extend(read.warnings.clone());
        Stop::Diagnostics(wrong.sorted())
    })?;
    let mut digest = blake3::Hasher::new();
    digest.update(text);
    for (_, inlined) in &read.inlined {
        digest.update(inlined.text.as_bytes());
    }
    let mut warnings = read.warnings;
    warnings.extend(compiled.warnings.clone());
    let digest = digest.finalize().to_hex().to_string();
    let written = String::from_utf8_lossy(text);
    let shown = without_secrets(&written);
    let record = FlowRecord {
        name: compiled.flow.name.to_string(),
        file: file.to_owned(),
        hidden: shown != written,
        text: shown,
        inlined: read.inlined.into_iter().filter(|(_, s)| !s.secret).map(|(name, s)| (name, s.text)).collect(),
        environment: asked.into_inner().into_iter().filter(|(v, _)| !read.secrets.contains(v)).collect(),
        secrets: read.secrets.into_iter().collect(),
    };
    let (spec, warnings) = (read.spec, warnings.sorted());
    Ok(Loaded { spec, compiled, warnings, name: name.to_owned(), folder, digest, record })
}

/// Lets all that sends requests send them to private networks, where it says nothing of that itself.
fn allow_private_addresses(spec: &mut FlowSpec) {
    const KEY: &str = "allow_private_addresses";
    let allow = |kind: &str, config: &mut Node| {
        if let (NodeKind::Map(entries), "http" | "mcp") = (&mut config.kind, kind)
            && entries.iter().all(|entry| &*entry.key != KEY)
        {
            let (key_span, value) = (config.span.clone(), Node::new(NodeKind::Bool(true), config.span.clone()));
            entries.push(Entry { key: KEY.into(), key_span, value });
        }
    };
    for step in &mut spec.steps {
        allow(&step.step_type.value, &mut step.config);
    }
    for tool in &mut spec.tools {
        allow(&tool.kind.value, &mut tool.config);
    }
    for (_, below) in &mut spec.flows {
        allow_private_addresses(below);
    }
}

impl Loaded {
    /// Whether another text of this flow differs from its own in nothing that a run does: in comments, in its layout, in
    /// prices of models.
    pub(crate) fn says_the_same(&self, other: &str, allow: &[PathBuf]) -> bool {
        // What the texts take in is compared by itself, and is the same for both here.
        let environment = |variable: &str| std::env::var(variable).ok();
        let options =
            ParseOptions::new(self.name.as_str(), &self.folder).env(&environment).allow(allow.iter().cloned());
        let said = |text: &str| {
            let mut node = parse_node(text, &options).ok()?.node;
            forget_prices(&mut node);
            serde_json::to_string(&node.to_value()).ok()
        };
        let same = said(other);
        same.is_some() && same == said(&self.record.text)
    }
}

/// Takes the prices out of a flow's models, and of those of its inner flows.
fn forget_prices(flow: &mut Node) {
    for entry in flow.entries_mut().into_iter().flatten() {
        for inner in entry.value.entries_mut().into_iter().flatten() {
            match &*entry.key {
                "models" => {
                    if let Some(keys) = inner.value.entries_mut() {
                        keys.retain(|key| &*key.key != "price");
                    }
                }
                "flows" => forget_prices(&mut inner.value),
                _ => {}
            }
        }
    }
}

type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

fn native(name: &str, text: &[u8], folder: &Path, allow: &[PathBuf], env: Env<'_>) -> Result<Text, Stop> {
    let options = ParseOptions::new(name, folder).env(&env).allow(allow.iter().cloned());
    let parsed = parse(text, &options).map_err(Stop::Diagnostics)?;
    let secrets = secrets_of(text, name, folder, allow);
    let inlined = parsed.files.into_iter().map(|f| {
        let secret = secrets.files.contains(&f.source.name);
        (inlined_name(&f.path, folder), Source { text: f.source.text.clone(), secret })
    });
    let inlined = inlined.collect();
    Ok(Text { spec: parsed.spec, warnings: parsed.warnings, inlined, secrets: secrets.variables })
}

fn agent_spec(
    registry: &Registry,
    name: &str,
    text: &[u8],
    folder: &Path,
    around: Around<'_>,
    env: Env<'_>,
) -> Result<Text, Stop> {
    let mut components = around.components.iter().map(|file| read(file)).collect::<Result<Vec<_>, _>>()?;
    components.extend(around.given.map(|(name, text)| (name.to_owned(), text.to_vec())));
    let has_tool = |name: &str| registry.tool(name).is_some();
    let options = ImportOptions { source: name.to_owned(), components, has_tool: &has_tool, env: &env };
    let mut imported = flowrun_agentspec::import(text, &options).map_err(Stop::Diagnostics)?;
    folder.clone_into(&mut imported.spec.folder);
    // Such files are where sensitive values stand.
    let files = options
        .components
        .into_iter()
        .map(|(name, text)| (name, Source { text: String::from_utf8_lossy(&text).into_owned(), secret: true }));
    let secrets = imported.secrets.into_iter().collect();
    Ok(Text { spec: imported.spec, warnings: imported.warnings, inlined: files.collect(), secrets })
}

fn inlined_name(path: &Path, folder: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).display().to_string()
}

/// What a flow puts into secret places.
#[derive(Default)]
struct Secrets {
    variables: BTreeSet<String>,
    files: BTreeSet<String>,
}

/// The variables and files that stand in the value of a secret key. Found by reading the text once more, with each
/// variable's own name in the place of its value.
fn secrets_of(text: &[u8], name: &str, folder: &Path, allow: &[PathBuf]) -> Secrets {
    const BEFORE: char = '\u{1}';
    let marked = |variable: &str| Some(format!("{BEFORE}{variable}{BEFORE}"));
    let options = ParseOptions::new(name, folder).env(&marked).allow(allow.iter().cloned());
    let mut found = Secrets::default();
    // A text that cannot be read has been refused before.
    let Ok(parsed) = parse_node(text, &options) else { return found };
    let mut waiting = vec![(&parsed.node, false)];
    while let Some((node, secret)) = waiting.pop() {
        match &node.kind {
            NodeKind::List(items) => waiting.extend(items.iter().map(|item| (item, secret))),
            NodeKind::Map(entries) => {
                // A secret input, whose default may come from the environment.
                let input = entries.iter().any(|e| &*e.key == "secret" && e.value.kind == NodeKind::Bool(true));
                let is_secret = |key: &str| secret || is_secret(key) || (input && key == "default");
                waiting.extend(entries.iter().map(|e| (&e.value, is_secret(&e.key))));
            }
            NodeKind::String(text) if secret => {
                found.variables.extend(text.split(BEFORE).skip(1).step_by(2).map(ToOwned::to_owned));
                found.files.extend(node.inlined.iter().map(|source| source.name.clone()));
            }
            _ => {}
        }
    }
    found
}

/// The address of a server may hold a password.
fn is_secret(key: &str) -> bool {
    is_secret_key(key) || key == "url"
}

fn read(file: &Path) -> Result<(String, Vec<u8>), Stop> {
    let mut text = Vec::new();
    if file == Path::new("-") {
        let read = std::io::stdin().lock().read_to_end(&mut text);
        read.map_err(|e| Stop::usage(format!("standard input cannot be read: {e}")))?;
        return Ok(("<stdin>".to_owned(), text));
    }
    let name = file.display().to_string();
    match std::fs::read(file) {
        Ok(text) => Ok((name, text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Stop::usage(format!("there is no file `{name}`")))
        }
        Err(error) => Err(Stop::usage(format!("`{name}` cannot be read: {error}"))),
    }
}

/// All flows below a flow, itself first, each once.
pub(crate) fn all_flows(top: &std::sync::Arc<Flow>) -> Vec<std::sync::Arc<Flow>> {
    let mut all = vec![std::sync::Arc::clone(top)];
    let mut known = HashSet::from([std::sync::Arc::as_ptr(top)]);
    let mut next = 0;
    while next < all.len() {
        let flow = std::sync::Arc::clone(&all[next]);
        let provided = flow.providers.iter().filter_map(|provider| provider.flow());
        for inner in flow.steps.iter().flat_map(FlowStep::inner_flows).chain(provided) {
            if known.insert(std::sync::Arc::as_ptr(inner)) {
                all.push(std::sync::Arc::clone(inner));
            }
        }
        next += 1;
    }
    all
}

/// Whether the files that steps read are there, and those that they write can be made; `write`: look at these too.
pub(crate) fn check_files(flow: &std::sync::Arc<Flow>, files: &Files, write: bool) -> Diagnostics {
    let mut wrong = Diagnostics::new();
    for (top, flow) in all_flows(flow).iter().enumerate().map(|(n, flow)| (n == 0, flow)) {
        for step in &flow.steps {
            let redirected = top && files.destinations.contains_key(&*step.name);
            for file in &step.signature.files {
                let problem = match (file.write, write && !redirected) {
                    (false, _) => to_read(files, &file.path, &file.span),
                    (true, true) => to_write(files, &file.path, &file.span),
                    (true, false) => None,
                };
                if let Some(problem) = problem {
                    wrong.push(problem);
                }
            }
        }
    }
    wrong
}

fn to_read(files: &Files, path: &str, span: &Span) -> Option<Diagnostic> {
    let place = match files.to_read(path) {
        Ok(place) => place,
        Err(error) => return Some(outside(&error, span)),
    };
    if place.is_file() {
        return None;
    }
    let what = if place.exists() { "is no file" } else { "does not exist" };
    let message = format!("`{path}` {what}");
    let wrong = Diagnostic::error(MISSING_FILE, message, span);
    Some(wrong.help(format!("it was looked for at {}", files.shown(&place))))
}

fn to_write(files: &Files, path: &str, span: &Span) -> Option<Diagnostic> {
    match files.to_write(path) {
        Ok(place) => writable(&place).err().map(|why| {
            let message = format!("`{path}` {}", files.shortened(&why));
            Diagnostic::error(NOT_WRITABLE, message, span)
        }),
        Err(error) => Some(outside(&error, span)),
    }
}

/// Whether the datastores can be where the flow says; none is opened yet.
pub(crate) fn bind_stores(compiled: &Compiled, files: &Files, preview: bool) -> Result<Stores, Diagnostics> {
    Stores::bind(&compiled.datastores, files, preview).map_err(|refused| {
        let mut wrong = Diagnostics::new();
        for Refused { span, error } in refused {
            if error.code == "files.outside" {
                wrong.push(outside(&error, &span));
                continue;
            }
            let problem = Diagnostic::error(BAD_CONFIG, error.message, &span);
            wrong.push(match error.help {
                Some(help) => problem.help(help),
                None => problem,
            });
        }
        wrong
    })
}

fn outside(error: &flowrun_core::error::StepError, span: &Span) -> Diagnostic {
    let wrong = Diagnostic::error(OUTSIDE, error.message.clone(), span);
    match &error.help {
        Some(help) => wrong.help(help.clone()),
        None => wrong,
    }
}

/// Whether a file could be made there; tried out in the nearest folder that exists.
pub(crate) fn writable(place: &Path) -> Result<(), String> {
    if place.is_dir() {
        return Err("is a folder".to_owned());
    }
    let mut folder = place.parent().unwrap_or(Path::new("."));
    while !folder.exists() {
        folder = folder.parent().unwrap_or(Path::new("."));
    }
    if !folder.is_dir() {
        return Err(format!("cannot be written: `{}` is no folder", folder.display()));
    }
    let probe = folder.join(format!(".flowrun-{}.probe", std::process::id()));
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(&probe);
    match made {
        Ok(_) => std::fs::remove_file(&probe).map_err(|e| format!("cannot be written: {e}")),
        Err(error) => Err(format!("cannot be written: {error}")),
    }
}
