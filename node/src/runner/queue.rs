//! Which assignment each slot takes next. Pure: no process, no clock, no task.
//!
//! A slot that has a scene open goes on with that scene as long as it can, since opening another
//! one costs the start of a Blender. Nothing waits forever for that.

use std::collections::VecDeque;

use jiggablend_raft::{ContentId, Epoch, JobId, TaskId};

use super::{Assignment, Work};

/// An assignment that others overtook this often goes next.
const MAX_OVERTAKEN: u32 = 8;
/// How many ended leases are remembered, so that a repeated assignment is not done twice.
const REMEMBERED: usize = 128;

/// The one lease that an assignment stands for.
pub(super) type Lease = (TaskId, Epoch);

/// What a slot's Blender has open: each job has a process of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SceneKey {
    pub(super) job: JobId,
    pub(super) content: ContentId,
}

/// Where an assignment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Waiting,
    /// In that slot.
    Running(usize),
    /// Its output is being checked, stored and reported.
    Finishing,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    open: Option<SceneKey>,
    is_busy: bool,
}

#[derive(Debug)]
struct Entry<T> {
    assignment: Assignment,
    stage: Stage,
    overtaken: u32,
    payload: T,
}

/// All assignments that this runner holds, oldest first. `T` travels with each of them.
#[derive(Debug)]
pub(super) struct Queue<T> {
    entries: Vec<Entry<T>>,
    slots: Vec<Slot>,
    ended: VecDeque<Lease>,
}

impl Assignment {
    pub(super) fn lease(&self) -> Lease {
        (self.task, self.epoch)
    }

    /// The scene that must be open for it; `None` for work without Blender.
    pub(super) fn scene_key(&self) -> Option<SceneKey> {
        match &self.work {
            Work::Frame { scene, .. } => Some(SceneKey {
                job: self.task.job,
                content: scene.content,
            }),
            Work::Encode { .. } => None,
        }
    }
}

