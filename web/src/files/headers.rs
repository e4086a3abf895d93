//! How a user's file leaves: never as something that a browser runs (I9).

use axum::http::{HeaderMap, HeaderValue, header};
use jiggablend_raft::File;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What RFC 8187 lets stand as it is in `filename*`.
const NOT_ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// What a page may show without running anything of it. SVG is not among them.
const INLINE_TYPES: [&str; 7] = [
    "image/png",
    "image/jpeg",
    "image/webp",
    "image/gif",
    "video/mp4",
    "video/webm",
    "text/plain",
];

/// Even opened by itself, the file's page runs nothing and loads nothing else.
const SANDBOX: &str =
    "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'";

const MAX_NAME_BYTES: usize = 200;

pub(super) fn etag(file: &File) -> HeaderValue {
    HeaderValue::try_from(format!("\"{}\"", file.content)).expect("hex digits in quotes")
}

/// The headers of a download, but for what depends on the range.
pub(super) fn of_file(file: &File, etag: HeaderValue, inline: bool) -> HeaderMap {
    let essence = file.media_type.split(';').next().unwrap_or_default().trim();
    let is_shown = inline && INLINE_TYPES.contains(&essence);
    let media_type = HeaderValue::try_from(&file.media_type)
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, media_type);
    headers.insert(
        header::CONTENT_DISPOSITION,
        content_disposition(&file.name, is_shown),
    );
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(SANDBOX),
    );
    headers.insert(header::ETAG, etag);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // The bytes of a file never change, but who may see them does.
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, no-cache"),
    );
    headers
}

/// The headers of an answer that says that the client has it: those of the file that a cache keeps.
pub(super) fn unchanged(etag: HeaderValue) -> [(header::HeaderName, HeaderValue); 2] {
    let may_be_kept = HeaderValue::from_static("private, no-cache");
    [(header::ETAG, etag), (header::CACHE_CONTROL, may_be_kept)]
}

/// The headers of a picture that this node has made itself.
pub(super) fn of_picture(media_type: &'static str, etag: HeaderValue) -> HeaderMap {
    HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::from_static("inline"),
        ),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(SANDBOX),
        ),
        (header::ETAG, etag),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, no-cache"),
        ),
    ])
}

/// RFC 6266: a name in ASCII for old clients, and the true one.
pub(super) fn content_disposition(name: &str, inline: bool) -> HeaderValue {
    let name = safe_file_name(name).unwrap_or_else(|| "file".to_owned());
    let plain: String = name
        .chars()
        .map(|character| match character {
            '"' | '%' => '_',
            ' '..='~' => character,
            _ => '_',
        })
        .collect();
    let how = if inline { "inline" } else { "attachment" };
    let encoded = utf8_percent_encode(&name, NOT_ATTR_CHAR);
    let value = format!("{how}; filename=\"{plain}\"; filename*=UTF-8''{encoded}");
    HeaderValue::try_from(value).expect("only printable ASCII is left")
}

/// The last part of what a user calls a file, without what could steer a terminal, a header or a
/// path; `None` where nothing is left.
pub(crate) fn safe_file_name(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut safe = String::new();
    for character in last.chars().filter(|character| !character.is_control()) {
        // U+202A to U+202E and U+2066 to U+2069 turn the direction of text around.
        let turns_text = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if safe.len() + character.len_utf8() > MAX_NAME_BYTES {
            break;
        }
        if !turns_text {
            safe.push(character);
        }
    }
    let safe = safe.trim();
    let is_a_name = !safe.trim_matches('.').is_empty();
    is_a_name.then(|| safe.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_folders_and_controls() {
        let safe = |name: &str| safe_file_name(name);
        assert_eq!(safe("scene.blend").as_deref(), Some("scene.blend"));
        assert_eq!(safe("../../etc/passwd").as_deref(), Some("passwd"));
        assert_eq!(safe("C:\\scenes\\a.blend").as_deref(), Some("a.blend"));
        assert_eq!(safe("a\r\nb.blend").as_deref(), Some("ab.blend"));
        assert_eq!(safe("dnelb\u{202e}.exe").as_deref(), Some("dnelb.exe"));
        assert_eq!(safe(".."), None);
        assert_eq!(safe("folder/"), None);
        assert!(safe(&"ü".repeat(400)).is_some_and(|name| name.len() <= 200));
    }

    #[test]
    fn a_disposition_says_the_name_twice() {
        let value = content_disposition("Küche \"1\".png", false);
        assert_eq!(
            value,
            "attachment; filename=\"K_che _1_.png\"; filename*=UTF-8''K%C3%BCche%20%221%22.png"
        );
        let value = content_disposition("..", true);
        assert_eq!(value, "inline; filename=\"file\"; filename*=UTF-8''file");
    }
}
