//! States for tests of the leader's decisions, made by the job log's own `apply`.

use jiggablend_raft::*;

pub(crate) fn apply(state: &mut State, at: u64, action: Action) -> Result<Effect, Refusal> {
    let command = Command {
        at: TimestampMs(at),
        actor: Actor::Farm,
        from: None,
        action,
    };
    state.apply(&command, &mut Vec::new())
}

fn new_node(number: u64) -> NewNode {
    NewNode {
        name: format!("node-{number}"),
        peer_id: format!("peer-{number}"),
        addresses: Vec::new(),
        roles: Roles {
            voter: true,
            runner: true,
        },
    }
}

pub(crate) fn state_with_nodes(count: u64) -> State {
    let mut state = State::default();
    let created = Action::FarmCreated {
        farm: FarmId::of_public_key(&[1; 32]),
        name: "farm".into(),
        public_key: [1; 32],
        secret_key: [2; 32],
        first_node: new_node(1),
    };
    apply(&mut state, 1, created).expect("a new farm");
    for number in 2..=count {
        let ticket = SecretHash([number as u8; 32]);
        let made = Action::TicketCreated {
            ticket,
            roles: new_node(number).roles,
            expires_at: TimestampMs(1_000),
            reusable: false,
        };
        apply(&mut state, 2, made).expect("a ticket");
        let admitted = Action::NodeAdmitted {
            ticket,
            node: new_node(number),
        };
        apply(&mut state, 3, admitted).expect("a node");
    }
    state
}

fn file(kind: FileKind, node: u64) -> NewFile {
    NewFile {
        id: FileId::new(),
        kind,
        name: "file".into(),
        media_type: "application/octet-stream".into(),
        content: ContentId([9; 32]),
        size_bytes: 10,
        holders: vec![NodeId(node)],
    }
}

/// A user who may have so many tasks leased at once.
pub(crate) fn add_user(state: &mut State, name: &str, in_flight: Option<u32>) -> UserId {
    let user = UserId::new();
    let created = Action::UserCreated {
        user,
        name: name.into(),
        email: Some(format!("{name}@example.org")),
        password_hash: Some("argon2id".into()),
        identity: None,
        role: UserRole::Member,
    };
    apply(state, 5, created).expect("a user");
    let quota = Quota {
        frames_in_flight: in_flight,
        ..Quota::default()
    };
    let change = UserChange::Quota(Some(quota));
    apply(state, 6, Action::UserChanged { user, change }).expect("a quota");
    user
}

pub(crate) fn add_job(state: &mut State, at: u64, frames: &str) -> JobId {
    add_job_of(state, Owner::Operator(NodeId(1)), at, frames)
}

pub(crate) fn add_job_of(state: &mut State, owner: Owner, at: u64, frames: &str) -> JobId {
    let job = JobId::new();
    let created = Action::JobCreated {
        job,
        name: "job".into(),
        owner,
        settings: JobSettings {
            frames: Some(frames.parse().expect("frames")),
            video: true,
        },
    };
    apply(state, at, created).expect("a job");
    let scene = Action::SceneAdded {
        job,
        file: file(FileKind::Scene, 1),
        scene_frames: frames.parse().expect("frames"),
    };
    apply(state, at, scene).expect("a scene");
    job
}

pub(crate) fn commit(state: &mut State, task: TaskId, epoch: Epoch) {
    let committed = Action::TaskCommitted {
        task,
        epoch,
        output: file(FileKind::Frame, 1),
        log: None,
        render_ms: 5,
    };
    apply(state, 50, committed).expect("a commit");
}

pub(crate) fn fail(state: &mut State, task: TaskId, epoch: Epoch) {
    let failed = Action::TaskFailed {
        task,
        epoch,
        failure: Failure {
            kind: FailureKind::Crashed,
            message: "it crashed".into(),
        },
        log: None,
    };
    apply(state, 50, failed).expect("a failure");
}
