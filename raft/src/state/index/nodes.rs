//! Nodes by what they show: a PeerId, an operator's token, a runner's credential.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Node, NodeId, Reach, RegistrationToken, RegistrationTokenId, SecretHash};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NodeIndex {
    /// Removed nodes included, as in `credentials` and `names`: none of it is given again.
    pub(crate) peers: BTreeMap<String, NodeId>,
    pub(crate) credentials: BTreeMap<SecretHash, NodeId>,
    pub(crate) names: BTreeSet<String>,
    /// Of members. Pairs, since nobody keeps two nodes from announcing the same token.
    operators: BTreeSet<(SecretHash, NodeId)>,
    pub(crate) registration_tokens: BTreeMap<SecretHash, RegistrationTokenId>,
}

impl NodeIndex {
    pub(crate) fn node(&mut self, before: Option<&Node>, after: Option<&Node>) {
        if let Some(node) = before {
            self.names.remove(&node.name);
            match &node.reach {
                Reach::Mesh { peer_id, .. } => self.peers.remove(peer_id),
                Reach::Http { credential, .. } => self.credentials.remove(credential),
            };
            if let Some(token) = operator_token(node) {
                self.operators.remove(&(token, node.id));
            }
        }
        if let Some(node) = after {
            self.names.insert(node.name.clone());
            match &node.reach {
                Reach::Mesh { peer_id, .. } => self.peers.insert(peer_id.clone(), node.id),
                Reach::Http { credential, .. } => self.credentials.insert(*credential, node.id),
            };
            if let Some(token) = operator_token(node) {
                self.operators.insert((token, node.id));
            }
        }
    }

    /// The member that announced the token.
    pub(crate) fn operator(&self, token: SecretHash) -> Option<NodeId> {
        let mut holders = self.operators.range((token, NodeId(0))..);
        holders
            .next()
            .filter(|(found, _)| *found == token)
            .map(|(_, node)| *node)
    }

    pub(crate) fn registration_token(
        &mut self,
        before: Option<&RegistrationToken>,
        after: Option<&RegistrationToken>,
    ) {
        if let Some(token) = before {
            self.registration_tokens.remove(&token.hash);
        }
        if let Some(token) = after {
            self.registration_tokens.insert(token.hash, token.id);
        }
    }
}

fn operator_token(node: &Node) -> Option<SecretHash> {
    node.operator_token.filter(|_| !node.removed)
}
