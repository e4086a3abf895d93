//! Server-sent events as they come over the wire (WHATWG HTML, section 9.2), without the network.

/// An event that is longer than this is an error: the farm sends none.
const MAX_EVENT_BYTES: usize = 64 * 1024 * 1024;

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent {
    /// `message` where the stream names none.
    pub name: String,
    pub id: Option<String>,
    pub data: String,
}

/// The stream sent more than one event may have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {MAX_EVENT_BYTES} bytes")]
pub struct EventTooLong;

/// Takes bytes in pieces of any size and gives whole events. What has not been ended by an empty
/// line is no event: when a connection breaks, drop the parser with it.
#[derive(Debug, Default)]
pub struct SseParser {
    /// Bytes that are not a whole line yet.
    rest: Vec<u8>,
    /// How much of `rest` has been searched for a line's end.
    searched: usize,
    name: String,
    id: Option<String>,
    data: String,
    has_data: bool,
    /// The last line ended with CR: an LF that follows belongs to it.
    after_cr: bool,
    has_begun: bool,
    ready: std::collections::VecDeque<SseEvent>,
}

impl SseParser {
    /// Takes in bytes; whole events can be had from [`Self::pop`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), EventTooLong> {
        self.rest.extend_from_slice(bytes);
        let mut start = 0;
        let mut at = self.searched;
        while at < self.rest.len() {
            let byte = self.rest[at];
            if self.after_cr && byte == b'\n' && at == start {
                start += 1;
            } else if byte == b'\n' || byte == b'\r' {
                let line = String::from_utf8_lossy(&self.rest[start..at]).into_owned();
                self.line(&line);
                start = at + 1;
            }
            self.after_cr = byte == b'\r';
            at += 1;
        }
        self.rest.drain(..start);
        self.searched = self.rest.len();
        if self.rest.len() + self.data.len() > MAX_EVENT_BYTES {
            return Err(EventTooLong);
        }
        Ok(())
    }

    /// The next whole event.
    pub fn pop(&mut self) -> Option<SseEvent> {
        self.ready.pop_front()
    }

    fn line(&mut self, line: &str) {
        let line = if self.has_begun {
            line
        } else {
            line.trim_start_matches('\u{feff}')
        };
        self.has_begun = true;
        if line.is_empty() {
            self.dispatch();
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.name = value.to_owned(),
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.data.push_str(value);
                self.has_data = true;
            }
            // Comments (an empty field name), `retry`, and what later farms may add.
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        let name = std::mem::take(&mut self.name);
        let id = self.id.take();
        let data = std::mem::take(&mut self.data);
        if std::mem::take(&mut self.has_data) {
            self.ready.push_back(SseEvent {
                name: if name.is_empty() {
                    "message".to_owned()
                } else {
                    name
                },
                id,
                data,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn events(pieces: &[&[u8]]) -> Vec<SseEvent> {
        let mut parser = SseParser::default();
        for piece in pieces {
            parser.push(piece).unwrap();
        }
        std::iter::from_fn(|| parser.pop()).collect()
    }

    fn event(name: &str, id: Option<&str>, data: &str) -> SseEvent {
        SseEvent {
            name: name.into(),
            id: id.map(str::to_owned),
            data: data.into(),
        }
    }

    const STREAM: &str = "\u{feff}: hello\n\nevent: change\nid: 7\ndata: {\"a\":\ndata: \"é\"}\n\nretry: 5\ndata:x\n\n";

    #[test]
    fn the_same_events_come_out_however_the_bytes_are_cut() {
        let whole = events(&[STREAM.as_bytes()]);
        let expected = [
            event("change", Some("7"), "{\"a\":\n\"é\"}"),
            event("message", None, "x"),
        ];
        assert_eq!(whole, expected);
        for size in 1..8 {
            let pieces: Vec<&[u8]> = STREAM.as_bytes().chunks(size).collect();
            assert_eq!(events(&pieces), whole, "pieces of {size} bytes");
        }
    }

    #[test]
    fn every_line_ending_of_the_standard_is_taken() {
        for ending in ["\n", "\r\n", "\r"] {
            let stream = STREAM.replace('\n', ending);
            for size in [1, 3, 1_000] {
                let pieces: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
                assert_eq!(events(&pieces).len(), 2, "{ending:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn an_event_that_was_not_ended_is_none() {
        assert!(events(&[b"event: change\nid: 8\ndata: {}\n"]).is_empty());
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut parser = SseParser::default();
        let piece = vec![b'x'; MAX_EVENT_BYTES / 2 + 1];
        assert_eq!(parser.push(&piece), Ok(()));
        assert_eq!(parser.push(&piece), Err(EventTooLong));
    }
}
