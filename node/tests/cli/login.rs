//! `login`, `logout` and `whoami`.

use std::sync::Arc;

use serde_json::Value;

use crate::fake_farm::{FakeNode, Farm, Habits};
use crate::program::{Machine, Said, mode};

fn farm_with_node() -> (Arc<Farm>, FakeNode, Machine) {
    let farm = Farm::with_job(3);
    let node = FakeNode::start(&farm, Habits::default());
    (farm, node, Machine::without_node())
}

fn sign_in(machine: &Machine, url: &str) -> Said {
    let arguments = [
        "login",
        url,
        "--email",
        "ada@example.org",
        "--password-stdin",
    ];
    machine
        .run_with_input(&arguments, "correct horse\n")
        .expect_code(0)
}

fn good_tokens(farm: &Farm) -> usize {
    let inner = farm.inner();
    let tokens = inner.accounts.tokens.iter();
    tokens
        .filter(|(token, _)| token.starts_with("jbt_"))
        .count()
}

#[test]
fn a_password_becomes_a_token_that_is_kept_where_nobody_else_reads_it() {
    let (farm, node, machine) = farm_with_node();
    let said = sign_in(&machine, &node.url);
    let line = "signed in at the farm barn as ada@example.org (member)\n";
    assert_eq!(said.stdout, line);
    assert_eq!(mode(&machine.credentials()), 0o600);
    assert_eq!(mode(machine.credentials().parent().unwrap()), 0o700);
    let saved = std::fs::read_to_string(machine.credentials()).unwrap();
    assert!(saved.contains("jbt_") && !saved.contains("correct horse"));
    assert!(!said.stdout.contains("jbt_") && !said.stderr.contains("jbt_"));
    let inner = farm.inner();
    assert!(!inner.accounts.has_session, "its session is over");
    let order = &inner.accounts.token_orders[0];
    assert_eq!(order["ttl_seconds"], 90 * 24 * 60 * 60);
    let name = order["name"].as_str().unwrap();
    assert!(name.starts_with("jiggablend on "), "{name}");
}

#[test]
fn who_signed_in_once_needs_no_address_and_no_token_and_outlives_the_node() {
    let (farm, mut node, machine) = farm_with_node();
    let _other = FakeNode::start(&farm, Habits::default());
    sign_in(&machine, &node.url);
    node.die();
    let said = machine.run_without_data(&["job", "list"]).expect_code(0);
    assert!(said.stdout.contains("cat"), "{said:#?}");
    let said = machine.run_without_data(&["whoami"]).expect_code(0);
    for word in [
        "ada@example.org (Ada)",
        "member",
        "0 B of 1.00 GiB",
        "2 of 8",
    ] {
        assert!(said.stdout.contains(word), "{word}: {said:#?}");
    }
}

#[test]
fn a_second_sign_in_takes_the_place_of_the_first_and_its_token() {
    let (farm, node, machine) = farm_with_node();
    sign_in(&machine, &node.url);
    sign_in(&machine, &node.url);
    assert_eq!(good_tokens(&farm), 1);
    machine.run_without_data(&["job", "list"]).expect_code(0);
}

#[test]
fn signing_out_revokes_the_token_and_forgets_it() {
    let (farm, node, machine) = farm_with_node();
    sign_in(&machine, &node.url);
    assert_eq!(good_tokens(&farm), 1);
    let said = machine.run_without_data(&["logout"]).expect_code(0);
    assert_eq!(said.stdout, "signed out ada@example.org at the farm barn\n");
    assert_eq!(good_tokens(&farm), 0);
    assert!(!machine.credentials().exists());
    let said = machine.run_without_data(&["job", "list"]).expect_code(1);
    assert!(said.stderr.contains("jiggablend login URL"), "{said:#?}");
    let said = machine.run_without_data(&["logout"]).expect_code(1);
    assert!(said.stderr.contains("nobody is signed in"), "{said:#?}");
}

#[test]
fn a_token_that_could_not_be_revoked_is_said_so_and_forgotten() {
    let (_farm, mut node, machine) = farm_with_node();
    sign_in(&machine, &node.url);
    node.die();
    let said = machine.run_without_data(&["logout"]).expect_code(1);
    assert!(said.stderr.contains("is still good"), "{said:#?}");
    assert!(!machine.credentials().exists());
}

#[test]
fn a_sign_in_that_is_over_says_how_to_sign_in_again() {
    let (farm, node, machine) = farm_with_node();
    sign_in(&machine, &node.url);
    farm.inner().accounts.tokens.clear();
    let said = machine
        .run_without_data(&["job", "list", "--json"])
        .expect_code(1);
    let error = said.json_error();
    assert_eq!(error["kind"], "not-signed-in");
    let detail = error["detail"].as_str().unwrap();
    let again = format!("jiggablend login {}", node.url);
    assert!(
        detail.contains("ada@example.org at the farm barn"),
        "{detail}"
    );
    assert!(detail.ends_with(&format!("`{again}`")), "{detail}");
}

