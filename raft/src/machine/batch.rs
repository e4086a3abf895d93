//! What the projection takes from the machine in one go: the rows that are out of date, with
//! their values at one applied index.

use std::collections::{BTreeMap, BTreeSet};

use super::Point;
use crate::consensus::{LogId, StoredMembership};
use crate::state::{RecordKey, Row};
use crate::{
    ApiToken, Attempt, AuditEntry, DeliveryId, Farm, File, FileId, Job, JobId, Node, NodeId,
    SecretHash, Session, State, Task, Ticket, TokenId, User, UserId,
};

/// Which rows the projection does not have yet.
#[derive(Debug)]
pub(super) enum Pending {
    /// Each once, however often it changed.
    Rows(BTreeSet<Row>),
    Everything,
}

impl Default for Pending {
    fn default() -> Self {
        Self::Rows(BTreeSet::new())
    }
}

impl Pending {
    pub(super) fn add(&mut self, rows: Vec<Row>) {
        if let Self::Rows(pending) = self {
            pending.extend(rows);
        }
    }
}

/// Rows and the log position that they are from.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) applied: Option<LogId>,
    pub(crate) membership: StoredMembership,
    pub(crate) farm: Option<Farm>,
    pub(crate) next_node: NodeId,
    pub(crate) last_delivery: DeliveryId,
    pub(crate) audit_next: u64,
    /// The rows are all there are: what the projection had before must go.
    pub(crate) replaces_everything: bool,
    pub(crate) rows: Rows,
}

/// Rows by table. Where a value is `None`, the row is no more.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) nodes: Vec<(NodeId, Option<Node>)>,
    pub(crate) tickets: Vec<(SecretHash, Option<Ticket>)>,
    pub(crate) users: Vec<(UserId, Option<User>)>,
    pub(crate) sessions: Vec<(SecretHash, Option<Session>)>,
    pub(crate) tokens: Vec<(TokenId, Option<ApiToken>)>,
    /// An entry never changes.
    pub(crate) audit: Vec<AuditEntry>,
    /// The numbers of those that are no more.
    pub(crate) audit_dropped: Vec<u64>,
    /// With their bodies.
    pub(crate) records: Vec<(RecordKey, Option<String>)>,
    /// Sorted by job, so that a job's rows stay together.
    pub(crate) jobs: Vec<JobRow>,
    pub(crate) tasks: Vec<(JobId, u32, Task)>,
    pub(crate) attempts: Vec<(JobId, u32, Attempt)>,
    pub(crate) files: Vec<(JobId, u32, File)>,
}

/// A job without its tasks, attempts and files, which are rows of their own.
#[derive(Debug)]
pub(crate) struct JobRow(pub(crate) Job);

impl JobRow {
    fn of(job: &Job) -> Self {
        Self(Job {
            name: job.name.clone(),
            settings: job.settings.clone(),
            shares: job.shares.clone(),
            scene_facts: job.scene_facts.clone(),
            failure: job.failure.clone(),
            tasks: Vec::new(),
            attempts: Vec::new(),
            files: Vec::new(),
            ..*job
        })
    }
}

impl Batch {
    pub(super) fn of(point: &Point, pending: Pending) -> Self {
        let state = &point.state;
        let (replaces_everything, rows) = match pending {
            Pending::Rows(rows) => (false, rows_of(state, &rows)),
            Pending::Everything => (true, all_rows(state)),
        };
        Self {
            applied: point.applied,
            membership: point.membership.clone(),
            farm: state.farm.clone(),
            next_node: state.next_node,
            last_delivery: state.last_delivery,
            audit_next: state.audit_next,
            replaces_everything,
            rows,
        }
    }

    pub(crate) fn index(&self) -> u64 {
        self.applied.map_or(0, |log_id| log_id.index)
    }
}

fn rows_of(state: &State, pending: &BTreeSet<Row>) -> Rows {
    let mut rows = Rows::default();
    let mut files: BTreeMap<JobId, BTreeSet<FileId>> = BTreeMap::new();
    for row in pending {
        match *row {
            // Written with every batch.
            Row::Farm => {}
            Row::Node(id) => rows.nodes.push((id, state.nodes.get(&id).cloned())),
            Row::Ticket(id) => rows.tickets.push((id, state.tickets.get(&id).cloned())),
            Row::User(id) => rows.users.push((id, state.users.get(&id).cloned())),
            Row::Session(id) => rows.sessions.push((id, state.sessions.get(&id).cloned())),
            Row::Token(id) => rows.tokens.push((id, state.tokens.get(&id).cloned())),
            Row::Audit(number) => match state.audit.get(&number) {
                Some(entry) => rows.audit.push(entry.clone()),
                None => rows.audit_dropped.push(number),
            },
            Row::Record(key) => rows.records.push((key, state.record(key))),
            Row::Job(id) => rows.jobs.extend(state.jobs.get(&id).map(JobRow::of)),
            Row::Task(id) => {
                let task = state.task(id).cloned();
                rows.tasks.extend(task.map(|task| (id.job, id.index, task)));
            }
            Row::Attempt(id, position) => {
                let job = state.jobs.get(&id);
                let attempt = job
                    .and_then(|job| job.attempts.get(position as usize))
                    .cloned();
                rows.attempts
                    .extend(attempt.map(|attempt| (id, position, attempt)));
            }
            Row::File(job, file) => {
                files.entry(job).or_default().insert(file);
            }
        }
    }
    for (job, wanted) in files {
        add_files(state, job, wanted, &mut rows.files);
    }
    rows
}

/// Finds the files' places in the job's list, from its end, where the new ones are.
fn add_files(
    state: &State,
    job: JobId,
    mut wanted: BTreeSet<FileId>,
    rows: &mut Vec<(JobId, u32, File)>,
) {
    let Some(listed) = state.jobs.get(&job).map(|job| &job.files) else {
        return;
    };
    let first_row = rows.len();
    for (position, id) in listed.iter().enumerate().rev() {
        if wanted.is_empty() {
            break;
        }
        if wanted.remove(id) {
            let file = state.files.get(id).cloned();
            rows.extend(file.map(|file| (job, position as u32, file)));
        }
    }
    rows[first_row..].reverse();
}

fn all_rows(state: &State) -> Rows {
    fn entries<K: Copy, V: Clone>(map: &BTreeMap<K, V>) -> Vec<(K, Option<V>)> {
        map.iter()
            .map(|(key, value)| (*key, Some(value.clone())))
            .collect()
    }
    let mut rows = Rows {
        nodes: entries(&state.nodes),
        tickets: entries(&state.tickets),
        users: entries(&state.users),
        sessions: entries(&state.sessions),
        tokens: entries(&state.tokens),
        audit: state.audit.values().cloned().collect(),
        records: state
            .record_keys()
            .into_iter()
            .map(|key| (key, state.record(key)))
            .collect(),
        ..Rows::default()
    };
    for (id, job) in &state.jobs {
        rows.jobs.push(JobRow::of(job));
        let tasks = (0..).zip(&job.tasks);
        rows.tasks
            .extend(tasks.map(|(index, task)| (*id, index, task.clone())));
        let attempts = (0..).zip(&job.attempts);
        rows.attempts
            .extend(attempts.map(|(position, attempt)| (*id, position, attempt.clone())));
        for (position, file) in (0..).zip(&job.files) {
            let file = state.files.get(file).cloned();
            rows.files.extend(file.map(|file| (*id, position, file)));
        }
    }
    rows
}
