//! What a secret may travel over: TLS, or plain HTTP to this machine or a private network.
//!
//! A host's name is judged by the addresses that it has when the connection is made: the client
//! for plain HTTP has [`NearOnly`] for its resolver, and connects nowhere else.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// How far a request to an address goes in the open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Over TLS.
    Sealed,
    /// Plain HTTP, to this machine or a private network.
    Near,
    /// Plain HTTP to a name: its addresses decide.
    Named,
    /// Plain HTTP to everybody's network.
    Open,
}

impl Way {
    pub fn to(url: &str) -> Self {
        let Ok(url) = Url::parse(url) else {
            return Self::Open;
        };
        if url.scheme() == "https" {
            return Self::Sealed;
        }
        let host = url.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<IpAddr>() {
            Ok(address) if is_near(address) => Self::Near,
            Ok(_) => Self::Open,
            Err(_) => Self::Named,
        }
    }
}

/// True for this machine and for addresses that no router of the internet forwards.
pub fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            address.is_loopback() || address.is_private() || address.is_link_local()
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

/// A name has an address that is not near.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotNear {
    host: String,
    address: IpAddr,
}

impl fmt::Display for NotNear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, address } = self;
        write!(f, "{host} is {address}, which is beyond private networks")
    }
}

impl std::error::Error for NotNear {}

/// Finds the addresses of a name, and only if all of them are near.
#[derive(Debug, Clone, Copy)]
pub struct NearOnly;

impl Resolve for NearOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let addresses: Vec<SocketAddr> =
                tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            all_near(&host, &addresses)?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn all_near(host: &str, addresses: &[SocketAddr]) -> Result<(), NotNear> {
    let far = addresses.iter().find(|address| !is_near(address.ip()));
    match far {
        None => Ok(()),
        Some(far) => Err(NotNear {
            host: host.to_owned(),
            address: far.ip(),
        }),
    }
}

/// The [`NotNear`] that an HTTP error comes from.
pub fn not_near(error: &reqwest::Error) -> Option<&NotNear> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(not_near) = error.downcast_ref() {
            return Some(not_near);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn plain_http_goes_to_this_machine_and_private_networks_alone() {
        for (url, way) in [
            ("https://farm.example", Way::Sealed),
            ("https://198.51.100.7", Way::Sealed),
            ("http://127.0.0.1:8080", Way::Near),
            ("http://[::1]:8080", Way::Near),
            ("http://10.0.0.7:8080", Way::Near),
            ("http://172.16.0.1", Way::Near),
            ("http://192.168.1.5", Way::Near),
            ("http://169.254.3.4", Way::Near),
            ("http://[fd00::1]:8080", Way::Near),
            ("http://[fe80::1]", Way::Near),
            ("http://[::ffff:192.168.1.5]", Way::Near),
            ("http://attic:8080", Way::Named),
            ("http://localhost:8080", Way::Named),
            ("http://172.32.0.1", Way::Open),
            ("http://8.8.8.8", Way::Open),
            ("http://100.64.0.1", Way::Open),
            ("http://[2001:db8::1]", Way::Open),
            ("http://[::ffff:8.8.8.8]", Way::Open),
            ("nonsense", Way::Open),
        ] {
            assert_eq!(Way::to(url), way, "{url}");
        }
    }

    #[test]
    fn a_name_is_near_only_with_all_of_its_addresses() {
        let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        assert!(all_near("attic", &addresses(&["192.168.1.5:0", "[fe80::1]:0"])).is_ok());
        let mixed = all_near("attic", &addresses(&["192.168.1.5:0", "198.51.100.7:0"]));
        let far = mixed.unwrap_err().to_string();
        assert!(far.contains("attic is 198.51.100.7"), "{far}");
    }
}
