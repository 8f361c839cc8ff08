//! The command line as typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use flowrun_core::execute::Unfinished;
use flowrun_llm::ModelOverride;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Runs flows that make synthetic datasets with samplers and language models.
#[derive(Debug, Parser)]
#[command(
    name = "flowrun",
    version,
    styles = STYLES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    max_term_width = 100,
    override_usage = "flowrun [OPTIONS] FILE\n       flowrun COMMAND …",
    after_help = "Exit codes: 0 finished, 1 the run failed, 2 nothing was started, 3 waits for a person, 130 and 143 stopped."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) run: RunArgs,

    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

#[derive(Debug, Args)]
pub(crate) struct GlobalArgs {
    /// When to use colour.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = "Output")]
    pub(crate) color: Color,

    /// Say more: -v the steps inside maps, -vv the program's own log.
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The flow to run; `-` reads it from standard input.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// Set an input of the flow: strings as they stand, all else as JSON.
    #[arg(short, long = "input", value_name = "NAME=VALUE")]
    pub(crate) input: Vec<String>,

    /// Set inputs from a JSON or YAML file.
    #[arg(long, value_name = "FILE")]
    pub(crate) inputs: Option<PathBuf>,

    /// Where a `write_table` step writes: the only one, else the last; `-` is standard output.
    #[arg(short, long, value_name = "PATH|STEP=PATH")]
    pub(crate) output: Vec<String>,

    /// The seed of everything drawn [default: 0].
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// How many items every map runs at once, in place of what the flow says.
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=65536))]
    pub(crate) parallel: Option<usize>,

    /// Who answers for a model, or for all: `openai:NAME`, `openai` or `offline`.
    #[arg(long, value_name = "[NAME=]MODEL")]
    pub(crate) model: Vec<ModelOverride>,

    /// Run only the first N items of every map of the flow, show prompts and replies, and write nothing.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) preview: Option<u64>,

    /// Also read and write below this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) allow_path: Vec<PathBuf>,

    /// Components that an Agent Spec document refers to, and its sensitive values.
    #[arg(long, value_name = "FILE")]
    pub(crate) components: Vec<PathBuf>,

    /// Let tools start programs that speak MCP.
    #[arg(long)]
    pub(crate) allow_stdio_mcp: bool,

    /// What becomes of calls that an earlier process began; only a resume has any.
    #[arg(skip)]
    pub(crate) unfinished: Unfinished,

    /// The command with which the run goes on; only a run that does has one.
    #[arg(skip)]
    pub(crate) again: Option<String>,

    #[command(flatten)]
    pub(crate) keep: KeepArgs,

    /// Print nothing but errors.
    #[arg(short, long, conflicts_with = "json", help_heading = "Output")]
    pub(crate) quiet: bool,

    /// Print one JSON object at the end, on standard output.
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
}

/// What is kept on disk.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Keeping")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct KeepArgs {
    /// Begin again, although an unfinished run of the same flow and inputs is kept.
    #[arg(long)]
    pub(crate) new: bool,

    /// Keep the run in this folder, in place of one below .flowrun/runs.
    #[arg(long, value_name = "DIR", conflicts_with = "no_journal")]
    pub(crate) run_dir: Option<PathBuf>,

    /// Wait until the disk has a record before it is used; a power cut loses nothing then.
    #[arg(long, conflicts_with = "no_journal")]
    pub(crate) durable: bool,

    /// Take replies from earlier runs that asked the same, and keep this run's for later ones, in .flowrun/cache.db.
    #[arg(long)]
    pub(crate) cache: bool,

    /// Keep nothing: a run that is killed begins from the start.
    #[arg(long)]
    pub(crate) no_journal: bool,
}

/// A run that goes on.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The run: its id, or its folder [default: the last one].
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<String>,

    #[command(flatten)]
    pub(crate) go_on: GoOnArgs,
}

/// An answer to what a run waits for.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("answer").required(true).multiple(false))]
pub(crate) struct ReplyArgs {
    /// The run: its id, or its folder.
    #[arg(value_name = "RUN")]
    pub(crate) run: String,

