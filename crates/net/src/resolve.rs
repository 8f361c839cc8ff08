//! Looking names up, and judging what they lead to before anything connects to it.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::Rules;
use crate::rules::{Refused, is_localhost};

/// Names with addresses of their own, which are asked before the system is.
pub(crate) type Hosts = Arc<HashMap<String, Vec<IpAddr>>>;

/// Gives a connection only addresses that the rules allow. The connection goes to one of these, so that a name that
/// leads elsewhere when asked again changes nothing.
pub(crate) struct Checked {
    pub(crate) hosts: Hosts,
    pub(crate) rules: Rules,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let (hosts, rules) = (Arc::clone(&self.hosts), self.rules.clone());
        Box::pin(async move {
            let host = name.as_str();
            let found = look_up(&hosts, host).await?;
            let allowed = judge(&rules, host, &found)?;
            // The port is that of the address.
            let addresses = allowed.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

async fn look_up(hosts: &Hosts, host: &str) -> io::Result<Vec<IpAddr>> {
    match hosts.get(&host.to_ascii_lowercase()) {
        Some(addresses) => Ok(addresses.clone()),
        None => Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect()),
    }
}

/// The addresses that may be connected to; none is an error that says why.
fn judge(rules: &Rules, host: &str, found: &[IpAddr]) -> Result<Vec<IpAddr>, Refused> {
    let (mut allowed, mut refused) = (Vec::new(), None);
    for address in found {
        match rules.check_address(*address, is_localhost(host)) {
            Ok(()) => allowed.push(*address),
            Err((why, help)) => refused = Some(Refused::new(format!("the name `{host}` leads to {why}"), help)),
        }
    }
    match refused {
        Some(refused) if allowed.is_empty() => Err(refused),
        _ => Ok(allowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(private: bool, host: &str, addresses: &[&str]) -> Result<usize, String> {
        let rules = Rules { allow_private_addresses: private, ..Rules::default() };
        let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        judge(&rules, host, &addresses).map(|allowed| allowed.len()).map_err(|refused| refused.message)
    }

    #[test]
    fn names_lead_where_they_may() {
        assert_eq!(judged(false, "example.com", &["1.1.1.1", "2606:4700::1111"]), Ok(2));
        assert_eq!(judged(false, "example.com", &["10.0.0.1", "1.1.1.1"]), Ok(1));
        assert_eq!(judged(false, "LOCALHOST.", &["::1", "127.0.0.1"]), Ok(2));
        for address in ["127.0.0.1", "10.0.0.1", "::ffff:127.0.0.1", "169.254.169.254", "0.0.0.0", "fd00::1"] {
            let why = judged(false, "example.com", &[address]).unwrap_err();
            assert!(why.contains("`example.com` leads to") && why.contains(address), "{why}");
        }
        assert_eq!(judged(true, "example.com", &["127.0.0.1", "10.0.0.1", "169.254.169.254"]), Ok(2));
        assert!(judged(true, "localhost", &["1.1.1.1"]).is_err());
    }
}
