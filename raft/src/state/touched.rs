//! What one command changed: events for those who watch, rows for the projection.

use super::RecordKey;
use super::index::JobNote;
use crate::{
    Change, DeliveryId, Epoch, FileId, JobId, NodeId, SecretHash, TaskId, TokenId, UserId,
    WebhookEvent,
};

/// A row of the projection whose values are out of date, named by its key in the state.
///
/// The order puts a job before its tasks, attempts and files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Row {
    /// The farm's name.
    Farm,
    Node(NodeId),
    Ticket(SecretHash),
    User(UserId),
    Session(SecretHash),
    Token(TokenId),
    /// By its number.
    Audit(u64),
    Record(RecordKey),
    Job(JobId),
    Task(TaskId),
    /// By its place in the job's attempts.
    Attempt(JobId, u32),
    /// By its place in the job's files; its replicas go with it.
    File(JobId, FileId),
}

/// Collects what a command changes while it is applied.
///
/// The farm itself and the counters (next node, newest delivery, next audit entry) are written with every batch and need no row here.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    pub(crate) changes: Vec<Change>,
    pub(crate) rows: Vec<Row>,
    /// For the index, when the command is through.
    pub(super) job_notes: Vec<JobNote>,
    /// For webhooks, when the command is through.
    pub(super) happened: Vec<Happening>,
}

/// Something that webhooks may want to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Happening {
    pub(super) event: WebhookEvent,
    pub(super) job: Option<JobId>,
    pub(super) node: Option<NodeId>,
}

impl Touched {
    pub(super) fn farm(&mut self) {
        self.rows.push(Row::Farm);
    }

    pub(super) fn node(&mut self, node: NodeId) {
        self.changes.push(Change::Node(node));
        self.rows.push(Row::Node(node));
    }

    pub(super) fn ticket(&mut self, ticket: SecretHash) {
        self.rows.push(Row::Ticket(ticket));
    }

    pub(super) fn user(&mut self, user: UserId) {
        self.rows.push(Row::User(user));
    }

    pub(super) fn session(&mut self, session: SecretHash) {
        self.rows.push(Row::Session(session));
    }

    pub(super) fn token(&mut self, token: TokenId) {
        self.rows.push(Row::Token(token));
    }

    pub(super) fn audit(&mut self, number: u64) {
        self.rows.push(Row::Audit(number));
    }

    pub(super) fn record(&mut self, key: RecordKey) {
        self.rows.push(Row::Record(key));
    }

    pub(super) fn delivery(&mut self, delivery: DeliveryId) {
        self.changes.push(Change::Delivery(delivery));
        self.record(RecordKey::Delivery(delivery));
    }

    pub(super) fn job(&mut self, job: JobId) {
        self.changes.push(Change::Job(job));
        self.rows.push(Row::Job(job));
    }

    pub(super) fn unshared(&mut self, job: JobId, user: UserId) {
        self.job(job);
        self.changes.push(Change::Unshared(job, user));
    }

    pub(super) fn task(&mut self, task: TaskId) {
        self.changes.push(Change::Task(task));
        self.rows.push(Row::Task(task));
    }

    pub(super) fn attempt(&mut self, job: JobId, position: usize) {
        self.rows.push(Row::Attempt(job, position as u32));
    }

    pub(super) fn file(&mut self, job: JobId, file: FileId) {
        self.changes.push(Change::File(job, file));
        self.rows.push(Row::File(job, file));
    }

    pub(super) fn note(&mut self, note: JobNote) {
        self.job_notes.push(note);
    }

    pub(super) fn job_event(&mut self, event: WebhookEvent, job: JobId) {
        self.happened.push(Happening {
            event,
            job: Some(job),
            node: None,
        });
    }

    pub(super) fn node_event(&mut self, event: WebhookEvent, node: NodeId) {
        self.happened.push(Happening {
            event,
            job: None,
            node: Some(node),
        });
    }

    pub(super) fn revoked(&mut self, task: TaskId, epoch: Epoch, node: NodeId) {
        self.changes.push(Change::Revoked(task, epoch, node));
    }
}
