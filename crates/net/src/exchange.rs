//! One try of a request: the exchange, its redirects, and the body of the reply.

use std::error::Error as StdError;

use bytes::{Bytes, BytesMut};
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION,
};
use reqwest::{Method, StatusCode, Url};

use crate::rules::Refused;
use crate::url::{parse, shown};
use crate::{Error, ErrorKind, Request, Response, Rules};

const IDENTITY: HeaderName = HeaderName::from_static("x-client-request-id");

pub(crate) struct Exchange<'a> {
    pub(crate) http: &'a reqwest::Client,
    pub(crate) request: &'a Request,
    pub(crate) rules: &'a Rules,
}

/// A try that came to no reply.
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// Whether another try may come to one.
    pub(crate) may_pass: bool,
    /// Whether the server cannot have begun with it.
    pub(crate) nothing_sent: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, may_pass: false, nothing_sent: false }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Error::from(refused).into()
    }
}

/// What is sent next: the request itself, then what its redirects make of it.
struct Hop {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<Bytes>,
}

impl Exchange<'_> {
    /// The reply, and its headers.
    pub(crate) async fn run(&self) -> Result<(Response, HeaderMap), Failure> {
        let mut hop = self.first();
        let mut redirects = 0;
        loop {
            let response = self.send(&hop).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            let target = redirect_target(status, &headers).filter(|_| self.request.limits.redirects > 0);
            let Some(target) = target else {
                let body = self.read(&hop.url, response).await?;
                return Ok((Response { status, body, tries: 0, url: hop.url }, headers));
            };
            redirects += 1;
            if redirects > self.request.limits.redirects {
                let message =
                    format!("`{}` redirects more than {} times", shown(&self.request.url), redirects - 1);
                let help = "ask the address that it ends at, or raise `max_redirects`";
                return Err(Error::new(ErrorKind::RefusedUrl, message, help).into());
            }
            hop = self.next(hop, status, target)?;
        }
    }

    fn first(&self) -> Hop {
        let request = self.request;
        let mut headers = request.headers.clone();
        if let Ok(identity) = HeaderValue::from_str(&request.identity) {
            headers.entry(IDENTITY).or_insert(identity);
        }
        Hop { method: request.method.clone(), url: request.url.clone(), headers, body: request.body.clone() }
    }

    /// What a redirect makes of a request: judged anew, and to another server without what is secret.
    fn next(&self, hop: Hop, status: StatusCode, target: &HeaderValue) -> Result<Hop, Failure> {
        let url = address_of(&hop.url, target)?;
        self.rules.check_redirect(&hop.url, &url)?;
        let Hop { mut method, url: from, mut headers, mut body } = hop;
        let becomes_get = match status {
            StatusCode::SEE_OTHER => method != Method::HEAD,
            // As every client does, whatever the standard meant.
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => method == Method::POST,
            _ => false,
        };
        if becomes_get {
            method = Method::GET;
            body = None;
            for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE] {
                headers.remove(name);
            }
        }
        if url.origin() != from.origin() {
            if body.is_some() {
                let message =
                    format!("`{}` redirects the body to another server, `{}`", shown(&from), shown(&url));
                return Err(Refused::new(message, "ask that server itself if it is meant").into());
            }
            headers =
                headers.iter().filter(|(_, v)| !v.is_sensitive()).map(|(n, v)| (n.clone(), v.clone())).collect();
        }
        Ok(Hop { method, url, headers, body })
    }

    async fn send(&self, hop: &Hop) -> Result<reqwest::Response, Failure> {
        let mut request = self.http.request(hop.method.clone(), hop.url.clone()).headers(hop.headers.clone());
        if let Some(body) = &hop.body {
            request = request.body(body.clone());
        }
        request.send().await.map_err(|error| self.broken(&hop.url, error))
    }

    /// Reads a body to its end, or to the limit.
    async fn read(&self, url: &Url, mut response: reqwest::Response) -> Result<Bytes, Failure> {
        let most = self.request.limits.largest_reply;
        let too_large = || {
            let message = format!("the reply of `{}` has more than {most} bytes", shown(url));
            Failure::from(Error::new(
                ErrorKind::TooLarge,
                message,
                "raise `max_response_bytes`, or ask for less at once",
            ))
        };
        let announced = response.content_length().unwrap_or(0);
        if self.request.method != Method::HEAD && usize::try_from(announced).map_or(true, |length| length > most) {
            return Err(too_large());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(url, error))? {
            if chunk.len() > most - body.len() {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    fn broken(&self, url: &Url, error: reqwest::Error) -> Failure {
        if let Some(refused) = refusal(&error) {
            return refused.into();
        }
        let connecting = error.is_connect();
        let reasons = reasons(&error.without_url());
        let what = if connecting { "there is no connection to" } else { "the exchange broke off with" };
        let message = self.request.redact(format!("{what} `{}`: {reasons}", shown(url)));
        let help = if connecting { "check the address, and that the server runs" } else { "try again later" };
        let error = Error::new(ErrorKind::Connect, message, help);
        // A certificate does not get better from asking again.
        let may_pass = !reasons.contains("certificate");
        Failure { error, may_pass, nothing_sent: connecting }
    }
}

/// Where a reply sends the request on to.
fn redirect_target(status: StatusCode, headers: &HeaderMap) -> Option<&HeaderValue> {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308).then(|| headers.get(LOCATION)).flatten()
}

/// The address of a redirect, without credentials: those of the first address are not meant for it, and others are
/// nobody's here.
fn address_of(from: &Url, target: &HeaderValue) -> Result<Url, Refused> {
    let help = "ask the address that is meant itself";
    let refused = |why: &str| Refused::new(format!("`{}` redirects to what {why}", shown(from)), help);
    let text = std::str::from_utf8(target.as_bytes()).map_err(|_| refused("is no text"))?;
    let joined = from.join(text).map_err(|_| refused("is no address"))?;
    let mut url = parse(joined.as_str()).map_err(|_| refused("is no address of a server"))?;
    let same_server = url.origin() == from.origin();
    let (user, password) = if same_server { (from.username(), from.password()) } else { ("", None) };
    url.set_username(user).and_then(|()| url.set_password(password)).map_err(|()| refused("has no host"))?;
    url.set_fragment(None);
    Ok(url)
}

/// The refusal of an address that stands at the bottom of a failed connection.
fn refusal(error: &reqwest::Error) -> Option<Refused> {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return Some(refused.clone());
        }
        cause = error.source();
    }
    None
}

/// The last two causes, where the words are that say something.
fn reasons(error: &reqwest::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Some causes repeat what is below them.
        texts.retain(|above| !above.contains(&text) && !text.contains(above.as_str()));
        texts.push(text);
        cause = error.source();
    }
    let from = texts.len().saturating_sub(2);
    if texts.is_empty() { error.to_string() } else { texts[from..].join(": ") }
}
