//! What members ask each other about content. Each exchange is one call on
//! [`crate::Channel::Content`]; a request and an answer are a msgpack head and raw bytes behind it:
//!
//! ```text
//! head length u16, big endian | head | body
//! ```
//!
//! A file is copied to a member by `Keep`, which carries the manifest. The member answers which
//! chunks it lacks, is given each with `Give`, and is asked to `Keep` again. It holds no state for
//! the copier in between; only the last answer, `Kept`, promises that all of it is fsynced.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{ChunkHash, ManifestHash};

/// Chunks that one answer names as lacking; the copier gives those and asks again.
pub(super) const MAX_LACKING_NAMED: usize = 4096;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Request {
    /// Is the file here as a whole?
    Has(ManifestHash),
    Manifest(ManifestHash),
    Chunk(ChunkHash),
    /// Body: the manifest.
    Keep(ManifestHash),
    /// Body: the chunk.
    Give(ChunkHash),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Answer {
    Yes,
    No,
    /// Body: the manifest or the chunk.
    Here,
    NotHere,
    /// The whole file is fsynced.
    Kept,
    /// Positions in the manifest's list.
    Lacking(Vec<u32>),
    /// The chunk is written, and durable with the file's `Kept`.
    Taken,
}

pub(super) fn encode(head: &impl Serialize, body: &[u8]) -> Result<Vec<u8>, String> {
    let head = rmp_serde::to_vec(head).map_err(|error| error.to_string())?;
    let length = u16::try_from(head.len()).map_err(|_| "the head is too long".to_owned())?;
    Ok([&length.to_be_bytes(), &head[..], body].concat())
}

pub(super) fn decode<H: DeserializeOwned>(message: &Bytes) -> Result<(H, Bytes), String> {
    let malformed = || "a message about content is malformed".to_owned();
    let (length, _) = message.split_first_chunk::<2>().ok_or_else(malformed)?;
    let end = 2 + usize::from(u16::from_be_bytes(*length));
    let head = message.get(2..end).ok_or_else(malformed)?;
    let head = rmp_serde::from_slice(head).map_err(|_| malformed())?;
    Ok((head, message.slice(end..)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_list_of_lacking_chunks_fits_a_head() {
        let lacking = Answer::Lacking(vec![u32::MAX; MAX_LACKING_NAMED]);
        let message = encode(&lacking, b"").unwrap().into();
        let (answer, body): (Answer, _) = decode(&message).unwrap();
        assert!(matches!(answer, Answer::Lacking(list) if list.len() == MAX_LACKING_NAMED));
        assert!(body.is_empty());
    }

    #[test]
    fn a_cut_message_is_an_error() {
        let message = encode(&Request::Chunk(ChunkHash([1; 32])), b"").unwrap();
        for end in 0..message.len() {
            let cut = Bytes::copy_from_slice(&message[..end]);
            assert!(decode::<Request>(&cut).is_err(), "{end}");
        }
    }
}
