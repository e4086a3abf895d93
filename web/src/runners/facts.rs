//! What a runner says that it can do.

use jiggablend_raft::{Device, RunnerFacts};
use serde::Deserialize;
use utoipa::ToSchema;

use super::shared::{invalid, one_line};
use crate::problem::Problem;

const MAX_DEVICES: usize = 64;
const MAX_TEXT_CHARS: usize = 200;
const SLOTS: std::ops::RangeInclusive<u32> = 1..=256;
/// DuckDB's whole numbers have a sign.
const MAX_MEMORY_BYTES: u64 = i64::MAX as u64;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Facts {
    /// Of the runner's own program, for people.
    version: Option<String>,
    /// For example `3.4.1`; without it the runner gets no frames.
    blender_version: Option<String>,
    /// Why it does not render, and what to do about it.
    why_not: Option<String>,
    #[serde(default)]
    devices: Vec<DeviceBody>,
    /// The first line of `ffmpeg -version`; without it the runner makes no videos.
    ffmpeg: Option<String>,
    /// Frames that it renders at once; 1 where it is left out.
    #[schema(minimum = 1, maximum = 256)]
    slots: Option<u32>,
    #[serde(default)]
    #[schema(value_type = i64, minimum = 0, maximum = 4_294_967_295_i64)]
    cpu_threads: u32,
    #[serde(default)]
    #[schema(maximum = 9_223_372_036_854_775_807_i64)]
    memory_bytes: u64,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DeviceBody {
    /// What Cycles can use, in Blender's words: `CPU`, `CUDA`, `OPTIX`, `HIP`, `ONEAPI`, `METAL`.
    kind: String,
    name: String,
}

impl Facts {
    /// The facts as the job log has them, and the program's version.
    pub(super) fn checked(self) -> Result<(RunnerFacts, String), Problem> {
        let slots = self.slots.unwrap_or(1);
        if !SLOTS.contains(&slots) {
            return Err(invalid("slots must be from 1 to 256".to_owned()));
        }
        if self.devices.len() > MAX_DEVICES {
            return Err(invalid(format!("devices has more than {MAX_DEVICES}")));
        }
        if self.memory_bytes > MAX_MEMORY_BYTES {
            let limit = format!("memory_bytes must be at most {MAX_MEMORY_BYTES}");
            return Err(invalid(limit));
        }
        let text = |text: String| one_line(&text, MAX_TEXT_CHARS);
        let facts = RunnerFacts {
            blender_version: self.blender_version.map(text),
            why_not: self.why_not.map(text),
            devices: self
                .devices
                .into_iter()
                .map(|device| Device {
                    kind: text(device.kind),
                    name: text(device.name),
                })
                .collect(),
            ffmpeg: self.ffmpeg.map(text),
            slots,
            cpu_threads: self.cpu_threads,
            memory_bytes: self.memory_bytes,
        };
        let version = text(self.version.unwrap_or_else(|| "unknown".to_owned()));
        Ok((facts, version))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn facts(text: &str) -> Facts {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn little_is_enough_and_too_much_is_refused() {
        let (facts_of_little, version) = facts(r#"{"blender_version": "3.4.1\n"}"#)
            .checked()
            .unwrap();
        assert_eq!(facts_of_little.blender_version.as_deref(), Some("3.4.1"));
        assert_eq!((facts_of_little.slots, version.as_str()), (1, "unknown"));
        assert!(facts(r#"{"slots": 0}"#).checked().is_err());
        assert!(facts(r#"{"slots": 257}"#).checked().is_err());
        assert!(
            facts(r#"{"memory_bytes": 9223372036854775808}"#)
                .checked()
                .is_err()
        );
        assert!(serde_json::from_str::<Facts>(r#"{"colour": 1}"#).is_err());
    }
}
