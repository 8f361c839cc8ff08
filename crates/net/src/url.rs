//! Addresses, and how values come into them.

use std::fmt::Write as _;
use std::net::IpAddr;

use reqwest::Url;
use thiserror::Error;

/// Longest address that is sent; servers take less.
const LONGEST: usize = 64 * 1024;

/// A part of an address before it is put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// As its author wrote it.
    Literal(&'a str),
    /// What comes from data. At the very beginning it is (the beginning of) an address and stays as it is; behind that
    /// it is percent-encoded, so that it is one piece of text wherever it stands.
    Value(&'a str),
}

/// A text that is no address that a request can go to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ParseUrlError(String);

impl ParseUrlError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// Puts an address together. The rules are not asked: [`crate::Rules::check`] does that.
///
/// # Errors
/// When what comes out is no address, when a value in its path is empty or holds a `.` or `..` segment, which would
/// lead to another path, or when the path has such segments.
pub fn assemble<'a>(parts: impl IntoIterator<Item = Part<'a>>) -> Result<Url, ParseUrlError> {
    let mut text = String::new();
    for (place, part) in parts.into_iter().enumerate() {
        match part {
            Part::Literal(literal) => text.push_str(literal),
            Part::Value(value) if place == 0 => text.push_str(value),
            Part::Value("") if !text.contains(['?', '#']) => {
                return Err(ParseUrlError::new("an empty value in the address would make it another address"));
            }
            Part::Value(value) => encode(value, &mut text),
        }
        if text.len() > LONGEST {
            return Err(ParseUrlError::new(format!("the address is longer than {LONGEST} bytes")));
        }
    }
    parse(&text)
}

/// Whether scheme and host of an address are its author's: they end before the first value. Else only an allow list
/// can say which hosts are meant.
pub fn has_fixed_host<'a>(parts: impl IntoIterator<Item = Part<'a>>) -> bool {
    let mut parts = parts.into_iter();
    let Some(Part::Literal(first)) = parts.next() else { return false };
    let after_scheme = first.split_once("://").map(|(_, rest)| rest);
    after_scheme.is_some_and(|rest| rest.contains(['/', '?', '#']) || parts.next().is_none())
}

/// Reads an address. Stricter than browsers are: what they would drop or mend is refused.
///
/// # Errors
/// When the text is no `http` or `https` address, or its path has a `.` or `..` segment, encoded or not.
pub fn parse(text: &str) -> Result<Url, ParseUrlError> {
    let quoted = || format!("`{}`", without_secrets(text).escape_debug());
    let path_end = text.find(['?', '#']).unwrap_or(text.len());
    // Browsers read a backslash as a slash, up to the query.
    let is_odd = |at: usize, c: char| c.is_whitespace() || c.is_control() || (c == '\\' && at < path_end);
    if let Some((_, odd)) = text.char_indices().find(|(at, c)| is_odd(*at, *c)) {
        let what =
            if odd.is_whitespace() { "white space".to_owned() } else { format!("`{}`", odd.escape_debug()) };
        return Err(ParseUrlError::new(format!("the address {} holds {what}", quoted())));
    }
    let Some(rest) = text.split_once("://").filter(|(scheme, _)| is_http(scheme)).map(|(_, rest)| rest) else {
        return Err(ParseUrlError::new(format!(
            "the address {} does not begin with http:// or https://",
            quoted()
        )));
    };
    // `https:///b` would be the host `b`.
    if rest.is_empty() || rest.starts_with(['/', '?', '#']) {
        return Err(ParseUrlError::new(format!("the address {} has no host", quoted())));
    }
    let path = rest.split(['?', '#']).next().unwrap_or_default().split_once('/').map_or("", |(_, path)| path);
    if has_dot_segment(path) {
        let message = format!("the path of {} has a `.` or `..` in it, which leads to another path", quoted());
        return Err(ParseUrlError::new(message));
    }
    Url::parse(text).map_err(|error| ParseUrlError::new(format!("{} is no address: {error}", quoted())))
}

