//! Every other command, and how results, messages and exit codes are kept apart.

use crate::fake_farm::{FakeNode, Farm, Habits};
use crate::program::Machine;

fn one_node(farm: &std::sync::Arc<Farm>) -> (FakeNode, Machine) {
    let node = FakeNode::start(farm, Habits::default());
    let machine = Machine::with_node(&node.url);
    (node, machine)
}

#[test]
fn a_job_that_fails_is_a_failure_of_the_watch_and_says_why() {
    let farm = Farm::with_job(1);
    {
        let mut inner = farm.inner();
        inner.script.clear();
        inner.tasks.clear();
        inner.write_script(3, "failed");
    }
    let (_node, machine) = one_node(&farm);
    let said = machine.run(&["job", "watch", "last"]).expect_code(1);
    let failure = "frame 3 failed on attic";
    assert!(
        !said.stderr.contains(failure),
        "node 2 is not the attic: {said:#?}"
    );
    let told = "frame 3 failed on node 2: Blender ended by signal 11";
    assert!(said.stderr.contains(told), "{said:#?}");
    let all = format!("{}{}", said.stdout, said.stderr);
    assert_eq!(all.matches("signal 11").count(), 1, "{said:#?}");
    assert!(said.stdout.contains("failed: 2 of 3 frames"), "{said:#?}");
    let last = said.stderr.lines().last().unwrap();
    assert!(last.starts_with("error: job "), "{last}");
    assert!(last.ends_with("failed: 1 of 3 frames failed"), "{last}");
}

#[test]
fn a_watch_for_programs_is_one_json_value_a_line_and_nothing_else() {
    let farm = Farm::with_job(3);
    let (_node, machine) = one_node(&farm);
    let said = machine
        .run(&["job", "watch", &farm.job_id(), "--json"])
        .expect_code(0);
    assert_eq!(said.stderr, "");
    let lines = said.json_lines();
    assert_eq!(lines.first().unwrap()["job"]["state"], "active");
    assert_eq!(lines.last().unwrap()["job"]["state"], "done");
    let frames: Vec<i64> = lines
        .iter()
        .filter(|line| line["task"]["state"] == "done")
        .map(|line| line["task"]["frame"].as_i64().unwrap())
        .collect();
    assert_eq!(frames, [1, 2, 3]);
}

#[test]
fn a_watch_says_once_what_the_job_waits_for() {
    let farm = Farm::with_job(3);
    {
        let mut inner = farm.inner();
        let mut waits = inner.job.clone().unwrap();
        waits["waiting_for"] = serde_json::json!("a runner with Blender");
        inner.job = Some(waits.clone());
        inner
            .script
            .insert(0, vec![serde_json::json!({ "job": waits })]);
    }
    let (_node, machine) = one_node(&farm);
    let said = machine.run(&["job", "watch", "last"]).expect_code(0);
    let line = "waiting for a runner with Blender\n";
    assert_eq!(said.stderr.matches(line).count(), 1, "{said:#?}");
}

#[test]
fn a_watch_of_a_job_that_is_over_ends_at_once() {
    let farm = Farm::with_job(3);
    let (_node, machine) = one_node(&farm);
    machine.run(&["job", "watch", "last"]).expect_code(0);
    let said = machine.run(&["job", "watch", "last"]).expect_code(0);
    assert_eq!(said.frame_lines(), [""; 0]);
    assert!(said.stdout.contains("done: 3 of 3 frames"), "{said:#?}");
}

#[test]
fn list_show_and_cancel_speak_of_the_job() {
    let farm = Farm::with_job(3);
    let (_node, machine) = one_node(&farm);
    let id = farm.job_id();
    let short = &id[id.len() - 8..];

    let list = machine.run(&["job", "list"]).expect_code(0);
    for part in [short, "cat", "active", "1/6", "node-1", "1-6"] {
        assert!(list.stdout.contains(part), "{part}: {list:#?}");
    }
    let show = machine.run(&["job", "show", short]).expect_code(0);
    assert!(show.stdout.contains(&id), "{show:#?}");
    let whole = machine.run(&["job", "show", &id, "--json"]).expect_code(0);
    assert_eq!(whole.json()["id"], id.as_str());

    let cancel = machine.run(&["job", "cancel", short]).expect_code(0);
    assert!(cancel.stdout.contains("is cancelled"), "{cancel:#?}");
    assert_eq!(farm.count_calls(&format!("DELETE /api/jobs/{id}")), 1);
}

