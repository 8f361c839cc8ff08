//! Codes of tools, and of the agents that call them.

use super::Codes;

pub(super) const TOOLS: Codes = &[
    (
        "tool.not_lent",
        "a tool of the kind `host` is a function of the program that runs the flow by `flowrun host`; nobody lends one of \
         that name. The run ends, whatever its policy.",
    ),
    ("host.gone", "the program that lends a function is gone, or its input has ended. The run ends."),
    (
        "host.answer",
        "the program that lends a function wrote a line that is no answer of JSON-RPC. The run ends; it can be run again.",
    ),
    ("host.too_large", "a call or an answer has more than 32 MiB, which no message may have."),
    (
        "host.output",
        "an output cannot be handed to the host: it has no form in JSON, or its file cannot be written.",
    ),
    (
        "tool.failed",
        "the tool answered with an error, which is the message; the detail `type` is its class where the tool says it. \
         `raise_errors: false` makes it the step's output, a `catch` step gives it a branch.",
    ),
    (
        "tool.arguments",
        "a tool was called with what it does not take: an argument is missing, unknown, or of another type. Only callers that \
         choose arguments while the flow runs can do this; those of a `tool` step are checked before.",
    ),
    (
        "tool.result",
        "what a tool gave is not what its `results:` say: a name is missing, or a value is of another type. Nothing is turned \
         into another type but what every wire turns.",
    ),
    (
        "tool.start",
        "the program of a tool cannot be started, or a variable that it is to get is not set. Paths are relative to the flow's \
         file, and no shell reads the command.",
    ),
    (
        "tool.died",
        "the program of a tool ended while it was called; the details hold the end of what it wrote to standard error. The next \
         call starts it again.",
    ),
    (
        "tool.timeout",
        "a tool did not answer within its `timeout:`. Its program was ended, with all that it had started; the next call starts \
         it again.",
    ),
    (
        "tool.protocol",
        "what the program of a tool wrote is no answer: no JSON, too long a line, or the answer to another call. It answers each \
         line with one line; what it says besides goes to standard error.",
    ),
    (
        "tool.unfinished",
        "a call of a tool with `idempotent: false` began in a process that ended before the call did, so that nobody knows \
         whether it was carried out. The run stops and asks: `flowrun resume RUN --redo` makes such calls again, `--skip` takes \
         null for what they gave, where the type of the result allows it.",
    ),
    (
        "tool.unreachable",
        "an MCP server cannot be connected to, does not speak the protocol, or the connection broke while it was asked.",
    ),
    ("tool.unknown", "an MCP server does not have the tool that the flow names."),
    (
        "tool.schema",
        "an MCP server says otherwise of a tool than the flow: an argument or result has another name or type there, or is \
         missing here. `check` asks no server, so the first call finds it. List what the server does.",
    ),
    (
        "tool.refused",
        "the tool starts a program that speaks MCP, and `--allow-stdio-mcp` was not given. Look at what the flow starts first.",
    ),
    (
        "tool.rejected",
        "somebody was asked whether the tool may be called (`confirm: true`), and did not allow it; the message is the reason.",
    ),
    (
        "agent.unfinished",
        "an agent had no answer after its `max_iterations`. The details hold its last text. Raise them, give it a smaller task, or \
         tools that lead there sooner.",
    ),
];
