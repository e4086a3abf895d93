//! What a runner's leases are and what is in them. Pure: functions over the state.

use std::fmt;
use std::str::FromStr;

use jiggablend_raft::{
    Attempt, ContentId, Epoch, File, FrameNumber, Job, JobId, NodeId, State, TaskId, TaskKind,
    TaskState,
};

/// The speed of a video whose scene nobody has opened: Blender's own default.
const DEFAULT_FPS: (u32, u32) = (24, 1);

/// One lease of a task.
pub(super) type Lease = (TaskId, Epoch);

/// A task as the runner routes name it: `JOB.INDEX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TaskName(pub(super) TaskId);

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0.job, self.0.index)
    }
}

impl FromStr for TaskName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (job, index) = text.split_once('.').ok_or(())?;
        let is_plain = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
        if !is_plain {
            return Err(());
        }
        Ok(Self(TaskId {
            job: job.parse().map_err(|_| ())?,
            index: index.parse().map_err(|_| ())?,
        }))
    }
}

/// What a lease asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Work {
    Frame {
        frame: FrameNumber,
        scene: File,
    },
    /// All frames in playing order.
    Encode {
        frames: Vec<(FrameNumber, File)>,
        fps_numerator: u32,
        fps_denominator: u32,
    },
}

/// True where that lease is the task's current one, and the runner's.
pub(super) fn is_current(state: &State, runner: NodeId, (task, epoch): Lease) -> bool {
    state.task(task).is_some_and(|task| {
        task.epoch == epoch && task.state == (TaskState::Leased { node: runner })
    })
}

/// True where that lease is the task's current one, whoever has it.
pub(super) fn is_leased(state: &State, (task, epoch): Lease) -> bool {
    state
        .task(task)
        .is_some_and(|task| task.epoch == epoch && matches!(task.state, TaskState::Leased { .. }))
}

/// The attempt of that lease, current or ended, where it was the runner's.
pub(super) fn attempt(state: &State, runner: NodeId, (task, epoch): Lease) -> Option<&Attempt> {
    let job = state.jobs.get(&task.job)?;
    let mut newest_first = job.attempts.iter().rev();
    let attempt = newest_first.find(|one| one.task == task.index && one.epoch == epoch)?;
    (attempt.node == runner).then_some(attempt)
}

/// What is to be done for a lease of the runner; `None` where it is not current.
pub(super) fn work(state: &State, runner: NodeId, lease: Lease) -> Option<Work> {
    if !is_current(state, runner, lease) {
        return None;
    }
    let job = state.jobs.get(&lease.0.job)?;
    match job.tasks.get(lease.0.index as usize)?.kind {
        TaskKind::Frame(frame) => Some(Work::Frame {
            frame,
            scene: scene(state, job)?,
        }),
        TaskKind::Encode => {
            let facts = job.scene_facts.as_ref();
            let (fps_numerator, fps_denominator) = facts.map_or(DEFAULT_FPS, |facts| {
                (facts.fps_numerator, facts.fps_denominator)
            });
            Some(Work::Encode {
                frames: frames(state, job)?,
                fps_numerator,
                fps_denominator,
            })
        }
    }
}

fn scene(state: &State, job: &Job) -> Option<File> {
    state.files.get(&job.scene?).cloned()
}

/// `None` where a frame is not there, which the state does not allow for an encode task's lease.
fn frames(state: &State, job: &Job) -> Option<Vec<(FrameNumber, File)>> {
    let mut frames = Vec::new();
    for task in &job.tasks {
        if let TaskKind::Frame(frame) = task.kind {
            frames.push((frame, state.files.get(&task.output?)?.clone()));
        }
    }
    frames.sort_by_key(|(frame, _)| *frame);
    Some(frames)
}

/// The file of that name, or of that content, which the runner's leases of the job let it read:
/// the scene for a frame, the frames for an encode, and nothing else.
pub(super) fn readable_file<'a>(
    state: &'a State,
    runner: NodeId,
    leases: &[Lease],
    job: JobId,
    name: &str,
) -> Option<&'a File> {
    let content: Option<ContentId> = name.parse().ok();
    let is_meant = |file: &&File| file.name == name || Some(file.content) == content;
    let found = state.jobs.get(&job)?;
    let its_leases = leases
        .iter()
        .filter(|lease| lease.0.job == job && is_current(state, runner, **lease));
    for (task, _) in its_leases {
        let file = match found.tasks.get(task.index as usize)?.kind {
            TaskKind::Frame(_) => state.files.get(&found.scene?).filter(is_meant),
            TaskKind::Encode => {
                let frames = found.tasks.iter().filter_map(|task| task.output);
                frames.filter_map(|id| state.files.get(&id)).find(is_meant)
            }
        };
        if file.is_some() {
            return file;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_has_one_spelling() {
        let task = TaskId {
            job: JobId::new(),
            index: 12,
        };
        let text = TaskName(task).to_string();
        assert_eq!(text.parse(), Ok(TaskName(task)));
        for wrong in [
            "",
            ".",
            "1",
            &format!("{}", task.job),
            &format!("{}.", task.job),
            &format!("{}.-1", task.job),
            &format!("{}.+1", task.job),
            &format!("{}.1.2", task.job),
            &format!("{}.99999999999", task.job),
        ] {
            assert_eq!(wrong.parse::<TaskName>(), Err(()), "{wrong}");
        }
    }
}
