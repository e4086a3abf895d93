//! A frame counts when its picture decodes to its end and has the size asked for.

/// The size that a picture must have, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectedSize {
    pub width_px: u32,
    pub height_px: u32,
    /// Off by so much still counts: versions of Blender round the edges of a border differently.
    pub tolerance_px: u32,
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
}

/// Checks a PNG; decodes all of it: call it where blocking is fine. Without an expected size any
/// will do.
pub fn check_png(bytes: &[u8], expected: Option<ExpectedSize>) -> Result<(), PictureError> {
    let picture = image::load_from_memory_with_format(bytes, image::ImageFormat::Png)
        .map_err(|error| PictureError::Damaged(error.to_string()))?;
    let (width_px, height_px) = (picture.width(), picture.height());
    let Some(expected) = expected else {
        return Ok(());
    };
    let fits = width_px.abs_diff(expected.width_px) <= expected.tolerance_px
        && height_px.abs_diff(expected.height_px) <= expected.tolerance_px;
    match fits {
        true => Ok(()),
        false => Err(PictureError::WrongSize {
            width_px,
            height_px,
            expected,
        }),
    }
}