#[test]
fn an_unknown_job_is_an_error_in_one_line() {
    let farm = Farm::with_job(3);
    let (_node, machine) = one_node(&farm);
    let unknown = "0192f000-0001-7000-8000-00000000cafe";
    let said = machine.run(&["job", "show", unknown]).expect_code(1);
    let expected =
        format!("error: there is no job '{unknown}'; `jiggablend job list` shows yours\n");
    assert_eq!(said.stderr, expected);
    let error = machine
        .run(&["job", "watch", unknown, "--json"])
        .expect_code(1)
        .json_error();
    assert_eq!(error["kind"], "unknown-job");
    assert_eq!(error["status"], 404);
}

#[test]
fn a_wrong_token_says_what_to_do_and_is_not_shown() {
    let farm = Farm::with_job(3);
    let (node, machine) = one_node(&farm);
    let said = machine
        .run_without_data(&["job", "list", "--url", &node.url, "--token", "jbt_stale"])
        .expect_code(1);
    assert!(said.stderr.contains("jiggablend login URL"), "{said:#?}");
    assert!(!said.stderr.contains("jbt_stale"), "{said:#?}");
}

#[test]
fn a_machine_without_a_node_says_how_to_get_one() {
    let said = Machine::without_node().run(&["job", "list"]).expect_code(1);
    assert!(said.stderr.contains("no node was started in"), "{said:#?}");
    assert!(said.stderr.contains("jiggablend node start"), "{said:#?}");
}

#[test]
fn the_cluster_says_in_words_what_the_next_loss_means() {
    let farm = Farm::with_job(3);
    let (_node, machine) = one_node(&farm);
    let _second = FakeNode::start(&farm, Habits::default());
    let said = machine.run(&["cluster", "status"]).expect_code(0);
    assert!(
        said.stdout.contains("one more loss stops the farm"),
        "{said:#?}"
    );
    assert!(said.stdout.contains("attic (node 1), term 3"), "{said:#?}");
    let said = machine.run(&["node", "status"]).expect_code(0);
    assert!(
        said.stdout.contains("attic (node 1), the leader"),
        "{said:#?}"
    );
    assert!(said.stdout.contains("free of"), "{said:#?}");
}

#[test]
fn a_ticket_is_the_whole_join_command_on_stdout() {
    let farm = Farm::with_job(3);
    let (_node, machine) = one_node(&farm);
    let said = machine
        .run(&["cluster", "ticket", "--ttl", "2h", "--runner-only"])
        .expect_code(0);
    assert_eq!(said.stdout, "jiggablend node join jigga17200false\n");
    assert!(said.stderr.contains("one machine"), "{said:#?}");
    let json = machine.run(&["cluster", "ticket", "--json"]).expect_code(0);
    assert_eq!(json.json()["ticket"], "jigga1900true");
}

#[test]
fn a_list_is_filtered_and_sorted_by_the_farm_on_every_page() {
    let farm = Farm::with_job(3);
    let pages = Habits {
        pages_jobs: true,
        ..Habits::default()
    };
    let node = FakeNode::start(&farm, pages);
    let machine = Machine::with_node(&node.url);
    let filter = ["--state", "active", "--owner", "me", "--search", "a&b"];
    let arguments = [&["job", "list", "--json", "--sort", "name"], &filter[..]].concat();
    let said = machine.run(&arguments).expect_code(0);
    assert_eq!(said.json()["jobs"].as_array().unwrap().len(), 2);
    let asked = "state=active&owner=me&q=a%26b&sort=name";
    assert_eq!(
        farm.inner().list_queries,
        [
            format!("limit=50&{asked}"),
            format!("limit=49&{asked}&cursor=a%2Fb")
        ]
    );
    let wrong = ["job", "list", "--state", "nearly_done"];
    let said = machine.run(&wrong).expect_code(2);
    assert!(said.stderr.contains("awaiting_scene"), "{said:#?}");
}
