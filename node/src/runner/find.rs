//! Finds Blender and ffmpeg on this machine and asks them what they can do.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use jiggablend_raft::{Device, RunnerFacts};

use super::RunnerConfig;
use super::blender::Blender;
use super::process;
use super::scratch::Scratch;

/// A Blender that does not answer by then is reported as broken.
const BLENDER_PATIENCE: Duration = Duration::from_secs(30);
/// Asking a GPU's driver can take long where it is broken; then only the CPU is reported.
const DEVICES_PATIENCE: Duration = Duration::from_secs(5);
const FFMPEG_PATIENCE: Duration = Duration::from_secs(5);
const OLDEST_BLENDER: (u32, u32) = (2, 93);
/// `--offline-mode` is there from this version on.
const OFFLINE_MODE_SINCE: (u32, u32) = (4, 2);

/// A program that the driver can run in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BlenderProgram {
    path: PathBuf,
    kind: ProgramKind,
    version: Option<(u32, u32)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProgramKind {
    Blender,
    /// A Python interpreter that has the `bpy` module.
    Python,
}

impl BlenderProgram {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The arguments that run the driver. Order matters to Blender: what protects from a scene
    /// stands before anything that could open one.
    pub(super) fn arguments(&self, driver: &Path) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        match self.kind {
            ProgramKind::Blender => {
                arguments.extend(["-b", "-noaudio", "--factory-startup", "-Y"].map(OsString::from));
                if self.version >= Some(OFFLINE_MODE_SINCE) {
                    arguments.push("--offline-mode".into());
                }
                arguments.extend(["--python-exit-code", "42", "--python"].map(OsString::from));
            }
            // Isolated: nothing of the user's Python gets in.
            ProgramKind::Python => arguments.extend(["-I", "-B"].map(OsString::from)),
        }
        arguments.push(driver.into());
        arguments
    }
}

/// What this machine can render and encode with.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Or why it does not render, and what to do about it.
    pub(super) blender: Result<BlenderProgram, String>,
    pub(super) ffmpeg: Option<PathBuf>,
    pub(super) facts: RunnerFacts,
}

/// Looks for both programs and asks them for version and devices. Takes as long as Blender's own
/// start, and never longer than half a minute.
pub(super) async fn find(config: &RunnerConfig, scratch: &Scratch) -> Found {
    let ask_for_blender = async {
        if config.render {
            ask_blender(config.blender.as_deref(), scratch).await
        } else {
            Err("rendering is switched off on this node (--no-render)".to_owned())
        }
    };
    let (asked_blender, asked_ffmpeg) = tokio::join!(
        ask_for_blender,
        ask_ffmpeg(config.ffmpeg.as_deref(), scratch)
    );
    let mut facts = RunnerFacts {
        slots: config.slots,
        cpu_threads: std::thread::available_parallelism().map_or(1, |count| count.get() as u32),
        memory_bytes: memory_bytes().unwrap_or(0),
        ..RunnerFacts::default()
    };
    let blender = match asked_blender {
        Ok((program, version, devices)) => {
            facts.blender_version = Some(version);
            facts.devices = devices;
            Ok(program)
        }
        Err(why_not) => {
            facts.why_not = Some(why_not.clone());
            Err(why_not)
        }
    };
    let ffmpeg = asked_ffmpeg.map(|(path, version)| {
        facts.ffmpeg = Some(version);
        path
    });
    Found {
        blender,
        ffmpeg,
        facts,
    }
}

