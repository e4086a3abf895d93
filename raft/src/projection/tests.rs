//! What is in DuckDB is what is in memory.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::{Duration, Instant};

use openraft::EntryPayload;

use super::*;
use crate::consensus::{Entry, LogId};
use crate::testing::{Story, command, farm_created, job_created, scene_added};
use crate::{Action, Command, NodeId};

fn entry(index: u64, command: Command) -> Entry {
    let node_id = NodeId(1);
    let leader = openraft::impls::leader_id_adv::LeaderId { term: 3, node_id };
    Entry {
        log_id: LogId::new(leader, index),
        payload: EntryPayload::Normal(command),
    }
}

fn open(path: &Path) -> Opened {
    Database::open(path).unwrap()
}

fn start(database: Database, machine: &Machine, fault: &Fault) -> Projection {
    let purge_limit = PurgeLimit::default();
    Projection::start(database, machine.clone(), 0, purge_limit, fault.clone()).unwrap()
}

/// Writes what is pending, as the thread does.
fn follow(database: &mut Database, machine: &Machine) {
    let batch = machine.take_batch();
    write::write(&mut database.connection, &mut database.keys, &batch).unwrap();
}

fn assert_same(path: &Path, machine: &Machine) -> Database {
    let opened = open(path);
    let found = opened.point.unwrap();
    let expected = machine.point();
    assert_eq!(found.applied, expected.applied);
    assert_eq!(found.membership, expected.membership);
    assert!(
        found.state == expected.state,
        "the tables hold another state"
    );
    opened.database
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_tables_hold_what_a_random_story_left_in_memory() {
    for seed in [1, 2, 3] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("farm.duckdb");
        let machine = Machine::new(Point::default(), false);
        let mut database = open(&path).database;
        let mut story = Story::new(seed);
        for index in 1..=900 {
            let command = machine.read(|state| story.next(state));
            machine.apply(entry(index, command));
            // Batches of all sizes; now and then the file is closed and opened again.
            if index % (seed * 7 + 3) == 0 {
                follow(&mut database, &machine);
            }
            if index % 300 == 0 {
                follow(&mut database, &machine);
                drop(database);
                database = assert_same(&path, &machine);
            }
        }
        machine.project_everything();
        follow(&mut database, &machine);
        drop(database);
        assert_same(&path, &machine);
    }
}

#[test]
fn a_batch_has_each_row_once_however_often_it_changed() {
    let machine = Machine::new(Point::default(), false);
    machine.apply(entry(1, farm_created()));
    for index in 2..50 {
        let announced = Action::NodeAnnounced {
            node: NodeId(1),
            addresses: vec![format!("address {index}")],
            web_address: None,
            version: String::new(),
            runner: crate::RunnerFacts::default(),
            operator_token: crate::SecretHash([0; 32]),
        };
        machine.apply(entry(index, command(index, announced)));
    }
    let batch = machine.take_batch();
    assert_eq!(batch.rows.nodes.len(), 1);
    assert_eq!(batch.index(), 49);
    assert!(machine.take_batch().rows.nodes.is_empty());
}

#[test]
fn a_file_that_is_no_database_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("farm.duckdb");
    fs::write(&path, b"this is not a database, it is a sentence").unwrap();
    let opened = open(&path);
    assert!(opened.point.is_none());
    assert!(dir.path().join("farm.duckdb.damaged-1").exists());
}

#[test]
fn tables_that_contradict_each_other_are_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("farm.duckdb");
    let machine = Machine::new(Point::default(), false);
    let mut database = open(&path).database;
    machine.apply(entry(1, farm_created()));
    machine.apply(entry(2, command(2, job_created(1, true))));
    machine.apply(entry(3, command(3, scene_added(1, "1-5"))));
    follow(&mut database, &machine);
    database
        .connection
        .execute(r#"DELETE FROM task WHERE "index" = 2"#, [])
        .unwrap();
    drop(database);
    assert!(open(&path).point.is_none());
    assert!(dir.path().join("farm.duckdb.damaged-1").exists());
}

