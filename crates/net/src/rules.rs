//! What an address must be like for a request to be sent there.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;
use thiserror::Error;

use crate::address::{Reach, reach};
use crate::url::{ParseUrlError, host_address, parse, shown};

/// Which addresses a request, and each redirect of it, may go to.
///
/// The default allows `https` to public servers, and both schemes to this machine under a name of its own
/// (`localhost`, `127.0.0.1`, `[::1]`). A name on the internet that leads to this machine is refused.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own in a flow")]
pub struct Rules {
    /// Whether `http` may leave this machine.
    pub allow_insecure_http: bool,
    /// Where requests may go; empty: anywhere that the other rules allow.
    pub allow_list: Vec<AllowedUrl>,
    /// Whether the address may hold a user name and password.
    pub allow_credentials: bool,
    /// Whether the address may hold a fragment, `#part`, which is never sent.
    pub allow_fragments: bool,
    /// Whether servers in private networks may be reached, and this machine under any name.
    pub allow_private_addresses: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            allow_insecure_http: false,
            allow_list: Vec::new(),
            allow_credentials: true,
            allow_fragments: true,
            allow_private_addresses: false,
        }
    }
}

/// An address that the rules do not allow.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Refused {
    /// Which address, and why: a lower-case fragment without secrets.
    pub message: String,
    /// What to do.
    pub help: &'static str,
}

impl Refused {
    pub(crate) fn new(message: impl Into<String>, help: &'static str) -> Self {
        Self { message: message.into(), help }
    }
}

impl Rules {
    /// Judges an address by what stands in it; where its host is a name, the client judges what that leads to.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check(&self, url: &Url) -> Result<(), Refused> {
        let refused = |why: &str, help| Err(Refused::new(format!("`{}` {why}", shown(url)), help));
        match url.scheme() {
            "https" => {}
            "http" if self.allow_insecure_http || names_loopback(url) => {}
            "http" => {
                let help = "use https, or say `allow_insecure_http: true`";
                return refused("is not encrypted, and leads away from this machine", help);
            }
            _ => return refused("is neither http nor https", "write an address that starts with https://"),
        }
        if !self.allow_credentials && has_credentials(url) {
            return refused("holds a user name or password", "send it in `sensitive_headers`");
        }
        if !self.allow_fragments && url.fragment().is_some() {
            return refused("holds a `#` part", "leave it out, or say `allow_fragments: true`");
        }
        if let Some(address) = host_address(url) {
            self.check_address(address, reach(address) == Reach::Loopback)
                .map_err(|(why, help)| Refused::new(format!("`{}` leads to {why}", shown(url)), help))?;
        }
        if !self.allow_list.is_empty() && !self.allow_list.iter().any(|allowed| allowed.matches(url)) {
            return refused("is not in `url_allow_list`", "add its beginning to the list if it is meant");
        }
        Ok(())
    }

    /// Judges a redirect: as [`Rules::check`], and no server elsewhere may lead to this machine.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check_redirect(&self, from: &Url, to: &Url) -> Result<(), Refused> {
        self.check(to)?;
        if names_loopback(to) && !names_loopback(from) && !self.allow_private_addresses {
            let message = format!("`{}` redirects to this machine, `{}`", shown(from), shown(to));
            return Err(Refused::new(message, "if that is meant, say `allow_private_addresses: true`"));
        }
        Ok(())
    }

    /// Judges where a connection goes. `loopback`: whether the name says that it leads to this machine.
    pub(crate) fn check_address(&self, address: IpAddr, loopback: bool) -> Result<(), (String, &'static str)> {
        const HELP: &str = "if that is meant, say `allow_private_addresses: true`";
        let kind = reach(address);
        if loopback && kind != Reach::Loopback {
            return Err((format!("{address}, which is not this machine"), "name the host by its own name"));
        }
        match kind {
            Reach::Public => Ok(()),
            Reach::Loopback if loopback || self.allow_private_addresses => Ok(()),
            Reach::Private if self.allow_private_addresses => Ok(()),
            Reach::Loopback => Err((format!("this machine ({address}) under another name"), HELP)),
            Reach::Private => Err((format!("a private network ({address})"), HELP)),
            Reach::Never => {
                let help = "no request may go there; use the server's own address";
                Err((format!("{address}, which is link local, unspecified, multicast or reserved"), help))
            }
        }
    }
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Whether the host says by itself that it is this machine.
pub(crate) fn names_loopback(url: &Url) -> bool {
    match host_address(url) {
        Some(address) => reach(address) == Reach::Loopback,
        None => url.host_str().is_some_and(is_localhost),
    }
}

/// `localhost` and the names below it.
pub(crate) fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// The beginning of addresses that are allowed: scheme and host, then a port and the first segments of a path.
///
/// `https://api.example.com/v1` allows `https://api.example.com/v1/items`, and neither `/v10` nor another port. The
/// port may be `*`, for servers that choose theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedUrl {
    url: Url,
    any_port: bool,
}

