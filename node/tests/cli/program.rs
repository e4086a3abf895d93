//! Runs the program and keeps what it said.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A machine on which the program runs: its data directory, and a folder for files.
pub struct Machine {
    folder: TempDir,
}

/// What one run said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Machine {
    /// A machine whose node answers at `url`.
    pub fn with_node(url: &str) -> Self {
        let machine = Self::without_node();
        let endpoint = json!({"url": url, "token": "the-token", "node": 1});
        std::fs::write(
            machine.data_dir().join("endpoint.json"),
            endpoint.to_string(),
        )
        .unwrap();
        machine
    }

    pub fn without_node() -> Self {
        let machine = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(machine.data_dir()).unwrap();
        machine
    }

    pub fn data_dir(&self) -> PathBuf {
        self.path("data")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An uncompressed .blend of one block, as small as 60 bytes.
    pub fn scene(&self, name: &str, size_bytes: usize) -> PathBuf {
        const HEADER_AND_BLOCK_HEADS_BYTES: usize = 12 + 2 * 24;
        let block_bytes = size_bytes - HEADER_AND_BLOCK_HEADS_BYTES;
        let mut bytes = b"BLENDER-v304DATA".to_vec();
        bytes.extend((block_bytes as u32).to_le_bytes());
        bytes.extend([0; 16]);
        bytes.resize(bytes.len() + block_bytes, 7);
        bytes.extend(b"ENDB");
        bytes.extend([0; 20]);
        assert_eq!(bytes.len(), size_bytes);
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn run(&self, arguments: &[&str]) -> Said {
        self.command(arguments)
            .arg("--data")
            .arg(self.data_dir())
            .output()
            .map(said)
            .unwrap()
    }

    /// A run without `--data`, for `--url`.
    pub fn run_without_data(&self, arguments: &[&str]) -> Said {
        self.command(arguments).output().map(said).unwrap()
    }

    /// A run without `--data`, with something on stdin.
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Said {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // One that refuses before it reads has closed it.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().map(said).unwrap()
    }

    /// Where saved sign-ins are.
    pub fn credentials(&self) -> PathBuf {
        self.path(".config/jiggablend/credentials.json")
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jiggablend"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .env("HOME", self.folder.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("JIGGABLEND_")) {
            command.env_remove(name);
        }
        command
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_CONFIG_HOME");
        command
    }
}

fn said(output: std::process::Output) -> Said {
    Said {
        code: output.status.code().expect("it was not killed"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Said {
    /// Fails the test, with everything that was said, where the exit code is another.
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// The lines of stderr that tell of frames.
    pub fn frame_lines(&self) -> Vec<&str> {
        self.stderr
            .lines()
            .filter(|line| line.starts_with("frame "))
            .collect()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    pub fn json_lines(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The one error on stderr under `--json`.
    pub fn json_error(&self) -> Value {
        let mut all: Value =
            serde_json::from_str(&self.stderr).unwrap_or_else(|error| panic!("{error}: {self:#?}"));
        all["error"].take()
    }
}

/// The permissions of a file or a folder.
pub fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The names of the files in a folder, sorted.
pub fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
