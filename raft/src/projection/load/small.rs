//! Reads the tables of nodes, people and records back.

use duckdb::{Connection, Row};

use super::Loaded;
use super::columns::{for_each_row, optional, optional_time, parsed, time};
use crate::projection::words::{from_json, from_word, to_actor};
use crate::{ApiToken, AuditEntry, Node, NodeId, Reach, Roles, Session, State, Ticket, User};

pub(super) fn load_nodes(connection: &Connection, state: &mut State) -> Loaded<()> {
    for_each_row(connection, "SELECT * FROM node", |row| {
        let node = Node {
            id: NodeId(row.get(0)?),
            name: row.get(1)?,
            reach: reach(row)?,
            web_address: row.get(6)?,
            roles: Roles {
                voter: row.get(7)?,
                runner: row.get(8)?,
            },
            version: row.get(9)?,
            runner: from_json(&row.get::<_, String>(10)?)?,
            operator_token: optional(row.get(11)?)?,
            joined_at: time(row, 12)?,
            admitted_by: optional(row.get(13)?)?,
            removed: row.get(14)?,
        };
        state.nodes.insert(node.id, node);
        Ok(())
    })
}

fn reach(row: &Row<'_>) -> Loaded<Reach> {
    if let Some(peer_id) = row.get::<_, Option<String>>(2)? {
        let addresses = from_json(&row.get::<_, String>(3)?)?;
        return Ok(Reach::Mesh { peer_id, addresses });
    }
    Ok(Reach::Http {
        credential: parsed(row.get(4)?)?,
        registered_with: parsed(row.get(5)?)?,
    })
}

pub(super) fn load_tickets(connection: &Connection, state: &mut State) -> Loaded<()> {
    for_each_row(connection, "SELECT * FROM ticket", |row| {
        let ticket = Ticket {
            hash: parsed(row.get(0)?)?,
            roles: Roles {
                voter: row.get(1)?,
                runner: row.get(2)?,
            },
            created_at: time(row, 3)?,
            created_by: to_actor(&row.get::<_, String>(4)?, row.get(5)?)?,
            expires_at: time(row, 6)?,
            reusable: row.get(7)?,
            spent_by: row.get::<_, Option<u64>>(8)?.map(NodeId),
        };
        state.tickets.insert(ticket.hash, ticket);
        Ok(())
    })
}

pub(super) fn load_users(connection: &Connection, state: &mut State) -> Loaded<()> {
    for_each_row(connection, r#"SELECT * FROM "user""#, |row| {
        let quota: Option<String> = row.get(7)?;
        let user = User {
            id: parsed(row.get(0)?)?,
            name: row.get(1)?,
            email: row.get(2)?,
            password_hash: row.get(3)?,
            identities: from_json(&row.get::<_, String>(4)?)?,
            role: from_word(row.get(5)?)?,
            disabled: row.get(6)?,
            quota: quota.map(|quota| from_json(&quota)).transpose()?,
            created_at: time(row, 8)?,
        };
        state.users.insert(user.id, user);
        Ok(())
    })
}

pub(super) fn load_sessions(connection: &Connection, state: &mut State) -> Loaded<()> {
    for_each_row(connection, "SELECT * FROM session", |row| {
        let session = Session {
            hash: parsed(row.get(0)?)?,
            user: parsed(row.get(1)?)?,
            created_at: time(row, 2)?,
            expires_at: time(row, 3)?,
            from: optional(row.get(4)?)?,
            agent: row.get(5)?,
        };
        state.sessions.insert(session.hash, session);
        Ok(())
    })
}

pub(super) fn load_tokens(connection: &Connection, state: &mut State) -> Loaded<()> {
    for_each_row(connection, "SELECT * FROM token", |row| {
        let token = ApiToken {
            id: parsed(row.get(0)?)?,
            hash: parsed(row.get(1)?)?,
            user: parsed(row.get(2)?)?,
            name: row.get(3)?,
            scopes: from_json(&row.get::<_, String>(4)?)?,
            created_at: time(row, 5)?,
            expires_at: optional_time(row, 6)?,
        };
        state.tokens.insert(token.id, token);
        Ok(())
    })
}

pub(super) fn load_audit(connection: &Connection, state: &mut State) -> Loaded<()> {
    for_each_row(connection, "SELECT * FROM audit", |row| {
        let entry = AuditEntry {
            number: row.get(0)?,
            at: time(row, 1)?,
            actor: to_actor(&row.get::<_, String>(2)?, row.get(3)?)?,
            from: optional(row.get(4)?)?,
            action: row.get(5)?,
            subject: row.get(6)?,
            detail: row.get(7)?,
        };
        state.audit.insert(entry.number, entry);
        Ok(())
    })
}

pub(super) fn load_records(connection: &Connection, state: &mut State) -> Loaded<()> {
    for_each_row(connection, "SELECT * FROM record", |row| {
        let (kind, body): (String, String) = (row.get(0)?, row.get(2)?);
        Ok(state.load_record(&kind, &body)?)
    })
}
