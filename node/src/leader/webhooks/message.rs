//! What a webhook is told, in its shape. Users' text is text there: no markup, nobody is called.

use jiggablend_raft::{
    Delivery, DeliveryEvent, Job, Node, Owner, State, TaskKind, TaskState, TimestampMs, Webhook,
    WebhookEvent, WebhookShape,
};
use jiggablend_web::job_name;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A delivery as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// The same at every attempt, so that who gets it twice knows.
    pub(super) id: String,
    pub(super) body: Vec<u8>,
}

/// More of a user's text than this is cut: a chat shows one line.
const MAX_TEXT_CHARS: usize = 300;

pub(super) fn message(state: &State, webhook: &Webhook, delivery: &Delivery) -> Message {
    let job = delivery.job.and_then(|id| state.jobs.get(&id));
    let node = delivery.node.and_then(|id| state.nodes.get(&id));
    let body = match webhook.shape {
        WebhookShape::Json => json_body(state, delivery, job, node),
        WebhookShape::Discord => json!({
            "content": sentence(state, delivery, job, node, escape_for_discord),
            // Whatever the text holds, nobody is called.
            "allowed_mentions": {"parse": []},
        }),
        WebhookShape::Slack => json!({
            "text": sentence(state, delivery, job, node, escape_for_slack),
            "mrkdwn": false,
            "parse": "none",
            "link_names": false,
        }),
    };
    Message {
        id: format!("msg_{}_{}", webhook.id, delivery.id),
        body: body.to_string().into_bytes(),
    }
}

fn event_name(event: DeliveryEvent) -> &'static str {
    match event {
        DeliveryEvent::Test => "test",
        DeliveryEvent::Event(event) => match event {
            WebhookEvent::JobStarted => "job.started",
            WebhookEvent::JobDone => "job.done",
            WebhookEvent::JobFailed => "job.failed",
            WebhookEvent::JobCancelled => "job.cancelled",
            WebhookEvent::NodeJoined => "node.joined",
            WebhookEvent::NodeRemoved => "node.removed",
        },
    }
}

/// The payload as Standard Webhooks has it: `type`, `timestamp`, `data`.
fn json_body(state: &State, delivery: &Delivery, job: Option<&Job>, node: Option<&Node>) -> Value {
    let farm = state.farm.as_ref();
    let mut data = json!({
        "farm": farm.map(|farm| json!({"id": farm.id.to_string(), "name": farm.name})),
    });
    if let Some(job) = job {
        let frames = Frames::of(job);
        data["job"] = json!({
            "id": job.id,
            "name": job_name(state, job),
            "owner": owner_name(state, job.owner),
            "state": job.state,
            "frames": {"total": frames.total, "done": frames.done, "failed": frames.failed},
            "created_at_ms": job.created_at,
            "started_at_ms": job.started_at,
            "finished_at_ms": job.finished_at,
            "failure": job.failure,
            "url": job_url(state, job),
        });
    }
    if let Some(node) = node {
        data["node"] = json!({"id": node.id, "name": node.name});
    }
    json!({
        "type": event_name(delivery.event),
        "timestamp": rfc3339(delivery.at),
        "data": data,
    })
}

fn rfc3339(at: TimestampMs) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000_000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// One line for a chat; `escape` makes users' text harmless there.
fn sentence(
    state: &State,
    delivery: &Delivery,
    job: Option<&Job>,
    node: Option<&Node>,
    escape: fn(&str) -> String,
) -> String {
    let escape = |text: &str| escape(&one_line(text));
    let farm = state.farm.as_ref().map_or("?", |farm| &farm.name);
    let what = match (delivery.event, job, node) {
        (DeliveryEvent::Test, ..) => "This is a test. Messages of this farm come here.".to_owned(),
        (DeliveryEvent::Event(event), Some(job), _) => {
            let name = escape(&job_name(state, job));
            let frames = Frames::of(job);
            let so_far = format!("{} of {} frames", frames.done, frames.total);
            let failure = job.failure.as_ref().map(|failure| escape(&failure.message));
            let said = match event {
                WebhookEvent::JobStarted => {
                    format!("Job {name} has started: {} frames", frames.total)
                }
                WebhookEvent::JobDone => format!("Job {name} is done: {so_far}"),
                WebhookEvent::JobFailed => {
                    let why = failure.unwrap_or_else(|| so_far.clone());
                    format!("Job {name} failed: {why}")
                }
                WebhookEvent::JobCancelled => format!("Job {name} was cancelled after {so_far}"),
                other => format!("Job {name}: {}", event_name(DeliveryEvent::Event(other))),
            };
            match job_url(state, job) {
                Some(url) => format!("{said} – {url}"),
                None => said,
            }
        }
        (DeliveryEvent::Event(WebhookEvent::NodeRemoved), _, Some(node)) => {
            format!("Node {} was removed", escape(&node.name))
        }
        (DeliveryEvent::Event(_), _, Some(node)) => format!("Node {} joined", escape(&node.name)),
        (event, None, None) => event_name(event).to_owned(),
    };
    format!("[{}] {what}", escape(farm))
}

