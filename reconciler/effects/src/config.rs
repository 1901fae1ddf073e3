//! What the effects need to know from their owner, and who they are towards other people's servers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::git::{self, CredentialSource, RepoUrl, Secret};
use crate::http::EgressPolicy;
use crate::infra::ToolPreference;
use crate::infra::shim::Shim;
use crate::oci;

/// Settings of [`Effects::open`](crate::Effects::open).
#[derive(Clone)]
pub struct EffectsConfig {
    /// Folder of everything that is kept between runs; made if missing, used by this process only.
    pub data_dir: PathBuf,
    /// Which hosts HTTP requests, registries and Prometheus may be on.
    pub egress: EgressPolicy,
    /// Registries, `host` or `host:port`, that are spoken to over plain HTTP.
    pub insecure_registries: BTreeSet<String>,
    /// Whether paths of this machine may be repositories.
    pub allow_local_git: bool,
    /// Which infra tool runs where a call names none.
    pub tool: ToolPreference,
    /// Key of the hashes that stand for sensitive values in semantic digests. Keep it: with
    /// another key the same plan has another digest, and approvals do not carry over.
    pub hash_key: [u8; 32],
    /// How the program that outlives this process during an apply is started.
    pub shim: Shim,
    /// Folder in which infra runs share downloaded providers.
    pub plugin_cache: Option<PathBuf>,
    /// Environment of every infra run, beside `PATH`: credentials of clouds and backends.
    pub infra_env: BTreeMap<String, String>,
    /// Who we are, by URL.
    pub credentials: Vec<Credential>,
    /// Ends everything that runs, but no apply: that goes on and is found again.
    pub shutdown: CancellationToken,
}

/// Who we are towards the servers below one URL. Of several that fit the longest prefix wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    prefix: String,
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
    /// The prefix is no URL prefix.
    #[error(
        "credential prefix {prefix:?} names no server: write `https://host/path`, \
         `ssh://user@host/path`, `user@host:path` or `oci://host/path`"
    )]
    Prefix {
        /// The text.
        prefix: String,
    },
    /// The login cannot be used with this kind of server.
    #[error("credential for {prefix:?}: {why}")]
    Unfit {
        /// The prefix.
        prefix: String,
        /// Why.
        why: &'static str,
    },
}

impl EffectsConfig {
    /// The defaults: public hosts only, no local repositories, whichever tool is installed.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>, hash_key: [u8; 32]) -> Self {
        Self {
            data_dir: data_dir.into(),
            egress: EgressPolicy::default(),
            insecure_registries: BTreeSet::new(),
            allow_local_git: false,
            tool: ToolPreference::default(),
            hash_key,
            shim: Shim::current(),
            plugin_cache: None,
            infra_env: BTreeMap::new(),
            credentials: Vec::new(),
            shutdown: CancellationToken::new(),
        }
    }
}

/// Shows no secret: neither the key nor values of the environment.
impl fmt::Debug for EffectsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EffectsConfig")
            .field("data_dir", &self.data_dir)
            .field("egress", &self.egress)
            .field("insecure_registries", &self.insecure_registries)
            .field("allow_local_git", &self.allow_local_git)
            .field("tool", &self.tool)
            .field("plugin_cache", &self.plugin_cache)
            .field("infra_env", &self.infra_env.keys())
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

impl Credential {
    /// A login for what is below `prefix`: `https://git.example.com/team` for git and Prometheus,
    /// `ssh://git@host` or `git@host:team` for git, `oci://registry.example.com/team` for images.
    ///
    /// # Errors
    /// The prefix names no server, or the login does not fit its kind.
    pub fn new(prefix: impl Into<String>, login: Login) -> Result<Self, CredentialError> {
        let given = prefix.into();
        let prefix = given.trim_end_matches('/').to_owned();
        let is_web = prefix.starts_with("https://") || prefix.starts_with("http://");
        let is_oci = prefix.starts_with("oci://");
        let is_ssh = prefix.starts_with("ssh://")
            || (!prefix.contains("://") && prefix.contains('@') && prefix.contains(':'));
        let has_host = prefix.split_once("://").is_none_or(|(_, rest)| !rest.is_empty());
        if !(is_web || is_oci || is_ssh) || !has_host || prefix.contains(char::is_whitespace) {
            return Err(CredentialError::Prefix { prefix: given });
        }
        let why = match &login {
            Login::Bearer(_) if is_oci => "registries take a user name and a password or token",
            Login::SshKey(_) if !is_ssh => "an SSH key opens ssh:// repositories only",
            Login::Basic { .. } | Login::Bearer(_) if is_ssh => "ssh takes an SSH key",
            Login::SshKey(_) | Login::Basic { .. } | Login::Bearer(_) => {
                return Ok(Self { prefix, login });
            }
        };
        Err(CredentialError::Unfit { prefix, why })
    }

