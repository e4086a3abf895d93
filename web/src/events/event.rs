//! One event as bytes: whole for those who see everything, and in pieces for the others.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use jiggablend_raft::{Job, JobId, NodeId, Owner, UserId};
use serde::Serialize;

use crate::access::{Caller, Identity};

/// What closes the list that holds an event's pieces.
const CHANGES_END: &[u8] = b"]}\n\n";

/// Where an event stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// What the log entries after `after` up to `index` changed. One that is not `last` is
    /// followed by more of the same entries, and has no id: who stops there has not seen them.
    Changes { after: u64, index: u64, last: bool },
    /// What the entries up to `index` changed is unknown.
    Reset { index: u64 },
    /// No part of the log: progress, and who leads.
    Passing,
}

/// Who may see a piece of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Audience {
    Everyone,
    /// Those who may see the job: the same rule as [`Caller::may_see`], for a job as it was when
    /// the event was rendered.
    Job {
        job: JobId,
        owner: Owner,
        shared_with: Vec<UserId>,
    },
    /// One account. Not those who see all, of whom nothing is taken.
    User(UserId),
}

impl Audience {
    pub(super) fn of(job: &Job) -> Self {
        Self::Job {
            job: job.id,
            owner: job.owner,
            shared_with: job.shares.keys().copied().collect(),
        }
    }

    fn has(&self, caller: &Caller) -> bool {
        match self {
            Self::Everyone => true,
            Self::User(user) => !caller.is_admin() && caller.user() == Some(*user),
            Self::Job {
                owner, shared_with, ..
            } => {
                let is_shared = match &caller.identity {
                    Identity::User { id, .. } => shared_with.contains(id),
                    Identity::Operator(_) => false,
                };
                caller.is_admin() || *owner == caller.owner() || is_shared
            }
        }
    }
}

/// A place in [`Seen::audiences`].
type AudienceIndex = usize;

/// One element of the event's list.
#[derive(Debug)]
struct Piece {
    text: Range<usize>,
    audience: AudienceIndex,
    /// Elements of a list inside the piece that fewer may see, one after the other.
    inner: Vec<(Range<usize>, AudienceIndex)>,
}

/// An event that was rendered once, for all who hear it.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) place: Place,
    /// With every piece in it.
    text: Bytes,
    /// The end of what comes before the pieces.
    head_end: usize,
    pieces: Vec<Piece>,
    /// There is a piece for one account alone: nobody sees all.
    is_personal: bool,
    seen: Mutex<Seen>,
}

/// Who sees what of an event.
#[derive(Debug, Default)]
struct Seen {
    audiences: Vec<Audience>,
    /// As each account sees it, with an admin's rights or without; made when it is first wanted.
    by_account: HashMap<(Owner, bool), Option<Bytes>>,
}

impl Event {
    /// An event that is the same for everyone.
    pub(super) fn plain(place: Place, name: &str, data: &impl Serialize) -> Self {
        let mut text = format!("event: {name}\ndata: ").into_bytes();
        append_json(&mut text, data);
        text.extend_from_slice(b"\n\n");
        Self {
            place,
            head_end: text.len(),
            text: text.into(),
            pieces: Vec::new(),
            is_personal: false,
            seen: Mutex::default(),
        }
    }

    /// How much memory it takes, about.
    pub(super) fn size_bytes(&self) -> usize {
        self.text.len() + self.pieces.len() * size_of::<Piece>()
    }

    /// The event as the caller may see it; `None` where nothing of it is theirs.
    pub(super) fn for_caller(&self, caller: &Caller) -> Option<Bytes> {
        if self.pieces.is_empty() || (caller.is_admin() && !self.is_personal) {
            return Some(self.text.clone());
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Seen {
            audiences,
            by_account,
        } = &mut *seen;
        let assembled = by_account.entry((caller.owner(), caller.is_admin()));
        let assembled = assembled.or_insert_with(|| self.assemble(caller, audiences));
        assembled.clone()
    }

    /// From now on the user sees nothing of the job in it, as if it had never been shared.
    pub(super) fn unshare(&self, job: JobId, user: UserId) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut was_shared = false;
        for audience in &mut seen.audiences {
            if let Audience::Job {
                job: of,
                shared_with,
                ..
            } = audience
                && *of == job
            {
                was_shared |= shared_with.contains(&user);
                shared_with.retain(|sharer| *sharer != user);
            }
        }
        if was_shared {
            seen.by_account.clear();
        }
    }

