//! Bad input gets a clear answer and changes nothing, through the command line and the API.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::time::Duration;

use common::{JOB_DEADLINE, SOON, download_frames, job_of, scene_in};
use jiggablend_testnet::TestnetError;
use jiggablend_testnet::api::{Api, NewJob};
use jiggablend_testnet::command_line::{self, Said};
use jiggablend_testnet::farm::{Farm, FarmOptions, turn};
use jiggablend_testnet::node::{NodeProcess, NodeSettings, TEST_EMAIL};
use jiggablend_testnet::scenes::{Recipe, Scene};
use jiggablend_testnet::wait::{Look, wait_for};
use jiggablend_testnet::wire::JobState;
use nix::sys::signal::Signal;

const NO_SUCH_JOB: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// The problem's status, name and one-line detail.
fn problem<T: std::fmt::Debug>(result: Result<T, TestnetError>) -> (u16, String, String) {
    match result {
        Err(TestnetError::Problem {
            status,
            name,
            detail,
            ..
        }) => {
            assert!(
                !detail.trim().is_empty() && !detail.contains('\n'),
                "{detail:?}"
            );
            (status, name, detail)
        }
        other => panic!("a problem was expected, this came: {other:?}"),
    }
}

async fn run(farm: &Farm, arguments: &[&str]) -> Said {
    let data = &farm.node(1).settings.data;
    command_line::run(data, arguments, SOON).await.unwrap()
}

/// Asserts that the command failed, said why on stderr with `words` in it, and did not panic.
fn assert_refused(said: &Said, words: &[&str]) {
    assert!(!said.succeeded(), "it was taken: {said:?}");
    assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
    let lower = said.stderr.to_lowercase();
    for word in words {
        assert!(
            lower.contains(&word.to_lowercase()),
            "'{word}' is not in: {}",
            said.stderr
        );
    }
}

