//! Sessions, tokens, started sign-ins and runners over HTTP.

use super::*;

fn sign_in_started(name: &str, expires_at: u64) -> Action {
    Action::SignInStarted {
        state: SecretHash::of(name.as_bytes()),
        binding: SecretHash::of(b"cookie"),
        provider: "google".into(),
        link_to: None,
        invitation: None,
        return_to: "/".into(),
        expires_at: TimestampMs(expires_at),
    }
}

#[test]
fn a_sign_in_can_be_finished_once_and_in_time() {
    let mut farm = Farm::new();
    let finish = |name: &str| Action::SignInFinished {
        state: SecretHash::of(name.as_bytes()),
    };
    farm.tell(sign_in_started("first", 5_000)).unwrap();
    assert_eq!(farm.tell(finish("first")), Ok(Effect::Done));
    let again = farm.tell(finish("first"));
    assert!(matches!(again, Err(Refusal::NotFound(_))));
    farm.tell(sign_in_started("late", 5_000)).unwrap();
    farm.at = 4_999;
    let late = farm.tell(finish("late"));
    assert!(matches!(late, Err(Refusal::NotFound(_))));
    farm.tell(Action::ExpiredRemoved).unwrap();
    assert!(farm.state.sign_ins.is_empty());
}

#[test]
fn of_too_many_sign_ins_those_go_that_expire_first() {
    let mut state = State::default();
    for number in 0..10_050_u64 {
        // Not in the order of their expiry.
        let expires_at = 20_000 + (number * 7_919) % 10_050;
        let start = sign_in_started(&number.to_string(), expires_at);
        state.apply(&command(1, start), &mut Vec::new()).unwrap();
    }
    assert_eq!(state.sign_ins.len(), 10_000);
    let first = state.sign_ins.values().map(|known| known.expires_at).min();
    assert!(first.unwrap() > TimestampMs(20_000), "the earliest went");
    check_invariants(&state);
}

#[test]
fn a_device_signs_in_when_somebody_approves_its_code_and_once() {
    let mut farm = Farm::new();
    farm.user(1, UserRole::Admin);
    let device = SecretHash::of(b"device");
    let start = |device, code: &str| Action::DeviceSignInStarted {
        device,
        user_code: code.into(),
        expires_at: TimestampMs(50_000),
    };
    let finish = Action::DeviceSignInFinished { device };
    farm.tell(start(device, "WDJB-MJHT")).unwrap();
    let other = farm.tell(start(SecretHash::of(b"other"), "WDJB-MJHT"));
    assert!(matches!(other, Err(Refusal::Conflict(_))));
    let early = farm.tell(finish.clone());
    assert!(matches!(early, Err(Refusal::Conflict(_))));
    let approve = |code: &str| Action::DeviceSignInApproved {
        user_code: code.into(),
        user: user_id(1),
    };
    let wrong = farm.tell(approve("XXXX-XXXX"));
    assert!(matches!(wrong, Err(Refusal::NotFound(_))));
    farm.tell(approve("WDJB-MJHT")).unwrap();
    let refuse = Action::DeviceSignInRefused {
        user_code: "WDJB-MJHT".into(),
    };
    assert!(matches!(farm.tell(refuse), Err(Refusal::Conflict(_))));
    let finished = farm.tell(finish.clone());
    assert_eq!(finished, Ok(Effect::ApprovedBy(user_id(1))));
    assert!(matches!(farm.tell(finish), Err(Refusal::NotFound(_))));
}

#[test]
fn a_refused_device_does_not_sign_in() {
    let mut farm = Farm::new();
    let device = SecretHash::of(b"device");
    farm.tell(Action::DeviceSignInStarted {
        device,
        user_code: "A".into(),
        expires_at: TimestampMs(50_000),
    })
    .unwrap();
    farm.tell(Action::DeviceSignInRefused {
        user_code: "A".into(),
    })
    .unwrap();
    let finished = farm.tell(Action::DeviceSignInFinished { device });
    assert!(matches!(finished, Err(Refusal::NotAllowed(_))));
}

#[test]
fn a_block_lasts_until_its_time_and_is_never_shortened() {
    let mut farm = Farm::new();
    let key = SecretHash::of(b"ada@example.org");
    let block = |until| Action::SignInBlocked {
        key,
        until: TimestampMs(until),
    };
    farm.tell(block(5_000)).unwrap();
    farm.tell(block(3_000)).unwrap();
    let blocked = |at| farm.state.blocked_until(key, TimestampMs(at));
    assert_eq!(blocked(4_999), Some(TimestampMs(5_000)));
    assert_eq!(blocked(5_000), None);
    farm.at = 5_000;
    farm.tell(Action::ExpiredRemoved).unwrap();
    assert!(farm.state.blocked.is_empty());
}

