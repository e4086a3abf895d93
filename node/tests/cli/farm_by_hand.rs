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

#[test]
fn a_webhook_is_made_changed_tested_and_deleted() {
    let node = RealNode::start();
    let made = operator_json(
        &node,
        &[
            "webhook",
            "create",
            "https://example.org/hook",
            "--event",
            "job_done",
            "--all-jobs",
        ],
    );
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    operator(&node, &["webhook", "test", "example.org"]);
    let deliveries = operator_json(&node, &["webhook", "deliveries", "example.org"]);
    assert_eq!(deliveries["deliveries"][0]["event"], "test");
    let shown = operator(&node, &["webhook", "deliveries", "example.org"]).stdout;
    assert!(shown.lines().nth(1).unwrap().starts_with("test"), "{shown}");
    let change = ["webhook", "update", "example.org", "--name", "nightly"];
    operator(&node, &[&change[..], &["--enabled", "false"]].concat());
    let listed = operator_json(&node, &["webhook", "list"]);
    assert_eq!(listed["webhooks"][0]["name"], "nightly");
    assert_eq!(listed["webhooks"][0]["enabled"], false);
    operator(&node, &["webhook", "delete", "nightly"]);
    let left = operator_json(&node, &["webhook", "list"]);
    assert_eq!(left["webhooks"].as_array().unwrap().len(), 0);
}

/// A scene that Blender saved.
fn saved_scene(machine: &Machine) -> std::path::PathBuf {
    let path = machine.path("cube.blend");
    let script = format!("import bpy; bpy.ops.wm.save_as_mainfile(filepath={path:?})");
    let output = std::process::Command::new("blender")
        .args(["-b", "--factory-startup", "--python-expr", &script])
        .output()
        .expect("Blender is on the PATH; testnet/setup brings it");
    assert!(output.status.success(), "Blender failed: {output:?}");
    path
}

#[test]
fn a_job_is_uploaded_found_shared_and_taken_back() {
    let node = RealNode::start();
    for email in [ADA, "bob@example.org"] {
        create_user(&node, &[email]).expect_code(0);
    }
    let ada = signed_in(&node, ADA);
    let bob = signed_in(&node, "bob@example.org");
    let scene = saved_scene(&ada);
    let submit = ["job", "submit", scene.to_str().unwrap(), "--frames", "1-3"];
    let said = ada.run_without_data(&submit).expect_code(0);
    let job = said.stdout.lines().next().unwrap().to_owned();

    let find = [
        "job", "list", "--owner", "me", "--search", "CUBE", "--sort", "name", "--json",
    ];
    let found = |machine: &Machine| -> usize {
        let listed = machine.run_without_data(&find).expect_code(0).json();
        listed["jobs"].as_array().unwrap().len()
    };
    assert_eq!((found(&ada), found(&bob)), (1, 0));
    let active = ["job", "list", "--state", "active"];
    let listed = ada.run_without_data(&active).expect_code(0);
    assert!(listed.stdout.contains("cube"), "{listed:#?}");
    // Nothing renders here.
    let attempts = ["job", "attempts", &job, "--frame", "2", "--json"];
    let told = ada.run_without_data(&attempts).expect_code(0).json();
    assert_eq!(told["attempts"].as_array().unwrap().len(), 0);
    let log = ["job", "log", &job, "--frame", "2"];
    let refused = ada.run_without_data(&log).expect_code(1);
    assert!(refused.stderr.contains("no such attempt"), "{refused:#?}");

    let show = ["job", "show", &job];
    bob.run_without_data(&show).expect_code(1);
    let share = ["job", "share", &job, "bob"];
    ada.run_without_data(&share).expect_code(0);
    bob.run_without_data(&show).expect_code(0);
    let cancel = ["job", "cancel", &job];
    let refused = bob.run_without_data(&cancel).expect_code(1);
    assert!(refused.stderr.contains("shared with you"), "{refused:#?}");
    let unshare = ["job", "unshare", &job, "bob"];
    ada.run_without_data(&unshare).expect_code(0);
    bob.run_without_data(&show).expect_code(1);
    let manage = [&share[..], &["--manage"]].concat();
    ada.run_without_data(&manage).expect_code(0);
    let cancelled = bob.run_without_data(&cancel).expect_code(0);
    assert!(cancelled.stdout.contains("is cancelled"), "{cancelled:#?}");
}
