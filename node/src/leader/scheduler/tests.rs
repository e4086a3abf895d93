//! Events of the farm, played without a socket.

use jiggablend_raft::{Action, LeaseEnd, Owner};

use super::test_state::{add_job, add_job_of, add_user, apply, commit, fail, state_with_nodes};
use super::*;

const RENDERS: Capacity = Capacity {
    render_slots: 1,
    can_encode: true,
    asks: false,
};

/// Carries decided leases out, as the duties do.
fn carry_out(scheduler: &mut Scheduler, state: &mut State, decided: &[NewLeases]) {
    for new in decided {
        let leased = Action::TasksLeased {
            node: new.node,
            leases: new.leases.clone(),
        };
        apply(state, 20, leased).expect("leases");
        scheduler.proposal_ended(state, new, Instant::now());
    }
}

fn indexes(new: &NewLeases) -> Vec<u32> {
    new.leases.iter().map(|(task, _)| task.index).collect()
}

#[test]
fn every_slot_is_filled_before_anyone_gets_a_task_ahead() {
    let mut state = state_with_nodes(3);
    add_job(&mut state, 10, "1-4");
    let mut scheduler = Scheduler::new(&state, Instant::now());
    for node in 1..=3 {
        scheduler.linked(NodeId(node), RENDERS);
    }
    let decided = scheduler.schedule(&state);
    let by_node: Vec<(u64, Vec<u32>)> = decided
        .iter()
        .map(|new| (new.node.0, indexes(new)))
        .collect();
    assert_eq!(by_node, [(1, vec![0, 3]), (2, vec![1]), (3, vec![2])]);
    assert_eq!(
        scheduler.schedule(&state),
        [],
        "what is proposed is not proposed twice"
    );
}

#[test]
fn a_runner_that_asks_for_its_tasks_gets_no_more_than_it_asked_for() {
    let mut state = state_with_nodes(2);
    let job = add_job(&mut state, 10, "1-9");
    let mut scheduler = Scheduler::new(&state, Instant::now());
    let asks = |render_slots| Capacity {
        render_slots,
        can_encode: render_slots > 0,
        asks: true,
    };
    scheduler.linked(NodeId(2), asks(0));
    assert_eq!(scheduler.schedule(&state), [], "it asks for nothing");
    scheduler.linked(NodeId(2), asks(1));
    let decided = scheduler.schedule(&state);
    assert_eq!(indexes(&decided[0]), [0]);
    carry_out(&mut scheduler, &mut state, &decided);
    assert_eq!(scheduler.schedule(&state), []);
    scheduler.linked(NodeId(2), asks(3));
    let decided = scheduler.schedule(&state);
    assert_eq!(indexes(&decided[0]), [1, 2]);
    carry_out(&mut scheduler, &mut state, &decided);
    for index in 0..3 {
        let task = TaskId { job, index };
        commit(&mut state, task, Epoch(1));
        scheduler.task_changed(&state, task, Instant::now());
    }
    assert_eq!(scheduler.schedule(&state), [], "it has not asked for more");
}

#[test]
fn a_runner_gets_a_new_task_for_each_that_it_commits() {
    let mut state = state_with_nodes(1);
    let job = add_job(&mut state, 10, "1-4");
    let mut scheduler = Scheduler::new(&state, Instant::now());
    scheduler.linked(NodeId(1), RENDERS);
    let decided = scheduler.schedule(&state);
    carry_out(&mut scheduler, &mut state, &decided);
    assert_eq!(indexes(&decided[0]), [0, 1]);
    let first = TaskId { job, index: 0 };
    commit(&mut state, first, Epoch(1));
    scheduler.task_changed(&state, first, Instant::now());
    assert_eq!(indexes(&scheduler.schedule(&state)[0]), [2]);
}

