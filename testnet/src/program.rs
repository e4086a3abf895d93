//! Where the programs are that a farm on this machine needs.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::{Result, TestnetError};

/// The `jiggablend` to test: `JIGGABLEND_BIN`, or else the one of this checkout, in the profile
/// that this program was built in, brought up to date once per process. So no test ever runs
/// yesterday's program.
pub fn jiggablend() -> Result<PathBuf> {
    static BUILT: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    BUILT
        .get_or_init(|| find_or_build().map_err(|error| error.to_string()))
        .clone()
        .map_err(TestnetError::Usage)
}

fn find_or_build() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("JIGGABLEND_BIN") {
        let given = PathBuf::from(given);
        return match given.is_file() {
            true => Ok(given),
            false => Err(TestnetError::Usage(format!(
                "JIGGABLEND_BIN is {}, which is no file",
                given.display()
            ))),
        };
    }
    let target = target_dir()?;
    let mut build = std::process::Command::new(env!("CARGO"));
    build
        .args(["build", "--package", "jiggablend-node"])
        .args(["--no-default-features", "--message-format", "short"])
        .current_dir(checkout());
    if target.ends_with("release") {
        build.arg("--release");
    }
    let output = build
        .output()
        .map_err(TestnetError::io("starting cargo to build jiggablend"))?;
    if !output.status.success() {
        return Err(TestnetError::Program {
            program: "cargo build --package jiggablend-node".into(),
            status: output.status.to_string(),
            last_words: last_lines(&String::from_utf8_lossy(&output.stderr), 20),
        });
    }
    Ok(target.join("jiggablend"))
}

/// `jiggablend-load`, which lies beside this program where `testnet/bench` built both.
pub fn load() -> Result<PathBuf> {
    let load = target_dir()?.join("jiggablend-load");
    match load.is_file() {
        true => Ok(load),
        false => Err(TestnetError::Usage(format!(
            "{} is not there; run this by testnet/bench, which builds it",
            load.display()
        ))),
    }
}

/// `target/debug` or `target/release`, whichever this program lies in.
fn target_dir() -> Result<PathBuf> {
    let this = std::env::current_exe().map_err(TestnetError::io("finding this program"))?;
    let dir = this.parent().unwrap_or(Path::new("."));
    // Tests lie one folder deeper than programs.
    let dir = match dir.ends_with("deps") {
        true => dir.parent().unwrap_or(dir),
        false => dir,
    };
    Ok(dir.to_owned())
}

/// The root of this checkout.
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in a folder of the checkout")
}

/// The Blender to make scenes and to compare with: `JIGGABLEND_BLENDER`, or the one on PATH.
pub fn blender() -> PathBuf {
    std::env::var_os("JIGGABLEND_BLENDER").map_or_else(|| "blender".into(), PathBuf::from)
}

/// The last `count` lines of a text.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_a_short_text_are_all_of_it() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a\n", 2), "a");
        assert_eq!(last_lines("", 2), "");
    }
}
