//! The command line as typed.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
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

    /// Print nothing but errors.
    #[arg(short, long, conflicts_with = "json", help_heading = "Output")]
    pub(crate) quiet: bool,

    /// Print one JSON object at the end, on standard output.
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
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
    },
    /// Draw a flow.
    Graph {
        /// The flow; `-` reads it from standard input.
        file: PathBuf,
        /// The form of the drawing.
        #[arg(long, default_value = "mermaid", value_name = "FORMAT")]
        format: GraphFormat,
    },
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
