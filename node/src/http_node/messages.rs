//! The messages of the runner routes, as `docs/http-runner.md` describes them.

use jiggablend_raft::{
    ContentId, Device, Epoch, Failure, FrameNumber, JobId, RunnerFacts, SceneFacts, TaskId,
};
use serde::{Deserialize, Serialize};

use crate::runner::{Assignment, ContentRef, Work};

#[derive(Debug, Serialize)]
pub(super) struct Registration {
    pub(super) token: String,
    pub(super) name: String,
    pub(super) facts: Facts,
}

#[derive(Debug, Deserialize)]
pub(super) struct Registered {
    pub(super) runner: u64,
    pub(super) credential: String,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Facts {
    version: &'static str,
    blender_version: Option<String>,
    why_not: Option<String>,
    devices: Vec<Device>,
    ffmpeg: Option<String>,
    slots: u32,
    cpu_threads: u32,
    memory_bytes: u64,
}

impl Facts {
    pub(super) fn of(facts: &RunnerFacts) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            blender_version: facts.blender_version.clone(),
            why_not: facts.why_not.clone(),
            devices: facts.devices.clone(),
            ffmpeg: facts.ffmpeg.clone(),
            slots: facts.slots.max(1),
            cpu_threads: facts.cpu_threads,
            memory_bytes: facts.memory_bytes,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Heartbeat {
    pub(super) holding: Vec<Holding>,
    pub(super) released: Vec<Lease>,
    pub(super) slots: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) facts: Option<Facts>,
}

#[derive(Debug, Serialize)]
pub(super) struct Holding {
    #[serde(flatten)]
    pub(super) lease: Lease,
    pub(super) fraction: Option<f32>,
    pub(super) text: Option<String>,
}

/// One lease, with its task as `JOB.INDEX`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lease {
    task: String,
    epoch: Epoch,
}

impl Lease {
    pub(super) fn of((task, epoch): (TaskId, Epoch)) -> Self {
        Self {
            task: task_name(task),
            epoch,
        }
    }

    /// `None` where the farm says something else than a task.
    pub(super) fn read(&self) -> Option<(TaskId, Epoch)> {
        let (job, index) = self.task.split_once('.')?;
        let task = TaskId {
            job: job.parse().ok()?,
            index: index.parse().ok()?,
        };
        Some((task, self.epoch))
    }
}

/// A task as the runner routes name it.
pub(super) fn task_name(task: TaskId) -> String {
    format!("{}.{}", task.job, task.index)
}

#[derive(Debug, Deserialize)]
pub(super) struct HeartbeatAnswer {
    pub(super) revoked: Vec<Lease>,
    pub(super) nodes: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Tasks {
    pub(super) tasks: Vec<Task>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Task {
    job: JobId,
    index: u32,
    epoch: Epoch,
    #[serde(flatten)]
    work: TaskWork,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum TaskWork {
    Frame {
        frame: FrameNumber,
        scene: FileToFetch,
    },
    Encode {
        frames: Vec<FrameToFetch>,
        fps_numerator: u32,
        fps_denominator: u32,
    },
}

#[derive(Debug, Deserialize)]
struct FileToFetch {
    size_bytes: u64,
    content: ContentId,
}

#[derive(Debug, Deserialize)]
struct FrameToFetch {
    frame: FrameNumber,
    #[serde(flatten)]
    file: FileToFetch,
}

impl Task {
    pub(super) fn into_assignment(self) -> Assignment {
        let work = match self.work {
            TaskWork::Frame { frame, scene } => Work::Frame {
                frame,
                scene: scene.into_ref(),
            },
            TaskWork::Encode {
                frames,
                fps_numerator,
                fps_denominator,
            } => Work::Encode {
                frames: frames
                    .into_iter()
                    .map(|frame| (frame.frame, frame.file.into_ref()))
                    .collect(),
                fps_numerator,
                fps_denominator,
            },
        };
        Assignment {
            task: TaskId {
                job: self.job,
                index: self.index,
            },
            epoch: self.epoch,
            work,
        }
    }
}

impl FileToFetch {
    fn into_ref(self) -> ContentRef {
        ContentRef {
            content: self.content,
            size_bytes: self.size_bytes,
            // The node that is asked finds them.
            holders: Vec::new(),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Uploaded {
    /// The handle to complete with.
    pub(super) file: String,
    pub(super) content: ContentId,
    pub(super) size_bytes: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Completion {
    pub(super) epoch: Epoch,
    #[serde(flatten)]
    pub(super) end: End,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) log: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scene_facts: Option<SceneFacts>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum End {
    Output { output: String, render_ms: u64 },
    Failure { failure: Failure },
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_read_as_the_farm_writes_them() {
        let job = JobId::new();
        let content = "05".repeat(32);
        let text = serde_json::json!({"tasks": [
            {"id": format!("{job}.3"), "job": job, "index": 3, "epoch": 2, "kind": "frame", "frame": -4,
             "scene": {"name": "a.blend", "size_bytes": 10, "content": content, "url": "/x"}},
            {"id": format!("{job}.9"), "job": job, "index": 9, "epoch": 1, "kind": "encode",
             "frames": [{"frame": 1, "name": "f", "size_bytes": 7, "content": content, "url": "/y"}],
             "fps_numerator": 30000, "fps_denominator": 1001},
        ]});
        let tasks: Tasks = serde_json::from_value(text).unwrap();
        let read: Vec<Assignment> = tasks.tasks.into_iter().map(Task::into_assignment).collect();
        let reference = |size_bytes| ContentRef {
            content: ContentId([5; 32]),
            size_bytes,
            holders: Vec::new(),
        };
        assert_eq!(read[0].task, TaskId { job, index: 3 });
        assert_eq!(
            read[0].work,
            Work::Frame {
                frame: FrameNumber(-4),
                scene: reference(10)
            }
        );
        assert_eq!(
            read[1].work,
            Work::Encode {
                frames: vec![(FrameNumber(1), reference(7))],
                fps_numerator: 30000,
                fps_denominator: 1001
            }
        );
    }

    #[test]
    fn a_lease_is_read_back_as_it_was_written() {
        let lease = (
            TaskId {
                job: JobId::new(),
                index: 12,
            },
            Epoch(3),
        );
        assert_eq!(Lease::of(lease).read(), Some(lease));
        let foreign = Lease {
            task: "something else".into(),
            epoch: Epoch(1),
        };
        assert_eq!(foreign.read(), None);
    }

    #[test]
    fn a_completion_has_an_output_or_a_failure() {
        let completion = |end| Completion {
            epoch: Epoch(2),
            end,
            log: None,
            scene_facts: None,
        };
        let output = completion(End::Output {
            output: "handle".into(),
            render_ms: 5,
        });
        assert_eq!(
            serde_json::to_value(output).unwrap(),
            serde_json::json!({"epoch": 2, "output": "handle", "render_ms": 5})
        );
        let failure = completion(End::Failure {
            failure: Failure {
                kind: jiggablend_raft::FailureKind::NoCamera,
                message: "no camera".into(),
            },
        });
        assert_eq!(
            serde_json::to_value(failure).unwrap(),
            serde_json::json!({"epoch": 2, "failure": {"kind": "no_camera", "message": "no camera"}})
        );
    }
}
