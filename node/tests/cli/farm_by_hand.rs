//! A farm run from the command line: accounts, tokens, runners, tickets, settings, webhooks, audit,
//! against a real node.

use serde_json::Value;

use crate::program::{Machine, Said};
use crate::real_node::RealNode;

const ADA: &str = "ada@example.org";
const PASSWORD: &str = "correct horse\n";

/// As the operator of the node.
fn operator(node: &RealNode, arguments: &[&str]) -> Said {
    node.machine.run(arguments).expect_code(0)
}

fn operator_json(node: &RealNode, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--json"]].concat();
    operator(node, &arguments).json()
}

fn create_user(node: &RealNode, arguments: &[&str]) -> Said {
    let data = node.machine.data_dir();
    let options = ["--password-stdin", "--data", data.to_str().unwrap()];
    let arguments = [&["user", "create"], arguments, &options].concat();
    node.machine.run_with_input(&arguments, PASSWORD)
}

/// Somebody at a machine without a node, signed in.
fn signed_in(node: &RealNode, email: &str) -> Machine {
    let machine = Machine::without_node();
    let arguments = ["login", &node.url, "--email", email, "--password-stdin"];
    machine.run_with_input(&arguments, PASSWORD).expect_code(0);
    machine
}

#[test]
fn an_operator_makes_the_first_admin_who_then_runs_the_farm_from_elsewhere() {
    let node = RealNode::start();
    create_user(&node, &[ADA, "--admin", "--name", "Ada"]).expect_code(0);
    let again = create_user(&node, &[ADA]).expect_code(1);
    assert!(again.stderr.contains(ADA), "{again:#?}");

    let ada = signed_in(&node, ADA);
    let told = ada.run_without_data(&["whoami", "--json"]).expect_code(0);
    assert_eq!(told.json()["user"]["role"], "admin");

    // Accounts.
    let bob = "bob@example.org";
    create_user(&node, &[bob, "--role", "viewer"]).expect_code(0);
    let run = |arguments: &[&str]| ada.run_without_data(arguments).expect_code(0);
    run(&["user", "role", bob, "member"]);
    run(&["user", "quota", bob, "--bytes", "2GB", "--jobs", "3"]);
    let shown = run(&["user", "show", bob, "--json"]).json();
    assert_eq!(shown["role"], "member");
    assert_eq!(shown["quota"]["bytes"], 2_000_000_000_u64);
    assert_eq!(shown["quota"]["jobs"], 3);
    assert_eq!(shown["quota"]["frames_in_flight"], Value::Null);
    let listed = run(&["user", "list"]).stdout;
    assert!(listed.contains(ADA) && listed.contains(bob), "{listed}");
    run(&["user", "disable", bob]);
    let arguments = ["login", &node.url, "--email", bob, "--password-stdin"];
    let refused = Machine::without_node().run_with_input(&arguments, PASSWORD);
    assert!(refused.expect_code(1).stderr.contains("disabled"));
    run(&["user", "enable", bob]);
    run(&["user", "delete", bob]);
    let gone = ada.run_without_data(&["user", "show", bob]).expect_code(1);
    assert!(gone.stderr.contains("there is no user"), "{gone:#?}");
    let last = ada
        .run_without_data(&["user", "delete", ADA])
        .expect_code(1);
    assert!(last.stderr.contains("admin"), "{last:#?}");

    // Invitations.
    let invitation = run(&["user", "invite", "--role", "viewer", "--json"]).json();
    let link = invitation["link"].as_str().unwrap();
    assert!(link.contains("jbi_"), "{link}");
    let id = invitation["id"].as_str().unwrap();
    run(&["user", "invitations", "--revoke", id]);
    let left = run(&["user", "invitations", "--json"]).json();
    assert_eq!(left["invitations"].as_array().unwrap().len(), 0);

    // Settings.
    run(&[
        "settings",
        "set",
        "--registration",
        "closed",
        "--farm-name",
        "the barn",
    ]);
    let settings = run(&["settings", "show", "--json"]).json();
    assert_eq!(settings["registration"], "closed");
    assert_eq!(settings["farm_name"], "the barn");

    // What all of that left behind.
    let audit = run(&["audit", "--action", "user_deleted", "--json"]).json();
    let entries = audit["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 1, "{audit}");
    assert_eq!(entries[0]["actor"]["name"], "Ada");
    let words = run(&["audit", "--actor", ADA]).stdout;
    assert!(words.contains("settings_changed"), "{words}");
}

#[test]
fn tokens_and_sessions_are_ones_own_and_end_when_they_are_ended() {
    let node = RealNode::start();
    create_user(&node, &[ADA]).expect_code(0);
    let ada = signed_in(&node, ADA);
    let run = |arguments: &[&str]| ada.run_without_data(arguments).expect_code(0);
    let made = run(&["token", "create", "build server", "--scope", "read"]);
    let token = made.stdout.trim();
    assert!(token.starts_with("jbt_"), "{made:#?}");
    let with_it = ["job", "list", "--url", &node.url, "--token", token];
    let elsewhere = Machine::without_node();
    elsewhere.run_without_data(&with_it).expect_code(0);
    let too_much = ["token", "list", "--url", &node.url, "--token", token];
    let refused = elsewhere.run_without_data(&too_much).expect_code(1);
    assert!(refused.stderr.contains("scope 'admin'"), "{refused:#?}");
    assert!(refused.stderr.contains("--token"), "{refused:#?}");

    let listed = run(&["token", "list"]).stdout;
    assert!(listed.contains("jiggablend on "), "{listed}");
    run(&["token", "revoke", "build server"]);
    let refused = elsewhere.run_without_data(&with_it).expect_code(1);
    assert!(refused.stderr.contains("was revoked"), "{refused:#?}");

    // The session of the sign-in lived only for its token.
    let sessions = run(&["session", "list", "--json"]).json();
    assert_eq!(sessions["sessions"].as_array().unwrap().len(), 0);
    run(&["session", "end", "--all"]);

    // An operator has no account of its own, and is told by what it was one.
    let refused = node.machine.run(&["token", "list"]).expect_code(1);
    assert!(refused.stderr.contains("endpoint.json"), "{refused:#?}");

    run(&["logout"]);
    let over = ada.run_without_data(&["token", "list"]).expect_code(1);
    assert!(over.stderr.contains("jiggablend login URL"), "{over:#?}");
}

#[test]
fn runners_and_tickets_are_made_listed_and_taken_back() {
    let node = RealNode::start();
    let runners = operator(&node, &["runner", "list"]).stdout;
    assert!(
        runners.contains("attic") && runners.contains("mesh"),
        "{runners}"
    );
    let made = operator(&node, &["runner", "token", "create", "fleet", "--reusable"]);
    assert!(made.stdout.starts_with("jbg_"), "{made:#?}");
    assert!(
        made.stderr.contains("jiggablend node join --http"),
        "{made:#?}"
    );
    let listed = operator(&node, &["runner", "token", "list"]).stdout;
    assert!(listed.contains("any number"), "{listed}");
    operator(&node, &["runner", "token", "revoke", "fleet"]);
    let left = operator_json(&node, &["runner", "token", "list"]);
    assert_eq!(left["registration_tokens"].as_array().unwrap().len(), 0);

    let ticket = operator(&node, &["ticket", "create", "--runner-only"]).stdout;
    assert!(
        ticket.starts_with("jiggablend node join jigga1"),
        "{ticket}"
    );
}
