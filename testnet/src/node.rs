//! One node of a farm: a process with a data directory, which can be killed and started again.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::Rng;
use serde::Deserialize;
use tokio::process::Child;

use crate::api::Api;
use crate::process_tree::{Process, descendants};
use crate::wait::{Look, wait_for};
use crate::{Result, TestnetError, command_line, program};

/// A node that is not ready by then has a fault: even a debug build on a busy machine takes a
/// tenth of it.
const READY_DEADLINE: Duration = Duration::from_secs(60);

/// A node that was asked to stop and has not by then is a fault too.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// Ports below the range from which the kernel gives ports to outgoing connections: a port that
/// was free when it was chosen stays so until its node binds it, and while its node is down.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// The account that every node of a testnet makes, for signing in to the page.
pub const TEST_EMAIL: &str = "artist@testnet.example";
pub const TEST_PASSWORD: &str = "blocks-and-a-golden-ball";

/// How a node is set up; the same at each of its starts.
#[derive(Debug, Clone)]
pub struct NodeSettings {
    pub name: String,
    /// Below it lies all that the node keeps.
    pub data: PathBuf,
    /// Where its output goes, start after start.
    pub log: PathBuf,
    /// More arguments for `node start` and `node join`.
    pub arguments: Vec<String>,
    /// Variables for the process; an empty value takes the variable away.
    pub environment: Vec<(String, String)>,
    /// Commands before `jiggablend`, for example `ip netns exec NAME`.
    pub wrapper: Vec<String>,
}

/// `<data>/endpoint.json`: how a command line on the same machine reaches the node.
#[derive(Debug, Clone, Deserialize)]
struct Endpoint {
    url: String,
    token: String,
    node: u64,
}

/// A node's process. Dropping it ends the process and all that it has started.
#[derive(Debug)]
pub struct NodeProcess {
    pub settings: NodeSettings,
    child: Child,
    pid: i32,
    endpoint: Endpoint,
    api: Api,
}

/// A node after `kill -9`. Dropping it ends what the node had started and left behind.
#[derive(Debug)]
pub struct KilledNode {
    pub settings: NodeSettings,
    pub id: u64,
    /// What the node had started when it was killed.
    pub left_behind: Vec<Process>,
}

impl KilledNode {
    /// What still runs of it.
    pub fn orphans(&self) -> Vec<Process> {
        let still = self
            .left_behind
            .iter()
            .filter(|process| process.is_running());
        still.cloned().collect()
    }
}

impl Drop for KilledNode {
    fn drop(&mut self) {
        for process in &self.left_behind {
            process.signal(Signal::SIGKILL);
        }
    }
}

impl NodeSettings {
    /// A node of this name on loopback with ports of its own, below `dir`.
    pub fn on_loopback(dir: &Path, name: &str) -> Result<Self> {
        let (port, mesh_port) = ports_of(&dir.join(format!("{name}.ports")))?;
        let mut settings = Self::bare(dir, name);
        settings.arguments = ["--bind", "127.0.0.1", "--no-mdns"]
            .map(str::to_owned)
            .into();
        settings
            .arguments
            .extend([format!("--port={port}"), format!("--mesh-port={mesh_port}")]);
        Ok(settings)
    }

