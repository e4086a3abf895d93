//! What Blender and ffmpeg print during one attempt, bounded.

use std::collections::VecDeque;

/// The newest lines that an attempt's log keeps.
const MAX_LOG_BYTES: usize = 1024 * 1024;
/// A longer line is cut.
pub(super) const MAX_LINE_BYTES: usize = 4 * 1024;

/// The newest lines of a program's output.
#[derive(Debug, Default)]
pub(super) struct Log {
    lines: VecDeque<String>,
    bytes: usize,
    left_out: u64,
}

impl Log {
    /// Adds a line; the oldest ones make room for it.
    pub(super) fn push(&mut self, line: String) {
        self.bytes += line.len() + 1;
        self.lines.push_back(line);
        while self.bytes > MAX_LOG_BYTES {
            let Some(oldest) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= oldest.len() + 1;
            self.left_out += 1;
        }
    }

    /// The text of all lines; the log is empty afterwards.
    pub(super) fn take(&mut self) -> String {
        let log = std::mem::take(self);
        let mut text = String::with_capacity(log.bytes + 64);
        if log.left_out > 0 {
            text.push_str(&format!("({} earlier lines left out)\n", log.left_out));
        }
        for line in &log.lines {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// The lines from number `from` on, counted from the first one of all, as far as they are
    /// kept; and the number of the line that comes next.
    pub(super) fn lines_from(&self, from: u64) -> (Vec<String>, u64) {
        let skipped = usize::try_from(from.saturating_sub(self.left_out)).unwrap_or(usize::MAX);
        let lines = self.lines.iter().skip(skipped).cloned().collect();
        (lines, self.left_out + self.lines.len() as u64)
    }

    /// The last `count` lines that are not empty, on one line, for a failure's message.
    pub(super) fn last_words(&self, count: usize) -> String {
        let mut words: Vec<&str> = self
            .lines
            .iter()
            .rev()
            .map(|line| line.trim())
            .filter(|line| !line.is_empty())
            .take(count)
            .collect();
        words.reverse();
        words.join(" / ")
    }

    /// The newest line for which `look` has an answer.
    pub(super) fn find_last<T>(&self, look: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.lines.iter().rev().find_map(|line| look(line))
    }
}

/// Cuts a program's output into lines of bounded length. A carriage return ends a line as well:
/// progress displays use it.
#[derive(Debug, Default)]
pub(super) struct LineCutter {
    rest: Vec<u8>,
}

impl LineCutter {
    /// Takes the next bytes and gives the lines that they complete.
    pub(super) fn push(&mut self, bytes: &[u8], mut line_is_whole: impl FnMut(String)) {
        for &byte in bytes {
            if byte == b'\n' || byte == b'\r' {
                line_is_whole(String::from_utf8_lossy(&self.rest).into_owned());
                self.rest.clear();
            } else if self.rest.len() < MAX_LINE_BYTES {
                self.rest.push(byte);
            }
        }
    }

    /// What stands after the last line end, if anything does.
    pub(super) fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.rest);
        (!rest.is_empty()).then(|| String::from_utf8_lossy(&rest).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_keeps_the_newest_lines_and_says_what_it_left_out() {
        let mut log = Log::default();
        let line = "x".repeat(MAX_LINE_BYTES - 1);
        for _ in 0..300 {
            log.push(line.clone());
        }
        log.push("the end".into());
        let text = log.take();
        assert!(text.len() <= MAX_LOG_BYTES + 64, "{} bytes", text.len());
        assert!(
            text.starts_with("(45 earlier lines left out)\n"),
            "{text:.40}"
        );
        assert!(text.ends_with("\nthe end\n"));
        assert_eq!(log.take(), "");
    }

    #[test]
    fn lines_are_cut_at_their_bound_and_at_either_line_end() {
        let mut cutter = LineCutter::default();
        let mut lines = Vec::new();
        let mut bytes = vec![b'a'; MAX_LINE_BYTES + 10];
        bytes.extend_from_slice(b"\nfirst\rsecond\nrest");
        for piece in bytes.chunks(7) {
            cutter.push(piece, |line| lines.push(line));
        }
        assert_eq!(lines[0].len(), MAX_LINE_BYTES);
        assert_eq!(lines[1..], ["first", "second"]);
        assert_eq!(cutter.finish().as_deref(), Some("rest"));
        assert_eq!(cutter.finish(), None);
    }

    #[test]
    fn last_words_skip_empty_lines() {
        let mut log = Log::default();
        for line in ["one", "", " two ", "  "] {
            log.push(line.into());
        }
        assert_eq!(log.last_words(5), "one / two");
        assert_eq!(log.last_words(1), "two");
    }
}
