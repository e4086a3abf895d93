//! Which bytes a request wants: RFC 9110's Range, If-Range and If-None-Match.

use std::ops::Range;

use axum::http::{HeaderMap, HeaderValue, header};
use utoipa::IntoParams;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    Whole,
    /// At least one byte, all inside the file.
    Part(Range<u64>),
    /// The range holds no byte of the file.
    Nothing,
}

/// Headers that are not understood count as not there, and so do several ranges at once.
pub(super) fn wanted(headers: &HeaderMap, etag: &HeaderValue, size_bytes: u64) -> Wanted {
    let Some(range) = headers.get(header::RANGE) else {
        return Wanted::Whole;
    };
    let is_of_this_content = headers
        .get(header::IF_RANGE)
        .is_none_or(|if_range| if_range == etag);
    let range = range.to_str().ok().filter(|_| is_of_this_content);
    range
        .and_then(|range| parse(range, size_bytes))
        .unwrap_or(Wanted::Whole)
}

fn parse(range: &str, size_bytes: u64) -> Option<Wanted> {
    let (unit, spec) = range.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || spec.contains(',') {
        return None;
    }
    let (first, last) = spec.trim().split_once('-')?;
    let (first, last) = (number(first), number(last));
    let part = match (first?, last?) {
        (None, None) => return None,
        (None, Some(suffix_bytes)) => size_bytes.saturating_sub(suffix_bytes)..size_bytes,
        (Some(first), None) => first..size_bytes,
        (Some(first), Some(last)) if last < first => return None,
        (Some(first), Some(last)) => first..size_bytes.min(last.saturating_add(1)),
    };
    Some(if part.is_empty() {
        Wanted::Nothing
    } else {
        Wanted::Part(part)
    })
}

/// `Some(None)` where nothing is written, `None` where it is no number.
fn number(text: &str) -> Option<Option<u64>> {
    let text = text.trim();
    if text.is_empty() {
        return Some(None);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // What is too large for u64 is past the end of any file.
    Some(Some(text.parse().unwrap_or(u64::MAX)))
}

/// What a download's request may say of what its client has, for the document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(
    dead_code,
    reason = "its shape is for the document; the headers are read as they come"
)]
pub(crate) struct DownloadHeaders {
    /// `bytes=0-99`, `bytes=100-`, `bytes=-100`: one range.
    #[param(rename = "Range")]
    range: Option<String>,
    /// The ETag of which the range is wanted; of other content all comes.
    #[param(rename = "If-Range")]
    if_range: Option<String>,
    /// 412 where the file has none of these ETags.
    #[param(rename = "If-Match")]
    if_match: Option<String>,
    /// 304 where the file has one of these ETags.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

/// True where If-Match names other ETags alone, strongly compared.
pub(super) fn expects_another(if_match: Option<&HeaderValue>, etag: &HeaderValue) -> bool {
    let Some(tags) = if_match.and_then(|tags| tags.to_str().ok()) else {
        return false;
    };
    let is_this = |tag: &str| tag == "*" || tag.as_bytes() == etag.as_bytes();
    !tags.split(',').map(str::trim).any(is_this)
}

/// True where If-None-Match names that ETag, weakly compared.
pub(super) fn names_etag(if_none_match: Option<&HeaderValue>, etag: &HeaderValue) -> bool {
    let Some(tags) = if_none_match.and_then(|tags| tags.to_str().ok()) else {
        return false;
    };
    tags.split(',').map(str::trim).any(|tag| {
        let strong = tag.strip_prefix("W/").unwrap_or(tag);
        tag == "*" || strong.as_bytes() == etag.as_bytes()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: HeaderValue = HeaderValue::from_static("\"abc\"");

    fn wanted_by(pairs: &[(&'static str, &'static str)], size_bytes: u64) -> Wanted {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        wanted(&headers, &ETAG, size_bytes)
    }

    fn range(text: &'static str) -> Wanted {
        wanted_by(&[("range", text)], 100)
    }

    #[test]
    fn ranges_from_the_start_and_from_the_end_are_read() {
        assert_eq!(range("bytes=0-9"), Wanted::Part(0..10));
        assert_eq!(range("bytes=90-"), Wanted::Part(90..100));
        assert_eq!(range("bytes=-10"), Wanted::Part(90..100));
        assert_eq!(range("bytes=-1000"), Wanted::Part(0..100));
        assert_eq!(range("bytes=50-1000"), Wanted::Part(50..100));
        assert_eq!(range("bytes=0-99999999999999999999"), Wanted::Part(0..100));
    }

    #[test]
    fn a_range_without_a_byte_of_the_file_is_refused() {
        assert_eq!(range("bytes=100-"), Wanted::Nothing);
        assert_eq!(range("bytes=-0"), Wanted::Nothing);
        assert_eq!(wanted_by(&[("range", "bytes=0-0")], 0), Wanted::Nothing);
    }

    #[test]
    fn what_is_no_range_gives_the_whole_file() {
        for text in [
            "bytes=9-1",
            "bytes=a-b",
            "bytes=-",
            "lines=1-2",
            "bytes=0-1,5-6",
            "bytes=+1-2",
        ] {
            assert_eq!(wanted_by(&[("range", text)], 100), Wanted::Whole, "{text}");
        }
    }

    #[test]
    fn a_range_of_other_content_gives_the_whole_file() {
        let same = wanted_by(&[("range", "bytes=0-1"), ("if-range", "\"abc\"")], 100);
        assert_eq!(same, Wanted::Part(0..2));
        let other = wanted_by(&[("range", "bytes=0-1"), ("if-range", "\"abd\"")], 100);
        assert_eq!(other, Wanted::Whole);
    }

    #[test]
    fn known_content_is_not_sent_again() {
        let names = |tags| names_etag(Some(&HeaderValue::from_static(tags)), &ETAG);
        assert!(names("\"abc\""));
        assert!(names("\"x\", W/\"abc\""));
        assert!(names("*"));
        assert!(!names("\"x\""));
        assert!(!names_etag(None, &ETAG));
    }

    #[test]
    fn if_match_is_met_by_the_same_etag_alone() {
        let expects_another = |text: &'static str| {
            super::expects_another(Some(&HeaderValue::from_static(text)), &ETAG)
        };
        assert!(!expects_another("\"abc\""));
        assert!(!expects_another("\"x\", \"abc\""));
        assert!(!expects_another("*"));
        assert!(expects_another("\"x\""));
        assert!(expects_another("W/\"abc\""), "a weak one is not the same");
        assert!(!super::expects_another(None, &ETAG));
    }
}
