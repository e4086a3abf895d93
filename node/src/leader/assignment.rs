//! Makes a lease into an assignment that holds all that the runner needs.

use jiggablend_raft::{
    Epoch, File, FrameNumber, Job, NodeId, State, Task, TaskId, TaskKind, TaskState,
};

use crate::runner::{Assignment, ContentRef, Work};

/// The speed of a video whose scene nobody has opened: Blender's own default.
const DEFAULT_FPS: (u32, u32) = (24, 1);

/// The assignment for the node's current lease of that task; `None` where it has none.
pub(super) fn assignment(state: &State, node: NodeId, id: TaskId) -> Option<Assignment> {
    let job = state.jobs.get(&id.job)?;
    let task = job.tasks.get(id.index as usize)?;
    if task.state != (TaskState::Leased { node }) {
        return None;
    }
    Some(Assignment {
        task: id,
        epoch: task.epoch,
        work: work(state, job, task)?,
    })
}

/// The epoch of the node's current lease of that task.
pub(super) fn leased_epoch(state: &State, node: NodeId, id: TaskId) -> Option<Epoch> {
    let task = state.task(id)?;
    (task.state == TaskState::Leased { node }).then_some(task.epoch)
}

fn work(state: &State, job: &Job, task: &Task) -> Option<Work> {
    match task.kind {
        TaskKind::Frame(frame) => {
            let scene = state.files.get(&job.scene?)?;
            Some(Work::Frame {
                frame,
                scene: content_ref(state, scene),
            })
        }
        TaskKind::Encode => {
            let (fps_numerator, fps_denominator) =
                job.scene_facts.as_ref().map_or(DEFAULT_FPS, |facts| {
                    (facts.fps_numerator, facts.fps_denominator)
                });
            Some(Work::Encode {
                frames: frames_in_playing_order(state, job)?,
                fps_numerator,
                fps_denominator,
            })
        }
    }
}

/// `None` where a frame is not there, which the state does not allow for an encode task's lease.
fn frames_in_playing_order(state: &State, job: &Job) -> Option<Vec<(FrameNumber, ContentRef)>> {
    let mut frames = Vec::new();
    for task in &job.tasks {
        if let TaskKind::Frame(frame) = task.kind {
            let file = state.files.get(&task.output?)?;
            let mut content = content_ref(state, file);
            // One hint is enough, others are asked as well; the list of a job of the most frames
            // that a job may have must fit into one message.
            content.holders.truncate(1);
            frames.push((frame, content));
        }
    }
    frames.sort_by_key(|(frame, _)| *frame);
    Some(frames)
}

fn content_ref(state: &State, file: &File) -> ContentRef {
    let holders = file
        .holders
        .iter()
        .filter_map(|node| state.nodes.get(node))
        .filter(|node| !node.removed)
        .filter_map(|node| node.peer_id().map(str::to_owned))
        .collect();
    ContentRef {
        content: file.content,
        size_bytes: file.size_bytes,
        holders,
    }
}
