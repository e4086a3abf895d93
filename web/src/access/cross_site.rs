//! Refuses what another site makes a browser send (CSRF).
//!
//! Browsers say where a request comes from in `Sec-Fetch-Site`, and older ones, or any over plain
//! HTTP to another machine, in `Origin`. A request with neither comes from no browser.

use axum::http::{HeaderMap, HeaderName, header};

use crate::problem::{Problem, ProblemKind};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// `host` is the host and port that the client called.
pub(crate) fn refuse(headers: &HeaderMap, host: Option<&str>) -> Result<(), Problem> {
    if is_from_here(headers, host) {
        return Ok(());
    }
    Err(Problem::new(
        ProblemKind::CrossSite,
        "the browser says that another site sent this request; open the farm's own page",
    ))
}

fn is_from_here(headers: &HeaderMap, host: Option<&str>) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let origin_host = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"))
        .map(|(_, host)| host);
    match (origin_host, host) {
        (Some(origin_host), Some(host)) => origin_host.eq_ignore_ascii_case(host),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(pairs: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, axum::http::HeaderValue::from_static(value));
        }
        let host = headers
            .get("host")
            .map(|host| host.to_str().expect("ASCII"));
        is_from_here(&headers, host)
    }

    #[test]
    fn the_browsers_word_on_the_site_decides() {
        assert!(allowed(&[("sec-fetch-site", "same-origin")]));
        assert!(allowed(&[("sec-fetch-site", "none")]));
        assert!(!allowed(&[("sec-fetch-site", "cross-site")]));
        // The same host with another port is another program.
        assert!(!allowed(&[("sec-fetch-site", "same-site")]));
        assert!(!allowed(&[
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://farm:8080"),
            ("host", "farm:8080"),
        ]));
    }

    #[test]
    fn without_it_the_origin_must_be_the_host() {
        assert!(allowed(&[
            ("origin", "http://farm:8080"),
            ("host", "farm:8080")
        ]));
        assert!(!allowed(&[
            ("origin", "http://evil"),
            ("host", "farm:8080")
        ]));
        assert!(!allowed(&[
            ("origin", "http://farm:8081"),
            ("host", "farm:8080")
        ]));
        assert!(!allowed(&[("origin", "null"), ("host", "farm:8080")]));
        assert!(!allowed(&[("origin", "http://farm:8080")]));
    }

    #[test]
    fn a_command_line_sends_neither() {
        assert!(allowed(&[("host", "farm:8080")]));
    }
}
