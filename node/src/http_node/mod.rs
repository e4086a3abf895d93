//! `node join --http`: a runner that speaks only HTTP, with the same runner inside as any node.
//!
//! In the order in which things happen: [`home`] keeps who it is, [`farm`] talks to whichever node
//! answers, in the [`messages`] of `docs/http-runner.md`; [`work`] says that it is there and takes
//! tasks, [`storage`] fetches scenes and brings what was made, [`outbox`] says how tasks ended.

mod farm;
mod home;
mod messages;
mod outbox;
mod storage;
mod work;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cli::{NodeOptions, read_ca};
use crate::runner::{Outbox, Runner, RunnerConfig, Storage};
use crate::service::node_name;
use farm::{AskError, Farm};
use home::Home;
use messages::{Facts, Registered, Registration};
use outbox::HttpOutbox;
use storage::HttpStorage;
use work::Work;

/// Registers where that is still to do, and works until a signal or until the farm has removed
/// this runner.
pub(crate) async fn join(
    urls: &[String],
    token: Option<String>,
    ca: Option<&Path>,
    options: &NodeOptions,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let home = Home::open(&options.data.path())?;
    let ca = match ca {
        Some(path) => Some(read_ca(path)?),
        None => home.ca()?,
    };
    let farm = Farm::new(urls, home.known_urls()?, ca.as_deref())?;
    home.keep_ca(ca.as_deref())?;
    let storage = Arc::new(HttpStorage::new(farm.clone()));
    let outbox = Arc::new(HttpOutbox::new(farm.clone(), Arc::clone(&storage)));
    let config = RunnerConfig {
        blender: options.blender.clone(),
        render: !options.no_render,
        slots: options.slots,
        attempt_limit: options.frame_time_limit,
        ..RunnerConfig::new(home.scratch())
    };
    let runner = Runner::start(
        config,
        Arc::clone(&storage) as Arc<dyn Storage>,
        Arc::clone(&outbox) as Arc<dyn Outbox>,
    )
    .await;
    let work = Work {
        farm: farm.clone(),
        runner: runner.clone(),
        outbox,
        home,
    };
    let worked = async {
        let id = be_registered(&work, token, node_name(options)?).await?;
        greet(options, id, &work);
        work.run(stop.clone()).await
    };
    let ended = tokio::select! {
        ended = worked => ended,
        () = stop.cancelled() => Ok(()),
    };
    let leases = runner.holding();
    runner.shutdown().await;
    work.give_back(leases).await;
    ended
}

/// The runner's id: the one that it has, or a new one for the token.
async fn be_registered(work: &Work, token: Option<String>, name: String) -> anyhow::Result<u64> {
    if let Some(known) = work.home.registered()? {
        work.farm.set_credential(&known.credential);
        return Ok(known.runner);
    }
    let Some(token) = token else {
        bail!(
            "this runner is not registered yet; give --token with a registration token of an admin of the farm"
        );
    };
    let registration = Registration {
        token,
        name,
        facts: Facts::of(&work.runner.facts()),
    };
    // Kept before it is sent: where the answer is lost, the same call gets the same runner.
    let secret = work.home.registration_secret()?;
    let registered: Registered = loop {
        match work.farm.register(&registration, &secret).await {
            Ok(registered) => break registered,
            Err(AskError::Refused(problem)) => {
                bail!("the farm does not let this runner in: {problem}")
            }
            Err(AskError::NoAnswer(reason)) => {
                warn!("cannot register yet: {reason}");
                tokio::time::sleep(farm::PAUSE).await;
            }
        }
    };
    work.farm.set_credential(&registered.credential);
    work.home
        .keep(&registered, &work.farm.urls())
        .context("cannot keep this runner's credential")?;
    info!(runner = registered.runner, "this runner is registered");
    Ok(registered.runner)
}

fn greet(options: &NodeOptions, runner: u64, work: &Work) {
    let facts = work.runner.facts();
    if options.json {
        let greeting = serde_json::json!({
            "runner": runner,
            "blender_version": facts.blender_version,
            "why_not": facts.why_not,
        });
        println!("{greeting}");
        return;
    }
    println!(
        "runner {runner} over HTTP, by {}",
        work.farm.urls().join(", ")
    );
    match (&facts.blender_version, &facts.why_not) {
        (Some(version), _) => println!("renders with Blender {version}"),
        (None, Some(why_not)) => println!("does not render: {why_not}"),
        (None, None) => println!("does not render"),
    }
}