    /// The message.
    #[arg(value_name = "TEXT", group = "answer")]
    pub(crate) text: Option<String>,

    /// Let a tool be called.
    #[arg(long, group = "answer")]
    pub(crate) accept: bool,

    /// Do not let a tool be called, and say why.
    #[arg(long, value_name = "REASON", group = "answer")]
    pub(crate) reject: Option<String>,

    /// What a tool gives.
    #[arg(long, value_name = "JSON", group = "answer")]
    pub(crate) result: Option<String>,

    /// Why a tool gives nothing.
    #[arg(long, value_name = "TEXT", group = "answer")]
    pub(crate) error: Option<String>,

    /// Which question is answered, by the step that asks, where there are several.
    #[arg(long, value_name = "STEP")]
    pub(crate) to: Option<String>,

    #[command(flatten)]
    pub(crate) go_on: GoOnArgs,
}

/// How a run goes on.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct GoOnArgs {
    /// Give an input again. Secret inputs are not kept, so those that were typed are typed each time.
    #[arg(short, long = "input", value_name = "NAME=VALUE")]
    pub(crate) input: Vec<String>,

    /// How many items every map runs at once, from now on.
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=65536))]
    pub(crate) parallel: Option<usize>,

    /// Who answers for a model, or for all, in the calls that are not made yet.
    #[arg(long, value_name = "[NAME=]MODEL")]
    pub(crate) model: Vec<ModelOverride>,

    /// Go on although the flow or its inputs were changed: calls whose request is the same are not made again.
    #[arg(long)]
    pub(crate) accept_changes: bool,

    /// Make calls of tools again that began and of which nobody knows how they ended.
    #[arg(long, conflicts_with = "skip")]
    pub(crate) redo: bool,

    /// Take null for what such calls gave, where the tool may give null.
    #[arg(long)]
    pub(crate) skip: bool,

    /// Wait until the disk has a record before it is used.
    #[arg(long)]
    pub(crate) durable: bool,

    /// Print nothing but errors.
    #[arg(short, long, conflicts_with = "json", help_heading = "Output")]
    pub(crate) quiet: bool,

    /// Print one JSON object at the end, on standard output.
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
}

/// A run that branches off another one.
#[derive(Debug, Args)]
pub(crate) struct ForkArgs {
    /// The step of the top flow from which on everything is done anew; `STEP#2` is its second visit.
    #[arg(long, value_name = "STEP")]
    pub(crate) from: String,

