//! Saved sign-ins: `credentials.json` in the user's configuration, which nobody else can read.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use jiggablend_raft::TimestampMs;
use serde::{Deserialize, Serialize};

use super::CliError;
use crate::files;

/// More than this is no file of ours.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// One farm at which somebody signed in from this machine.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    pub farm_name: String,
    /// The web address that was named at the sign-in.
    pub url: String,
    /// Web addresses of the farm's nodes as they were last known, the best one first.
    pub nodes: Vec<String>,
    /// The API token.
    pub token: String,
    /// Names the token at the farm; unknown for one that was brought along.
    pub token_id: Option<String>,
    /// Whoever signed in, for people.
    pub user: String,
    /// None: until it is revoked, or unknown.
    pub expires_at_ms: Option<TimestampMs>,
    /// Whose certificates are believed there beside those that this machine knows, as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

impl Login {
    fn is_at(&self, url: &str) -> bool {
        self.url == url || self.nodes.iter().any(|node| node == url)
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("farm_name", &self.farm_name)
            .field("url", &self.url)
            .field("nodes", &self.nodes)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// All saved sign-ins, by the farm's id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logins {
    /// The farm of the last sign-in: the one that commands mean.
    current: Option<String>,
    farms: BTreeMap<String, Login>,
}

impl Logins {
    /// The farm of the last sign-in.
    pub fn current(&self) -> Option<(&str, &Login)> {
        let (id, login) = self.farms.get_key_value(self.current.as_ref()?)?;
        Some((id, login))
    }

    pub fn get(&self, farm: &str) -> Option<&Login> {
        self.farms.get(farm)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Login)> {
        self.farms.iter().map(|(id, login)| (id.as_str(), login))
    }

    /// The farm that has one of these addresses.
    pub fn at(&self, urls: &[String]) -> Option<(&str, &Login)> {
        self.iter()
            .find(|(_, login)| urls.iter().any(|url| login.is_at(url)))
    }

    /// The farm that an id, a name or a web address means.
    pub fn named(&self, text: &str) -> Option<(&str, &Login)> {
        let address = super::peers::normalise(text);
        self.iter().find(|(id, login)| {
            let has_address = address.as_deref().is_some_and(|url| login.is_at(url));
            *id == text || login.farm_name == text || has_address
        })
    }

    /// What the farm's addresses are now.
    pub fn set_nodes(&mut self, farm: &str, nodes: &[String]) {
        if let Some(login) = self.farms.get_mut(farm) {
            login.nodes = nodes.to_vec();
        }
    }

    /// Keeps a sign-in, and means its farm from now on.
    pub fn add(&mut self, farm: &str, login: Login) {
        self.farms.insert(farm.to_owned(), login);
        self.current = Some(farm.to_owned());
    }

    /// Forgets a farm. Where it was the current one, another that is left is.
    pub fn remove(&mut self, farm: &str) {
        self.farms.remove(farm);
        if self.current.as_deref() == Some(farm) {
            self.current = self.farms.keys().next().cloned();
        }
    }
}

/// Where the saved sign-ins are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginsFile {
    path: PathBuf,
}

