//! The farm, its nodes, and the tickets that let them in.

use super::users::check_name;
use super::{Effect, RecordKey, Refusal, State, Touched};
use crate::{
    Farm, FarmId, LeaseEnd, NewNode, Node, NodeId, Reach, Roles, RunnerFacts, SecretHash, Settings,
    Ticket, TimestampMs, WebhookEvent,
};

const FIRST_NODE: NodeId = NodeId(1);

impl State {
    pub(super) fn farm_created(
        &mut self,
        farm: Farm,
        first_node: &NewNode,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        if let Some(known) = &self.farm {
            if known.id == farm.id {
                return Ok(Effect::Done);
            }
            return Err(Refusal::Conflict(format!(
                "this job log belongs to the farm '{}' already",
                known.name
            )));
        }
        if farm.id != FarmId::of_public_key(&farm.public_key) {
            return Err(Refusal::Invalid(
                "the farm's id is not the hash of its public key".into(),
            ));
        }
        self.farm = Some(farm);
        self.next_node = FIRST_NODE;
        let id = self.add_node(first_node, first_node.roles, None, at, touched);
        Ok(Effect::Admitted(id))
    }

    pub(super) fn farm_renamed(
        &mut self,
        name: &str,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        check_name("the farm", name)?;
        if name.trim().is_empty() {
            return Err(Refusal::Invalid("the farm needs a name".into()));
        }
        let Some(farm) = &mut self.farm else {
            return Err(Refusal::NotFound("there is no farm yet".into()));
        };
        if farm.name != name {
            farm.name = name.to_owned();
            touched.farm();
        }
        Ok(Effect::Done)
    }

    pub(super) fn settings_changed(
        &mut self,
        settings: &Settings,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        if self.settings != *settings {
            self.settings = settings.clone();
            touched.record(RecordKey::Settings);
        }
        Ok(Effect::Done)
    }

    pub(super) fn node_admitted(
        &mut self,
        ticket: &SecretHash,
        new_node: &NewNode,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        let Some(shown) = self.tickets.get(ticket) else {
            return Err(Refusal::TicketUnknown(
                "this farm does not know the ticket; make a new one on one of its nodes".into(),
            ));
        };
        let known = self.index.nodes.peers.get(&new_node.peer_id);
        if let Some(known) = known.and_then(|known| self.nodes.get(known)) {
            return admitted_before(known, ticket);
        }
        if shown.spent_by.is_some() {
            return Err(Refusal::TicketSpent(
                "the ticket was used already; make a new one on one of the farm's nodes".into(),
            ));
        }
        if at >= shown.expires_at {
            return Err(Refusal::TicketExpired(
                "the ticket has expired; make a new one on one of the farm's nodes".into(),
            ));
        }
        let (roles, reusable) = (shown.roles, shown.reusable);
        let id = self.add_node(new_node, roles, Some(*ticket), at, touched);
        if !reusable && let Some(spent) = self.tickets.get_mut(ticket) {
            spent.spent_by = Some(id);
            touched.ticket(*ticket);
        }
        Ok(Effect::Admitted(id))
    }

    /// Adds a node under the next id. What its ticket allows counts, not what it asks for.
    fn add_node(
        &mut self,
        new_node: &NewNode,
        roles: Roles,
        admitted_by: Option<SecretHash>,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> NodeId {
        let reach = Reach::Mesh {
            peer_id: new_node.peer_id.clone(),
            addresses: new_node.addresses.clone(),
        };
        let mut node = self.next_node(&new_node.name, reach, roles, at);
        node.admitted_by = admitted_by;
        let id = node.id;
        self.put_node(node, touched);
        touched.node_event(WebhookEvent::NodeJoined, id);
        id
    }

    /// A node under the next id, to be put into the state.
    pub(super) fn next_node(
        &mut self,
        name: &str,
        reach: Reach,
        roles: Roles,
        at: TimestampMs,
    ) -> Node {
        let id = self.next_node;
        self.next_node = NodeId(id.0 + 1);
        Node {
            id,
            name: self.free_name(name),
            reach,
            web_address: None,
            roles,
            version: String::new(),
            runner: RunnerFacts::default(),
            operator_token: None,
            joined_at: at,
            admitted_by: None,
            removed: false,
        }
    }

    /// `name`, or `name-2`, `name-3` and so on where nodes have had it already.
    fn free_name(&self, name: &str) -> String {
        let is_free = |wanted: &str| !self.index.nodes.names.contains(wanted);
        if is_free(name) {
            return name.to_owned();
        }
        // One more candidate than there are nodes: one of them must be free.
        (2..=self.nodes.len() + 2)
            .map(|count| format!("{name}-{count}"))
            .find(|candidate| is_free(candidate))
            .expect("there are more candidates than nodes")
    }

    pub(super) fn node_announced(
        &mut self,
        node: NodeId,
        addresses: &[String],
        announce: impl FnOnce(&mut Node),
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        let before = self.member(node)?;
        let mut after = before.clone();
        let Reach::Mesh {
            addresses: known, ..
        } = &mut after.reach
        else {
            return Err(Refusal::Invalid(format!(
                "node {node} speaks only HTTP and does not announce itself as one of the mesh"
            )));
        };
        *known = addresses.to_vec();
        announce(&mut after);
        if *before != after {
            self.put_node(after, touched);
        }
        Ok(Effect::Done)
    }

    /// Replicas on the node stay listed: they were told of, and repair decides what to make of
    /// holders that are members no longer.
    pub(super) fn node_removed(
        &mut self,
        node: NodeId,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        let Some(known) = self.nodes.get(&node) else {
            return Err(Refusal::NotFound(format!("this farm has no node {node}")));
        };
        if known.removed {
            return Ok(Effect::Done);
        }
        let removed = Node {
            removed: true,
            operator_token: None,
            ..known.clone()
        };
        self.put_node(removed, touched);
        touched.node_event(WebhookEvent::NodeRemoved, node);
        let leases = self.leases_of(node);
        self.end_leases(&leases, LeaseEnd::NodeLost, at, touched);
        Ok(Effect::Done)
    }

    pub(super) fn ticket_created(
        &mut self,
        ticket: Ticket,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        self.check_secret_not_ended("this ticket", ticket.hash)?;
        self.tickets.entry(ticket.hash).or_insert_with(|| {
            touched.ticket(ticket.hash);
            ticket
        });
        Ok(Effect::Done)
    }

    pub(super) fn ticket_revoked(
        &mut self,
        ticket: &SecretHash,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        if self.tickets.remove(ticket).is_some() {
            touched.ticket(*ticket);
            self.end_secret(Some(*ticket), at, touched);
        }
        Ok(Effect::Done)
    }
}

/// The answer to a peer that the farm knows already: its node's id, if it asks again because the
/// answer to this very ticket was lost; else why it must not have that id a second time.
///
/// A node that has announced itself had its answer. If it asks all the same, it has lost its
/// data directory, and how it voted with that.
fn admitted_before(known: &Node, ticket: &SecretHash) -> Result<Effect, Refusal> {
    if known.removed {
        return Err(Refusal::Conflict(format!(
            "node {} with this identity was removed from the farm; join with a fresh data directory",
            known.id
        )));
    }
    let has_announced = known.operator_token.is_some();
    if known.admitted_by == Some(*ticket) && !has_announced {
        return Ok(Effect::Admitted(known.id));
    }
    Err(Refusal::Conflict(format!(
        "node {} with this identity is a member already; if its data was lost, remove the node \
         from the farm and join with a fresh data directory",
        known.id
    )))
}