    /// A node of this name below `dir`, with all of the program's defaults.
    pub fn bare(dir: &Path, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            data: dir.join(name),
            log: dir.join(format!("{name}.log")),
            arguments: Vec::new(),
            environment: Vec::new(),
            wrapper: Vec::new(),
        }
    }

    /// The whole command that starts this node.
    pub fn command(&self, verb: &[&str]) -> Result<tokio::process::Command> {
        let jiggablend = command_line::jiggablend()?;
        let mut command = match self.wrapper.split_first() {
            None => jiggablend,
            Some((first, rest)) => {
                let mut command = tokio::process::Command::new(first);
                command.args(rest).arg(jiggablend.as_std().get_program());
                command.kill_on_drop(true);
                command
            }
        };
        command
            .arg("node")
            .args(verb)
            .args(["--name", &self.name])
            .arg("--data")
            .arg(&self.data)
            .args(&self.arguments)
            .env("ENABLE_LOCAL_AUTH", "true")
            .env("LOCAL_TEST_EMAIL", TEST_EMAIL)
            .env("LOCAL_TEST_PASSWORD", TEST_PASSWORD);
        for (name, value) in &self.environment {
            match value.is_empty() {
                true => command.env_remove(name),
                false => command.env(name, value),
            };
        }
        Ok(command)
    }

    fn endpoint_file(&self) -> PathBuf {
        self.data.join("endpoint.json")
    }

    /// The end of the node's log.
    pub fn log_end(&self, lines: usize) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        program::last_lines(&String::from_utf8_lossy(&text), lines)
    }
}

impl NodeProcess {
    /// Starts a farm, or goes on in the one that the data directory belongs to.
    pub async fn start(settings: NodeSettings) -> Result<Self> {
        Self::spawn(settings, &["start"]).await
    }

    /// Joins the ticket's farm.
    pub async fn join(settings: NodeSettings, ticket: &str) -> Result<Self> {
        Self::spawn(settings, &["join", ticket]).await
    }

    async fn spawn(settings: NodeSettings, verb: &[&str]) -> Result<Self> {
        if let Some(parent) = settings.log.parent() {
            fs::create_dir_all(parent)
                .map_err(TestnetError::io(format!("making {}", parent.display())))?;
        }
        // An endpoint of an earlier start would be taken for this one's.
        let _ = fs::remove_file(settings.endpoint_file());
        let opening = format!("opening {}", settings.log.display());
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(&settings.log)
            .map_err(TestnetError::io(opening))?;
        let log_too = log
            .try_clone()
            .map_err(TestnetError::io("sharing a node's log"))?;
        let mut command = settings.command(verb)?;
        command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_too)
            // Ctrl-C in the terminal reaches this program, which then stops its nodes in order.
            .process_group(0);
        let mut child = command
            .spawn()
            .map_err(TestnetError::io(format!("starting {}", settings.name)))?;
        let pid = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .expect("a child that was not waited for has its pid");
        let endpoint = match wait_for_endpoint(&settings, &mut child).await {
            Ok(endpoint) => endpoint,
            Err(error) => {
                end_with_children(pid);
                return Err(error);
            }
        };
        Ok(Self {
            api: Api::with_token(&endpoint.url, &endpoint.token),
            settings,
            child,
            pid,
            endpoint,
        })
    }

    /// Waits until the node's state is up to date with a leader that it can reach.
    pub async fn wait_until_ready(&mut self) -> Result<()> {
        let what = format!("{} to be ready", self.settings.name);
        let (api, child, settings) = (&self.api, &mut self.child, &self.settings);
        let looked = wait_for(&what, READY_DEADLINE, || {
            let ended = child.try_wait().ok().flatten();
            async move {
                match ended {
                    Some(status) => Look::Never(format!("it ended ({status})")),
                    None => Look::from_result(api.is_ready().await),
                }
            }
        });
        match looked.await {
            Err(TestnetError::Hopeless { why, .. }) => Err(settings.ended(&why)),
            other => other,
        }
    }

    pub fn id(&self) -> u64 {
        self.endpoint.node
    }

    pub fn api(&self) -> &Api {
        &self.api
    }

    pub fn url(&self) -> &str {
        &self.endpoint.url
    }

    /// The operator's token.
    pub fn token(&self) -> &str {
        &self.endpoint.token
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// What the node has started and what still runs of it.
    pub fn descendants(&self) -> Vec<Process> {
        descendants(self.pid)
    }

    /// `kill -9`: the node alone, as a crash or the kernel would end it.
    pub async fn kill_hard(mut self) -> Result<KilledNode> {
        let left_behind = descendants(self.pid);
        kill(Pid::from_raw(self.pid), Signal::SIGKILL)
            .map_err(|errno| TestnetError::io("killing a node")(errno.into()))?;
        self.child
            .wait()
            .await
            .map_err(TestnetError::io("waiting for a killed node"))?;
        Ok(KilledNode {
            settings: self.settings.clone(),
            id: self.endpoint.node,
            left_behind,
        })
    }

    /// Sends SIGTERM and waits for the node to end by itself.
    pub async fn stop(self) -> Result<ExitStatus> {
        self.stop_with(Signal::SIGTERM, STOP_DEADLINE).await
    }

    /// Sends the signal and waits for the node to end by itself, for no longer than `patience`.
    pub async fn stop_with(mut self, signal: Signal, patience: Duration) -> Result<ExitStatus> {
        let stopping = format!("stopping {}", self.settings.name);
        kill(Pid::from_raw(self.pid), signal)
            .map_err(|errno| TestnetError::io(&stopping)(errno.into()))?;
        match tokio::time::timeout(patience, self.child.wait()).await {
            Ok(ended) => ended.map_err(TestnetError::io(stopping)),
            Err(_) => Err(TestnetError::Timeout {
                what: format!("{} to stop", self.settings.name),
                waited: patience,
                last_seen: self.settings.log_end(5),
            }),
        }
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            end_with_children(self.pid);
        }
    }
}

