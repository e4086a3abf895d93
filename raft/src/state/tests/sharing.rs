//! Whose jobs are whose, what they may take, and in which order they are found.

use super::*;

fn ids<'a>(jobs: impl Iterator<Item = &'a Job>) -> Vec<JobId> {
    jobs.map(|job| job.id).collect()
}

fn jobs(numbers: &[u128]) -> Vec<JobId> {
    numbers.iter().copied().map(job_id).collect()
}

fn quota(farm: &mut Farm, user: u128, quota: Quota) {
    farm.change(user, UserChange::Quota(Some(quota))).unwrap();
}

#[test]
fn jobs_are_found_newest_first_by_owner_and_share_page_by_page() {
    let mut farm = Farm::new();
    farm.user(1, UserRole::Admin);
    farm.user(2, UserRole::Member);
    // Ids that say nothing of age.
    for (job, owner) in [(50, 1), (40, 2), (60, 1), (30, 2), (70, 1)] {
        farm.job_of(job, owner).unwrap();
    }
    farm.share(60, 2, ShareAccess::View).unwrap();
    let state = &farm.state;
    let (ada, bob) = (user_id(1), user_id(2));
    assert_eq!(
        ids(state.jobs_newest_first(None)),
        jobs(&[70, 30, 60, 40, 50])
    );
    assert_eq!(
        ids(state.jobs_of(Owner::User(ada), None)),
        jobs(&[70, 60, 50])
    );
    assert_eq!(ids(state.jobs_shared_with(bob, None)), jobs(&[60]));
    assert_eq!(ids(state.jobs_visible_to(bob, None)), jobs(&[30, 60, 40]));
    let cursor = Some(state.jobs[&job_id(60)].order());
    assert_eq!(ids(state.jobs_newest_first(cursor)), jobs(&[40, 50]));
    assert_eq!(ids(state.jobs_visible_to(bob, cursor)), jobs(&[40]));
    assert_eq!(ids(state.jobs_of(Owner::User(ada), cursor)), jobs(&[50]));
}

#[test]
fn a_job_is_shared_with_others_than_its_owner_until_it_is_not() {
    let mut farm = Farm::new();
    farm.user(1, UserRole::Admin);
    farm.user(2, UserRole::Member);
    farm.job_of(5, 1).unwrap();
    let own = farm.share(5, 1, ShareAccess::View);
    assert!(matches!(own, Err(Refusal::Invalid(_))));
    let nobody = farm.share(5, 9, ShareAccess::View);
    assert!(matches!(nobody, Err(Refusal::NotFound(_))));
    farm.share(5, 2, ShareAccess::View).unwrap();
    assert!(farm.changes.contains(&Change::Job(job_id(5))));
    farm.share(5, 2, ShareAccess::Manage).unwrap();
    let shares = &farm.state.jobs[&job_id(5)].shares;
    assert_eq!(shares.get(&user_id(2)), Some(&ShareAccess::Manage));
    let unshare = Action::JobUnshared {
        job: job_id(5),
        user: user_id(2),
    };
    farm.tell(unshare).unwrap();
    let told = Change::Unshared(job_id(5), user_id(2));
    assert!(farm.changes.contains(&told));
    assert_eq!(farm.state.jobs_shared_with(user_id(2), None).count(), 0);
}

#[test]
fn a_quota_of_jobs_counts_those_that_are_not_over() {
    let mut farm = Farm::new();
    farm.user(1, UserRole::Member);
    let jobs = Some(2);
    quota(
        &mut farm,
        1,
        Quota {
            jobs,
            ..Quota::default()
        },
    );
    farm.job_of(5, 1).unwrap();
    farm.job_of(6, 1).unwrap();
    let third = farm.job_of(7, 1);
    assert!(matches!(third, Err(Refusal::QuotaExceeded(_))));
    assert_eq!(farm.job_of(6, 1), Ok(Effect::Done), "a retry is no third");
    farm.tell(Action::JobCancelled { job: job_id(5) }).unwrap();
    farm.job_of(7, 1).unwrap();
    assert_eq!(farm.state.usage_of(Owner::User(user_id(1))).jobs, 2);
}

