//! One client of the live stream that costs next to nothing: bare TCP, and of each event only what
//! was not said to another client before is looked into.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::payloads::{PayloadId, Payloads};
use super::unreadable;
use crate::load_protocol::monotonic_ns;
use crate::{Result, TestnetError};

const READ_BYTES: usize = 256 << 10;
/// An event larger than this is a fault of the node.
const MAX_EVENT_BYTES: usize = 4 << 20;

thread_local! {
    /// One buffer for all clients of a thread.
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// An open stream.
pub(super) struct Client {
    stream: TcpStream,
    chunks: Chunks,
    /// What came of an event that is not whole yet.
    event: Vec<u8>,
    read: ClientRead,
}

/// What a client read, in order.
pub(super) struct ClientRead {
    /// Whose eyes it has; `None` for one who sees all.
    pub(super) member: Option<usize>,
    /// Each event and when it was read.
    pub(super) events: Vec<(PayloadId, u64)>,
}

impl Client {
    /// Connects and reads the answer's head.
    pub(super) async fn open(url: &str, credential: &str, member: Option<usize>) -> Result<Self> {
        let opening = "opening a live stream";
        let address = url.strip_prefix("http://").unwrap_or(url);
        let mut stream = TcpStream::connect(address)
            .await
            .map_err(TestnetError::io(opening))?;
        let request =
            format!("GET /api/events HTTP/1.1\r\nHost: {address}\r\n{credential}\r\n\r\n");
        stream
            .write_all(request.as_bytes())
            .await
            .map_err(TestnetError::io(opening))?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = stream.read_u8().await.map_err(TestnetError::io(opening))?;
            head.push(byte);
            if head.len() > 16 << 10 {
                return Err(unreadable("the answer's head has no end"));
            }
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        if !head.starts_with("http/1.1 200") || !head.contains("transfer-encoding: chunked") {
            return Err(unreadable(format!("the answer begins so: {head}")));
        }
        Ok(Self {
            stream,
            chunks: Chunks::default(),
            event: Vec::new(),
            read: ClientRead {
                member,
                events: Vec::new(),
            },
        })
    }

    /// Reads until `stop`.
    pub(super) async fn read(
        mut self,
        payloads: Arc<Payloads>,
        stop: CancellationToken,
    ) -> Result<ClientRead> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(self.read),
                readable = self.stream.readable() => {
                    readable.map_err(TestnetError::io("reading the live stream"))?;
                }
            }
            READ.with_borrow_mut(|buffer| self.take(buffer, &payloads))?;
        }
    }

    fn take(&mut self, buffer: &mut [u8], payloads: &Payloads) -> Result<()> {
        let count = match self.stream.try_read(buffer) {
            Ok(0) => return Err(unreadable("it ended")),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(TestnetError::io("reading the live stream")(error)),
        };
        let at_ns = monotonic_ns();
        let mut searched = self.event.len();
        self.chunks.decode(&buffer[..count], &mut self.event)?;
        let mut start = 0;
        // An event ends with an empty line; its data has no line breaks.
        while let Some(found) = memchr::memchr(b'\n', &self.event[searched..]) {
            let end = searched + found;
            searched = end + 1;
            if end > start && self.event[end - 1] == b'\n' {
                let block = &self.event[start..searched];
                start = searched;
                if !block.starts_with(b":") {
                    self.read.events.push((payloads.id_of(block)?, at_ns));
                }
            }
        }
        self.event.drain(..start);
        if self.event.len() > MAX_EVENT_BYTES {
            return Err(unreadable("an event has no end"));
        }
        Ok(())
    }
}

/// Takes HTTP's chunks apart (RFC 9112, 7.1), however the reads cut them.
#[derive(Default)]
struct Chunks {
    /// Bytes of the chunk that are still to come, with its line end.
    left: usize,
    /// A size line that is not whole yet.
    line: Vec<u8>,
}

impl Chunks {
    fn decode(&mut self, mut bytes: &[u8], data: &mut Vec<u8>) -> Result<()> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let count = self.left.min(bytes.len());
                let is_data = self.left.saturating_sub(2).min(count);
                data.extend_from_slice(&bytes[..is_data]);
                self.left -= count;
                bytes = &bytes[count..];
                continue;
            }
            let Some(end) = memchr::memchr(b'\n', bytes) else {
                self.line.extend_from_slice(bytes);
                return Ok(());
            };
            self.line.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            let size = std::str::from_utf8(&self.line).unwrap_or("?").trim();
            let size = usize::from_str_radix(size, 16)
                .map_err(|_| unreadable(format!("'{size}' is no chunk's size")))?;
            if size == 0 {
                return Err(unreadable("it ended"));
            }
            self.line.clear();
            self.left = size + 2;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn chunks_are_put_together_however_the_reads_cut_them() {
        let sent = b"5\r\nhello\r\n10\r\n, world of 16 by\r\n1\r\n!\r\n";
        for cut in 1..sent.len() {
            let mut chunks = Chunks::default();
            let mut data = Vec::new();
            for piece in sent.chunks(cut) {
                chunks.decode(piece, &mut data).unwrap();
            }
            assert_eq!(data, b"hello, world of 16 by!", "cut by {cut}");
        }
    }
}
