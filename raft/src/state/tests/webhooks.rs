//! What webhooks are told, and what the audit log keeps.

use super::*;

fn events(farm: &Farm, webhook: u128) -> Vec<DeliveryEvent> {
    let mut deliveries = farm.state.deliveries_of(hook_id(webhook));
    deliveries.reverse();
    deliveries.iter().map(|delivery| delivery.event).collect()
}

fn event(event: WebhookEvent) -> DeliveryEvent {
    DeliveryEvent::Event(event)
}

#[test]
fn owners_hear_of_their_jobs_and_admins_of_all_and_of_nodes() {
    let mut farm = Farm::new();
    farm.user(1, UserRole::Admin);
    farm.user(2, UserRole::Member);
    farm.hook(10, Owner::User(user_id(1)), true);
    farm.hook(20, Owner::User(user_id(2)), false);
    farm.hook(30, Owner::User(user_id(2)), true); // a member: all_jobs counts for nothing
    farm.job_of(5, 2).unwrap();
    farm.job_of(6, 1).unwrap();
    farm.tell(scene_added(5, "1")).unwrap();
    farm.tell(Action::TasksLeased {
        node: NodeId(1),
        leases: vec![(task_id(5, 0), Epoch(1))],
    })
    .unwrap();
    farm.tell(Action::TaskCommitted {
        task: task_id(5, 0),
        epoch: Epoch(1),
        output: new_file(70, FileKind::Frame, &[1]),
        log: None,
        render_ms: 1,
    })
    .unwrap();
    farm.tell(Action::JobCancelled { job: job_id(6) }).unwrap();
    farm.join(2);
    farm.tell(Action::NodeRemoved { node: NodeId(2) }).unwrap();
    let (started, done) = (
        event(WebhookEvent::JobStarted),
        event(WebhookEvent::JobDone),
    );
    assert_eq!(events(&farm, 20), [started, done]);
    assert_eq!(events(&farm, 30), [started, done]);
    assert_eq!(
        events(&farm, 10),
        [
            started,
            done,
            event(WebhookEvent::JobCancelled),
            event(WebhookEvent::NodeJoined),
            event(WebhookEvent::NodeRemoved),
        ]
    );
    let delivery = farm.state.deliveries_of(hook_id(20))[0];
    assert_eq!((delivery.job, delivery.node), (Some(job_id(5)), None));
}

#[test]
fn what_a_webhook_does_not_ask_for_or_may_not_know_it_is_not_told() {
    let mut farm = Farm::new();
    farm.user(1, UserRole::Admin);
    farm.user(2, UserRole::Admin);
    farm.hook(10, Owner::User(user_id(2)), true);
    farm.hook_with(11, Owner::User(user_id(1)), |hook| hook.events.clear());
    farm.hook_with(12, Owner::User(user_id(1)), |hook| hook.enabled = false);
    farm.change(2, UserChange::Disabled(true)).unwrap();
    farm.job_of(5, 1).unwrap();
    farm.job_of(6, 2).unwrap();
    farm.tell(Action::JobCancelled { job: job_id(5) }).unwrap();
    farm.tell(Action::JobCancelled { job: job_id(6) }).unwrap();
    assert!(farm.state.deliveries.is_empty());
    let test = Action::WebhookTested {
        webhook: hook_id(12),
    };
    assert!(matches!(farm.tell(test), Err(Refusal::Conflict(_))));
}

#[test]
fn a_delivery_is_tried_until_it_is_done_or_given_up() {
    let mut farm = Farm::new();
    farm.hook(10, Owner::Operator(NodeId(1)), false);
    let test = || Action::WebhookTested {
        webhook: hook_id(10),
    };
    let Ok(Effect::Enqueued(id)) = farm.tell(test()) else {
        panic!("no delivery");
    };
    assert!(farm.changes.contains(&Change::Delivery(id)));
    let now = TimestampMs(farm.at);
    assert_eq!(farm.state.due_deliveries(now).count(), 1);
    let fail = |attempt, retry_at: Option<u64>| Action::DeliveryFailed {
        delivery: id,
        attempt,
        error: "the answer was 500".into(),
        status: Some(500),
        retry_at: retry_at.map(TimestampMs),
    };
    farm.tell(fail(1, Some(9_000))).unwrap();
    farm.tell(fail(1, None)).unwrap(); // told again, by whoever led before
    let delivery = &farm.state.deliveries[&id];
    assert_eq!((delivery.attempts, delivery.outcome.as_ref()), (1, None));
    assert_eq!(delivery.last_status, Some(500));
    assert_eq!(farm.state.next_delivery_at(), Some(TimestampMs(9_000)));
    assert_eq!(farm.state.due_deliveries(TimestampMs(8_999)).count(), 0);
    assert_eq!(farm.state.webhooks[&hook_id(10)].failures, 1);
    farm.tell(fail(2, None)).unwrap();
    let outcome = farm.state.deliveries[&id].outcome.clone();
    assert!(matches!(outcome, Some(DeliveryOutcome::GivenUp { .. })));
    assert_eq!(farm.state.next_delivery_at(), None);

    let Ok(Effect::Enqueued(second)) = farm.tell(test()) else {
        panic!("no delivery");
    };
    farm.tell(Action::DeliveryDone {
        delivery: second,
        attempt: 1,
        status: 204,
    })
    .unwrap();
    let outcome = farm.state.deliveries[&second].outcome.clone();
    assert!(matches!(
        outcome,
        Some(DeliveryOutcome::Delivered { status: 204, .. })
    ));
    assert_eq!(farm.state.webhooks[&hook_id(10)].failures, 0);
}