    /// Whether `url` is the prefix or below it, by whole segments of its path.
    fn covers(&self, url: &str) -> bool {
        url.strip_prefix(&self.prefix).is_some_and(|rest| {
            rest.is_empty() || rest.starts_with('/') || self.prefix.ends_with([':', '/'])
        })
    }
}

/// Every login, as the rooms ask for them.
#[derive(Debug, Clone)]
pub(crate) struct Logins(Vec<Credential>);

impl Logins {
    pub(crate) fn new(mut credentials: Vec<Credential>) -> Self {
        credentials.sort_by_key(|credential| std::cmp::Reverse(credential.prefix.len()));
        Self(credentials)
    }

    fn find(&self, url: &str) -> Option<&Login> {
        self.0.iter().find(|credential| credential.covers(url)).map(|found| &found.login)
    }

    /// The logins of registries, longest prefix first.
    pub(crate) fn registries(&self) -> Vec<oci::Credentials> {
        let login = |credential: &Credential| {
            let scope = credential.prefix.strip_prefix("oci://")?;
            match &credential.login {
                Login::Basic { username, password } => {
                    Some(oci::Credentials::new(scope, username, password.expose()))
                }
                Login::Bearer(_) | Login::SshKey(_) => None,
            }
        };
        self.0.iter().filter_map(login).collect()
    }

    /// The `Authorization` header for a web server.
    pub(crate) fn authorization(&self, url: &url::Url) -> Option<String> {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        match self.find(url.as_str())? {
            Login::Basic { username, password } => {
                let pair = format!("{username}:{}", password.expose());
                Some(format!("Basic {}", STANDARD.encode(pair)))
            }
            Login::Bearer(token) => Some(format!("Bearer {}", token.expose())),
            Login::SshKey(_) => None,
        }
    }
}

#[async_trait]
impl CredentialSource for Logins {
    async fn credentials(&self, repo: &RepoUrl) -> Result<git::Credentials, String> {
        Ok(match self.find(repo.as_str()) {
            None => git::Credentials::Anonymous,
            Some(Login::Basic { username, password }) => {
                let (username, password) = (username.clone(), password.clone());
                git::Credentials::Basic { username, password }
            }
            Some(Login::Bearer(token)) => git::Credentials::Bearer(token.clone()),
            Some(Login::SshKey(file)) => git::Credentials::SshKey(file.clone()),
        })
    }
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
        assert_eq!(found, expect, "{prefix}");
    }

    #[test]
    fn prefixes_name_servers() {
        let key = || Login::SshKey("/etc/lockstep/id".into());
        check("https://git.example.com/team/", basic(), "ok");
        check("oci://registry.example.com/team", basic(), "ok");
        check("git@git.example.com:team", key(), "ok");
        check("ssh://git@git.example.com", key(), "ok");
        for bad in ["", "git.example.com", "https://", "ftp://x", "https://a b"] {
            let error = CredentialError::Prefix { prefix: bad.to_owned() };
            check(bad, basic(), &error.to_string());
        }
        check(
            "https://git.example.com",
            key(),
            "credential for \"https://git.example.com\": an SSH key opens ssh:// repositories only",
        );
        check(
            "ssh://git@git.example.com",
            basic(),
            "credential for \"ssh://git@git.example.com\": ssh takes an SSH key",
        );
    }

    #[test]
    fn a_login_is_for_whole_segments_and_the_longest_prefix_wins() {
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
