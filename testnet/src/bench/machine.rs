//! On what a bench ran: a figure without its machine says nothing.

use std::fs;
use std::process::Command;

use crate::program::{blender, checkout};

/// One line: processor, cores, memory, kernel, Blender, commit, profile.
pub(super) fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let gib = memory_kib() / (1 << 20);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    format!(
        "{}, {cores} cores, {gib} GiB, Linux {}, {}, commit {}, {profile} build",
        processor(),
        kernel.trim(),
        first_line(Command::new(blender()).arg("--version")),
        commit(),
    )
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    value_of(&text, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn memory_kib() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    value_of(&text, "MemTotal")
        .and_then(|value| value.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// The value of the first `key : value` line.
fn value_of(text: &str, key: &str) -> Option<String> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim().to_owned())
}

/// The commit, with a `+` where the checkout has changes that are in no commit.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(checkout()).args(arguments);
        first_line(&mut command)
    };
    let hash = git(&["rev-parse", "--short", "HEAD"]);
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    let mark = if changed == "unknown" { "" } else { "+" };
    format!("{hash}{mark}")
}

/// What the program says first; `unknown` where it says nothing.
fn first_line(command: &mut Command) -> String {
    let output = command
        .output()
        .map(|output| output.stdout)
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&output);
    text.lines().next().unwrap_or("unknown").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_key() {
        let text = "MemTotal:       24 kB\nmodel name\t: EPYC\n";
        assert_eq!(value_of(text, "model name").as_deref(), Some("EPYC"));
        assert_eq!(value_of(text, "MemTotal").as_deref(), Some("24 kB"));
        assert_eq!(value_of(text, "Mem"), None);
    }
}