    fn assemble(&self, caller: &Caller, audiences: &[Audience]) -> Option<Bytes> {
        let may_see: Vec<bool> = audiences
            .iter()
            .map(|audience| audience.has(caller))
            .collect();
        if may_see.iter().all(|visible| *visible) {
            return Some(self.text.clone());
        }
        let visible = self.pieces.iter().filter(|piece| may_see[piece.audience]);
        let mut text = self.text[..self.head_end].to_vec();
        for piece in visible {
            if text.len() > self.head_end {
                text.push(b',');
            }
            let (Some((first, _)), Some((last, _))) = (piece.inner.first(), piece.inner.last())
            else {
                text.extend_from_slice(&self.text[piece.text.clone()]);
                continue;
            };
            text.extend_from_slice(&self.text[piece.text.start..first.start]);
            let inner = piece.inner.iter();
            for (number, (range, _)) in inner.filter(|(_, who)| may_see[*who]).enumerate() {
                if number > 0 {
                    text.push(b',');
                }
                text.extend_from_slice(&self.text[range.clone()]);
            }
            text.extend_from_slice(&self.text[last.end..piece.text.end]);
        }
        if text.len() == self.head_end {
            return None;
        }
        text.extend_from_slice(CHANGES_END);
        Some(text.into())
    }
}

/// Builds an event piece by piece.
pub(super) struct EventBuilder {
    place: Place,
    text: Vec<u8>,
    head_end: usize,
    pieces: Vec<Piece>,
    is_personal: bool,
    audiences: Vec<Audience>,
    of_jobs: HashMap<JobId, AudienceIndex>,
}

impl EventBuilder {
    /// A `change` event.
    pub(super) fn changes(after: u64, index: u64, last: bool) -> Self {
        let mut head = "event: change\n".to_owned();
        if last {
            head += &format!("id: {index}\n");
        }
        // What a client may go on after: of entries that are not all here, the one before them.
        let seen = if last { index } else { after };
        head += &format!("data: {{\"index\":{seen},\"changes\":[");
        Self::with_head(Place::Changes { after, index, last }, head)
    }

    /// A `progress` event.
    pub(super) fn progress() -> Self {
        let head = "event: progress\ndata: {\"tasks\":[".to_owned();
        Self::with_head(Place::Passing, head)
    }

    fn with_head(place: Place, head: String) -> Self {
        let text = head.into_bytes();
        Self {
            place,
            head_end: text.len(),
            text,
            pieces: Vec::new(),
            is_personal: false,
            audiences: vec![Audience::Everyone],
            of_jobs: HashMap::new(),
        }
    }

    fn audience_of(&mut self, job: &Job) -> AudienceIndex {
        *self.of_jobs.entry(job.id).or_insert_with(|| {
            self.audiences.push(Audience::of(job));
            self.audiences.len() - 1
        })
    }

    /// Adds a piece for those who may see the job.
    pub(super) fn push_of_job(&mut self, job: &Job, piece: &impl Serialize) {
        let audience = self.audience_of(job);
        self.push(audience, piece);
    }

    /// Adds a piece for one account alone.
    pub(super) fn push_for_user(&mut self, user: UserId, piece: &impl Serialize) {
        self.is_personal = true;
        self.audiences.push(Audience::User(user));
        self.push(self.audiences.len() - 1, piece);
    }

    fn push(&mut self, audience: AudienceIndex, piece: &impl Serialize) {
        let start = self.start_piece();
        append_json(&mut self.text, piece);
        self.pieces.push(Piece {
            text: start..self.text.len(),
            audience,
            inner: Vec::new(),
        });
    }