#[test]
fn a_session_says_where_it_came_from_and_its_agent_is_cut() {
    let mut farm = Farm::new();
    farm.user(1, UserRole::Admin);
    let session = SecretHash::of(b"browser");
    let created = Action::SessionCreated {
        session,
        user: user_id(1),
        expires_at: TimestampMs(50_000),
        agent: "x".repeat(5_000),
    };
    let address: std::net::IpAddr = "192.0.2.7".parse().unwrap();
    let told = command(2_000, created).from(address);
    farm.tell_command(&told).unwrap();
    let session = &farm.state.sessions[&session];
    assert_eq!(session.from, Some(address));
    assert_eq!(session.agent.len(), MAX_AGENT_CHARS);
}

#[test]
fn of_too_many_sessions_the_one_goes_that_expires_first() {
    let mut farm = Farm::new();
    farm.user(1, UserRole::Admin);
    let first = farm.session(1, "the first").unwrap();
    for number in 0..100 {
        farm.session(1, &number.to_string()).unwrap();
    }
    assert_eq!(farm.state.sessions_of(user_id(1)).count(), 100);
    assert!(!farm.state.sessions.contains_key(&first));
}

#[test]
fn a_token_counts_until_it_expires_or_is_revoked() {
    let mut farm = Farm::new();
    farm.user(1, UserRole::Admin);
    let hash = farm.token(1, "script");
    let (token, user) = farm.state.live_token(hash, TimestampMs(farm.at)).unwrap();
    assert_eq!(user.id, user_id(1));
    let (id, end) = (token.id, token.expires_at.unwrap());
    assert!(farm.state.live_token(hash, end).is_none(), "expired");
    let same_secret = Action::TokenCreated {
        token: TokenId::new(),
        hash,
        user: user_id(1),
        name: "copy".into(),
        scopes: [Scope::Admin].into(),
        expires_at: None,
    };
    assert!(matches!(farm.tell(same_secret), Err(Refusal::Conflict(_))));
    farm.tell(Action::TokenRevoked { token: id }).unwrap();
    let now = TimestampMs(farm.at);
    assert!(farm.state.live_token(hash, now).is_none());
    assert_eq!(farm.state.tokens_of(user_id(1)).count(), 0);
}

fn registration(name: &str, reusable: bool) -> Action {
    Action::RegistrationTokenCreated {
        token: RegistrationTokenId(derived_uuid(&[name.as_bytes()])),
        hash: SecretHash::of(name.as_bytes()),
        name: name.into(),
        expires_at: Some(TimestampMs(50_000)),
        reusable,
    }
}

fn registered(token: &str, credential: &str) -> Action {
    Action::RunnerRegistered {
        token: SecretHash::of(token.as_bytes()),
        credential: SecretHash::of(credential.as_bytes()),
        name: "closet".into(),
        facts: RunnerFacts::default(),
        version: "curl".into(),
    }
}

#[test]
fn a_registration_token_admits_a_runner_over_http_once_and_never_as_a_voter() {
    let mut farm = Farm::new();
    farm.tell(registration("token", false)).unwrap();
    let first = farm.tell(registered("token", "one"));
    assert_eq!(first, Ok(Effect::Admitted(NodeId(2))));
    let again = farm.tell(registered("token", "one"));
    assert_eq!(
        again,
        Ok(Effect::Admitted(NodeId(2))),
        "its answer was lost"
    );
    let second = farm.tell(registered("token", "two"));
    assert!(matches!(second, Err(Refusal::NotAllowed(_))));
    let node = farm
        .state
        .node_by_credential(SecretHash::of(b"one"))
        .unwrap();
    assert_eq!(node.peer_id(), None);
    assert!(!node.roles.voter && node.roles.runner);
    assert_eq!(farm.state.members().count(), 2);
    assert_eq!(farm.state.mesh_members().count(), 1);
}

#[test]
fn unknown_expired_and_revoked_registration_tokens_admit_nobody_and_take_nobody_away() {
    let mut farm = Farm::new();
    let unknown = farm.tell(registered("never made", "one"));
    assert!(matches!(unknown, Err(Refusal::NotAllowed(_))));
    farm.tell(registration("many", true)).unwrap();
    farm.tell(registered("many", "one")).unwrap();
    farm.tell(registered("many", "two")).unwrap();
    let id = RegistrationTokenId(derived_uuid(&[b"many"]));
    assert_eq!(farm.state.registration_tokens[&id].used, 2);
    farm.tell(Action::RegistrationTokenRevoked { token: id })
        .unwrap();
    let late = farm.tell(registered("many", "three"));
    assert!(matches!(late, Err(Refusal::NotAllowed(_))));
    let one = SecretHash::of(b"one");
    assert!(farm.state.node_by_credential(one).is_some(), "it stays");
    farm.tell(registration("late", true)).unwrap();
    farm.at = 50_000;
    let late = farm.tell(registered("late", "three"));
    assert!(matches!(late, Err(Refusal::NotAllowed(_))));
}

