//! The farm's live events, without a gap: when the node that sends them dies, another one goes on
//! after the last event that was seen.

use std::time::Duration;

use jiggablend_raft::{JobId, NodeId};
use reqwest::{Method, Response};
use serde::Deserialize;
use tokio::time::{Instant, timeout, timeout_at};

use super::CliError;
use super::api_types::{JobSummary, Node, Task, TaskProgress};
use super::client::{AttemptError, Client, good_answer, send};
use super::sse::{SseEvent, SseParser};

/// A node must say at least something (a comment will do) within this time.
const MAX_SILENCE: Duration = Duration::from_secs(45);
/// For the answer's first line, not for the stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(8);
/// A node that is cut off from the leader is left for another after this time.
const MAX_LEADERLESS: Duration = Duration::from_secs(5);
/// Streams are not opened more often than this.
const OPEN_EACH: Duration = Duration::from_millis(250);
/// Streams that break without one event: how often in a row before that is an error.
const MAX_EMPTY_STREAMS: u32 = 100;

/// What happened in the farm.
#[derive(Debug)]
pub enum Event {
    /// What some log entries changed, in order.
    Changes(Vec<Change>),
    /// Something was missed: read everything anew, as of this index or later.
    Reset {
        index: u64,
    },
    Progress(Vec<TaskProgress>),
    Leader(Option<NodeId>),
    /// The stream goes on, nothing was missed, through another node.
    Moved {
        from: String,
        to: String,
    },
}

/// One thing that a log entry changed; the kinds that this program does not follow are empty.
#[derive(Debug, Deserialize)]
pub struct Change {
    pub job: Option<JobSummary>,
    /// One that is shared with this user no longer.
    pub job_gone: Option<JobId>,
    pub task: Option<TaskChange>,
    pub node: Option<Node>,
}

#[derive(Debug, Deserialize)]
pub struct TaskChange {
    pub job: JobId,
    #[serde(flatten)]
    pub task: Task,
}

#[derive(Deserialize)]
struct ChangeData {
    index: u64,
    changes: Vec<Change>,
}

/// The index alone, of a `change` that could not be read or of a `reset`.
#[derive(Deserialize)]
struct IndexData {
    index: u64,
}

#[derive(Deserialize)]
struct ProgressData {
    tasks: Vec<TaskProgress>,
}

#[derive(Deserialize)]
struct LeaderData {
    leader: Option<NodeId>,
}

/// The farm's events after some log index, over as many connections as it takes.
pub struct Events<'a> {
    client: &'a Client,
    cursor: Cursor,
    stream: Option<Stream>,
    /// The node of the last stream that broke.
    left: Option<String>,
    empty_streams: u32,
}

struct Stream {
    url: String,
    response: Response,
    parser: SseParser,
    opened: Instant,
    heard: Instant,
    leaderless_since: Option<Instant>,
    has_events: bool,
}

/// What came of waiting for more.
enum Heard {
    Something,
    /// The stream ended, broke, or fell silent.
    NothingMore,
    /// The node has had no leader for too long: another one may have.
    NoLeader,
}

impl<'a> Events<'a> {
    /// Events after `index`.
    pub fn after(client: &'a Client, index: u64) -> Self {
        Self {
            client,
            cursor: Cursor { last_index: index },
            stream: None,
            left: None,
            empty_streams: 0,
        }
    }

    /// The next event. An error only where no node of the farm answers any more.
    pub async fn next(&mut self) -> Result<Event, CliError> {
        loop {
            let Some(stream) = &mut self.stream else {
                if let Some(moved) = self.open().await? {
                    return Ok(moved);
                }
                continue;
            };
            if let Some(raw) = stream.parser.pop() {
                stream.has_events = true;
                self.empty_streams = 0;
                if let Some(event) = self.cursor.take(&raw) {
                    self.look_at(&event);
                    return Ok(event);
                }
                continue;
            }
            match stream.read().await {
                Heard::Something => {}
                Heard::NothingMore => self.leave(true).await?,
                Heard::NoLeader => self.leave(false).await?,
            }
        }
    }

    /// What an event means for the connection itself.
    fn look_at(&mut self, event: &Event) {
        match event {
            Event::Leader(leader) => {
                if let Some(stream) = &mut self.stream {
                    stream.leaderless_since = match leader {
                        Some(_) => None,
                        None => Some(Instant::now()),
                    };
                }
            }
            Event::Changes(changes) => {
                for node in changes.iter().filter_map(|change| change.node.as_ref()) {
                    if let Some(address) = &node.web_address {
                        self.client.add_node(address);
                    }
                }
            }
            _ => {}
        }
    }

    async fn open(&mut self) -> Result<Option<Event>, CliError> {
        let client = self.client;
        let last_index = self.cursor.last_index;
        let (url, response) = client
            .on_some_node(async |url| {
                let request = client
                    .request(Method::GET, url, "/api/events")
                    .header("Accept", "text/event-stream")
                    .header("Last-Event-ID", last_index.to_string());
                let response = timeout(OPEN_TIMEOUT, send(url, request))
                    .await
                    .map_err(|_| AttemptError::elsewhere(url, "did not answer in time"))??;
                Ok((url.to_owned(), good_answer(url, response, false).await?))
            })
            .await?;
        let now = Instant::now();
        let moved = self
            .left
            .take()
            .filter(|left| *left != url)
            .map(|from| Event::Moved {
                from,
                to: url.clone(),
            });
        self.stream = Some(Stream {
            url,
            response,
            parser: SseParser::default(),
            opened: now,
            heard: now,
            leaderless_since: None,
            has_events: false,
        });
        Ok(moved)
    }

