//! Who we are towards other people's servers: what the owner configured for all projects, and what
//! each project holds.
//!
//! A project's own credential comes first, then the configured one; of several the most exact
//! address is meant. A credential is sent to its address and below, and nowhere else: redirects to
//! other servers go without it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use reconciler_domain::credential::{Address, CredentialKind, Scheme};
use reconciler_domain::id::{CredentialName, ProjectName};

use crate::git::{self, KeyFile, RepoUrl, Secret};
use crate::oci::{self, ImageRepo};

/// Who we are towards the servers below one address, in every project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    address: Address,
    login: Login,
}

/// How we prove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// A name and a password or token.
    Basic {
        /// The name.
        username: String,
        /// The password or token.
        password: Secret,
    },
    /// A token.
    Bearer(Secret),
    /// An SSH private key's file.
    SshKey(PathBuf),
}

/// Why a credential cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The prefix is no address.
    #[error("credential prefix: {0}")]
    Prefix(#[from] reconciler_domain::credential::AddressError),
    /// The login cannot be used with this kind of server.
    #[error("credential for {address}: {why}")]
    Unfit {
        /// The address.
        address: Address,
        /// Why.
        why: &'static str,
    },
}

/// Opens what projects hold. It is asked at each use, so that what was changed is used at once.
#[async_trait]
pub trait Holdings: Send + Sync {
    /// Every credential of a project.
    ///
    /// # Errors
    /// Why nothing can be said now, without a secret.
    async fn of(&self, project: &ProjectName) -> Result<Vec<Held>, String>;
}

/// A credential of a project, opened.
#[derive(Debug, Clone)]
pub struct Held {
    /// Its name.
    pub name: CredentialName,
    /// What it is used for.
    pub kind: CredentialKind,
    /// Where it is used; absent: only by name.
    pub address: Option<Address>,
    /// The user name that goes with a password.
    pub username: Option<String>,
    /// The secrets by key, or why one cannot be had.
    pub secrets: BTreeMap<String, Result<Secret, String>>,
}

/// Projects without credentials of their own.
#[derive(Debug, Clone, Copy, Default)]
pub struct NothingHeld;

#[async_trait]
impl Holdings for NothingHeld {
    async fn of(&self, _: &ProjectName) -> Result<Vec<Held>, String> {
        Ok(Vec::new())
    }
}

impl Credential {
    /// A login for what is below `prefix`: `https://git.example.com/team` for git and Prometheus,
    /// `ssh://git@host` or `git@host:team` for git, `oci://registry.example.com/team` for images.
    ///
    /// # Errors
    /// The prefix is no address, or the login does not fit its kind.
    pub fn new(prefix: &str, login: Login) -> Result<Self, CredentialError> {
        let address: Address = prefix.parse()?;
        let why = match (&login, address.scheme()) {
            (Login::Bearer(_), Scheme::Oci) => {
                "registries take a user name and a password or token"
            }
            (Login::SshKey(_), Scheme::Https | Scheme::Http | Scheme::Oci) => {
                "an SSH key opens ssh:// repositories only"
            }
            (Login::Basic { .. } | Login::Bearer(_), Scheme::Ssh) => "ssh takes an SSH key",
            (Login::SshKey(_), Scheme::Ssh)
            | (Login::Basic { .. }, Scheme::Https | Scheme::Http | Scheme::Oci)
            | (Login::Bearer(_), Scheme::Https | Scheme::Http) => {
                return Ok(Self { address, login });
            }
        };
        Err(CredentialError::Unfit { address, why })
    }
}

/// The configured logins.
#[derive(Debug, Clone)]
pub(crate) struct Logins(Vec<Credential>);

impl Logins {
    pub(crate) fn new(mut credentials: Vec<Credential>) -> Self {
        credentials.sort_by_key(|credential| std::cmp::Reverse(credential.address.length()));
        Self(credentials)
    }

    /// The login for an address.
    pub(crate) fn find(&self, target: &str) -> Option<&Login> {
        self.0.iter().find(|credential| credential.address.covers(target)).map(|found| &found.login)
    }

    /// The secrets, to be kept out of what is told.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.0.iter().filter_map(|credential| match &credential.login {
            Login::Basic { password: secret, .. } | Login::Bearer(secret) => Some(secret),
            Login::SshKey(_) => None,
        })
    }
}

