//! What follows from the state and is kept with every change, so that no request and no decision
//! has to go through everything.
//!
//! An index is a function of the state: [`Index::of`] says which. It is in no snapshot and in no
//! table; [`State::rebuild_index`] makes it anew after loading.

mod deliveries;
mod groups;
mod jobs;
mod nodes;
mod people;
mod sign_ins;

pub(super) use deliveries::DeliveryIndex;
pub(super) use jobs::JobIndex;
pub(super) use nodes::NodeIndex;
pub(super) use people::PeopleIndex;
pub(super) use sign_ins::SignInIndex;

pub(super) use jobs::JobNote;
pub use jobs::JobOrder;

use super::State;
use crate::Actor;
use groups::Groups;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Index {
    pub(super) nodes: NodeIndex,
    pub(super) people: PeopleIndex,
    pub(super) sign_ins: SignInIndex,
    pub(super) jobs: JobIndex,
    pub(super) deliveries: DeliveryIndex,
    /// The numbers of everyone's entries in the audit log.
    pub(super) audit: Groups<Actor, u64>,
}

impl Index {
    /// The index of that state, from scratch.
    pub(super) fn of(state: &State) -> Self {
        let mut index = Self::default();
        for node in state.nodes.values() {
            index.nodes.node(None, Some(node));
        }
        for token in state.registration_tokens.values() {
            index.nodes.registration_token(None, Some(token));
        }
        for user in state.users.values() {
            index.people.user(None, Some(user));
        }
        for session in state.sessions.values() {
            index.people.session(None, Some(session));
        }
        for token in state.tokens.values() {
            index.people.token(None, Some(token));
        }
        for invitation in state.invitations.values() {
            index.people.invitation(None, Some(invitation));
        }
        for sign_in in state.sign_ins.values() {
            index.sign_ins.sign_in(None, Some(sign_in));
        }
        for sign_in in state.device_sign_ins.values() {
            index.sign_ins.device(None, Some(sign_in));
        }
        for (key, until) in &state.blocked {
            index.sign_ins.blocked(*key, None, Some(*until));
        }
        for job in state.jobs.values() {
            index.jobs.job(job);
        }
        for file in state.files.values() {
            if let Some(job) = state.jobs.get(&file.job) {
                index.jobs.note(JobNote::Grew(job.owner, file.size_bytes));
            }
        }
        for entry in state.audit.values() {
            index.audit.add(entry.actor, entry.number);
        }
        for webhook in state.webhooks.values() {
            index.deliveries.webhook(None, Some(webhook));
        }
        for delivery in state.deliveries.values() {
            index.deliveries.delivery(None, Some(delivery));
        }
        index
    }
}

impl State {
    /// Makes the index anew. For those who fill a state by other means than [`State::apply`]:
    /// after loading, and in tests.
    pub fn rebuild_index(&mut self) {
        self.index = Index::of(self);
    }
}
