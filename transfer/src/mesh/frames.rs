//! Whole messages on a byte stream: a length (u32, big endian), then so many bytes.

use std::io;

use bytes::Bytes;
use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Up to here a message is copied behind its length, to go out as one write.
const JOINED_WRITE_BYTES: usize = 16 * 1024;

/// What is allocated on the word of the other side alone.
const TRUSTED_CAPACITY_BYTES: usize = 1024 * 1024;

pub(super) fn too_long(length_bytes: usize, limit_bytes: usize) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("a message of {length_bytes} bytes is longer than the limit of {limit_bytes}"),
    )
}

/// Writes one message made of `parts` in a row, and flushes.
pub(super) async fn write_frame(
    stream: &mut (impl AsyncWrite + Unpin),
    parts: &[&[u8]],
    limit_bytes: usize,
) -> io::Result<()> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    if length > limit_bytes {
        return Err(too_long(length, limit_bytes));
    }
    let prefix = u32::try_from(length).map_err(|_| too_long(length, limit_bytes))?;
    if length <= JOINED_WRITE_BYTES {
        let mut whole = Vec::with_capacity(4 + length);
        whole.extend_from_slice(&prefix.to_be_bytes());
        for part in parts {
            whole.extend_from_slice(part);
        }
        stream.write_all(&whole).await?;
    } else {
        stream.write_all(&prefix.to_be_bytes()).await?;
        for part in parts {
            stream.write_all(part).await?;
        }
    }
    stream.flush().await
}

/// Reads one message; `None` when the stream ended in order before it. Memory grows with what
/// arrives, not with the length that the other side claims.
pub(super) async fn read_frame(
    stream: &mut (impl AsyncRead + Unpin),
    limit_bytes: usize,
) -> io::Result<Option<Bytes>> {
    let mut prefix = [0; 4];
    let first = stream.read(&mut prefix).await?;
    if first == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut prefix[first..]).await?;
    let length = u32::from_be_bytes(prefix) as usize;
    if length > limit_bytes {
        return Err(too_long(length, limit_bytes));
    }
    let mut message = Vec::with_capacity(length.min(TRUSTED_CAPACITY_BYTES));
    stream.take(length as u64).read_to_end(&mut message).await?;
    if message.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(message.into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::io::Cursor;

    use super::*;

    #[tokio::test]
    async fn messages_arrive_whole_and_the_end_is_told_from_a_cut() {
        let mut wire = Cursor::new(Vec::new());
        write_frame(&mut wire, &[b"ab", b"c"], 10).await.unwrap();
        write_frame(&mut wire, &[&[7; 40_000]], 50_000)
            .await
            .unwrap();
        let written = wire.into_inner();

        let mut reader = Cursor::new(&written);
        assert_eq!(read_frame(&mut reader, 10).await.unwrap().unwrap(), "abc");
        let long = read_frame(&mut reader, 50_000).await.unwrap().unwrap();
        assert_eq!(long, vec![7; 40_000]);
        assert!(read_frame(&mut reader, 10).await.unwrap().is_none());

        let mut cut = Cursor::new(&written[..5]);
        assert!(read_frame(&mut cut, 10).await.is_err());
    }

    #[tokio::test]
    async fn a_message_over_the_limit_is_neither_sent_nor_read() {
        let mut wire = Cursor::new(Vec::new());
        assert!(write_frame(&mut wire, &[&[0; 11]], 10).await.is_err());
        assert!(wire.into_inner().is_empty());
        let mut reader = Cursor::new([0, 0, 0, 11]);
        assert!(read_frame(&mut reader, 10).await.is_err());
    }
}
