//! Frame lists as people write them: `1-250`, `1-100x5`, `3,7,9`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::FrameNumber;

/// More frames than this in one job are refused: a typing error, not an animation.
pub const MAX_FRAMES: usize = 100_000;

/// Blender's own bounds for a frame number (`MINAFRAME`, `MAXFRAME`).
const FRAME_BOUNDS: std::ops::RangeInclusive<i32> = -1_048_574..=1_048_574;

/// The frames of a job, in the order in which they were asked for, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameList {
    frames: Vec<FrameNumber>,
    text: String,
}

/// Why a text is no frame list. Says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameListError {
    #[error("the frame list is empty; write for example 1-250, 1-100x5 or 3,7,9")]
    Empty,
    #[error("'{0}' is not a frame or a range; write for example 12, 1-250 or 1-100x5")]
    NotARange(String),
    #[error("the range {first}-{last} is reversed; write {last}-{first}")]
    Reversed { first: i32, last: i32 },
    #[error("the range '{0}' has a step of 0; the step must be 1 or more")]
    ZeroStep(String),
    #[error("frame {0} is outside what Blender can count (-1048574 to 1048574)")]
    OutOfBounds(i64),
    #[error("the list has more than {MAX_FRAMES} frames")]
    TooMany,
}

impl FrameList {
    /// The frames from `first` to `last`, both included.
    pub fn range(first: i32, last: i32) -> Result<Self, FrameListError> {
        format!("{first}-{last}").parse()
    }

    /// The frames, each once, in the order in which they were asked for.
    pub fn frames(&self) -> &[FrameNumber] {
        &self.frames
    }
}

impl fmt::Display for FrameList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Splits `-5--1` or `1-250` at the dash that parts two numbers, not at a sign.
fn split_range(text: &str) -> Option<(&str, &str)> {
    let dash = text
        .char_indices()
        .skip(1)
        .find(|(_, character)| *character == '-')?
        .0;
    Some((&text[..dash], &text[dash + 1..]))
}

fn parse_frame(text: &str, part: &str) -> Result<i32, FrameListError> {
    let not_a_range = || FrameListError::NotARange(part.to_owned());
    let number: i64 = text.trim().parse().map_err(|_| not_a_range())?;
    i32::try_from(number)
        .ok()
        .filter(|frame| FRAME_BOUNDS.contains(frame))
        .ok_or(FrameListError::OutOfBounds(number))
}

impl FromStr for FrameList {
    type Err = FrameListError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut frames = Vec::new();
        let mut seen = BTreeSet::new();
        if text.trim().is_empty() {
            return Err(FrameListError::Empty);
        }
        for part in text.split(',').map(str::trim) {
            let (range, step) = match part.split_once('x') {
                Some((range, step)) => {
                    let step: u32 = step
                        .trim()
                        .parse()
                        .map_err(|_| FrameListError::NotARange(part.to_owned()))?;
                    (range.trim(), step)
                }
                None => (part, 1),
            };
            if step == 0 {
                return Err(FrameListError::ZeroStep(part.to_owned()));
            }
            let (first, last) = match split_range(range) {
                Some((first, last)) => (parse_frame(first, part)?, parse_frame(last, part)?),
                None => {
                    let frame = parse_frame(range, part)?;
                    (frame, frame)
                }
            };
            if last < first {
                return Err(FrameListError::Reversed { first, last });
            }
            for frame in (first..=last).step_by(step as usize) {
                if seen.insert(frame) {
                    frames.push(FrameNumber(frame));
                }
                if frames.len() > MAX_FRAMES {
                    return Err(FrameListError::TooMany);
                }
            }
        }
        Ok(Self {
            frames,
            text: text.split_whitespace().collect(),
        })
    }
}

impl Serialize for FrameList {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for FrameList {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Vec<i32> {
        let list: FrameList = text.parse().expect("a good list");
        list.frames().iter().map(|frame| frame.0).collect()
    }

    #[test]
    fn ranges_steps_and_single_frames_are_read() {
        assert_eq!(numbers("1-4"), [1, 2, 3, 4]);
        assert_eq!(numbers("1-10x4"), [1, 5, 9]);
        assert_eq!(numbers("3, 7,9"), [3, 7, 9]);
        assert_eq!(numbers("-3--1,0"), [-3, -2, -1, 0]);
    }

    #[test]
    fn a_frame_named_twice_is_rendered_once() {
        assert_eq!(numbers("1-3,2-4"), [1, 2, 3, 4]);
    }

    #[test]
    fn bad_lists_say_what_is_wrong() {
        let error = |text: &str| text.parse::<FrameList>().expect_err("a bad list");
        assert_eq!(error(" "), FrameListError::Empty);
        assert_eq!(
            error("10-1"),
            FrameListError::Reversed { first: 10, last: 1 }
        );
        assert_eq!(error("abc"), FrameListError::NotARange("abc".into()));
        assert_eq!(error("1-3,"), FrameListError::NotARange(String::new()));
        assert_eq!(error("1-5x0"), FrameListError::ZeroStep("1-5x0".into()));
        assert_eq!(error("99999999"), FrameListError::OutOfBounds(99_999_999));
        assert_eq!(error("-1048574-1048574"), FrameListError::TooMany);
    }
}
