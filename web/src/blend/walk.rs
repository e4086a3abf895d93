//! Goes through the blocks of an unpacked .blend.
//!
//! Sources: Blender's `BLO_core_blend_header.hh` and `BLO_core_bhead.hh` for the layouts, and its
//! `blend_render_info.py` for the `REND` block.

use super::{BlendError, BlendFacts, SceneRange};

/// `BLENDER`, pointer size, byte order, three digits of version.
const OLD_HEADER_BYTES: usize = 12;
/// `BLENDER17-01v0500`: header size, format version, byte order, four digits of version.
const NEW_HEADER_BYTES: usize = 17;
/// Two frame numbers and a name of up to 256 bytes (64 before Blender 5).
const REND_BYTES: usize = 8 + 256;
/// A farm renders the first scene; the others are only counted so far.
const MAX_SCENES: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BlockHead {
    /// `code, len: i32, old: u32, sdna, nr: i32`
    Pointers32,
    /// `code, len: i32, old: u64, sdna, nr: i32`
    Pointers64,
    /// `code, sdna: i32, old: u64, len, nr: i64` (since Blender 5)
    Large,
}

impl BlockHead {
    fn size_bytes(self) -> usize {
        match self {
            Self::Pointers32 => 20,
            Self::Pointers64 => 24,
            Self::Large => 32,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    head: BlockHead,
    big_endian: bool,
    version: u16,
}

impl Layout {
    fn i32(self, bytes: &[u8]) -> i32 {
        let bytes = bytes[..4].try_into().expect("four bytes");
        if self.big_endian {
            i32::from_be_bytes(bytes)
        } else {
            i32::from_le_bytes(bytes)
        }
    }

    fn i64(self, bytes: &[u8]) -> i64 {
        let bytes = bytes[..8].try_into().expect("eight bytes");
        if self.big_endian {
            i64::from_be_bytes(bytes)
        } else {
            i64::from_le_bytes(bytes)
        }
    }
}

enum Place {
    Header,
    BlockHead(Layout),
    /// `kept` is what has come of a `REND` block; other blocks are skipped.
    Block {
        layout: Layout,
        left_bytes: u64,
        kept: Option<Vec<u8>>,
    },
    /// After `ENDB`.
    End {
        version: u16,
    },
}

pub(super) struct Walker {
    place: Place,
    /// The part of a header or block head that has come so far.
    pending: Vec<u8>,
    scenes: Vec<SceneRange>,
    unpacked_bytes: u64,
    max_unpacked_bytes: u64,
}

impl Walker {
    pub(super) fn new(max_unpacked_bytes: u64) -> Self {
        Self {
            place: Place::Header,
            pending: Vec::with_capacity(BlockHead::Large.size_bytes()),
            scenes: Vec::new(),
            unpacked_bytes: 0,
            max_unpacked_bytes,
        }
    }

    pub(super) fn unpacked_bytes(&self) -> u64 {
        self.unpacked_bytes
    }

    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<(), BlendError> {
        self.unpacked_bytes += bytes.len() as u64;
        if self.unpacked_bytes > self.max_unpacked_bytes {
            return Err(BlendError::TooLarge {
                max_bytes: self.max_unpacked_bytes,
            });
        }
        while !bytes.is_empty() {
            bytes = self.step(bytes)?;
        }
        Ok(())
    }

    /// Goes as far as `bytes` reach, or to the next place; answers the bytes that are left.
    fn step<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], BlendError> {
        match &mut self.place {
            Place::Header => {
                let rest = fill(&mut self.pending, bytes, OLD_HEADER_BYTES);
                check_magic(&self.pending)?;
                if self.pending.len() < OLD_HEADER_BYTES {
                    return Ok(rest);
                }
                let is_new = self.pending[7].is_ascii_digit();
                let rest = if is_new {
                    fill(&mut self.pending, rest, NEW_HEADER_BYTES)
                } else {
                    rest
                };
                if is_new && self.pending.len() < NEW_HEADER_BYTES {
                    return Ok(rest);
                }
                self.place = Place::BlockHead(read_header(&self.pending)?);
                self.pending.clear();
                Ok(rest)
            }
            Place::BlockHead(layout) => {
                let layout = *layout;
                let head_bytes = layout.head.size_bytes();
                let rest = fill(&mut self.pending, bytes, head_bytes);
                if self.pending.len() == head_bytes {
                    self.place = next_place(layout, &self.pending)?;
                    self.pending.clear();
                    self.close_block();
                }
                Ok(rest)
            }
            Place::Block {
                left_bytes, kept, ..
            } => {
                let here = usize::try_from(*left_bytes)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                if let Some(kept) = kept {
                    let room = REND_BYTES.saturating_sub(kept.len());
                    kept.extend_from_slice(&bytes[..here.min(room)]);
                }
                *left_bytes -= here as u64;
                self.close_block();
                Ok(&bytes[here..])
            }
            // Nothing reads what stands after the end.
            Place::End { .. } => Ok(&[]),
        }
    }

    /// Goes on to the next block head where the block has come to its end.
    fn close_block(&mut self) {
        let Place::Block {
            layout,
            left_bytes: 0,
            kept,
        } = &self.place
        else {
            return;
        };
        let layout = *layout;
        let scene = kept.as_deref().and_then(|rend| scene_range(layout, rend));
        if self.scenes.len() < MAX_SCENES {
            self.scenes.extend(scene);
        }
        self.place = Place::BlockHead(layout);
    }

    pub(super) fn finish(self) -> Result<BlendFacts, BlendError> {
        match self.place {
            Place::End { version } => Ok(BlendFacts {
                version,
                scenes: self.scenes,
            }),
            Place::Header if self.unpacked_bytes == 0 => Err(BlendError::NotABlend),
            _ => Err(BlendError::Truncated {
                unpacked_bytes: self.unpacked_bytes,
            }),
        }
    }
}

/// Moves bytes into `pending` until it has `want`; answers the rest.
fn fill<'a>(pending: &mut Vec<u8>, bytes: &'a [u8], want: usize) -> &'a [u8] {
    let missing = want.saturating_sub(pending.len()).min(bytes.len());
    pending.extend_from_slice(&bytes[..missing]);
    &bytes[missing..]
}

