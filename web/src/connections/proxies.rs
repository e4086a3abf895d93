//! Who really asks, where a reverse proxy stands between.
//!
//! What `X-Forwarded-…` says counts only where a configured proxy sent it: anyone can write such a
//! header.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// How a request came here; an extension of each one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connection {
    /// The client's address: the peer's, or the one that a trusted proxy names.
    pub(crate) address: IpAddr,
    /// Whether the client's connection is encrypted, to this node or to the trusted proxy.
    pub(crate) over_tls: bool,
    /// The host and port that the client called; `None` where it named none.
    pub(crate) host: Option<String>,
}

/// The proxies whose word counts.
#[derive(Debug, Clone, Default)]
pub(super) struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    pub(super) fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// What is to be believed of a request that came from `peer`.
    pub(super) fn connection<B>(
        &self,
        peer: SocketAddr,
        over_tls: bool,
        request: &axum::http::Request<B>,
    ) -> Connection {
        let peer = peer.ip().to_canonical();
        let headers = request.headers();
        // HTTP/2 has the host in the URI, HTTP/1.1 in a header.
        let authority = request.uri().authority().map(ToString::to_string);
        let host = authority.or_else(|| text(headers, &header::HOST));
        if !self.contains(peer) {
            return Connection {
                address: peer,
                over_tls,
                host,
            };
        }
        let proto = last_word(headers, &FORWARDED_PROTO);
        Connection {
            address: self.client_behind(peer, headers),
            over_tls: proto.map_or(over_tls, |proto| proto.eq_ignore_ascii_case("https")),
            host: last_word(headers, &FORWARDED_HOST).or(host),
        }
    }

    /// Each proxy appends whom it was called by. From the right, the first address that is no
    /// trusted proxy's is the client's; what stands left of it is its own word.
    fn client_behind(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let named: Vec<&str> = headers
            .get_all(FORWARDED_FOR)
            .iter()
            .flat_map(|value| value.to_str().unwrap_or("?").split(','))
            .map(str::trim)
            .collect();
        let mut client = peer;
        for address in named.into_iter().rev() {
            let Some(address) = parse_address(address) else {
                break;
            };
            client = address;
            if !self.contains(client) {
                break;
            }
        }
        client
    }
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`.
fn parse_address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().ok().or_else(with_port)?;
    Some(IpAddr::to_canonical(&address))
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?;
    value.to_str().ok().map(str::to_owned)
}

/// Of several values the last one is the nearest proxy's.
fn last_word(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    let word = value.rsplit(',').next()?.trim();
    (!word.is_empty()).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn connection(trusted: &[&str], peer: &str, headers: &[(&str, &str)]) -> Connection {
        let trusted = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let mut request = axum::http::Request::builder().uri("/api/jobs");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let peer = SocketAddr::new(peer.parse().unwrap(), 4711);
        TrustedProxies::new(trusted).connection(peer, false, &request.body(()).unwrap())
    }

    fn address(trusted: &[&str], peer: &str, forwarded: &[(&str, &str)]) -> String {
        connection(trusted, peer, forwarded).address.to_string()
    }

    #[test]
    fn a_stranger_cannot_say_who_it_is() {
        let told = [
            ("x-forwarded-for", "198.51.100.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.example"),
            ("host", "farm:8080"),
        ];
        for trusted in [&[][..], &["10.0.0.0/8"][..]] {
            let connection = connection(trusted, "192.0.2.1", &told);
            assert_eq!(connection.address.to_string(), "192.0.2.1");
            assert!(!connection.over_tls);
            assert_eq!(connection.host.as_deref(), Some("farm:8080"));
        }
    }

    #[test]
    fn a_trusted_proxy_says_who_calls_and_how() {
        let told = [
            ("x-forwarded-for", "198.51.100.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "farm.example"),
            ("host", "10.0.0.9:8080"),
        ];
        let connection = connection(&["10.0.0.0/8"], "10.1.2.3", &told);
        let expected = Connection {
            address: "198.51.100.7".parse().unwrap(),
            over_tls: true,
            host: Some("farm.example".into()),
        };
        assert_eq!(connection, expected);
    }

    #[test]
    fn what_the_client_wrote_itself_stands_left_and_is_not_believed() {
        let chain = [("x-forwarded-for", "1.1.1.1, 198.51.100.7, 10.0.0.2")];
        assert_eq!(address(&["10.0.0.0/8"], "10.0.0.1", &chain), "198.51.100.7");
        let two_headers = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "198.51.100.7"),
        ];
        let trusted = &["10.0.0.0/8"];
        assert_eq!(address(trusted, "10.0.0.1", &two_headers), "198.51.100.7");
    }

    #[test]
    fn what_is_no_address_ends_the_search_at_the_one_who_said_it() {
        let trusted = &["10.0.0.0/8"];
        let chain = [("x-forwarded-for", "198.51.100.7, unknown, 10.0.0.2")];
        assert_eq!(address(trusted, "10.0.0.1", &chain), "10.0.0.2");
        assert_eq!(address(trusted, "10.0.0.1", &[]), "10.0.0.1");
        let only_proxies = [("x-forwarded-for", "10.0.0.3, 10.0.0.2")];
        assert_eq!(address(trusted, "10.0.0.1", &only_proxies), "10.0.0.3");
    }

    #[test]
    fn addresses_come_with_ports_brackets_and_ipv4_in_ipv6() {
        let trusted = &["10.0.0.0/8"];
        for (told, expected) in [
            ("198.51.100.7:4711", "198.51.100.7"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
        ] {
            let chain = [("x-forwarded-for", told)];
            assert_eq!(address(trusted, "10.0.0.1", &chain), expected);
            // A dual-stack socket shows IPv4 peers so.
            assert_eq!(address(trusted, "::ffff:10.0.0.1", &chain), expected);
        }
    }
}
