//! `job submit` to a farm that speaks tus.

use std::sync::Arc;

use crate::fake_farm::{FakeNode, Farm, Habits};
use crate::fake_tus::FakeTus;
use crate::program::Machine;

const SIZE: usize = 4_000_000;

fn farm() -> Arc<Farm> {
    let farm = Farm::new();
    farm.inner().tus = Some(FakeTus::default());
    farm
}

fn submit(machine: &Machine) -> Vec<u8> {
    let scene = machine.scene("cat.blend", SIZE);
    machine
        .run(&["job", "submit", scene.to_str().unwrap()])
        .expect_code(0);
    std::fs::read(scene).unwrap()
}

#[test]
fn an_upload_that_was_broken_off_goes_on_where_the_farm_says_that_it_is() {
    let farm = farm();
    let stalls = Habits {
        stalls_upload_after_bytes: Some(1_000_000),
        ..Habits::default()
    };
    let node = FakeNode::start(&farm, stalls);
    let scene = submit(&Machine::with_node(&node.url));
    let inner = farm.inner();
    assert!(inner.scene == scene, "the farm has other bytes");
    let offsets = &inner.tus.as_ref().unwrap().offsets;
    assert_eq!(offsets.len(), 2, "{offsets:?}");
    assert_eq!(offsets[0], 0);
    assert!((1_000_000..SIZE).contains(&offsets[1]), "{offsets:?}");
}

#[test]
fn an_upload_whose_node_stays_away_begins_anew_on_another_one() {
    let farm = farm();
    let dies = Habits {
        dies_after_upload_bytes: Some(1_000_000),
        ..Habits::default()
    };
    let first = FakeNode::start(&farm, dies);
    let _second = FakeNode::start(&farm, Habits::default());
    let scene = submit(&Machine::with_node(&first.url));
    assert!(first.is_dead());
    let inner = farm.inner();
    assert!(inner.scene == scene, "the farm has other bytes");
    let tus = inner.tus.as_ref().unwrap();
    assert_eq!(tus.offsets, [0, 0]);
    assert_eq!(tus.uploads.len(), 2);
    // One job of one key, however often it was asked for.
    assert_eq!(inner.created_ids.len(), 1);
}

#[test]
fn a_scene_that_is_too_large_for_the_farm_is_refused_before_it_is_sent() {
    let farm = farm();
    farm.inner().tus.as_mut().unwrap().max_bytes = Some(1_000);
    let node = FakeNode::start(&farm, Habits::default());
    let machine = Machine::with_node(&node.url);
    let scene = machine.scene("cat.blend", 5_000);
    let said = machine
        .run(&["job", "submit", scene.to_str().unwrap()])
        .expect_code(1);
    assert!(said.stderr.contains("at most 1000 B"), "{said:#?}");
    assert!(farm.inner().tus.as_ref().unwrap().uploads.is_empty());
}
