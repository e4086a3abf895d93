//! Accounts: who may make one, and what happens to what is theirs.

use super::*;

#[test]
fn the_first_account_is_an_admin_whatever_the_policy_unless_registration_is_closed() {
    for (policy, expected) in [
        (Registration::Open, Some(UserRole::Admin)),
        (Registration::Invitation, Some(UserRole::Admin)),
        (Registration::Closed, None),
    ] {
        let mut farm = Farm::new();
        farm.registration(policy);
        let result = farm.register(1, "ada@example.org", None);
        assert_eq!(result.is_ok(), expected.is_some(), "{policy:?}: {result:?}");
        let role = farm.state.users.get(&user_id(1)).map(|user| user.role);
        assert_eq!(role, expected);
        if expected.is_none() {
            assert!(matches!(result, Err(Refusal::NotAllowed(_))));
        }
    }
}

#[test]
fn after_the_first_an_account_needs_an_invitation_and_gets_its_role() {
    let mut farm = Farm::new();
    farm.register(1, "ada@example.org", None).unwrap();
    let refused = farm.register(2, "bob@example.org", None);
    assert!(matches!(refused, Err(Refusal::NotAllowed(_))));
    let invitation = farm.invite("for a viewer", UserRole::Viewer, None, false);
    farm.register(2, "bob@example.org", Some(invitation))
        .unwrap();
    assert_eq!(farm.state.users[&user_id(2)].role, UserRole::Viewer);
    let again = farm.register(2, "bob@example.org", Some(invitation));
    assert_eq!(again, Ok(Effect::Done), "a retry of the same registration");
    let third = farm.register(3, "cy@example.org", Some(invitation));
    assert!(matches!(third, Err(Refusal::NotAllowed(_))), "it is spent");
}

#[test]
fn an_open_farm_gives_its_default_role() {
    let mut farm = Farm::new();
    farm.register(1, "ada@example.org", None).unwrap();
    farm.tell(Action::SettingsChanged {
        settings: Settings {
            registration: Registration::Open,
            default_role: UserRole::Viewer,
            ..Settings::default()
        },
    })
    .unwrap();
    farm.register(2, "bob@example.org", None).unwrap();
    assert_eq!(farm.state.users[&user_id(2)].role, UserRole::Viewer);
}

#[test]
fn an_invitation_is_for_its_address_and_its_time() {
    let mut farm = Farm::new();
    farm.register(1, "ada@example.org", None).unwrap();
    let invitation = farm.invite("bob's", UserRole::Member, Some("Bob@example.org"), true);
    let other = farm.register(2, "eve@example.org", Some(invitation));
    assert!(matches!(other, Err(Refusal::NotAllowed(_))));
    farm.register(2, "bob@EXAMPLE.org", Some(invitation))
        .unwrap();
    farm.at += 100_000;
    let late = farm.register(3, "bob@example.org", Some(invitation));
    assert!(matches!(late, Err(Refusal::NotAllowed(_))));
    let unknown = SecretHash::of(b"made up");
    let unknown = farm.register(3, "bob@example.org", Some(unknown));
    assert!(matches!(unknown, Err(Refusal::NotAllowed(_))));
}

#[test]
fn a_revoked_invitation_lets_nobody_in() {
    let mut farm = Farm::new();
    farm.register(1, "ada@example.org", None).unwrap();
    let invitation = farm.invite("revoked", UserRole::Member, None, true);
    let id = farm.state.invitation_by_hash(invitation).unwrap().id;
    farm.tell(Action::InvitationRevoked { invitation: id })
        .unwrap();
    let refused = farm.register(2, "bob@example.org", Some(invitation));
    assert!(matches!(refused, Err(Refusal::NotAllowed(_))));
}

#[test]
fn an_address_has_one_local_account_and_any_number_of_others() {
    let mut farm = Farm::new();
    farm.user(1, UserRole::Admin);
    let taken = farm.register(2, " 1@EXAMPLE.org ", None);
    assert!(matches!(taken, Err(Refusal::NotAllowed(_))), "policy first");
    farm.registration(Registration::Open);
    let taken = farm.register(2, " 1@EXAMPLE.org ", None);
    assert!(matches!(taken, Err(Refusal::Conflict(_))));
    farm.register_external(2, "1@example.org", "google", "77")
        .unwrap();
    farm.register_external(3, "1@example.org", "discord", "77")
        .unwrap();
    let known = farm.state.user_by_email("1@Example.org").unwrap();
    assert_eq!(known.id, user_id(1), "an external address is only shown");
}

#[test]
fn an_identity_belongs_to_one_user() {
    let mut farm = Farm::new();
    farm.registration(Registration::Open);
    farm.register_external(1, "a@example.org", "google", "77")
        .unwrap();
    let second = farm.register_external(2, "b@example.org", "google", "77");
    assert!(matches!(second, Err(Refusal::Conflict(_))));
    farm.user(3, UserRole::Member);
    let link = |user| Action::IdentityLinked {
        user,
        identity: identity("google", "77"),
    };
    assert!(matches!(
        farm.tell(link(user_id(3))),
        Err(Refusal::Conflict(_))
    ));
    assert_eq!(farm.tell(link(user_id(1))), Ok(Effect::Done));
    let found = farm.state.user_by_identity(&identity("google", "77"));
    assert_eq!(found.unwrap().id, user_id(1));
}

