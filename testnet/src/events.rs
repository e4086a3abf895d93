//! The live stream (`GET /api/events`), as a client reads it.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use reqwest::Method;
use serde_json::Value;

use crate::api::Api;
use crate::{Result, TestnetError};

/// An event larger than this is a fault of the node, not something to keep in memory.
const MAX_EVENT_BYTES: usize = 16 << 20;

/// One server-sent event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The log index, on `change` events.
    pub id: Option<u64>,
    pub name: String,
    pub data: Value,
}

/// A connection to one node's live stream.
pub struct EventStream {
    bytes: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    buffer: Vec<u8>,
}

impl EventStream {
    /// Opens the stream. With `after` it goes on behind that log index, as `Last-Event-ID` says.
    pub async fn open(api: &Api, after: Option<u64>) -> Result<Self> {
        let mut request = api.request(Method::GET, "/api/events");
        if let Some(index) = after {
            request = request.header("Last-Event-ID", index);
        }
        let doing = format!("opening the live stream at {}", api.url());
        let response = request
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .map_err(TestnetError::http(doing))?;
        Ok(Self {
            bytes: Box::pin(response.bytes_stream()),
            buffer: Vec::new(),
        })
    }

    /// The next event; an error when none comes within `patience` or the connection ends.
    pub async fn next(&mut self, patience: Duration) -> Result<Event> {
        let next = async {
            loop {
                if let Some(event) = take_event(&mut self.buffer)? {
                    return Ok(event);
                }
                let reading = "reading the live stream";
                match self.bytes.next().await {
                    Some(chunk) => {
                        let chunk = chunk.map_err(TestnetError::http(reading))?;
                        self.buffer.extend_from_slice(&chunk);
                    }
                    None => return Err(unreadable("it ended")),
                }
                if self.buffer.len() > MAX_EVENT_BYTES {
                    return Err(unreadable("an event has no end"));
                }
            }
        };
        tokio::time::timeout(patience, next)
            .await
            .unwrap_or_else(|_| {
                Err(TestnetError::Timeout {
                    what: "an event".into(),
                    waited: patience,
                    last_seen: "a silent stream".into(),
                })
            })
    }
}

fn unreadable(reason: impl Into<String>) -> TestnetError {
    TestnetError::Answer {
        doing: "reading the live stream".into(),
        reason: reason.into(),
    }
}

/// Takes the first whole event out of the buffer. Comments (keep-alives) are passed over.
fn take_event(buffer: &mut Vec<u8>) -> Result<Option<Event>> {
    while let Some(end) = buffer.windows(2).position(|pair| pair == b"\n\n") {
        let block: Vec<u8> = buffer.drain(..end + 2).collect();
        let block = String::from_utf8(block).map_err(|error| unreadable(error.to_string()))?;
        let mut event = Event {
            id: None,
            name: "message".into(),
            data: Value::Null,
        };
        let mut data: Vec<&str> = Vec::new();
        for line in block.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => event.id = value.parse().ok(),
                "event" => event.name = value.to_owned(),
                "data" => data.push(value),
                _ => {}
            }
        }
        if !data.is_empty() {
            event.data = serde_json::from_str(&data.join("\n"))
                .map_err(|error| unreadable(format!("{error} in {block}")))?;
            return Ok(Some(event));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_taken_one_by_one_and_keep_alives_are_passed_over() {
        let mut buffer =
            b": keep-alive\n\nevent: change\nid: 7\ndata: {\"index\":7}\n\nevent: lea".to_vec();
        let event = take_event(&mut buffer).unwrap().unwrap();
        assert_eq!(event.id, Some(7));
        assert_eq!(event.name, "change");
        assert_eq!(event.data, json!({"index": 7}));
        assert!(take_event(&mut buffer).unwrap().is_none());
        assert_eq!(buffer, b"event: lea");
    }

    #[test]
    fn data_that_is_not_json_is_an_error() {
        let mut buffer = b"data: {\n\n".to_vec();
        assert!(take_event(&mut buffer).is_err());
    }
}
