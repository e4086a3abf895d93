//! What was said on the streams, each once: a thousand clients hear the same.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;

use super::unreadable;
use crate::{Result, TestnetError};

/// A place among the payloads.
pub(super) type PayloadId = u32;

/// An event that was looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Payload {
    /// The id that says that everything up to it was told.
    pub(super) id: Option<u64>,
    /// It is a reset: the client has missed something.
    pub(super) is_reset: bool,
    /// The frames that it shows as done, by job and task, in its order.
    pub(super) done: Vec<(String, u32)>,
}

#[derive(Default)]
pub(super) struct Payloads {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    payloads: Vec<(Vec<u8>, Payload)>,
    /// By the beginning of their text, where the id is.
    by_head: HashMap<Vec<u8>, Vec<PayloadId>>,
}

/// Enough to hold an event's name and id.
const HEAD_BYTES: usize = 40;

impl Payloads {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn id_of(&self, block: &[u8]) -> Result<PayloadId> {
        let head = &block[..block.len().min(HEAD_BYTES)];
        let mut known = self.known();
        let same_head = known.by_head.get(head).into_iter().flatten();
        let same = same_head
            .copied()
            .find(|id| known.payloads[*id as usize].0 == block);
        if let Some(id) = same {
            return Ok(id);
        }
        let payload = parse(block)?;
        let id = known.payloads.len() as PayloadId;
        known.payloads.push((block.to_vec(), payload));
        known.by_head.entry(head.to_vec()).or_default().push(id);
        Ok(id)
    }

    pub(super) fn all(&self) -> Vec<Payload> {
        let known = self.known();
        known
            .payloads
            .iter()
            .map(|(_, payload)| payload.clone())
            .collect()
    }
}

#[derive(Deserialize)]
struct Data {
    #[serde(default)]
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    task: Option<Task>,
}

#[derive(Deserialize)]
struct Task {
    job: String,
    index: u32,
    state: String,
}

fn parse(block: &[u8]) -> Result<Payload> {
    let text = std::str::from_utf8(block).map_err(|error| unreadable(error.to_string()))?;
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let data = field("data").unwrap_or("{}");
    let data: Data = serde_json::from_str(data).map_err(|error| TestnetError::Answer {
        doing: "reading an event".into(),
        reason: format!("{error} in {text}"),
    })?;
    let tasks = data.changes.into_iter().filter_map(|change| change.task);
    Ok(Payload {
        id: field("id").and_then(|id| id.parse().ok()),
        is_reset: field("event") == Some("reset"),
        done: tasks
            .filter(|task| task.state == "done")
            .map(|task| (task.job, task.index))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_same_text_is_one_payload_and_another_text_another() {
        let payloads = Payloads::default();
        let event = |id: u64, task: u32| {
            format!(
                "event: change\nid: {id}\ndata: {{\"index\":{id},\"changes\":[{{\"task\":{{\"job\":\"a\",\"index\":{task},\"state\":\"done\"}}}},{{\"job\":{{}}}}]}}\n\n"
            )
        };
        let first = payloads.id_of(event(7, 1).as_bytes()).unwrap();
        let again = payloads.id_of(event(7, 1).as_bytes()).unwrap();
        let others = payloads.id_of(event(7, 2).as_bytes()).unwrap();
        assert_eq!((first, again, others), (0, 0, 1));
        let done = vec![("a".to_owned(), 1)];
        let expected = Payload {
            id: Some(7),
            is_reset: false,
            done,
        };
        assert_eq!(payloads.all()[0], expected);
    }
}
