//! How a connection comes about: to the server itself, or by a proxy of the environment.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Uri, header, uri::Scheme};
use hyper::rt::{Read, Write};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls_platform_verifier::BuilderVerifierExt;
use tower::ServiceExt;

/// A server that is there answers sooner, however long its model takes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How often a silent connection is asked whether it still lives, so that one that a router forgot is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(crate) const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("flowrun/", env!("CARGO_PKG_VERSION")));

pub(crate) type AnyError = Box<dyn Error + Send + Sync>;

/// An open connection, whatever lies below it.
pub(crate) trait Stream: Read + Write + Send + Unpin {}

impl<S: Read + Write + Send + Unpin> Stream for S {}

/// Opens connections. What it knows of certificates is read once and shared.
pub(crate) struct Connector {
    plain: HttpConnector,
    tls: Arc<ClientConfig>,
    proxies: Matcher,
}

impl Connector {
    /// Servers show that they are who they are by the machine's own certificates.
    pub(crate) fn new(proxies: Matcher) -> Result<Self, rustls::Error> {
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_platform_verifier()?
            .with_no_client_auth();
        let mut plain = HttpConnector::new();
        plain.enforce_http(false);
        plain.set_nodelay(true);
        plain.set_keepalive(Some(KEEP_ALIVE));
        plain.set_keepalive_interval(Some(KEEP_ALIVE));
        plain.set_keepalive_retries(Some(3));
        Ok(Self { plain, tls: Arc::new(tls), proxies })
    }

    pub(crate) fn tls(&self) -> ClientConfig {
        (*self.tls).clone()
    }

    /// The proxy that requests to a server are sent to instead of the server. Where the exchange is encrypted, the
    /// proxy only passes bytes on, and this is none.
    pub(crate) fn forwarder(&self, server: &Uri) -> Option<Intercept> {
        self.proxies.intercept(server).filter(|_| server.scheme() != Some(&Scheme::HTTPS))
    }

    /// Opens a connection to a server, of which only scheme and authority matter.
    pub(crate) async fn connect(&self, server: &Uri) -> Result<Box<dyn Stream>, AnyError> {
        match tokio::time::timeout(CONNECT_TIMEOUT, self.open(server)).await {
            Ok(opened) => opened,
            Err(_) => Err(format!("it did not come about within {} seconds", CONNECT_TIMEOUT.as_secs()).into()),
        }
    }

    async fn open(&self, server: &Uri) -> Result<Box<dyn Stream>, AnyError> {
        let direct = HttpsConnector::from((self.plain.clone(), Arc::clone(&self.tls)));
        let Some(proxy) = self.proxies.intercept(server) else {
            return Ok(Box::new(direct.oneshot(server.clone()).await?));
        };
        if server.scheme() != Some(&Scheme::HTTPS) {
            return Ok(Box::new(direct.oneshot(proxy.uri().clone()).await?));
        }
        let mut tunnel = Tunnel::new(proxy.uri().clone(), direct)
            .with_headers(HeaderMap::from_iter([(header::USER_AGENT, USER_AGENT)]));
        if let Some(auth) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(auth.clone());
        }
        let tunneled = HttpsConnector::from((tunnel, Arc::clone(&self.tls)));
        Ok(Box::new(tunneled.oneshot(server.clone()).await?))
    }
}
