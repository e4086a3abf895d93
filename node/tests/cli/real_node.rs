//! One real node of a farm of its own, for what only a farm can decide.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::Machine;

/// A farm of one node starts within this time, on a busy machine too.
const START: Duration = Duration::from_secs(90);
const STOP: Duration = Duration::from_secs(20);

/// A running node, whose data directory is the machine's. Dropping it ends it.
pub struct RealNode {
    pub machine: Machine,
    pub url: String,
    process: Child,
}

impl RealNode {
    /// A new farm's first node, with local accounts, that renders nothing.
    pub fn start() -> Self {
        let machine = Machine::without_node();
        let data = machine.data_dir();
        let mut process = machine
            .command(&["node", "start", "--json", "--no-render", "--no-mdns"])
            .args(["--port", "0", "--mesh-port", "0", "--bind", "127.0.0.1"])
            .args(["--farm-name", "barn", "--name", "attic"])
            .arg("--data")
            .arg(&data)
            .env("ENABLE_LOCAL_AUTH", "true")
            .env("JIGGABLEND_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = process.stdout.take().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        // It ends with the node's stdout.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let greeting = receiver.recv_timeout(START).expect("the node starts");
        let greeting: Value = serde_json::from_str(&greeting).unwrap();
        Self {
            url: greeting["web"].as_str().unwrap().to_owned(),
            machine,
            process,
        }
    }
}

impl Drop for RealNode {
    fn drop(&mut self) {
        let id = nix::unistd::Pid::from_raw(self.process.id() as i32);
        let _ = nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM);
        let deadline = Instant::now() + STOP;
        while Instant::now() < deadline {
            if let Ok(Some(_)) = self.process.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
