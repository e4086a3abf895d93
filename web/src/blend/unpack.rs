//! Takes off what Blender packs a file in: gzip until 2.9x, zstd since 3.0.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::walk::Walker;
use super::{BlendError, BlendFacts};

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const BLEND_MAGIC: &[u8] = b"BLENDER";

/// 32 MiB of window an upload at most; Blender's own files need 2.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;
const UNPACKED_PIECE_BYTES: usize = 128 * 1024;

pub(super) enum Unpacker {
    /// Too few bytes have come to tell what it is.
    Undecided {
        start: Vec<u8>,
        walker: Walker,
    },
    Plain(Walker),
    Gzip(Box<MultiGzDecoder<WalkerSink>>),
    Zstd(Box<ZstdUnpacker>),
    /// An error came out of it.
    Over,
}

impl Unpacker {
    pub(super) fn new(max_unpacked_bytes: u64) -> Self {
        Self::Undecided {
            start: Vec::new(),
            walker: Walker::new(max_unpacked_bytes),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), BlendError> {
        // A multipart field whose boundary arrives alone ends with an empty piece; zstd would
        // take it for the start of a frame that never comes.
        if bytes.is_empty() {
            return Ok(());
        }
        match self {
            Self::Undecided { .. } => self.decide(bytes),
            Self::Plain(walker) => walker.push(bytes),
            Self::Gzip(decoder) => decoder.write_all(bytes).map_err(blend_error),
            Self::Zstd(decoder) => decoder.push(bytes),
            Self::Over => Err(BlendError::NotABlend),
        }
    }

    fn decide(&mut self, bytes: &[u8]) -> Result<(), BlendError> {
        let Self::Undecided { mut start, walker } = std::mem::replace(self, Self::Over) else {
            return Ok(());
        };
        start.extend_from_slice(bytes);
        if start.starts_with(GZIP_MAGIC) {
            let sink = WalkerSink(walker);
            *self = Self::Gzip(Box::new(MultiGzDecoder::new(sink)));
        } else if start.starts_with(ZSTD_MAGIC) {
            *self = Self::Zstd(Box::new(ZstdUnpacker::new(walker)?));
        } else if start.starts_with(BLEND_MAGIC) {
            *self = Self::Plain(walker);
        } else if could_become_a_blend(&start) {
            *self = Self::Undecided { start, walker };
            return Ok(());
        } else {
            return Err(BlendError::NotABlend);
        }
        self.push(&start)
    }

    pub(super) fn finish(self) -> Result<BlendFacts, BlendError> {
        match self {
            Self::Undecided { start, .. } if start.is_empty() => Err(BlendError::NotABlend),
            Self::Undecided { .. } => Err(BlendError::Truncated { unpacked_bytes: 0 }),
            Self::Plain(walker) => walker.finish(),
            Self::Gzip(mut decoder) => match decoder.try_finish() {
                Ok(()) => {
                    let sink = decoder.finish().map_err(blend_error)?;
                    sink.0.finish()
                }
                Err(error) => {
                    let unpacked_bytes = decoder.get_ref().0.unpacked_bytes();
                    Err(match blend_error(error) {
                        // A cut file fails by its checksum; what came before was good.
                        BlendError::Damaged(_) => BlendError::Truncated { unpacked_bytes },
                        other => other,
                    })
                }
            },
            Self::Zstd(decoder) => decoder.finish(),
            Self::Over => Err(BlendError::NotABlend),
        }
    }
}

fn could_become_a_blend(start: &[u8]) -> bool {
    [GZIP_MAGIC, ZSTD_MAGIC, BLEND_MAGIC]
        .iter()
        .any(|magic| magic.starts_with(start))
}

/// The walker's word if it was the walker that failed, else the decoder's.
fn blend_error(error: io::Error) -> BlendError {
    match error.downcast::<BlendError>() {
        Ok(of_walker) => of_walker,
        Err(of_decoder) => BlendError::Damaged(of_decoder.to_string()),
    }
}

/// The walker as something that flate2 can write to.
pub(super) struct WalkerSink(Walker);

impl Write for WalkerSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// zstd by hand: what the crate's own writer does not tell is whether the last frame was whole.
pub(super) struct ZstdUnpacker {
    decoder: Decoder<'static>,
    unpacked: Vec<u8>,
    in_a_frame: bool,
    walker: Walker,
}

impl ZstdUnpacker {
    fn new(walker: Walker) -> Result<Self, BlendError> {
        let damaged = |error: io::Error| BlendError::Damaged(error.to_string());
        let mut decoder = Decoder::new().map_err(damaged)?;
        decoder
            .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))
            .map_err(damaged)?;
        Ok(Self {
            decoder,
            unpacked: vec![0; UNPACKED_PIECE_BYTES],
            in_a_frame: false,
            walker,
        })
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), BlendError> {
        let mut input = InBuffer::around(bytes);
        loop {
            let mut output = OutBuffer::around(self.unpacked.as_mut_slice());
            let wanted_next = self
                .decoder
                .run(&mut input, &mut output)
                .map_err(|error| BlendError::Damaged(error.to_string()))?;
            // zstd answers 0 exactly when a frame is decoded and handed out as a whole.
            self.in_a_frame = wanted_next != 0;
            let unpacked = output.as_slice().len();
            let output_was_full = unpacked == UNPACKED_PIECE_BYTES;
            self.walker.push(&self.unpacked[..unpacked])?;
            let all_taken = input.pos() == bytes.len();
            if all_taken && !(output_was_full && self.in_a_frame) {
                return Ok(());
            }
        }
    }

    fn finish(self) -> Result<BlendFacts, BlendError> {
        if self.in_a_frame {
            let unpacked_bytes = self.walker.unpacked_bytes();
            return Err(BlendError::Truncated { unpacked_bytes });
        }
        self.walker.finish()
    }
}
