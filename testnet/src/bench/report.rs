//! What a bench found, for people and for programs.

use std::fmt::Write;

use serde::Serialize;

use super::Samples;
use crate::{Result, TestnetError};

/// One figure with a name that other tools know.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metric {
    pub bench: &'static str,
    pub metric: &'static str,
    pub value: f64,
    pub unit: &'static str,
    /// `None` where the figure is ours alone.
    pub peer: Option<&'static str>,
    pub rounds: usize,
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Row {
    pub metric: &'static str,
    pub what: String,
    pub samples: Samples,
    pub unit: &'static str,
    pub peer: Option<&'static str>,
    /// What an issue asks for, in its words.
    pub bar: Option<&'static str>,
}

/// All that one bench found.
#[derive(Debug, Clone)]
pub struct Report {
    pub bench: &'static str,
    /// What exactly is timed, and what is not.
    pub what_is_timed: String,
    pub rows: Vec<Row>,
}

impl Report {
    pub fn metrics(&self) -> Vec<Metric> {
        let metric = |row: &Row| Metric {
            bench: self.bench,
            metric: row.metric,
            value: row.samples.median(),
            unit: row.unit,
            peer: row.peer,
            rounds: row.samples.rounds(),
        };
        self.rows.iter().map(metric).collect()
    }

    /// One line of JSON a metric.
    pub fn json_lines(&self) -> Result<String> {
        let mut lines = String::new();
        for metric in self.metrics() {
            lines += &serde_json::to_string(&metric).map_err(|error| TestnetError::Answer {
                doing: format!("writing the metric {}", metric.metric),
                reason: error.to_string(),
            })?;
            lines.push('\n');
        }
        Ok(lines)
    }

    /// A table for a terminal, which is one of Markdown too.
    pub fn table(&self, machine: &str) -> String {
        let mut cells =
            vec![["metric", "what", "median", "spread", "rounds", "bar"].map(str::to_owned)];
        for row in &self.rows {
            let samples = &row.samples;
            cells.push([
                row.metric.to_owned(),
                row.what.clone(),
                with_unit(samples.median(), row.unit),
                format!("{:.2} to {:.2}", samples.least(), samples.greatest()),
                samples.rounds().to_string(),
                row.bar.unwrap_or_default().to_owned(),
            ]);
        }
        let mut text = format!("## {}\n\n{}\n\n", self.bench, self.what_is_timed);
        for (number, line) in cells.iter().enumerate() {
            let padded = line.iter().enumerate().map(|(column, cell)| {
                let width = widest(&cells, column);
                format!("{cell:<width$}")
            });
            let padded: Vec<String> = padded.collect();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {} |", padded.join(" | "));
            if number == 0 {
                let dashes = (0..line.len()).map(|column| "-".repeat(widest(&cells, column)));
                let dashes: Vec<String> = dashes.collect();
                let _ = writeln!(text, "| {} |", dashes.join(" | "));
            }
        }
        let _ = writeln!(text, "\n{machine}");
        text
    }
}

fn widest(cells: &[[String; 6]], column: usize) -> usize {
    let widths = cells.iter().map(|line| line[column].chars().count());
    widths.max().unwrap_or(0)
}

fn with_unit(value: f64, unit: &str) -> String {
    match unit {
        "ratio" => format!("{value:.2}"),
        _ => format!("{value:.2} {unit}"),
    }
}

/// The whole of `docs/benchmarks.md`.
pub(super) fn page(reports: &[Report], machine: &str) -> String {
    let mut text = "# Benchmarks\n\n\
        Written by `./testnet/bench all`; run it on your machine. Ours and the peer take turns in \
        one run, since machines differ and are shared: trust the ratios more than the seconds. \
        Ratios are medians of the rounds' own ratios.\n"
        .to_owned();
    for report in reports {
        text.push('\n');
        text += &report.table(machine);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn report() -> Report {
        let mut samples = Samples::default();
        samples.push(1.0);
        samples.push(1.5);
        Report {
            bench: "render",
            what_is_timed: "all of it".into(),
            rows: vec![Row {
                metric: "vs_blender_a",
                what: "ours over theirs".into(),
                samples,
                unit: "ratio",
                peer: Some("blender_a"),
                bar: Some("at most 1.25"),
            }],
        }
    }

    #[test]
    fn each_metric_is_one_line_of_json() {
        let lines = report().json_lines().unwrap();
        let expected = r#"{"bench":"render","metric":"vs_blender_a","value":1.25,"unit":"ratio","peer":"blender_a","rounds":2}"#;
        assert_eq!(lines.trim_end(), expected);
    }

    #[test]
    fn the_table_shows_median_spread_bar_and_machine() {
        let table = report().table("a machine");
        for part in ["1.25 ", "1.00 to 1.50", "at most 1.25", "a machine"] {
            assert!(table.contains(part), "{part} is not in\n{table}");
        }
    }
}
