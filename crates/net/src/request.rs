//! [`Request`] and [`Response`].

use std::fmt;

use base64::Engine;
use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};

use crate::{Error, Limits};

/// Headers that say how a message is sent, or to whom. They are the connection's, and a wrong one could smuggle a second
/// request or reach another server behind the same address.
const OURS: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Headers that are secret whatever their author says.
const SECRET: &[&str] = &["authorization", "cookie", "x-api-key"];
/// What is shorter would be found everywhere.
const SHORTEST_SECRET: usize = 4;
const HIDDEN: &str = "***";

/// A request as it is to be sent. What it prints holds no header and no body.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The address.
    pub url: Url,
    /// Sent as `X-Client-Request-Id`, the same for every try; also what chance in the waits follows from.
    pub identity: String,
    /// What it may take.
    pub limits: Limits,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    secrets: Vec<String>,
}

impl Request {
    /// A request without headers or body, with the usual limits.
    pub fn new(method: Method, url: Url, identity: impl Into<String>) -> Self {
        let mut request = Self {
            method,
            url,
            identity: identity.into(),
            limits: Limits::default(),
            headers: HeaderMap::new(),
            body: None,
            secrets: Vec::new(),
        };
        request.keep_credentials();
        request
    }

    /// Adds a header. `Authorization`, `Cookie` and `X-Api-Key` are sensitive whatever is said.
    ///
    /// # Errors
    /// When the name or the value can be no header, the header stands there already, or is the connection's own.
    pub fn header(&mut self, name: &str, value: &str, sensitive: bool) -> Result<(), Error> {
        let name = header_name(name).map_err(Error::request)?;
        let sensitive = sensitive || SECRET.contains(&name.as_str());
        let mut header = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
            let message =
                format!("the value of the header `{name}` holds a line break or another control character");
            Error::request(message)
        })?;
        header.set_sensitive(sensitive);
        if sensitive {
            self.keep_secret(value);
        }
        if self.headers.insert(name.clone(), header).is_some() {
            return Err(Error::request(format!("the header `{name}` is given twice")));
        }
        Ok(())
    }

    /// Adds cookies, which are sensitive.
    ///
    /// # Errors
    /// When a name or value holds what separates cookies, or a header `Cookie` stands there already.
    pub fn cookies<'c>(&mut self, cookies: impl IntoIterator<Item = (&'c str, &'c str)>) -> Result<(), Error> {
        let mut line = String::new();
        for (name, value) in cookies {
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                return Err(Error::request(format!("`{}` is no name of a cookie", name.escape_debug())));
            }
            let odd = |byte: u8| !byte.is_ascii_graphic() || b"\",;\\".contains(&byte);
            if value.bytes().any(odd) {
                let message =
                    format!("the value of the cookie `{name}` holds a character that no cookie may hold");
                return Err(Error::request(message));
            }
            self.keep_secret(value);
            let separator = if line.is_empty() { "" } else { "; " };
            line.extend([separator, name, "=", value]);
        }
        if line.is_empty() { Ok(()) } else { self.header(COOKIE.as_str(), &line, true) }
    }

    /// Sets the body; `content_type` holds where no header says it.
    pub fn body(&mut self, body: impl Into<Bytes>, content_type: &'static str) {
        self.body = Some(body.into());
        self.headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(content_type));
    }

    /// The text with every secret of this request hidden: some servers quote what they refuse.
    pub fn redact(&self, mut text: String) -> String {
        for secret in &self.secrets {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), HIDDEN);
            }
        }
        text
    }

    /// Keeps the password of the address in the forms in which it is sent or may be quoted.
    fn keep_credentials(&mut self) {
        let Some(password) = self.url.password().map(str::to_owned) else { return };
        let plain = crate::url::decode(&password);
        let mut both = crate::url::decode(self.url.username());
        both.push(b':');
        both.extend_from_slice(&plain);
        let sent = base64::engine::general_purpose::STANDARD.encode(both);
        for form in [password, String::from_utf8_lossy(&plain).into_owned(), sent] {
            self.keep_secret(&form);
        }
    }

    /// Keeps a secret with its parts: `Bearer KEY` is as secret as `KEY`. The longest are hidden first.
    fn keep_secret(&mut self, text: &str) {
        let parts = text.split_whitespace().chain([text]).filter(|part| part.len() >= SHORTEST_SECRET);
        self.secrets.extend(parts.filter(|part| !is_scheme(part)).map(str::to_owned));
        self.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        self.secrets.dedup();
    }
}

