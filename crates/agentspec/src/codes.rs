//! The codes of what can be wrong with an Agent Spec document, with the paragraph that the documentation gives each.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $title:literal, $text:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $code;)*

        /// Every code with its title and what it means and what to do.
        pub const CODES: &[(&str, &str, &str)] = &[$(($code, $title, $text)),*];
    };
}

codes! {
    /// The document is no component that can be read.
    NO_COMPONENT = "E0401", "no component",
        "An Agent Spec document is a mapping with `component_type`; what runs here is a `Flow`. A reference at the top leads to one under `$referenced_components`.";
    /// The version is no version, or older than all that are known.
    BAD_VERSION = "E0402", "no version of Agent Spec",
        "`agentspec_version` is a text such as 26.1.2: year, quarter and patch. Documents from 25.4.1 on are read; one that says nothing is read as the latest.";
    /// A reference leads nowhere.
    UNRESOLVED = "E0403", "a reference leads nowhere",
        "`$component_ref` names what stands under some `$referenced_components`, of the document or of a file given by `--components`. The `id` of a component that stands in its place is no target.";
    /// A component of another kind than the field takes.
    WRONG_COMPONENT = "E0404", "a component of another kind",
        "The field takes a component, and what stands there is none, or one of another kind: a tool where a flow belongs.";
    /// Two components with one id.
    TWICE = "E0405", "an id is used twice",
        "All `$referenced_components`, at every level and in all files, are one mapping: no id may stand in it twice.";
    /// A component contains itself.
    CIRCLE = "E0406", "a component contains itself",
        "Following references from a component leads back to it. A flow cannot run itself; loops are written with control flow edges.";
    /// A field is missing.
    MISSING = "E0407", "a field is missing",
        "The component needs a field that is not there, or is null.";
    /// A field is of the wrong kind.
    WRONG_FIELD = "E0408", "a field of the wrong kind",
        "The field is known, but its value is not of the kind or in the range that it takes.";
    /// A file of components holds something else.
    NO_COMPONENTS = "E0409", "a file that holds more than components",
        "A file given by `--components` has the one key `$referenced_components`, a mapping from ids to components and values.";
    /// A property is none.
    BAD_PROPERTY = "E0410", "a property that is none",
        "A property is a JSON schema with a `title` that is not empty and holds none of `. , { } ' \"`, no space and no line break. Its `type` is string, number, integer, boolean, null, array or object, or a list of these.";
    /// A default is not of its type.
    BAD_DEFAULT = "E0411", "a default of another type",
        "The `default` of a property must be a value of its type.";
    /// Ports that differ from those that the component has.
    OTHER_PORTS = "E0412", "ports that the component does not have",
        "`inputs` and `outputs` of a component may say more of the ports that it has by its nature, but must name just these, each once.";
    /// Branches that differ from those that the node has.
    OTHER_BRANCHES = "E0413", "branches that the node does not have",
        "`branches` of a node, where it is written, lists just the branches that the node has by its nature.";
    /// Where a flow starts is wrong.
    BAD_START = "E0414", "no proper start",
        "A flow has one `StartNode`, which is its `start_node`, stands in `nodes`, has one edge that leads on and none that leads to it.";
    /// Where a flow ends is wrong.
    BAD_END = "E0415", "no proper end",
        "A flow has at least one `EndNode`. An edge leads to each, and none leads on.";
    /// An edge touches a node that the flow does not have.
    FOREIGN_NODE = "E0416", "an edge to a node of another flow",
        "Both ends of an edge are nodes of the flow, listed under `nodes`; the source of a data flow edge may also be a context provider.";
    /// An edge from a branch that the node does not have, or that has one already.
    BAD_BRANCH = "E0417", "an edge from a branch that is not free",
        "`from_branch` names a branch of the node, `next` where it is null, and one edge leads on from each.";
    /// A data edge names a port that is not there.
    UNKNOWN_PORT = "E0418", "an edge between ports that are not there",
        "`source_output` is an output of the source and `destination_input` an input of the destination.";
    /// Types that do not fit.
    NOT_CASTABLE = "E0419", "types do not fit",
        "What a data flow edge brings can never become what the input takes. Everything becomes a string; numbers and booleans become each other; nothing becomes a number from a string.";
    /// An input that nothing feeds.
    UNFED = "E0420", "an input is never given",
        "No data flow edge leads to the input, and it has no default. `data_flow_connections: null` wires by names; `[]` wires nothing.";
    /// An output that an end does not give.
    PARTIAL_OUTPUT = "E0421", "an output that an end does not give",
        "An output of a flow without a default must be an output of every `EndNode`, with one type.";
    /// A map that cannot work.
    BAD_MAP = "E0422", "a map that cannot work",
        "`reducers` names outputs of the flow, each with append, sum, average, max or min; all but append take numbers. Some input of a map must bring an array.";
    /// Flows that cannot run beside each other.
    CLASH = "E0423", "flows that do not go together",
        "Flows that run in parallel share their inputs by name, which must be of one type, and no two of them give an output of one name.";
    /// An output that has no default where an exception is caught.
    NO_DEFAULT = "E0424", "an output without a default",
        "Where a `CatchExceptionNode` catches, all outputs of its flow are their defaults: each needs one, at the node or at the flow.";
    /// A mapping that leads nowhere.
    BAD_MAPPING = "E0425", "a mapping that does not work",
        "`mapping` of a `BranchingNode` is a mapping from texts to names of branches; `input_mapping` and `output_mapping` rename ports that the node has.";
    /// Values of a component that do not go together.
    BAD_COMPONENT = "E0426", "values that do not go together",
        "Each field of the component is fine, but together they cannot work; the message says why.";
    /// A header that stands twice.
    HEADER_TWICE = "E0427", "a header stands twice",
        "`headers` and `sensitive_headers` have no name in common.";
    /// A policy of retries out of its bounds.
    BAD_RETRY = "E0428", "a retry policy that cannot work",
        "`max_attempts` is from 0 to 20, delays are not negative, and `max_retry_delay` is not less than `initial_retry_delay`.";
    /// A variable that the flow does not have.
    UNKNOWN_VARIABLE = "E0429", "no such variable",
        "A node reads or writes a variable that is not in the `state` of its `ExtendedFlow`.";
    /// A sensitive value that is not given.
    NO_SECRET = "E0430", "a sensitive value is not given",
        "The document leaves a sensitive value out and names it by a reference. Give it in a file by `--components`, or in the environment variable that the message names.";
    /// A component that has no counterpart here.
    UNSUPPORTED = "E0440", "not supported here",
        "The component is part of Agent Spec or of WayFlow, or of somebody's plugin, and this program has nothing that does what it says. It is refused, so that a flow never runs without what it asks for.";
    /// A step that no document has.
    OWN_STEP = "E0450", "a step that Agent Spec does not have",
        "Neither Agent Spec nor WayFlow has a component that does what the step does, so the flow cannot become a document that others run. `flowrun export --keep-custom` carries such steps as components that flowrun alone reads.";
    /// Something that no document says.
    UNSAID = "E0451", "something that no document can say",
        "The flow has something for which there is neither a field nor an edge, and that cannot stand in metadata either: a port with a name that no property can have, flows in parallel that take one name as two types, or a setting that is read from several steps while the flow runs.";
    /// A version that is too old for what the document holds.
    TOO_OLD = "E0452", "a version that is too old",
        "The document holds something that came with a later version of Agent Spec than the one that was asked for. Without `--agentspec-version` it says the lowest one that suffices.";
    /// The version is not known.
    UNKNOWN_VERSION = "W0401", "a version that is not known",
        "The document is read like one of the latest version that is known. What is new in its own may be missing.";
    /// A field that nothing reads.
    UNKNOWN_FIELD = "W0402", "a field that nothing reads",
        "The component has no such field, so it has no effect.";
    /// A branch without an edge.
    OPEN_BRANCH = "W0403", "a branch leads nowhere",
        "No control flow edge leads on from a branch of the node. Where it is taken the flow ends, without a name and with the defaults of its outputs.";
    /// Something that has no effect here.
    NO_EFFECT = "W0404", "something that has no effect here",
        "The document says something that this program knows and does nothing about, or does otherwise; the message says which. The flow runs.";
    /// An exception that nothing here raises.
    NO_SUCH_EXCEPTION = "W0405", "an exception that nothing raises here",
        "A key of `except_on` is the class of an error as a tool says it, such as `ValueError`, or a code such as `model.truncated`. This is neither, so that its branch is never taken; `catch_all_exceptions` catches every error.";
    /// A sensitive value that does not stand in the document.
    LEFT_OUT = "W0410", "a sensitive value was left out",
        "A document holds no keys and passwords: a reference stands in the place of each. Where the document is run, the value comes from a file given by `--components`, or from the environment variable that the message names.";
    /// A node that is never reached.
    UNREACHED = "W0406", "a node that is never reached",
        "No way from the start leads to the node. It is left out.";
}
