//! Which nodes a command talks to, and what it signs in with. In this order: what was named,
//! this machine's node, the saved sign-in.

use std::fmt;
use std::path::{Path, PathBuf};

use super::CliError;
use super::args::ClientOptions;
use super::endpoint::Endpoint;
use super::logins::{Login, Logins, LoginsFile};
use super::peers;

/// Whose the things are that a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The farm's: a node's operator will do.
    Anybodys,
    /// This machine's: a saved sign-in is at some farm, and knows nothing of it.
    Machines,
    /// An account's own: an operator has none, so that a saved sign-in goes before it.
    Accounts,
}

/// Where to, and as whom.
#[derive(Debug)]
pub struct Target {
    pub urls: Vec<String>,
    pub token: Option<String>,
    pub by: SignedInBy,
    pub addresses: AddressBook,
    /// Whose certificates are believed too, as PEM.
    pub ca: Option<String>,
}

/// What a command signs in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedInBy {
    Nothing,
    /// `--token` or `JIGGABLEND_TOKEN`.
    Named,
    /// A token that is to be kept, if it is good.
    Brought,
    /// The operator's token of a node, in this file.
    Operator(PathBuf),
    /// A saved sign-in.
    Saved {
        user: String,
        farm_name: String,
        url: String,
    },
}

/// Where the farm's addresses are kept for the next use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressBook {
    Nowhere,
    /// Of this machine's node.
    Cache(PathBuf),
    /// In the saved sign-in at this farm.
    Login {
        file: LoginsFile,
        farm: String,
    },
}

impl Target {
    /// The target of a command with these options.
    pub fn of(options: &ClientOptions, whose: Whose) -> Result<Self, CliError> {
        if !options.urls.is_empty() {
            let urls = named_urls(&options.urls)?;
            return match &options.token {
                Some(token) => Ok(Self::named(urls, Some(token.clone()))),
                None => Self::at_urls(urls),
            };
        }
        let data_dir = options.data.path();
        let node = || -> Result<Option<Self>, CliError> {
            let endpoint = Endpoint::read(&data_dir)?;
            Ok(endpoint.map(|endpoint| Self::of_node(endpoint, &data_dir)))
        };
        let was_named = options.data.given.is_some();
        // One looks no further than needed: a file that is not used may be damaged.
        let target = match whose {
            Whose::Machines => node()?,
            // What was named is meant, whatever is saved.
            _ if was_named => node()?,
            Whose::Accounts => match Self::saved()? {
                None => node()?,
                saved => saved,
            },
            Whose::Anybodys => match node()? {
                None => Self::saved()?,
                node => node,
            },
        };
        let target = target.ok_or_else(|| match was_named || whose == Whose::Machines {
            true => CliError::NoNodeIn {
                dir: data_dir.clone(),
                was_named,
            },
            false => CliError::NoEndpoint(Endpoint::path(&data_dir)),
        })?;
        Ok(match &options.token {
            None => target,
            Some(token) => Self {
                token: Some(token.clone()),
                by: SignedInBy::Named,
                ..target
            },
        })
    }

    /// Only these nodes, with this token or none.
    pub fn named(urls: Vec<String>, token: Option<String>) -> Self {
        Self {
            by: match token {
                Some(_) => SignedInBy::Named,
                None => SignedInBy::Nothing,
            },
            urls,
            token,
            addresses: AddressBook::Nowhere,
            ca: None,
        }
    }

    /// A saved sign-in at its farm.
    pub fn of_login(file: LoginsFile, farm: &str, login: &Login) -> Self {
        Self {
            urls: vec![login.url.clone()],
            token: Some(login.token.clone()),
            by: SignedInBy::Saved {
                user: login.user.clone(),
                farm_name: login.farm_name.clone(),
                url: login.url.clone(),
            },
            addresses: AddressBook::Login {
                file,
                farm: farm.to_owned(),
            },
            ca: login.ca.clone(),
        }
    }