#[test]
fn an_owner_at_the_limit_gets_no_more_leases_and_others_do() {
    let mut state = state_with_nodes(2);
    let ada = Owner::User(add_user(&mut state, "ada", Some(2)));
    let bob = Owner::User(add_user(&mut state, "bob", None));
    let limited = add_job_of(&mut state, ada, 10, "1-5");
    let other = add_job_of(&mut state, bob, 20, "1-5");
    let mut scheduler = Scheduler::new(&state, Instant::now());
    for node in 1..=2 {
        let wide = Capacity {
            render_slots: 2,
            ..RENDERS
        };
        scheduler.linked(NodeId(node), wide);
    }
    let count = |decided: &[NewLeases], job: JobId| {
        let leases = decided.iter().flat_map(|new| &new.leases);
        leases.filter(|(task, _)| task.job == job).count()
    };
    let decided = scheduler.schedule(&state);
    assert_eq!((count(&decided, limited), count(&decided, other)), (2, 4));
    assert_eq!(scheduler.schedule(&state), [], "nor while it is proposed");
    carry_out(&mut scheduler, &mut state, &decided);

    let (done, epoch) = state
        .leases_of(NodeId(1))
        .into_iter()
        .find(|(task, _)| task.job == limited)
        .expect("each node has one of the limited owner's tasks");
    commit(&mut state, done, epoch);
    scheduler.task_changed(&state, done, Instant::now());
    let decided = scheduler.schedule(&state);
    assert_eq!((count(&decided, limited), count(&decided, other)), (1, 0));
}

#[test]
fn older_jobs_go_first() {
    let mut state = state_with_nodes(1);
    let newer = add_job(&mut state, 20, "1-2");
    let older = add_job(&mut state, 10, "1-1");
    let mut scheduler = Scheduler::new(&state, Instant::now());
    scheduler.linked(NodeId(1), RENDERS);
    let decided = scheduler.schedule(&state);
    let jobs: Vec<JobId> = decided[0].leases.iter().map(|(task, _)| task.job).collect();
    assert_eq!(jobs, [older, newer]);
}

#[test]
fn a_failed_task_goes_to_another_node_where_there_is_one() {
    let mut state = state_with_nodes(2);
    let job = add_job(&mut state, 10, "1-1");
    let mut scheduler = Scheduler::new(&state, Instant::now());
    scheduler.linked(NodeId(1), RENDERS);
    let decided = scheduler.schedule(&state);
    carry_out(&mut scheduler, &mut state, &decided);
    let task = TaskId { job, index: 0 };
    fail(&mut state, task, Epoch(1));
    scheduler.task_changed(&state, task, Instant::now());
    scheduler.linked(NodeId(2), RENDERS);
    let decided = scheduler.schedule(&state);
    assert_eq!(decided[0].node, NodeId(2));
    assert_eq!(decided[0].leases, [(task, Epoch(2))]);

    scheduler.proposal_ended(&state, &decided[0], Instant::now());
    scheduler.unlinked(NodeId(2), Instant::now());
    assert_eq!(
        scheduler.schedule(&state)[0].node,
        NodeId(1),
        "alone, it tries again itself"
    );
}

#[test]
fn a_node_without_blender_gets_the_encode_only() {
    let mut state = state_with_nodes(2);
    let job = add_job(&mut state, 10, "1-2");
    let mut scheduler = Scheduler::new(&state, Instant::now());
    let encodes = Capacity {
        render_slots: 0,
        can_encode: true,
        asks: false,
    };
    scheduler.linked(NodeId(2), encodes);
    assert_eq!(scheduler.schedule(&state), []);
    scheduler.linked(
        NodeId(1),
        Capacity {
            render_slots: 1,
            can_encode: false,
            asks: false,
        },
    );
    let decided = scheduler.schedule(&state);
    carry_out(&mut scheduler, &mut state, &decided);
    for index in 0..2 {
        commit(&mut state, TaskId { job, index }, Epoch(1));
    }
    for index in 0..3 {
        scheduler.task_changed(&state, TaskId { job, index }, Instant::now());
    }
    let decided = scheduler.schedule(&state);
    assert_eq!(
        (decided[0].node, indexes(&decided[0])),
        (NodeId(2), vec![2])
    );
}

