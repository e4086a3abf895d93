//! A node's key on disk.

use std::fs;
use std::io::Write;
use std::path::Path;

use libp2p::PeerId;
use libp2p::identity::Keypair;

use super::MeshError;

/// A node's Ed25519 key, kept in its data directory. Its PeerId is derived from it.
#[derive(Clone)]
pub struct Identity {
    keypair: Keypair,
}

impl Identity {
    /// Loads the key from `path`, or makes one and writes it (mode 0600, fsynced) where there is none.
    pub fn load_or_create(path: &Path) -> Result<Self, MeshError> {
        match fs::read(path) {
            Ok(bytes) => Self::decode(path, &bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::create(path),
            Err(error) => Err(io_error("reading the node's key", path, &error)),
        }
    }

    pub fn peer_id(&self) -> PeerId {
        self.keypair.public().to_peer_id()
    }

    pub(super) fn keypair(&self) -> &Keypair {
        &self.keypair
    }

    fn decode(path: &Path, bytes: &[u8]) -> Result<Self, MeshError> {
        let keypair = Keypair::from_protobuf_encoding(bytes)
            .map_err(|error| io_error("reading the node's key", path, &error))?;
        Ok(Self { keypair })
    }

    fn create(path: &Path) -> Result<Self, MeshError> {
        let keypair = Keypair::generate_ed25519();
        let bytes = keypair
            .to_protobuf_encoding()
            .map_err(|error| io_error("encoding the node's key", path, &error))?;
        write_durably(path, &bytes)
            .map_err(|error| io_error("writing the node's key", path, &error))?;
        Ok(Self { keypair })
    }
}

/// The file is there as a whole or not at all, whenever the power goes. `tempfile` makes it 0600.
fn write_durably(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    fs::File::open(folder)?.sync_all()
}

fn io_error(doing: &str, path: &Path, reason: &dyn std::fmt::Display) -> MeshError {
    MeshError::Io {
        doing: format!("{doing} {}", path.display()),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_node_keeps_its_key_over_a_restart_and_nobody_else_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        let first = Identity::load_or_create(&path).unwrap();
        let second = Identity::load_or_create(&path).unwrap();
        assert_eq!(first.peer_id(), second.peer_id());
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_key_is_an_error_and_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        fs::write(&path, b"not a key").unwrap();
        assert!(Identity::load_or_create(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"not a key");
    }
}
