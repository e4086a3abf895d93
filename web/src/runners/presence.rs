//! What this node remembers of the runners that talk to it: what they hold and what they ask for.
//!
//! None of it is the truth of anything: leases are in the state, which every node has. A runner
//! that goes to another node says there anew what it holds.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiggablend_raft::{NodeId, RunnerFacts};

use super::leases::Lease;
use crate::RunnerCondition;

/// A lease that was given to the runner and that it does not name in its heartbeats is given to it
/// again after this time: the answer was lost.
const GIVE_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// A runner that is silent for this long is forgotten here.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// The tasks that a runner may have beside those in its slots, so that the next scene arrives
/// while the current frame renders.
const TASKS_AHEAD: u32 = 1;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Presence(Mutex<BTreeMap<NodeId, Known>>);

#[derive(Debug)]
struct Known {
    /// As its last heartbeat here said.
    holding: Vec<Lease>,
    slots: Option<u32>,
    given: BTreeMap<Lease, Instant>,
    /// How many tasks each of its open requests asks for.
    asking: BTreeMap<u64, u32>,
    next_ask: u64,
    heard_at: Instant,
}

impl Known {
    fn new(now: Instant) -> Self {
        Self {
            holding: Vec::new(),
            slots: None,
            given: BTreeMap::new(),
            asking: BTreeMap::new(),
            next_ask: 0,
            heard_at: now,
        }
    }
}

impl Presence {
    /// The runner says which leases it holds and, perhaps, how many frames it renders at once.
    pub(super) fn heartbeat(
        &self,
        runner: NodeId,
        holding: Vec<Lease>,
        slots: Option<u32>,
        now: Instant,
    ) {
        self.with(runner, now, |known| {
            known.holding = holding;
            known.slots = slots.or(known.slots);
        });
    }

