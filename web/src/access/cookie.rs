//! The session cookie. It holds 256 random bits; the job log holds their hash.

use std::time::Duration;

use axum::http::HeaderMap;
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};
use jiggablend_raft::SecretHash;
use rand::TryRngCore;

pub(crate) const SESSION_LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// On plain HTTP. Browsers drop cookies with the `__Host-` prefix there.
pub(crate) const PLAIN_NAME: &str = "jiggablend_session";
/// Over TLS: no other host and no plain connection can set it.
const TLS_NAME: &str = "__Host-jiggablend_session";

/// 256 bits from the operating system.
pub(crate) fn new_secret_bytes() -> [u8; 32] {
    let mut secret = [0; 32];
    rand::rngs::OsRng
        .try_fill_bytes(&mut secret)
        .expect("the operating system gives random bytes");
    secret
}

/// The same, in hex.
pub(crate) fn new_secret() -> String {
    hex::encode(new_secret_bytes())
}

pub(crate) fn session_cookie(secret: String, over_tls: bool) -> Cookie<'static> {
    let mut cookie = cookie(secret, over_tls);
    cookie.set_max_age(Some(
        SESSION_LIFE.try_into().expect("seven days are in range"),
    ));
    cookie
}

/// Makes the browser forget its session cookie.
pub(crate) fn ended_cookie(over_tls: bool) -> Cookie<'static> {
    let mut cookie = cookie(String::new(), over_tls);
    cookie.make_removal();
    cookie
}

fn name(over_tls: bool) -> &'static str {
    if over_tls { TLS_NAME } else { PLAIN_NAME }
}

fn cookie(value: String, over_tls: bool) -> Cookie<'static> {
    let mut cookie = Cookie::new(name(over_tls), value);
    cookie.set_path("/");
    cookie.set_http_only(true);
    cookie.set_same_site(SameSite::Lax);
    cookie.set_secure(over_tls);
    cookie
}

/// The hash of the session that the request's cookie names. Over TLS a cookie of the plain name is
/// nobody's: whoever sits on the way of a plain connection, or on another host of the domain, could
/// have set it.
pub(super) fn session_of(headers: &HeaderMap, over_tls: bool) -> Option<SecretHash> {
    let jar = CookieJar::from_headers(headers);
    let cookie = jar.get(name(over_tls))?;
    Some(SecretHash::of(cookie.value().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_cookie_is_kept_from_scripts_and_other_sites() {
        let cookie = session_cookie("secret".into(), false).to_string();
        assert!(cookie.starts_with("jiggablend_session=secret;"), "{cookie}");
        assert!(cookie.contains("HttpOnly"));
        assert!(cookie.contains("SameSite=Lax"));
        assert!(cookie.contains("Max-Age=604800"));
        assert!(!cookie.contains("Secure"));
        let cookie = session_cookie("secret".into(), true).to_string();
        assert!(cookie.starts_with("__Host-jiggablend_session=secret;"));
        assert!(cookie.contains("Secure") && cookie.contains("Path=/"));
        assert!(!cookie.contains("Domain"));
    }

    #[test]
    fn a_cookie_says_once_how_long_it_lives() {
        for over_tls in [false, true] {
            let living = session_cookie("secret".into(), over_tls).to_string();
            assert!(!living.contains("Expires"), "{living}");
            let ended = ended_cookie(over_tls).to_string();
            assert!(ended.contains("Max-Age=0") && ended.contains("Expires="));
        }
    }

    #[test]
    fn over_tls_only_the_hosts_own_cookie_counts_and_else_only_the_plain_one() {
        let headers = |cookie: &'static str| {
            let value = axum::http::HeaderValue::from_static(cookie);
            HeaderMap::from_iter([(axum::http::header::COOKIE, value)])
        };
        let plain = headers("jiggablend_session=a");
        let of_host = headers("__Host-jiggablend_session=b");
        let both = headers("jiggablend_session=a; __Host-jiggablend_session=b");
        let (a, b) = (Some(SecretHash::of(b"a")), Some(SecretHash::of(b"b")));
        assert_eq!(session_of(&plain, true), None);
        assert_eq!(session_of(&of_host, true), b);
        assert_eq!(session_of(&both, true), b);
        assert_eq!(session_of(&plain, false), a);
        assert_eq!(session_of(&of_host, false), None);
        assert_eq!(session_of(&both, false), a);
    }

    #[test]
    fn secrets_are_long_and_differ() {
        let (one, other) = (new_secret(), new_secret());
        assert_eq!(one.len(), 64);
        assert_ne!(one, other);
    }
}
