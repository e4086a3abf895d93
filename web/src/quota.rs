//! Changes of quotas: an account's, and the farm's default.

use jiggablend_raft::Quota;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::json::given;

/// What is left out stays as it is; null is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct QuotaChange {
    /// All files of all jobs.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<i64>, minimum = 0)]
    bytes: Option<Option<u64>>,
    /// Jobs that are not over.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 4_294_967_295_i64)]
    jobs: Option<Option<u32>>,
    /// Tasks that are leased at the same time.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 4_294_967_295_i64)]
    frames_in_flight: Option<Option<u32>>,
}

impl QuotaChange {
    pub(crate) fn of(self, before: Quota) -> Quota {
        Quota {
            bytes: self.bytes.unwrap_or(before.bytes),
            jobs: self.jobs.unwrap_or(before.jobs),
            frames_in_flight: self.frames_in_flight.unwrap_or(before.frames_in_flight),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_change_does_not_name_stays_and_null_is_no_limit() {
        let before = Quota {
            bytes: Some(5),
            jobs: Some(6),
            frames_in_flight: Some(7),
        };
        let change: QuotaChange =
            serde_json::from_value(json!({"bytes": null, "jobs": 3})).unwrap();
        let after = Quota {
            bytes: None,
            jobs: Some(3),
            frames_in_flight: Some(7),
        };
        assert_eq!(change.of(before), after);
        assert_eq!(QuotaChange::default().of(before), before);
        assert!(serde_json::from_value::<QuotaChange>(json!({"byte": 1})).is_err());
    }
}
