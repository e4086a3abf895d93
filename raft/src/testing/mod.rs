//! What tests share: a farm in a few words, and stories of random commands.
#![allow(clippy::unwrap_used)]

mod people;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

use crate::*;

pub(crate) const FARM_KEY: [u8; 32] = [7; 32];

pub(crate) fn command(at: u64, action: Action) -> Command {
    Command {
        at: TimestampMs(at),
        actor: Actor::Farm,
        from: None,
        action,
    }
}

pub(crate) fn new_node(number: u64) -> NewNode {
    NewNode {
        name: format!("node-{}", number % 3),
        peer_id: format!("peer-{number}"),
        addresses: vec![format!("/ip4/127.0.0.1/tcp/{}", 4000 + number)],
        roles: Roles {
            voter: true,
            runner: true,
        },
    }
}

pub(crate) fn farm_created() -> Command {
    let action = Action::FarmCreated {
        farm: FarmId::of_public_key(&FARM_KEY),
        name: "test farm".into(),
        public_key: FARM_KEY,
        secret_key: [8; 32],
        first_node: new_node(1),
    };
    command(1, action)
}

pub(crate) fn new_file(id: u128, kind: FileKind, holders: &[u64]) -> NewFile {
    NewFile {
        id: FileId(Uuid::from_u128(id)),
        kind,
        name: format!("{id}.bin"),
        media_type: "application/octet-stream".into(),
        content: ContentId([id as u8; 32]),
        size_bytes: id as u64,
        holders: holders.iter().copied().map(NodeId).collect(),
    }
}

pub(crate) fn job_id(id: u128) -> JobId {
    JobId(Uuid::from_u128(id))
}

pub(crate) fn task_id(job: u128, index: u32) -> TaskId {
    TaskId {
        job: job_id(job),
        index,
    }
}

pub(crate) fn job_created(job: u128, video: bool) -> Action {
    Action::JobCreated {
        job: job_id(job),
        name: format!("job {job}"),
        owner: Owner::Operator(NodeId(1)),
        settings: JobSettings {
            frames: None,
            video,
        },
    }
}

pub(crate) fn scene_added(job: u128, frames: &str) -> Action {
    Action::SceneAdded {
        job: job_id(job),
        file: new_file(job << 32, FileKind::Scene, &[1]),
        scene_frames: frames.parse().unwrap(),
    }
}

/// Random commands that make sense more often than not, told to a state as it grows.
///
/// The same seed tells the same story.
pub(crate) struct Story {
    random: StdRng,
    at: u64,
    next_id: u128,
}

