//! ID tokens (OpenID Connect Core 1.0, 3.1.3.7): signature, issuer, audience, time, nonce.

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use serde::Deserialize;

use super::http::ProviderError;

/// What clocks may differ by.
const LEEWAY_SECONDS: u64 = 60;
/// No symmetric ones: whoever could check such a token could write it too.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// What a token says of its subject.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Claims {
    pub(super) sub: String,
    nonce: Option<String>,
    azp: Option<String>,
    #[serde(flatten)]
    pub(super) profile: Profile,
}

/// Also what the issuer's userinfo answers.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Profile {
    pub(super) name: Option<String>,
    pub(super) preferred_username: Option<String>,
    pub(super) email: Option<String>,
    /// Issuers write all sorts of things here; only `true` is yes.
    #[serde(default)]
    pub(super) email_verified: serde_json::Value,
}

/// Whom a token must be from and for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
}

/// The keys that the token may be signed with; none where it is signed with one that is not here.
pub(super) fn keys_for<'a>(token: &str, keys: &'a [Jwk]) -> Result<Vec<&'a Jwk>, ProviderError> {
    let header = header_of(token)?;
    Ok(keys.iter().filter(|key| may_sign(key, &header)).collect())
}

fn header_of(token: &str) -> Result<Header, ProviderError> {
    let header = decode_header(token).map_err(|error| invalid(error.to_string()))?;
    if ALGORITHMS.contains(&header.alg) {
        Ok(header)
    } else {
        Err(invalid(format!("{:?} is no algorithm for it", header.alg)))
    }
}

fn may_sign(key: &Jwk, header: &Header) -> bool {
    let is_symmetric = matches!(key.algorithm, AlgorithmParameters::OctetKey(_));
    let is_for_secrecy = key.common.public_key_use == Some(PublicKeyUse::Encryption);
    let is_named = header.kid.is_none() || header.kid == key.common.key_id;
    let algorithm = key.common.key_algorithm;
    let has_algorithm = algorithm.is_none_or(|of_key| {
        let of_key = of_key.to_string();
        of_key.eq_ignore_ascii_case(&format!("{:?}", header.alg))
    });
    !is_symmetric && !is_for_secrecy && is_named && has_algorithm
}

pub(super) fn verify(
    token: &str,
    keys: &[&Jwk],
    expected: Expected<'_>,
) -> Result<Claims, ProviderError> {
    let header = header_of(token)?;
    let mut validation = Validation::new(header.alg);
    validation.leeway = LEEWAY_SECONDS;
    validation.validate_nbf = true;
    validation.set_issuer(&[expected.issuer]);
    validation.set_audience(&[expected.client_id]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let mut why = "no key of the issuer fits it".to_owned();
    for key in keys {
        let decoded =
            DecodingKey::from_jwk(key).and_then(|key| decode::<Claims>(token, &key, &validation));
        match decoded {
            Ok(decoded) => return checked(decoded.claims, expected),
            Err(error) => why = error.to_string(),
        }
    }
    Err(invalid(why))
}

fn checked(claims: Claims, expected: Expected<'_>) -> Result<Claims, ProviderError> {
    if claims.nonce.as_deref() != Some(expected.nonce) {
        return Err(invalid("its nonce is of another sign-in".to_owned()));
    }
    let party = claims.azp.as_deref();
    if party.is_some_and(|party| party != expected.client_id) {
        return Err(invalid("it was made for another client".to_owned()));
    }
    Ok(claims)
}

fn invalid(why: String) -> ProviderError {
    ProviderError::IdToken(why)
}