    /// Gives the connection up; the next one goes on after the last index. `is_gone`: its node
    /// does not answer any more.
    async fn leave(&mut self, is_gone: bool) -> Result<(), CliError> {
        let Some(stream) = self.stream.take() else {
            return Ok(());
        };
        self.client.mark_failed(&stream.url);
        if !stream.has_events {
            self.empty_streams += 1;
            if self.empty_streams > MAX_EMPTY_STREAMS {
                return Err(CliError::Node {
                    url: stream.url,
                    reason: "ends the stream of events again and again; is the node overloaded, or is there a proxy before it?".to_owned(),
                });
            }
        }
        tokio::time::sleep_until(stream.opened + OPEN_EACH).await;
        self.left = is_gone.then_some(stream.url);
        Ok(())
    }
}

impl Stream {
    /// Waits for more.
    async fn read(&mut self) -> Heard {
        let silence_ends = self.heard + MAX_SILENCE;
        let deadline = match self.leaderless_since {
            Some(since) => silence_ends.min(since + MAX_LEADERLESS),
            None => silence_ends,
        };
        match timeout_at(deadline, self.response.chunk()).await {
            Ok(Ok(Some(bytes))) => {
                self.heard = Instant::now();
                match self.parser.push(&bytes) {
                    Ok(()) => Heard::Something,
                    Err(_) => Heard::NothingMore,
                }
            }
            Err(_) if deadline < silence_ends => Heard::NoLeader,
            _ => Heard::NothingMore,
        }
    }
}

/// Which log index was seen last: what makes events come once.
#[derive(Debug)]
struct Cursor {
    last_index: u64,
}

impl Cursor {
    /// What a raw event says; `None` for one that was seen already or that is not known.
    fn take(&mut self, raw: &SseEvent) -> Option<Event> {
        match raw.name.as_str() {
            "change" => match serde_json::from_str::<ChangeData>(&raw.data) {
                // A part of what is told in several events; the last one has the id.
                Ok(change) if raw.id.is_none() && change.index == self.last_index => {
                    Some(Event::Changes(change.changes))
                }
                Ok(change) if change.index <= self.last_index => None,
                Ok(change) => {
                    self.last_index = change.index;
                    Some(Event::Changes(change.changes))
                }
                // A change that this program cannot read is not passed over: what it changed is
                // read from the state instead.
                Err(_) => self.reset(raw),
            },
            "reset" => self.reset(raw),
            "progress" => serde_json::from_str::<ProgressData>(&raw.data)
                .ok()
                .map(|progress| Event::Progress(progress.tasks)),
            "leader" => serde_json::from_str::<LeaderData>(&raw.data)
                .ok()
                .map(|data| Event::Leader(data.leader)),
            _ => None,
        }
    }

    fn reset(&mut self, raw: &SseEvent) -> Option<Event> {
        let from_data = serde_json::from_str::<IndexData>(&raw.data).map(|data| data.index);
        let from_id = || raw.id.as_deref()?.parse().ok();
        let index = from_data.ok().or_else(from_id)?;
        self.last_index = self.last_index.max(index);
        Some(Event::Reset { index })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(name: &str, data: &str) -> SseEvent {
        SseEvent {
            name: name.into(),
            id: None,
            data: data.into(),
        }
    }

    #[test]
    fn an_index_that_was_seen_is_not_given_again() {
        let mut cursor = Cursor { last_index: 4 };
        let change = |index: u64| SseEvent {
            id: Some(index.to_string()),
            ..raw("change", &format!("{{\"index\":{index},\"changes\":[]}}"))
        };
        assert!(cursor.take(&change(4)).is_none());
        assert!(matches!(cursor.take(&change(5)), Some(Event::Changes(_))));
        assert!(cursor.take(&change(5)).is_none());
        assert!(matches!(cursor.take(&change(9)), Some(Event::Changes(_))));
    }

    #[test]
    fn what_is_told_in_several_events_is_taken_part_by_part() {
        let mut cursor = Cursor { last_index: 4 };
        let part = raw("change", r#"{"index":4,"changes":[]}"#);
        assert!(matches!(cursor.take(&part), Some(Event::Changes(_))));
        assert!(matches!(cursor.take(&part), Some(Event::Changes(_))));
        assert_eq!(cursor.last_index, 4);
    }

    #[test]
    fn a_change_of_an_unknown_shape_makes_the_watcher_read_anew() {
        let mut cursor = Cursor { last_index: 4 };
        let odd = raw("change", r#"{"index":5,"changes":[{"task":{"job":7}}]}"#);
        assert!(matches!(cursor.take(&odd), Some(Event::Reset { index: 5 })));
        assert_eq!(cursor.last_index, 5);
    }

    #[test]
    fn changes_of_things_that_are_not_followed_are_taken_quietly() {
        let mut cursor = Cursor { last_index: 0 };
        let tile = raw("change", r#"{"index":1,"changes":[{"tile":{"x":1}}]}"#);
        let Some(Event::Changes(changes)) = cursor.take(&tile) else {
            panic!("not taken as changes");
        };
        assert!(changes[0].job.is_none() && changes[0].task.is_none());
    }
}
