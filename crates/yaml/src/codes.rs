//! The codes of what can be wrong with a file, with the paragraph that the documentation gives each.

/// The file cannot be read as a text.
pub const UNREADABLE: &str = "E0101";
/// A key that nothing here knows.
pub const UNKNOWN_KEY: &str = "E0102";
/// The text is not the YAML that flow files are written in.
pub const SYNTAX: &str = "E0103";
/// A value is of the wrong kind.
pub const WRONG_KIND: &str = "E0104";
/// A key that must be there is not.
pub const MISSING_KEY: &str = "E0105";
/// A name that cannot be used.
pub const BAD_NAME: &str = "E0106";
/// A limit on size was passed.
pub const OVER_LIMIT: &str = "E0107";
/// A text that `!file` names cannot be read.
pub const FILE: &str = "E0108";
/// An environment variable is not set.
pub const ENVIRONMENT: &str = "E0109";
/// A secret that can be read in the file.
pub const SECRET: &str = "E0110";
/// A number that is probably meant as text.
pub const LEADING_ZERO: &str = "W0101";

/// Every code with its title and its explanation.
pub const CODES: &[(&str, &str, &str)] = &[
    (
        UNREADABLE,
        "the file cannot be read",
        "The file is empty, is larger than 4 MiB, or is not UTF-8. A flow file is a YAML mapping in UTF-8; save it in \
         that encoding, and keep data in files of its own that steps read.",
    ),
    (
        UNKNOWN_KEY,
        "unknown key",
        "Nothing reads this key, so it would have no effect. Mostly it is a slip of the pen, and the nearest known \
         name is proposed. `flow` and `seed` stand only at the top of a file, `default` only at an input or a variable, `secret` only at an input.",
    ),
    (
        SYNTAX,
        "the text is not valid YAML",
        "The file ends at this mistake for the parser. Frequent causes: a tab where spaces indent, an unquoted text \
         that holds `: ` or begins with `{`, `[`, `*`, `&`, `@` or a backtick, a key written twice, a bracket that is \
         not closed. A file holds one document, and the only tag is `!file PATH`.",
    ),
    (
        WRONG_KIND,
        "a value of the wrong kind",
        "The key is known, but its value is not of the kind it takes: a text where a number belongs, a mapping where a \
         name belongs, a short hand that is none, a default that its type does not admit. The message says what \
         belongs there.",
    ),
    (
        MISSING_KEY,
        "a key is missing",
        "A flow needs `steps`, a step needs `type`, an input in its long form needs `type`, and a retry edge needs \
         `retry`, `max_trials` and `else`.",
    ),
    (
        BAD_NAME,
        "a name that cannot be used",
        "Names of flows, steps, models, inputs and variables are made of letters, digits, `_` and `-`, because references such as \
         `step.output` are made of them. `inputs`, `variables`, `visits` and `end` mean something else in a \
         reference or in `next`, so no step can have them.",
    ),
    (
        OVER_LIMIT,
        "a limit was passed",
        "A flow file may be nested 64 levels deep, hold 200,000 values, and grow by 50,000 values through aliases; \
         flows may stand 16 deep in each other. Real flows are far below. At most 500 problems of a file are listed.",
    ),
    (
        FILE,
        "`!file` cannot be read",
        "`!file PATH` puts the text of a file in its place. The path is relative to the flow's file and may not leave \
         its folder, also not through a symbolic link, unless `--allow-path DIR` allows that folder. The file must be \
         UTF-8 and not larger than 4 MiB.",
    ),
    (
        ENVIRONMENT,
        "an environment variable is not set",
        "`${NAME}` is replaced by an environment variable, and this one is not set. Set it, or give a default with \
         `${NAME:-default}`, which also stands in for an empty one. For the text itself write `$${`.",
    ),
    (
        SECRET,
        "a secret stands in the file",
        "A flow's file is read by many. The default of an input with `secret: true` comes from the environment, \
         `default: ${NAME}`, without a text that stands in for it. Without a default it is given each time, with \
         `-i NAME=VALUE` or in a file of inputs.",
    ),
    (
        LEADING_ZERO,
        "a number with a leading zero",
        "YAML reads `007` as the number 7: the zeros are lost. Where a postal code or another identifier is meant, \
         quote it. This is a warning, the flow runs.",
    ),
];
