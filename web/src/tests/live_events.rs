use std::time::Duration;

use futures::{Stream, StreamExt};
use jiggablend_raft::{Epoch, TaskId};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::node::*;
use crate::TaskProgress;

/// An event as a client sees it.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    name: String,
    id: Option<u64>,
    data: Value,
}

/// An open stream of events.
struct Events {
    bytes: std::pin::Pin<Box<dyn Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    text: String,
}

impl Events {
    async fn open(client: &Client, query: &str, last_event_id: Option<u64>) -> Self {
        let path = format!("/api/events{query}");
        let mut request = client
            .request(Method::GET, &path)
            .timeout(Duration::from_secs(120));
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            bytes: Box::pin(response.bytes_stream()),
            text: String::new(),
        }
    }

    /// The next event; `None` when the server ended the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some(event) = parse(&block) {
                    return Some(event);
                }
                continue;
            }
            let piece = tokio::time::timeout(PATIENCE, self.bytes.next());
            let piece = piece.await.expect("an event comes in time")?;
            self.text += std::str::from_utf8(&piece.unwrap()).unwrap();
        }
    }

    async fn first_change(mut self) -> Event {
        self.next_named("change").await
    }

    /// The next event of that name.
    async fn next_named(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().await.expect("the stream goes on");
            if event.name == name {
                return event;
            }
        }
    }
}

fn parse(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let mut lines = block.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    Some(Event {
        name: field("event")?.to_owned(),
        id: field("id").map(|id| id.parse().unwrap()),
        data: serde_json::from_str(field("data")?).unwrap(),
    })
}

fn job_names(event: &Event) -> Vec<String> {
    let changes = event.data["changes"].as_array().unwrap();
    let jobs = changes
        .iter()
        .filter_map(|change| change["job"]["name"].as_str());
    jobs.map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn a_stream_begins_with_the_leader_and_goes_on_with_what_changes() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let mut events = Events::open(&client, "", None).await;
    let leader = events.next().await.unwrap();
    assert_eq!((leader.name.as_str(), leader.id), ("leader", None));
    assert_eq!(leader.data["leader"], 1);

    let job = client.new_job(&json!({"name": "a"})).await;
    let created = events.next_named("change").await;
    assert_eq!(created.id, created.data["index"].as_u64());
    assert_eq!(created.data["changes"][0]["job"]["id"], job.as_str());
    let (status, file) = client.upload(&job, scene(1, 3, 10)).await;
    assert_eq!(status, StatusCode::CREATED);
    let started = events.next_named("change").await;
    let changes = started.data["changes"].as_array().unwrap();
    let tasks = changes.iter().filter(|change| change["task"].is_object());
    assert_eq!(tasks.count(), 3, "one entry of the log is one event");
    assert!(changes.iter().any(|change| change["file"] == file));
    assert!(
        changes
            .iter()
            .any(|change| change["job"]["state"] == "active")
    );
    assert!(
        changes
            .iter()
            .any(|change| change["task"]["job"] == job.as_str() && change["task"]["frame"] == 2)
    );
    node.stop().await;
}

#[tokio::test]
async fn a_client_that_comes_back_misses_nothing_and_gets_nothing_twice() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let mut seen: Vec<String> = Vec::new();
    let mut last = node.log.applied_index();
    let making = async {
        for number in 0..60 {
            client
                .new_job(&json!({"name": format!("job {number}")}))
                .await;
        }
    };
    let watching = async {
        // Each connection reads a few events and is cut; half come back with the header.
        while seen.len() < 60 {
            let by_header = seen.len().is_multiple_of(2);
            let mut events = if by_header {
                Events::open(&client, "?after=0", Some(last)).await
            } else {
                Events::open(&client, &format!("?after={last}"), None).await
            };
            for _ in 0..7 {
                if seen.len() == 60 {
                    break;
                }
                let event = events.next_named("change").await;
                assert!(event.id.unwrap() > last, "in order");
                last = event.id.unwrap();
                seen.extend(job_names(&event));
            }
        }
    };
    tokio::join!(making, watching);
    let expected: Vec<String> = (0..60).map(|number| format!("job {number}")).collect();
    assert_eq!(seen, expected);
    node.stop().await;
}

