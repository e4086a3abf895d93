//! `webhook …`.

use reqwest::Url;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::CliError;
use super::api_types::{DeliveryList, Webhook, WebhookList};
use super::args::{
    Group, ShapeArg, WebhookCommand, WebhookCreateArgs, WebhookEventArg, WebhookUpdateArgs,
};
use super::client::Client;
use super::names::{Names, pick};
use super::output::{self, Output, Tone, Width, cell, toned};

const WEBHOOKS: &str = "/api/webhooks";

/// Does one `webhook` command.
pub async fn run(group: &Group<WebhookCommand>, output: &Output) -> Result<(), CliError> {
    let client = &Client::connect_to_account(&group.client, output)?;
    match &group.command {
        WebhookCommand::List => list(client, output).await,
        WebhookCommand::Create(args) => create(args, client, output).await,
        WebhookCommand::Update(args) => update(args, client, output).await,
        WebhookCommand::Test(name) => {
            let webhook = find(&name.webhook, client).await?;
            let path = format!("{}/test", path_of(&webhook));
            let _: Value = client.post(&path, &json!({})).await?;
            let command = format!("jiggablend webhook deliveries {}", webhook.id);
            let words = format!(
                "{} is being called; `{command}` shows how it went",
                webhook.url
            );
            output.done(&json!({ "tested": webhook.id }), &words);
            Ok(())
        }
        WebhookCommand::Deliveries(name) => {
            let webhook = find(&name.webhook, client).await?;
            deliveries(&webhook, client, output).await
        }
        WebhookCommand::Delete(name) => {
            let webhook = find(&name.webhook, client).await?;
            client.remove(&path_of(&webhook)).await?;
            let words = format!("the webhook {} ({}) is deleted", webhook.name, webhook.id);
            output.done(&json!({ "deleted": webhook.id }), &words);
            Ok(())
        }
    }
}

fn path_of(webhook: &Webhook) -> String {
    format!("{WEBHOOKS}/{}", webhook.id)
}

async fn find(text: &str, client: &Client) -> Result<Webhook, CliError> {
    let list: WebhookList = client.get(WEBHOOKS).await?;
    let names = |webhook: &Webhook| Names {
        id: webhook.id.to_string(),
        others: vec![webhook.name.clone(), webhook.url.clone()],
    };
    let command = "jiggablend webhook list";
    pick(&list.webhooks, text, names, "webhook", command).cloned()
}

async fn list(client: &Client, output: &Output) -> Result<(), CliError> {
    let Some(list): Option<WebhookList> = output.shown(client.get(WEBHOOKS).await?)? else {
        return Ok(());
    };
    let mut table = output::table(&[
        ("id", Width::Fixed),
        ("name", Width::Flexible),
        ("on", Width::Fixed),
        ("shape", Width::Fixed),
        ("of", Width::Fixed),
        ("events", Width::Flexible),
        ("address", Width::Flexible),
    ]);
    for webhook in &list.webhooks {
        let (on, tone) = match webhook.enabled {
            true => ("yes", Tone::Good),
            false => ("no", Tone::Bad),
        };
        table.add_row(vec![
            cell(webhook.id.to_string()),
            cell(&webhook.name),
            toned(on, tone),
            cell(&webhook.shape),
            cell(if webhook.all_jobs {
                "all jobs"
            } else {
                "own jobs"
            }),
            cell(webhook.events.join(", ")),
            cell(&webhook.url),
        ]);
    }
    output.table(&table);
    Ok(())
}

fn shape_name(shape: ShapeArg) -> &'static str {
    match shape {
        ShapeArg::Json => "json",
        ShapeArg::Discord => "discord",
        ShapeArg::Slack => "slack",
    }
}

fn event_name(event: WebhookEventArg) -> &'static str {
    match event {
        WebhookEventArg::JobStarted => "job_started",
        WebhookEventArg::JobDone => "job_done",
        WebhookEventArg::JobFailed => "job_failed",
        WebhookEventArg::JobCancelled => "job_cancelled",
        WebhookEventArg::NodeJoined => "node_joined",
        WebhookEventArg::NodeRemoved => "node_removed",
    }
}

/// Each once, in a fixed order.
fn event_names(events: &[WebhookEventArg]) -> Vec<&'static str> {
    let mut events = events.to_vec();
    events.sort();
    events.dedup();
    events.into_iter().map(event_name).collect()
}

