//! What kind of network an address belongs to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who may be reached at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Anybody's server on the internet.
    Public,
    /// This machine.
    Loopback,
    /// A network of one's own: private ranges, shared address space, ranges that are for tests and documents.
    Private,
    /// No server that a request could be meant for: link local (where clouds keep their keys), unspecified, multicast,
    /// reserved.
    Never,
}

/// The kind of an address. One that carries an IPv4 address inside (mapped, compatible, NAT64, 6to4) is of the kind of
/// that.
pub fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(v4) => reach_v4(v4),
        IpAddr::V6(v6) => reach_v6(v6),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        [127, ..] => Reach::Loopback,
        [10, ..] | [192, 168, ..] => Reach::Private,
        [172, b, ..] if (16..32).contains(&b) => Reach::Private,
        // Shared between customers of a provider.
        [100, b, ..] if (64..128).contains(&b) => Reach::Private,
        // Protocol assignments, documents, relays, benchmarks.
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => {
            Reach::Private
        }
        // Unspecified, link local, multicast, reserved and broadcast.
        [0 | 224..=255, ..] | [169, 254, ..] => Reach::Never,
        _ => Reach::Public,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    if address == Ipv6Addr::LOCALHOST {
        return Reach::Loopback;
    }
    if let Some(inner) = carried(address) {
        return reach_v4(inner);
    }
    match address.segments() {
        // Teredo hides an address behind a server's; the others are for documents, tests and protocols.
        [0x2001, 0..=0x01ff | 0xdb8, ..] => Reach::Private,
        [0x3fff, b, ..] if b < 0x1000 => Reach::Private,
        [0x2000..=0x3fff, ..] => Reach::Public,
        // Unique local, and what was site local before.
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Reach::Private,
        // NAT64 of one's own, whose form is not known.
        [0x64, 0xff9b, 1, ..] => Reach::Private,
        _ => Reach::Never,
    }
}

/// The IPv4 address inside an IPv6 address that leads there.
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        // Mapped, compatible, translated.
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] => Some(v4(high, low)),
        [0, 0, 0, 0, 0xffff, 0, high, low] => Some(v4(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(v4(high, low)),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(kind: Reach, addresses: &[&str]) {
        for address in addresses {
            assert_eq!(reach(address.parse().unwrap()), kind, "{address}");
        }
    }

    #[test]
    fn addresses_have_a_kind() {
        all(
            Reach::Public,
            &["1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "192.0.1.1", "223.0.0.1"],
        );
        all(Reach::Public, &["2606:4700::1111", "2001:4860::8888", "2a00::1"]);
        all(Reach::Loopback, &["127.0.0.1", "127.255.0.1", "::1"]);
        all(Reach::Private, &["10.0.0.1", "172.16.0.1", "172.31.9.9", "192.168.0.1", "100.64.0.1", "198.18.0.1"]);
        all(Reach::Private, &["fc00::1", "fd12::1", "fec0::1", "2001:db8::1", "2001::1", "64:ff9b:1::1"]);
        all(Reach::Never, &["0.0.0.0", "0.1.2.3", "169.254.169.254", "224.0.0.1", "240.0.0.1", "255.255.255.255"]);
        all(Reach::Never, &["::", "fe80::1", "ff02::1", "100::1", "4000::1"]);
    }

    #[test]
    fn an_address_within_an_address_counts() {
        all(
            Reach::Loopback,
            &["::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::ffff:0:127.0.0.1"],
        );
        all(Reach::Private, &["::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:c0a8:1::1"]);
        all(Reach::Never, &["::ffff:169.254.169.254", "::ffff:0.0.0.0", "2002:a9fe:a9fe::"]);
        all(Reach::Public, &["::ffff:1.1.1.1"]);
    }
}