#[tokio::test]
async fn a_client_of_another_node_goes_on_in_the_middle_of_what_this_one_told_at_once() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let first = node.log.applied_index();
    let owner = node.log.read(|state| {
        let user = state.user_by_email(MEMBER).unwrap();
        jiggablend_raft::Owner::User(user.id)
    });
    let created = (0..40).map(|number| {
        node.propose(jiggablend_raft::Action::JobCreated {
            job: jiggablend_raft::JobId::new(),
            name: format!("job {number}"),
            owner,
            settings: jiggablend_raft::JobSettings::default(),
        })
    });
    futures::future::join_all(created).await;
    let entries = node.log.applied_since(first).unwrap();
    let name_of = |entry: &jiggablend_raft::Applied| {
        let job = entry.changes.iter().find_map(|change| match change {
            jiggablend_raft::Change::Job(job) => Some(*job),
            _ => None,
        });
        node.log
            .read(|state| state.jobs.get(&job.unwrap()).unwrap().name.clone())
    };
    for seen in [0, 1, 7, 20, 39] {
        let after = entries[seen].index;
        let mut events = Events::open(&client, "", Some(after)).await;
        let expected: Vec<String> = entries[seen + 1..]
            .iter()
            .map(|entry| name_of(entry))
            .collect();
        let mut told = Vec::new();
        while told.len() < expected.len() {
            let event = events.next_named("change").await;
            assert!(event.id.unwrap() > after);
            told.extend(job_names(&event));
        }
        assert_eq!(told, expected, "after {seen} of them");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_large_change_comes_in_parts_and_the_last_one_says_that_it_is_all() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let job = client.new_job(&json!({"name": "long"})).await;
    let before = node.log.applied_index();
    let (status, _) = client.upload(&job, scene(1, 2500, 10)).await;
    assert_eq!(status, StatusCode::CREATED);
    // By the feed, and by what the log keeps for those who come later.
    for after in [before, before - 1] {
        let mut events = Events::open(&client, "", Some(after)).await;
        let (mut parts, mut tasks) = (0, 0);
        loop {
            let event = events.next_named("change").await;
            let changes = event.data["changes"].as_array().unwrap();
            tasks += changes.iter().filter(|it| it["task"].is_object()).count();
            parts += 1;
            let index = event.data["index"].as_u64().unwrap();
            match event.id {
                Some(id) if id > before => break,
                Some(id) => assert_eq!(id, index),
                None => assert!(index <= before, "not all was told of {index}"),
            }
            assert!(parts < 9, "it has an end");
        }
        assert_eq!(tasks, 2500);
        assert!(parts >= 3, "{parts} parts");
    }
    node.stop().await;
}

#[tokio::test]
async fn an_index_that_this_node_never_had_is_a_reset() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let mut events = Events::open(&client, "?after=999999999", None).await;
    let reset = events.next_named("reset").await;
    let newest = node.log.applied_index();
    assert_eq!(reset.data, json!({"index": newest}));
    client.new_job(&json!({"name": "after it"})).await;
    let change = events.next_named("change").await;
    assert_eq!(job_names(&change), ["after it"]);
    let (status, body) = client.get("/api/events?after=x").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem(&body), "invalid-request");
    node.stop().await;
}

#[tokio::test]
async fn a_stream_shows_only_what_its_caller_may_see() {
    let node = TestNode::start().await;
    let mine = node.signed_in(MEMBER).await;
    let theirs = node.signed_in(OTHER_MEMBER).await;
    let mut mine_events = Events::open(&mine, "", None).await;
    let mut all_events = Events::open(&node.operator(), "", None).await;
    let their_job = theirs.new_job(&json!({"name": "theirs"})).await;
    let (status, _) = theirs.upload(&their_job, scene(1, 2, 10)).await;
    assert_eq!(status, StatusCode::CREATED);
    let my_job = mine.new_job(&json!({"name": "mine"})).await;
    let (status, _) = mine.upload(&my_job, scene(1, 2, 10)).await;
    assert_eq!(status, StatusCode::CREATED);
    let progress = |job: &str| TaskProgress {
        task: TaskId {
            job: job.parse().unwrap(),
            index: 0,
        },
        epoch: Epoch(1),
        node: NODE,
        fraction: Some(0.5),
        text: "Sample 32/64".into(),
    };
    node.live
        .progressed(vec![progress(&their_job), progress(&my_job)]);

    let change = mine_events.next_named("change").await;
    assert_eq!(job_names(&change), ["mine"]);
    let of_mine = mine_events.next_named("progress").await;
    let tasks = of_mine.data["tasks"].as_array().unwrap();
    assert_eq!((of_mine.id, tasks.len()), (None, 1));
    assert_eq!(tasks[0]["job"], my_job.as_str());
    assert_eq!(tasks[0]["fraction"], 0.5);
    let change = all_events.next_named("change").await;
    assert_eq!(job_names(&change), ["theirs"]);
    let of_all = all_events.next_named("progress").await;
    assert_eq!(of_all.data["tasks"].as_array().unwrap().len(), 2);
    node.stop().await;
}

fn gone_jobs(event: &Event) -> Vec<Value> {
    let changes = event.data["changes"].as_array().unwrap();
    let gone = changes.iter().map(|change| change["job_gone"].clone());
    gone.filter(|id| !id.is_null()).collect()
}

