//! Quotas as they are typed. Pure.

use jiggablend_raft::Quota;
use serde_json::{Value, json};

use crate::cli::args::QuotaOptions;

/// `quota` with what was typed in its place; `None` where nothing was.
pub fn changed(quota: Quota, options: QuotaOptions) -> Option<Quota> {
    if options == QuotaOptions::default() {
        return None;
    }
    Some(Quota {
        bytes: options.bytes.map_or(quota.bytes, |limit| limit.value()),
        jobs: options.jobs.map_or(quota.jobs, |limit| limit.value()),
        frames_in_flight: options
            .frames
            .map_or(quota.frames_in_flight, |limit| limit.value()),
    })
}

/// As the API takes it.
pub fn to_json(quota: &Quota) -> Value {
    json!({
        "bytes": quota.bytes, "jobs": quota.jobs, "frames_in_flight": quota.frames_in_flight,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Limit;

    #[test]
    fn what_is_not_typed_stays_and_none_is_no_limit() {
        let before = Quota {
            bytes: Some(5),
            jobs: Some(6),
            frames_in_flight: None,
        };
        assert_eq!(changed(before, QuotaOptions::default()), None);
        let options = QuotaOptions {
            bytes: Some(Limit::Unlimited),
            jobs: None,
            frames: Some(Limit::At(7)),
        };
        let after = Quota {
            bytes: None,
            jobs: Some(6),
            frames_in_flight: Some(7),
        };
        assert_eq!(changed(before, options), Some(after));
    }
}
