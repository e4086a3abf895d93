//! `job submit`.

use crate::fake_farm::{FakeNode, Farm, Habits};
use crate::program::Machine;

#[test]
fn a_job_is_made_once_although_its_node_died_after_making_it() {
    let farm = Farm::new();
    let dies = Habits {
        dies_after_create: true,
        ..Habits::default()
    };
    let first = FakeNode::start(&farm, dies);
    let second = FakeNode::start(&farm, Habits::default());
    let machine = Machine::without_node();
    let scene = machine.scene("cat.blend", 300_000);
    let said = machine
        .run_without_data(&[
            "job",
            "submit",
            scene.to_str().unwrap(),
            "--url",
            &first.url,
            "--url",
            &second.url,
            "--token",
            "the-token",
        ])
        .expect_code(0);

    let inner = farm.inner();
    assert_eq!(inner.created_ids.len(), 2);
    assert_eq!(inner.jobs_by_key.len(), 1);
    assert_eq!(inner.created_ids[0], inner.created_ids[1]);
    assert_eq!(inner.scene_bytes, Some(300_000));
    let lines: Vec<&str> = said.stdout.lines().collect();
    let page = format!("{}/#/jobs/{}", second.url, inner.created_ids[0]);
    assert_eq!(lines, [inner.created_ids[0].as_str(), page.as_str()]);
}

#[test]
fn an_upload_whose_answer_was_lost_counts_and_the_wait_goes_on_to_the_end() {
    let farm = Farm::new();
    let dies = Habits {
        dies_after_upload: true,
        ..Habits::default()
    };
    let first = FakeNode::start(&farm, dies);
    let _second = FakeNode::start(&farm, Habits::default());
    let machine = Machine::with_node(&first.url);
    let scene = machine.scene("cat.blend", 100_000);
    let said = machine
        .run(&["job", "submit", scene.to_str().unwrap(), "--wait"])
        .expect_code(0);
    assert!(first.is_dead());
    assert_eq!(said.frame_lines().len(), 3, "{said:#?}");
    assert_eq!(farm.inner().created_ids.len(), 1);
}

#[test]
fn a_scene_that_the_farm_refuses_leaves_no_job_that_waits_for_it() {
    let farm = Farm::new();
    let refuses = Habits {
        refuses_upload: true,
        ..Habits::default()
    };
    let node = FakeNode::start(&farm, refuses);
    let machine = Machine::with_node(&node.url);
    let scene = machine.scene("cat.blend", 100);
    let said = machine
        .run(&["job", "submit", scene.to_str().unwrap()])
        .expect_code(1);
    assert!(
        said.stderr
            .contains("error: checking cat.blend: it ends in the middle")
    );
    assert_eq!(farm.inner().job.as_ref().unwrap()["state"], "cancelled");
    assert_eq!(said.stdout, "");
}

#[test]
fn what_is_no_scene_never_reaches_the_farm() {
    let farm = Farm::new();
    let node = FakeNode::start(&farm, Habits::default());
    let machine = Machine::with_node(&node.url);
    let picture = machine.path("cat.png");
    std::fs::write(&picture, b"\x89PNG....").unwrap();
    let empty = machine.path("empty.blend");
    std::fs::write(&empty, b"").unwrap();
    let cut = machine.scene("cut.blend", 5_000);
    let whole = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &whole[..3_000]).unwrap();
    for (path, why) in [
        (cut, "copy it again as a whole"),
        (picture, "not a .blend"),
        (empty, "not a .blend"),
        (machine.path("gone.blend"), "No such file"),
        (machine.data_dir(), "not a file"),
    ] {
        let said = machine
            .run(&["job", "submit", path.to_str().unwrap()])
            .expect_code(1);
        assert!(said.stderr.starts_with("error: "), "{said:#?}");
        assert!(said.stderr.contains(why), "{said:#?}");
        assert_eq!(said.stderr.lines().count(), 1, "{said:#?}");
    }
    assert!(farm.inner().calls.is_empty());
}

#[test]
fn wrong_usage_ends_with_2_and_with_json_says_so_in_json() {
    let machine = Machine::without_node();
    let said = machine
        .run(&["job", "submit", "cat.blend", "--frames", "10-1"])
        .expect_code(2);
    assert!(said.stderr.contains("write 1-10"), "{said:#?}");
    let said = machine
        .run(&["job", "submit", "cat.blend", "--frames", "10-1", "--json"])
        .expect_code(2);
    let error = said.json_error();
    assert_eq!(error["kind"], "usage");
    let detail = error["detail"].as_str().unwrap();
    assert!(detail.ends_with("write 1-10"), "{detail:?}");
    machine
        .run(&["job", "list", "--url", "ftp://nowhere"])
        .expect_code(2);
}
