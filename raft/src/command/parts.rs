//! What actions are made of: new nodes, files and credentials, and what may be set.

use serde::{Deserialize, Serialize};

use crate::{
    ContentId, FileId, FileKind, FrameList, Identity, NodeId, Quota, Roles, SecretHash, UserRole,
};

/// A node as it enters the farm. Its `NodeId` is given when the command is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewNode {
    pub name: String,
    /// The libp2p PeerId in its text form.
    pub peer_id: String,
    /// Mesh addresses (multiaddrs).
    pub addresses: Vec<String>,
    pub roles: Roles,
}

/// Content that is already on disk on `holders`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewFile {
    pub id: FileId,
    pub kind: FileKind,
    /// For people and for download names; never a path (I9).
    pub name: String,
    pub media_type: String,
    pub content: ContentId,
    pub size_bytes: u64,
    /// The nodes that have fsynced every chunk of it.
    pub holders: Vec<NodeId>,
}

/// What a user may set for a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobSettings {
    /// `None`: the scene's own range.
    pub frames: Option<FrameList>,
    /// Make a video when the last frame is in. Jobs of one frame make none.
    pub video: bool,
}

/// How a new account signs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NewCredential {
    /// argon2id in PHC format.
    Password(String),
    External(Identity),
}

/// One thing that changes about an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserChange {
    Name(String),
    /// A local account cannot be without, and its address is nobody else's.
    Email(Option<String>),
    /// Refused for the last enabled admin.
    Role(UserRole),
    /// A disabled account cannot sign in, its sessions end and its tokens do not count. Refused
    /// for the last enabled admin.
    Disabled(bool),
    /// Ends all of the user's sessions but `keep`. Makes a local account of one that was none.
    Password {
        /// argon2id in PHC format.
        password_hash: String,
        keep: Option<SecretHash>,
    },
    /// `None`: the farm's default.
    Quota(Option<Quota>),
}
