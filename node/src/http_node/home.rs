//! What an HTTP runner keeps on its disk: its credential, so that a restart needs no token.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::messages::Registered;
use crate::data_dir::DataDir;
use crate::files;

/// The runner's data directory, locked while it runs.
pub(super) struct Home {
    data: DataDir,
}

/// Who this runner is. Whoever can read it is this runner.
#[derive(Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) runner: u64,
    pub(super) credential: String,
    /// Web addresses of the farm's nodes, as they were known last.
    urls: Vec<String>,
}

impl Home {
    pub(super) fn open(root: &Path) -> anyhow::Result<Self> {
        let data = DataDir::open(root, None, None)?;
        if data.membership()?.is_some() {
            bail!(
                "the data directory {} belongs to a node of the mesh; choose another one for the HTTP runner with --data",
                root.display()
            );
        }
        Ok(Self { data })
    }

    pub(super) fn scratch(&self) -> PathBuf {
        self.data.scratch()
    }

    /// `None` before it has registered.
    pub(super) fn registered(&self) -> anyhow::Result<Option<Known>> {
        read(&self.credential_file())
    }

    /// The farm's addresses as they were known last.
    pub(super) fn known_urls(&self) -> anyhow::Result<Vec<String>> {
        let known = self.registered()?;
        Ok(known.map(|known| known.urls).unwrap_or_default())
    }

    /// Keeps who this runner is now, for its owner's eyes only.
    pub(super) fn keep(&self, registered: &Registered, urls: &[String]) -> anyhow::Result<()> {
        let known = Known {
            runner: registered.runner,
            credential: registered.credential.clone(),
            urls: urls.to_owned(),
        };
        write(&self.credential_file(), &known)
    }

    /// Keeps where the farm answers now, where that is news.
    pub(super) fn keep_urls(&self, urls: &[String]) -> anyhow::Result<()> {
        match self.registered()? {
            Some(known) if known.urls != urls => write(
                &self.credential_file(),
                &Known {
                    urls: urls.to_owned(),
                    ..known
                },
            ),
            _ => Ok(()),
        }
    }

    /// Drawn once and kept: registering again with it gets the same runner.
    pub(super) fn registration_secret(&self) -> anyhow::Result<String> {
        let path = self.data.root().join("registration.json");
        if let Some(secret) = read(&path)? {
            return Ok(secret);
        }
        let secret = hex::encode(rand::random::<[u8; 32]>());
        write(&path, &secret)?;
        Ok(secret)
    }

    /// Whose certificates are believed, as PEM: what was named last.
    pub(super) fn ca(&self) -> anyhow::Result<Option<String>> {
        read(&self.ca_file())
    }

    pub(super) fn keep_ca(&self, ca: Option<&str>) -> anyhow::Result<()> {
        match ca {
            Some(ca) => write(&self.ca_file(), &ca),
            None => Ok(()),
        }
    }

    fn ca_file(&self) -> PathBuf {
        self.data.root().join("farm-ca.json")
    }

    fn credential_file(&self) -> PathBuf {
        self.data.root().join("http-runner.json")
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .with_context(|| format!("cannot understand {}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn write<T: Serialize>(path: &Path, value: &T) -> anyhow::Result<()> {
    files::replace(path, &serde_json::to_vec_pretty(value)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_credential_outlives_the_process_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        assert!(home.registered().unwrap().is_none());
        let secret = home.registration_secret().unwrap();
        let registered = Registered {
            runner: 7,
            credential: "jbr_x".into(),
        };
        home.keep(&registered, &["http://a:1".into()]).unwrap();
        home.keep_urls(&["http://b:2".into()]).unwrap();
        drop(home);

        let home = Home::open(dir.path()).unwrap();
        let known = home.registered().unwrap().unwrap();
        assert_eq!((known.runner, known.credential.as_str()), (7, "jbr_x"));
        assert_eq!(home.known_urls().unwrap(), ["http://b:2"]);
        assert_eq!(home.registration_secret().unwrap(), secret);
        let mode = std::fs::metadata(home.credential_file())
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }
}