fn check_magic(start: &[u8]) -> Result<(), BlendError> {
    let magic = b"BLENDER";
    let known = start.len().min(magic.len());
    if start[..known] == magic[..known] {
        Ok(())
    } else {
        Err(BlendError::NotABlend)
    }
}

fn read_header(header: &[u8]) -> Result<Layout, BlendError> {
    let damaged = || {
        let text = String::from_utf8_lossy(header).escape_debug().to_string();
        BlendError::Damaged(format!("its header '{text}' is unknown"))
    };
    let number = |digits: &[u8]| -> Result<u16, BlendError> {
        let text = std::str::from_utf8(digits).map_err(|_| damaged())?;
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(damaged());
        }
        text.parse().map_err(|_| damaged())
    };
    let big_endian = |order: u8| match order {
        b'v' => Ok(false),
        b'V' => Ok(true),
        _ => Err(damaged()),
    };
    match header[7] {
        b'_' | b'-' => Ok(Layout {
            head: if header[7] == b'_' {
                BlockHead::Pointers32
            } else {
                BlockHead::Pointers64
            },
            big_endian: big_endian(header[8])?,
            version: number(&header[9..12])?,
        }),
        _ if &header[7..12] == b"17-01" => Ok(Layout {
            head: BlockHead::Large,
            big_endian: big_endian(header[12])?,
            version: number(&header[13..17])?,
        }),
        _ => Err(damaged()),
    }
}

fn next_place(layout: Layout, head: &[u8]) -> Result<Place, BlendError> {
    let code = &head[..4];
    if code == b"ENDB" {
        return Ok(Place::End {
            version: layout.version,
        });
    }
    let length = match layout.head {
        BlockHead::Pointers32 | BlockHead::Pointers64 => i64::from(layout.i32(&head[4..8])),
        BlockHead::Large => layout.i64(&head[16..24]),
    };
    let left_bytes = u64::try_from(length).map_err(|_| {
        let code = String::from_utf8_lossy(code).escape_debug().to_string();
        BlendError::Damaged(format!("a block '{code}' has a length of {length}"))
    })?;
    Ok(Place::Block {
        layout,
        left_bytes,
        kept: (code == b"REND").then(Vec::new),
    })
}

/// `int sfra, efra; char scene_name[]`.
fn scene_range(layout: Layout, rend: &[u8]) -> Option<SceneRange> {
    if rend.len() < 8 {
        return None;
    }
    let name = rend[8..].split(|byte| *byte == 0).next().unwrap_or(&[]);
    Some(SceneRange {
        first: layout.i32(&rend[0..4]),
        last: layout.i32(&rend[4..8]),
        name: String::from_utf8_lossy(name).into_owned(),
    })
}
