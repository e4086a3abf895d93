//! Nodes, tickets, users and sessions.

use super::*;

#[test]
fn the_first_node_of_a_farm_is_node_1() {
    let mut farm = Farm::new();
    assert_eq!(farm.state.nodes[&NodeId(1)].peer_id(), Some("peer-1"));
    assert_eq!(farm.tell_command(&farm_created()), Ok(Effect::Done));
    assert_eq!(farm.join(2), NodeId(2));
    assert_eq!(farm.state.next_node, NodeId(3));
}

#[test]
fn a_farm_whose_id_is_not_its_keys_hash_is_refused() {
    let mut state = State::default();
    let mut forged = farm_created();
    if let Action::FarmCreated { public_key, .. } = &mut forged.action {
        public_key[0] ^= 1;
    }
    let refused = state.apply(&forged, &mut Vec::new());
    assert!(matches!(refused, Err(Refusal::Invalid(_))));
    assert_eq!(state, State::default());
}

#[test]
fn a_ticket_admits_one_node_and_the_same_node_again() {
    let mut farm = Farm::new();
    let ticket = farm.ticket("once", false);
    assert_eq!(farm.admit(ticket, 2), Ok(Effect::Admitted(NodeId(2))));
    assert_eq!(farm.admit(ticket, 2), Ok(Effect::Admitted(NodeId(2))));
    assert!(matches!(
        farm.admit(ticket, 3),
        Err(Refusal::TicketSpent(_))
    ));
    farm.at += 10_000;
    assert_eq!(farm.admit(ticket, 2), Ok(Effect::Admitted(NodeId(2))));
}

#[test]
fn a_member_gets_its_id_again_from_the_ticket_that_let_it_in_and_from_no_other() {
    for reusable in [false, true] {
        let mut farm = Farm::new();
        let ticket = farm.ticket("its own", reusable);
        assert_eq!(farm.admit(ticket, 2), Ok(Effect::Admitted(NodeId(2))));
        assert_eq!(farm.admit(ticket, 2), Ok(Effect::Admitted(NodeId(2))));
        let other = farm.ticket("another", true);
        let refused = farm.admit(other, 2).unwrap_err();
        assert!(matches!(refused, Refusal::Conflict(_)), "{refused}");
        assert!(refused.to_string().contains("fresh data directory"));
        // The farm's first node came by no ticket at all.
        assert!(matches!(farm.admit(other, 1), Err(Refusal::Conflict(_))));
        assert_eq!(farm.state.nodes.len(), 2);
    }
}

#[test]
fn a_wiped_node_does_not_get_its_old_id_even_with_its_own_ticket() {
    let mut farm = Farm::new();
    let ticket = farm.ticket("many", true);
    farm.admit(ticket, 2).unwrap();
    farm.tell(Action::NodeAnnounced {
        node: NodeId(2),
        addresses: Vec::new(),
        web_address: None,
        version: "0.1.0".into(),
        runner: RunnerFacts::default(),
        operator_token: SecretHash::of(b"token"),
    })
    .unwrap();
    assert!(matches!(farm.admit(ticket, 2), Err(Refusal::Conflict(_))));
}

#[test]
fn unknown_revoked_and_expired_tickets_admit_nobody() {
    let mut farm = Farm::new();
    let unknown = SecretHash::of(b"never made");
    assert!(matches!(
        farm.admit(unknown, 2),
        Err(Refusal::TicketUnknown(_))
    ));
    let ticket = farm.ticket("revoked", false);
    farm.tell(Action::TicketRevoked { ticket }).unwrap();
    assert!(matches!(
        farm.admit(ticket, 2),
        Err(Refusal::TicketUnknown(_))
    ));
    let ticket = farm.ticket("late", false);
    farm.at = farm.state.tickets[&ticket].expires_at.0 - 1;
    assert!(matches!(
        farm.admit(ticket, 2),
        Err(Refusal::TicketExpired(_))
    ));
}

