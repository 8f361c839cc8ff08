//! [`Client`]: connections, and the tries of a request.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::{Url, redirect};

use crate::exchange::{Exchange, Failure};
use crate::resolve::{Checked, Hosts};
use crate::{Error, ErrorKind, Request, Response, Rules, retry};

/// A server that is there answers sooner.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// The connections of a process. Make one and share it, so that requests share the pool.
#[derive(Default)]
pub struct Client {
    hosts: Hosts,
    /// Connections for the usual rules, and those for rules that allow private networks: neither may use one that the
    /// other has opened. Made when the first request wants them.
    pools: [OnceLock<Result<reqwest::Client, String>>; 2],
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// A client without any connection yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A client that knows the addresses of some names by itself, as `/etc/hosts` does. They are judged like all others.
    pub fn with_hosts(hosts: impl IntoIterator<Item = (String, Vec<IpAddr>)>) -> Self {
        let hosts: HashMap<_, _> = hosts.into_iter().map(|(name, to)| (name.to_ascii_lowercase(), to)).collect();
        Self { hosts: Arc::new(hosts), ..Self::default() }
    }

    /// Sends a request, follows its redirects, and tries again what may pass.
    ///
    /// # Errors
    /// When the rules do not allow it, no reply comes, or the reply is too large. Every status is a reply.
    pub async fn send(&self, request: &Request, rules: &Rules) -> Result<Response, Error> {
        rules.check(&request.url)?;
        let exchange = Exchange { http: self.pool(rules)?, request, rules };
        let policy = &request.limits.retry;
        let may_repeat = request.limits.may_repeat(&request.method);
        for tries in 1.. {
            let last = tries >= policy.tries.get();
            let asked = match tokio::time::timeout(request.limits.timeout, exchange.run()).await {
                Ok(Ok((response, headers))) => {
                    if last || !policy.names(response.status, may_repeat) {
                        return Ok(Response { tries, ..response });
                    }
                    retry::asked(&headers)
                }
                Ok(Err(Failure { error, may_pass, nothing_sent })) => {
                    if last || !(may_pass && (may_repeat || nothing_sent)) {
                        return Err(Error { tries, ..error });
                    }
                    None
                }
                Err(_) if !last && may_repeat => None,
                Err(_) => return Err(Error { tries, ..timed_out(request) }),
            };
            let wait = retry::wait(policy.initial_delay, policy.max_delay, tries, asked, &request.identity);
            tokio::time::sleep(wait).await;
        }
        Err(Error::request("it was not tried"))
    }

    /// Connections for a protocol that sends its requests to `url` itself: they lead only where the rules allow, follow no
    /// redirect and use no proxy.
    ///
    /// # Errors
    /// When the rules do not allow the address.
    pub fn connections(&self, url: &Url, rules: &Rules) -> Result<reqwest::Client, Error> {
        rules.check(url)?;
        self.pool(rules).cloned()
    }

    fn pool(&self, rules: &Rules) -> Result<&reqwest::Client, Error> {
        let pool = self.pools[usize::from(rules.allow_private_addresses)].get_or_init(|| {
            // What a name leads to is judged by this rule alone; the others are about what stands in the address.
            let rules = Rules { allow_private_addresses: rules.allow_private_addresses, ..Rules::default() };
            reqwest::Client::builder()
                .user_agent(concat!("flowrun/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIMEOUT)
                .redirect(redirect::Policy::none())
                .retry(reqwest::retry::never())
                .no_proxy()
                .dns_resolver(Arc::new(Checked { hosts: Arc::clone(&self.hosts), rules }))
                .build()
                .map_err(|error| error.to_string())
        });
        pool.as_ref().map_err(|why| {
            let message = format!("cannot prepare the http client: {why}");
            Error::new(ErrorKind::Connect, message, "check the machine's certificates")
        })
    }
}

fn timed_out(request: &Request) -> Error {
    let seconds = request.limits.timeout.as_secs_f64();
    let message = format!("`{}` gave no complete reply within {seconds} seconds", crate::url::shown(&request.url));
    Error::new(ErrorKind::Timeout, message, "raise `timeout`, or ask for less at once")
}
