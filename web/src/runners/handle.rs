//! The handle of an uploaded file: what `complete` is given back.
//!
//! It says all that the job log needs of the file, under a seal that only the farm can make. So
//! nothing is kept between upload and `complete`, and another node may take the second.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiggablend_raft::{Farm, NewFile, NodeId};
use serde::{Deserialize, Serialize};

use super::leases::Lease;

/// What the key that seals handles is derived for.
const KEY_CONTEXT: &str = "jiggablend 2026-11-24 the handle of a runner's uploaded file";

/// A handle that is longer is none of ours.
pub(super) const MAX_HANDLE_BYTES: usize = 8 * 1024;

/// A file that is on R nodes, made for that lease by that runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Uploaded {
    pub(super) runner: NodeId,
    pub(super) lease: Lease,
    pub(super) file: NewFile,
}

/// The text of the handle.
pub(super) fn seal(farm: &Farm, uploaded: &Uploaded) -> String {
    let claims = serde_json::to_vec(uploaded).expect("a file is always valid JSON");
    let seal = blake3::keyed_hash(&key(farm), &claims);
    let text = [seal.as_bytes().as_slice(), &claims].concat();
    URL_SAFE_NO_PAD.encode(text)
}

/// The uploaded file of a handle that this farm made; `None` for any other text.
pub(super) fn open(farm: &Farm, handle: &str) -> Option<Uploaded> {
    if handle.len() > MAX_HANDLE_BYTES {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(handle).ok()?;
    let (seal, claims) = bytes.split_first_chunk::<32>()?;
    // Compared in constant time.
    let is_ours = blake3::keyed_hash(&key(farm), claims) == *seal;
    is_ours.then(|| serde_json::from_slice(claims).ok())?
}

fn key(farm: &Farm) -> [u8; 32] {
    blake3::derive_key(KEY_CONTEXT, &farm.secret_key)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use jiggablend_raft::{ContentId, Epoch, FarmId, FileId, FileKind, JobId, TaskId, TimestampMs};

    use super::*;

    fn farm(secret_key: [u8; 32]) -> Farm {
        Farm {
            id: FarmId([1; 32]),
            name: "farm".into(),
            public_key: [1; 32],
            secret_key,
            created_at: TimestampMs(1),
        }
    }

    #[test]
    fn only_the_farm_makes_handles_and_nobody_changes_them() {
        let uploaded = Uploaded {
            runner: NodeId(7),
            lease: (
                TaskId {
                    job: JobId::new(),
                    index: 3,
                },
                Epoch(2),
            ),
            file: NewFile {
                id: FileId::new(),
                kind: FileKind::Frame,
                name: "frame_0001.png".into(),
                media_type: "image/png".into(),
                content: ContentId([5; 32]),
                size_bytes: 10,
                holders: vec![NodeId(1), NodeId(2)],
            },
        };
        let handle = seal(&farm([2; 32]), &uploaded);
        assert_eq!(open(&farm([2; 32]), &handle), Some(uploaded));
        assert_eq!(open(&farm([3; 32]), &handle), None);
        let mut bytes = URL_SAFE_NO_PAD.decode(&handle).unwrap();
        for at in [0, 31, 32, bytes.len() - 1] {
            bytes[at] ^= 1;
            assert_eq!(open(&farm([2; 32]), &URL_SAFE_NO_PAD.encode(&bytes)), None);
            bytes[at] ^= 1;
        }
        for wrong in ["", "x", &"A".repeat(MAX_HANDLE_BYTES + 1)] {
            assert_eq!(open(&farm([2; 32]), wrong), None);
        }
    }
}