async fn ask_blender(
    configured: Option<&Path>,
    scratch: &Scratch,
) -> Result<(BlenderProgram, String, Vec<Device>), String> {
    let mut program = locate_blender(configured, std::env::var_os("PATH").as_deref())?;
    let path = program.path.display().to_string();
    let mut blender = tokio::time::timeout(BLENDER_PATIENCE, Blender::start(&program, scratch))
        .await
        .map_err(|_| {
            format!(
                "{path} did not answer within {} s; does `{path} -b` work here?",
                BLENDER_PATIENCE.as_secs()
            )
        })?
        .map_err(|failure| format!("{path} does not work: {}", failure.message))?;
    let version = blender
        .version()
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned();
    program.version = parse_version(&version);
    if program.version < Some(OLDEST_BLENDER) {
        let (major, minor) = OLDEST_BLENDER;
        return Err(format!(
            "{path} is Blender {version}; JiggaBlend needs {major}.{minor} or later"
        ));
    }
    let devices = match tokio::time::timeout(DEVICES_PATIENCE, blender.devices()).await {
        Ok(Ok(devices)) => devices,
        Ok(Err(failure)) => {
            tracing::warn!(
                blender = path,
                "cannot list Cycles devices: {}",
                failure.message
            );
            Vec::new()
        }
        Err(_) => {
            tracing::warn!(
                blender = path,
                "listing Cycles devices took too long; GPUs are left out"
            );
            Vec::new()
        }
    };
    Ok((program, version, with_cpu(devices)))
}

/// Blender renders on the CPU whatever else there is.
fn with_cpu(mut devices: Vec<Device>) -> Vec<Device> {
    if !devices.iter().any(|device| device.kind == "CPU") {
        let cpu = Device {
            kind: "CPU".to_owned(),
            name: "CPU".to_owned(),
        };
        devices.insert(0, cpu);
    }
    devices
}

/// Where Blender is: what was configured, or `blender` on the PATH. A folder stands for the
/// Blender or the virtual environment in it.
pub(super) fn locate_blender(
    configured: Option<&Path>,
    path_variable: Option<&OsStr>,
) -> Result<BlenderProgram, String> {
    let Some(configured) = configured else {
        let path = on_path("blender", path_variable).ok_or(
            "no Blender on this machine; install Blender 2.93 or later, or name one with --blender \
             or JIGGABLEND_BLENDER",
        )?;
        return Ok(program_at(path));
    };
    let shown = configured.display();
    let candidates = if configured.is_dir() {
        vec![configured.join("blender"), configured.join("bin/python")]
    } else if configured.components().count() == 1 {
        on_path(configured, path_variable).into_iter().collect()
    } else {
        vec![configured.to_owned()]
    };
    let path = candidates
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| {
            format!(
                "there is no Blender at {shown}; --blender or JIGGABLEND_BLENDER must name the \
                 program, its folder, or a Python that has the bpy module"
            )
        })?;
    // Not canonical: a virtual environment's Python is a link, and knows its place by the link.
    let absolute = std::path::absolute(&path).map_err(|error| format!("{shown}: {error}"))?;
    Ok(program_at(absolute))
}

fn program_at(path: PathBuf) -> BlenderProgram {
    let is_python = path
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with("python"));
    BlenderProgram {
        kind: if is_python {
            ProgramKind::Python
        } else {
            ProgramKind::Blender
        },
        path,
        version: None,
    }
}

fn on_path(name: impl AsRef<Path>, path_variable: Option<&OsStr>) -> Option<PathBuf> {
    std::env::split_paths(path_variable?)
        .map(|folder| folder.join(name.as_ref()))
        .find(|path| path.is_file())
}

