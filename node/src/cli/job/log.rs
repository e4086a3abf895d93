//! `job log`: what Blender said, of an attempt that is over or, with `--follow`, as it is said.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

use jiggablend_raft::JobId;
use reqwest::{Method, Response};
use serde_json::json;
use tokio::time::timeout;

use super::{path_of, tasks};
use crate::cli::CliError;
use crate::cli::api_types::Task;
use crate::cli::args::JobLogArgs;
use crate::cli::client::{AttemptError, Client, good_answer, send, whole_body};
use crate::cli::output::Output;

/// A render may be silent for long; the connection is tried anew after this.
const MAX_SILENCE: Duration = Duration::from_secs(120);
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
/// Logs are no longer than some tens of MiB; a node that sends no more for this long is left.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(120);
/// What a node has of a log comes at once; after this pause it is what is said now.
const BURST_PAUSE: Duration = Duration::from_millis(250);
/// So many of the last lines tell where one was.
const REMEMBERED_LINES: usize = 50;
/// A line that does not end is cut.
const MAX_LINE_BYTES: usize = 1024 * 1024;

pub async fn run(
    job: JobId,
    args: &JobLogArgs,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let task = tasks::find(job, args.task, client).await?;
    if args.task.frame.is_none() && !args.task.video {
        output.note(&format!("the log of {}:", tasks::words(&task)));
    }
    // One attempt is followed, not whichever is the newest when a connection broke.
    let newest = (args.follow && task.epoch.0 > 0).then(|| u64::from(task.epoch.0));
    let attempt = args.attempt.or(newest);
    let path = |tail: Option<u32>| {
        let pairs = [
            attempt.map(|attempt| format!("attempt={attempt}")),
            args.follow.then(|| "follow=1".to_owned()),
            tail.map(|tail| format!("tail={tail}")),
        ];
        let pairs: Vec<String> = pairs.into_iter().flatten().collect();
        let base = format!("{}/tasks/{}/log", path_of(job), task.index);
        match pairs.is_empty() {
            true => base,
            false => format!("{base}?{}", pairs.join("&")),
        }
    };
    match args.follow {
        true => follow(&path(args.tail), &path(None), client, output).await,
        false => once(&path(args.tail), &task, client, output).await,
    }
}

