//! The headers of tus 1.0.0 (<https://tus.io/protocols/resumable-upload>). Pure.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiggablend_raft::TimestampMs;
use utoipa::IntoParams;

use crate::files::safe_file_name;
use crate::problem::{Problem, ProblemKind};

pub(super) const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub(super) const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
pub(super) const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
pub(super) const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
pub(super) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(super) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub(super) const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");

pub(super) const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
pub(super) const EXTENSIONS: HeaderValue =
    HeaderValue::from_static("creation,expiration,termination");
const PIECE_TYPE: &str = "application/offset+octet-stream";
const MAX_METADATA_BYTES: usize = 4096;

/// What a tus upload begins with, for the document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(
    dead_code,
    reason = "its shape is for the document; the headers are read as they come"
)]
pub(super) struct CreationHeaders {
    /// `1.0.0`: creates a tus upload, without a body.
    #[param(rename = "Tus-Resumable", pattern = r"^1\.0\.0$")]
    tus_resumable: Option<String>,
    /// With `Tus-Resumable`: the file's bytes.
    #[param(rename = "Upload-Length", minimum = 1)]
    upload_length: Option<u64>,
    /// With `Tus-Resumable`: `filename` and the file's name in base64.
    #[param(rename = "Upload-Metadata")]
    upload_metadata: Option<String>,
}

/// What each other request about a tus upload has, for the document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(
    dead_code,
    reason = "its shape is for the document; the headers are read as they come"
)]
pub(super) struct VersionHeader {
    #[param(rename = "Tus-Resumable", pattern = r"^1\.0\.0$")]
    tus_resumable: String,
}

/// True where the client speaks tus, in whatever version.
pub(super) fn is_tus(headers: &HeaderMap) -> bool {
    headers.contains_key(TUS_RESUMABLE)
}

/// Says which version would do, where the client speaks another or none.
pub(super) fn check_version(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get(TUS_RESUMABLE) == Some(&VERSION) {
        return Ok(());
    }
    let why = "this speaks tus 1.0.0; send Tus-Resumable: 1.0.0";
    Err(Problem::new(ProblemKind::WrongTusVersion, why).header(TUS_VERSION, VERSION))
}

pub(super) fn check_piece_type(headers: &HeaderMap) -> Result<(), Problem> {
    let media_type = headers.get(header::CONTENT_TYPE);
    if media_type.is_some_and(|media_type| media_type == PIECE_TYPE) {
        return Ok(());
    }
    Err(Problem::new(
        ProblemKind::WrongMediaType,
        format!("a piece of an upload is sent as Content-Type: {PIECE_TYPE}"),
    ))
}

/// A count of bytes that a header must have.
pub(super) fn number(headers: &HeaderMap, name: &HeaderName) -> Result<u64, Problem> {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    let digits = value.filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| {
            Problem::new(
                ProblemKind::InvalidRequest,
                format!("the header {name} must be a number of bytes"),
            )
        })
}

/// The file's name of `Upload-Metadata: filename BASE64,…`, made safe.
pub(super) fn file_name(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(metadata) = headers.get(UPLOAD_METADATA) else {
        return Ok(None);
    };
    let invalid = || {
        Problem::new(
            ProblemKind::InvalidRequest,
            "Upload-Metadata must be pairs of a key and a base64 value, such as 'filename c2NlbmUuYmxlbmQ='",
        )
    };
    let text = metadata.to_str().map_err(|_| invalid())?;
    if text.len() > MAX_METADATA_BYTES {
        return Err(invalid());
    }
    let mut name = None;
    for pair in text.split(',') {
        let (key, value) = pair.trim().split_once(' ').unwrap_or((pair.trim(), ""));
        let value = STANDARD.decode(value.trim()).map_err(|_| invalid())?;
        if key == "filename" {
            let value = String::from_utf8(value).map_err(|_| invalid())?;
            name = safe_file_name(&value);
        }
    }
    Ok(name)
}

/// `Upload-Expires` as RFC 9110 writes dates.
pub(super) fn http_date(at: TimestampMs) -> HeaderValue {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(at.0);
    HeaderValue::try_from(httpdate::fmt_http_date(at)).expect("a date is plain text")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    fn name_of(metadata: &'static str) -> Option<Option<String>> {
        file_name(&headers(UPLOAD_METADATA, metadata)).ok()
    }

    #[test]
    fn the_files_name_is_read_and_is_never_a_path() {
        assert_eq!(
            name_of("filename Li4vLi4vZXRjL2EuYmxlbmQ=,filetype eA==")
                .unwrap()
                .as_deref(),
            Some("a.blend")
        );
        assert_eq!(
            name_of("is_confidential,filename YS5ibGVuZA==")
                .unwrap()
                .as_deref(),
            Some("a.blend")
        );
        assert_eq!(name_of("filetype eA=="), Some(None));
        assert_eq!(name_of("filename ??"), None);
        assert_eq!(name_of("filename /w=="), None, "no UTF-8");
        assert_eq!(file_name(&HeaderMap::new()).ok(), Some(None));
    }

    #[test]
    fn numbers_are_digits_and_nothing_else() {
        let read = |value| number(&headers(UPLOAD_LENGTH, value), &UPLOAD_LENGTH).ok();
        assert_eq!(read("12"), Some(12));
        for bad in ["", "-1", "+1", "1.0", "0x1", "99999999999999999999"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_version_1_0_0_is_spoken() {
        assert!(check_version(&headers(TUS_RESUMABLE, "1.0.0")).is_ok());
        let other = check_version(&headers(TUS_RESUMABLE, "0.2.2")).unwrap_err();
        assert_eq!(other.kind(), ProblemKind::WrongTusVersion);
        assert!(check_version(&HeaderMap::new()).is_err());
    }
}