impl Story {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            at: 1_000,
            next_id: u128::from(seed) << 64,
        }
    }

    fn id(&mut self) -> u128 {
        self.next_id += 1;
        self.next_id
    }

    fn chance(&mut self, of_100: u32) -> bool {
        self.random.random_range(0..100) < of_100
    }

    fn hash(&mut self) -> SecretHash {
        let id = self.id();
        SecretHash::of(&id.to_be_bytes())
    }

    fn any<T: Copy>(&mut self, of: impl Iterator<Item = T>) -> Option<T> {
        let all: Vec<T> = of.collect();
        all.choose(&mut self.random).copied()
    }

    fn node(&mut self, state: &State) -> NodeId {
        self.any(state.nodes.keys().copied()).unwrap_or(NodeId(1))
    }

    fn file(&mut self, state: &State, kind: FileKind) -> NewFile {
        let id = self.id();
        let holder = self.node(state).0;
        new_file(id, kind, &[1, holder])
    }

    fn task(&mut self, state: &State, wanted: impl Fn(&Task) -> bool) -> Option<(TaskId, Epoch)> {
        let all = state.jobs.values().flat_map(|job| {
            let id = job.id;
            (0..)
                .zip(&job.tasks)
                .map(move |(index, task)| (TaskId { job: id, index }, task))
        });
        let matching: Vec<_> = all
            .filter(|(_, task)| wanted(task))
            .map(|(id, task)| (id, task.epoch))
            .collect();
        matching.choose(&mut self.random).copied()
    }

    fn leased(&mut self, state: &State) -> Option<(TaskId, Epoch)> {
        // Now and then a lease that is over, or never was.
        if self.chance(10) {
            let (task, epoch) = self.task(state, |_| true)?;
            return Some((
                task,
                Epoch(epoch.0.saturating_sub(self.random.random_range(0..2))),
            ));
        }
        self.task(state, |task| matches!(task.state, TaskState::Leased { .. }))
    }

    fn ticket(&mut self, state: &State) -> SecretHash {
        let known = self.any(state.tickets.keys().copied());
        match known {
            Some(ticket) if !self.chance(10) => ticket,
            _ => self.hash(),
        }
    }

    fn job(&mut self, state: &State, wanted: impl Fn(&Job) -> bool) -> Option<JobId> {
        self.any(
            state
                .jobs
                .values()
                .filter(|job| wanted(job))
                .map(|job| job.id),
        )
    }

    /// The story's next command.
    pub(crate) fn next(&mut self, state: &State) -> Command {
        if state.farm.is_none() {
            return farm_created();
        }
        self.at += self.random.random_range(0..50);
        loop {
            let draw = self.random.random_range(0..125);
            if let Some(action) = self.action(state, draw) {
                return command(self.at, action);
            }
        }
    }

    fn action(&mut self, state: &State, draw: u32) -> Option<Action> {
        Some(match draw {
            0..25 => self.lease(state)?,
            25..47 => self.commit(state)?,
            47..60 => self.fail(state)?,
            60..66 => Action::LeasesEnded {
                leases: vec![self.leased(state)?, self.leased(state)?],
                reason: LeaseEnd::NotRunning,
            },
            66..72 => {
                let job = self.id();
                let mut created = job_created(job, self.chance(50));
                if let Action::JobCreated { owner, .. } = &mut created
                    && let Some(user) = self.any(state.users.keys().copied())
                {
                    *owner = Owner::User(user);
                }
                created
            }
            72..80 => self.scene(state)?,
            80..83 => self.people(state),
            83..91 => self.membership(state),
            91..93 if self.chance(30) => Action::JobCancelled {
                job: self.job(state, |_| true)?,
            },
            93..98 => self.replica(state)?,
            98 => self.inspection(state)?,
            99 => Action::ExpiredRemoved,
            100..106 => self.account(state)?,
            106..111 => self.door(state)?,
            111..116 => self.sign_in(state),
            116..119 => self.sharing(state)?,
            119..124 => self.webhook(state)?,
            _ => self.farm(),
        })
    }

    fn lease(&mut self, state: &State) -> Option<Action> {
        let node = self.node(state);
        let mut leases = Vec::new();
        for _ in 0..self.random.random_range(1..5) {
            let (task, epoch) = self.task(state, |task| task.state == TaskState::Pending)?;
            let skips_one = self.chance(5);
            leases.push((
                task,
                if skips_one {
                    epoch.next().next()
                } else {
                    epoch.next()
                },
            ));
        }
        Some(Action::TasksLeased { node, leases })
    }

    fn log(&mut self, state: &State) -> Option<NewFile> {
        self.chance(50).then(|| self.file(state, FileKind::Log))
    }

    fn commit(&mut self, state: &State) -> Option<Action> {
        let (task, epoch) = self.leased(state)?;
        let kind = match state.task(task)?.kind {
            TaskKind::Frame(_) => FileKind::Frame,
            TaskKind::Encode => FileKind::Video,
        };
        Some(Action::TaskCommitted {
            task,
            epoch,
            output: self.file(state, kind),
            log: self.log(state),
            render_ms: self.random.random_range(1..10_000),
        })
    }

    fn fail(&mut self, state: &State) -> Option<Action> {
        let (task, epoch) = self.leased(state)?;
        let kind = match self.random.random_range(0..20) {
            0 => FailureKind::SceneUnreadable,
            1..10 => FailureKind::Crashed,
            _ => FailureKind::RenderError,
        };
        Some(Action::TaskFailed {
            task,
            epoch,
            failure: Failure {
                kind,
                message: format!("it went wrong at {}", self.at),
            },
            log: self.log(state),
        })
    }

    fn scene(&mut self, state: &State) -> Option<Action> {
        let job = self.job(state, |job| job.state == JobState::AwaitingScene)?;
        let last = self.random.random_range(1..8);
        Some(Action::SceneAdded {
            job,
            file: self.file(state, FileKind::Scene),
            scene_frames: FrameList::range(1, last).unwrap(),
        })
    }

    fn membership(&mut self, state: &State) -> Action {
        match self.random.random_range(0..10) {
            0..4 => Action::TicketCreated {
                ticket: self.hash(),
                roles: new_node(1).roles,
                expires_at: TimestampMs(self.at + self.random.random_range(0..1_000)),
                reusable: self.chance(30),
            },
            4..7 => {
                let ticket = self.ticket(state);
                let number = self.random.random_range(1..12);
                Action::NodeAdmitted {
                    ticket,
                    node: new_node(number),
                }
            }
            7 if self.chance(30) => Action::TicketRevoked {
                ticket: self.ticket(state),
            },
            8 if self.chance(40) && state.members().count() > 2 => Action::NodeRemoved {
                node: NodeId(self.node(state).0.max(2)),
            },
            _ => Action::NodeAnnounced {
                node: self.node(state),
                addresses: vec![format!(
                    "/ip4/10.0.0.{}/tcp/4000",
                    self.random.random_range(1..9)
                )],
                web_address: self.chance(50).then(|| "http://127.0.0.1:8080".into()),
                version: "0.1.0".into(),
                runner: RunnerFacts {
                    slots: self.random.random_range(1..4),
                    blender_version: Some("3.4.1".into()),
                    ..RunnerFacts::default()
                },
                operator_token: self.hash(),
            },
        }
    }

    fn replica(&mut self, state: &State) -> Option<Action> {
        let file = self.any(state.files.keys().copied())?;
        let node = self.node(state);
        Some(match self.chance(60) {
            true => Action::ReplicaAdded { file, node },
            false => Action::ReplicaLost { file, node },
        })
    }

    fn inspection(&mut self, state: &State) -> Option<Action> {
        Some(Action::SceneInspected {
            job: self.job(state, |job| job.scene.is_some())?,
            facts: SceneFacts {
                blender_version: "3.4.1".into(),
                engine: "CYCLES".into(),
                width_px: 1920,
                height_px: 1080,
                fps_numerator: 24,
                fps_denominator: 1,
            },
        })
    }
}