#[test]
fn a_path_that_is_no_file_is_an_error_and_stays_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("folder");
    fs::create_dir(&path).unwrap();
    assert!(Database::open(&path).is_err());
    assert!(path.is_dir());
}

#[test]
fn the_thread_follows_and_says_how_far_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("farm.duckdb");
    let machine = Machine::new(Point::default(), false);
    let database = open(&path).database;
    let projection = start(database, &machine, &Fault::default());
    machine.apply(entry(1, farm_created()));
    wait_for("the first batch", || projection.index() == 1);
    for index in 2..=60 {
        machine.apply(entry(
            index,
            command(index, job_created(u128::from(index), false)),
        ));
    }
    projection.stop(Stop::Caught);
    assert_same(&path, &machine);
}

#[test]
fn a_file_that_cannot_be_written_is_rebuilt_from_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("farm.duckdb");
    let machine = Machine::new(Point::default(), false);
    let database = open(&path).database;
    database.connection.execute("DROP TABLE job", []).unwrap();
    let projection = start(database, &machine, &Fault::default());
    machine.apply(entry(1, farm_created()));
    machine.apply(entry(2, command(2, job_created(1, false))));
    wait_for("the rebuilt file", || projection.index() == 2);
    projection.stop(Stop::Caught);
    assert_same(&path, &machine);
    assert!(dir.path().join("farm.duckdb.damaged-1").exists());
}

#[test]
fn a_disk_that_takes_no_new_file_is_tried_until_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("farm.duckdb");
    let machine = Machine::new(Point::default(), false);
    let database = open(&path).database;
    database.connection.execute("DROP TABLE job", []).unwrap();
    // A file cannot be renamed to a folder, so the broken one cannot be set aside.
    let obstacles: Vec<_> = (1..=MAX_DAMAGED_FILES)
        .map(|number| dir.path().join(format!("farm.duckdb.damaged-{number}")))
        .collect();
    for obstacle in &obstacles {
        fs::create_dir(obstacle).unwrap();
    }
    machine.apply(entry(1, farm_created()));
    machine.apply(entry(2, command(2, job_created(1, false))));
    let projection = start(database, &machine, &Fault::default());
    let in_trouble = || {
        let trouble = projection.trouble().unwrap_or_default();
        trouble.contains("cannot make a new DuckDB file")
    };
    wait_for("the first failure to be told", in_trouble);
    assert_eq!(projection.index(), 0);
    machine.apply(entry(3, command(3, scene_added(1, "1-5"))));

    fs::remove_dir(&obstacles[0]).unwrap();
    wait_for("the rebuilt file", || projection.index() == 3);
    wait_for("the all-clear", || projection.trouble().is_none());
    projection.stop(Stop::Caught);
    assert_same(&path, &machine);
}

#[test]
fn a_thread_that_waits_for_the_disk_stops_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let machine = Machine::new(Point::default(), false);
    let database = open(&dir.path().join("farm.duckdb")).database;
    let follower = Follower {
        machine: machine.clone(),
        projected_index: Arc::default(),
        purge_limit: PurgeLimit::default(),
        trouble: Trouble::default(),
        fault: Fault::default(),
    };
    machine.bell().stop(Stop::Caught);
    assert!(follower.rebuild(database, &mut 30).is_none());
}

#[test]
fn a_thread_that_panics_stops_the_log_with_a_reason() {
    let fault = Fault::default();
    let follower = Follower {
        machine: Machine::new(Point::default(), false),
        projected_index: Arc::default(),
        purge_limit: PurgeLimit::default(),
        trouble: Trouble::default(),
        fault: fault.clone(),
    };
    let thread = std::thread::spawn(move || {
        let _follower = follower;
        panic!("DuckDB did what nobody thought of");
    });
    assert!(thread.join().is_err());
    assert!(fault.get().unwrap().contains("DuckDB panicked"));
}

#[test]
fn pauses_grow_to_a_minute_and_no_further() {
    let pauses: Vec<_> = [1, 2, 3, 6, u32::MAX]
        .map(|n| pause_after(n).as_secs())
        .into();
    assert_eq!(pauses, [2, 4, 8, 60, 60]);
}