impl AllowedUrl {
    fn matches(&self, url: &Url) -> bool {
        let port = self.any_port || self.url.port_or_known_default() == url.port_or_known_default();
        let same_server = self.url.scheme() == url.scheme() && self.url.host() == url.host() && port;
        let prefix = self.url.path().strip_suffix('/').unwrap_or(self.url.path());
        let rest = url.path().strip_prefix(prefix);
        same_server && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for AllowedUrl {
    type Err = ParseUrlError;

    fn from_str(text: &str) -> Result<Self, ParseUrlError> {
        let wrong = |why: &str| ParseUrlError::new(format!("`{}` {why}", text.escape_debug()));
        let authority_end = text.find("://").map_or(0, |n| n + 3);
        let end = text[authority_end..].find('/').map_or(text.len(), |n| authority_end + n);
        let (any_port, written) = match text[..end].strip_suffix(":*") {
            Some(before) => (true, format!("{before}{}", &text[end..])),
            None => (false, text.to_owned()),
        };
        let url = parse(&written)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("has a `?` or `#` part; the list holds beginnings of addresses"));
        }
        if has_credentials(&url) {
            return Err(ParseUrlError::new("an entry of the list holds a user name or password; leave it out"));
        }
        if url.host_str().is_some_and(|host| host.contains('*')) {
            return Err(wrong("has a `*` in its host; only the port may be any"));
        }
        Ok(Self { url, any_port })
    }
}

impl fmt::Display for AllowedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        parse(text).unwrap()
    }

    fn refusal(rules: &Rules, text: &str) -> String {
        rules.check(&url(text)).map_err(|r| r.message).err().unwrap_or_default()
    }

    #[test]
    fn http_stays_on_this_machine() {
        let rules = Rules::default();
        for fine in [
            "https://example.com/a",
            "http://localhost:8/",
            "http://a.localhost",
            "http://127.0.0.1:8",
            "http://[::1]/",
        ] {
            assert_eq!(refusal(&rules, fine), "", "{fine}");
        }
        for wrong in ["http://example.com/", "http://localhost.example.com/", "http://8.8.8.8/"] {
            assert!(refusal(&rules, wrong).contains("not encrypted"), "{wrong}");
        }
        let open = Rules { allow_insecure_http: true, ..Rules::default() };
        assert_eq!(refusal(&open, "http://example.com/"), "");
    }

    #[test]
    fn literal_addresses_are_judged_however_they_are_written() {
        let rules = Rules { allow_insecure_http: true, ..Rules::default() };
        for private in
            ["https://10.0.0.1/", "https://0xa000001/", "https://167772161/", "https://[::ffff:10.0.0.1]/"]
        {
            assert!(refusal(&rules, private).contains("a private network"), "{private}");
        }
        for never in
            ["http://169.254.169.254/latest", "http://0/", "http://[fe80::1]/", "http://0251.0376.169.254/"]
        {
            assert!(refusal(&rules, never).contains("link local"), "{never}");
        }
        let private = Rules { allow_private_addresses: true, ..rules };
        assert_eq!(refusal(&private, "https://10.0.0.1/"), "");
        assert!(refusal(&private, "http://169.254.169.254/").contains("link local"));
    }

    #[test]
    fn the_list_is_matched_by_whole_parts() {
        let allowed = |entry: &str, text: &str| {
            let rules = Rules { allow_list: vec![entry.parse().unwrap()], ..Rules::default() };
            rules.check(&url(text)).is_ok()
        };
        let entry = "https://api.example.com/v1";
        for fine in ["/v1", "/v1/", "/v1/items?q=1", ":443/v1"] {
            assert!(allowed(entry, &format!("https://api.example.com{fine}")), "{fine}");
        }
        for wrong in [
            "https://api.example.com/v10",
            "https://api.example.com/",
            "https://api.example.com:8443/v1",
            "https://api.example.com.evil.com/v1",
            "https://user@evil.com/v1",
            "https://evil.com/https://api.example.com/v1",
            "http://localhost/v1",
        ] {
            assert!(!allowed(entry, wrong), "{wrong}");
        }
        assert!(allowed("http://127.0.0.1:*", "http://127.0.0.1:4711/x"));
        assert!(allowed("http://127.0.0.1:*/x", "http://127.0.0.1:4711/x"));
        assert!(!allowed("http://127.0.0.1:*/x", "http://127.0.0.1:4711/y"));
        for wrong in [
            "example.com",
            "ftp://a.b",
            "https://a.b?x",
            "https://u:p@a.b",
            "https://*.a.b",
            "https://a.b/../c",
            "",
        ] {
            assert!(wrong.parse::<AllowedUrl>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn credentials_and_fragments_can_be_refused() {
        let rules = Rules { allow_credentials: false, allow_fragments: false, ..Rules::default() };
        let why = refusal(&rules, "https://u:hunter2@example.com/");
        assert!(why.contains("user name") && !why.contains("hunter2"), "{why}");
        assert!(refusal(&rules, "https://example.com/#a").contains('#'));
    }

    #[test]
    fn no_redirect_leads_to_this_machine() {
        let rules = Rules::default();
        let redirect = |from: &str, to: &str| rules.check_redirect(&url(from), &url(to)).is_ok();
        assert!(redirect("https://a.com/", "https://b.com/"));
        assert!(redirect("http://127.0.0.1/", "http://localhost/"));
        assert!(!redirect("https://a.com/", "http://127.0.0.1/"));
        assert!(!redirect("https://a.com/", "https://localhost/"));
        assert!(!redirect("https://a.com/", "http://b.com/"));
    }
}
