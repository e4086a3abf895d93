//! A plain stream of bytes between two members, in both directions.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use libp2p::{PeerId, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _};

/// Bytes to and from one member, for a protocol that frames them itself. Whoever uses it must go
/// on reading while it writes.
pub struct ByteStream {
    peer: PeerId,
    stream: Compat<Stream>,
    /// Counts an accepted stream against its peer's share for as long as it lives.
    _share: Option<OwnedSemaphorePermit>,
}

impl ByteStream {
    pub(super) fn new(peer: PeerId, stream: Stream, share: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            peer,
            stream: stream.compat(),
            _share: share,
        }
    }

    /// The member at the other end, as the mesh has proven it.
    pub fn peer(&self) -> PeerId {
        self.peer
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
