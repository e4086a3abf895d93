//! Who changed what, when, and from where.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Actor, TimestampMs};

/// This many entries are kept. When there are more, the oldest entry of whoever has the most goes:
/// nobody drives out what others did by doing much.
pub const MAX_AUDIT_ENTRIES: usize = 100_000;
/// An entry's detail is cut to this.
pub const MAX_AUDIT_DETAIL_CHARS: usize = 500;

/// One change that somebody made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Counts from 0; no number is given twice.
    pub number: u64,
    pub at: TimestampMs,
    pub actor: Actor,
    pub from: Option<IpAddr>,
    /// [`crate::Action::name`] of what was applied.
    pub action: String,
    /// The id of the user, job, node or whatever was changed.
    pub subject: String,
    /// One line, without secrets.
    pub detail: String,
}