fn one_line(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = plain.take(MAX_TEXT_CHARS).collect();
    if text.chars().count() > MAX_TEXT_CHARS {
        line.push('…');
    }
    line
}

/// All of Discord's markup begins with ASCII punctuation, and a backslash takes its meaning away.
fn escape_for_discord(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii_punctuation() {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Mentions and links of Slack are in angle brackets; the rest is off with `mrkdwn` and `parse`.
fn escape_for_slack(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

struct Frames {
    total: usize,
    done: usize,
    failed: usize,
}

impl Frames {
    fn of(job: &Job) -> Self {
        let frames = || {
            job.tasks
                .iter()
                .filter(|task| task.kind != TaskKind::Encode)
        };
        let count = |state| frames().filter(|task| task.state == state).count();
        Self {
            total: frames().count(),
            done: count(TaskState::Done),
            failed: count(TaskState::Failed),
        }
    }
}

fn owner_name(state: &State, owner: Owner) -> Option<String> {
    match owner {
        Owner::User(id) => state.users.get(&id).map(|user| user.name.clone()),
        Owner::Operator(id) => {
            let node = state.nodes.get(&id)?;
            Some(format!("operator of {}", node.name))
        }
    }
}

/// The job's page, where the farm's settings say how people reach it.
fn job_url(state: &State, job: &Job) -> Option<String> {
    let base = state.settings.public_url.as_deref()?;
    Some(format!("{}/#/jobs/{}", base.trim_end_matches('/'), job.id))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use jiggablend_raft::{
        Action, Actor, Command, DeliveryId, JobId, JobSettings, NodeId, WebhookId,
    };

    use super::*;

    const NAME: &str = "@everyone <!channel> **bold** <@1> [x](http://evil)";

    fn state_with_job() -> (State, JobId) {
        let mut state = State::default();
        let job = JobId::new();
        let created = Action::JobCreated {
            job,
            name: NAME.into(),
            owner: Owner::Operator(NodeId(1)),
            settings: JobSettings::default(),
        };
        let command = Command::new(Actor::Operator(NodeId(1)), created);
        state.apply(&command, &mut Vec::new()).unwrap();
        (state, job)
    }

    fn body(shape: WebhookShape, event: DeliveryEvent, public_url: Option<&str>) -> Value {
        let (mut state, job) = state_with_job();
        state.settings.public_url = public_url.map(str::to_owned);
        let webhook = Webhook {
            id: WebhookId::new(),
            owner: Owner::Operator(NodeId(1)),
            name: "chat".into(),
            url: "https://chat.example".into(),
            shape,
            events: [WebhookEvent::JobDone].into(),
            all_jobs: true,
            secret: "whsec_".into(),
            enabled: true,
            created_at: TimestampMs(1),
            failures: 0,
        };
        let delivery = Delivery {
            id: DeliveryId(7),
            webhook: webhook.id,
            event,
            job: (event != DeliveryEvent::Test).then_some(job),
            node: None,
            at: TimestampMs(1_700_000_000_123),
            attempts: 0,
            next_at: TimestampMs(1),
            outcome: None,
            last_error: None,
            last_status: None,
        };
        let message = message(&state, &webhook, &delivery);
        assert_eq!(message.id, format!("msg_{}_7", webhook.id));
        serde_json::from_slice(&message.body).unwrap()
    }

    const DONE: DeliveryEvent = DeliveryEvent::Event(WebhookEvent::JobDone);

    #[test]
    fn programs_get_type_time_and_data() {
        let body = body(WebhookShape::Json, DONE, Some("https://farm.example/"));
        assert_eq!(body["type"], "job.done");
        assert_eq!(body["timestamp"], "2023-11-14T22:13:20.123Z");
        assert_eq!(body["data"]["job"]["name"], NAME);
        let id = body["data"]["job"]["id"].as_str().unwrap();
        let url = format!("https://farm.example/#/jobs/{id}");
        assert_eq!(body["data"]["job"]["url"], url);
    }

    #[test]
    fn in_discord_a_jobs_name_calls_nobody_and_is_no_markup() {
        let body = body(WebhookShape::Discord, DONE, None);
        assert_eq!(body["allowed_mentions"], json!({"parse": []}));
        let content = body["content"].as_str().unwrap();
        for markup in ["@everyone", "<", "**", "](", "http://"] {
            let found = content.match_indices(markup);
            let is_live = |(at, _): (usize, &str)| !content[..at].ends_with('\\');
            assert!(!found.into_iter().any(is_live), "{markup} in {content}");
        }
    }

    #[test]
    fn in_slack_a_jobs_name_calls_nobody() {
        let body = body(WebhookShape::Slack, DONE, None);
        let text = body["text"].as_str().unwrap();
        assert!(
            !text.contains('<') && text.contains("&lt;!channel&gt;"),
            "{text}"
        );
        assert_eq!(body["mrkdwn"], false);
        assert_eq!(body["parse"], "none");
    }

    #[test]
    fn a_test_says_that_it_is_one() {
        let body = body(WebhookShape::Json, DeliveryEvent::Test, None);
        assert_eq!(body["type"], "test");
        assert_eq!(body["data"]["job"], Value::Null);
    }
}
