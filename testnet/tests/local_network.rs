//! mDNS between two machines, which are network namespaces here. Needs root, as `ip netns` does.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::process::Command;

use common::SOON;
use jiggablend_testnet::command_line::{self, Said};
use jiggablend_testnet::farm::turn;
use jiggablend_testnet::node::{NodeProcess, NodeSettings};
use jiggablend_testnet::wait::{Look, wait_for};
use serde_json::Value;

const FARM_NAME: &str = "barn of the network test";

/// Two network namespaces with one cable between them, and nothing else. Gone when dropped.
struct TwoMachines {
    names: [String; 2],
}

impl TwoMachines {
    fn make() -> Self {
        let id = std::process::id();
        let machines = Self {
            names: [format!("jigga-a-{id}"), format!("jigga-b-{id}")],
        };
        let [a, b] = &machines.names;
        // Interface names have at most 15 characters.
        let ends = [format!("jga{id}"), format!("jgb{id}")];
        ip(&["netns", "add", a]);
        ip(&["netns", "add", b]);
        ip(&[
            "link", "add", &ends[0], "netns", a, "type", "veth", "peer", &ends[1], "netns", b,
        ]);
        for (number, (name, end)) in machines.names.iter().zip(&ends).enumerate() {
            let address = format!("10.77.0.{}/24", number + 1);
            ip(&["-n", name, "link", "set", "lo", "up"]);
            ip(&["-n", name, "address", "add", &address, "dev", end]);
            ip(&["-n", name, "link", "set", end, "up"]);
            ip(&["-n", name, "route", "add", "default", "dev", end]);
        }
        machines
    }

    /// A node's settings on the machine of this number, with the program's own defaults.
    fn node(&self, dir: &Path, number: usize) -> NodeSettings {
        let mut settings = NodeSettings::bare(dir, &format!("machine-{number}"));
        settings.wrapper = self.wrapper(number);
        settings.environment = vec![("JIGGABLEND_FARM_NAME".into(), FARM_NAME.into())];
        settings.arguments = vec!["--no-render".into()];
        settings
    }

    fn wrapper(&self, number: usize) -> Vec<String> {
        let words = ["ip", "netns", "exec", &self.names[number]];
        words.map(str::to_owned).into()
    }

    /// Runs `jiggablend` on the machine of this number.
    async fn run(&self, number: usize, data: &Path, arguments: &[&str]) -> Said {
        let program = command_line::jiggablend().unwrap();
        let wrapper = self.wrapper(number);
        let mut command = tokio::process::Command::new(&wrapper[0]);
        command
            .args(&wrapper[1..])
            .arg(program.as_std().get_program())
            .args(arguments)
            .env("JIGGABLEND_DATA", data)
            .stdin(std::process::Stdio::null());
        command_line::finish(command, SOON).await.unwrap()
    }
}

impl Drop for TwoMachines {
    fn drop(&mut self) {
        for name in &self.names {
            // What was not made need not go.
            let _ = Command::new("ip").args(["netns", "delete", name]).status();
        }
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "ip {arguments:?} (needs root): {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_machine_finds_the_farm_on_its_network_and_joins_it() {
    let _turn = turn().await;
    let dir = tempfile::tempdir().unwrap();
    let machines = TwoMachines::make();
    let first = NodeProcess::start(machines.node(dir.path(), 0))
        .await
        .unwrap();
    let newcomer = machines.node(dir.path(), 1);

    wait_for("the farm to be found", SOON, || async {
        let said = machines.run(1, &newcomer.data, &["node", "join"]).await;
        match said.stdout.contains(FARM_NAME) || said.stderr.contains(FARM_NAME) {
            true => Look::Seen(()),
            false => Look::NotYet(format!("{said:?}")),
        }
    })
    .await
    .unwrap();

    let data = &first.settings.data;
    let said = machines
        .run(0, data, &["cluster", "ticket", "--json"])
        .await;
    assert!(said.succeeded(), "{said:?}");
    let ticket: Value = serde_json::from_str(&said.stdout).unwrap();
    let ticket = ticket["ticket"].as_str().unwrap();
    let second = NodeProcess::join(newcomer, ticket).await.unwrap();
    assert_ne!(second.id(), first.id());

    wait_for("both machines to see each other", SOON, || async {
        let data = &second.settings.data;
        let said = machines
            .run(1, data, &["cluster", "status", "--json"])
            .await;
        let status: Value = serde_json::from_str(&said.stdout).unwrap_or_default();
        let nodes = status["nodes"].as_array().into_iter().flatten();
        match nodes.filter(|node| node["connected"] == true).count() {
            2 => Look::Seen(()),
            _ => Look::NotYet(format!("{said:?}")),
        }
    })
    .await
    .unwrap();
    second.stop().await.unwrap();
    first.stop().await.unwrap();
}
