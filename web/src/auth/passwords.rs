//! Passwords: argon2id, off the async threads, few at a time.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::SaltString;
use argon2::password_hash::rand_core::OsRng;
use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use crate::problem::{Problem, ProblemKind};

/// OWASP's floor for argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Each takes 19 MiB and a core for tens of milliseconds.
const HASHES_AT_ONCE: usize = 2;
const MAX_WAIT: Duration = Duration::from_secs(5);
/// Longer ones are wrong, unread.
pub(super) const MAX_PASSWORD_BYTES: usize = 1024;

/// Verifies passwords.
pub(crate) struct Passwords {
    hashing: Arc<Semaphore>,
    /// What an unknown account's password is compared with, so that it takes the same time.
    nobody: OnceCell<String>,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        Self {
            hashing: Arc::new(Semaphore::new(HASHES_AT_ONCE)),
            nobody: OnceCell::new(),
        }
    }

    /// True where `password` is the one of `expected`, a PHC string. `None` is an account that
    /// does not exist: it costs as much and is always wrong.
    pub(crate) async fn verify(
        &self,
        password: String,
        expected: Option<String>,
    ) -> Result<bool, Problem> {
        if password.len() > MAX_PASSWORD_BYTES {
            return Ok(false);
        }
        let permit = self.permit().await?;
        let exists = expected.is_some();
        let phc = match expected {
            Some(phc) => phc,
            None => {
                let nobody = self.nobody.get_or_init(|| hash("nobody".to_owned()));
                nobody.await.clone()
            }
        };
        let matches = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let parsed = PasswordHash::new(&phc).ok()?;
            argon2id()
                .verify_password(password.as_bytes(), &parsed)
                .ok()
        });
        let matches = matches.await.ok().flatten().is_some();
        Ok(exists && matches)
    }

    /// Hashes a new password, as a PHC string.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Problem> {
        let permit = self.permit().await?;
        // The permit stays with the work, though nobody may wait for it any more.
        let hashing = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            hash_now(&password)
        });
        Ok(hashing.await.expect("hashing does not panic"))
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let waiting = Arc::clone(&self.hashing).acquire_owned();
        let permit = tokio::time::timeout(MAX_WAIT, waiting).await.map_err(|_| {
            let why = "too many are signing in at this moment; try again in a few seconds";
            Problem::new(ProblemKind::Busy, why).retry_after_seconds(5)
        })?;
        Ok(permit.expect("nobody closes the semaphore"))
    }
}

/// Hashes a password with a fresh salt, as a PHC string.
pub(super) async fn hash(password: String) -> String {
    let hashing = tokio::task::spawn_blocking(move || hash_now(&password));
    hashing.await.expect("hashing does not panic")
}

fn hash_now(password: &str) -> String {
    let salt = SaltString::generate(&mut OsRng);
    argon2id()
        .hash_password(password.as_bytes(), &salt)
        .expect("the parameters are valid and the password is short")
        .to_string()
}

fn argon2id() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the parameters are valid");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_an_account_is_right() {
        let passwords = Passwords::new();
        let phc = hash("correct horse".into()).await;
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        let verify = async |password: &str, phc: Option<&String>| {
            let verified = passwords.verify(password.into(), phc.cloned());
            verified.await.unwrap()
        };
        assert!(verify("correct horse", Some(&phc)).await);
        assert!(!verify("wrong horse", Some(&phc)).await);
        assert!(!verify(&"x".repeat(5000), Some(&phc)).await);
        // Not even with the password of the hash that nobody has.
        assert!(!verify("nobody", None).await);
        assert!(!verify("x", Some(&"not a hash".to_owned())).await);
    }

    #[tokio::test]
    async fn no_more_passwords_are_hashed_at_once_than_there_is_memory_for() {
        let passwords = Passwords::new();
        let mut held = Vec::new();
        for _ in 0..HASHES_AT_ONCE {
            held.push(passwords.permit().await.unwrap());
        }
        let mut checking = Box::pin(passwords.verify("x".into(), Some("no hash".into())));
        let mut hashing = Box::pin(passwords.hash("x".into()));
        assert!(futures::poll!(&mut checking).is_pending());
        assert!(futures::poll!(&mut hashing).is_pending());
        assert_eq!(passwords.hashing.available_permits(), 0);
        held.pop();
        assert!(!checking.await.unwrap());
        assert!(hashing.await.unwrap().starts_with("$argon2id$"));
    }

    #[tokio::test]
    async fn whoever_hangs_up_does_not_make_room_for_one_more_hash() {
        let passwords = Passwords::new();
        let mut hashing = Box::pin(passwords.hash("x".into()));
        assert!(futures::poll!(&mut hashing).is_pending());
        drop(hashing);
        // The work goes on, and its place stays taken until it is done.
        let all = passwords.hashing.acquire_many(HASHES_AT_ONCE as u32);
        let all = tokio::time::timeout(MAX_WAIT, all);
        assert!(passwords.hashing.available_permits() < HASHES_AT_ONCE);
        all.await.unwrap().unwrap().forget();
    }
}