#[test]
fn what_is_named_goes_before_the_node_and_the_node_before_the_sign_in() {
    let (_farm, node, machine) = farm_with_node();
    sign_in(&machine, &node.url);
    let by = |said: Said| -> String {
        let told: Value = said.expect_code(0).json();
        told["signed_in_by"].as_str().unwrap().to_owned()
    };
    let saved = by(machine.run_without_data(&["whoami", "--json"]));
    assert!(saved.starts_with("the saved sign-in"), "{saved}");
    let at_its_url = ["whoami", "--json", "--url", &node.url];
    assert_eq!(by(machine.run_without_data(&at_its_url)), saved);

    let owned = Machine::with_node(&node.url);
    let operator = by(owned.run(&["whoami", "--json"]));
    assert!(
        operator.starts_with("the operator's token in"),
        "{operator}"
    );
    let named = by(owned.run(&["whoami", "--json", "--token", "the-token"]));
    assert!(named.starts_with("the token of --token"), "{named}");
}

#[test]
fn a_data_directory_that_is_named_is_meant_whatever_is_saved() {
    let (_farm, node, machine) = farm_with_node();
    sign_in(&machine, &node.url);
    // No node was ever started in the machine's data directory.
    let commands: [&[&str]; 5] = [
        &["job", "list"],
        &["token", "list"],
        &["whoami"],
        &["node", "status"],
        &["login"],
    ];
    for command in commands {
        let said = machine.run(command).expect_code(1);
        assert!(said.stderr.contains("no node was started in"), "{said:#?}");
        assert!(!said.stderr.contains("nobody signed in"), "{said:#?}");
    }
    machine
        .run_without_data(&["token", "list", "--json"])
        .expect_code(0);
    let said = machine.run_without_data(&["node", "status"]).expect_code(1);
    assert!(said.stderr.contains("no node was started in"), "{said:#?}");
}

#[test]
fn a_wrong_password_keeps_nothing() {
    let (_farm, node, machine) = farm_with_node();
    let arguments = [
        "login",
        &node.url,
        "--email",
        "ada@example.org",
        "--password-stdin",
    ];
    let said = machine.run_with_input(&arguments, "wrong\n").expect_code(1);
    assert!(said.stderr.contains("the password is wrong"), "{said:#?}");
    assert!(!machine.credentials().exists());
    // Without a terminal, as in a service, there is nobody to ask.
    let output = std::process::Command::new("setsid")
        .arg("--wait")
        .arg(env!("CARGO_BIN_EXE_jiggablend"))
        .args(["login", &node.url, "--email", "ada@example.org"])
        .env("HOME", machine.path(""))
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("--password-stdin"), "{stderr}");
}

#[test]
fn a_farm_with_providers_shows_a_code_and_waits_until_it_is_approved() {
    let (farm, node, machine) = farm_with_node();
    farm.inner().accounts.providers = vec!["Google"];
    let said = machine
        .run_with_input(&["login", &node.url], "")
        .expect_code(0);
    assert!(
        said.stderr
            .contains("open   https://farm.example/#/device\n")
    );
    assert!(said.stderr.contains("code   BCDF-GHJK\n"), "{said:#?}");
    assert_eq!(farm.count_calls("POST /api/auth/device/token"), 3);
    machine.run_without_data(&["job", "list"]).expect_code(0);
}

#[test]
fn for_programs_the_code_is_a_line_of_json_before_the_result() {
    let (farm, node, machine) = farm_with_node();
    farm.inner().accounts.has_local_accounts = false;
    let said = machine
        .run_with_input(&["login", &node.url, "--web", "--json"], "")
        .expect_code(0);
    assert_eq!(said.stderr, "");
    let lines = said.json_lines();
    assert_eq!(lines[0]["user_code"], "BCDF-GHJK");
    assert_eq!(lines[1]["farm"]["name"], "barn");
    assert!(!said.stdout.contains("jbt_") && !said.stdout.contains("jbd_"));
}

#[test]
fn a_token_that_was_brought_along_is_kept_where_it_is_good() {
    let (_farm, node, machine) = farm_with_node();
    let arguments = ["login", &node.url, "--with-token"];
    let said = machine.run_with_input(&arguments, "wrong\n").expect_code(1);
    assert!(said.stderr.contains("is wrong"), "{said:#?}");
    assert!(!said.stderr.contains("JIGGABLEND_TOKEN"), "{said:#?}");
    assert!(!machine.credentials().exists());
    machine
        .run_with_input(&arguments, "the-token\n")
        .expect_code(0);
    machine.run_without_data(&["job", "list"]).expect_code(0);
}

#[test]
fn a_secret_never_leaves_for_a_public_address_in_the_open() {
    let machine = Machine::without_node();
    // An address for documentation (RFC 5737): nothing answers there.
    let url = "http://198.51.100.7:8080";
    let arguments = [
        "login",
        url,
        "--email",
        "ada@example.org",
        "--password-stdin",
    ];
    let said = machine
        .run_with_input(&arguments, "secret\n")
        .expect_code(2);
    assert!(said.stderr.contains("--insecure"), "{said:#?}");
    let said = machine
        .run_without_data(&["job", "list", "--url", url, "--token", "jbt_x"])
        .expect_code(2);
    assert!(said.stderr.contains("use https"), "{said:#?}");
    assert!(!said.stderr.contains("jbt_x"), "{said:#?}");
}