/// `4.5.15` → (4, 5).
fn parse_version(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// The ffmpeg to encode with and the first line of its version; `None` where there is none that
/// can make H.264.
async fn ask_ffmpeg(configured: Option<&Path>, scratch: &Scratch) -> Option<(PathBuf, String)> {
    let path_variable = std::env::var_os("PATH");
    let path = match configured {
        Some(path) if path.components().count() > 1 => std::path::absolute(path).ok()?,
        Some(name) => on_path(name, path_variable.as_deref())?,
        None => on_path("ffmpeg", path_variable.as_deref())?,
    };
    let version = run_ffmpeg(&path, "-version", scratch).await?;
    let encoders = run_ffmpeg(&path, "-encoders", scratch).await?;
    if !encoders.contains("libx264") {
        tracing::warn!(ffmpeg = %path.display(), "this ffmpeg has no libx264 and is not used");
        return None;
    }
    let first_line = version.lines().next()?.trim().to_owned();
    Some((path, first_line))
}

async fn run_ffmpeg(path: &Path, argument: &str, scratch: &Scratch) -> Option<String> {
    let home = scratch.process().ok()?;
    let output = process::command(path, home.path())
        .args(["-hide_banner", argument])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(FFMPEG_PATIENCE, output).await {
        Ok(Ok(output)) if output.status.success() => {
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Ok(Ok(output)) => {
            tracing::warn!(ffmpeg = %path.display(), "does not work: {}", process::describe(output.status));
            None
        }
        Ok(Err(error)) => {
            tracing::warn!(ffmpeg = %path.display(), %error, "cannot be started");
            None
        }
        Err(_) => {
            tracing::warn!(ffmpeg = %path.display(), "does not answer");
            None
        }
    }
}

/// The machine's memory, where the system tells it (Linux).
fn memory_bytes() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn folder_with(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    #[test]
    fn a_program_its_folder_or_a_virtual_environment_can_be_named() {
        let blender = folder_with(&["blender"]);
        let environment = folder_with(&["bin/python"]);
        let program = blender.path().join("blender");
        for configured in [blender.path(), &program] {
            let found = locate_blender(Some(configured), None).unwrap();
            assert_eq!(
                (found.path(), found.kind),
                (&*program, ProgramKind::Blender)
            );
        }
        let python = environment.path().join("bin/python");
        for configured in [environment.path(), &python] {
            let found = locate_blender(Some(configured), None).unwrap();
            assert_eq!((found.path(), found.kind), (&*python, ProgramKind::Python));
        }
    }

    #[test]
    fn blender_is_found_on_the_path_and_its_absence_says_what_to_do() {
        let (empty, other) = (folder_with(&[]), folder_with(&["blender", "blender-4.5"]));
        let path = std::env::join_paths([empty.path(), other.path()]).unwrap();
        let found = locate_blender(None, Some(&path)).unwrap();
        assert_eq!(found.path(), other.path().join("blender"));
        let named = locate_blender(Some(Path::new("blender-4.5")), Some(&path)).unwrap();
        assert_eq!(named.path(), other.path().join("blender-4.5"));

        let why_not = locate_blender(None, Some(empty.path().as_os_str())).unwrap_err();
        assert!(why_not.contains("install Blender"), "{why_not}");
        let why_not = locate_blender(Some(empty.path()), Some(&path)).unwrap_err();
        assert!(why_not.contains("there is no Blender at"), "{why_not}");
    }

    #[test]
    fn what_protects_from_a_scene_stands_before_the_driver() {
        let arguments = |version: &str| {
            let mut program = program_at("/opt/blender".into());
            program.version = parse_version(version);
            let arguments = program.arguments(Path::new("/x/driver.py"));
            let texts: Vec<String> = arguments
                .iter()
                .map(|argument| argument.to_string_lossy().into_owned())
                .collect();
            texts.join(" ")
        };
        let old = arguments("3.4.1");
        assert!(old.contains("--factory-startup -Y "), "{old}");
        assert!(
            old.ends_with("--python-exit-code 42 --python /x/driver.py"),
            "{old}"
        );
        assert!(!old.contains("--offline-mode"), "{old}");
        assert!(arguments("4.2.0").contains(" -Y --offline-mode "));
        assert!(arguments("10.0").contains(" -Y --offline-mode "));
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert_eq!(parse_version("4.5.15"), Some((4, 5)));
        assert_eq!(parse_version("nonsense"), None);
        assert!(parse_version("2.100") > Some(OLDEST_BLENDER));
        assert!(parse_version("2.79") < Some(OLDEST_BLENDER));
    }
}
