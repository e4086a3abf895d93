//! What people and programs see: results on stdout, everything else on stderr.

mod format;
mod table;

pub use format::{about, bytes, clean, duration, is_harmless, short_duration, since, utc_time};
pub use table::{Tone, Width, cell, table, toned};

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiggablend_raft::TimestampMs;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::CliError;

/// Between two lines of progress.
const LINE_EACH: std::time::Duration = std::time::Duration::from_secs(10);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressMode {
    /// stderr is a terminal.
    Bars,
    /// stderr is a file or a pipe: a line for each thing that happened.
    Lines,
    /// `--json`.
    Nothing,
}

/// Where one command writes. Cheap to clone; clones share the terminal.
#[derive(Debug, Clone)]
pub struct Output {
    json: bool,
    mode: ProgressMode,
    bars: MultiProgress,
    /// Why a result could not be written.
    write_error: Arc<Mutex<Option<io::Error>>>,
}

impl Output {
    /// `json`: results and errors are for programs, and there is no progress.
    pub fn new(json: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let mode = match (json, io::stderr().is_terminal() && !dumb) {
            (true, _) => ProgressMode::Nothing,
            (false, true) => ProgressMode::Bars,
            (false, false) => ProgressMode::Lines,
        };
        let target = match mode {
            ProgressMode::Bars => ProgressDrawTarget::stderr(),
            _ => ProgressDrawTarget::hidden(),
        };
        Self {
            json,
            mode,
            bars: MultiProgress::with_draw_target(target),
            write_error: Arc::default(),
        }
    }

    pub fn is_json(&self) -> bool {
        self.json
    }

    pub fn mode(&self) -> ProgressMode {
        self.mode
    }

    /// One line of a result.
    pub fn line(&self, text: &str) {
        self.result(&clean(text));
    }

    /// A table; its cells were cleaned when they were made.
    pub fn table(&self, table: &comfy_table::Table) {
        self.result(&table.trim_fmt());
    }

    /// A result for programs: one line of JSON.
    pub fn json_line(&self, value: &impl Serialize) {
        let text = serde_json::to_string(value).expect("API types are JSON");
        self.result(&text);
    }

    /// A result for programs that people may read too.
    pub fn json(&self, value: &impl Serialize) {
        let text = serde_json::to_string_pretty(value).expect("API types are JSON");
        self.result(&text);
    }

    /// The farm's answer: for programs it is shown as it came, and `None`; for people what it
    /// means, to be shown in their way.
    pub fn shown<T: DeserializeOwned>(&self, answer: Value) -> Result<Option<T>, CliError> {
        if self.json {
            self.json(&answer);
            return Ok(None);
        }
        serde_json::from_value(answer).map(Some).map_err(|error| {
            CliError::Refused(format!(
                "cannot understand the farm's answer: {error}; it may be newer than this program"
            ))
        })
    }

    /// That something was done, where the farm's answer says nothing.
    pub fn done(&self, for_programs: &Value, for_people: &str) {
        match self.json {
            true => self.json(for_programs),
            false => self.line(for_people),
        }
    }

    fn result(&self, text: &str) {
        let written = self.bars.suspend(|| {
            let mut stdout = io::stdout().lock();
            writeln!(stdout, "{text}").and_then(|()| stdout.flush())
        });
        match written {
            // A reader that has seen enough (`| head`) is no error of ours.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                *self.write_error() = Some(error);
            }
            _ => {}
        }
    }

    fn write_error(&self) -> std::sync::MutexGuard<'_, Option<io::Error>> {
        self.write_error
            .lock()
            .expect("nothing panics while it holds the error")
    }

    /// An error where some result did not reach stdout, for example because a disk is full.
    pub fn written(&self) -> Result<(), CliError> {
        match self.write_error().take() {
            None => Ok(()),
            Some(error) => Err(CliError::file(
                "cannot write the result to",
                "stdout",
                error,
            )),
        }
    }

    /// A message. With `--json` there is none: stderr is for the error alone.
    pub fn note(&self, text: &str) {
        if !self.json {
            self.message(&clean(text));
        }
    }

    /// Why the command failed.
    pub fn error(&self, error: &CliError) {
        if self.json {
            self.message(&error.to_json().to_string());
        } else {
            self.message(&format!("error: {}", clean(&error.to_string())));
        }
    }

    fn message(&self, text: &str) {
        self.bars.suspend(|| {
            let _ = writeln!(io::stderr().lock(), "{text}");
        });
    }

    /// A bar that counts bytes. Without a terminal it draws nothing.
    pub fn bytes_bar(&self, what: &str, total_bytes: u64) -> ProgressBar {
        let template =
            "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
        self.bar(template, what, total_bytes)
    }

    /// Where bars are not drawn, a line now and then of how far one is. Never returns.
    pub async fn tell_progress(&self, what: &str, bar: &ProgressBar) {
        loop {
            tokio::time::sleep(LINE_EACH).await;
            let total = bar.length().unwrap_or_default();
            if self.mode == ProgressMode::Lines && bar.position() < total {
                let percent = bar.position() * 100 / total.max(1);
                let rate = indicatif::BinaryBytes(bar.per_sec() as u64);
                let left = about(bar.eta());
                self.note(&format!("{what}: {percent} %, {rate}/s, about {left} left"));
            }
        }
    }

    /// A bar that counts things. Without a terminal it draws nothing. `{msg}` is behind the bar.
    pub fn count_bar(&self, total: u64) -> ProgressBar {
        self.bar("{wide_bar} {pos}/{len} {msg}", "", total)
    }

    /// A line below the bars that only has a text, cut to the terminal's width.
    pub fn text_bar(&self) -> ProgressBar {
        self.bar("  {wide_msg}", "", 0)
    }

    /// Takes a bar away, without a trace.
    pub fn remove_bar(&self, bar: &ProgressBar) {
        bar.finish_and_clear();
        self.bars.remove(bar);
    }

    fn bar(&self, template: &str, message: &str, total: u64) -> ProgressBar {
        let style = ProgressStyle::with_template(template)
            .expect("the template is a constant")
            .progress_chars("=> ");
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden())
            .with_style(style)
            .with_message(clean(message));
        self.bars.add(bar)
    }
}

/// How long ago: `3 min`.
pub fn age(then: TimestampMs) -> String {
    short_duration(since(then, TimestampMs::now()))
}

/// How long something is good from now on: `3 d`.
pub fn good_until(end: Option<TimestampMs>) -> String {
    let now = TimestampMs::now();
    match end {
        None => "without end".to_owned(),
        Some(end) if end <= now => "over".to_owned(),
        Some(end) => short_duration(since(now, end)),
    }
}