impl Login {
    /// As git asks for it.
    pub(crate) fn for_git(&self) -> git::Credentials {
        match self {
            Self::Basic { username, password } => {
                let (username, password) = (username.clone(), password.clone());
                git::Credentials::Basic { username, password }
            }
            Self::Bearer(token) => git::Credentials::Bearer(token.clone()),
            Self::SshKey(file) => git::Credentials::SshKey(KeyFile::of(file)),
        }
    }

    /// As registries ask for it: for one repository.
    pub(crate) fn for_image(&self, repo: &ImageRepo) -> Option<oci::Credentials> {
        match self {
            Self::Basic { username, password } => {
                let scope = format!("{}/{}", repo.host(), repo.path());
                Some(oci::Credentials::new(&scope, username, password.expose()))
            }
            Self::Bearer(_) | Self::SshKey(_) => None,
        }
    }

    /// The `Authorization` header for a forge: where git takes a token as the password of anybody, the
    /// forge's interface takes it alone.
    pub(crate) fn for_forge(&self) -> Option<String> {
        match self {
            Self::Basic { password: token, .. } | Self::Bearer(token) => {
                Some(format!("Bearer {}", token.expose()))
            }
            Self::SshKey(_) => None,
        }
    }

    /// The `Authorization` header for a web server.
    pub(crate) fn for_web(&self) -> Option<String> {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        match self {
            Self::Basic { username, password } => {
                let pair = format!("{username}:{}", password.expose());
                Some(format!("Basic {}", STANDARD.encode(pair)))
            }
            Self::Bearer(token) => Some(format!("Bearer {}", token.expose())),
            Self::SshKey(_) => None,
        }
    }
}

/// A repository as addresses are compared.
pub(crate) fn git_target(repo: &RepoUrl) -> &str {
    repo.as_str()
}

/// A repository of images as addresses are compared.
pub(crate) fn image_target(repo: &ImageRepo) -> String {
    format!("oci://{}/{}", repo.host(), repo.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic() -> Login {
        Login::Basic { username: "ci".to_owned(), password: Secret::new("hunter2") }
    }

    fn check(prefix: &str, login: Login, expect: &str) {
        let found = match Credential::new(prefix, login) {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(found.starts_with(expect), "{prefix}: {found}");
    }

    #[test]
    fn prefixes_name_servers() {
        let key = || Login::SshKey("/etc/lockstep/id".into());
        check("https://git.example.com/team/", basic(), "ok");
        check("oci://registry.example.com/team", basic(), "ok");
        check("git@git.example.com:team", key(), "ok");
        check("ssh://git@git.example.com", key(), "ok");
        for bad in ["", "git.example.com", "https://", "ftp://x", "https://a b"] {
            check(bad, basic(), &format!("credential prefix: {bad:?} names no server"));
        }
        check(
            "https://git.example.com",
            key(),
            "credential for https://git.example.com: an SSH key opens ssh:// repositories only",
        );
        check(
            "ssh://git@git.example.com",
            basic(),
            "credential for ssh://git@git.example.com: ssh takes an SSH key",
        );
    }

    #[test]
    fn the_most_exact_address_wins() {
        let login = |prefix, user: &str| {
            let login = Login::Basic { username: user.to_owned(), password: Secret::new("p") };
            Credential::new(prefix, login).expect("a good prefix")
        };
        let logins = Logins::new(vec![
            login("https://git.example.com", "all"),
            login("https://git.example.com/team", "team"),
        ]);
        let who = |url: &str| match logins.find(url) {
            Some(Login::Basic { username, .. }) => Some(username.clone()),
            _ => None,
        };
        assert_eq!(who("https://git.example.com/team/app.git").as_deref(), Some("team"));
        assert_eq!(who("https://git.example.com/teammate/app").as_deref(), Some("all"));
        assert_eq!(who("https://git.example.com").as_deref(), Some("all"));
        assert_eq!(who("https://git.example.com.evil.example/app"), None);
        assert_eq!(who("http://git.example.com/team"), None);
        assert!(!format!("{logins:?}").contains("\"p\""));
    }
}
