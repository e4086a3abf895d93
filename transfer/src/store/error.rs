//! What can go wrong with content.

use std::io;
use std::path::{Path, PathBuf};

use super::ManifestHash;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{doing}: {source}")]
    Io {
        doing: String,
        #[source]
        source: std::io::Error,
    },
    /// Another store is open in this folder; nothing in it was touched.
    #[error(
        "the content folder {} is in use by another jiggablend process; each node needs its own (--storage)",
        .0.display()
    )]
    InUse(PathBuf),
    /// The disk is full: nothing was stored. Free space on the node, or send to another one.
    #[error("the disk of this node is full: {0}")]
    DiskFull(String),
    #[error("the reader gave an error: {0}")]
    Source(std::io::Error),
    #[error("content {0} is not on this node")]
    Missing(ManifestHash),
    #[error("stored bytes do not match their hash: {0}")]
    Corrupt(String),
    /// An fsync failed: what is on disk is unknown, and the process must end (I11).
    #[error("an fsync failed, this node must stop: {0}")]
    FsyncFailed(String),
    #[error("no peer could give {what}: {reason}")]
    Unavailable { what: String, reason: String },
    #[error("only {have} of {want} copies could be made: {reason}")]
    TooFewCopies {
        have: usize,
        want: usize,
        reason: String,
    },
}

impl StoreError {
    pub(crate) fn io(doing: &str, path: &Path, source: io::Error) -> Self {
        let doing = format!("{doing} {}", path.display());
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull(format!("{doing}: {source}"))
            }
            _ => Self::Io { doing, source },
        }
    }
}