#[test]
fn the_last_way_to_sign_in_stays() {
    let mut farm = Farm::new();
    farm.registration(Registration::Open);
    farm.register_external(1, "a@example.org", "google", "77")
        .unwrap();
    let unlink = Action::IdentityUnlinked {
        user: user_id(1),
        identity: identity("google", "77"),
    };
    assert!(matches!(
        farm.tell(unlink.clone()),
        Err(Refusal::Conflict(_))
    ));
    let password = UserChange::Password {
        password_hash: "argon2id".into(),
        keep: None,
    };
    farm.change(1, password).unwrap();
    assert_eq!(farm.tell(unlink), Ok(Effect::Done));
    let none = farm.state.user_by_identity(&identity("google", "77"));
    assert!(none.is_none());
    let nobody = Action::UserCreated {
        user: user_id(9),
        name: "nobody".into(),
        email: None,
        password_hash: None,
        identity: None,
        role: UserRole::Member,
    };
    assert!(matches!(farm.tell(nobody), Err(Refusal::Invalid(_))));
}

#[test]
fn the_last_enabled_admin_can_be_neither_demoted_nor_disabled_nor_deleted() {
    let mut farm = Farm::new();
    farm.user(1, UserRole::Admin);
    farm.user(2, UserRole::Admin);
    farm.change(2, UserChange::Disabled(true)).unwrap();
    let delete = |user| Action::UserDeleted { user };
    for refused in [
        farm.change(1, UserChange::Role(UserRole::Member)),
        farm.change(1, UserChange::Disabled(true)),
        farm.tell(delete(user_id(1))),
    ] {
        assert!(matches!(refused, Err(Refusal::Conflict(_))), "{refused:?}");
    }
    farm.change(2, UserChange::Disabled(false)).unwrap();
    farm.tell(delete(user_id(1))).unwrap();
    assert!(!farm.state.users.contains_key(&user_id(1)));
}

#[test]
fn a_new_password_ends_all_sessions_but_the_one_it_was_set_in() {
    let mut farm = Farm::new();
    farm.user(1, UserRole::Admin);
    let own = farm.session(1, "own").unwrap();
    farm.session(1, "forgotten").unwrap();
    let password = UserChange::Password {
        password_hash: "argon2id anew".into(),
        keep: Some(own),
    };
    farm.change(1, password).unwrap();
    let left: Vec<_> = farm.state.sessions.keys().copied().collect();
    assert_eq!(left, [own]);
}

#[test]
fn a_password_that_somebody_else_sets_ends_tokens_and_approvals_too() {
    for actor in [Actor::User(user_id(1)), Actor::Operator(NodeId(1))] {
        let mut farm = Farm::new();
        farm.user(1, UserRole::Admin);
        farm.token(1, "script");
        let device = SecretHash::of(b"device");
        farm.tell(Action::DeviceSignInStarted {
            device,
            user_code: "A".into(),
            expires_at: TimestampMs(50_000),
        })
        .unwrap();
        farm.tell(Action::DeviceSignInApproved {
            user_code: "A".into(),
            user: user_id(1),
        })
        .unwrap();
        let change = UserChange::Password {
            password_hash: "argon2id anew".into(),
            keep: None,
        };
        let user = user_id(1);
        let told = Command {
            actor,
            ..command(4_000, Action::UserChanged { user, change })
        };
        farm.tell_command(&told).unwrap();
        let is_own = actor == Actor::User(user);
        assert_eq!(farm.state.tokens.len(), usize::from(is_own));
        let finished = farm.tell(Action::DeviceSignInFinished { device });
        assert!(matches!(finished, Err(Refusal::NotFound(_))));
    }
}

#[test]
fn a_disabled_user_has_no_session_and_tokens_that_do_not_count() {
    let mut farm = Farm::new();
    farm.user(1, UserRole::Admin);
    farm.user(2, UserRole::Member);
    let session = farm.session(2, "browser").unwrap();
    let token = farm.token(2, "script");
    let now = |farm: &Farm| TimestampMs(farm.at);
    assert!(farm.state.live_session(session, now(&farm)).is_some());
    farm.change(2, UserChange::Disabled(true)).unwrap();
    assert!(farm.state.live_session(session, now(&farm)).is_none());
    assert!(farm.state.live_token(token, now(&farm)).is_none());
    let refused = farm.session(2, "again");
    assert!(matches!(refused, Err(Refusal::NotAllowed(_))));
    farm.change(2, UserChange::Disabled(false)).unwrap();
    assert!(farm.state.live_token(token, now(&farm)).is_some(), "kept");
}

#[test]
fn a_deleted_user_leaves_jobs_and_nothing_else() {
    let mut farm = Farm::with_job("1-2", false);
    farm.user(1, UserRole::Admin);
    farm.user(2, UserRole::Member);
    farm.session(2, "browser").unwrap();
    farm.token(2, "script");
    farm.job_of(7, 2).unwrap();
    farm.share(1, 2, ShareAccess::View).unwrap();
    farm.hook(5, Owner::User(user_id(2)), false);
    farm.tell(Action::UserDeleted { user: user_id(2) }).unwrap();
    assert!(farm.state.sessions.is_empty() && farm.state.tokens.is_empty());
    assert!(farm.job().shares.is_empty());
    assert!(farm.state.webhooks.is_empty());
    let job = &farm.state.jobs[&job_id(7)];
    assert_eq!(job.owner, Owner::User(user_id(2)));
    assert_eq!(job.state, JobState::AwaitingScene);
}
