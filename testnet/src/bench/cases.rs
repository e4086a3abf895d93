//! Ten thousand cases that schemathesis makes of the API's document.

use reqwest::Method;

use super::{Report, Row, Samples};
use crate::farm::{Farm, FarmOptions};
use crate::schemathesis::{self, Cases};
use crate::{Result, TestnetError};

const CASES: u64 = 10_000;
/// An operation and a round.
const EACH: u32 = 40;
/// Each round makes other cases; more of them are not needed for so many.
const MAX_ROUNDS: u64 = 6;

fn one(value: f64) -> Samples {
    let mut samples = Samples::default();
    samples.push(value);
    samples
}

pub(super) async fn run(against: Option<&str>) -> Result<Report> {
    if let Some(peer) = against {
        return Err(TestnetError::Usage(format!(
            "the bench schemathesis has no peer '{peer}'; leave --against out"
        )));
    }
    let options = FarmOptions {
        arguments: vec!["--no-render".into()],
        ..FarmOptions::default()
    };
    let farm = Farm::start_with(1, options).await?;
    let token = farm.api(1).token().unwrap_or_default().to_owned();
    let mut cases = 0;
    let mut failures = Vec::new();
    for seed in 1..=MAX_ROUNDS {
        let verdict = schemathesis::run(&Cases {
            url: farm.node(1).url(),
            token: &token,
            each: EACH,
            seed,
            parameters: &[],
        })
        .await?;
        cases += verdict.cases;
        eprintln!("{cases} cases, {} kinds of failure", verdict.failures.len());
        failures.extend(verdict.failures);
        if cases >= CASES {
            break;
        }
    }
    for failure in &failures {
        eprintln!("{failure}");
    }
    // What thousands of odd requests leave behind is a node that answers as before.
    let ready = farm.api(1).request(Method::GET, "/readyz").send().await;
    let is_ready = ready.is_ok_and(|answer| answer.status().is_success());
    if !is_ready {
        failures.push("the node does not answer any more".to_owned());
    }
    farm.stop().await?;
    let row = |metric, what: &str, value: f64, bar| Row {
        metric,
        what: what.to_owned(),
        samples: one(value),
        unit: "",
        peer: None,
        bar: Some(bar),
    };
    Ok(Report {
        bench: "schemathesis",
        what_is_timed: "Nothing: cases that schemathesis makes of the OpenAPI document, with all \
                        its checks, against one node."
            .to_owned(),
        rows: vec![
            row("cases", "cases sent", cases as f64, "at least 10,000"),
            row(
                "failures",
                "kinds of failure: 5xx, another shape, status or type than the document says",
                failures.len() as f64,
                "0",
            ),
        ],
    })
}
