//! What a process has started, from `/proc`.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process, told from a later one that got the same number by when it started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    parent: i32,
    /// The command's name as the kernel keeps it: at most 15 characters.
    pub name: String,
    state: char,
    /// Clock ticks after boot.
    started: u64,
}

impl Process {
    /// The process of this number, unless it has ended (a zombie has).
    pub fn running(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        parse_stat(&stat).filter(|process| process.state != 'Z' && process.state != 'X')
    }

    /// True while this very process runs.
    pub fn is_running(&self) -> bool {
        Self::running(self.pid).is_some_and(|now| now.started == self.started)
    }

    /// Sends a signal; a process that has ended is left in peace.
    pub fn signal(&self, signal: Signal) {
        if self.is_running() {
            // It may have ended since: then there is nothing to do.
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }
}

/// One line of `/proc/PID/stat`; see proc(5). The name may hold spaces and brackets.
fn parse_stat(stat: &str) -> Option<Process> {
    let name_start = stat.find('(')?;
    let name_end = stat.rfind(')')?;
    let fields: Vec<&str> = stat.get(name_end + 1..)?.split_whitespace().collect();
    Some(Process {
        pid: stat.get(..name_start)?.trim().parse().ok()?,
        name: stat.get(name_start + 1..name_end)?.to_owned(),
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

/// All that `root` has started and that still runs, and what those have started.
pub fn descendants(root: i32) -> Vec<Process> {
    let mut all: Vec<Process> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Process::running)
        .collect();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        let (children, others): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|process| process.parent == parent);
        parents.extend(children.iter().map(|child| child.pid));
        found.extend(children);
        all = others;
    }
    found
}

/// The Blender processes among the descendants of `root`.
pub fn blenders(root: i32) -> Vec<Process> {
    descendants(root)
        .into_iter()
        .filter(|process| process.name.starts_with("blender"))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_is_read() {
        let stat = "42 (a) b (c) S 7 42 42 0 -1 0 0 0 0 0 1 2 3 4 20 0 1 0 991 0 0";
        let process = parse_stat(stat).unwrap();
        assert_eq!((process.pid, process.parent), (42, 7));
        assert_eq!(process.name, "a) b (c");
        assert_eq!(process.started, 991);
    }

    #[test]
    fn a_child_is_found_and_its_end_is_seen() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let this = i32::try_from(std::process::id()).unwrap();
        let found = descendants(this).into_iter().find(|p| p.pid == pid);
        let process = found.expect("the child is a descendant");
        process.signal(Signal::SIGKILL);
        child.wait().unwrap();
        assert!(!process.is_running());
        assert!(descendants(this).iter().all(|p| p.pid != pid));
    }
}
