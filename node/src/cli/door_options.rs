//! How the web port takes connections: its certificate, and the proxies before it.

use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;
use ipnet::IpNet;

#[derive(Debug, Clone, Default, Args)]
pub struct DoorOptions {
    /// The web port's certificate chain (PEM): it speaks TLS. Read again when the file changes
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_key",
        env = "JIGGABLEND_TLS_CERT"
    )]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_cert",
        env = "JIGGABLEND_TLS_KEY"
    )]
    pub tls_key: Option<PathBuf>,
    /// A reverse proxy whose X-Forwarded-… headers are believed, as an address or a network: again for more
    #[arg(
        long = "trusted-proxy",
        value_name = "CIDR",
        env = "JIGGABLEND_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_parser = parse_network
    )]
    pub trusted_proxies: Vec<IpNet>,
    /// Webhooks may reach this machine where the farm's settings let them into private networks; for tests
    #[arg(
        long,
        env = "JIGGABLEND_WEBHOOKS_TO_THIS_MACHINE",
        value_parser = FalseyValueParser::new(),
        hide = true
    )]
    pub webhooks_to_this_machine: bool,
}

impl DoorOptions {
    /// `https` where the web port has a certificate.
    pub fn scheme(&self) -> &'static str {
        if self.tls_cert.is_some() {
            "https"
        } else {
            "http"
        }
    }
}

/// Reads `10.0.0.0/8`, `fd00::/8`, or an address alone.
fn parse_network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse().map(|address: std::net::IpAddr| address.into());
    text.parse().or_else(|_| address()).map_err(|_| {
        "not an address or a network; write for example 127.0.0.1 or 10.0.0.0/8".into()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        doors: DoorOptions,
    }

    fn parse(line: &str) -> Result<DoorOptions, clap::Error> {
        let words = std::iter::once("x").chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.doors)
    }

    #[test]
    fn a_certificate_needs_its_key() {
        assert!(parse("--tls-cert a.pem").is_err());
        assert!(parse("--tls-key a.pem").is_err());
        assert_eq!(parse("--tls-cert a --tls-key b").unwrap().scheme(), "https");
        assert_eq!(parse("").unwrap().scheme(), "http");
    }

    #[test]
    fn proxies_are_networks_or_single_addresses() {
        let parsed = parse("--trusted-proxy 10.0.0.0/8,::1 --trusted-proxy 192.0.2.7").unwrap();
        let expected: Vec<IpNet> = ["10.0.0.0/8", "::1/128", "192.0.2.7/32"]
            .iter()
            .map(|net| net.parse().unwrap())
            .collect();
        assert_eq!(parsed.trusted_proxies, expected);
        let error = parse("--trusted-proxy proxy.example").unwrap_err();
        assert!(error.to_string().contains("10.0.0.0/8"), "{error}");
    }
}
