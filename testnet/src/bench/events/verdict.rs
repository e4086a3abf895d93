//! Compares what each client read with what was applied: all of it, in order, how late.

use std::collections::HashMap;

use super::client::ClientRead;
use super::payloads::{Payload, Payloads};
use crate::load_protocol::{Applied, Sample};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Verdict {
    /// Frames that a client did not see by the event whose id says so, or not in order.
    pub(super) missed: usize,
    pub(super) p99_late_ms: f64,
    pub(super) median_late_ms: f64,
    pub(super) most_late_ms: f64,
    pub(super) frames_per_second: f64,
    /// Of all clients, the mean.
    pub(super) events_per_client: f64,
}

impl Verdict {
    pub(super) fn of(
        applied: &Applied,
        members: usize,
        payloads: &Payloads,
        clients: &[ClientRead],
    ) -> Self {
        let payloads = payloads.all();
        let mut missed = 0;
        let mut late_us: Vec<u32> = Vec::new();
        // Clients of the same eyes expect the same.
        let mut views: HashMap<Option<usize>, View> = HashMap::new();
        for client in clients {
            let view = views
                .entry(client.member)
                .or_insert_with(|| View::new(applied, members, client.member, &payloads));
            missed += view.compare(client, &payloads, &mut late_us);
        }
        late_us.sort_unstable();
        let percentile = |part: f64| {
            let place = (late_us.len() as f64 * part) as usize;
            let late = late_us.get(place.min(late_us.len().saturating_sub(1)));
            f64::from(late.copied().unwrap_or(u32::MAX)) / 1000.0
        };
        let events: usize = clients.iter().map(|client| client.events.len()).sum();
        Self {
            missed,
            p99_late_ms: percentile(0.99),
            median_late_ms: percentile(0.5),
            most_late_ms: percentile(1.0),
            frames_per_second: rate(&applied.commits),
            events_per_client: events as f64 / clients.len() as f64,
        }
    }
}

fn rate(commits: &[Sample]) -> f64 {
    match (commits.first(), commits.last()) {
        (Some(first), Some(last)) if last.at_ns > first.at_ns => {
            (commits.len() - 1) as f64 * 1e9 / (last.at_ns - first.at_ns) as f64
        }
        _ => 0.0,
    }
}

/// What clients with the same eyes must see.
struct View {
    expected: Vec<Sample>,
    /// Of each payload the places in `expected` that it shows as done.
    shown: Vec<Vec<usize>>,
}

impl View {
    fn new(applied: &Applied, members: usize, member: Option<usize>, payloads: &[Payload]) -> Self {
        let is_theirs = |sample: &&Sample| match member {
            None => true,
            Some(member) => sample.job as usize % members == member,
        };
        let expected: Vec<Sample> = applied.commits.iter().filter(is_theirs).copied().collect();
        let places: HashMap<(&str, u32), usize> = expected
            .iter()
            .enumerate()
            .map(|(place, sample)| {
                let job = applied.jobs[sample.job as usize].as_str();
                ((job, sample.task), place)
            })
            .collect();
        let shown = payloads.iter().map(|payload| {
            let done = payload.done.iter();
            done.filter_map(|(job, task)| places.get(&(job.as_str(), *task)).copied())
                .collect()
        });
        Self {
            shown: shown.collect(),
            expected,
        }
    }

    /// Counts what the client missed, and notes how late the rest was, in microseconds.
    fn compare(&self, client: &ClientRead, payloads: &[Payload], late_us: &mut Vec<u32>) -> usize {
        let mut missed = 0;
        let mut seen = vec![false; self.expected.len()];
        let mut newest = None;
        let mut told = 0;
        let mut last_id = 0;
        for (payload, at_ns) in &client.events {
            let shown = &self.shown[*payload as usize];
            let payload = &payloads[*payload as usize];
            for place in shown {
                if std::mem::replace(&mut seen[*place], true) {
                    continue;
                }
                if newest.is_some_and(|newest| newest > *place) {
                    missed += 1;
                }
                newest = Some(*place);
                let late_ns = at_ns.saturating_sub(self.expected[*place].at_ns);
                late_us.push(u32::try_from(late_ns / 1000).unwrap_or(u32::MAX));
            }
            missed += usize::from(payload.is_reset);
            if let Some(id) = payload.id {
                missed += usize::from(id <= last_id);
                last_id = id;
                while self.expected.get(told).is_some_and(|next| next.index <= id) {
                    missed += usize::from(!seen[told]);
                    told += 1;
                }
            }
        }
        missed + seen[told..].iter().filter(|seen| !**seen).count()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn event(id: u64, done: &[(&str, u32)]) -> String {
        let changes: Vec<String> = done
            .iter()
            .map(|(job, task)| {
                format!(r#"{{"task":{{"job":"{job}","index":{task},"state":"done"}}}}"#)
            })
            .collect();
        let changes = changes.join(",");
        format!("event: change\nid: {id}\ndata: {{\"index\":{id},\"changes\":[{changes}]}}\n\n")
    }

    fn verdict(member: Option<usize>, said: &[String]) -> Verdict {
        let sample = |index, job, task| Sample {
            index,
            job,
            task,
            at_ns: index * 1_000_000,
        };
        let applied = Applied {
            jobs: vec!["a".into(), "b".into()],
            commits: vec![sample(10, 0, 0), sample(11, 1, 0), sample(12, 0, 1)],
        };
        let payloads = Payloads::default();
        let events = said
            .iter()
            .map(|text| (payloads.id_of(text.as_bytes()).unwrap(), 20_000_000));
        let client = ClientRead {
            member,
            events: events.collect(),
        };
        Verdict::of(&applied, 2, &payloads, &[client])
    }

    #[test]
    fn who_sees_all_in_order_misses_nothing_and_is_late_by_the_clock() {
        let said = [event(11, &[("a", 0), ("b", 0)]), event(12, &[("a", 1)])];
        let verdict = verdict(None, &said);
        assert_eq!(verdict.missed, 0);
        assert_eq!(verdict.median_late_ms, 9.0);
        assert_eq!(verdict.most_late_ms, 10.0);
    }

    #[test]
    fn a_member_expects_its_own_frames_only() {
        let said = [event(10, &[("a", 0)]), event(12, &[("a", 1)])];
        assert_eq!(verdict(Some(0), &said).missed, 0);
        assert_eq!(verdict(Some(1), &said).missed, 1);
    }

    #[test]
    fn what_is_not_there_by_its_id_or_out_of_order_is_missed() {
        let late = [event(11, &[("a", 0)]), event(12, &[("b", 0), ("a", 1)])];
        assert_eq!(verdict(None, &late).missed, 1);
        let turned = [event(12, &[("b", 0), ("a", 0), ("a", 1)])];
        assert_eq!(verdict(None, &turned).missed, 1);
        let cut_short = [event(11, &[("a", 0), ("b", 0)])];
        assert_eq!(verdict(None, &cut_short).missed, 1);
    }
}
