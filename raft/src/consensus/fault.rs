//! The first fault that stops the log, kept for good (I11).

use std::io;

use tokio::sync::watch;

/// A latch: once a write or an fsync failed, nothing is acknowledged any more, even if the disk
/// says that the next write was fine. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    reason: watch::Sender<Option<String>>,
}

impl Default for Fault {
    fn default() -> Self {
        Self {
            reason: watch::Sender::new(None),
        }
    }
}

impl Fault {
    /// Keeps `reason` unless there is one already.
    pub(crate) fn set(&self, reason: impl FnOnce() -> String) {
        self.reason.send_if_modified(|current| {
            if current.is_some() {
                return false;
            }
            let reason = reason();
            tracing::error!(%reason, "the job log stops");
            *current = Some(reason);
            true
        });
    }

    pub(crate) fn get(&self) -> Option<String> {
        self.reason.borrow().clone()
    }

    /// Refuses further work after a fault.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self.get() {
            None => Ok(()),
            Some(reason) => Err(io::Error::other(reason)),
        }
    }

    /// Notes the error, if it is one, and passes the result on.
    pub(crate) fn note<T>(&self, doing: &str, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            self.set(|| format!("{doing}: {error}"));
        }
        result
    }

    /// Resolves with the reason when there is one.
    pub(crate) async fn wait(&self) -> String {
        let mut reason = self.reason.subscribe();
        match reason.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // Cannot happen while `self` holds the sender.
            Err(_) => std::future::pending().await,
        }
    }
}
