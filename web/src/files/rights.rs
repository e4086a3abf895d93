//! Whether whoever asked for bytes may still have them, looked at anew while they are sent.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use jiggablend_raft::JobId;
use tokio::time::Instant;

use crate::access::{Access, Caller, check_again};
use crate::app::App;

/// So much goes out, and so long it takes, between two looks.
const LOOK_EACH_BYTES: u64 = 1 << 20;
const LOOK_EACH: Duration = Duration::from_secs(1);

/// What [`while_allowed`] asks.
pub(crate) type StillAllowed = Box<dyn Fn() -> bool + Send + Sync>;

/// True for as long as the caller may see the job.
pub(crate) fn still_reads(app: &App, caller: &Caller, job: JobId) -> StillAllowed {
    let (app, caller) = (app.clone(), caller.clone());
    Box::new(move || check_again(&app, &caller, Access::JobReader, false, job).is_ok())
}

/// The bytes, which end with an error once they are not allowed any more: the client's connection
/// breaks off before the length that it was told.
pub(crate) fn while_allowed(
    bytes: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    is_allowed: StillAllowed,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let start = Watched {
        bytes: bytes.boxed(),
        is_allowed,
        looked_at: Instant::now(),
        sent_bytes: 0,
    };
    futures::stream::try_unfold(start, async |mut watched| {
        let piece = watched.next_piece().await?;
        Ok(piece.map(|piece| (piece, watched)))
    })
}

struct Watched {
    bytes: futures::stream::BoxStream<'static, io::Result<Bytes>>,
    is_allowed: StillAllowed,
    looked_at: Instant,
    /// Since then.
    sent_bytes: u64,
}

impl Watched {
    async fn next_piece(&mut self) -> io::Result<Option<Bytes>> {
        let piece = self.bytes.next().await.transpose()?;
        let is_due = self.sent_bytes >= LOOK_EACH_BYTES || self.looked_at.elapsed() >= LOOK_EACH;
        if is_due && piece.is_some() {
            if !(self.is_allowed)() {
                return Err(io::Error::other("whoever asked may not have it any more"));
            }
            self.looked_at = Instant::now();
            self.sent_bytes = 0;
        }
        self.sent_bytes += piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Ok(piece)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn pieces(count: usize) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let piece = Bytes::from(vec![7; LOOK_EACH_BYTES as usize / 4]);
        futures::stream::iter((0..count).map(move |_| Ok(piece.clone())))
    }

    fn right() -> (Arc<AtomicBool>, StillAllowed) {
        let right = Arc::new(AtomicBool::new(true));
        let asked = right.clone();
        (right, Box::new(move || asked.load(Ordering::Relaxed)))
    }

    #[tokio::test]
    async fn a_right_that_stays_lets_all_bytes_through() {
        let (_, asked) = right();
        let sent: Vec<_> = while_allowed(pieces(20), asked).collect().await;
        assert_eq!(sent.len(), 20);
        assert!(sent.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn a_right_that_ends_breaks_the_bytes_off_within_a_mebibyte() {
        let (right, asked) = right();
        let mut sent = Box::pin(while_allowed(pieces(20), asked));
        sent.next().await.unwrap().unwrap();
        right.store(false, Ordering::Relaxed);
        let after: Vec<_> = sent.collect().await;
        assert!(after.len() <= 4, "{}", after.len());
        assert!(after.last().unwrap().is_err());
    }

    #[tokio::test]
    async fn a_right_that_ends_breaks_slow_bytes_off_within_a_second() {
        let (right, asked) = right();
        let slow = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(400)).await;
            Some((Ok(Bytes::from_static(b"a")), ()))
        });
        let mut sent = Box::pin(while_allowed(slow, asked));
        sent.next().await.unwrap().unwrap();
        right.store(false, Ordering::Relaxed);
        let broken = async { while sent.next().await.unwrap().is_ok() {} };
        tokio::time::timeout(LOOK_EACH * 2, broken).await.unwrap();
    }
}
