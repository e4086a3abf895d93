//! `jiggablend`: the one program that every node of the farm runs.

mod runner;

fn main() {}
