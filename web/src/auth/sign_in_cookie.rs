//! What binds a sign-in with a provider to the browser that began it.
//!
//! The browser holds 256 random bits in a cookie for as long as it is away at the provider. The
//! job log holds their hash. PKCE's verifier and the nonce follow from them, so that any node can
//! finish the sign-in and none of them is in the log.

use std::time::Duration;

use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};
use jiggablend_raft::SecretHash;

use super::providers::SignInSecrets;
use crate::access::new_secret;

/// How long somebody may take at the provider.
pub(super) const SIGN_IN_LIFE: Duration = Duration::from_secs(10 * 60);

const PATH: &str = "/api/auth";
const PLAIN_NAME: &str = "jiggablend_sign_in";
/// Over TLS: no plain connection can set it. `__Host-` would need the path `/`.
const TLS_NAME: &str = "__Secure-jiggablend_sign_in";

/// The secret of one sign-in.
pub(super) struct SignInSecret(String);

impl SignInSecret {
    pub(super) fn new() -> Self {
        Self(new_secret())
    }

    pub(super) fn of(jar: &CookieJar, over_tls: bool) -> Option<Self> {
        let cookie = jar.get(name(over_tls))?;
        Some(Self(cookie.value().to_owned()))
    }

    pub(super) fn binding(&self) -> SecretHash {
        SecretHash::of(self.0.as_bytes())
    }

    pub(super) fn secrets(&self, state: &str) -> SignInSecrets {
        SignInSecrets {
            pkce_verifier: self.derive("JiggaBlend sign-in PKCE verifier", state),
            nonce: self.derive("JiggaBlend sign-in nonce", state),
        }
    }

    /// 64 hex digits: PKCE wants 43 to 128 characters.
    fn derive(&self, purpose: &str, state: &str) -> String {
        let mut hasher = blake3::Hasher::new_derive_key(purpose);
        hasher.update(&(self.0.len() as u64).to_le_bytes());
        hasher.update(self.0.as_bytes());
        hasher.update(state.as_bytes());
        hasher.finalize().to_hex().to_string()
    }

    pub(super) fn cookie(self, over_tls: bool) -> Cookie<'static> {
        let mut cookie = cookie(self.0, over_tls);
        cookie.set_max_age(Some(
            SIGN_IN_LIFE.try_into().expect("ten minutes are in range"),
        ));
        cookie
    }
}

/// Makes the browser forget it.
pub(super) fn ended(over_tls: bool) -> Cookie<'static> {
    let mut cookie = cookie(String::new(), over_tls);
    cookie.make_removal();
    cookie
}

fn cookie(value: String, over_tls: bool) -> Cookie<'static> {
    let mut cookie = Cookie::new(name(over_tls), value);
    cookie.set_path(PATH);
    cookie.set_http_only(true);
    // The provider sends the browser back by a link; that much Lax allows.
    cookie.set_same_site(SameSite::Lax);
    cookie.set_secure(over_tls);
    cookie
}

fn name(over_tls: bool) -> &'static str {
    if over_tls { TLS_NAME } else { PLAIN_NAME }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_the_secret_differs_by_sign_in_and_purpose() {
        let secret = SignInSecret::new();
        let (one, again, other) = (
            secret.secrets("a"),
            secret.secrets("a"),
            secret.secrets("b"),
        );
        assert_eq!(one.pkce_verifier, again.pkce_verifier);
        assert_eq!(one.nonce, again.nonce);
        assert_ne!(one.pkce_verifier, one.nonce);
        assert_ne!(one.pkce_verifier, other.pkce_verifier);
        assert_ne!(one.nonce, other.nonce);
        assert!((43..=128).contains(&one.pkce_verifier.len()));
    }

    #[test]
    fn the_cookie_is_short_lived_and_kept_from_scripts_and_other_sites() {
        let cookie = SignInSecret::new().cookie(true).to_string();
        assert!(cookie.starts_with("__Secure-jiggablend_sign_in="));
        for part in [
            "HttpOnly",
            "Secure",
            "SameSite=Lax",
            "Path=/api/auth",
            "Max-Age=600",
        ] {
            assert!(cookie.contains(part), "{cookie}");
        }
        assert!(!cookie.contains("Expires"), "{cookie}");
        assert!(
            !SignInSecret::new()
                .cookie(false)
                .to_string()
                .contains("Secure")
        );
    }
}