fn is_scheme(word: &str) -> bool {
    ["basic", "bearer", "digest", "token", "apikey"].iter().any(|scheme| scheme.eq_ignore_ascii_case(word))
}

/// Checks the name of a header that somebody wrote.
///
/// # Errors
/// Why it cannot be sent.
pub fn header_name(name: &str) -> Result<HeaderName, String> {
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("`{}` is no name of a header", name.escape_debug()))?;
    if OURS.contains(&name.as_str()) {
        return Err(format!("the header `{name}` is set by the connection itself; leave it out"));
    }
    Ok(name)
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = crate::url::shown(&self.url);
        f.debug_struct("Request").field("method", &self.method).field("url", &url).finish_non_exhaustive()
    }
}

/// What a server answered, whatever the status.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The body, whole.
    pub body: Bytes,
    /// How often it was tried.
    pub tries: u32,
    /// Where the reply came from, after redirects.
    pub url: Url,
}

impl Response {
    /// The body as text, without a byte order mark.
    ///
    /// # Errors
    /// When it is no UTF-8.
    pub fn text(&self) -> Result<&str, std::str::Utf8Error> {
        std::str::from_utf8(&self.body).map(|text| text.strip_prefix('\u{feff}').unwrap_or(text))
    }

    /// The beginning of the body for an error, with the secrets of the request hidden.
    pub fn excerpt(&self, of: &Request) -> String {
        const LONGEST: usize = 2000;
        let text = of.redact(String::from_utf8_lossy(&self.body).into_owned());
        match text.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request::new(Method::GET, crate::url::parse("https://u:hunter22@h/a?key=k").unwrap(), "id")
    }

    #[test]
    fn what_could_be_a_second_request_is_refused() {
        let mut request = request();
        for (name, value) in [
            ("x-a", "1\r\nx-b: 2"),
            ("x-a", "\0"),
            ("x a", "1"),
            ("", "1"),
            ("Host", "h"),
            ("content-length", "1"),
        ] {
            assert_eq!(request.header(name, value, false).unwrap_err().kind.code(), "http.request", "{name}");
        }
        request.header("X-A", "é", false).unwrap();
        assert!(request.header("x-a", "2", false).unwrap_err().message.contains("twice"));
        for value in ["a;b", "a b", "a,b", "a\r\nb", "é"] {
            assert!(request.cookies([("a", value)]).is_err(), "{value}");
        }
        request.cookies([("a", "1"), ("b", "")]).unwrap();
        assert_eq!(request.headers["cookie"], "a=1; b=");
        assert!(request.headers["cookie"].is_sensitive());
    }

    #[test]
    fn secrets_are_hidden_wherever_they_are_quoted() {
        let mut request = request();
        request.header("authorization", "Bearer sk-12345", false).unwrap();
        request.header("x-key", "topsecret", true).unwrap();
        request.cookies([("session", "c00kie")]).unwrap();
        let quoted = "Bearer sk-12345, sk-12345, topsecret, c00kie, hunter22, dTpodW50ZXIyMg==, Bearer".to_owned();
        assert_eq!(request.redact(quoted), "***, ***, ***, ***, ***, ***, Bearer");
        let printed = format!("{request:?}");
        assert!(!printed.contains("sk-") && !printed.contains("hunter") && !printed.contains("key"), "{printed}");
    }
}
