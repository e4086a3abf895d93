//! Which of a job's tasks is meant.

use jiggablend_raft::JobId;

use super::{id, path_of};
use crate::cli::CliError;
use crate::cli::api_types::{Job, Task, TaskKind, TaskState};
use crate::cli::args::TaskName;
use crate::cli::client::Client;

/// The task that was named, or else the one that has most to tell.
pub async fn find(job: JobId, name: TaskName, client: &Client) -> Result<Task, CliError> {
    let whole: Job = client.get(&path_of(job)).await?;
    chosen(&whole.tasks, name)
        .cloned()
        .ok_or_else(|| CliError::Refused(nothing_there(job, name)))
}

fn chosen(tasks: &[Task], name: TaskName) -> Option<&Task> {
    if let Some(frame) = name.frame {
        return tasks
            .iter()
            .find(|task| task.frame.is_some_and(|known| known.0 == frame));
    }
    if name.video {
        return tasks.iter().find(|task| task.kind == TaskKind::Encode);
    }
    // What failed, what runs, what was done last.
    let first = |state| tasks.iter().find(|task: &&Task| task.state == state);
    first(TaskState::Failed)
        .or_else(|| first(TaskState::Leased))
        .or_else(|| {
            tasks
                .iter()
                .rev()
                .find(|task| task.state == TaskState::Done)
        })
}

fn nothing_there(job: JobId, name: TaskName) -> String {
    let job = id::short(job);
    match (name.frame, name.video) {
        (Some(frame), _) => format!(
            "job {job} has no frame {frame}; `jiggablend job show {job}` says which frames it has"
        ),
        (None, true) => format!("job {job} makes no video"),
        (None, false) => format!(
            "nothing of job {job} has been begun; follow it with `jiggablend job watch {job}`"
        ),
    }
}

/// What the task makes.
pub fn words(task: &Task) -> String {
    match task.frame {
        Some(frame) => format!("frame {frame}"),
        None => "the video".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use jiggablend_raft::{Epoch, FrameNumber};

    use super::*;

    const ANY: TaskName = TaskName {
        frame: None,
        video: false,
    };

    fn task(index: u32, frame: Option<i32>, state: TaskState) -> Task {
        Task {
            index,
            kind: match frame {
                Some(_) => TaskKind::Frame,
                None => TaskKind::Encode,
            },
            frame: frame.map(FrameNumber),
            state,
            node: None,
            epoch: Epoch(1),
            failed_attempts: 0,
            render_ms: None,
            failure: None,
        }
    }

    #[test]
    fn a_frame_is_found_by_its_number_and_the_video_by_its_word() {
        let tasks = [
            task(0, Some(-3), TaskState::Done),
            task(1, Some(7), TaskState::Pending),
            task(2, None, TaskState::Waiting),
        ];
        let found = |name| chosen(&tasks, name).map(|task| task.index);
        let frame = |frame| TaskName {
            frame: Some(frame),
            video: false,
        };
        assert_eq!(found(frame(-3)), Some(0));
        assert_eq!(found(frame(7)), Some(1));
        assert_eq!(found(frame(8)), None);
        let video = TaskName {
            frame: None,
            video: true,
        };
        assert_eq!(found(video), Some(2));
    }

    #[test]
    fn unnamed_it_is_what_failed_then_what_runs_then_what_was_done_last() {
        let mut tasks = vec![
            task(0, Some(1), TaskState::Done),
            task(1, Some(2), TaskState::Done),
            task(2, Some(3), TaskState::Pending),
        ];
        assert_eq!(chosen(&tasks, ANY).map(|task| task.index), Some(1));
        tasks.push(task(3, Some(4), TaskState::Leased));
        assert_eq!(chosen(&tasks, ANY).map(|task| task.index), Some(3));
        tasks.push(task(4, Some(5), TaskState::Failed));
        assert_eq!(chosen(&tasks, ANY).map(|task| task.index), Some(4));
        assert_eq!(chosen(&tasks[2..3], ANY), None);
    }
}
