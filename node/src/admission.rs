//! Lets nodes in: makes tickets, and admits those who show one.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use ed25519_dalek::{Signer as _, SigningKey};
use jiggablend_raft::{
    Action, Actor, Command, Effect, Farm, JobLog, NewNode, Node, NodeId, ProposeError, Refusal,
    Roles, SecretHash, TimestampMs,
};
use jiggablend_transfer::{Admission, FarmProof, JoinRefusal, JoinRequest, Mesh, PeerId, Ticket};
use jiggablend_web::{TicketMaker, TicketOrder};
use serde::{Deserialize, Serialize};

use crate::data_dir::KnownMember;

/// A ticket names this many members to dial, so that one of them may be down.
const MEMBERS_IN_A_TICKET: usize = 3;

/// What a joiner is told when it is let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Admitted {
    pub(crate) farm_name: String,
    pub(crate) node: NodeId,
    pub(crate) members: Vec<KnownMember>,
}

impl Admitted {
    pub(crate) fn decode(bytes: &[u8]) -> anyhow::Result<Self> {
        rmp_serde::from_slice(bytes).context("cannot read what the farm answered; is it newer?")
    }
}

/// The farm's door on this node. Any member can open it: the job log decides.
pub(crate) struct FarmDoor {
    pub(crate) node: NodeId,
    pub(crate) log: JobLog,
    pub(crate) mesh: Mesh,
}

impl FarmDoor {
    pub(crate) fn open(node: NodeId, log: JobLog, mesh: Mesh) -> Arc<Self> {
        let door = Arc::new(Self { node, log, mesh });
        door.mesh.serve_join(door.clone());
        door
    }

    fn farm(&self) -> Result<Farm, String> {
        self.log
            .read(|state| state.farm.clone())
            .ok_or_else(|| "this node has not received the farm's log yet".to_owned())
    }

    /// This node first, then others, as many as a ticket names.
    fn members_to_dial(&self) -> Vec<(PeerId, Vec<jiggablend_transfer::Multiaddr>)> {
        let own = (self.mesh.peer_id(), self.mesh.addresses());
        let others = self.log.read(|state| {
            state
                .mesh_members()
                .filter(|node| node.id != self.node)
                .filter_map(dial_addresses)
                .collect::<Vec<_>>()
        });
        std::iter::once(own)
            .chain(others)
            .take(MEMBERS_IN_A_TICKET)
            .collect()
    }
}

/// Where a member can be dialled, as libp2p has it; `None` where its record cannot be read.
pub(crate) fn dial_addresses(node: &Node) -> Option<(PeerId, Vec<jiggablend_transfer::Multiaddr>)> {
    let peer = node.peer_id()?.parse().ok()?;
    let addresses = node
        .addresses()
        .iter()
        .filter_map(|address| address.parse().ok())
        .collect();
    Some((peer, addresses))
}

#[async_trait]
impl Admission for FarmDoor {
    async fn prove(&self, joiner: PeerId, challenge: [u8; 32]) -> Result<FarmProof, String> {
        let farm = self.farm()?;
        let signed = FarmProof::signed_bytes(joiner, &challenge);
        let signature = SigningKey::from_bytes(&farm.secret_key).sign(&signed);
        Ok(FarmProof {
            public_key: farm.public_key,
            signature: signature.to_vec(),
        })
    }

    async fn admit(&self, peer: PeerId, request: JoinRequest) -> Result<Vec<u8>, JoinRefusal> {
        let farm = self.farm().map_err(JoinRefusal::Unavailable)?;
        let ticket = SecretHash::of(&request.secret);
        let roles = self
            .log
            .read(|state| state.tickets.get(&ticket).map(|ticket| ticket.roles))
            // Unknown here may be known to the leader; apply decides, and takes the ticket's roles.
            .unwrap_or(Roles {
                voter: false,
                runner: true,
            });
        let command = Command::new(
            Actor::Node(self.node),
            Action::NodeAdmitted {
                ticket,
                node: NewNode {
                    name: request.name,
                    peer_id: peer.to_string(),
                    addresses: request.addresses,
                    roles,
                },
            },
        );
        let node = match self.log.propose(command).await {
            Ok(Effect::Admitted(node)) => node,
            Ok(other) => {
                return Err(JoinRefusal::Unavailable(format!(
                    "the job log answered {other:?}"
                )));
            }
            Err(ProposeError::Refused(refusal)) => return Err(join_refusal(refusal)),
            Err(error) => return Err(JoinRefusal::Unavailable(error.to_string())),
        };
        let members = self
            .members_to_dial()
            .into_iter()
            .map(|(peer, addresses)| KnownMember {
                peer_id: peer.to_string(),
                addresses: addresses.iter().map(ToString::to_string).collect(),
            })
            .collect();
        let admitted = Admitted {
            farm_name: farm.name,
            node,
            members,
        };
        rmp_serde::to_vec_named(&admitted)
            .map_err(|error| JoinRefusal::Unavailable(error.to_string()))
    }
}

fn join_refusal(refusal: Refusal) -> JoinRefusal {
    match refusal {
        Refusal::TicketSpent(_) => JoinRefusal::TicketSpent,
        Refusal::TicketExpired(_) => JoinRefusal::TicketExpired,
        Refusal::TicketUnknown(_) => JoinRefusal::TicketUnknown,
        other => JoinRefusal::Unavailable(other.to_string()),
    }
}

#[async_trait]
impl TicketMaker for FarmDoor {
    async fn make(
        &self,
        actor: Actor,
        from: Option<IpAddr>,
        order: TicketOrder,
    ) -> Result<String, ProposeError> {
        let farm = self.farm().map_err(ProposeError::NoLeader)?;
        let hash = SecretHash::of(&order.secret);
        let at = TimestampMs::now();
        let expires_at = at.plus(order.ttl);
        self.log
            .propose(Command {
                at,
                actor,
                from,
                action: Action::TicketCreated {
                    ticket: hash,
                    roles: order.roles,
                    expires_at,
                    reusable: order.reusable,
                },
            })
            .await?;
        let kept = self.log.read(|state| {
            let ticket = state.tickets.get(&hash)?;
            Some((ticket.roles, ticket.expires_at))
        });
        let (roles, expires_at) = kept.unwrap_or((order.roles, expires_at));
        let ticket = Ticket {
            farm: farm.id.0,
            members: self.members_to_dial(),
            secret: order.secret,
            voter: roles.voter,
            runner: roles.runner,
            expires_at_ms: expires_at.0,
        };
        Ok(ticket.to_string())
    }
}
