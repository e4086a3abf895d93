//! A program in a process group of its own, at low priority, with its output read line by line.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::log::{LineCutter, Log};

/// Rendering must not starve the node: its heartbeats decide who leads.
const NICENESS: &str = "10";
/// How long to wait for output that a program left in the pipe when it ended or answered.
const OUTPUT_PATIENCE: Duration = Duration::from_millis(500);
/// What the environment keeps: where programs are, and what GPUs need.
const KEPT_VARIABLES: [&str; 8] = [
    "PATH",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "ZE_AFFINITY_MASK",
    "SYSTEMROOT",
];

/// A command that runs `program` at low priority with nothing of this process's environment that
/// it does not need. `home` becomes its home, its working folder and the place of its temporary
/// files.
pub(super) fn command(program: &Path, home: &Path) -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", NICENESS]).arg(program);
    command.env_clear();
    for name in KEPT_VARIABLES {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
        .env("HOME", home)
        .env("TMPDIR", home)
        .env("LANG", "C.UTF-8")
        .current_dir(home);
    command
}

/// A running program and all processes that it started; they die with this value.
#[derive(Debug)]
pub(super) struct Group {
    child: Child,
    id: Pid,
    /// Set once the program is reaped: from then on its number may be another's.
    ended: Option<ExitStatus>,
    output: Output,
}

impl Group {
    /// Starts the command. What it prints, on either stream, goes to the group's [`Output`].
    pub(super) fn start(mut command: Command, stdin: Stdio) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        command
            .stdin(stdin)
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn()?;
        // The command holds the pipe's other end: the output would never end.
        drop(command);
        let id = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw)
            .ok_or_else(|| io::Error::other("the program ended as it started"))?;
        let output = Output::read(pipe::Receiver::from_owned_fd(reader.into())?);
        Ok(Self {
            child,
            id,
            ended: None,
            output,
        })
    }

    pub(super) fn id(&self) -> Pid {
        self.id
    }

    pub(super) fn output(&self) -> &Output {
        &self.output
    }

    /// Ends every process of the group at once.
    pub(super) fn kill(&self) {
        if self.ended.is_none() {
            // An error means that none of them is left.
            let _ = killpg(self.id, Signal::SIGKILL);
        }
    }

    /// Waits until the program has ended; whatever it left running is killed then.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.ended {
            return Ok(status);
        }
        let status = self.child.wait().await?;
        self.kill();
        self.ended = Some(status);
        self.output.ended().await;
        Ok(status)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How a program ended, for people: `exit code 1`, `signal 11 (SIGSEGV)`.
pub(super) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(number)) => match Signal::try_from(number) {
            Ok(signal) => format!("signal {number} ({signal})"),
            Err(_) => format!("signal {number}"),
        },
        (None, None) => "an unknown status".to_owned(),
    }
}

/// What the programs of a group print.
#[derive(Debug)]
pub(super) struct Output {
    log: Arc<Mutex<Log>>,
    /// The number in the newest [`SYNC`] line.
    synced: watch::Receiver<u64>,
    reader: JoinHandle<()>,
}

/// Starts the line that a program prints to say that all output up to here is out; a number
/// follows.
const SYNC: &str = "jiggablend-sync ";

impl Output {
    fn read(mut pipe: pipe::Receiver) -> Self {
        let log = Arc::new(Mutex::new(Log::default()));
        let (synced_sender, synced) = watch::channel(0);
        let reader_log = Arc::clone(&log);
        let reader = tokio::spawn(async move {
            let keep = |line: String| {
                let sync = line.strip_prefix(SYNC).and_then(|text| text.parse().ok());
                match sync {
                    Some(number) => drop(synced_sender.send(number)),
                    None => lock(&reader_log).push(line),
                }
            };
            let mut cutter = LineCutter::default();
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
                cutter.push(&buffer[..length], keep);
            }
            if let Some(rest) = cutter.finish() {
                keep(rest);
            }
        });
        Self {
            log,
            synced,
            reader,
        }
    }

    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        lock(&self.log)
    }

    /// The same log, for whoever watches it while the program is busy.
    pub(super) fn shared_log(&self) -> Arc<Mutex<Log>> {
        Arc::clone(&self.log)
    }

    /// Waits (a moment at most) until the log has everything up to that sync line.
    pub(super) async fn synced(&self, number: u64) {
        let mut synced = self.synced.clone();
        let all = synced.wait_for(|newest| *newest >= number);
        // Late output is a flaw of the log, never of the attempt.
        let _ = tokio::time::timeout(OUTPUT_PATIENCE, all).await;
    }

    /// Waits (a moment at most) for the rest of the output of a program that has ended.
    async fn ended(&mut self) {
        let _ = tokio::time::timeout(OUTPUT_PATIENCE, &mut self.reader).await;
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// A log is whole whatever happened to its last writer.
pub(super) fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::testing::{group_lives, until};
    use super::*;

    fn shell(script: &str, home: &Path) -> Group {
        let mut shell = command(Path::new("sh"), home);
        shell.args(["-c", script]);
        Group::start(shell, Stdio::null()).unwrap()
    }

    async fn until_printed(group: &Group, words: &str) {
        until(words, || {
            let printed = group.output().log().last_words(5);
            printed.contains(words).then_some(())
        })
        .await;
    }

    #[tokio::test]
    async fn killing_a_group_ends_what_its_program_started() {
        let home = tempfile::tempdir().unwrap();
        let mut group = shell("sleep 1000 & echo started; wait", home.path());
        until_printed(&group, "started").await;
        group.kill();
        assert_eq!(describe(group.wait().await.unwrap()), "signal 9 (SIGKILL)");
        until("the end of the group", || {
            (!group_lives(group.id())).then_some(())
        })
        .await;
    }

    #[tokio::test]
    async fn what_a_program_leaves_running_ends_with_it() {
        let home = tempfile::tempdir().unwrap();
        let mut group = shell("sleep 1000 & echo out; echo err >&2; exit 3", home.path());
        let status = group.wait().await.unwrap();
        assert_eq!(describe(status), "exit code 3");
        assert_eq!(group.wait().await.unwrap(), status, "waiting again is fine");
        assert_eq!(group.output().log().last_words(5), "out / err");
        until("the end of the group", || {
            (!group_lives(group.id())).then_some(())
        })
        .await;
    }

    #[tokio::test]
    async fn a_dropped_group_ends() {
        let home = tempfile::tempdir().unwrap();
        let group = shell("echo started; sleep 1000", home.path());
        until_printed(&group, "started").await;
        let id = group.id();
        drop(group);
        until("the end of the group", || (!group_lives(id)).then_some(())).await;
    }
}
