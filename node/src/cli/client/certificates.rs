//! Whose certificates are believed beside those of the CAs that this machine knows, and what to do
//! about one that is not.

use std::path::Path;

use reqwest::Certificate;

use crate::cli::CliError;

/// More than this is no file of certificates.
const MAX_BYTES: u64 = 1024 * 1024;

/// The text of a PEM file with certificates in it.
pub fn read_ca(path: &Path) -> Result<String, CliError> {
    let cannot_use = |reason: &str| CliError::file("cannot use", path, reason);
    let facts = std::fs::metadata(path);
    let facts = facts.map_err(|error| CliError::file("cannot read", path, error))?;
    if facts.len() > MAX_BYTES {
        return Err(cannot_use("it is too long for a file of certificates"));
    }
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| CliError::file("cannot read", path, error))?;
    match roots(&text) {
        Ok(roots) if !roots.is_empty() => Ok(text),
        _ => Err(cannot_use(
            "there is no certificate in it; --ca takes a PEM file",
        )),
    }
}

/// The certificates of such a text.
pub fn roots(pem: &str) -> reqwest::Result<Vec<Certificate>> {
    Certificate::from_pem_bundle(pem.as_bytes())
}

/// What is wrong with a node's certificate and what to do, by what TLS says; `None` where TLS
/// says something else.
pub fn complaint(cause: &str) -> Option<String> {
    let complaint = cause.split_once("invalid peer certificate")?.1;
    let says = |word: &str| complaint.contains(word);
    let known = if says("CaUsedAsEndEntity") {
        "its self-signed certificate is also a CA's, which no server may show; make one that is not (openssl req -x509 … -addext basicConstraints=critical,CA:FALSE), and name that with --ca FILE"
    } else if says("UnknownIssuer") {
        "nobody whom this machine believes signed its certificate; if it is the farm's, name the certificate that signed it, or itself where it is self-signed, with --ca FILE"
    } else if says("NotValidForName") {
        "its certificate is for another name; use the name that it is for"
    } else if says("Expired") {
        "its certificate has expired; renew it on the node"
    } else {
        let why = complaint.trim_start_matches([':', ' ']);
        return Some(format!("its certificate cannot be believed ({why})"));
    };
    Some(known.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_certificate_that_is_refused_says_why_and_what_to_do() {
        let of = |cause: &str| complaint(cause).unwrap();
        let own_ca = of("invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))");
        assert!(
            own_ca.contains("self-signed") && own_ca.contains("CA:FALSE"),
            "{own_ca}"
        );
        assert!(of("invalid peer certificate: UnknownIssuer").contains("--ca FILE"));
        assert!(of("invalid peer certificate: Revoked").contains("(Revoked)"));
        assert_eq!(complaint("Connection refused"), None);
    }

    #[test]
    fn a_file_without_a_certificate_is_no_ca() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        assert!(
            read_ca(&path)
                .unwrap_err()
                .to_string()
                .contains("cannot read")
        );
        std::fs::write(&path, "hello").unwrap();
        let error = read_ca(&path).unwrap_err().to_string();
        assert!(error.contains("no certificate"), "{error}");
    }
}