impl LoginsFile {
    /// `~/.config/jiggablend/credentials.json`; `None` for a user without a home.
    pub fn of_this_user() -> Option<Self> {
        let folders = directories::ProjectDirs::from("", "", "jiggablend")?;
        Some(Self {
            path: folders.config_dir().join("credentials.json"),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is saved; nothing where the file is not there. An error where others can read it: the
    /// tokens in it must be taken for known.
    pub fn read(&self) -> Result<Logins, CliError> {
        let cannot_read = |error: io::Error| CliError::file("cannot read", &self.path, error);
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Logins::default()),
            Err(error) => return Err(cannot_read(error)),
        };
        let facts = file.metadata().map_err(cannot_read)?;
        if facts.permissions().mode() & 0o077 != 0 {
            let reason = "other users of this machine can read it; run `jiggablend logout --all` and sign in again, or `chmod 600` it if nobody did";
            return Err(CliError::file("will not use", &self.path, reason));
        }
        if facts.len() > MAX_BYTES {
            return Err(CliError::file("cannot understand", &self.path, "too long"));
        }
        serde_json::from_reader(io::BufReader::new(file)).map_err(|error| {
            let reason = format!("{error}; move it away and sign in again with `jiggablend login`");
            CliError::file("cannot understand", &self.path, reason)
        })
    }

    /// Changes what is saved, one program at a time. The file is replaced as a whole, mode 0600,
    /// in a folder of mode 0700.
    pub fn change(&self, change: impl FnOnce(&mut Logins)) -> Result<(), CliError> {
        self.change_from(Self::read, change)
    }

    /// Like [`Self::change`] where what is there may be unfit to use: it is only forgotten.
    pub fn forget_all(&self) -> Result<(), CliError> {
        self.change_from(|_| Ok(Logins::default()), |_| {})
    }

    fn change_from(
        &self,
        read: impl FnOnce(&Self) -> Result<Logins, CliError>,
        change: impl FnOnce(&mut Logins),
    ) -> Result<(), CliError> {
        let cannot_write = |error: io::Error| CliError::file("cannot write", &self.path, error);
        let folder = self.path.parent().unwrap_or(Path::new("."));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(cannot_write)?;
        fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(cannot_write)?;
        let lock = File::create(folder.join("credentials.lock")).map_err(cannot_write)?;
        lock.lock().map_err(cannot_write)?;
        let before = read(self)?;
        let mut logins = before.clone();
        change(&mut logins);
        let is_there = self.path.exists();
        if logins == before && is_there != logins.farms.is_empty() {
            return Ok(());
        }
        if logins.farms.is_empty() {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot_write(error)),
                _ => Ok(()),
            };
        }
        let bytes = serde_json::to_vec_pretty(&logins).expect("sign-ins are JSON");
        files::replace(&self.path, &bytes).map_err(cannot_write)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn login(name: &str, url: &str) -> Login {
        Login {
            farm_name: name.into(),
            url: url.into(),
            nodes: Vec::new(),
            token: "jbt_very-secret".into(),
            token_id: None,
            user: "ada@example.org".into(),
            expires_at_ms: None,
            ca: None,
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_saved_is_the_users_alone_and_is_gone_when_it_is_forgotten() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("deep/jiggablend");
        let file = LoginsFile {
            path: folder.join("credentials.json"),
        };
        assert_eq!(file.read().unwrap(), Logins::default());
        file.change(|logins| logins.add("f1", login("barn", "http://a:1")))
            .unwrap();
        assert_eq!(mode(file.path()), 0o600);
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(file.read().unwrap().current().unwrap().0, "f1");
        file.change(|logins| logins.remove("f1")).unwrap();
        assert!(!file.path().exists());
    }

    #[test]
    fn a_file_that_others_can_read_is_not_used_but_can_be_forgotten() {
        let home = tempfile::tempdir().unwrap();
        let file = LoginsFile {
            path: home.path().join("credentials.json"),
        };
        file.change(|logins| logins.add("f1", login("barn", "http://a:1")))
            .unwrap();
        fs::set_permissions(file.path(), Permissions::from_mode(0o640)).unwrap();
        let error = file.read().unwrap_err().to_string();
        assert!(error.contains("other users"), "{error}");
        file.forget_all().unwrap();
        assert!(!file.path().exists());
    }

    #[test]
    fn the_last_sign_in_is_the_current_one_and_any_is_found_by_its_address() {
        let mut logins = Logins::default();
        logins.add("f1", login("barn", "http://a:1"));
        logins.add("f2", login("attic", "http://b:2"));
        assert_eq!(logins.current().unwrap().0, "f2");
        assert_eq!(logins.at(&["http://a:1".to_owned()]).unwrap().0, "f1");
        assert_eq!(logins.at(&["http://c:3".to_owned()]), None);
        for name in ["f1", "barn", "http://a:1/", "a:1"] {
            assert_eq!(logins.named(name).unwrap().0, "f1", "{name}");
        }
        logins.remove("f2");
        assert_eq!(logins.current().unwrap().0, "f1");
    }

    #[test]
    fn the_token_is_not_in_debug_output() {
        let mut logins = Logins::default();
        logins.add("f1", login("barn", "http://a:1"));
        assert!(!format!("{logins:?}").contains("very-secret"));
    }
}
