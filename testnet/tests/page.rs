//! The page in headless Chromium, against a real farm: `web/ui/e2e`, with its surroundings.
#![allow(clippy::unwrap_used)]

mod common;

use std::process::Stdio;

use common::scene_in;
use jiggablend_testnet::farm::Farm;
use jiggablend_testnet::node::{TEST_EMAIL, TEST_PASSWORD};
use jiggablend_testnet::program::{checkout, last_lines};
use jiggablend_testnet::scenes::{Recipe, Scene};
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn the_page_renders_a_scene_in_chromium() {
    let farm = Farm::start(3).await.unwrap();
    let scene = scene_in(&farm, Recipe::of(Scene::Short)).await;
    let follower = farm.a_follower().await.unwrap();

    let output = Command::new("npm")
        .args(["run", "--silent", "e2e"])
        .current_dir(checkout().join("web/ui"))
        .env("BASE_URL", farm.node(follower).url())
        .env("JIGGABLEND_E2E_EMAIL", TEST_EMAIL)
        .env("JIGGABLEND_E2E_PASSWORD", TEST_PASSWORD)
        .env("JIGGABLEND_E2E_SCENE", &scene)
        .env("JIGGABLEND_E2E_FRAMES", "1-6")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();

    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{}", last_lines(&said, 80));
    // The browser's view and the API's agree.
    let jobs = farm.api(1).jobs().await.unwrap();
    assert!(!jobs.is_empty(), "the page submitted a job");
    farm.stop().await.unwrap();
}
