//! A frame counts when its picture exists, decodes to its end, and has the size asked for.

use std::path::Path;

use jiggablend_raft::{Failure, FailureKind};
use jiggablend_web::check_png;

/// The size that a picture must have, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ExpectedSize {
    pub(super) width_px: u32,
    pub(super) height_px: u32,
    /// Cropped to a border: versions of Blender round the border's edges differently, so a pixel
    /// more or less counts.
    pub(super) is_cropped: bool,
}

/// Checks a finished picture. Reads and decodes all of it: call it where blocking is fine.
pub(super) fn check(path: &Path, expected: ExpectedSize) -> Result<(), Failure> {
    let wrong = |message: String| Failure {
        kind: FailureKind::WrongPicture,
        message,
    };
    let bytes = std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => wrong(
            "Blender said that the frame is done, and wrote no picture; see the attempt's log"
                .to_owned(),
        ),
        _ => wrong(format!(
            "cannot read the picture that Blender wrote: {error}"
        )),
    })?;
    let expected = jiggablend_web::ExpectedSize {
        width_px: expected.width_px,
        height_px: expected.height_px,
        tolerance_px: u32::from(expected.is_cropped),
    };
    check_png(&bytes, Some(expected)).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SIZE: ExpectedSize = ExpectedSize {
        width_px: 16,
        height_px: 9,
        is_cropped: false,
    };

    fn picture_in(folder: &Path) -> std::path::PathBuf {
        let path = folder.join("frame_0001.png");
        let pixels =
            image::RgbaImage::from_fn(16, 9, |x, y| image::Rgba([x as u8, y as u8, 7, 255]));
        pixels.save(&path).unwrap();
        path
    }

    #[test]
    fn a_whole_picture_of_the_right_size_counts() {
        let folder = tempfile::tempdir().unwrap();
        check(&picture_in(folder.path()), SIZE).unwrap();
    }

    #[test]
    fn a_missing_truncated_or_wrongly_sized_picture_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = picture_in(folder.path());
        let missing = check(&folder.path().join("none.png"), SIZE).unwrap_err();
        assert!(
            missing.message.contains("wrote no picture"),
            "{}",
            missing.message
        );

        let wider = ExpectedSize {
            width_px: 17,
            ..SIZE
        };
        let wrong_size = check(&path, wider).unwrap_err();
        assert!(
            wrong_size.message.contains("16x9"),
            "{}",
            wrong_size.message
        );
        check(
            &path,
            ExpectedSize {
                is_cropped: true,
                ..wider
            },
        )
        .unwrap();

        let bytes = std::fs::read(&path).unwrap();
        for length in [0, 8, bytes.len() / 2, bytes.len() - 13] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let damaged = check(&path, SIZE).unwrap_err();
            assert_eq!(damaged.kind, FailureKind::WrongPicture);
        }
    }
}
