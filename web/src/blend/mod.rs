//! Checks that bytes are a whole .blend file, while they pass by.
//!
//! Pure but for [`check_scene`]: bytes are pushed in pieces of any size, nothing of the file is kept.
//! From outside to inside: [`unpack`] takes off gzip or zstd, [`walk`] reads the header and goes
//! from block to block until `ENDB`.

mod unpack;
mod walk;

use std::io::{self, Read};

use unpack::Unpacker;

/// What is read of a scene at a time.
const PIECE_BYTES: usize = 128 * 1024;

/// What a .blend says of itself, without Blender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlendFacts {
    /// Of the Blender that saved it, as in the header: 304 for 3.4, 500 for 5.0.
    pub(crate) version: u16,
    /// The scene that was open when the file was saved comes first.
    pub(crate) scenes: Vec<SceneRange>,
}

/// A scene's own frame range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SceneRange {
    pub(crate) first: i32,
    pub(crate) last: i32,
    pub(crate) name: String,
}

/// Why bytes are no scene file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlendError {
    #[error("the file is not a .blend; save it in Blender and send that file")]
    NotABlend,
    #[error(
        "the file ends too early, it was cut off: save it again in Blender, or copy it again as a whole"
    )]
    Truncated { unpacked_bytes: u64 },
    #[error("the file is a damaged .blend ({0}); open it in Blender and save it again")]
    Damaged(String),
    #[error("the file unpacks to more than {max_bytes} bytes; save a smaller scene")]
    TooLarge { max_bytes: u64 },
}

/// Why a scene cannot be submitted.
#[derive(Debug, thiserror::Error)]
pub enum SceneError {
    #[error("reading it: {0}")]
    Read(#[from] io::Error),
    #[error(transparent)]
    Blend(#[from] BlendError),
}

/// Checks that `scene` is a whole .blend, as an upload is checked, except for the size: only a
/// farm knows how large a scene it takes. Reads to the end and blocks meanwhile.
pub fn check_scene(mut scene: impl Read) -> Result<(), SceneError> {
    let mut check = BlendCheck::new(u64::MAX);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match scene.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => check.push(&piece[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    check.finish()?;
    Ok(())
}

/// A check under way.
pub(crate) struct BlendCheck {
    unpacker: Unpacker,
}

impl BlendCheck {
    /// Files that unpack to more than `max_unpacked_bytes` are refused.
    pub(crate) fn new(max_unpacked_bytes: u64) -> Self {
        Self {
            unpacker: Unpacker::new(max_unpacked_bytes),
        }
    }

    /// Takes in the next bytes. After an error the check is over.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), BlendError> {
        self.unpacker.push(bytes)
    }

    /// Says what the file was, now that all of it has been pushed.
    pub(crate) fn finish(self) -> Result<BlendFacts, BlendError> {
        self.unpacker.finish()
    }
}

#[cfg(test)]
mod tests;
