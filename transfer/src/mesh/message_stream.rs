//! A stream of whole messages between two members.

use std::io;

use bytes::Bytes;
use futures::AsyncWriteExt;
use libp2p::{PeerId, Stream};
use tokio::sync::OwnedSemaphorePermit;

use super::MeshError;
use super::frames::{read_frame, write_frame};

/// The longest message that a stream carries.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// Each frame begins with its kind: a connection that was lost looks like the end of a stream, so
/// the real end is said.
const KIND_MESSAGE: u8 = 0;
const KIND_END: u8 = 1;
const MAX_FRAME_BYTES: usize = MAX_MESSAGE_BYTES + 1;

/// A stream of whole messages to or from one member, each at most [`MAX_MESSAGE_BYTES`].
/// One direction is written by one side only; use two streams for two directions.
pub struct MessageStream {
    peer: PeerId,
    stream: Stream,
    /// Counts an accepted stream against its peer's share for as long as it lives.
    _share: Option<OwnedSemaphorePermit>,
}

impl MessageStream {
    pub(super) fn new(peer: PeerId, stream: Stream, share: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            peer,
            stream,
            _share: share,
        }
    }

    /// Not safe to cancel: half a message may be out, and the stream must be dropped then.
    pub async fn send(&mut self, message: &[u8]) -> Result<(), MeshError> {
        write_frame(
            &mut self.stream,
            &[&[KIND_MESSAGE], message],
            MAX_FRAME_BYTES,
        )
        .await
        .map_err(|error| self.broken("sending a message", &error))
    }

    /// `None` when the other side closed the stream in order, with [`MessageStream::close`]. A
    /// stream that was dropped, or whose node is gone, is an error. Not safe to cancel: keep the
    /// future alive where something else is waited for beside it.
    pub async fn receive(&mut self) -> Result<Option<Bytes>, MeshError> {
        let frame = read_frame(&mut self.stream, MAX_FRAME_BYTES)
            .await
            .and_then(|frame| frame.ok_or(io::ErrorKind::UnexpectedEof.into()))
            .map_err(|error| self.broken("waiting for a message", &error))?;
        match frame.first() {
            Some(&KIND_MESSAGE) => Ok(Some(frame.slice(1..))),
            Some(&KIND_END) => Ok(None),
            _ => Err(self.broken("reading a message", &io::ErrorKind::InvalidData.into())),
        }
    }

    /// Tells the other side that no message follows.
    pub async fn close(mut self) -> Result<(), MeshError> {
        let closed = async {
            write_frame(&mut self.stream, &[&[KIND_END]], MAX_FRAME_BYTES).await?;
            self.stream.close().await
        };
        closed
            .await
            .map_err(|error| self.broken("closing a stream", &error))
    }

    fn broken(&self, doing: &str, error: &io::Error) -> MeshError {
        MeshError::Unreachable {
            peer: self.peer,
            reason: format!("{doing}: {error}"),
        }
    }
}
