//! A runner that speaks only HTTP: `jiggablend node join --http`, or any other program that does.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use tokio::process::{Child, Command};

use crate::process_tree::{Process, descendants};
use crate::wait::{Look, wait_for};
use crate::{Result, TestnetError, command_line, program};

/// A runner that has not registered by then has a fault.
const READY_DEADLINE: Duration = Duration::from_secs(60);

/// A running program that has registered. Dropping it ends the program and all that it started.
#[derive(Debug)]
pub struct HttpRunner {
    child: Child,
    pid: i32,
    id: u64,
}

/// What the program prints once it is a runner of the farm.
#[derive(Debug, Deserialize)]
struct Greeting {
    runner: u64,
}

/// The command `jiggablend node join --http` for a runner that keeps its data in `data`.
pub fn join_command(
    urls: &[&str],
    token: Option<&str>,
    name: &str,
    data: &Path,
) -> Result<Command> {
    let mut command = command_line::jiggablend()?;
    command
        .args(["node", "join", "--json", "--http", &urls.join(",")])
        .args(["--name", name])
        .arg("--data")
        .arg(data);
    if let Some(token) = token {
        command.args(["--token", token]);
    }
    Ok(command)
}

impl HttpRunner {
    /// Starts the program and waits until it says which runner it is. What it prints goes to `log`.
    pub async fn start(mut command: Command, log: &Path) -> Result<Self> {
        let opening = || TestnetError::io(format!("opening {}", log.display()));
        let file = std::fs::File::create(log).map_err(opening())?;
        let file_too = file.try_clone().map_err(opening())?;
        command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(file_too)
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .map_err(TestnetError::io("starting an HTTP runner"))?;
        let pid = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .expect("a child that was not waited for has its pid");
        let log: PathBuf = log.to_owned();
        let id = wait_for("an HTTP runner to register", READY_DEADLINE, || {
            let ended = child.try_wait().ok().flatten();
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let greeting = text
                .lines()
                .find_map(|line| serde_json::from_str::<Greeting>(line).ok());
            async move {
                match (greeting, ended) {
                    (_, Some(status)) => Look::Never(format!("it ended ({status}): {text}")),
                    (Some(greeting), None) => Look::Seen(greeting.runner),
                    (None, None) => Look::NotYet(program::last_lines(&text, 5)),
                }
            }
        });
        let id = match id.await {
            Ok(id) => id,
            Err(error) => {
                end_with_children(pid);
                return Err(error);
            }
        };
        Ok(Self { child, pid, id })
    }

    /// The runner's node id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// `kill -9` for the program and for what it had started.
    pub async fn kill_hard(mut self) -> Result<()> {
        end_with_children(self.pid);
        self.child
            .wait()
            .await
            .map(drop)
            .map_err(TestnetError::io("waiting for a killed HTTP runner"))
    }

    /// Asks it to stop and waits until it has.
    pub async fn stop(mut self) -> Result<()> {
        kill(Pid::from_raw(self.pid), Signal::SIGTERM)
            .map_err(|errno| TestnetError::io("stopping an HTTP runner")(errno.into()))?;
        match tokio::time::timeout(READY_DEADLINE, self.child.wait()).await {
            Ok(ended) => ended
                .map(drop)
                .map_err(TestnetError::io("waiting for an HTTP runner")),
            Err(_) => Err(TestnetError::Timeout {
                what: "an HTTP runner to stop".to_owned(),
                waited: READY_DEADLINE,
                last_seen: "it still runs".to_owned(),
            }),
        }
    }
}

impl Drop for HttpRunner {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            end_with_children(self.pid);
        }
    }
}

fn end_with_children(pid: i32) {
    let Some(process) = Process::running(pid) else {
        return;
    };
    let started_by_it = descendants(pid);
    process.signal(Signal::SIGKILL);
    for descendant in started_by_it {
        descendant.signal(Signal::SIGKILL);
    }
}
