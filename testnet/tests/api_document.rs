//! The API is what its OpenAPI document says: schemathesis goes through all of it.
#![allow(clippy::unwrap_used)]

mod common;

use common::{job_of, scene_in};
use jiggablend_testnet::farm::{Farm, FarmOptions};
use jiggablend_testnet::scenes::{Recipe, Scene};
use jiggablend_testnet::schemathesis::{self, Cases};

/// Enough for each operation's own boundaries; `testnet/bench schemathesis` goes through 10,000.
const CASES_EACH: u32 = 12;

async fn assert_conforms(cases: Cases<'_>, at_least: u64) {
    let verdict = schemathesis::run(&cases).await.unwrap();
    assert_eq!(verdict.failures, Vec::<String>::new(), "{}", verdict.said);
    assert!(verdict.operations > 75, "{}", verdict.said);
    assert!(verdict.cases > at_least, "{}", verdict.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_case_that_the_document_allows_or_forbids_surprises_the_api() {
    let options = FarmOptions {
        arguments: vec!["--no-render".into()],
        ..FarmOptions::default()
    };
    let farm = Farm::start_with(1, options).await.unwrap();
    let scene = scene_in(&farm, Recipe::of(Scene::Short)).await;
    let job = farm
        .api(1)
        .submit(&scene, &job_of("1-3", false))
        .await
        .unwrap();
    let files = farm.api(1).files(&job, None).await.unwrap();
    let token = farm.api(1).token().unwrap();
    let cases = Cases {
        url: farm.node(1).url(),
        token,
        each: CASES_EACH,
        seed: 1,
        parameters: &[],
    };
    assert_conforms(cases.clone(), 2000).await;
    // Made-up ids lead nowhere; these reach a job and its file.
    let existing = [("path.id", job), ("path.file", files[0].id.clone())];
    let reaching = Cases {
        seed: 2,
        parameters: &existing,
        ..cases
    };
    assert_conforms(reaching, 500).await;
    farm.stop().await.unwrap();
}
