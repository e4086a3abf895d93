//! A watched job on a terminal: one bar for the job, a line for each frame that is being rendered.

use std::collections::BTreeMap;

use indicatif::ProgressBar;

use super::view::{JobView, Running};
use crate::cli::output::{Output, about, clean};

/// More frames at once than this are only counted: the terminal has no more lines to spare.
const MAX_LINES: usize = 8;

/// The bars of one watched job. Without a terminal nothing is drawn.
pub struct JobBars {
    output: Output,
    overall: ProgressBar,
    running: BTreeMap<u32, ProgressBar>,
    more: Option<ProgressBar>,
}

impl JobBars {
    pub fn new(output: &Output) -> Self {
        Self {
            output: output.clone(),
            overall: output.count_bar(0),
            running: BTreeMap::new(),
            more: None,
        }
    }

    /// Draws the job as it is now.
    pub fn show(&mut self, view: &JobView) {
        let tally = view.tally();
        self.overall.set_length(tally.total);
        self.overall.set_position(tally.done);
        self.overall.set_message(overall_text(view));
        self.show_running(&view.running());
    }

    fn show_running(&mut self, running: &[Running]) {
        let shown = &running[..running.len().min(MAX_LINES)];
        let (output, bars) = (&self.output, &mut self.running);
        bars.retain(|index, bar| {
            let stays = shown.iter().any(|running| running.index == *index);
            if !stays {
                output.remove_bar(bar);
            }
            stays
        });
        if let Some(more) = self.more.take() {
            self.output.remove_bar(&more);
        }
        for running in shown {
            let bar = self
                .running
                .entry(running.index)
                .or_insert_with(|| self.output.text_bar());
            bar.set_message(running_text(running));
        }
        if running.len() > shown.len() {
            let more = self.output.text_bar();
            more.set_message(format!("and {} more", running.len() - shown.len()));
            self.more = Some(more);
        }
    }

    /// Takes the bars away.
    pub fn clear(mut self) {
        self.show_running(&[]);
        self.output.remove_bar(&self.overall);
    }
}

fn overall_text(view: &JobView) -> String {
    let tally = view.tally();
    let mut parts = vec![format!("{} rendering", tally.rendering)];
    if tally.leased > tally.rendering {
        parts.push(format!("{} queued", tally.leased - tally.rendering));
    }
    if tally.failed > 0 {
        parts.push(format!("{} failed", tally.failed));
    }
    if let Some(what) = &view.summary.waiting_for {
        parts.push(format!("waiting for {}", clean(what)));
    }
    if let Some(remaining) = view.remaining_time().filter(|time| !time.is_zero()) {
        parts.push(format!("about {} left", about(remaining)));
    }
    parts.join(", ")
}

fn running_text(running: &Running) -> String {
    if !running.has_begun {
        return clean(&format!("{} queued on {}", running.what, running.node));
    }
    let mut text = format!("{} on {}", running.what, running.node);
    if let Some(fraction) = running.fraction {
        text += &format!(" {:3.0} %", fraction.clamp(0.0, 1.0) * 100.0);
    }
    if !running.text.is_empty() {
        text += &format!("  {}", running.text);
    }
    clean(&text)
}