/// Asserts that no job has tasks, a scene, or files: what was refused left nothing to render.
async fn assert_nothing_to_render(api: &Api) {
    for job in api.jobs().await.unwrap() {
        assert!(
            matches!(job.state, JobState::AwaitingScene | JobState::Cancelled),
            "{job:?}"
        );
        assert!(
            api.files(&job.id, None).await.unwrap().is_empty(),
            "{job:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scene_that_is_none_is_refused_and_leaves_nothing_behind() {
    let farm = Farm::start(1).await.unwrap();
    let scene = scene_in(&farm, Recipe::of(Scene::Short)).await;
    let whole = std::fs::read(&scene).unwrap();
    let no_blend = farm.dir().join("notes.blend");
    std::fs::write(&no_blend, "dear diary\n").unwrap();
    let truncated = farm.dir().join("truncated.blend");
    std::fs::write(&truncated, &whole[..whole.len() / 2]).unwrap();
    let api = farm.api(1);

    for (path, name) in [(&no_blend, "not-a-blend"), (&truncated, "truncated-blend")] {
        let job = api.create_job(&job_of("1-2", true)).await.unwrap();
        let bytes = std::fs::read(path).unwrap();
        let refused = api
            .upload_scene(&job.summary.id, "scene.blend", bytes)
            .await;
        let (status, problem_name, _) = problem(refused);
        assert_eq!((status, problem_name.as_str()), (422, name));
    }
    let said = run(&farm, &["job", "submit", no_blend.to_str().unwrap()]).await;
    assert_refused(&said, &["blend"]);
    let said = run(&farm, &["job", "submit", truncated.to_str().unwrap()]).await;
    assert_refused(&said, &["truncated"]);
    let said = run(&farm, &["job", "submit", "/nowhere/cat.blend"]).await;
    assert_refused(&said, &["/nowhere/cat.blend"]);
    assert_nothing_to_render(api).await;
    farm.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_make_no_sense_are_told_so_and_change_nothing() {
    let farm = Farm::start(1).await.unwrap();
    let scene = scene_in(&farm, Recipe::of(Scene::Short)).await;
    let scene = scene.to_str().unwrap();
    let api = farm.api(1);

    for (frames, hint) in [("10-1", "1-10"), ("", "empty"), (" , ", ""), ("abc", "abc")] {
        let new = NewJob {
            name: "frames".into(),
            frames: Some(frames.into()),
            video: false,
        };
        let (status, _, detail) = problem(api.create_job(&new).await);
        assert!((400..500).contains(&status), "{status} for '{frames}'");
        assert!(detail.contains(hint), "{detail}");
        let said = run(
            &farm,
            &["job", "submit", scene, &format!("--frames={frames}")],
        )
        .await;
        assert_refused(&said, &[hint]);
    }

    let stranger = Api::without_sign_in(farm.node(1).url());
    let wrong = stranger.sign_in(TEST_EMAIL, "not the password").await;
    let (status, name, detail) = problem(wrong);
    assert_eq!((status, name.as_str()), (401, "wrong-credentials"));
    let unknown = stranger
        .sign_in("nobody@testnet.example", "not the password")
        .await;
    assert_eq!(problem(unknown).2, detail, "who has an account is not told");
    assert_eq!(problem(stranger.jobs().await).0, 401);
    let forged = Api::with_token(farm.node(1).url(), "0".repeat(64));
    assert_eq!(problem(forged.jobs().await).0, 401);

    assert_eq!(problem(api.job(NO_SUCH_JOB).await).0, 404);
    assert_eq!(problem(api.cancel(NO_SUCH_JOB).await).0, 404);
    assert_eq!(problem(api.files(NO_SUCH_JOB, None).await).0, 404);
    let upload = api.upload_scene(NO_SUCH_JOB, "a.blend", std::fs::read(scene).unwrap());
    assert_eq!(problem(upload.await).0, 404);
    for verb in ["show", "watch", "cancel", "download"] {
        let said = run(&farm, &["job", verb, NO_SUCH_JOB]).await;
        assert_refused(&said, &[NO_SUCH_JOB]);
    }

    assert!(
        api.jobs().await.unwrap().is_empty(),
        "nothing of it made a job"
    );
    farm.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_that_are_spent_expired_damaged_or_of_another_farm_let_nobody_in() {
    let mut farm = Farm::start(1).await.unwrap();
    let dir = farm.dir().to_owned();
    let try_to_join = async |name: &str, ticket: &str| {
        let settings = NodeSettings::on_loopback(&dir, name).unwrap();
        let command = settings.command(&["join", ticket]).unwrap();
        command_line::finish(command, SOON).await.unwrap()
    };

    let spent = farm.api(1).ticket().await.unwrap();
    let settings = NodeSettings::on_loopback(&dir, "the-one-who-spent-it").unwrap();
    let mut second = NodeProcess::join(settings, &spent).await.unwrap();
    second.wait_until_ready().await.unwrap();
    assert_refused(&try_to_join("spent", &spent).await, &["used already"]);

    let said = run(&farm, &["cluster", "ticket", "--ttl", "1s", "--json"]).await;
    assert!(said.succeeded(), "{said:?}");
    let ticket: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let expires_at_ms = ticket["expires_at_ms"].as_u64().unwrap();
    wait_for("the ticket to expire", SOON, || async {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        match now > Duration::from_millis(expires_at_ms) {
            true => Look::Seen(()),
            false => Look::NotYet(format!("{now:?}")),
        }
    })
    .await
    .unwrap();
    let expired = ticket["ticket"].as_str().unwrap();
    assert_refused(&try_to_join("expired", expired).await, &["expired"]);

    let mut damaged = farm.api(1).ticket().await.unwrap();
    let last = damaged.pop().unwrap();
    damaged.push(if last == 'a' { 'b' } else { 'a' });
    assert_refused(&try_to_join("damaged", &damaged).await, &["damaged"]);
    assert_refused(
        &try_to_join("none", "please").await,
        &["not a jiggablend ticket"],
    );

    let members = farm.api(1).nodes().await.unwrap();
    assert_eq!(members.len(), 2, "nobody else came in: {members:?}");
    second.stop().await.unwrap();
    farm.kill_hard(1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_of_one_farm_does_not_go_into_another() {
    let _turn = turn().await;
    let dir = tempfile::tempdir().unwrap();
    let ours = NodeSettings::on_loopback(dir.path(), "ours").unwrap();
    let theirs = NodeSettings::on_loopback(dir.path(), "theirs").unwrap();
    let mut first = NodeProcess::start(ours).await.unwrap();
    first.wait_until_ready().await.unwrap();
    let mut other = NodeProcess::start(theirs.clone()).await.unwrap();
    other.wait_until_ready().await.unwrap();
    let its_farm = other.api().farm().await.unwrap().id;
    let ticket = first.api().ticket().await.unwrap();
    other.stop().await.unwrap();

    let command = theirs.command(&["join", &ticket]).unwrap();
    let said = command_line::finish(command, SOON).await.unwrap();
    assert_refused(&said, &["farm"]);

    assert_eq!(
        first.api().nodes().await.unwrap().len(),
        1,
        "nobody came in"
    );
    let mut again = NodeProcess::start(theirs).await.unwrap();
    again.wait_until_ready().await.unwrap();
    assert_eq!(
        again.api().farm().await.unwrap().id,
        its_farm,
        "it is what it was"
    );
    again.stop().await.unwrap();
    first.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_and_a_data_directory_in_use_are_told_by_name() {
    let farm = Farm::start(1).await.unwrap();
    let url = farm.node(1).url().to_owned();
    let port = url.rsplit(':').next().unwrap();

    let mut settings = NodeSettings::on_loopback(farm.dir(), "second").unwrap();
    settings
        .arguments
        .retain(|argument| !argument.starts_with("--port="));
    settings.arguments.push(format!("--port={port}"));
    let command = settings.command(&["start"]).unwrap();
    let said = command_line::finish(command, SOON).await.unwrap();
    assert_refused(&said, &["port", port]);

    let mut twice = NodeSettings::on_loopback(farm.dir(), "twice").unwrap();
    twice.data = farm.node(1).settings.data.clone();
    let command = twice.command(&["start"]).unwrap();
    let said = command_line::finish(command, SOON).await.unwrap();
    assert_refused(&said, &[twice.data.to_str().unwrap()]);

    farm.api(1).is_ready().await.unwrap();
    farm.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_content_folder_in_use_is_told_by_name_and_the_node_that_uses_it_goes_on() {
    let storage = tempfile::tempdir().unwrap();
    let storage_argument = format!("--storage={}", storage.path().display());
    let options = FarmOptions {
        arguments: vec![storage_argument.clone()],
        ..FarmOptions::default()
    };
    let farm = Farm::start_with(1, options).await.unwrap();
    let scene = scene_in(&farm, Recipe::of(Scene::Short)).await;

    let mut second = NodeSettings::on_loopback(farm.dir(), "second").unwrap();
    second.arguments.push(storage_argument);
    let command = second.command(&["start"]).unwrap();
    let said = command_line::finish(command, SOON).await.unwrap();
    let folder = storage.path().to_str().unwrap();
    assert_refused(
        &said,
        &[folder, "in use by another jiggablend process", "--storage"],
    );

    let job = farm.api(1).submit(&scene, &job_of("1-2", false)).await;
    let job = farm.wait_until_done(1, &job.unwrap(), JOB_DEADLINE).await;
    let frames = download_frames(farm.api(1), &job.unwrap()).await;
    assert_eq!(frames.len(), 2);
    farm.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_a_node_that_waits_for_a_majority() {
    let mut farm = Farm::start(3).await.unwrap();
    for number in 1..=3 {
        farm.kill_hard(number).await.unwrap();
    }
    let log = farm.killed(1).unwrap().settings.log.clone();
    let said_before_bytes = std::fs::read(&log).unwrap().len();
    farm.restart(1).await.unwrap();
    wait_for("the node to say that it waits", SOON, || async {
        let said = std::fs::read(&log).unwrap().split_off(said_before_bytes);
        let said = String::from_utf8_lossy(&said).into_owned();
        match said.contains("waiting for a majority") {
            true => Look::Seen(()),
            false => Look::NotYet(said),
        }
    })
    .await
    .unwrap();

    let node = farm.take(1);
    let status = node
        .stop_with(Signal::SIGINT, Duration::from_secs(10))
        .await
        .unwrap();

    assert_eq!(status.code(), Some(0), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_blender_serves_and_stores_and_says_why_it_does_not_render() {
    let tools = tempfile::tempdir().unwrap();
    let options = FarmOptions {
        environment: vec![
            ("PATH".into(), path_without_blender(tools.path())),
            ("JIGGABLEND_BLENDER".into(), String::new()),
        ],
        ..FarmOptions::default()
    };
    let farm = Farm::start_with(1, options).await.unwrap();
    let scene = scene_in(&farm, Recipe::of(Scene::Short)).await;
    let api = farm.api(1);

    let runner = api.nodes().await.unwrap().remove(0).runner;
    assert_eq!(runner.blender_version, None);
    let why_not = runner.why_not.expect("it says why it does not render");
    assert!(why_not.to_lowercase().contains("blender"), "{why_not}");

    let job = api.submit(&scene, &job_of("1-2", false)).await.unwrap();
    let waiting = farm
        .wait_for_job(api, &job, "waiting for a runner", SOON, |job| {
            job.summary.waiting_for.is_some()
        })
        .await
        .unwrap();
    assert_eq!(waiting.summary.state, JobState::Active);
    let stored = api.download(&waiting.scene.unwrap()).await.unwrap();
    assert!(
        stored == std::fs::read(&scene).unwrap(),
        "it stores the scene"
    );
    farm.stop().await.unwrap();
}

/// A PATH with the tools that a node may want, and no Blender.
fn path_without_blender(dir: &Path) -> String {
    for tool in ["ffmpeg", "ffprobe", "bwrap"] {
        let real = Path::new("/usr/bin").join(tool);
        if real.exists() {
            std::os::unix::fs::symlink(real, dir.join(tool)).unwrap();
        }
    }
    dir.to_str().unwrap().to_owned()
}
