//! The commands that a farm at work writes into its log.

use std::time::Duration;

use jiggablend_raft::{
    Action, Actor, Command, ContentId, Epoch, FileId, FileKind, FrameList, JobId, JobSettings,
    NewFile, NodeId, Owner, SceneFacts, TaskId,
};

/// The node that has leases and files.
pub(crate) const NODE: NodeId = NodeId(1);

fn file(kind: FileKind, name: String, media_type: &str, size_bytes: u64) -> NewFile {
    let id = FileId::new();
    NewFile {
        content: ContentId(*blake3::hash(id.to_string().as_bytes()).as_bytes()),
        id,
        kind,
        name,
        media_type: media_type.into(),
        size_bytes,
        holders: vec![NODE],
    }
}

pub(crate) fn of_farm(action: Action) -> Command {
    Command::new(Actor::Farm, action)
}

/// A job with its scene: `frames` pending tasks.
pub(crate) fn new_job(
    owner: Owner,
    name: &str,
    frames: u32,
) -> anyhow::Result<(JobId, [Command; 3])> {
    let job = JobId::new();
    let actor = match owner {
        Owner::User(id) => Actor::User(id),
        Owner::Operator(node) => Actor::Operator(node),
    };
    let range: FrameList = format!("1-{frames}").parse()?;
    let created = Action::JobCreated {
        job,
        name: name.to_owned(),
        owner,
        settings: JobSettings {
            frames: Some(range.clone()),
            video: false,
        },
    };
    let scene_name = format!("{}.blend", name.replace(' ', "_"));
    let added = Action::SceneAdded {
        job,
        file: file(
            FileKind::Scene,
            scene_name,
            "application/x-blender",
            48_000_000,
        ),
        scene_frames: range,
    };
    let inspected = Action::SceneInspected {
        job,
        facts: SceneFacts {
            blender_version: "4.5.3".into(),
            engine: "CYCLES".into(),
            width_px: 1920,
            height_px: 1080,
            fps_numerator: 24,
            fps_denominator: 1,
        },
    };
    let commands = [created, added].map(|action| Command::new(actor, action));
    let [created, added] = commands;
    Ok((job, [created, added, of_farm(inspected)]))
}

/// First leases of these tasks.
pub(crate) fn lease(tasks: impl IntoIterator<Item = TaskId>) -> Command {
    let leases = tasks.into_iter().map(|task| (task, Epoch(1))).collect();
    of_farm(Action::TasksLeased { node: NODE, leases })
}

/// The frame of a task with its log, under its first lease.
pub(crate) fn commit(task: TaskId) -> Command {
    let frame = task.index + 1;
    let output = file(
        FileKind::Frame,
        format!("frame_{frame:04}.png"),
        "image/png",
        2_300_000,
    );
    let log = file(
        FileKind::Log,
        format!("frame_{frame:04}.log"),
        "text/plain",
        4_100,
    );
    let committed = Action::TaskCommitted {
        task,
        epoch: Epoch(1),
        output,
        log: Some(log),
        render_ms: Duration::from_secs(2).as_millis() as u64 + u64::from(task.index % 700),
    };
    Command::new(Actor::Node(NODE), committed)
}