    /// The runner asks for up to `max` tasks, until the answer is dropped.
    pub(super) fn ask(&self, runner: NodeId, max: u32, now: Instant) -> Asking<'_> {
        let id = self.with(runner, now, |known| {
            known.next_ask += 1;
            known.asking.insert(known.next_ask, max);
            known.next_ask
        });
        Asking {
            presence: self,
            runner,
            id,
        }
    }

    /// Of the runner's current leases, up to `max` that it neither holds nor was just given. They
    /// count as given now.
    pub(super) fn give(
        &self,
        runner: NodeId,
        leases: &[Lease],
        max: usize,
        now: Instant,
    ) -> Vec<Lease> {
        self.with(runner, now, |known| {
            known.given.retain(|lease, at| {
                leases.contains(lease) && now.duration_since(*at) < GIVE_AGAIN_AFTER
            });
            let is_news =
                |lease: &&Lease| !known.holding.contains(lease) && !known.given.contains_key(lease);
            let given: Vec<Lease> = leases.iter().filter(is_news).take(max).copied().collect();
            known.given.extend(given.iter().map(|lease| (*lease, now)));
            given
        })
    }

    /// What the leader is to know of the runner, whose current leases are `leases`: it has room
    /// for what it asks for, beside what it has.
    pub(super) fn condition(
        &self,
        runner: NodeId,
        leases: &[Lease],
        facts: &RunnerFacts,
        now: Instant,
    ) -> RunnerCondition {
        self.with(runner, now, |known| {
            let asked: u32 = known.asking.values().sum();
            let slots = known.slots.unwrap_or(facts.slots).max(1);
            let has = leases.len() as u32;
            let takes = match asked {
                0 => has,
                asked => (has + asked).min(slots + TASKS_AHEAD).max(has),
            };
            let given = known.given.keys().filter(|lease| leases.contains(lease));
            let mut holding = known.holding.clone();
            holding.extend(given.filter(|lease| !known.holding.contains(lease)));
            RunnerCondition {
                runner,
                holding,
                render_slots: match facts.blender_version {
                    Some(_) => takes,
                    None => 0,
                },
                can_encode: facts.ffmpeg.is_some() && takes > 0,
                progress: Vec::new(),
            }
        })
    }

    fn with<T>(&self, runner: NodeId, now: Instant, change: impl FnOnce(&mut Known) -> T) -> T {
        let mut runners = self.runners();
        runners.retain(|id, known| {
            *id == runner
                || !known.asking.is_empty()
                || now.duration_since(known.heard_at) < FORGET_AFTER
        });
        let known = runners.entry(runner).or_insert_with(|| Known::new(now));
        known.heard_at = now;
        change(known)
    }

    fn runners(&self) -> MutexGuard<'_, BTreeMap<NodeId, Known>> {
        // It is whole whatever happened to its last user, and a memory only.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open request for tasks.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    presence: &'a Presence,
    runner: NodeId,
    id: u64,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(known) = self.presence.runners().get_mut(&self.runner) {
            known.asking.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use jiggablend_raft::{Epoch, JobId, TaskId};

    use super::*;

    const RUNNER: NodeId = NodeId(7);

    fn leases(count: u32) -> Vec<Lease> {
        let job = JobId::new();
        (0..count)
            .map(|index| (TaskId { job, index }, Epoch(1)))
            .collect()
    }

    fn facts() -> RunnerFacts {
        RunnerFacts {
            blender_version: Some("3.4.1".into()),
            ffmpeg: Some("ffmpeg version 5.1".into()),
            slots: 2,
            ..RunnerFacts::default()
        }
    }

    #[test]
    fn a_runner_has_room_for_what_it_asks_for_and_no_more_than_its_slots_and_one() {
        let presence = Presence::default();
        let now = Instant::now();
        let leases = leases(2);
        let room = |held: &[Lease]| {
            let condition = presence.condition(RUNNER, held, &facts(), now);
            (condition.render_slots, condition.can_encode)
        };
        assert_eq!(room(&[]), (0, false), "it has not asked");
        let one = presence.ask(RUNNER, 1, now);
        assert_eq!(room(&[]), (1, true));
        assert_eq!(room(&leases[..1]), (2, true));
        let more = presence.ask(RUNNER, 16, now);
        assert_eq!(room(&leases), (3, true));
        drop(more);
        drop(one);
        assert_eq!(room(&leases), (2, true), "what it has it keeps");

        presence.heartbeat(RUNNER, Vec::new(), Some(1), now);
        let _asking = presence.ask(RUNNER, 16, now);
        assert_eq!(room(&[]), (2, true), "fewer slots than it registered with");
        let mut cannot = facts();
        cannot.blender_version = None;
        let condition = presence.condition(RUNNER, &[], &cannot, now);
        assert_eq!((condition.render_slots, condition.can_encode), (0, true));
    }

    #[test]
    fn a_task_whose_answer_was_lost_is_given_again_and_one_that_is_held_is_not() {
        let presence = Presence::default();
        let start = Instant::now();
        let leases = leases(3);
        assert_eq!(presence.give(RUNNER, &leases, 2, start), leases[..2]);
        assert_eq!(presence.give(RUNNER, &leases, 2, start), leases[2..]);
        assert_eq!(presence.give(RUNNER, &leases, 2, start), []);
        presence.heartbeat(RUNNER, leases[..1].to_vec(), None, start);
        let later = start + GIVE_AGAIN_AFTER;
        assert_eq!(presence.give(RUNNER, &leases, 8, later), leases[1..]);
        assert_eq!(
            presence.give(RUNNER, &leases[..1], 8, later + GIVE_AGAIN_AFTER),
            [],
            "what it holds is its own until it says otherwise"
        );
    }

    #[test]
    fn what_was_just_given_counts_as_held() {
        let presence = Presence::default();
        let now = Instant::now();
        let leases = leases(2);
        presence.heartbeat(RUNNER, leases[..1].to_vec(), None, now);
        assert_eq!(presence.give(RUNNER, &leases, 8, now), leases[1..]);
        let condition = presence.condition(RUNNER, &leases, &facts(), now);
        assert_eq!(condition.holding, leases);
        let condition = presence.condition(RUNNER, &leases[..1], &facts(), now);
        assert_eq!(condition.holding, leases[..1], "that lease is over");
    }

    #[test]
    fn a_runner_that_went_away_is_forgotten() {
        let presence = Presence::default();
        let start = Instant::now();
        presence.heartbeat(RUNNER, leases(1), None, start);
        presence.heartbeat(NodeId(8), Vec::new(), None, start + FORGET_AFTER);
        assert_eq!(presence.runners().keys().collect::<Vec<_>>(), [&NodeId(8)]);
    }
}