#[test]
fn a_quota_of_bytes_counts_all_files_and_refuses_scenes() {
    let mut farm = Farm::new();
    farm.user(1, UserRole::Member);
    let bytes = Some(100);
    quota(
        &mut farm,
        1,
        Quota {
            bytes,
            ..Quota::default()
        },
    );
    let scene = |job: u128, id: u128| Action::SceneAdded {
        job: job_id(job),
        file: new_file(id, FileKind::Scene, &[1]), // as many bytes as its id
        scene_frames: "1-2".parse().unwrap(),
    };
    farm.job_of(5, 1).unwrap();
    farm.job_of(6, 1).unwrap();
    farm.tell(scene(5, 60)).unwrap();
    let second = farm.tell(scene(6, 41));
    assert!(matches!(second, Err(Refusal::QuotaExceeded(_))));
    farm.tell(scene(6, 39)).unwrap();
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
    assert_eq!(farm.state.usage_of(Owner::User(user_id(1))).bytes, 169);
    let more = farm.tell(Action::TasksLeased {
        node: NodeId(1),
        leases: vec![(task_id(5, 1), Epoch(1))],
    });
    assert_eq!(
        more,
        Ok(Effect::Leases(0)),
        "no frame is begun when it is full"
    );
}

#[test]
fn an_owner_at_the_limit_of_frames_in_flight_gets_no_more_leases() {
    let mut farm = Farm::new();
    farm.user(1, UserRole::Member);
    quota(
        &mut farm,
        1,
        Quota {
            frames_in_flight: Some(2),
            ..Quota::default()
        },
    );
    farm.job_of(5, 1).unwrap();
    farm.tell(scene_added(5, "1-5")).unwrap();
    let leases = |indexes: std::ops::Range<u32>| Action::TasksLeased {
        node: NodeId(1),
        leases: indexes.map(|index| (task_id(5, index), Epoch(1))).collect(),
    };
    assert_eq!(farm.tell(leases(0..4)), Ok(Effect::Leases(2)));
    assert_eq!(farm.tell(leases(2..4)), Ok(Effect::Leases(0)));
    let owner = Owner::User(user_id(1));
    assert_eq!(farm.state.leases_left(owner), Some(0));
    farm.tell(Action::LeasesEnded {
        leases: vec![(task_id(5, 0), Epoch(1))],
        reason: LeaseEnd::Released,
    })
    .unwrap();
    assert_eq!(farm.tell(leases(2..4)), Ok(Effect::Leases(1)));
}

#[test]
fn those_without_a_quota_of_their_own_have_the_farms_and_operators_have_none() {
    let mut farm = Farm::new();
    farm.user(1, UserRole::Admin);
    let default_quota = Quota {
        jobs: Some(0),
        ..Quota::default()
    };
    farm.tell(Action::SettingsChanged {
        settings: Settings {
            default_quota,
            ..Settings::default()
        },
    })
    .unwrap();
    let admin = farm.job_of(5, 1);
    assert!(matches!(admin, Err(Refusal::QuotaExceeded(_))));
    farm.tell(job_created(6, false)).unwrap();
    quota(&mut farm, 1, Quota::default());
    farm.job_of(5, 1).unwrap();
}

#[test]
fn the_same_id_makes_one_job_and_only_for_the_same_words() {
    let mut farm = Farm::with_job("1-3", true);
    let asked = job_created(1, true);
    assert_eq!(farm.tell(asked.clone()), Ok(Effect::Done));
    let other = |change: fn(&mut String, &mut Owner, &mut JobSettings)| {
        let mut action = asked.clone();
        if let Action::JobCreated {
            name,
            owner,
            settings,
            ..
        } = &mut action
        {
            change(name, owner, settings);
        }
        action
    };
    for action in [
        other(|name, _, _| name.push('!')),
        other(|_, owner, _| *owner = Owner::Operator(NodeId(2))),
        other(|_, _, settings| settings.video = false),
        // What the scene said is not what was asked for.
        other(|_, _, settings| settings.frames = Some("1-3".parse().unwrap())),
    ] {
        let refused = farm.tell(action.clone());
        assert!(matches!(refused, Err(Refusal::Conflict(_))), "{action:?}");
    }
}

#[test]
fn ids_derived_from_the_same_parts_are_the_same_and_from_others_are_not() {
    let id = |parts: &[&[u8]]| JobId::from(derived_uuid(parts));
    assert_eq!(id(&[b"ada", b"key"]), id(&[b"ada", b"key"]));
    assert_ne!(id(&[b"ada", b"key"]), id(&[b"adak", b"ey"]));
    assert_ne!(id(&[b"ada"]), id(&[b"ada", b""]));
    assert_eq!(id(&[b"ada"]).0.get_version_num(), 8);
}