    /// Adds a piece for everyone whose `"working_on":[]` is filled with what each may see of it.
    pub(super) fn push_node<'a, Work: Serialize>(
        &mut self,
        node: NodeId,
        piece: &impl Serialize,
        work: impl Iterator<Item = (&'a Job, Work)>,
    ) {
        let start = self.start_piece();
        append_json(&mut self.text, piece);
        let end = b"]}}";
        debug_assert!(self.text.ends_with(b"\"working_on\":[]}}"), "node {node}");
        self.text.truncate(self.text.len() - end.len());
        let mut inner = Vec::new();
        for (job, work) in work {
            if !inner.is_empty() {
                self.text.push(b',');
            }
            let audience = self.audience_of(job);
            let start = self.text.len();
            append_json(&mut self.text, &work);
            inner.push((start..self.text.len(), audience));
        }
        self.text.extend_from_slice(end);
        self.pieces.push(Piece {
            text: start..self.text.len(),
            audience: 0,
            inner,
        });
    }

    fn start_piece(&mut self) -> usize {
        if !self.pieces.is_empty() {
            self.text.push(b',');
        }
        self.text.len()
    }

    /// The event; `None` where it has no piece.
    pub(super) fn build(mut self) -> Option<Event> {
        if self.pieces.is_empty() {
            return None;
        }
        self.text.extend_from_slice(CHANGES_END);
        Some(Event {
            place: self.place,
            text: self.text.into(),
            head_end: self.head_end,
            pieces: self.pieces,
            is_personal: self.is_personal,
            seen: Mutex::new(Seen {
                audiences: self.audiences,
                by_account: HashMap::new(),
            }),
        })
    }
}

