//! Where a webhook may go: to the internet, not into the network of whoever runs the farm.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How far webhooks may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookReach {
    /// To public hosts.
    Public,
    /// Into private networks too, but neither to the nodes themselves nor to what a cloud tells
    /// its machines about themselves.
    PrivateNetworks,
    /// Anywhere: a node's own option, for tests.
    ThisMachine,
}

impl WebhookReach {
    /// Where an admin lets webhooks go beyond public hosts, by the node's own option.
    pub fn beyond_public(to_this_machine: bool) -> Self {
        match to_this_machine {
            true => Self::ThisMachine,
            false => Self::PrivateNetworks,
        }
    }

    pub fn allows(self, address: IpAddr) -> bool {
        match self {
            Self::Public => is_public_address(address),
            Self::PrivateNetworks => is_public_address(address) || is_in_private_network(address),
            Self::ThisMachine => true,
        }
    }
}

/// Addresses that whoever runs a network gives to its machines.
fn is_in_private_network(address: IpAddr) -> bool {
    let address = match address {
        IpAddr::V6(v6) => embedded_v4(v6).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    match address {
        // 100.100.100.200 is where Alibaba's cloud tells machines about themselves.
        IpAddr::V4(address) => match address.octets() {
            [100, 100, 100, 200] => false,
            [100, 64..128, ..] => true,
            _ => address.is_private(),
        },
        // fd00:ec2::/32 is where Amazon's does.
        IpAddr::V6(address) => match address.segments() {
            [0xfd00, 0x0ec2, ..] => false,
            _ => address.is_unique_local(),
        },
    }
}

/// False for addresses of this machine, of private networks and of links, and for all others that
/// are of no public host (IANA's special-purpose registries), also where they are written as IPv6.
fn is_public_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match embedded_v4(address) {
            Some(inner) => is_public_v4(inner),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_shared = a == 100 && (64..128).contains(&b);
    let is_protocol = (a, b, c) == (192, 0, 0);
    let is_relay = (a, b, c) == (192, 88, 99);
    let is_for_benchmarks = a == 198 && (b == 18 || b == 19);
    let is_reserved = a == 0 || a >= 240;
    !(address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || is_shared
        || is_protocol
        || is_relay
        || is_for_benchmarks
        || is_reserved)
}

/// The IPv4 address behind a mapped (`::ffff:…`), translated (`64:ff9b::…`) or 6to4 one.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(from(high, low))
        }
        [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

/// Global unicast is 2000::/3; of that, documentation and protocol assignments are nobody's.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let is_global_unicast = segments[0] & 0xe000 == 0x2000;
    let is_documentation =
        segments[..2] == [0x2001, 0xdb8] || segments[0] == 0x3fff && segments[1] < 0x1000;
    let is_protocol = segments[0] == 0x2001 && segments[1] < 0x200;
    is_global_unicast && !is_documentation && !is_protocol
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn private_networks_are_neither_this_machine_nor_what_a_cloud_tells_of_it() {
        let allows = |text: &str| WebhookReach::PrivateNetworks.allows(text.parse().unwrap());
        for text in [
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "::ffff:10.0.0.1",
            "fd12::1",
            "1.1.1.1",
            "2606:4700::1111",
        ] {
            assert!(allows(text), "{text}");
        }
        for text in [
            "127.0.0.1",
            "::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "::",
            "169.254.169.254",
            "fe80::1",
            "100.100.100.200",
            "fd00:ec2::254",
            "192.0.0.192",
            "224.0.0.1",
            "255.255.255.255",
        ] {
            assert!(!allows(text), "{text}");
            assert!(WebhookReach::ThisMachine.allows(text.parse().unwrap()));
        }
    }

    #[test]
    fn only_addresses_of_public_hosts_are_public() {
        let private = [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "3fff::1",
            "::7f00:1",
        ];
        for text in private {
            assert!(!is_public_address(text.parse().unwrap()), "{text}");
        }
        let public = [
            "1.1.1.1",
            "100.63.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "203.0.114.1",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2002:101:101::",
        ];
        for text in public {
            assert!(is_public_address(text.parse().unwrap()), "{text}");
        }
    }
}
