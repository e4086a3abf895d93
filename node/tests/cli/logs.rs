//! `job log`, `job attempts`, `job share` and `job download --archive`.

use std::sync::Arc;

use crate::fake_farm::{FakeFile, FakeNode, Farm, Habits};
use crate::program::{Machine, names_in};

const LOG: &str = "Blender 3.4.1\nFra:2 Mem:12M\nFra:2 Sample 1\nSaved\x1b[2J\nBlender quit\n";

fn farm() -> Arc<Farm> {
    let farm = Farm::with_job(3);
    farm.inner().log = LOG.to_owned();
    farm
}

#[test]
fn a_log_is_shown_as_far_as_it_has_come_or_its_last_lines() {
    let farm = farm();
    let node = FakeNode::start(&farm, Habits::default());
    let machine = Machine::with_node(&node.url);
    let said = machine
        .run(&["job", "log", "last", "--frame", "2"])
        .expect_code(0);
    assert_eq!(said.stdout, "Blender 3.4.1\nFra:2 Mem:12M\n");
    let said = machine
        .run(&["job", "log", "last", "--frame", "2", "--tail", "1"])
        .expect_code(0);
    assert_eq!(said.stdout, "Fra:2 Mem:12M\n");
    let said = machine
        .run(&["job", "log", "last", "--frame", "9"])
        .expect_code(1);
    assert!(said.stderr.contains("has no frame 9"), "{said:#?}");
}

#[test]
fn a_log_that_is_followed_goes_on_through_another_node_without_a_gap_or_a_repetition() {
    let farm = farm();
    let dies = Habits {
        dies_after_log_bytes: Some(36),
        ..Habits::default()
    };
    let first = FakeNode::start(&farm, dies);
    let _second = FakeNode::start(&farm, Habits::default());
    let machine = Machine::with_node(&first.url);
    let arguments = [
        "job", "log", "last", "--frame", "2", "--follow", "--tail", "4",
    ];
    let said = machine.run(&arguments).expect_code(0);
    assert!(first.is_dead());
    // What Blender wrote cannot steer the terminal.
    let expected = "Fra:2 Mem:12M\nFra:2 Sample 1\nSaved\u{fffd}[2J\nBlender quit\n";
    assert_eq!(said.stdout, expected, "{said:#?}");
}

#[test]
fn attempts_say_where_and_why() {
    let farm = farm();
    let node = FakeNode::start(&farm, Habits::default());
    let machine = Machine::with_node(&node.url);
    let said = machine.run(&["job", "attempts", "last"]).expect_code(0);
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{said:#?}");
    for word in ["frame 2", "attic", "failed", "4.0 s", "signal 11"] {
        assert!(lines[1].contains(word), "{word}: {said:#?}");
    }
    for word in ["node 7", "lost", "was silent"] {
        assert!(lines[2].contains(word), "{word}: {said:#?}");
    }
}

#[test]
fn a_job_is_shared_by_name_and_the_share_is_taken_back() {
    let farm = farm();
    let node = FakeNode::start(&farm, Habits::default());
    let machine = Machine::with_node(&node.url);
    machine
        .run(&["job", "share", "last", "ada@example.org", "--manage"])
        .expect_code(0);
    let said = machine.run(&["job", "shares", "last"]).expect_code(0);
    assert!(said.stdout.contains("see and manage"), "{said:#?}");
    machine
        .run(&["job", "unshare", "last", "Ada"])
        .expect_code(0);
    assert!(farm.inner().shares.is_empty());
    let said = machine
        .run(&["job", "unshare", "last", "Ada"])
        .expect_code(1);
    assert!(said.stderr.contains("there is no share 'Ada'"), "{said:#?}");
}

#[test]
fn half_an_archive_is_no_archive_and_another_node_makes_a_whole_one() {
    let farm = farm();
    farm.inner().files.push(FakeFile {
        id: uuid::Uuid::now_v7(),
        name: "cat_0001.png".to_owned(),
        kind: "frame",
        bytes: vec![1; 10],
    });
    let dies = Habits {
        dies_after_download_bytes: Some(50_000),
        ..Habits::default()
    };
    let first = FakeNode::start(&farm, dies);
    let _second = FakeNode::start(&farm, Habits::default());
    let machine = Machine::with_node(&first.url);
    let folder = machine.path("out");
    std::fs::create_dir(&folder).unwrap();
    let out = folder.to_str().unwrap();
    machine
        .run(&["job", "download", "last", "--archive", "zip", "--out", out])
        .expect_code(0);
    assert!(first.is_dead());
    let names = names_in(&folder);
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(
        names[0].starts_with("cat-") && names[0].ends_with(".zip"),
        "{names:?}"
    );
    let archive = std::fs::read(folder.join(&names[0])).unwrap();
    assert_eq!(archive, vec![7; 200_000]);
}