    #[command(flatten)]
    pub(crate) how: ResumeArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Go on with a run that was stopped, killed or has failed: what it holds is not done again.
    Resume(ResumeArgs),
    /// Run the items of a run that failed once more.
    Retry(ResumeArgs),
    /// Begin a new run that does not do again what another one did before a step; the flow may have been changed.
    Fork(ForkArgs),
    /// Answer the question that a run waits for, and go on with it.
    Reply(ReplyArgs),
    /// Run flows for a program in any language, which speaks JSON-RPC on standard input and output.
    Host,
    /// List the runs that are kept here.
    Runs {
        /// Print one JSON list, on standard output.
        #[arg(long)]
        json: bool,
    },
    /// Say how a run stands, step by step.
    Show {
        /// The run: its id, or its folder [default: the last one].
        #[arg(value_name = "RUN")]
        run: Option<String>,
        /// List the items that failed, with their causes and last replies.
        #[arg(long)]
        failures: bool,
    },
    /// Drop from a run's journal what a resume of the same flow does not need.
    Compact {
        /// The run: its id, or its folder [default: the last one].
        #[arg(value_name = "RUN")]
        run: Option<String>,
    },
    /// Remove runs.
    Rm {
        /// The runs.
        #[arg(value_name = "RUN", required_unless_present = "finished")]
        runs: Vec<String>,
        /// All that have finished.
        #[arg(long)]
        finished: bool,
        /// Only those that ended so long ago, such as 7d, 12h or 30m.
        #[arg(long, value_name = "AGE", requires = "finished", value_parser = age)]
        older_than: Option<Duration>,
    },
    /// The replies that runs with --cache have kept.
    Cache {
        /// What is done.
        #[command(subcommand)]
        what: CacheCommand,
    },
    /// Check flows without running them: all errors at once.
    Check {
        /// The flows; `-` reads one from standard input.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The folder that the flows' paths are relative to [default: each flow's own].
        #[arg(long, value_name = "DIR")]
        base_dir: Option<PathBuf>,
        /// Also read below this folder.
        #[arg(long, value_name = "DIR")]
        allow_path: Vec<PathBuf>,
        /// Components that an Agent Spec document refers to, and its sensitive values.
        #[arg(long, value_name = "FILE")]
        components: Vec<PathBuf>,
    },
    /// Draw a flow.
    Graph {
        /// The flow; `-` reads it from standard input.
        file: PathBuf,
        /// Components that an Agent Spec document refers to, and its sensitive values.
        #[arg(long, value_name = "FILE")]
        components: Vec<PathBuf>,
        /// The form of the drawing.
        #[arg(long, default_value = "mermaid", value_name = "FORMAT")]
        format: GraphFormat,
    },
    /// Make an Agent Spec document of a flow, which other programs run.
    Export(ExportArgs),
    /// List the step types, or show one: its keys, ports, branches and an example.
    Steps {
        /// The step type.
        name: Option<String>,
        /// Print the whole reference in Markdown.
        #[arg(long, conflicts_with = "name")]
        markdown: bool,
    },
    /// Say what an error code means and what to do, or list them all.
    Explain {
        /// The code, such as E0210 or extract.missing.
        code: Option<String>,
    },
    /// Print the JSON schema of flow files, for editors.
    Schema,
    /// Make a folder with a flow that runs.
    #[command(override_usage = "flowrun init [justify|augment|pairs|chat] DIR")]
    Init {
        /// Which flow [default: justify], and the folder; it must not exist yet, or be empty.
        #[arg(required = true, num_args = 1..=2, value_names = ["KIND", "DIR"])]
        kind_and_dir: Vec<String>,
    },
    /// Print a completion script.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// A flow that becomes a document.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The flow; `-` reads it from standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// How the document is written.
    #[arg(long, default_value = "yaml", value_name = "FORMAT")]
    pub(crate) format: DocumentFormat,
    /// The version that the document says [default: the lowest that has all that it holds].
    #[arg(long, value_name = "VERSION")]
    pub(crate) agentspec_version: Option<String>,
    /// Carry steps that such documents do not have as components that flowrun alone reads.
    #[arg(long)]
    pub(crate) keep_custom: bool,
    /// Where the document goes, in place of standard output.
    #[arg(short, long, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
    /// The folder that the flow's paths are relative to [default: its own].
    #[arg(long, value_name = "DIR")]
    pub(crate) base_dir: Option<PathBuf>,
    /// Also read below this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) allow_path: Vec<PathBuf>,
    /// Components that an Agent Spec document refers to, and its sensitive values.
    #[arg(long, value_name = "FILE")]
    pub(crate) components: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum DocumentFormat {
    /// YAML.
    Yaml,
    /// JSON.
    Json,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Say how many replies it holds, by model.
    Stats {
        /// Print one JSON list, on standard output.
        #[arg(long)]
        json: bool,
    },
    /// Remove it.
    Clear,
}

/// A span of time: a number, and `s`, `m`, `h` or `d`.
fn age(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no age; write a number and s, m, h or d, such as 7d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum GraphFormat {
    /// Mermaid, which Markdown viewers draw.
    Mermaid,
    /// Graphviz.
    Dot,
    /// A picture.
    Svg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InitKind {
    /// The loan dataset: sampled columns, texts that are written, judged and retried.
    Justify,
    /// Texts for the rows of a file of your own.
    Augment,
    /// Two answers and a judge's preference.
    Pairs,
    /// Conversations for fine-tuning.
    Chat,
}
