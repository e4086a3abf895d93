//! Schemathesis goes through the API of a node by its OpenAPI document, with all its checks.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use tokio::process::Command;

use crate::program::{checkout, last_lines};
use crate::{Result, TestnetError};

/// A request that takes longer is a fault.
const REQUEST_SECONDS: &str = "20";

/// What to try.
#[derive(Debug, Clone)]
pub struct Cases<'a> {
    /// `http://host:port` of the node.
    pub url: &'a str,
    /// A bearer token; its rights decide how far the cases reach.
    pub token: &'a str,
    /// At most so many an operation in its fuzzing phase.
    pub each: u32,
    pub seed: u64,
    /// Parameters that are not made up, as `path.id` and its value.
    pub parameters: &'a [(&'a str, String)],
}

/// What came of it.
#[derive(Debug)]
pub struct Verdict {
    pub cases: u64,
    pub operations: u64,
    /// Each kind of failure in one line.
    pub failures: Vec<String>,
    /// The end of what it said, for people.
    pub said: String,
}

#[derive(Deserialize)]
struct Report {
    complete: bool,
    operations: Operations,
    test_cases: TestCases,
    failures: Vec<Failure>,
    errors: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Operations {
    tested: u64,
}

#[derive(Deserialize)]
struct TestCases {
    generated: u64,
}

#[derive(Deserialize)]
struct Failure {
    title: String,
    count: u64,
    operations: Vec<serde_json::Value>,
}

/// Runs the cases. An error where they could not be run; failures are in the verdict.
pub async fn run(cases: &Cases<'_>) -> Result<Verdict> {
    let program = std::env::var_os("JIGGABLEND_SCHEMATHESIS").ok_or_else(|| {
        TestnetError::Usage(
            "schemathesis is not there; run testnet/setup --tests, then source testnet/env.sh"
                .into(),
        )
    })?;
    let folder = tempfile::tempdir().map_err(TestnetError::io("making a temporary folder"))?;
    let report = folder.path().join("report.json");
    // A wrong value for a parameter that is given here would never be sent, and not be refused.
    let mode = match cases.parameters.is_empty() {
        true => "all",
        false => "positive",
    };
    let output = Command::new(program)
        .arg("--config-file")
        .arg(config(folder.path(), cases.parameters)?)
        .args(["run", &format!("{}/api/openapi.json", cases.url)])
        .args(["--checks", "all", "--continue-on-failure", "--no-color"])
        .args(["--mode", mode])
        .args(["--max-examples", &cases.each.to_string()])
        .args(["--seed", &cases.seed.to_string()])
        .args(["--request-timeout", REQUEST_SECONDS])
        .args(["--report", "json", "--report-json-path"])
        .arg(&report)
        .env("JIGGABLEND_TOKEN", cases.token)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(TestnetError::io("running schemathesis"))?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let text = std::fs::read_to_string(&report).map_err(|error| {
        let said = last_lines(&said, 30);
        TestnetError::Usage(format!(
            "schemathesis made no report ({error}); it said:\n{said}"
        ))
    })?;
    let report: Report = serde_json::from_str(&text)
        .map_err(|error| TestnetError::Usage(format!("reading schemathesis's report: {error}")))?;
    let mut failures: Vec<String> = report.failures.iter().map(in_words).collect();
    failures.extend(report.errors.iter().map(|error| format!("error: {error}")));
    if !report.complete {
        failures.push("the run did not come to its end".to_owned());
    }
    if failures.is_empty() && !output.status.success() {
        failures.push(format!("schemathesis ended with {}", output.status));
    }
    Ok(Verdict {
        cases: report.test_cases.generated,
        operations: report.operations.tested,
        failures,
        said,
    })
}

fn in_words(failure: &Failure) -> String {
    let operations: Vec<String> = failure.operations.iter().map(ToString::to_string).collect();
    format!(
        "{} times: {} in {}",
        failure.count,
        failure.title,
        operations.join(", ")
    )
}

/// The configuration of the checkout, with the parameters that this run does not make up.
fn config(folder: &Path, parameters: &[(&str, String)]) -> Result<PathBuf> {
    let source = checkout().join("testnet/schemathesis/schemathesis.toml");
    let mut text = std::fs::read_to_string(&source)
        .map_err(TestnetError::io(format!("reading {}", source.display())))?;
    let hooks = checkout().join("testnet/schemathesis/hooks.py");
    text.insert_str(0, &format!("hooks = \"{}\"\n", hooks.display()));
    text.push_str("\n[parameters]\n");
    for (name, value) in parameters {
        text.push_str(&format!("\"{name}\" = \"{value}\"\n"));
    }
    let path = folder.join("schemathesis.toml");
    std::fs::write(&path, text)
        .map_err(TestnetError::io("writing schemathesis's configuration"))?;
    Ok(path)
}
