//! `job download`.

use uuid::Uuid;

use crate::fake_farm::{FakeFile, FakeNode, Farm, Habits};
use crate::program::{Machine, names_in};

const FRAME_BYTES: usize = 400_000;

fn farm_with_files() -> std::sync::Arc<Farm> {
    let farm = Farm::with_job(6);
    let file = |name: &str, kind, seed: u8| FakeFile {
        id: Uuid::now_v7(),
        name: name.to_owned(),
        kind,
        bytes: (0..FRAME_BYTES).map(|at| (at % 251) as u8 ^ seed).collect(),
    };
    farm.inner().files = vec![
        file("cat_0001.png", "frame", 1),
        file("cat_0002.png", "frame", 2),
        file("../../escape.png", "frame", 3),
        file("cat.mp4", "video", 4),
        file("attempt.log", "log", 5),
    ];
    farm
}

#[test]
fn files_arrive_whole_although_their_node_dies_in_the_middle() {
    let farm = farm_with_files();
    let dies = Habits {
        dies_after_download_bytes: Some(150_000),
        ..Habits::default()
    };
    let first = FakeNode::start(&farm, dies);
    let _second = FakeNode::start(&farm, Habits::default());
    let machine = Machine::with_node(&first.url);
    let out = machine.path("frames");
    let said = machine
        .run(&["job", "download", "last", "--out", out.to_str().unwrap()])
        .expect_code(0);

    assert!(first.is_dead());
    assert_eq!(said.stdout.trim(), out.to_str().unwrap());
    let expected = ["cat.mp4", "cat_0001.png", "cat_0002.png", "escape.png"];
    assert_eq!(names_in(&out), expected);
    for file in farm.inner().files.iter().filter(|file| file.kind != "log") {
        let local = file.name.rsplit('/').next().unwrap();
        assert!(
            std::fs::read(out.join(local)).unwrap() == file.bytes,
            "{local}"
        );
    }
    // At least one file was gone on with, not begun anew.
    assert!(!farm.inner().ranges.is_empty());
    assert!(!machine.path("escape.png").exists());
}

#[test]
fn what_is_there_already_is_not_fetched_again() {
    let farm = farm_with_files();
    let node = FakeNode::start(&farm, Habits::default());
    let machine = Machine::with_node(&node.url);
    let out = machine.path("frames");
    let download = ["job", "download", "last", "--frames", "--json", "--out"];
    let arguments = [&download[..], &[out.to_str().unwrap()]].concat();
    assert_eq!(machine.run(&arguments).expect_code(0).json()["fetched"], 3);
    assert_eq!(machine.run(&arguments).expect_code(0).json()["fetched"], 0);
    // One that was cut short is fetched again.
    std::fs::write(out.join("cat_0001.png"), b"short").unwrap();
    assert_eq!(machine.run(&arguments).expect_code(0).json()["fetched"], 1);
    assert_eq!(
        std::fs::metadata(out.join("cat_0001.png")).unwrap().len(),
        FRAME_BYTES as u64
    );
}

#[test]
fn a_damaged_file_and_one_of_another_job_are_fetched_anew() {
    let farm = farm_with_files();
    let node = FakeNode::start(&farm, Habits::default());
    let machine = Machine::with_node(&node.url);
    let out = machine.path("frames");
    std::fs::create_dir(&out).unwrap();
    let whole = farm.inner().files[0].bytes.clone();
    let mut damaged = whole.clone();
    damaged[FRAME_BYTES / 2] ^= 1;
    std::fs::write(out.join("cat_0001.png"), damaged).unwrap();
    std::fs::write(out.join("cat_0002.png"), vec![9; FRAME_BYTES]).unwrap();
    let download = ["job", "download", "last", "--frames", "--json", "--out"];
    let arguments = [&download[..], &[out.to_str().unwrap()]].concat();
    assert_eq!(machine.run(&arguments).expect_code(0).json()["fetched"], 3);
    assert!(std::fs::read(out.join("cat_0001.png")).unwrap() == whole);
}

#[test]
fn bytes_that_are_not_the_files_are_fetched_from_another_node() {
    let farm = farm_with_files();
    let damages = Habits {
        damages_downloads: true,
        ..Habits::default()
    };
    let first = FakeNode::start(&farm, damages);
    let second = FakeNode::start(&farm, Habits::default());
    let machine = Machine::with_node(&first.url);
    let download = ["job", "download", "last", "--video", "--out", "got"];
    machine.run(&download).expect_code(0);
    let got = std::fs::read(machine.path("got/cat.mp4")).unwrap();
    assert!(got == farm.inner().files[3].bytes);
    drop(second);
}

#[test]
fn a_file_that_only_comes_damaged_is_an_error_that_names_it() {
    let farm = farm_with_files();
    let damages = Habits {
        damages_downloads: true,
        ..Habits::default()
    };
    let node = FakeNode::start(&farm, damages);
    let machine = Machine::with_node(&node.url);
    let download = ["job", "download", "last", "--video", "--out", "got"];
    let said = machine.run(&download).expect_code(1);
    assert!(said.stderr.contains("got/cat.mp4"), "{said:#?}");
    assert!(said.stderr.contains("damaged"), "{said:#?}");
    assert_eq!(names_in(&machine.path("got")), [""; 0]);
}

#[test]
fn without_a_folder_the_files_go_into_one_with_the_jobs_name() {
    let farm = farm_with_files();
    let node = FakeNode::start(&farm, Habits::default());
    let machine = Machine::with_node(&node.url);
    let said = machine
        .run(&["job", "download", "last", "--video"])
        .expect_code(0);
    let folder = said.stdout.trim();
    assert!(folder.starts_with("cat-"), "{said:#?}");
    assert_eq!(names_in(&machine.path(folder)), ["cat.mp4"]);
}

#[test]
fn a_job_without_files_says_so() {
    let farm = Farm::with_job(6);
    let node = FakeNode::start(&farm, Habits::default());
    let said = Machine::with_node(&node.url)
        .run(&["job", "download", "last"])
        .expect_code(1);
    assert!(
        said.stderr.contains("made nothing to download yet"),
        "{said:#?}"
    );
}