#[tokio::test]
async fn a_job_that_is_shared_no_longer_is_taken_from_lists_and_is_in_no_replay() {
    let node = TestNode::start().await;
    let owner = node.signed_in(MEMBER).await;
    let guest = node.signed_in(OTHER_MEMBER).await;
    let guest_id = node
        .log
        .read(|state| state.user_by_email(OTHER_MEMBER).unwrap().id);
    let before = node.log.applied_index();
    let job = owner.new_job(&json!({"name": "for a while"})).await;
    let share = format!("/api/jobs/{job}/shares/{guest_id}");
    let mut live = Events::open(&guest, "", None).await;
    let mut of_owner = Events::open(&owner, "", None).await;
    let (status, _) = answer(
        owner
            .request(Method::PUT, &share)
            .json(&json!({"access": "view"})),
    )
    .await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(job_names(&live.next_named("change").await), ["for a while"]);
    let replayed = Events::open(&guest, "", Some(before))
        .await
        .first_change()
        .await;
    assert_eq!(job_names(&replayed), ["for a while"]);
    assert_eq!(owner.delete(&share).await.0, StatusCode::NO_CONTENT);

    let told = live.next_named("change").await;
    assert_eq!(gone_jobs(&told), [json!(job)]);
    assert_eq!(told.data["changes"].as_array().unwrap().len(), 1);
    // By the feed, and by what the log keeps for those who come later.
    for after in [before, before - 1] {
        let replayed = Events::open(&guest, "", Some(after))
            .await
            .first_change()
            .await;
        assert_eq!(job_names(&replayed), [""; 0], "{replayed:?}");
        assert_eq!(gone_jobs(&replayed), [json!(job)]);
    }
    for _ in 0..2 {
        let told = of_owner.next_named("change").await;
        assert_eq!(gone_jobs(&told), [json!(null); 0]);
    }
    node.stop().await;
}

#[tokio::test]
async fn progress_comes_in_digests_of_the_newest_words() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let job = client.new_job(&json!({"name": "a"})).await;
    let mut events = Events::open(&client, "", None).await;
    events.next_named("leader").await;
    let task = TaskId {
        job: job.parse().unwrap(),
        index: 0,
    };
    for sample in 1..=100 {
        node.live.progressed(vec![TaskProgress {
            task,
            epoch: Epoch(1),
            node: NODE,
            fraction: Some(sample as f32 / 100.0),
            text: format!("Sample {sample}/100"),
        }]);
    }
    let mut digests = 0;
    loop {
        let digest = events.next_named("progress").await;
        digests += 1;
        if digest.data["tasks"][0]["text"] == "Sample 100/100" {
            break;
        }
    }
    assert!(digests <= 5, "{digests} digests of 100 words");
    node.stop().await;
}

#[tokio::test]
async fn a_logout_ends_the_sessions_streams_and_no_others() {
    let node = TestNode::start().await;
    let leaving = node.signed_in(MEMBER).await;
    let staying = node.signed_in(MEMBER).await;
    let mut left = Events::open(&leaving, "", None).await;
    let mut stayed = Events::open(&staying, "", None).await;
    left.next_named("leader").await;
    let (status, _) = answer(leaving.request(Method::POST, "/api/auth/logout")).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    staying
        .new_job(&json!({"name": "not for those who left"}))
        .await;
    assert_eq!(left.next().await, None);
    let change = stayed.next_named("change").await;
    assert_eq!(job_names(&change), ["not for those who left"]);
    node.stop().await;
}

#[tokio::test]
async fn streams_end_when_the_web_port_stops() {
    let mut node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let mut events = Events::open(&client, "", None).await;
    events.next_named("leader").await;
    let stopping = std::time::Instant::now();
    node.stop_web().await;
    assert!(
        stopping.elapsed() < Duration::from_secs(9),
        "without being cut off"
    );
    assert_eq!(events.next().await, None);
    node.stop().await;
}

#[tokio::test]
async fn a_stream_shows_nothing_any_more_of_what_its_caller_may_not_see_any_more() {
    let node = TestNode::start().await;
    let owner = node.signed_in(MEMBER).await;
    let other = node.signed_in(OTHER_MEMBER).await;
    let user = node.user(OTHER_MEMBER);
    let shared = owner.new_job(&json!({"name": "shared"})).await;
    owner.share(&shared, user, "view").await;
    let mut events = Events::open(&other, "", None).await;
    let (status, _) = owner.upload(&shared, scene(1, 1, 10)).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(job_names(&events.next_named("change").await), ["shared"]);

    let path = format!("/api/jobs/{shared}/shares/{user}");
    assert_eq!(owner.delete(&path).await.0, StatusCode::NO_CONTENT);
    let (status, _) = owner.delete(&format!("/api/jobs/{shared}")).await;
    assert_eq!(status, StatusCode::OK);
    other.new_job(&json!({"name": "own"})).await;
    assert_eq!(job_names(&events.next_named("change").await), ["own"]);

    // An admin sees all, until they are none.
    let role = jiggablend_raft::UserChange::Role;
    node.change_user(OTHER_MEMBER, role(jiggablend_raft::UserRole::Admin))
        .await;
    owner.new_job(&json!({"name": "seen"})).await;
    assert_eq!(job_names(&events.next_named("change").await), ["seen"]);
    node.change_user(OTHER_MEMBER, role(jiggablend_raft::UserRole::Member))
        .await;
    owner.new_job(&json!({"name": "unseen"})).await;
    other.new_job(&json!({"name": "own again"})).await;
    assert_eq!(job_names(&events.next_named("change").await), ["own again"]);
    node.stop().await;
}
