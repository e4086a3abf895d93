//! One request, one answer, over streams that are kept for the next call.
//!
//! A stream is used by one call at a time: the caller writes the request, then reads the answer,
//! then puts the stream back. So the two sides never write at once, which libp2p streams over
//! yamux are known to deadlock on (rust-libp2p #5410).

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use libp2p::{PeerId, Stream};
use tokio::time::Instant;

use super::frames::{read_frame, write_frame};
use super::{Channel, MAX_MESSAGE_BYTES, RequestHandler};

/// Idle streams kept for one peer and channel.
const MAX_IDLE_STREAMS: usize = 16;
/// An answer is its status and its bytes.
const MAX_ANSWER_BYTES: usize = MAX_MESSAGE_BYTES + 1;
const STATUS_OK: u8 = 0;
const STATUS_ERROR: u8 = 1;

/// The idle streams of calls.
#[derive(Default)]
pub(super) struct StreamPool {
    idle: Mutex<HashMap<(PeerId, Channel), Vec<Stream>>>,
}

impl StreamPool {
    pub(super) fn take(&self, peer: PeerId, channel: Channel) -> Option<Stream> {
        self.lock().get_mut(&(peer, channel))?.pop()
    }

    pub(super) fn put_back(&self, peer: PeerId, channel: Channel, stream: Stream) {
        let mut idle = self.lock();
        let streams = idle.entry((peer, channel)).or_default();
        if streams.len() < MAX_IDLE_STREAMS {
            streams.push(stream);
        }
    }

    /// Drops the streams of a peer whose connection is gone.
    pub(super) fn forget(&self, peer: PeerId) {
        self.lock().retain(|(other, _), _| *other != peer);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(PeerId, Channel), Vec<Stream>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How an exchange on one stream ended.
pub(super) enum Exchange {
    /// The answer, and the stream for the next call.
    Answered(Result<Bytes, String>, Stream),
    /// The stream broke before an answer was there.
    Broken(io::Error),
    TimedOut,
}

/// Writes the request and reads the answer.
pub(super) async fn exchange(mut stream: Stream, request: &[u8], deadline: Instant) -> Exchange {
    let both = async {
        write_frame(&mut stream, &[request], MAX_MESSAGE_BYTES).await?;
        read_frame(&mut stream, MAX_ANSWER_BYTES)
            .await?
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    };
    match tokio::time::timeout_at(deadline, both).await {
        Err(_) => Exchange::TimedOut,
        Ok(Err(error)) => Exchange::Broken(error),
        Ok(Ok(answer)) => match decode_answer(answer) {
            Ok(answer) => Exchange::Answered(answer, stream),
            Err(error) => Exchange::Broken(error),
        },
    }
}

fn decode_answer(mut answer: Bytes) -> io::Result<Result<Bytes, String>> {
    let status = *answer
        .first()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    let body = answer.split_off(1);
    match status {
        STATUS_OK => Ok(Ok(body)),
        STATUS_ERROR => Ok(Err(String::from_utf8_lossy(&body).into_owned())),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Answers the requests of one stream until the caller closes it, the stream breaks, or the caller
/// is no member any more.
pub(super) async fn serve_stream(
    peer: PeerId,
    mut stream: Stream,
    handler: Arc<dyn RequestHandler>,
    is_member: impl Fn(PeerId) -> bool,
) -> io::Result<()> {
    while let Some(request) = read_frame(&mut stream, MAX_MESSAGE_BYTES).await? {
        if !is_member(peer) {
            return Ok(());
        }
        let (status, body) = match handler.handle(peer, request).await {
            Ok(answer) if answer.len() > MAX_MESSAGE_BYTES => (
                STATUS_ERROR,
                format!("the answer has {} bytes, too many to send", answer.len()).into_bytes(),
            ),
            Ok(answer) => (STATUS_OK, answer),
            Err(reason) => (STATUS_ERROR, reason.into_bytes()),
        };
        write_frame(&mut stream, &[&[status], &body], MAX_ANSWER_BYTES).await?;
    }
    Ok(())
}
