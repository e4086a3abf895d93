use std::collections::{BTreeMap, BTreeSet};

use reqwest::StatusCode;
use serde_json::json;

use super::node::*;

/// An exposition, read as strictly as Prometheus reads it (OpenMetrics 1.0).
struct Exposition {
    families: BTreeMap<String, Family>,
    samples: BTreeMap<String, f64>,
}

#[derive(Default)]
struct Family {
    kind: String,
    unit: Option<String>,
    has_help: bool,
}

fn parse(text: &str) -> Exposition {
    let body = text.strip_suffix("# EOF\n").expect("it ends with EOF");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut samples = BTreeMap::new();
    let mut ended = BTreeSet::new();
    let mut current = String::new();
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let (keyword, rest) = comment.split_once(' ').unwrap();
            let (name, value) = rest.split_once(' ').unwrap();
            if name != current {
                assert!(!ended.contains(name), "{name} comes in one block");
                ended.insert(std::mem::replace(&mut current, name.to_owned()));
            }
            let family = families.entry(name.to_owned()).or_default();
            match keyword {
                "HELP" => family.has_help = !value.is_empty(),
                "TYPE" => family.kind = value.to_owned(),
                "UNIT" => family.unit = Some(value.to_owned()),
                other => panic!("{other} is no keyword"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
        let name = series.split('{').next().unwrap();
        let family = &families[&current];
        let suffixes: &[&str] = match family.kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "histogram" => &["_bucket", "_count", "_sum"],
            other => panic!("{other} is no type that is used here"),
        };
        let suffix = name
            .strip_prefix(&current)
            .expect("a family's samples follow it");
        assert!(
            suffixes.contains(&suffix),
            "{name} is no sample of a {}",
            family.kind
        );
        let value: f64 = value.parse().expect("a value is a number");
        assert!(
            samples.insert(series.to_owned(), value).is_none(),
            "{series} comes twice"
        );
    }
    for (name, family) in &families {
        assert!(family.has_help && !family.kind.is_empty(), "{name}");
        if let Some(unit) = &family.unit {
            assert!(name.ends_with(&format!("_{unit}")), "{name} in {unit}");
        }
    }
    Exposition { families, samples }
}

async fn scrape(node: &TestNode) -> (String, Exposition) {
    let (status, body) = node.operator().get("/metrics").await;
    assert_eq!(status, StatusCode::OK);
    let text = body.as_str().unwrap().to_owned();
    let exposition = parse(&text);
    (text, exposition)
}

#[tokio::test]
async fn prometheus_can_read_the_metrics_of_a_node_at_work() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let job = client.new_job(&json!({"name": "a"})).await;
    let (status, _) = client.upload(&job, scene(1, 3, 10)).await;
    assert_eq!(status, StatusCode::CREATED);
    client.new_job(&json!({"name": "without a scene"})).await;
    let (status, _) = client.get(&format!("/api/jobs/{job}")).await;
    assert_eq!(status, StatusCode::OK);
    let (status, _) = client.login(MEMBER, "a wrong password").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);

    let (text, seen) = scrape(&node).await;
    let value = |series: &str| {
        let value = seen.samples.get(series);
        *value.unwrap_or_else(|| panic!("{series} is not in\n{text}"))
    };
    assert_eq!(value("jiggablend_jobs{state=\"active\"}"), 1.0);
    assert_eq!(value("jiggablend_jobs{state=\"awaiting_scene\"}"), 1.0);
    assert_eq!(value("jiggablend_tasks{state=\"pending\"}"), 3.0);
    assert_eq!(value("jiggablend_raft_is_leader"), 1.0);
    assert!(value("jiggablend_raft_applied_index") > 5.0);
    assert_eq!(value("jiggablend_sign_in_failures_total"), 1.0);
    let created = "{method=\"POST\",route=\"/api/jobs\",status=\"2xx\"}";
    assert_eq!(
        value(&format!("jiggablend_http_requests_total{created}")),
        2.0
    );
    let looked = "{method=\"GET\",route=\"/api/jobs/{id}\"}";
    assert_eq!(
        value(&format!("jiggablend_http_request_seconds_count{looked}")),
        1.0
    );
    assert!(value("jiggablend_http_received_bytes_total") > 10.0);
    assert!(value("jiggablend_http_sent_bytes_total") > 100.0);
    assert!(value("jiggablend_content_store_bytes") > 0.0);
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_cpu_seconds_total") > 0.0);
    assert_eq!(seen.families["jiggablend_jobs"].kind, "gauge");
    assert!(!text.contains(&job), "no series a job");
    node.stop().await;
}

#[tokio::test]
async fn metrics_are_for_those_who_see_the_farm() {
    let node = TestNode::start().await;
    let (status, _) = node.client().get("/metrics").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let member = node.signed_in(MEMBER).await;
    let (status, _) = member.get("/metrics").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    node.stop().await;
}

#[tokio::test]
async fn an_answers_length_is_known_though_its_bytes_are_counted() {
    let node = TestNode::start().await;
    let request = node.operator().request(reqwest::Method::GET, "/api/farm");
    let response = request.send().await.unwrap();
    assert!(response.content_length().is_some());
    node.stop().await;
}
