//! Signatures by the Standard Webhooks specification
//! (<https://github.com/standard-webhooks/standard-webhooks>).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// What every secret begins with; after it comes the key in base64.
const SECRET_PREFIX: &str = "whsec_";

/// The `webhook-signature` of a message: version 1 is HMAC-SHA256 over id, time and body.
pub(super) fn signature(secret: &str, id: &str, timestamp_seconds: u64, body: &[u8]) -> String {
    let key = key_of(secret);
    let mut hmac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
    hmac.update(format!("{id}.{timestamp_seconds}.").as_bytes());
    hmac.update(body);
    format!("v1,{}", STANDARD.encode(hmac.finalize().into_bytes()))
}

/// A secret that is not in the specification's form is the key itself.
fn key_of(secret: &str) -> Vec<u8> {
    let encoded = secret.strip_prefix(SECRET_PREFIX);
    encoded
        .and_then(|encoded| STANDARD.decode(encoded).ok())
        .unwrap_or_else(|| secret.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_specifications_own_example() {
        // From the reference implementations' tests.
        let signed = signature(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
