//! A frame counts when its picture decodes to its end and has the size asked for.

use std::io::{BufRead, Cursor, Seek};

use image::codecs::png::PngDecoder;
use image::{DynamicImage, ImageDecoder as _, ImageError, Limits};

/// Of a picture in memory; what a task asks for may be less.
const MAX_PIXEL_BYTES: u64 = 1 << 30;
/// Four channels of 16 bits.
const MOST_BYTES_A_PIXEL: u64 = 8;
/// What a PNG has beside its pixels, generously, and what decoding it takes.
const SPARE_BYTES: u64 = 16 << 20;

/// The size that a picture must have, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectedSize {
    pub width_px: u32,
    pub height_px: u32,
    /// Off by so much still counts: versions of Blender round the edges of a border differently.
    pub tolerance_px: u32,
}

impl ExpectedSize {
    fn is_met(self, width_px: u32, height_px: u32) -> bool {
        width_px.abs_diff(self.width_px) <= self.tolerance_px
            && height_px.abs_diff(self.height_px) <= self.tolerance_px
    }
}

/// What is wrong with a picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    #[error("the picture is damaged: {0}")]
    Damaged(String),
    #[error("the picture is {width_px}x{height_px} pixels, and {}x{} were asked for", expected.width_px, expected.height_px)]
    WrongSize {
        width_px: u32,
        height_px: u32,
        expected: ExpectedSize,
    },
    #[error("the picture is {width_px}x{height_px} pixels, which is more than a node decodes")]
    TooLarge { width_px: u32, height_px: u32 },
}

/// What the pixels of such a picture take at most.
fn max_pixel_bytes(expected: Option<ExpectedSize>) -> u64 {
    let Some(expected) = expected else {
        return MAX_PIXEL_BYTES;
    };
    let side = |px: u32| u64::from(px) + u64::from(expected.tolerance_px);
    let pixels = side(expected.width_px).saturating_mul(side(expected.height_px));
    let bytes = pixels.saturating_mul(MOST_BYTES_A_PIXEL);
    bytes.min(MAX_PIXEL_BYTES)
}

/// What the file of such a picture has at most: its pixels, not compressed at all.
pub(super) fn max_png_bytes(expected: Option<ExpectedSize>) -> u64 {
    max_pixel_bytes(expected) + SPARE_BYTES
}

/// Checks a PNG; decodes all of it: call it where blocking is fine. Without an expected size any
/// will do.
pub fn check_png(bytes: &[u8], expected: Option<ExpectedSize>) -> Result<(), PictureError> {
    check_png_of(Cursor::new(bytes), expected)
}

/// The same, where the bytes come from. What the head says is looked at before a pixel is decoded:
/// a few bytes can claim any size.
pub(super) fn check_png_of(
    reader: impl BufRead + Seek,
    expected: Option<ExpectedSize>,
) -> Result<(), PictureError> {
    let damaged = |error: ImageError| PictureError::Damaged(error.to_string());
    let max_pixel_bytes = max_pixel_bytes(expected);
    let mut limits = Limits::default();
    limits.max_alloc = Some(max_pixel_bytes + SPARE_BYTES);
    let decoder = PngDecoder::with_limits(reader, limits).map_err(damaged)?;
    let (width_px, height_px) = decoder.dimensions();
    if let Some(expected) = expected
        && !expected.is_met(width_px, height_px)
    {
        return Err(PictureError::WrongSize {
            width_px,
            height_px,
            expected,
        });
    }
    if decoder.total_bytes() > max_pixel_bytes {
        return Err(PictureError::TooLarge {
            width_px,
            height_px,
        });
    }
    DynamicImage::from_decoder(decoder).map_err(damaged)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use image::ImageFormat;

    use super::*;

    /// A PNG of one pixel whose head names another size.
    fn claiming(width_px: u32, height_px: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        DynamicImage::new_rgba16(1, 1)
            .write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)
            .unwrap();
        bytes[16..20].copy_from_slice(&width_px.to_be_bytes());
        bytes[20..24].copy_from_slice(&height_px.to_be_bytes());
        let mut crc = crc32fast::Hasher::new();
        crc.update(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.finalize().to_be_bytes());
        bytes
    }

    fn expected(width_px: u32, height_px: u32) -> Option<ExpectedSize> {
        Some(ExpectedSize {
            width_px,
            height_px,
            tolerance_px: 1,
        })
    }

    #[test]
    fn a_picture_is_refused_by_what_its_head_claims_before_it_is_decoded() {
        let claims = claiming(60_000, 60_000);
        // Decoding it would find it damaged.
        assert_eq!(
            check_png(&claims, None),
            Err(PictureError::TooLarge {
                width_px: 60_000,
                height_px: 60_000
            })
        );
        assert!(matches!(
            check_png(&claims, expected(64, 36)),
            Err(PictureError::WrongSize { .. })
        ));
        // Nor does it help to have asked for so much.
        assert!(matches!(
            check_png(&claims, expected(60_000, 60_000)),
            Err(PictureError::TooLarge { .. })
        ));
        assert!(matches!(
            check_png(&claiming(64, 36), expected(64, 36)),
            Err(PictureError::Damaged(_))
        ));
        assert_eq!(check_png(&claiming(1, 1), expected(1, 1)), Ok(()));
        assert_eq!(check_png(&claiming(1, 1), expected(2, 2)), Ok(()));
    }

    #[test]
    fn a_file_may_be_as_large_as_its_pixels_and_no_larger() {
        let full_hd = max_png_bytes(expected(1920, 1080));
        assert!(
            full_hd > 1920 * 1080 * 8 && full_hd < 40_000_000,
            "{full_hd}"
        );
        assert!(max_png_bytes(None) <= MAX_PIXEL_BYTES + SPARE_BYTES);
        let most = max_png_bytes(expected(u32::MAX, u32::MAX));
        assert_eq!(most, max_png_bytes(None));
    }
}
