//! What people type for a job's id.

use jiggablend_raft::JobId;

use crate::cli::api_types::JobSummary;

/// Fewer characters than this would be a guess.
const MIN_PART: usize = 4;
/// How many digits of an id are shown: its end, which is random. Its beginning is the time.
const SHOWN: usize = 8;

/// The id, where the text is a whole one.
pub fn whole(text: &str) -> Option<JobId> {
    text.parse().ok()
}

/// The part of an id that people are shown and may type.
pub fn short(job: JobId) -> String {
    let text = job.to_string();
    text[text.len() - SHOWN..].to_owned()
}

/// The one job of `recent` (newest first) that `text` means: `last`, or the beginning or the end
/// of an id. `has_more` says that there are older jobs than these. The error is for people.
pub fn resolve(text: &str, recent: &[JobSummary], has_more: bool) -> Result<JobId, String> {
    let Some(newest) = recent.first() else {
        return Err("there are no jobs yet; hand one in with `jiggablend job submit`".to_owned());
    };
    if text == "last" {
        return Ok(newest.id);
    }
    let part = text.to_ascii_lowercase();
    if part.len() < MIN_PART || !part.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
        return Err(format!(
            "'{text}' is no job id; type an id, at least {MIN_PART} digits of its beginning or end, or `last` (`jiggablend job list` shows them)"
        ));
    }
    let matches: Vec<&JobSummary> = recent.iter().filter(|job| means(&part, job.id)).collect();
    match matches.as_slice() {
        [job] => Ok(job.id),
        [] if has_more => Err(format!(
            "no job among the newest {} has an id like '{text}'; type the whole id of an older one",
            recent.len()
        )),
        [] => Err(format!(
            "no job has an id like '{text}'; `jiggablend job list` shows them"
        )),
        [first, second, ..] => Err(format!(
            "{} jobs have an id like '{text}', for example {} ({}) and {} ({}); type more of it",
            matches.len(),
            first.id,
            first.name,
            second.id,
            second.name
        )),
    }
}

/// With or without the dashes.
fn means(part: &str, id: JobId) -> bool {
    let dashed = id.to_string();
    let plain = dashed.replace('-', "");
    [dashed, plain]
        .iter()
        .any(|id| id.starts_with(part) || id.ends_with(part))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::cli::job::view::tests::summary;

    fn jobs() -> Vec<JobSummary> {
        [
            "0192f000-0002-7000-8000-00000000beef",
            "0192f000-0001-7000-8000-00000000cafe",
        ]
        .map(|id| summary(id.parse().unwrap()))
        .to_vec()
    }

    #[test]
    fn last_is_the_newest_job() {
        assert_eq!(resolve("last", &jobs(), false), Ok(jobs()[0].id));
    }

    #[test]
    fn the_beginning_or_the_end_of_an_id_is_enough_where_only_one_has_it() {
        let cafe = jobs()[1].id;
        for text in ["cafe", "CAFE", "0000cafe", "0192f000-0001", "0192f0000001"] {
            assert_eq!(resolve(text, &jobs(), false), Ok(cafe), "{text}");
        }
        assert_eq!(resolve(&short(cafe), &jobs(), false), Ok(cafe));
    }

    #[test]
    fn what_several_jobs_share_names_them() {
        let error = resolve("0192f000", &jobs(), false).unwrap_err();
        assert!(error.contains("2 jobs"), "{error}");
        assert!(error.contains("beef") && error.contains("cafe"), "{error}");
    }

    #[test]
    fn nonsense_and_unknown_ids_say_what_to_type() {
        assert!(
            resolve("abc", &jobs(), false)
                .unwrap_err()
                .contains("at least 4")
        );
        assert!(
            resolve("../../x", &jobs(), false)
                .unwrap_err()
                .contains("no job id")
        );
        assert!(
            resolve("dead", &jobs(), false)
                .unwrap_err()
                .contains("job list")
        );
        assert!(
            resolve("dead", &jobs(), true)
                .unwrap_err()
                .contains("whole id")
        );
        assert!(
            resolve("last", &[], false)
                .unwrap_err()
                .contains("job submit")
        );
    }
}