#[derive(Deserialize)]
struct NewWebhook {
    secret: Option<String>,
    #[serde(flatten)]
    view: Webhook,
}

async fn create(
    args: &WebhookCreateArgs,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let host = Url::parse(&args.to)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned));
    let host = host.ok_or_else(|| {
        let to = &args.to;
        CliError::Usage(format!(
            "'{to}' is no web address; write for example https://example.org/hook"
        ))
    })?;
    let body = json!({
        "name": args.name.as_ref().unwrap_or(&host), "url": args.to,
        "shape": shape_name(args.shape), "events": event_names(&args.events),
        "all_jobs": args.all_jobs,
    });
    let answer: Value = client.create(WEBHOOKS, &body).await?;
    let Some(new): Option<NewWebhook> = output.shown(answer)? else {
        return Ok(());
    };
    output.note(&format!(
        "made the webhook {} ({})",
        new.view.name, new.view.id
    ));
    if let Some(secret) = &new.secret {
        output.note("its calls are signed with this secret, which is shown only once:");
        output.line(secret);
    }
    Ok(())
}

async fn update(
    args: &WebhookUpdateArgs,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let changes = changes(args);
    if changes.is_empty() {
        return Err(CliError::Usage(
            "nothing to change was named; `jiggablend webhook update --help` lists what there is"
                .to_owned(),
        ));
    }
    let webhook = find(&args.webhook.webhook, client).await?;
    let path = path_of(&webhook);
    let answer: Value = client.patch(&path, &Value::Object(changes)).await?;
    if let Some(webhook) = output.shown::<Webhook>(answer)? {
        let (name, id) = (&webhook.name, webhook.id);
        output.line(&format!("the webhook {name} ({id}) is changed"));
    }
    Ok(())
}

fn changes(args: &WebhookUpdateArgs) -> Map<String, Value> {
    let events = match args.events.as_slice() {
        [] => None,
        events => Some(json!(event_names(events))),
    };
    let named = [
        ("url", args.to.as_ref().map(|to| json!(to))),
        ("name", args.name.as_ref().map(|name| json!(name))),
        ("shape", args.shape.map(|shape| json!(shape_name(shape)))),
        ("events", events),
        ("all_jobs", args.all_jobs.map(|all| json!(all))),
        ("enabled", args.enabled.map(|on| json!(on))),
    ];
    named
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

async fn deliveries(webhook: &Webhook, client: &Client, output: &Output) -> Result<(), CliError> {
    let path = format!("{}/deliveries", path_of(webhook));
    let Some(list): Option<DeliveryList> = output.shown(client.get(&path).await?)? else {
        return Ok(());
    };
    let mut table = output::table(&[
        ("event", Width::Fixed),
        ("about", Width::Flexible),
        ("at", Width::Fixed),
        ("calls", Width::Fixed),
        ("state", Width::Fixed),
        ("answer", Width::Flexible),
    ]);
    for delivery in &list.deliveries {
        let about = match (delivery.job, delivery.node) {
            (Some(job), _) => format!("job {job}"),
            (None, Some(node)) => format!("node {node}"),
            (None, None) => "-".to_owned(),
        };
        let (state, tone) = match delivery.state.as_str() {
            "delivered" => ("delivered".to_owned(), Tone::Good),
            "given_up" => ("given up".to_owned(), Tone::Bad),
            "waiting" => match delivery.next_attempt_at_ms {
                Some(at) => (
                    format!("again in {}", output::good_until(Some(at))),
                    Tone::Busy,
                ),
                None => ("waiting".to_owned(), Tone::Busy),
            },
            other => (other.to_owned(), Tone::Plain),
        };
        let answer = match (&delivery.error, delivery.status) {
            (Some(error), _) => error.clone(),
            (None, Some(status)) => status.to_string(),
            (None, None) => "-".to_owned(),
        };
        table.add_row(vec![
            cell(&delivery.event),
            cell(about),
            cell(output::age(delivery.created_at_ms)),
            cell(delivery.attempts.to_string()),
            toned(state, tone),
            cell(answer),
        ]);
    }
    output.table(&table);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_was_named_twice_is_sent_once() {
        let events = [
            WebhookEventArg::JobFailed,
            WebhookEventArg::JobDone,
            WebhookEventArg::JobFailed,
        ];
        assert_eq!(event_names(&events), ["job_done", "job_failed"]);
    }
}