#[test]
fn a_reusable_ticket_is_never_spent() {
    let mut farm = Farm::new();
    let ticket = farm.ticket("many", true);
    for number in 2..6 {
        assert_eq!(
            farm.admit(ticket, number),
            Ok(Effect::Admitted(NodeId(number)))
        );
    }
    assert_eq!(farm.state.tickets[&ticket].spent_by, None);
}

#[test]
fn what_a_ticket_allows_counts_not_what_the_node_asks_for() {
    let mut farm = Farm::new();
    let ticket = SecretHash::of(b"runners only");
    let roles = Roles {
        voter: false,
        runner: true,
    };
    farm.tell(Action::TicketCreated {
        ticket,
        roles,
        expires_at: TimestampMs(10_000),
        reusable: false,
    })
    .unwrap();
    farm.admit(ticket, 2).unwrap();
    assert_eq!(farm.state.nodes[&NodeId(2)].roles, roles);
}

#[test]
fn a_removed_node_stays_out_and_its_name_stays_taken() {
    let mut farm = Farm::new();
    farm.join(4); // also named node-1
    assert_eq!(farm.state.nodes[&NodeId(2)].name, "node-1-2");
    farm.tell(Action::NodeRemoved { node: NodeId(2) }).unwrap();
    let ticket = farm.ticket("again", true);
    assert!(matches!(farm.admit(ticket, 4), Err(Refusal::Conflict(_))));
    farm.admit(ticket, 7).unwrap();
    assert_eq!(farm.state.nodes[&NodeId(3)].name, "node-1-3");
}

#[test]
fn removing_a_node_ends_its_leases() {
    let mut farm = Farm::with_job("1-3", false);
    farm.lease(0, 1, 2).unwrap();
    farm.lease(1, 1, 1).unwrap();
    farm.tell(Action::NodeRemoved { node: NodeId(2) }).unwrap();
    assert_eq!(farm.task(0).state, TaskState::Pending);
    assert_eq!(farm.task(1).state, TaskState::Leased { node: NodeId(1) });
    assert!(
        farm.changes
            .contains(&Change::Revoked(task_id(1, 0), Epoch(1), NodeId(2)))
    );
    assert!(matches!(farm.lease(0, 2, 2), Err(Refusal::Conflict(_))));
}

#[test]
fn accounts_are_unique_by_address_whatever_its_case() {
    let mut farm = Farm::new();
    let create = |id: u128, email: &str| Action::UserCreated {
        user: UserId(uuid::Uuid::from_u128(id)),
        name: "somebody".into(),
        email: Some(email.into()),
        password_hash: Some("argon2id".into()),
        identity: None,
        role: UserRole::Admin,
    };
    assert_eq!(farm.tell(create(1, "a@b.c")), Ok(Effect::Done));
    assert_eq!(farm.tell(create(1, "a@b.c")), Ok(Effect::Done));
    assert!(matches!(
        farm.tell(create(2, "A@b.C")),
        Err(Refusal::Conflict(_))
    ));
    assert_eq!(farm.state.users.len(), 1);
}

#[test]
fn what_has_expired_goes_at_the_commands_own_time() {
    let mut farm = Farm::new();
    let user = UserId(uuid::Uuid::from_u128(1));
    farm.tell(Action::UserCreated {
        user,
        name: "somebody".into(),
        email: Some("a@b.c".into()),
        password_hash: Some("argon2id".into()),
        identity: None,
        role: UserRole::Member,
    })
    .unwrap();
    for (name, expires_at) in [("short", 2_000), ("long", 3_000)] {
        let session = SecretHash::of(name.as_bytes());
        let expires_at = TimestampMs(expires_at);
        farm.tell(Action::SessionCreated {
            session,
            user,
            expires_at,
            agent: String::new(),
        })
        .unwrap();
    }
    farm.at = 1_999;
    farm.tell(Action::ExpiredRemoved).unwrap();
    let left: Vec<_> = farm.state.sessions.keys().copied().collect();
    assert_eq!(left, [SecretHash::of(b"long")]);
}