#[test]
fn of_too_many_deliveries_the_oldest_are_given_up_and_of_ended_ones_few_are_kept() {
    let mut state = State::default();
    let mut changes = Vec::new();
    state.apply(&farm_created(), &mut changes).unwrap();
    let saved = Action::WebhookSaved {
        webhook: hook_of(10, Owner::Operator(NodeId(1)), false),
    };
    state.apply(&command(2, saved), &mut changes).unwrap();
    for at in 0..1_100 {
        let test = Action::WebhookTested {
            webhook: hook_id(10),
        };
        state.apply(&command(10 + at, test), &mut changes).unwrap();
    }
    let (open, ended): (Vec<_>, Vec<_>) = state
        .deliveries_of(hook_id(10))
        .into_iter()
        .partition(|delivery| delivery.outcome.is_none());
    assert_eq!((open.len(), ended.len()), (1_000, 50));
    assert_eq!(open[0].id, DeliveryId(1_100), "the newest is there");
    assert_eq!(ended[0].id, DeliveryId(100), "of the ended the newest too");
    check_invariants(&state);
}

#[test]
fn a_webhook_that_is_switched_off_or_deleted_has_nothing_on_its_way() {
    let mut farm = Farm::new();
    farm.hook(10, Owner::Operator(NodeId(1)), false);
    let test = Action::WebhookTested {
        webhook: hook_id(10),
    };
    farm.tell(test).unwrap();
    farm.hook_with(10, Owner::Operator(NodeId(1)), |hook| hook.enabled = false);
    assert_eq!(farm.state.next_delivery_at(), None);
    let stolen = Action::WebhookSaved {
        webhook: hook_of(10, Owner::Operator(NodeId(2)), false),
    };
    assert!(farm.tell(stolen).is_err());
    farm.tell(Action::WebhookDeleted {
        webhook: hook_id(10),
    })
    .unwrap();
    assert!(farm.state.webhooks.is_empty() && farm.state.deliveries.is_empty());
}

#[test]
fn every_change_that_somebody_makes_is_in_the_audit_log_once() {
    let mut farm = Farm::new();
    farm.user(1, UserRole::Admin);
    let before = farm.state.audit_next;
    let address: std::net::IpAddr = "2001:db8::7".parse().unwrap();
    let renamed = Action::UserChanged {
        user: user_id(1),
        change: UserChange::Name("Ada\u{2028}Lovelace".into()),
    };
    let told = Command {
        actor: Actor::Operator(NodeId(1)),
        ..command(3_000, renamed)
    };
    let told = told.from(address);
    farm.tell_command(&told).unwrap();
    farm.tell_command(&told).unwrap();
    assert_eq!(farm.state.audit_next, before + 1, "a retry changes nothing");
    let entry = &farm.state.audit[&before];
    assert_eq!(entry.actor, Actor::Operator(NodeId(1)));
    assert_eq!(entry.from, Some(address));
    assert_eq!(entry.at, TimestampMs(3_000));
    assert_eq!(entry.action, "user_changed");
    assert_eq!(entry.subject, user_id(1).to_string());
    assert_eq!(entry.detail, "name 'Ada Lovelace'", "one line");
    let refused = farm.change(9, UserChange::Disabled(true));
    assert!(refused.is_err());
    assert_eq!(farm.state.audit_next, before + 1, "nor does a refused one");
}

#[test]
fn leases_results_and_announcements_are_not_in_the_audit_log() {
    let mut farm = Farm::with_job("1-2", false);
    let before = farm.state.audit_next;
    farm.lease(0, 1, 1).unwrap();
    farm.commit(0, 1, 9).unwrap();
    farm.tell(Action::ExpiredRemoved).unwrap();
    assert_eq!(farm.state.audit_next, before);
    farm.tell(Action::JobCancelled { job: job_id(1) }).unwrap();
    assert_eq!(farm.state.audit_next, before + 1);
}

#[test]
fn no_secret_and_no_hash_of_one_gets_into_the_audit_log() {
    let mut farm = Farm::new();
    farm.user(1, UserRole::Admin);
    farm.change(
        1,
        UserChange::Password {
            password_hash: "argon2id-secret".into(),
            keep: None,
        },
    )
    .unwrap();
    farm.hook_with(10, Owner::User(user_id(1)), |hook| {
        hook.url = "https://bells.example.org/token-secret".into();
        hook.secret = "key-secret".into();
    });
    let token = farm.token(1, "script");
    farm.ticket("once", false);
    let words = serde_json::to_string(&farm.state.audit).unwrap();
    assert!(!words.contains("-secret"), "{words}");
    assert!(!words.contains(&token.to_string()), "{words}");
}

#[test]
fn nobody_drives_what_others_did_out_of_the_audit_log() {
    let mut state = State::default();
    let mut changes = Vec::new();
    state.apply(&farm_created(), &mut changes).unwrap();
    let renamed = |number: u64, actor| Command {
        actor,
        ..command(
            number,
            Action::FarmRenamed {
                name: format!("farm {number}"),
            },
        )
    };
    let (quiet, busy) = (Actor::Operator(NodeId(1)), Actor::User(user_id(1)));
    state.apply(&renamed(0, quiet), &mut changes).unwrap();
    let more = MAX_AUDIT_ENTRIES as u64 + 10;
    for number in 1..=more {
        state.apply(&renamed(number, busy), &mut changes).unwrap();
    }
    assert_eq!(state.audit.len(), MAX_AUDIT_ENTRIES);
    assert_eq!(state.audit_next, more + 2);
    let actors = |actor| {
        state
            .audit
            .values()
            .filter(move |entry| entry.actor == actor)
    };
    assert_eq!(actors(quiet).count(), 1);
    let oldest = actors(busy).next().unwrap();
    assert_eq!(oldest.at, TimestampMs(13), "its own oldest are gone");
}