/// Ends a process and all that it has started. For the end of a test, whatever became of it.
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

impl NodeSettings {
    fn ended(&self, status: &str) -> TestnetError {
        TestnetError::NodeEnded {
            node: self.name.clone(),
            status: status.to_owned(),
            log: self.log.clone(),
            last_words: self.log_end(20),
        }
    }
}

async fn wait_for_endpoint(settings: &NodeSettings, child: &mut Child) -> Result<Endpoint> {
    let file = settings.endpoint_file();
    let what = format!("{} to serve", settings.name);
    let looked = wait_for(&what, READY_DEADLINE, || {
        let ended = child.try_wait().ok().flatten();
        let seen = fs::read(&file)
            .map_err(|error| error.to_string())
            .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string()));
        async move {
            match (ended, seen) {
                (Some(status), _) => Look::Never(status.to_string()),
                (None, Ok(endpoint)) => Look::Seen(endpoint),
                (None, Err(error)) => Look::NotYet(error),
            }
        }
    });
    match looked.await {
        Ok(endpoint) => Ok(endpoint),
        Err(TestnetError::Hopeless { why, .. }) => Err(settings.ended(&why)),
        Err(TestnetError::Timeout { what, waited, .. }) => Err(TestnetError::Timeout {
            what,
            waited,
            last_seen: settings.log_end(20),
        }),
        Err(error) => Err(error),
    }
}

/// The web port and the mesh port of a node: those of its last start, so that a farm that starts
/// again finds itself; free ones the first time, written to `path`.
fn ports_of(path: &Path) -> Result<(u16, u16)> {
    let known = fs::read_to_string(path).ok();
    let known = known.as_deref().and_then(|text| {
        let (port, mesh_port) = text.trim().split_once(' ')?;
        Some((port.parse().ok()?, mesh_port.parse().ok()?))
    });
    if let Some(ports) = known {
        return Ok(ports);
    }
    let (port, mesh_port) = (free_port()?, free_port()?);
    fs::write(path, format!("{port} {mesh_port}\n"))
        .map_err(TestnetError::io("writing a node's ports"))?;
    Ok((port, mesh_port))
}

/// A port on loopback that neither TCP nor UDP uses.
pub fn free_port() -> Result<u16> {
    let mut random = rand::rng();
    for _ in 0..200 {
        let port = random.random_range(PORTS);
        let address = (Ipv4Addr::LOCALHOST, port);
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return Ok(port);
        }
    }
    Err(TestnetError::Usage(format!(
        "found no free port between {} and {}; end what uses them",
        PORTS.start, PORTS.end
    )))
}
