//! A node's data directory: what is where in it, and the record of which farm it belongs to.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use jiggablend_raft::{FarmId, NodeId};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::files;

/// In the content folder: the id of the farm whose content it is.
const STORAGE_FARM: &str = "farm";

/// Where one node keeps everything. Locked while the node runs.
pub(crate) struct DataDir {
    root: PathBuf,
    db: PathBuf,
    storage: PathBuf,
    /// Held for as long as the node runs, so that two processes never share a log.
    _lock: Flock<File>,
}

/// Who this node is, written once when it made or joined its farm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Membership {
    pub(crate) farm: FarmId,
    pub(crate) farm_name: String,
    pub(crate) node: NodeId,
    /// Members known when it joined: where to look for the farm until the log has arrived.
    pub(crate) introduced_by: Vec<KnownMember>,
    /// The farm's log has arrived here. From then on this directory without its log is refused:
    /// its votes would be gone, and it could vote twice.
    #[serde(default)]
    pub(crate) has_log: bool,
}

/// A member as the join protocol and the membership record name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownMember {
    pub(crate) peer_id: String,
    pub(crate) addresses: Vec<String>,
}

impl DataDir {
    /// Opens or makes the directory and takes its lock.
    pub(crate) fn open(
        root: &Path,
        db: Option<PathBuf>,
        storage: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(root)
            .with_context(|| format!("cannot make the data directory {}", root.display()))?;
        let lock_path = root.join("lock");
        let lock_file = File::create(&lock_path)
            .with_context(|| format!("cannot write to the data directory {}", root.display()))?;
        let lock = match Flock::lock(lock_file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err(_) => bail!(
                "the data directory {} is in use by another jiggablend process; stop it, or choose another directory with --data",
                root.display()
            ),
        };
        let db = db.unwrap_or_else(|| root.join("farm.duckdb"));
        if let Some(folder) = db.parent() {
            std::fs::create_dir_all(folder).with_context(|| {
                format!("cannot make the database's folder {}", folder.display())
            })?;
        }
        Ok(Self {
            db,
            storage: storage.unwrap_or_else(|| root.join("content")),
            root: root.to_owned(),
            _lock: lock,
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn identity_key(&self) -> PathBuf {
        self.root.join("identity.key")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    pub(crate) fn db(&self) -> &Path {
        &self.db
    }

    pub(crate) fn storage(&self) -> &Path {
        &self.storage
    }

    /// Files that are being sent in pieces.
    pub(crate) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    pub(crate) fn scratch(&self) -> PathBuf {
        self.root.join("scratch")
    }

    /// The farm that this directory belongs to, if it belongs to one.
    pub(crate) fn membership(&self) -> anyhow::Result<Option<Membership>> {
        let path = self.membership_path();
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .with_context(|| format!("cannot read the membership record {}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error)
                .with_context(|| format!("cannot read the membership record {}", path.display())),
        }
    }

    pub(crate) fn write_membership(&self, membership: &Membership) -> anyhow::Result<()> {
        let path = self.membership_path();
        files::replace(&path, &serde_json::to_vec_pretty(membership)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Refuses a content folder of another farm's node.
    pub(crate) fn ensure_storage_is_of(&self, farm: FarmId) -> anyhow::Result<()> {
        let path = self.storage.join(STORAGE_FARM);
        let claimed = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        ensure!(
            claimed.trim() == farm.to_string(),
            "the content folder {} belongs to another farm's node; choose another one with --storage",
            self.storage.display()
        );
        Ok(())
    }

    /// Writes down whose content the content folder holds.
    pub(crate) fn claim_storage(&self, farm: FarmId) -> anyhow::Result<()> {
        self.ensure_storage_is_of(farm)?;
        let path = self.storage.join(STORAGE_FARM);
        files::replace(&path, farm.to_string().as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// The token with which this machine's own command line signs in; made once and kept.
    pub(crate) fn operator_token(&self) -> anyhow::Result<String> {
        let path = self.root.join("operator.token");
        if let Ok(token) = std::fs::read_to_string(&path) {
            return Ok(token.trim().to_owned());
        }
        let token = format!("jbo_{}", hex::encode(rand::random::<[u8; 32]>()));
        files::replace(&path, token.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(token)
    }

    fn membership_path(&self) -> PathBuf {
        self.root.join("node.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_in_use_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let first = DataDir::open(dir.path(), None, None).expect("a free directory");
        let second = DataDir::open(dir.path(), None, None);
        let message = second.err().expect("the lock holds").to_string();
        assert!(
            message.contains("in use by another jiggablend"),
            "{message}"
        );
        drop(first);
        DataDir::open(dir.path(), None, None).expect("free again");
    }

    #[test]
    fn a_content_folder_of_another_farm_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let data = DataDir::open(dir.path(), None, None).expect("a free directory");
        std::fs::create_dir_all(data.storage()).expect("a content folder");
        data.claim_storage(FarmId([1; 32])).expect("nobody's yet");
        data.claim_storage(FarmId([1; 32])).expect("its own");
        let refused = data.claim_storage(FarmId([2; 32])).expect_err("another's");
        assert!(refused.to_string().contains("another farm"), "{refused}");
    }

    #[test]
    fn membership_and_token_outlive_the_process() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let membership = Membership {
            farm: FarmId([7; 32]),
            farm_name: "studio".into(),
            node: NodeId(3),
            introduced_by: Vec::new(),
            has_log: false,
        };
        let data = DataDir::open(dir.path(), None, None).expect("a free directory");
        assert_eq!(data.membership().expect("readable"), None);
        data.write_membership(&membership).expect("written");
        let token = data.operator_token().expect("a token");
        drop(data);
        let data = DataDir::open(dir.path(), None, None).expect("free again");
        assert_eq!(data.membership().expect("readable"), Some(membership));
        assert_eq!(data.operator_token().expect("a token"), token);
    }
}