async fn once(path: &str, task: &Task, client: &Client, output: &Output) -> Result<(), CliError> {
    let bytes = client
        .on_some_node(async |url| {
            let request = client
                .request(Method::GET, url, path)
                .timeout(WHOLE_TIMEOUT);
            whole_body(url, send(url, request).await?, false).await
        })
        .await?;
    let text = String::from_utf8_lossy(&bytes);
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

/// What is there, or its last lines; then what comes, over breaks, until the attempt is over.
/// After a break what was told is looked for in all that there is.
async fn follow(
    first_path: &str,
    whole_path: &str,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let tell = |line: &str| match output.is_json() {
        true => output.json_line(&json!({ "line": line })),
        false => output.line(line),
    };
    let told = RefCell::new(Told::default());
    let is_resumed = Cell::new(false);
    client
        .on_some_node(async |url| {
            let again = is_resumed.get();
            let path = if again { whole_path } else { first_path };
            let request = client.request(Method::GET, url, path);
            let response = timeout(OPEN_TIMEOUT, send(url, request))
                .await
                .map_err(|_| AttemptError::elsewhere(url, "did not answer in time"))??;
            let response = good_answer(url, response, again).await?;
            is_resumed.set(true);
            let mut lines = Lines::new(url, response);
            let mut has_moved = false;
            let mut burst = match again {
                true => lines.burst().await,
                false => Ok(Vec::new()),
            };
            if let Ok(burst) = &mut burst {
                let known = told.borrow().known_of(burst);
                burst.drain(..known);
            }
            let mut next = burst;
            loop {
                match next {
                    Ok(new) => {
                        for line in new {
                            has_moved = true;
                            tell(&line);
                            told.borrow_mut().add(line);
                        }
                    }
                    Err(End::OfLog) => return Ok(()),
                    Err(End::Broken(error)) => {
                        return Err(AttemptError::Elsewhere {
                            error,
                            progressed: has_moved,
                        });
                    }
                }
                next = lines.next().await;
            }
        })
        .await
}

/// The last lines that were told.
#[derive(Default)]
struct Told(VecDeque<String>);

impl Told {
    fn add(&mut self, line: String) {
        if self.0.len() >= REMEMBERED_LINES {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }

    /// How many of these lines were told before: up to the last place where they end like what was
    /// told, as much of it as possible. Where no line was, the node has forgotten them: none.
    fn known_of(&self, lines: &[String]) -> usize {
        let mut best = (0, 0);
        for end in 1..=lines.len() {
            let alike = lines[..end]
                .iter()
                .rev()
                .zip(self.0.iter().rev())
                .take_while(|(line, told)| line == told)
                .count();
            if alike > 0 && alike >= best.0 {
                best = (alike, end);
            }
        }
        best.1
    }
}

/// Why no more lines come.
enum End {
    OfLog,
    Broken(CliError),
}

/// An answer's lines as they come.
struct Lines {
    url: String,
    response: Response,
    rest: Vec<u8>,
    has_ended: bool,
}

impl Lines {
    fn new(url: &str, response: Response) -> Self {
        Self {
            url: url.to_owned(),
            response,
            rest: Vec::new(),
            has_ended: false,
        }
    }

    /// What the node has already. An answer that ends with it says so with the next question.
    async fn burst(&mut self) -> Result<Vec<String>, End> {
        let mut lines = self.next().await?;
        while !self.has_ended {
            match timeout(BURST_PAUSE, self.next()).await {
                Ok(Ok(more)) => lines.extend(more),
                Ok(Err(End::OfLog)) => self.has_ended = true,
                Ok(Err(broken)) => return Err(broken),
                Err(_) => break,
            }
        }
        Ok(lines)
    }

    /// The next whole lines; at the end of the log what is left is one.
    async fn next(&mut self) -> Result<Vec<String>, End> {
        if self.has_ended {
            return Err(End::OfLog);
        }
        let broken = |url: &str, reason: String| {
            let url = url.to_owned();
            End::Broken(CliError::Node { url, reason })
        };
        match timeout(MAX_SILENCE, self.response.chunk()).await {
            Ok(Ok(Some(bytes))) => {
                self.rest.extend_from_slice(&bytes);
                Ok(whole_lines(&mut self.rest))
            }
            Ok(Ok(None)) => {
                self.has_ended = true;
                match self.rest.is_empty() {
                    true => Err(End::OfLog),
                    false => Ok(vec![String::from_utf8_lossy(&self.rest).into_owned()]),
                }
            }
            Ok(Err(error)) => Err(broken(&self.url, format!("broke off: {error}"))),
            Err(_) => Err(broken(&self.url, "was silent for long".to_owned())),
        }
    }
}

/// Takes the lines that have ended.
fn whole_lines(rest: &mut Vec<u8>) -> Vec<String> {
    let end = match rest.iter().rposition(|byte| *byte == b'\n') {
        Some(end) => end + 1,
        None if rest.len() > MAX_LINE_BYTES => rest.len(),
        None => return Vec::new(),
    };
    let bytes: Vec<u8> = rest.drain(..end).collect();
    let text = String::from_utf8_lossy(&bytes);
    text.lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn known(told: &str, has: &str) -> usize {
        let mut known = Told::default();
        lines(told).into_iter().for_each(|line| known.add(line));
        known.known_of(&lines(has))
    }

    #[test]
    fn what_was_told_is_found_again_in_what_another_node_has() {
        assert_eq!(known("a b c", "a b c d e"), 3);
        assert_eq!(known("b c", "a b c d e"), 3, "with a tail");
        assert_eq!(known("a b c", "b c d"), 2, "the node keeps less");
        assert_eq!(known("a b c", "a b c"), 3);
        assert_eq!(known("", "a b"), 0);
        assert_eq!(known("a b", "x y z"), 0, "nothing of it is left");
        // Lines that are alike are told apart by those before them.
        assert_eq!(known("a x b x", "a x b x c x"), 4);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut told = Told::default();
        (0..1_000).for_each(|line| told.add(line.to_string()));
        assert_eq!(told.0.len(), REMEMBERED_LINES);
    }

    #[test]
    fn lines_are_told_when_they_are_whole() {
        let mut rest = b"Fra:1\r\nFra".to_vec();
        assert_eq!(whole_lines(&mut rest), ["Fra:1"]);
        rest.extend(b":2\n\nSav");
        assert_eq!(whole_lines(&mut rest), ["Fra:2", ""]);
        assert_eq!(whole_lines(&mut rest), [""; 0]);
        assert_eq!(rest, b"Sav");
    }
}
