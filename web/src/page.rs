//! The embedded page: what `web/ui` was built into.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::problem::{Problem, ProblemKind};

#[derive(RustEmbed)]
#[folder = "$JIGGABLEND_UI_DIST"]
struct Dist;

/// Nothing from elsewhere, no script in the markup. Svelte sets styles on elements.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; \
     img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self'; connect-src 'self'; \
     manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
);

const NO_PAGE: &str = "<!doctype html><meta charset=utf-8><title>JiggaBlend</title>\
<h1>This JiggaBlend was built without its page</h1>\
<p>The API answers under <code>/api</code>. Build again with Node 20.19 or later on the PATH and \
without <code>JIGGABLEND_SKIP_UI</code>, and the page is here.\n";

/// Answers what no route of the API does: a file of the page, or the page itself, which finds
/// its place by the address.
pub(crate) async fn page(method: Method, uri: Uri, request: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    if path == "api" || path.starts_with("api/") {
        return no_route(&uri).into_response();
    }
    if method != Method::GET && method != Method::HEAD {
        return method_not_allowed().await.into_response();
    }
    if let Some(file) = Dist::get(path) {
        return respond(path, &file, &request);
    }
    let is_a_file = path.rsplit('/').next().unwrap_or_default().contains('.');
    if is_a_file {
        return no_route(&uri).into_response();
    }
    match Dist::get("index.html") {
        Some(index) => respond("index.html", &index, &request),
        None => {
            let html = HeaderValue::from_static("text/html; charset=utf-8");
            let headers = [
                (header::CONTENT_TYPE, html),
                (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
            ];
            (headers, NO_PAGE).into_response()
        }
    }
}

fn no_route(uri: &Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    let detail = format!("there is nothing at '{path}'; docs/api.md lists the routes");
    Problem::new(ProblemKind::NotFound, detail)
}

pub(crate) async fn method_not_allowed() -> Problem {
    Problem::new(
        ProblemKind::MethodNotAllowed,
        "the route is there, but not with this method; docs/api.md lists the routes",
    )
}

fn respond(path: &str, file: &EmbeddedFile, request: &HeaderMap) -> Response {
    let etag = format!("\"{}\"", hex::encode(file.metadata.sha256_hash()));
    let etag = HeaderValue::try_from(etag).expect("hex digits in quotes");
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, media_type(path));
    headers.insert(header::CONTENT_SECURITY_POLICY, PAGE_POLICY);
    headers.insert(header::CACHE_CONTROL, cache_control(path));
    headers.insert(header::ETAG, etag.clone());
    // An old browser that knows no frame-ancestors.
    headers.insert(
        HeaderName::from_static("x-frame-options"),
        HeaderValue::from_static("DENY"),
    );
    let known = request.get(header::IF_NONE_MATCH);
    if known.is_some_and(|known| known == etag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, Body::from(file.data.clone().into_owned())).into_response()
}

/// Vite puts a hash of the content into the names of what it writes to `assets/`.
fn cache_control(path: &str) -> HeaderValue {
    HeaderValue::from_static(if path.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    })
}

fn media_type(path: &str) -> HeaderValue {
    let guessed = mime_guess::from_path(path).first_or_octet_stream();
    let text = match guessed.type_().as_str() {
        "text" => format!("{guessed}; charset=utf-8"),
        _ => guessed.to_string(),
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answered(path: &'static str) -> Response {
        page(Method::GET, Uri::from_static(path), HeaderMap::new()).await
    }

    #[tokio::test]
    async fn unknown_addresses_under_api_are_never_the_page() {
        for path in ["/api", "/api/", "/api/nothing", "/api/jobs/1/2/3/4"] {
            let response = answered(path).await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
            let media_type = &response.headers()[header::CONTENT_TYPE];
            assert_eq!(media_type, "application/problem+json");
        }
    }

    #[tokio::test]
    async fn addresses_of_the_page_are_the_page_and_missing_files_are_not() {
        for path in ["/", "/jobs/0190-x", "/nodes"] {
            let response = answered(path).await;
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            let headers = response.headers();
            assert_eq!(headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
            assert_eq!(headers[header::CONTENT_SECURITY_POLICY], PAGE_POLICY);
        }
        let missing = answered("/assets/gone-12345.js").await;
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn only_names_with_a_hash_are_kept_for_long() {
        let immutable = cache_control("assets/index-8a3f.js");
        assert!(immutable.as_bytes().ends_with(b"immutable"));
        assert_eq!(cache_control("index.html"), "no-cache");
        assert_eq!(media_type("index.html"), "text/html; charset=utf-8");
        assert_eq!(media_type("a.svg"), "image/svg+xml");
    }
}
