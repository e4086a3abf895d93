//! The state's rules, one by one, and stories that try to break them.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::testing::*;
use crate::*;

mod doors;
mod jobs;
mod members;
mod people;
mod sharing;
mod stories;
mod webhooks;

/// A state and a clock; what it is told must not break an invariant.
struct Farm {
    state: State,
    at: u64,
    changes: Vec<Change>,
}

impl Farm {
    fn new() -> Self {
        let mut farm = Self {
            state: State::default(),
            at: 1_000,
            changes: Vec::new(),
        };
        farm.tell_command(&farm_created()).unwrap();
        farm
    }

    /// A farm with a job of these frames and two nodes.
    fn with_job(frames: &str, video: bool) -> Self {
        let mut farm = Self::new();
        farm.join(2);
        farm.tell(job_created(1, video)).unwrap();
        farm.tell(scene_added(1, frames)).unwrap();
        farm
    }

    fn tell_command(&mut self, command: &Command) -> Result<Effect, Refusal> {
        self.changes.clear();
        let before = self.state.clone();
        let result = self.state.apply(command, &mut self.changes);
        check_invariants(&self.state);
        if result.is_err() {
            assert_eq!(self.state, before, "a refused command changes nothing");
            assert!(self.changes.is_empty(), "and tells of nothing");
        }
        result
    }

    fn tell(&mut self, action: Action) -> Result<Effect, Refusal> {
        self.at += 1;
        self.tell_command(&command(self.at, action))
    }

    fn ticket(&mut self, name: &str, reusable: bool) -> SecretHash {
        let ticket = SecretHash::of(name.as_bytes());
        self.tell(Action::TicketCreated {
            ticket,
            roles: new_node(1).roles,
            expires_at: TimestampMs(self.at + 1_000),
            reusable,
        })
        .unwrap();
        ticket
    }

    fn admit(&mut self, ticket: SecretHash, number: u64) -> Result<Effect, Refusal> {
        let node = new_node(number);
        self.tell(Action::NodeAdmitted { ticket, node })
    }

    fn join(&mut self, number: u64) -> NodeId {
        let ticket = self.ticket(&format!("ticket for {number}"), false);
        match self.admit(ticket, number).unwrap() {
            Effect::Admitted(id) => id,
            other => panic!("not admitted: {other:?}"),
        }
    }

    fn lease(&mut self, index: u32, epoch: u32, node: u64) -> Result<Effect, Refusal> {
        self.tell(Action::TasksLeased {
            node: NodeId(node),
            leases: vec![(task_id(1, index), Epoch(epoch))],
        })
    }

    fn commit(&mut self, index: u32, epoch: u32, file: u128) -> Result<Effect, Refusal> {
        let kind = match self.task(index).kind {
            TaskKind::Frame(_) => FileKind::Frame,
            TaskKind::Encode => FileKind::Video,
        };
        self.tell(Action::TaskCommitted {
            task: task_id(1, index),
            epoch: Epoch(epoch),
            output: new_file(file, kind, &[1, 2]),
            log: None,
            render_ms: 10,
        })
    }

    fn fail(&mut self, index: u32, epoch: u32, kind: FailureKind) -> Result<Effect, Refusal> {
        self.tell(Action::TaskFailed {
            task: task_id(1, index),
            epoch: Epoch(epoch),
            failure: Failure {
                kind,
                message: format!("blender left at epoch {epoch}"),
            },
            log: None,
        })
    }

    fn job(&self) -> &Job {
        &self.state.jobs[&job_id(1)]
    }

    fn task(&self, index: u32) -> &Task {
        &self.job().tasks[index as usize]
    }

    fn user(&mut self, number: u128, role: UserRole) {
        self.tell(Action::UserCreated {
            user: user_id(number),
            name: format!("user {number}"),
            email: Some(format!("{number}@example.org")),
            password_hash: Some("argon2id".into()),
            identity: None,
            role,
        })
        .unwrap();
    }

    fn change(&mut self, user: u128, change: UserChange) -> Result<Effect, Refusal> {
        let user = user_id(user);
        self.tell(Action::UserChanged { user, change })
    }

