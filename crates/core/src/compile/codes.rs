//! The codes of what compiling finds, each with its title and what it means.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $title:literal, $text:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $code;)*

        /// Every code with its title and what it means and what to do.
        pub const CODES: &[(&str, &str, &str)] = &[$(($code, $title, $text)),*];
    };
}

codes! {
    /// No such step type.
    UNKNOWN_STEP_TYPE = "E0201", "no such step type",
        "`type:` names a step type that this program does not have. `flowrun steps` lists them; a program with step types of its own lists those too.";
    /// No such flow.
    UNKNOWN_FLOW = "E0202", "no such flow",
        "A step names a flow that is neither under `flows:` of its own flow nor of one around it.";
    /// A flow runs itself.
    RECURSION = "E0203", "a flow runs itself",
        "A flow reaches itself through a step that runs flows: `map`, `retry`, `catch`, `parallel` or `flow`. Loops are written with `next:` and a bound, not by recursion.";
    /// No such model.
    UNKNOWN_MODEL = "E0204", "no such model",
        "A step or a `use:` names a model that is not under `models:` of its flow or of one around it.";
    /// No such step to go to.
    UNKNOWN_TARGET = "E0205", "`next` leads nowhere",
        "`next:` names a step that the flow does not have. `end` ends the flow.";
    /// No such branch.
    UNKNOWN_BRANCH = "E0206", "no such branch",
        "`next:` maps a branch that the step does not have.";
    /// A branch without an edge.
    OPEN_BRANCH = "E0207", "a branch leads nowhere",
        "The step can end in a branch for which `next:` says nothing. Only the branch `next` goes to the following step by itself.";
    /// A step that is never reached.
    UNREACHABLE = "E0208", "a step is never reached",
        "No path from the first step leads there. Remove the step, or name it in a `next:`.";
    /// A reference to nowhere.
    DANGLING = "E0209", "a reference names nothing",
        "References are `step.output`, `inputs.name`, `variables.name`, `visits.step`, or a bare name that some step gives. The variables of a flow are those under its own `variables:`; a flow around it has others.";
    /// An input that nothing feeds.
    UNFED = "E0210", "an input is never given",
        "A step wants an input, and on some path to it nothing gives one: no step before it has an output of that name, the flow has no such input, and there is no default. The same holds for a variable without a default that nothing writes before it is read.";
    /// Types that do not fit.
    TYPE_CLASH = "E0211", "types do not fit",
        "What a wire brings can never become what the input wants. Nothing turns text into a number or a boolean, and a table is nothing but a table.";
    /// No such input.
    UNKNOWN_INPUT = "E0212", "no such input",
        "`with:` wires an input that the step does not have.";
    /// No such output.
    UNKNOWN_OUTPUT = "E0213", "no such output",
        "`output:` or `outputs:` renames what the step does not give, or two outputs get one name.";
    /// A retry edge without a proper bound.
    BAD_RETRY = "E0214", "a retry edge that cannot work",
        "A retry edge needs a step to run again, `max_trials` of at least 1, and `else`.";
    /// A configuration that makes no sense.
    BAD_CONFIG = "E0215", "a configuration that makes no sense",
        "The keys of the step are known and of the right kind, but together they cannot work; the message says why.";
    /// An output that is not given on every path.
    PARTIAL_OUTPUT = "E0216", "an output is not given on every path",
        "A declared output of the flow comes from a step that some path to an end does not run.";
    /// Tables whose rows do not belong together.
    OTHER_ROWS = "E0217", "tables whose rows do not belong together",
        "`add_columns` joins what a map made onto the very rows that it was made from.";
    /// A text that does not parse.
    BAD_TEMPLATE = "E0218", "a text or condition that does not parse",
        "Texts and conditions are Jinja: holes, filters, loops and tests; no calls, imports or macros.";
    /// A name that is used twice.
    DUPLICATE = "E0219", "a name is used twice",
        "Two steps, inputs or outputs of one flow have the same name.";
    /// Rows that cannot grow.
    FIXED_ROWS = "E0228", "rows that cannot grow",
        "A map with `target_accepted` draws further rows until enough are accepted. The tables of `synthesize` have any number of rows, those of `sample_rows` with `replace: true` too, and what puts such tables side by side; a file, a filter and what another map made have those that they have.";
    /// A secret that cannot be one.
    BAD_SECRET = "E0229", "a secret that cannot be one",
        "`secret: true` stands at an input of the top flow whose type is `string` or `string?`. What an inner flow gets of it is hidden there too.";
    /// More problems than are listed.
    MANY = "E0230", "more problems than are listed",
        "At most 500 problems of a flow are listed, because finding out what was meant by each takes time. There may be more; they are listed when these are gone.";
    /// No such datastore.
    UNKNOWN_DATASTORE = "E0240", "no such datastore",
        "A step names a datastore that is not under `datastores:` of its flow or of one around it.";
    /// No such collection.
    UNKNOWN_COLLECTION = "E0241", "no such collection",
        "A step names a collection that its datastore does not declare under `collections:`.";
    /// No such column.
    UNKNOWN_COLUMN = "E0242", "no such column",
        "A step names a column that its collection does not declare.";
    /// No such tool.
    UNKNOWN_TOOL = "E0250", "no such tool",
        "A step or a context provider names a tool that is neither under `tools:` of its flow or of one around it, nor one that the program itself has.";
    /// A tool that cannot work.
    BAD_TOOL = "E0251", "a tool that cannot work",
        "The definition of a tool makes no sense; the message says why. Every tool has a `type:`, a kind that this program knows, and most kinds want their `arguments:` listed.";
    /// A function that nobody lends.
    NOT_LENT = "E0252", "a function that nobody lends",
        "A tool of the kind `host` is a function of the program that runs the flow, which has to name it among the `tools` of `load`.";
    /// A loop without a bound.
    UNBOUNDED = "W0301", "a loop without a bound",
        "Steps can run in a circle, and no retry edge bounds it. It ends at `limits.max_steps`, with an error.";
    /// A definition that hides another.
    SHADOWED = "W0302", "a definition hides another",
        "A model, tool, datastore or flow has the name of one further out, which steps below can no longer reach.";
    /// A step that reads its own earlier output by name.
    SELF_FED = "W0304", "a step feeds itself",
        "When the step runs again, an input that nothing but its name wires takes what the step itself gave before, and no longer what it took the first time. Where that is meant, say so: `with: { NAME: [inputs.NAME, STEP.NAME] }` takes what was given last; else wire it to where it always comes from, or give the output another name.";
    /// An input by name that one of several steps gives.
    SEVERAL_PRODUCERS = "W0305", "an input that one of several steps gives",
        "An input that nothing but its name wires comes from one step, and on some paths a later step gives that name as well, which then counts. Where that is meant, say so: `with: { NAME: [ONE.NAME, OTHER.NAME] }` takes what was given last; else wire it to the one that is meant. Tables, steps of which only one can run, and what a retry edge brings back are not warned of.";
    /// A code that no error has.
    UNKNOWN_ERROR = "W0306", "a code that no error has",
        "`retry_on` or `except_on` names a code, or a kind such as `model.*`, that no error of this program has, so that it would never be retried or caught. Classes of errors that tools say (`ValueError`) are not checked. A program with steps of its own adds their codes by `Registry::with_error_codes`.";
    /// A flow that begins with its end.
    DOES_NOTHING = "W0307", "a flow that does nothing",
        "The first step of the flow ends it and gives nothing, so that the flow does nothing.";
    /// A condition that is no boolean.
    NOT_BOOLEAN = "W0303", "a condition that is no boolean",
        "`until` or `accept` names an output of another type; its truth decides: false, 0, \"\", [], {} and null are not true.";
}
