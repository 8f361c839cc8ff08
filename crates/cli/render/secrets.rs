//! Hides secrets in the lines of a file that are shown.

use flowrun_yaml::is_secret_key;

const HIDDEN: char = '•';

/// The line with the value of every secret key hidden, each letter by a sign, so that places stay where they are.
/// A value that only names an environment variable, `${NAME}`, is no secret.
pub(super) fn hidden(line: &str) -> String {
    let input = is_secret_input(line);
    let (mut shown, mut rest) = (String::with_capacity(line.len()), line);
    while let Some(start) = rest.find(is_letter) {
        let end = rest[start..].find(|c| !is_letter(c)).map_or(rest.len(), |n| start + n);
        let (before, after) = rest.split_at(end);
        shown.push_str(before);
        rest = after;
        let Some(colon) = after.find(':').filter(|n| after[..*n].trim_matches(['"', '\'', ' ']).is_empty()) else {
            continue;
        };
        let key = &before[start..];
        if is_secret_key(key) || (input && key == "default") {
            let (sign, value) = after.split_at(colon + 1);
            if input && value.trim_start().starts_with('{') {
                continue; // what an input named so is, and not what it holds
            }
            let (value, after) = value.split_at(length_of_value(value));
            shown.push_str(sign);
            shown.extend(value.chars().map(|c| if names_variable(value) || !is_hidden(c) { c } else { HIDDEN }));
            rest = after;
        }
    }
    without_passwords(&(shown + rest))
}

/// Whether the line declares a secret input.
fn is_secret_input(line: &str) -> bool {
    line.split_once("secret").is_some_and(|(_, after)| {
        let value = after.trim_start_matches(['"', '\'', ' ']).strip_prefix(':');
        value.is_some_and(|value| value.trim_start().starts_with("true"))
    })
}

/// The text with the password of every address hidden, `postgres://me:PASSWORD@host/db`.
fn without_passwords(text: &str) -> String {
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("://") {
        let (before, address) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = address.find(|c: char| c.is_whitespace() || "\"'".contains(c)).unwrap_or(address.len());
        let password = address[..end].rfind('@').and_then(|to| Some((address[..to].find(':')? + 1, to)));
        if let Some((from, to)) = password {
            shown.push_str(&address[..from]);
            let password = &address[from..to];
            shown.extend(password.chars().map(|c| if names_variable(password) { c } else { HIDDEN }));
            rest = &address[to..];
        } else {
            rest = address;
        }
    }
    shown + rest
}

/// The text with the value of every secret key hidden.
pub(crate) fn without_secrets(text: &str) -> String {
    text.split_inclusive('\n').map(hidden).collect()
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn is_hidden(c: char) -> bool {
    !c.is_whitespace() && !"\"'[]{}".contains(c)
}

fn names_variable(value: &str) -> bool {
    let value = value.trim().trim_matches(['"', '\'']);
    value.strip_prefix("${").and_then(|v| v.strip_suffix('}')).is_some_and(|name| name.chars().all(is_letter))
}

/// Up to the comma or brace that ends the value, or the whole rest of the line.
fn length_of_value(text: &str) -> usize {
    let (mut quote, mut open) = (None, 0);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(begun), c) if begun == c => quote = None,
            (None, '{' | '[') => open += 1,
            (None, '}' | ']' | ',') if open == 0 => return at,
            (None, '}' | ']') => open -= 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_the_rest_is_not() {
        for (line, shown) in [
            ("{ api_key: sk-12, temprature: 0 }", "{ api_key: •••••, temprature: 0 }"),
            ("  api_key: \"sk, 12\" # mine", "  api_key: \"••• ••\" • ••••"),
            ("{ 'token': [a, b], x: 1 }", "{ 'token': [•• •], x: 1 }"),
            ("  api_key: ${MY_KEY}", "  api_key: ${MY_KEY}"),
            ("  api_key: ${MY_KEY:-sk-1}", "  api_key: •{••••••••••••}"),
            ("  max_tokens: 5", "  max_tokens: 5"),
            ("  url: postgres://me:pw@host/d # x", "  url: postgres://me:••@host/d # x"),
            ("{ url: 'postgres://me:a@b:c@host', x: 1 }", "{ url: 'postgres://me:•••••@host', x: 1 }"),
            ("  url: postgres://me:${PW}@host/d", "  url: postgres://me:${PW}@host/d"),
            ("  url: http://host:80/a", "  url: http://host:80/a"),
            ("  password:", "  password:"),
            ("token: { type: string, secret: true }", "token: { type: string, secret: true }"),
            ("  key: { secret: true, default: a b }", "  key: { secret: true, default: • • }"),
            ("  key: { default: \"${KEY}\", secret: true }", "  key: { default: \"${KEY}\", secret: true }"),
            ("  key: { secret: false, default: a }", "  key: { secret: false, default: a }"),
        ] {
            assert_eq!(hidden(line), shown);
        }
    }
}