    /// The nodes that were named; where one is a farm's of a saved sign-in, with that.
    fn at_urls(urls: Vec<String>) -> Result<Self, CliError> {
        let Some(file) = LoginsFile::of_this_user() else {
            return Ok(Self::named(urls, None));
        };
        let logins = file.read()?;
        Ok(match logins.at(&urls) {
            None => Self::named(urls, None),
            Some((farm, login)) => Self {
                urls,
                ..Self::of_login(file, farm, login)
            },
        })
    }

    fn saved() -> Result<Option<Self>, CliError> {
        let Some(file) = LoginsFile::of_this_user() else {
            return Ok(None);
        };
        let logins: Logins = file.read()?;
        let current = logins.current();
        Ok(current.map(|(farm, login)| Self::of_login(file, farm, login)))
    }

    fn of_node(endpoint: Endpoint, data_dir: &Path) -> Self {
        Self {
            by: SignedInBy::Operator(Endpoint::path(data_dir)),
            urls: vec![endpoint.url],
            token: Some(endpoint.token),
            addresses: AddressBook::Cache(data_dir.join("peers.json")),
            ca: None,
        }
    }
}

impl AddressBook {
    /// What the last use of the farm left.
    pub fn read(&self) -> Vec<String> {
        match self {
            Self::Cache(path) => peers::read_cache(path),
            Self::Nowhere => Vec::new(),
            Self::Login { file, farm } => {
                let logins = file.read().unwrap_or_default();
                logins
                    .get(farm)
                    .map(|login| login.nodes.clone())
                    .unwrap_or_default()
            }
        }
    }

    /// Keeps them. That it fails is no error: the next use learns them again.
    pub fn write(&self, urls: &[String]) {
        match self {
            Self::Nowhere => {}
            Self::Cache(path) => peers::write_cache(path, urls),
            Self::Login { file, farm } => {
                let is_new = |login: &Login| login.nodes != urls;
                let logins = file.read().unwrap_or_default();
                if logins.get(farm).is_some_and(is_new) {
                    let _ = file.change(|logins| logins.set_nodes(farm, urls));
                }
            }
        }
    }
}

impl SignedInBy {
    /// What to do where the farm does not know who calls.
    pub fn advice(&self) -> String {
        match self {
            Self::Nothing => {
                "sign in with `jiggablend login URL`, or name a token with --token or JIGGABLEND_TOKEN".to_owned()
            }
            Self::Named => "the token of --token or JIGGABLEND_TOKEN is wrong, was revoked or has expired; take another, or sign in with `jiggablend login URL`".to_owned(),
            Self::Brought => "the farm does not know this token: it is wrong or another farm's, was revoked or has expired; give `jiggablend login --with-token` one that is good".to_owned(),
            Self::Operator(path) => format!(
                "the farm does not know the node's token in {}; start the node again, or sign in with `jiggablend login URL` and name a node with --url",
                path.display()
            ),
            Self::Saved { url, .. } => {
                format!("{self} is over; sign in again with `jiggablend login {url}`")
            }
        }
    }
}

/// For people: `the saved sign-in of ada@example.org at the farm barn`.
impl fmt::Display for SignedInBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Named => f.write_str("the token of --token or JIGGABLEND_TOKEN"),
            Self::Brought => f.write_str("the token that is to be kept"),
            Self::Operator(path) => write!(f, "the operator's token in {}", path.display()),
            Self::Saved {
                user, farm_name, ..
            } => write!(f, "the saved sign-in of {user} at the farm {farm_name}"),
        }
    }
}

fn named_urls(urls: &[String]) -> Result<Vec<String>, CliError> {
    urls.iter().map(|url| named_url(url)).collect()
}

/// A web address that somebody typed.
pub fn named_url(url: &str) -> Result<String, CliError> {
    peers::normalise(url).ok_or_else(|| {
        CliError::Usage(format!(
            "'{url}' is no web address; write for example http://127.0.0.1:8080"
        ))
    })
}
