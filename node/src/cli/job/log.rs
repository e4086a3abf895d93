//! `job log`: what Blender said, of an attempt that is over or, with `--follow`, as it is said.

use std::cell::Cell;
use std::cell::RefCell;
use std::time::Duration;

use jiggablend_raft::JobId;
use reqwest::Method;
use serde_json::json;
use tokio::time::timeout;

use super::{path_of, tasks};
use crate::cli::CliError;
use crate::cli::api_types::Task;
use crate::cli::args::JobLogArgs;
use crate::cli::client::{AttemptError, Client, good_answer, send};
use crate::cli::output::Output;

/// A render may be silent for long; the connection is tried anew after this.
const MAX_SILENCE: Duration = Duration::from_secs(120);
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

pub async fn run(
    job: JobId,
    args: &JobLogArgs,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let task = tasks::find(job, args.task, client).await?;
    let mut path = format!("{}/tasks/{}/log?", path_of(job), task.index);
    if let Some(attempt) = args.attempt {
        path.push_str(&format!("attempt={attempt}&"));
    }
    if args.task.frame.is_none() && !args.task.video {
        output.note(&format!("the log of {}:", tasks::words(&task)));
    }
    match args.follow {
        true => follow(&path, args.tail, client, output).await,
        false => once(&path, args.tail, &task, client, output).await,
    }
}

async fn once(
    path: &str,
    tail: Option<u32>,
    task: &Task,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let path = match tail {
        Some(tail) => format!("{path}tail={tail}"),
        None => path.to_owned(),
    };
    let text = text_of(&path, client).await?;
    let lines: Vec<&str> = text.lines().collect();
    if output.is_json() {
        output.json(&json!({ "task": task.index, "frame": task.frame, "lines": lines }));
        return Ok(());
    }
    for line in lines {
        output.line(line);
    }
    Ok(())
}

async fn text_of(path: &str, client: &Client) -> Result<String, CliError> {
    let written = Written::default();
    client
        .on_some_node(async |url| written.take_in(url, path, client, &mut |_| {}).await)
        .await?;
    Ok(written.into_text())
}

/// What is there, or its last lines; then what comes, over breaks, until the attempt is over.
async fn follow(
    path: &str,
    tail: Option<u32>,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let tell = |line: &str| match output.is_json() {
        true => output.json_line(&json!({ "line": line })),
        false => output.line(line),
    };
    let there = text_of(path, client).await?;
    let whole_lines = there.rfind('\n').map_or(0, |end| end + 1);
    let lines: Vec<&str> = there[..whole_lines].lines().collect();
    let skipped = match tail {
        Some(tail) => lines.len().saturating_sub(tail as usize),
        None => 0,
    };
    lines.iter().skip(skipped).for_each(|line| tell(line));
    let path = format!("{path}follow=1");
    let written = Written::after(whole_lines as u64);
    client
        .on_some_node(async |url| {
            written
                .take_in(url, &path, client, &mut |line| tell(line))
                .await
        })
        .await?;
    let rest = written.into_text();
    if !rest.is_empty() {
        tell(&rest);
    }
    Ok(())
}

/// A log as far as it has come. A log only grows: another node's answer is gone on with behind
/// what was had before.
#[derive(Default)]
struct Written {
    /// Bytes that have been taken in, or were known before.
    offset: Cell<u64>,
    /// What has come and was not told yet: all of it, or the beginning of a line.
    untold: RefCell<Vec<u8>>,
    /// Lines go to the teller as they are whole.
    tells_lines: bool,
}

impl Written {
    /// A log that goes on after so many bytes.
    fn after(offset: u64) -> Self {
        Self {
            offset: Cell::new(offset),
            untold: RefCell::default(),
            tells_lines: true,
        }
    }

    fn into_text(self) -> String {
        String::from_utf8_lossy(&self.untold.into_inner()).into_owned()
    }

    async fn take_in(
        &self,
        url: &str,
        path: &str,
        client: &Client,
        tell: &mut dyn FnMut(&str),
    ) -> Result<(), AttemptError> {
        let request = client.request(Method::GET, url, path);
        let response = timeout(OPEN_TIMEOUT, send(url, request))
            .await
            .map_err(|_| AttemptError::elsewhere(url, "did not answer in time"))??;
        let mut response = good_answer(url, response, false).await?;
        let mut position = 0;
        let mut has_moved = false;
        loop {
            let reason = match timeout(MAX_SILENCE, response.chunk()).await {
                Ok(Ok(Some(bytes))) => {
                    let known = self.offset.get().saturating_sub(position);
                    let new = &bytes[(known as usize).min(bytes.len())..];
                    position += bytes.len() as u64;
                    if !new.is_empty() {
                        has_moved = true;
                        self.offset.set(position);
                        self.add(new, tell);
                    }
                    continue;
                }
                Ok(Ok(None)) => return Ok(()),
                Ok(Err(error)) => format!("broke off: {error}"),
                Err(_) => "was silent for long".to_owned(),
            };
            return Err(AttemptError::Elsewhere {
                error: CliError::Node {
                    url: url.to_owned(),
                    reason,
                },
                progressed: has_moved,
            });
        }
    }

    fn add(&self, new: &[u8], tell: &mut dyn FnMut(&str)) {
        let mut untold = self.untold.borrow_mut();
        untold.extend_from_slice(new);
        if !self.tells_lines {
            return;
        }
        let Some(end) = untold.iter().rposition(|byte| *byte == b'\n') else {
            return;
        };
        let lines: Vec<u8> = untold.drain(..=end).collect();
        for line in String::from_utf8_lossy(&lines).lines() {
            tell(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_when_they_are_whole() {
        let written = Written::after(0);
        let mut told = Vec::new();
        let mut tell = |line: &str| told.push(line.to_owned());
        for piece in ["Fra:1 Me", "m:12M\nFra:2", "\n", "Sav"] {
            written.add(piece.as_bytes(), &mut tell);
        }
        assert_eq!(told, ["Fra:1 Mem:12M", "Fra:2"]);
        assert_eq!(written.into_text(), "Sav");
    }
}