    fn registration(&mut self, registration: Registration) {
        let settings = Settings {
            registration,
            ..self.state.settings.clone()
        };
        self.tell(Action::SettingsChanged { settings }).unwrap();
    }

    fn register(
        &mut self,
        user: u128,
        email: &str,
        invitation: Option<SecretHash>,
    ) -> Result<Effect, Refusal> {
        self.tell(Action::UserRegistered {
            user: user_id(user),
            name: "somebody".into(),
            email: Some(email.into()),
            credential: NewCredential::Password("argon2id".into()),
            invitation,
        })
    }

    fn register_external(
        &mut self,
        user: u128,
        email: &str,
        provider: &str,
        subject: &str,
    ) -> Result<Effect, Refusal> {
        self.tell(Action::UserRegistered {
            user: user_id(user),
            name: "somebody".into(),
            email: Some(email.into()),
            credential: NewCredential::External(identity(provider, subject)),
            invitation: None,
        })
    }

    fn invite(
        &mut self,
        name: &str,
        role: UserRole,
        email: Option<&str>,
        reusable: bool,
    ) -> SecretHash {
        let hash = SecretHash::of(name.as_bytes());
        self.tell(Action::InvitationCreated {
            invitation: InvitationId::new(),
            hash,
            role,
            email: email.map(str::to_owned),
            expires_at: TimestampMs(self.at + 1_000),
            reusable,
        })
        .unwrap();
        hash
    }

    fn session(&mut self, user: u128, name: &str) -> Result<SecretHash, Refusal> {
        let session = SecretHash::of(name.as_bytes());
        self.tell(Action::SessionCreated {
            session,
            user: user_id(user),
            expires_at: TimestampMs(self.at + 10_000),
            agent: name.into(),
        })?;
        Ok(session)
    }

    fn token(&mut self, user: u128, name: &str) -> SecretHash {
        let hash = SecretHash::of(name.as_bytes());
        self.tell(Action::TokenCreated {
            token: TokenId::new(),
            hash,
            user: user_id(user),
            name: name.into(),
            scopes: [Scope::Read].into(),
            expires_at: Some(TimestampMs(self.at + 10_000)),
        })
        .unwrap();
        hash
    }

    fn job_of(&mut self, job: u128, user: u128) -> Result<Effect, Refusal> {
        let mut created = job_created(job, false);
        if let Action::JobCreated { owner, .. } = &mut created {
            *owner = Owner::User(user_id(user));
        }
        self.tell(created)
    }

    fn share(&mut self, job: u128, user: u128, access: ShareAccess) -> Result<Effect, Refusal> {
        self.tell(Action::JobShared {
            job: job_id(job),
            user: user_id(user),
            access,
        })
    }

    fn hook(&mut self, number: u128, owner: Owner, all_jobs: bool) {
        self.hook_with(number, owner, |hook| hook.all_jobs = all_jobs);
    }

    fn hook_with(&mut self, number: u128, owner: Owner, change: impl FnOnce(&mut Webhook)) {
        let mut webhook = hook_of(number, owner, false);
        change(&mut webhook);
        self.tell(Action::WebhookSaved { webhook }).unwrap();
    }
}

fn user_id(number: u128) -> UserId {
    UserId(uuid::Uuid::from_u128(number))
}

fn hook_id(number: u128) -> WebhookId {
    WebhookId(uuid::Uuid::from_u128(number))
}

fn identity(provider: &str, subject: &str) -> Identity {
    Identity {
        provider: provider.into(),
        subject: subject.into(),
    }
}

/// A webhook that wants to know of everything.
fn hook_of(number: u128, owner: Owner, all_jobs: bool) -> Webhook {
    Webhook {
        id: hook_id(number),
        owner,
        name: "a bell".into(),
        url: "https://bells.example.org".into(),
        shape: WebhookShape::Json,
        events: [
            WebhookEvent::JobStarted,
            WebhookEvent::JobDone,
            WebhookEvent::JobFailed,
            WebhookEvent::JobCancelled,
            WebhookEvent::NodeJoined,
            WebhookEvent::NodeRemoved,
        ]
        .into(),
        all_jobs,
        secret: "key".into(),
        enabled: true,
        created_at: TimestampMs(0),
        failures: 0,
    }
}
