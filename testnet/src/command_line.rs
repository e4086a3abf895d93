//! `jiggablend` as a person runs it in a shell.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::{Result, TestnetError, program};

/// How a command ended and what it said.
#[derive(Debug, Clone)]
pub struct Said {
    /// The exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    pub fn succeeded(&self) -> bool {
        self.code == Some(0)
    }
}

/// `jiggablend` with nothing of the caller's own farm in its environment: neither another data
/// directory nor another node's address reaches it.
pub fn jiggablend() -> Result<Command> {
    let mut command = Command::new(program::jiggablend()?);
    for (name, _) in std::env::vars_os() {
        let keep = ["JIGGABLEND_BLENDER", "JIGGABLEND_CACHE"];
        let name_text = name.to_string_lossy();
        if name_text.starts_with("JIGGABLEND_") && !keep.contains(&name_text.as_ref()) {
            command.env_remove(&name);
        }
    }
    command.kill_on_drop(true);
    Ok(command)
}

/// Runs `jiggablend ARGUMENTS` against the node of `data`, for no longer than `patience`.
pub async fn run<I, S>(data: &Path, arguments: I, patience: Duration) -> Result<Said>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = jiggablend()?;
    command
        .args(arguments)
        .env("JIGGABLEND_DATA", data)
        .stdin(Stdio::null());
    finish(command, patience).await
}

/// Runs a command to its end and takes what it says.
pub async fn finish(mut command: Command, patience: Duration) -> Result<Said> {
    let output = tokio::time::timeout(patience, command.output())
        .await
        .map_err(|_| TestnetError::Timeout {
            what: "a command's end".into(),
            waited: patience,
            last_seen: format!("{:?}", command.as_std()),
        })?
        .map_err(TestnetError::io("running jiggablend"))?;
    Ok(Said {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