fn is_http(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

/// Whether a path has a segment that leads elsewhere, also to servers that decode before they split, or that cut
/// parameters (`..;x`) off.
fn has_dot_segment(path: &str) -> bool {
    let decoded = decode(path);
    let segments = decoded.split(|byte| matches!(byte, b'/' | b'\\'));
    segments.map(|s| s.split(|byte| *byte == b';').next().unwrap_or_default()).any(|s| s == b"." || s == b"..")
}

pub(crate) fn decode(text: &str) -> Vec<u8> {
    let (bytes, mut decoded, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while at < bytes.len() {
        let digit = |place: usize| bytes.get(place).and_then(|b| char::from(*b).to_digit(16));
        let pair = (bytes[at] == b'%').then(|| Some(digit(at + 1)? * 16 + digit(at + 2)?)).flatten();
        match pair.and_then(|pair| u8::try_from(pair).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    decoded
}

/// Everything but letters, digits and `-._~`.
fn encode(value: &str, text: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
}

/// Adds parameters to the query of an address.
pub fn add_params<'p>(url: &mut Url, params: impl IntoIterator<Item = (&'p str, &'p str)>) {
    let mut params = params.into_iter().peekable();
    // Without any, the address would get a `?` all the same.
    if params.peek().is_some() {
        url.query_pairs_mut().extend_pairs(params);
    }
}

/// The fields of a form as the body of a request, `application/x-www-form-urlencoded`.
pub fn form<'f>(fields: impl IntoIterator<Item = (&'f str, &'f str)>) -> String {
    let Ok(mut form) = Url::parse("http://form/") else { return String::new() };
    add_params(&mut form, fields);
    form.query().unwrap_or_default().to_owned()
}

/// The address as errors show it: no password, no query, which often holds a key, and no fragment.
pub fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    shortened(&format!("{}://{host}{port}{}", url.scheme(), url.path()))
}

/// As [`shown`], for a text that may be no address.
fn without_secrets(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let separator = if scheme.is_empty() { "" } else { "://" };
    match rest.rsplit_once('@') {
        Some((_, host)) => shortened(&format!("{scheme}{separator}***@{host}")),
        None => shortened(&format!("{scheme}{separator}{rest}")),
    }
}

fn shortened(text: &str) -> String {
    const LONGEST: usize = 200;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The address that a host is written as, if it is no name.
pub(crate) fn host_address(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Part::{Literal, Value};

    fn put(before: &str, value: &str, after: &str) -> Result<String, String> {
        assemble([Literal(before), Value(value), Literal(after)]).map(String::from).map_err(|e| e.to_string())
    }

    #[test]
    fn a_value_is_one_piece_of_text_where_it_stands() {
        for (value, encoded) in
            [("a b", "a%20b"), ("a/b?c#d", "a%2Fb%3Fc%23d"), ("50%", "50%25"), ("é&=+", "%C3%A9%26%3D%2B")]
        {
            let url = put("https://h/u/", value, "/x").unwrap();
            assert_eq!(url, format!("https://h/u/{encoded}/x"));
            assert_eq!(put("https://h/u?q=", value, "&r=1").unwrap(), format!("https://h/u?q={encoded}&r=1"));
        }
    }

    #[test]
    fn no_value_leads_to_another_path() {
        for value in ["..", ".", "", "../admin", "a/../../b", "..\\admin", "..;x"] {
            assert!(put("https://h/users/", value, "/delete").is_err(), "{value}");
        }
        assert!(put("https://h/a.", ".", "/b").is_ok());
        assert!(put("https://h/.", ".", "/b").is_err());
        assert!(put("https://h/%2e", "", "?q=1").is_err());
        assert_eq!(put("https://h/a?q=", "", "").unwrap(), "https://h/a?q=");
        assert_eq!(put("https://h/a?q=", "../x", "").unwrap(), "https://h/a?q=..%2Fx");
    }

    #[test]
    fn no_value_behind_the_beginning_leads_to_another_host() {
        for value in ["evil.com/", "evil.com#", "evil.com?", "u@evil.com", "evil.com:80", "evil.com\\"] {
            let found = put("https://", value, ".example.com/");
            assert!(found.as_ref().is_err(), "{value}: {found:?}");
        }
        assert_eq!(put("https://", "eu", ".example.com/").unwrap(), "https://eu.example.com/");
        assert!(put("https://", "", "/evil.com/").is_err());
    }

    #[test]
    fn a_value_at_the_beginning_is_an_address() {
        let base = |base, rest| assemble([Value(base), Literal(rest)]).map(String::from);
        assert_eq!(base("https://h:8/v1", "/items").unwrap(), "https://h:8/v1/items");
        assert!(base("", "https://h/").is_ok());
        for wrong in [
            "",
            "h",
            "ftp://h",
            "https:/h",
            "https:///h",
            "https:\\\\h",
            " https://h",
            "https://h\n",
            "javascript:0",
            "https://h/..",
        ] {
            assert!(base(wrong, "/items").is_err(), "{wrong}");
        }
    }

    #[test]
    fn whose_the_host_is() {
        assert!(has_fixed_host([Literal("https://h/"), Value("x")]));
        assert!(has_fixed_host([Literal("https://h?q="), Value("x")]));
        assert!(has_fixed_host([Literal("https://h")]));
        assert!(!has_fixed_host([Literal("https://h"), Value("x")]));
        assert!(!has_fixed_host([Literal("https://"), Value("x"), Literal("/")]));
        assert!(!has_fixed_host([Value("https://h/")]));
        assert!(!has_fixed_host([]));
    }

    #[test]
    fn fields_are_encoded_as_forms_are() {
        let mut url = parse("https://h/?a=1").unwrap();
        add_params(&mut url, [("q", "a b&c=d")]);
        assert_eq!(url.as_str(), "https://h/?a=1&q=a+b%26c%3Dd");
        add_params(&mut url, []);
        assert_eq!(form([("a", "1"), ("b", "é#")]), "a=1&b=%C3%A9%23");
        assert_eq!(form([]), "");
    }

    #[test]
    fn secrets_of_an_address_are_not_shown() {
        assert_eq!(shown(&parse("https://u:hunter2@h:8/a?key=k1#f").unwrap()), "https://h:8/a");
        let error = parse("https://u:hunter2@h /a?key=k1").unwrap_err().to_string();
        assert!(!error.contains("hunter2") && !error.contains("k1") && error.contains("h /a"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_value_the_place_stays(value in "\\PC*") {
            if let Ok(url) = assemble([Literal("https://h/a/"), Value(&value), Literal("/b?c="), Value(&value)]) {
                proptest::prop_assert_eq!(url.host_str(), Some("h"));
                proptest::prop_assert_eq!(url.path().split('/').count(), 4);
                let pairs: Vec<_> = url.query_pairs().collect();
                proptest::prop_assert_eq!(pairs.len(), 1);
                proptest::prop_assert_eq!(&*pairs[0].1, value.as_str());
            }
        }
    }
}
