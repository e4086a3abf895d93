//! Builds the page in `ui/` with npm, where its sources changed, for the binary to embed.
//!
//! `JIGGABLEND_SKIP_UI=1` builds a binary without the page. `JIGGABLEND_NODE_BIN` is a folder
//! with `node` and `npm` that goes before the PATH.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Written by the build itself, or by tests: changes of these are no changes of the sources.
const NOT_SOURCES: [&str; 5] = [
    "node_modules",
    "dist",
    "coverage",
    "test-results",
    "playwright-report",
];

fn main() {
    if let Err(message) = build() {
        eprintln!("error: {message}");
        std::process::exit(1);
    }
}

fn build() -> Result<(), String> {
    let ui = Path::new("ui");
    let dist = if is_wanted(ui)? {
        watch(ui)?;
        let npm = Npm::find(ui)?;
        npm.install_if_needed()?;
        npm.run(&["run", "build"])?;
        let dist = fs::canonicalize(ui.join("dist")).map_err(|error| {
            format!("`npm run build` in web/ui made no dist folder: {error}; see its output")
        })?;
        if !dist.join("index.html").is_file() {
            return Err("`npm run build` in web/ui made no dist/index.html".to_owned());
        }
        dist
    } else {
        let none = PathBuf::from(env::var("OUT_DIR").map_err(|error| error.to_string())?);
        let none = none.join("no-ui");
        fs::create_dir_all(&none).map_err(|error| format!("creating {none:?}: {error}"))?;
        none
    };
    println!("cargo:rustc-env=JIGGABLEND_UI_DIST={}", dist.display());
    Ok(())
}

fn is_wanted(ui: &Path) -> Result<bool, String> {
    println!("cargo:rerun-if-env-changed=JIGGABLEND_SKIP_UI");
    println!("cargo:rerun-if-env-changed=JIGGABLEND_NODE_BIN");
    println!("cargo:rerun-if-changed=build.rs");
    let is_skipped =
        env::var("JIGGABLEND_SKIP_UI").is_ok_and(|skip| !skip.is_empty() && skip != "0");
    let is_there = ui.join("package.json").is_file();
    if is_skipped {
        println!("cargo:warning=building without the page, since JIGGABLEND_SKIP_UI is set");
    } else if !is_there {
        println!("cargo:warning=building without the page, since web/ui/package.json is not there");
        // So that the page is built when it comes.
        println!("cargo:rerun-if-changed=.");
    }
    Ok(is_there && !is_skipped)
}

/// Cargo runs this again when one of the sources changes.
fn watch(ui: &Path) -> Result<(), String> {
    let entries = fs::read_dir(ui).map_err(|error| format!("reading web/ui: {error}"))?;
    for entry in entries {
        let entry = entry.map_err(|error| format!("reading web/ui: {error}"))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with('.') && !NOT_SOURCES.contains(&name.as_ref()) {
            println!("cargo:rerun-if-changed={}", entry.path().display());
        }
    }
    Ok(())
}

struct Npm<'a> {
    ui: &'a Path,
    path: String,
}

impl<'a> Npm<'a> {
    fn find(ui: &'a Path) -> Result<Self, String> {
        let mut path = env::var("PATH").unwrap_or_default();
        if let Ok(first) = env::var("JIGGABLEND_NODE_BIN") {
            path = format!("{first}:{path}");
        }
        let npm = Self { ui, path };
        let version = npm.output("node", &["--version"])?;
        let numbers: Vec<u32> = version
            .trim()
            .trim_start_matches('v')
            .split('.')
            .map_while(|number| number.parse().ok())
            .collect();
        if numbers.as_slice() < [20, 19].as_slice() {
            return Err(format!(
                "the page needs Node 20.19 or later to be built, and `node` is {}; {WHAT_TO_DO}",
                version.trim()
            ));
        }
        npm.output("npm", &["--version"])?;
        Ok(npm)
    }

    /// `npm ci` takes half a minute: only when the lock file is not the one that was installed.
    fn install_if_needed(&self) -> Result<(), String> {
        let lock = self.ui.join("package-lock.json");
        let lock = fs::read(&lock).map_err(|error| format!("reading {lock:?}: {error}"))?;
        let installed = self.ui.join("node_modules/.installed-lock.json");
        if fs::read(&installed).is_ok_and(|installed| installed == lock) {
            return Ok(());
        }
        self.run(&["ci", "--no-audit", "--no-fund"])?;
        fs::write(&installed, lock).map_err(|error| format!("writing {installed:?}: {error}"))
    }

    fn run(&self, args: &[&str]) -> Result<(), String> {
        self.output("npm", args).map(drop)
    }

    fn output(&self, program: &str, args: &[&str]) -> Result<String, String> {
        let output = Command::new(program)
            .args(args)
            .current_dir(self.ui)
            .env("PATH", &self.path)
            .output()
            .map_err(|error| {
                format!("the page needs Node 20.19 or later to be built, and `{program}` cannot be run ({error}); {WHAT_TO_DO}")
            })?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(stdout);
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        Err(format!(
            "`{program} {}` in web/ui failed ({}):\n{stdout}{stderr}",
            args.join(" "),
            output.status
        ))
    }
}

const WHAT_TO_DO: &str = "put it on the PATH (./testnet/setup brings it), name its folder in JIGGABLEND_NODE_BIN, or set JIGGABLEND_SKIP_UI=1 for a binary without the page";
