//! Who votes: 1 or 3 of the nodes with the voter role. Everyone else is a standby.

use std::collections::BTreeSet;

use jiggablend_raft::{NodeId, State};

/// More voters would survive more losses and make every command slower.
const MOST_VOTERS: usize = 3;

/// The Raft group as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) voters: BTreeSet<NodeId>,
    pub(super) standbys: BTreeSet<NodeId>,
    /// A change of voters was cut short: quorum still needs the older voters too.
    pub(super) is_joint: bool,
}

/// The next step for the group, or `None` where it is as it should be.
///
/// Voters stay as long as they are members: one that is down may come back, and replacing it is
/// a decision of its own. New voters come from the nodes with the voter role that are `linked`,
/// so that a node that has never been heard of is not counted on.
pub(super) fn plan_group(state: &State, now: &Group, linked: &BTreeSet<NodeId>) -> Option<Group> {
    let members: BTreeSet<NodeId> = state.mesh_members().map(|node| node.id).collect();
    let mut voters: BTreeSet<NodeId> = now.voters.intersection(&members).copied().collect();
    let candidates: Vec<NodeId> = state
        .mesh_members()
        .filter(|node| node.roles.voter && linked.contains(&node.id) && !voters.contains(&node.id))
        .map(|node| node.id)
        .collect();
    let wanted = odd_at_most((voters.len() + candidates.len()).min(MOST_VOTERS));
    let missing = wanted.saturating_sub(voters.len());
    voters.extend(candidates.into_iter().take(missing));
    let next = Group {
        standbys: members.difference(&voters).copied().collect(),
        voters,
        is_joint: false,
    };
    // Without a voter there is no leader to carry this out; that is never a step.
    (next != *now && !next.voters.is_empty()).then_some(next)
}

/// An even number of voters survives no more losses than the odd one below it.
fn odd_at_most(count: usize) -> usize {
    if count == 0 {
        0
    } else {
        (count - 1) / 2 * 2 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leader::scheduler::test_state::state_with_nodes;

    fn ids(ids: &[u64]) -> BTreeSet<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    fn group(voters: &[u64], standbys: &[u64]) -> Group {
        Group {
            voters: ids(voters),
            standbys: ids(standbys),
            is_joint: false,
        }
    }

    #[test]
    fn two_nodes_have_one_voter_and_one_standby() {
        let state = state_with_nodes(2);
        assert_eq!(
            plan_group(&state, &group(&[1], &[]), &ids(&[1, 2])),
            Some(group(&[1], &[2]))
        );
        assert_eq!(plan_group(&state, &group(&[1], &[2]), &ids(&[1, 2])), None);
    }

    #[test]
    fn the_third_linked_node_makes_three_voters() {
        let state = state_with_nodes(3);
        assert_eq!(
            plan_group(&state, &group(&[1], &[2, 3]), &ids(&[1, 2])),
            None,
            "a node that was never heard of is not counted on"
        );
        assert_eq!(
            plan_group(&state, &group(&[1], &[2, 3]), &ids(&[1, 2, 3])),
            Some(group(&[1, 2, 3], &[]))
        );
    }

    #[test]
    fn a_fourth_node_is_a_standby_and_a_dead_voter_keeps_its_vote() {
        let state = state_with_nodes(4);
        assert_eq!(
            plan_group(&state, &group(&[1, 2, 3], &[]), &ids(&[1, 2, 4])),
            Some(group(&[1, 2, 3], &[4]))
        );
    }

    #[test]
    fn a_change_that_was_cut_short_is_finished() {
        let state = state_with_nodes(3);
        let cut_short = Group {
            is_joint: true,
            ..group(&[1, 2, 3], &[])
        };
        assert_eq!(
            plan_group(&state, &cut_short, &ids(&[1, 2, 3])),
            Some(group(&[1, 2, 3], &[]))
        );
    }

    #[test]
    fn a_removed_voter_leaves_the_group() {
        let mut state = state_with_nodes(3);
        state.nodes.get_mut(&NodeId(3)).expect("node 3").removed = true;
        assert_eq!(
            plan_group(&state, &group(&[1, 2, 3], &[]), &ids(&[1, 2])),
            Some(group(&[1, 2], &[]))
        );
    }
}
