//! The archive as a stream: one file's bytes after the other's, from whichever nodes have them.

use std::io;
use std::vec;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use jiggablend_raft::JobId;
use jiggablend_transfer::{ContentStream, ManifestHash};
use tokio::sync::OwnedSemaphorePermit;

use super::{Entry, Layout};
use crate::app::App;
use crate::files::{find, holders};

pub(super) struct Packing {
    app: App,
    job: JobId,
    left: vec::IntoIter<Entry>,
    layout: Box<dyn Layout>,
    current: Option<Current>,
    has_ended: bool,
    _place: OwnedSemaphorePermit,
}

/// The file whose bytes are on their way.
struct Current {
    entry: Entry,
    bytes: ContentStream,
    left_bytes: u64,
}

impl Packing {
    pub(super) fn new(
        app: App,
        job: JobId,
        entries: Vec<Entry>,
        layout: Box<dyn Layout>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            app,
            job,
            left: entries.into_iter(),
            layout,
            current: None,
            has_ended: false,
            _place: place,
        }
    }

    /// Ends with an error where a file cannot be read: the client's connection breaks off before
    /// the length that it was told.
    pub(super) fn stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        futures::stream::try_unfold(self, async |mut packing| match packing.next_piece().await {
            Ok(piece) => Ok(piece.map(|piece| (piece, packing))),
            Err(error) => {
                tracing::warn!(job = %packing.job, %error, "an archive breaks off");
                Err(error)
            }
        })
        // Some formats have nothing to say at some places.
        .filter(|piece| {
            let is_wanted = !matches!(piece, Ok(bytes) if bytes.is_empty());
            futures::future::ready(is_wanted)
        })
    }

    async fn next_piece(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(current) = &mut self.current {
            return match current.bytes.next().await.transpose()? {
                Some(piece) => {
                    let length = piece.len() as u64;
                    let left_bytes = current.left_bytes.checked_sub(length);
                    current.left_bytes = left_bytes.ok_or_else(|| current.wrong_length())?;
                    self.layout.take(&piece);
                    Ok(Some(piece))
                }
                None if current.left_bytes > 0 => Err(current.wrong_length()),
                None => {
                    self.current = None;
                    Ok(Some(self.layout.after()))
                }
            };
        }
        if let Some(entry) = self.left.next() {
            let head = self.layout.before(&entry);
            self.current = Some(self.open(entry).await?);
            return Ok(Some(head));
        }
        if self.has_ended {
            return Ok(None);
        }
        self.has_ended = true;
        Ok(Some(self.layout.end()))
    }

    async fn open(&mut self, entry: Entry) -> io::Result<Current> {
        let gone = || io::Error::other(format!("file {} is gone", entry.file));
        let file = find(&self.app, self.job, &entry.file.to_string()).map_err(|_| gone())?;
        let holders = holders(&self.app, &file);
        let manifest = ManifestHash(file.content.0);
        let bytes = self.app.content.stream(manifest, &holders, None).await;
        Ok(Current {
            bytes: bytes.map_err(io::Error::other)?,
            left_bytes: entry.size_bytes,
            entry,
        })
    }
}

impl Current {
    fn wrong_length(&self) -> io::Error {
        let Entry {
            file, size_bytes, ..
        } = &self.entry;
        io::Error::other(format!(
            "file {file} has not the {size_bytes} bytes that it should"
        ))
    }
}
