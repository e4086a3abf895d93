//! How the command line finds the node of this machine: `endpoint.json` in its data directory.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use jiggablend_raft::NodeId;
use serde::{Deserialize, Serialize};

use super::CliError;
use crate::files;

/// Where this machine's node answers, and the token that makes its owner the operator. The node
/// writes it when it serves; the token stays the same over restarts.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// For example `http://127.0.0.1:8080`.
    pub url: String,
    /// The operator's bearer token. Whoever can read it owns the node.
    pub token: String,
    pub node: NodeId,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("url", &self.url)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Where the file lies in a data directory.
    pub fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("endpoint.json")
    }

    /// Reads the file; `None` where no node ever served from this data directory.
    pub fn read(data_dir: &Path) -> Result<Option<Self>, CliError> {
        let path = Self::path(data_dir);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let reason = "permission denied; the node belongs to another user: run this as that user, or name a node with --url and --token";
                return Err(CliError::file("cannot read", path, reason));
            }
            Err(error) => return Err(CliError::file("cannot read", path, error)),
        };
        serde_json::from_str(&text).map(Some).map_err(|error| {
            let reason = format!("{error}; restart the node, which writes it anew");
            CliError::file("cannot understand", path, reason)
        })
    }

    /// Writes the file so that a reader sees the old one or the new one, and nobody but the
    /// owner can read it (mode 0600).
    pub fn write(&self, data_dir: &Path) -> io::Result<()> {
        files::replace(&Self::path(data_dir), &serde_json::to_vec_pretty(self)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint {
            url: "http://127.0.0.1:8080".into(),
            token: "very-secret".into(),
            node: NodeId(3),
        }
    }

    #[test]
    fn what_was_written_is_read_and_is_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Endpoint::read(folder.path()).unwrap(), None);
        endpoint().write(folder.path()).unwrap();
        // A second write replaces the first.
        endpoint().write(folder.path()).unwrap();
        assert_eq!(Endpoint::read(folder.path()).unwrap(), Some(endpoint()));
        let mode = std::fs::metadata(Endpoint::path(folder.path()))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_token_is_not_in_debug_output() {
        assert!(!format!("{:?}", endpoint()).contains("very-secret"));
    }

    #[test]
    fn a_damaged_file_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(Endpoint::path(folder.path()), "{").unwrap();
        let error = Endpoint::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("restart the node"), "{error}");
    }
}