impl<T: Clone> Queue<T> {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            entries: Vec::new(),
            slots: vec![Slot::default(); slots],
            ended: VecDeque::new(),
        }
    }

    /// Adds an assignment; false where it is held or was done already, or a newer lease of its
    /// task is held.
    pub(super) fn assign(&mut self, assignment: Assignment, payload: T) -> bool {
        let known = self.entries.iter().any(|entry| {
            entry.assignment.task == assignment.task && entry.assignment.epoch >= assignment.epoch
        });
        if known || self.ended.contains(&assignment.lease()) {
            return false;
        }
        self.entries.push(Entry {
            assignment,
            stage: Stage::Waiting,
            overtaken: 0,
            payload,
        });
        true
    }

    /// Leases of that task which are older than `epoch`: a newer one makes them worthless.
    pub(super) fn older_leases(&self, task: TaskId, epoch: Epoch) -> Vec<Lease> {
        self.holding()
            .into_iter()
            .filter(|(held, held_epoch)| *held == task && *held_epoch < epoch)
            .collect()
    }

    /// Forgets a lease. What came with it is the caller's again, to stop what runs.
    pub(super) fn remove(&mut self, lease: Lease) -> Option<(Stage, T)> {
        let index = self.position(lease)?;
        let entry = self.entries.remove(index);
        if self.ended.len() == REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back(lease);
        Some((entry.stage, entry.payload))
    }

    /// The next assignment for that slot, which is busy with it from now on.
    pub(super) fn take(&mut self, slot: usize) -> Option<(Assignment, T)> {
        let chosen = self.choose(slot)?;
        for entry in &mut self.entries[..chosen] {
            if entry.stage == Stage::Waiting {
                entry.overtaken += 1;
            }
        }
        self.slots[slot].is_busy = true;
        let entry = &mut self.entries[chosen];
        entry.stage = Stage::Running(slot);
        Some((entry.assignment.clone(), entry.payload.clone()))
    }

    fn choose(&self, slot: usize) -> Option<usize> {
        let waiting: Vec<usize> = (0..self.entries.len())
            .filter(|index| self.entries[*index].stage == Stage::Waiting)
            .collect();
        let oldest = *waiting.first()?;
        if self.entries[oldest].overtaken >= MAX_OVERTAKEN {
            return Some(oldest);
        }
        let open_here = self.slots[slot].open;
        let same_scene = waiting.iter().copied().find(|index| {
            open_here.is_some() && self.entries[*index].assignment.scene_key() == open_here
        });
        // An idle slot that has the scene open is quicker than this one.
        same_scene.or_else(|| {
            waiting
                .into_iter()
                .find(|index| !self.is_open_elsewhere(slot, *index))
        })
    }

    fn is_open_elsewhere(&self, slot: usize, index: usize) -> bool {
        let Some(key) = self.entries[index].assignment.scene_key() else {
            return false;
        };
        self.slots
            .iter()
            .enumerate()
            .any(|(other, state)| other != slot && !state.is_busy && state.open == Some(key))
    }

    /// The slot's Blender has this scene open now (or none).
    pub(super) fn slot_opened(&mut self, slot: usize, open: Option<SceneKey>) {
        self.slots[slot].open = open;
    }

    /// The slot has done its part of the lease; what it made is being stored and reported.
    /// False where the lease was taken back meanwhile.
    pub(super) fn slot_done(&mut self, slot: usize, lease: Lease) -> bool {
        self.slots[slot].is_busy = false;
        let Some(index) = self.position(lease) else {
            return false;
        };
        self.entries[index].stage = Stage::Finishing;
        true
    }

    /// Everything that waits, runs or is about to be reported, oldest first.
    pub(super) fn holding(&self) -> Vec<Lease> {
        self.entries
            .iter()
            .map(|entry| entry.assignment.lease())
            .collect()
    }

    fn position(&self, lease: Lease) -> Option<usize> {
        self.entries
            .iter()
            .position(|entry| entry.assignment.lease() == lease)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::ContentRef;
    use super::*;
    use jiggablend_raft::FrameNumber;

    fn scene(number: u8) -> ContentRef {
        ContentRef {
            content: ContentId([number; 32]),
            size_bytes: 1,
            holders: Vec::new(),
        }
    }

    fn frame(job: JobId, index: u32) -> Assignment {
        Assignment {
            task: TaskId { job, index },
            epoch: Epoch(1),
            work: Work::Frame {
                frame: FrameNumber(index as i32),
                scene: scene(1),
            },
        }
    }

    fn encode(job: JobId) -> Assignment {
        Assignment {
            task: TaskId { job, index: 99 },
            epoch: Epoch(1),
            work: Work::Encode {
                frames: Vec::new(),
                fps_numerator: 24,
                fps_denominator: 1,
            },
        }
    }

    fn queue_of(slots: usize, assignments: &[Assignment]) -> Queue<()> {
        let mut queue = Queue::new(slots);
        for assignment in assignments {
            assert!(queue.assign(assignment.clone(), ()));
        }
        queue
    }

    fn taken(queue: &mut Queue<()>, slot: usize) -> Option<TaskId> {
        queue.take(slot).map(|(assignment, ())| assignment.task)
    }

    #[test]
    fn an_assignment_is_taken_once_however_often_it_is_given() {
        let job = JobId::new();
        let mut queue = queue_of(1, &[frame(job, 1)]);
        assert!(!queue.assign(frame(job, 1), ()));
        let (assignment, ()) = queue.take(0).unwrap();
        assert!(!queue.assign(frame(job, 1), ()));
        assert!(queue.slot_done(0, assignment.lease()));
        assert!(!queue.assign(frame(job, 1), ()));
        assert_eq!(queue.holding(), [assignment.lease()]);
        assert_eq!(
            queue.remove(assignment.lease()).unwrap().0,
            Stage::Finishing
        );
        assert!(!queue.assign(frame(job, 1), ()), "it was done already");
        assert!(queue.holding().is_empty());
        assert!(queue.take(0).is_none());
    }

    #[test]
    fn a_newer_lease_makes_the_older_one_worthless() {
        let job = JobId::new();
        let mut queue = queue_of(1, &[frame(job, 1)]);
        let mut newer = frame(job, 1);
        newer.epoch = Epoch(2);
        assert_eq!(
            queue.older_leases(newer.task, newer.epoch),
            [frame(job, 1).lease()]
        );
        assert!(queue.assign(newer.clone(), ()));
        assert!(!queue.assign(frame(job, 1), ()));
        assert!(queue.older_leases(newer.task, Epoch(1)).is_empty());
    }

    #[test]
    fn a_slot_goes_on_with_the_scene_that_it_has_open() {
        let (mine, other) = (JobId::new(), JobId::new());
        let mut queue = queue_of(1, &[frame(other, 1), frame(mine, 2)]);
        queue.slot_opened(0, frame(mine, 2).scene_key());
        assert_eq!(taken(&mut queue, 0), Some(frame(mine, 2).task));
        queue.slot_done(0, frame(mine, 2).lease());
        assert_eq!(taken(&mut queue, 0), Some(frame(other, 1).task));
    }

    #[test]
    fn an_assignment_is_not_overtaken_forever() {
        let (mine, other) = (JobId::new(), JobId::new());
        let mut queue = queue_of(1, &[frame(other, 1)]);
        queue.slot_opened(0, frame(mine, 0).scene_key());
        let mut before_it = 0;
        for index in 10.. {
            queue.assign(frame(mine, index), ());
            let (next, ()) = queue.take(0).unwrap();
            queue.slot_done(0, next.lease());
            if next.task.job == other {
                break;
            }
            before_it += 1;
        }
        assert_eq!(before_it, MAX_OVERTAKEN);
    }

    #[test]
    fn a_cold_slot_leaves_a_frame_to_the_idle_slot_that_has_its_scene_open() {
        let (job, other) = (JobId::new(), JobId::new());
        let mut queue = queue_of(2, &[frame(job, 1), frame(other, 2), frame(job, 3)]);
        queue.slot_opened(1, frame(job, 1).scene_key());
        assert_eq!(taken(&mut queue, 0), Some(frame(other, 2).task));
        assert_eq!(taken(&mut queue, 1), Some(frame(job, 1).task));
        queue.slot_done(0, frame(other, 2).lease());
        // The other slot is busy: better to start a second Blender than to wait.
        assert_eq!(taken(&mut queue, 0), Some(frame(job, 3).task));
    }

    #[test]
    fn an_encode_needs_no_scene_and_waits_its_turn() {
        let job = JobId::new();
        let mut queue = queue_of(1, &[frame(job, 1), encode(job)]);
        assert_eq!(taken(&mut queue, 0), Some(frame(job, 1).task));
        assert_eq!(taken(&mut queue, 0), Some(encode(job).task));
        assert_eq!(taken(&mut queue, 0), None);
    }

    #[test]
    fn what_was_taken_back_is_not_reported() {
        let job = JobId::new();
        let mut queue = queue_of(1, &[frame(job, 1)]);
        let (assignment, ()) = queue.take(0).unwrap();
        let (stage, ()) = queue.remove(assignment.lease()).unwrap();
        assert_eq!(stage, Stage::Running(0));
        assert!(!queue.slot_done(0, assignment.lease()));
        assert!(queue.remove(assignment.lease()).is_none());
    }
}