#[test]
fn a_removed_runner_over_http_loses_its_leases_and_its_credential() {
    let mut farm = Farm::with_job("1-3", false);
    farm.tell(registration("token", true)).unwrap();
    let admitted = farm.tell(registered("token", "one"));
    assert_eq!(admitted, Ok(Effect::Admitted(NodeId(3))));
    farm.lease(0, 1, 3).unwrap();
    assert_eq!(farm.state.leases_of(NodeId(3)), [(task_id(1, 0), Epoch(1))]);
    farm.tell(Action::NodeRemoved { node: NodeId(3) }).unwrap();
    assert!(farm.state.leases_of(NodeId(3)).is_empty());
    assert_eq!(farm.task(0).state, TaskState::Pending);
    let one = SecretHash::of(b"one");
    assert!(farm.state.node_by_credential(one).is_none());
    let again = farm.tell(registered("token", "one"));
    assert!(matches!(again, Err(Refusal::Conflict(_))));
}

#[test]
fn a_runner_over_http_holds_no_files() {
    let mut farm = Farm::with_job("1-3", false);
    farm.tell(registration("token", true)).unwrap();
    farm.tell(registered("token", "one")).unwrap();
    farm.lease(0, 1, 3).unwrap();
    let commit = |holders: &[u64]| Action::TaskCommitted {
        task: task_id(1, 0),
        epoch: Epoch(1),
        output: new_file(5, FileKind::Frame, holders),
        log: None,
        render_ms: 1,
    };
    assert!(matches!(farm.tell(commit(&[3])), Err(Refusal::Invalid(_))));
    farm.tell(commit(&[3, 1])).unwrap();
    let file = new_file(5, FileKind::Frame, &[]).id;
    assert_eq!(farm.state.files[&file].holders, [NodeId(1)].into());
    let replica = Action::ReplicaAdded {
        file,
        node: NodeId(3),
    };
    assert!(matches!(farm.tell(replica), Err(Refusal::Invalid(_))));
}

#[test]
fn each_kind_of_node_announces_itself_in_its_own_way() {
    let mut farm = Farm::new();
    farm.tell(registration("token", true)).unwrap();
    farm.tell(registered("token", "one")).unwrap();
    let runner = |node| Action::RunnerAnnounced {
        node: NodeId(node),
        facts: RunnerFacts {
            slots: 4,
            ..RunnerFacts::default()
        },
        version: "2".into(),
    };
    let node = |node| Action::NodeAnnounced {
        node: NodeId(node),
        addresses: Vec::new(),
        web_address: None,
        version: "2".into(),
        runner: RunnerFacts::default(),
        operator_token: SecretHash::of(b"stolen"),
    };
    assert!(matches!(farm.tell(runner(1)), Err(Refusal::Invalid(_))));
    assert!(matches!(farm.tell(node(2)), Err(Refusal::Invalid(_))));
    farm.tell(runner(2)).unwrap();
    farm.tell(node(1)).unwrap();
    assert_eq!(farm.state.nodes[&NodeId(2)].runner.slots, 4);
    let operator = farm.state.node_by_operator_token(SecretHash::of(b"stolen"));
    assert_eq!(operator.unwrap().id, NodeId(1));
}

#[test]
fn what_was_revoked_or_has_expired_is_not_made_again_by_a_repeated_create() {
    let mut farm = Farm::new();
    farm.user(1, UserRole::Admin);
    let token = Action::TokenCreated {
        token: TokenId::new(),
        hash: SecretHash::of(b"token"),
        user: user_id(1),
        name: "token".into(),
        scopes: [Scope::Read].into(),
        expires_at: None,
    };
    let invitation = Action::InvitationCreated {
        invitation: InvitationId::new(),
        hash: SecretHash::of(b"invitation"),
        role: UserRole::Member,
        email: None,
        expires_at: TimestampMs(5_000),
        reusable: true,
    };
    let ticket = Action::TicketCreated {
        ticket: SecretHash::of(b"ticket"),
        roles: new_node(1).roles,
        expires_at: TimestampMs(5_000),
        reusable: true,
    };
    let registration = registration("registration", true);
    for create in [&token, &invitation, &ticket, &registration] {
        farm.tell(create.clone()).unwrap();
        farm.tell(create.clone()).unwrap();
    }
    let made = *farm.state.tokens.keys().next().unwrap();
    farm.tell(Action::TokenRevoked { token: made }).unwrap();
    let registered = *farm.state.registration_tokens.keys().next().unwrap();
    farm.tell(Action::RegistrationTokenRevoked { token: registered })
        .unwrap();
    // The invitation and the ticket expire.
    farm.at = 10_000;
    farm.tell(Action::ExpiredRemoved).unwrap();
    for create in [&token, &invitation, &ticket, &registration] {
        let again = farm.tell(create.clone());
        assert!(matches!(again, Err(Refusal::Conflict(_))), "{again:?}");
    }
    farm.at = 10_000 + 366 * 24 * 60 * 60 * 1_000;
    farm.tell(Action::ExpiredRemoved).unwrap();
    assert!(
        farm.state.ended_secrets.is_empty(),
        "nothing grows for ever"
    );
}
