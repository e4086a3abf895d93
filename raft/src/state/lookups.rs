//! How others find things in the state: by what somebody shows, by age, by owner. None of it goes
//! through everything.

use std::cmp::Reverse;
use std::ops::Bound;

use super::State;
use super::index::JobOrder;
use crate::{
    ApiToken, Delivery, DeviceSignIn, Epoch, Identity, Invitation, Job, Node, NodeId, Owner,
    RegistrationToken, SecretHash, Session, Task, TaskId, TaskState, TimestampMs, User, UserId,
    Webhook, WebhookId, normalized_email,
};

impl State {
    /// The member with that libp2p PeerId, if it was not removed.
    pub fn node_by_peer(&self, peer_id: &str) -> Option<&Node> {
        let node = self.index.nodes.peers.get(peer_id)?;
        self.nodes.get(node).filter(|node| !node.removed)
    }

    /// Members that were not removed.
    pub fn members(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|node| !node.removed)
    }

    /// Members that are in the mesh: those that can hold files, vote and be dialled.
    pub fn mesh_members(&self) -> impl Iterator<Item = &Node> {
        self.members().filter(|node| node.is_in_mesh())
    }

    pub fn task(&self, id: TaskId) -> Option<&Task> {
        self.jobs.get(&id.job)?.tasks.get(id.index as usize)
    }

    /// The member whose machine's owner has that token.
    pub fn node_by_operator_token(&self, token: SecretHash) -> Option<&Node> {
        self.nodes.get(&self.index.nodes.operator(token)?)
    }

    /// The member that speaks only HTTP and has that credential.
    pub fn node_by_credential(&self, credential: SecretHash) -> Option<&Node> {
        let node = self.index.nodes.credentials.get(&credential)?;
        self.nodes.get(node).filter(|node| !node.removed)
    }

    pub fn registration_token_by_hash(&self, hash: SecretHash) -> Option<&RegistrationToken> {
        let id = self.index.nodes.registration_tokens.get(&hash)?;
        self.registration_tokens.get(id)
    }

    /// The node's leases with their epochs, by job and task.
    pub fn leases_of(&self, node: NodeId) -> Vec<(TaskId, Epoch)> {
        let leases = self.index.jobs.leases.of(node);
        leases
            .filter_map(|id| {
                let task = self.task(id)?;
                (task.state == TaskState::Leased { node }).then_some((id, task.epoch))
            })
            .collect()
    }

    /// The local account with that address, whatever its case.
    pub fn user_by_email(&self, email: &str) -> Option<&User> {
        let user = self.index.people.emails.get(&normalized_email(email))?;
        self.users.get(user)
    }

    pub fn user_by_identity(&self, identity: &Identity) -> Option<&User> {
        self.users.get(self.index.people.identities.get(identity)?)
    }

    /// The session and its user, where both may still be used at that time.
    pub fn live_session(&self, hash: SecretHash, at: TimestampMs) -> Option<(&Session, &User)> {
        let session = self.sessions.get(&hash)?;
        let user = self.users.get(&session.user)?;
        (session.expires_at > at && !user.disabled).then_some((session, user))
    }

    /// The token and its user, where both may still be used at that time.
    pub fn live_token(&self, hash: SecretHash, at: TimestampMs) -> Option<(&ApiToken, &User)> {
        let token = self
            .tokens
            .get(self.index.people.token_hashes.get(&hash)?)?;
        let user = self.users.get(&token.user)?;
        let has_time = token.expires_at.is_none_or(|end| end > at);
        (has_time && !user.disabled).then_some((token, user))
    }

    /// The user's sessions, expired ones too, until they are removed.
    pub fn sessions_of(&self, user: UserId) -> impl Iterator<Item = &Session> {
        let sessions = self.index.people.sessions.of(user);
        sessions.filter_map(|hash| self.sessions.get(&hash))
    }

    pub fn tokens_of(&self, user: UserId) -> impl Iterator<Item = &ApiToken> {
        let tokens = self.index.people.tokens.of(user);
        tokens.filter_map(|id| self.tokens.get(&id))
    }

    pub fn invitation_by_hash(&self, hash: SecretHash) -> Option<&Invitation> {
        let id = self.index.people.invitations.get(&hash)?;
        self.invitations.get(id)
    }

    pub fn device_sign_in_by_code(&self, user_code: &str) -> Option<&DeviceSignIn> {
        let device = self.index.sign_ins.user_codes.get(user_code)?;
        self.device_sign_ins.get(device)
    }

    /// Until when the account or the address behind `key` must not try to sign in.
    pub fn blocked_until(&self, key: SecretHash, at: TimestampMs) -> Option<TimestampMs> {
        self.blocked.get(&key).copied().filter(|until| *until > at)
    }

    /// All jobs, newest first, those after the cursor `after`.
    pub fn jobs_newest_first(&self, after: Option<JobOrder>) -> impl Iterator<Item = &Job> {
        let older = self.index.jobs.all.range(older_than(after)).rev();
        older.filter_map(|(_, id)| self.jobs.get(id))
    }

    /// The owner's jobs, newest first, those after the cursor `after`.
    pub fn jobs_of(&self, owner: Owner, after: Option<JobOrder>) -> impl Iterator<Item = &Job> {
        self.job_orders_of(owner, after)
            .filter_map(|(_, id)| self.jobs.get(&id))
    }

    /// Jobs of others that are shared with the user, newest first, those after `after`.
    pub fn jobs_shared_with(
        &self,
        user: UserId,
        after: Option<JobOrder>,
    ) -> impl Iterator<Item = &Job> {
        self.job_orders_shared_with(user, after)
            .filter_map(|(_, id)| self.jobs.get(&id))
    }

    /// The user's own jobs and those that are shared with them, newest first, those after the
    /// cursor `after`.
    pub fn jobs_visible_to(
        &self,
        user: UserId,
        after: Option<JobOrder>,
    ) -> impl Iterator<Item = &Job> {
        let own = self.job_orders_of(Owner::User(user), after);
        let shared = self.job_orders_shared_with(user, after);
        let (mut own, mut shared) = (own.peekable(), shared.peekable());
        let orders = std::iter::from_fn(move || {
            let own_is_next = own.peek().map(Reverse) <= shared.peek().map(Reverse);
            match (own.peek().is_some(), shared.peek().is_some()) {
                (true, true) if own_is_next => own.next(),
                (true, false) => own.next(),
                _ => shared.next(),
            }
        });
        orders.filter_map(|(_, id)| self.jobs.get(&id))
    }

    fn job_orders_of(
        &self,
        owner: Owner,
        after: Option<JobOrder>,
    ) -> impl Iterator<Item = JobOrder> {
        let orders = self.index.jobs.by_owner.get(owner);
        orders
            .into_iter()
            .flat_map(move |orders| orders.range(older_than(after)).rev().copied())
    }

    fn job_orders_shared_with(
        &self,
        user: UserId,
        after: Option<JobOrder>,
    ) -> impl Iterator<Item = JobOrder> {
        let orders = self.index.jobs.shared.get(user);
        orders
            .into_iter()
            .flat_map(move |orders| orders.range(older_than(after)).rev().copied())
    }

    pub fn webhooks_of(&self, owner: Owner) -> impl Iterator<Item = &Webhook> {
        let webhooks = self.index.deliveries.webhooks.of(owner);
        webhooks.filter_map(|id| self.webhooks.get(&id))
    }

    /// The webhook's deliveries that are kept, newest first.
    pub fn deliveries_of(&self, webhook: WebhookId) -> Vec<&Delivery> {
        let open = self.index.deliveries.open.of(webhook);
        let ended = self.index.deliveries.ended.of(webhook);
        let mut deliveries: Vec<&Delivery> = open
            .chain(ended)
            .filter_map(|id| self.deliveries.get(&id))
            .collect();
        deliveries.sort_by_key(|delivery| Reverse(delivery.id));
        deliveries
    }

    /// Deliveries whose next attempt is due at `at`, the longest due first.
    pub fn due_deliveries(&self, at: TimestampMs) -> impl Iterator<Item = &Delivery> {
        let due = self.index.deliveries.due.iter();
        due.take_while(move |(next_at, _)| *next_at <= at)
            .filter_map(|(_, id)| self.deliveries.get(id))
    }

    /// When the next attempt of any delivery is due.
    pub fn next_delivery_at(&self) -> Option<TimestampMs> {
        self.index.deliveries.due.first().map(|(at, _)| *at)
    }
}

fn older_than(cursor: Option<JobOrder>) -> (Bound<JobOrder>, Bound<JobOrder>) {
    (
        Bound::Unbounded,
        cursor.map_or(Bound::Unbounded, Bound::Excluded),
    )
}
