//! `${NAME}` and `${NAME:-default}` in a scalar.

/// Why a scalar could not be completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The variable is not set and has no default.
    Unset(String),
    /// Something after `${` that is no name, or no `}`.
    Malformed,
}

/// The text with the environment's values in it, or everything that is wrong with it. `$${` is the text `${`; what a
/// variable holds is not searched further. A default stands in for a variable that is unset or empty.
pub(super) fn interpolate(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, Vec<Fault>> {
    let mut out = String::with_capacity(text.len());
    let mut faults = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = (&rest[..at], &rest[at + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = from;
            continue;
        }
        out.push_str(before);
        let Some((name, default, after)) = variable(from) else {
            faults.push(Fault::Malformed);
            rest = from;
            continue;
        };
        match (env(name), default) {
            (Some(value), _) if !value.is_empty() => out.push_str(&value),
            (_, Some(default)) => out.push_str(default),
            (Some(_), None) => {}
            (None, None) => faults.push(Fault::Unset(name.to_owned())),
        }
        rest = after;
    }
    out.push_str(rest);
    if faults.is_empty() { Ok(out) } else { Err(faults) }
}

/// `NAME}…` or `NAME:-default}…`, as the name, the default and what follows.
fn variable(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let (inside, after) = text.split_once('}')?;
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let is_flat = default.is_none_or(|d| !d.contains("${"));
    (is_name && is_flat).then_some((name, default, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "A" => Some("a".to_owned()),
            "DOLLAR" => Some("${A}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_replaced_once() {
        for (text, expected) in [
            ("x${A}y${A}", "xaya"),
            ("${DOLLAR}", "${A}"),
            ("$${A}", "${A}"),
            ("${NO:-b c}", "b c"),
            ("${NO:-}", ""),
            ("${EMPTY:-b}", "b"),
            ("${EMPTY}", ""),
            ("$A {A} $", "$A {A} $"),
        ] {
            assert_eq!(interpolate(text, &env).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn everything_wrong_is_reported() {
        let faults = vec![Fault::Unset("NO".into()), Fault::Malformed, Fault::Malformed];
        assert_eq!(interpolate("${NO} ${A} ${B-c} ${ALSO", &env), Err(faults));
        assert_eq!(interpolate("${NO:-${A}}", &env), Err(vec![Fault::Malformed]));
    }
}
