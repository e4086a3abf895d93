//! Nodes die; the command goes on through another one.

use crate::fake_farm::{FIRST_INDEX, FakeNode, Farm, Habits};
use crate::program::Machine;

const RENDERED_IN_ORDER: [&str; 6] = [
    "frame 1 done on barn in 1.5 s",
    "frame 2 done on barn in 1.5 s",
    "frame 3 done on barn in 1.5 s",
    "frame 4 done on barn in 1.5 s",
    "frame 5 done on barn in 1.5 s",
    "frame 6 done on barn in 1.5 s",
];

fn watch_over_a_death(first: Habits, second: Habits) {
    let farm = Farm::with_job(6);
    let first = FakeNode::start(&farm, first);
    let second = FakeNode::start(&farm, second);
    let machine = Machine::with_node(&first.url);

    let said = machine.run(&["job", "watch", "last"]).expect_code(0);

    assert!(first.is_dead());
    assert_eq!(said.frame_lines(), RENDERED_IN_ORDER, "{said:#?}");
    let moved = format!("going on through {}", second.url);
    assert!(said.stderr.contains(&moved), "{said:#?}");
    assert!(said.stdout.contains("done: 6 of 6 frames"), "{said:#?}");
}

#[test]
fn a_watch_loses_and_repeats_nothing_wherever_its_node_dies() {
    // The script has 15 entries; the node dies in the middle of the event after these many.
    for count in 0..15 {
        let dies = Habits {
            dies_after_events: Some(count),
            ..Habits::default()
        };
        watch_over_a_death(dies, Habits::default());
    }
}

#[test]
fn a_watch_goes_on_after_the_last_whole_event() {
    let farm = Farm::with_job(6);
    let dies = Habits {
        dies_after_events: Some(4),
        ..Habits::default()
    };
    let first = FakeNode::start(&farm, dies);
    let _second = FakeNode::start(&farm, Habits::default());
    Machine::with_node(&first.url)
        .run(&["job", "watch", "last"])
        .expect_code(0);
    let expected = [FIRST_INDEX, FIRST_INDEX + 4].map(|index| index.to_string());
    assert_eq!(farm.inner().last_event_ids, expected);
}

#[test]
fn events_that_come_again_make_no_second_line() {
    let dies = Habits {
        dies_after_events: Some(7),
        ..Habits::default()
    };
    let repeats = Habits {
        repeats_events: true,
        ..Habits::default()
    };
    watch_over_a_death(dies, repeats);
}

#[test]
fn what_a_node_forgot_is_read_from_the_state() {
    for count in 0..12 {
        let dies = Habits {
            dies_after_events: Some(count),
            ..Habits::default()
        };
        let forgets = Habits {
            forgets_events: true,
            ..Habits::default()
        };
        watch_over_a_death(dies, forgets);
    }
}

#[test]
fn a_job_that_is_over_before_its_events_come_still_tells_of_every_frame() {
    let farm = Farm::with_job(6);
    let ahead = Habits {
        is_ahead: true,
        ..Habits::default()
    };
    let node = FakeNode::start(&farm, ahead);
    let _barn = FakeNode::start(&farm, ahead);
    let said = Machine::with_node(&node.url)
        .run(&["job", "watch", "last"])
        .expect_code(0);
    assert_eq!(said.frame_lines(), RENDERED_IN_ORDER, "{said:#?}");

    for count in 0..15 {
        let dies = Habits {
            dies_after_events: Some(count),
            ..Habits::default()
        };
        watch_over_a_death(dies, ahead);
    }
}

#[test]
fn a_node_without_a_leader_is_passed_over() {
    let farm = Farm::with_job(6);
    let no_leader = Habits {
        has_no_leader: true,
        ..Habits::default()
    };
    let first = FakeNode::start(&farm, no_leader);
    let second = FakeNode::start(&farm, Habits::default());
    let machine = Machine::without_node();
    let said = machine
        .run_without_data(&[
            "job",
            "list",
            "--url",
            &first.url,
            "--url",
            &second.url,
            "--token",
            "the-token",
        ])
        .expect_code(0);
    assert!(said.stdout.contains("cat"), "{said:#?}");
}

#[test]
fn the_other_nodes_are_remembered_for_the_next_command() {
    let farm = Farm::with_job(6);
    let mut first = FakeNode::start(&farm, Habits::default());
    let second = FakeNode::start(&farm, Habits::default());
    let machine = Machine::with_node(&first.url);
    machine.run(&["job", "list"]).expect_code(0);
    first.die();
    let said = machine.run(&["job", "list", "--json"]).expect_code(0);
    assert_eq!(said.json()["jobs"][0]["name"], "cat");
    let peers = std::fs::read_to_string(machine.data_dir().join("peers.json")).unwrap();
    assert!(peers.contains(&second.url));
}

#[test]
fn where_no_node_answers_it_says_which_were_tried_and_what_to_do() {
    let mut gone = FakeNode::start(&Farm::new(), Habits::default());
    gone.die();
    let machine = Machine::with_node(&gone.url);
    let said = machine.run(&["job", "list"]).expect_code(1);
    assert!(said.stderr.contains(&gone.url), "{said:#?}");
    assert!(said.stderr.contains("jiggablend node start"), "{said:#?}");
    assert_eq!(said.stdout, "");

    let error = machine
        .run(&["node", "status", "--json"])
        .expect_code(1)
        .json_error();
    assert_eq!(error["kind"], "no-node");
    assert_eq!(error["tried"][0], gone.url);
}
