//! Waiting for a condition with a deadline. Nothing here sleeps and hopes.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::{Result, TestnetError};

/// How long a look waits for the next one.
const PAUSE: Duration = Duration::from_millis(50);

/// What one look at the condition saw.
#[derive(Debug)]
pub enum Look<T> {
    /// It holds.
    Seen(T),
    /// Not yet; what was seen instead goes into the error if time runs out.
    NotYet(String),
    /// It can never hold any more: waiting ends at once.
    Never(String),
}

impl<T> Look<T> {
    /// A call that failed is a look that saw nothing: the node may be on its way up.
    pub fn from_result(result: Result<T>) -> Self {
        match result {
            Ok(value) => Self::Seen(value),
            Err(error) => Self::NotYet(error.to_string()),
        }
    }
}

/// Looks again and again until `look` sees `what`, for no longer than `deadline`.
///
/// A single look that hangs counts against the deadline too.
pub async fn wait_for<T, F, Looking>(what: &str, deadline: Duration, mut look: F) -> Result<T>
where
    F: FnMut() -> Looking,
    Looking: Future<Output = Look<T>>,
{
    let started = Instant::now();
    let mut last_seen = "nothing yet".to_owned();
    loop {
        let left = deadline.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(TestnetError::Timeout {
                what: what.to_owned(),
                waited: deadline,
                last_seen,
            });
        }
        match tokio::time::timeout(left, look()).await {
            Ok(Look::Seen(value)) => return Ok(value),
            Ok(Look::NotYet(seen)) => last_seen = seen,
            Ok(Look::Never(why)) => {
                return Err(TestnetError::Hopeless {
                    what: what.to_owned(),
                    why,
                });
            }
            // The look hung until the deadline: the next turn ends the wait.
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE.min(deadline.saturating_sub(started.elapsed()))).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn a_condition_that_comes_true_ends_the_wait() {
        let mut looks = 0;
        let seen = wait_for("three looks", Duration::from_secs(5), || {
            looks += 1;
            let now = looks;
            async move {
                if now == 3 {
                    Look::Seen(now)
                } else {
                    Look::NotYet(now.to_string())
                }
            }
        });
        assert_eq!(seen.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_wait_that_ends_says_what_it_saw_last() {
        let look = || async { Look::<()>::NotYet("2 of 3 frames".into()) };
        let error = wait_for("3 frames", Duration::from_millis(120), look)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("2 of 3 frames"), "{error}");
    }

    #[tokio::test]
    async fn a_look_that_hangs_does_not_outlive_the_deadline() {
        let look = || std::future::pending::<Look<()>>();
        let error = wait_for("anything", Duration::from_millis(50), look)
            .await
            .unwrap_err();
        assert!(matches!(error, TestnetError::Timeout { .. }), "{error}");
    }

    #[tokio::test]
    async fn what_can_never_come_is_not_waited_for() {
        let look = || async { Look::<()>::Never("the job failed".into()) };
        let error = wait_for("the video", Duration::from_secs(60), look)
            .await
            .unwrap_err();
        assert!(matches!(error, TestnetError::Hopeless { .. }), "{error}");
    }
}