#[test]
fn a_node_that_is_gone_keeps_its_leases_for_their_time_and_no_longer() {
    let mut state = state_with_nodes(2);
    let job = add_job(&mut state, 10, "1-1");
    let start = Instant::now();
    let mut scheduler = Scheduler::new(&state, start);
    scheduler.linked(NodeId(1), RENDERS);
    let decided = scheduler.schedule(&state);
    carry_out(&mut scheduler, &mut state, &decided);
    scheduler.unlinked(NodeId(1), start);
    assert_eq!(scheduler.expired(&state, start + LEASE_TIME / 2), []);
    let expired = scheduler.expired(&state, start + LEASE_TIME);
    let task = TaskId { job, index: 0 };
    assert_eq!(expired[0].leases, [(task, Epoch(1))]);

    let ended = Action::LeasesEnded {
        leases: expired[0].leases.clone(),
        reason: LeaseEnd::NodeLost,
    };
    apply(&mut state, 30, ended).expect("ended");
    scheduler.task_changed(&state, task, Instant::now());
    scheduler.linked(NodeId(2), RENDERS);
    assert_eq!(scheduler.schedule(&state)[0].leases, [(task, Epoch(2))]);
}

#[test]
fn a_lease_of_a_node_that_was_never_linked_ends_too() {
    let mut state = state_with_nodes(2);
    let job = add_job(&mut state, 10, "1-1");
    let start = Instant::now();
    let mut scheduler = Scheduler::new(&state, start);
    // Proposed by an earlier leader, applied under this one; node 2 died in between.
    let task = TaskId { job, index: 0 };
    let leased = Action::TasksLeased {
        node: NodeId(2),
        leases: vec![(task, Epoch(1))],
    };
    apply(&mut state, 20, leased).expect("a lease");
    scheduler.task_changed(&state, task, start);
    let expired = scheduler.expired(&state, start + LEASE_TIME);
    assert_eq!(expired[0].leases, [(task, Epoch(1))]);
}

#[test]
fn a_lease_that_a_linked_runner_cannot_hold_ends() {
    let mut state = state_with_nodes(1);
    let job = add_job(&mut state, 10, "1-1");
    let start = Instant::now();
    let mut scheduler = Scheduler::new(&state, start);
    scheduler.linked(NodeId(1), RENDERS);
    let decided = scheduler.schedule(&state);
    carry_out(&mut scheduler, &mut state, &decided);
    let task = TaskId { job, index: 0 };
    let lease = (task, Epoch(1));
    let mut held =
        |holding: &[(TaskId, Epoch)], now| scheduler.held(&state, NodeId(1), holding, now).leases;
    assert_eq!(held(&[], start), []);
    assert_eq!(held(&[lease], start + UNHELD_TIME), []);
    let later = start + UNHELD_TIME * 2;
    assert_eq!(held(&[], later), [], "the time starts anew");
    assert_eq!(held(&[], later + UNHELD_TIME), [lease]);
}

#[test]
fn a_new_leader_gives_known_runners_the_time_of_a_lease_to_come_back() {
    let mut state = state_with_nodes(2);
    add_job(&mut state, 10, "1-2");
    let start = Instant::now();
    let mut old = Scheduler::new(&state, start);
    old.linked(NodeId(2), RENDERS);
    let decided = old.schedule(&state);
    carry_out(&mut old, &mut state, &decided);

    let mut new = Scheduler::new(&state, start);
    assert_eq!(new.expired(&state, start), []);
    assert_eq!(new.expired(&state, start + LEASE_TIME).len(), 1);
    new.linked(NodeId(2), RENDERS);
    assert_eq!(new.expired(&state, start + LEASE_TIME), []);
    assert_eq!(state.leases_of(NodeId(2)).len(), 2);
}