fn append_json(text: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(text, value).expect("views are plain structures with text keys");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use jiggablend_raft::{
        JobSettings, JobState, SecretHash, ShareAccess, TaskCounts, TimestampMs, UserRole,
    };
    use serde_json::{Value, json};

    use super::*;
    use crate::access::Credential;

    fn job_of(owner: Owner) -> Job {
        Job {
            id: JobId::new(),
            name: String::new(),
            owner,
            settings: JobSettings {
                frames: None,
                video: false,
            },
            frames_from_scene: true,
            shares: BTreeMap::new(),
            state: JobState::AwaitingScene,
            created_at: TimestampMs(1),
            started_at: None,
            finished_at: None,
            scene: None,
            scene_facts: None,
            failure: None,
            counts: TaskCounts::default(),
            tasks: Vec::new(),
            attempts: Vec::new(),
            files: Vec::new(),
        }
    }

    fn caller(id: UserId, role: UserRole) -> Caller {
        Caller {
            identity: Identity::User {
                id,
                name: "Ada".to_owned(),
                email: None,
                role,
            },
            credential: Credential::Session(SecretHash::of(b"secret")),
            address: std::net::Ipv4Addr::LOCALHOST.into(),
        }
    }

    fn data(bytes: Option<Bytes>) -> Option<Value> {
        let text = String::from_utf8(bytes?.to_vec()).unwrap();
        let (head, data) = text.split_once("data: ").unwrap();
        assert!(data.ends_with("}\n\n"), "{data}");
        assert_eq!(head, "event: change\nid: 7\n");
        Some(serde_json::from_str(data).unwrap())
    }

    #[test]
    fn each_caller_gets_the_pieces_that_are_theirs() {
        let (ada, bob, eve) = (UserId::new(), UserId::new(), UserId::new());
        let of_ada = job_of(Owner::User(ada));
        let mut of_bob = job_of(Owner::User(bob));
        let guest = UserId::new();
        of_bob.shares.insert(guest, ShareAccess::View);
        let mut event = EventBuilder::changes(5, 7, true);
        event.push_of_job(&of_ada, &json!({"job": "of ada"}));
        event.push_of_job(&of_bob, &json!({"job": "of bob"}));
        event.push_of_job(&of_ada, &json!({"task": "of ada"}));
        let event = event.build().unwrap();

        let seen = |id, role| data(event.for_caller(&caller(id, role)));
        let changes = |changes: Value| Some(json!({"index": 7, "changes": changes}));
        let (all_1, all_2, all_3) = (
            json!({"job": "of ada"}),
            json!({"job": "of bob"}),
            json!({"task": "of ada"}),
        );
        assert_eq!(seen(ada, UserRole::Member), changes(json!([all_1, all_3])));
        assert_eq!(seen(bob, UserRole::Viewer), changes(json!([all_2])));
        assert_eq!(seen(guest, UserRole::Member), changes(json!([all_2])));
        assert_eq!(seen(eve, UserRole::Member), None);
        assert_eq!(
            seen(eve, UserRole::Admin),
            changes(json!([all_1, all_2, all_3]))
        );
    }

    #[test]
    fn what_was_told_of_a_job_is_told_no_more_to_whom_it_is_shared_no_longer() {
        let (ada, guest, other) = (UserId::new(), UserId::new(), UserId::new());
        let mut of_ada = job_of(Owner::User(ada));
        of_ada.shares.insert(guest, ShareAccess::View);
        of_ada.shares.insert(other, ShareAccess::View);
        let mut event = EventBuilder::changes(5, 7, true);
        event.push_of_job(&of_ada, &json!({"job": "of ada"}));
        let event = event.build().unwrap();
        let sees = |id| event.for_caller(&caller(id, UserRole::Member)).is_some();
        assert!(sees(guest) && sees(other));
        event.unshare(of_ada.id, guest);
        assert!(!sees(guest) && sees(other) && sees(ada));
    }

    #[test]
    fn that_a_job_is_gone_is_told_to_the_one_concerned() {
        let (ada, guest) = (UserId::new(), UserId::new());
        let of_ada = job_of(Owner::User(ada));
        let mut event = EventBuilder::changes(5, 7, true);
        event.push_of_job(&of_ada, &json!({"job": "of ada"}));
        event.push_for_user(guest, &json!({"job_gone": 1}));
        let event = event.build().unwrap();
        let seen = |id, role| data(event.for_caller(&caller(id, role))).unwrap()["changes"].clone();
        assert_eq!(seen(ada, UserRole::Member), json!([{"job": "of ada"}]));
        assert_eq!(seen(guest, UserRole::Member), json!([{"job_gone": 1}]));
        let admin = UserId::new();
        assert_eq!(seen(admin, UserRole::Admin), json!([{"job": "of ada"}]));
        assert_eq!(seen(guest, UserRole::Admin), json!([{"job": "of ada"}]));
    }

    #[test]
    fn of_a_nodes_work_each_caller_gets_what_is_theirs() {
        let (ada, eve) = (UserId::new(), UserId::new());
        let (of_ada, of_another) = (job_of(Owner::User(ada)), job_of(Owner::Operator(NodeId(2))));
        let node = json!({"node": {"id": 1, "working_on": []}});
        let mut event = EventBuilder::changes(5, 7, true);
        let work = [(&of_another, "one"), (&of_ada, "two"), (&of_ada, "three")];
        event.push_node(NodeId(1), &node, work.into_iter());
        event.push_node(NodeId(2), &node, std::iter::empty::<(&Job, &str)>());
        let event = event.build().unwrap();

        let seen = |id, role| {
            let seen = data(event.for_caller(&caller(id, role))).unwrap();
            assert_eq!(seen["changes"][1]["node"]["working_on"], json!([]));
            seen["changes"][0]["node"]["working_on"].clone()
        };
        assert_eq!(seen(ada, UserRole::Member), json!(["two", "three"]));
        assert_eq!(seen(eve, UserRole::Member), json!([]));
        assert_eq!(seen(eve, UserRole::Admin), json!(["one", "two", "three"]));
    }

    #[test]
    fn a_part_that_is_not_the_last_does_not_say_that_all_was_seen() {
        let job = job_of(Owner::Operator(NodeId(1)));
        let mut part = EventBuilder::changes(5, 7, false);
        part.push_of_job(&job, &json!({"job": "a"}));
        let admin = caller(UserId::new(), UserRole::Admin);
        let text = part.build().unwrap().for_caller(&admin).unwrap();
        let expected = "event: change\ndata: {\"index\":5,\"changes\":[{\"job\":\"a\"}]}\n\n";
        assert_eq!(text, expected);
    }
}
