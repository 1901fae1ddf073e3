//! Configuration: command line and environment, and a file for what is secret or long.
//!
//! Everything is parsed into checked types before anything starts; unknown keys are refused.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Component, Path, PathBuf};

use clap::Args;
use reconciler_effects::git::Secret;
use reconciler_effects::http::{EgressPolicy, HostRule};
use reconciler_effects::infra::{Providers, ToolPreference};
use reconciler_effects::sandbox::{Mode, Reach, Settings};
use reconciler_effects::states::Kept;
use reconciler_effects::{Credential, Login};
use serde::Deserialize;

use crate::secrets::AllowedSources;
use crate::worker::LookLimits;

/// What `lockstepd serve` can be told.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Directory for everything that must survive: database, mirrors, embedded states, plans.
    #[arg(long, env = "LOCKSTEPD_DATA_DIR", default_value = "/var/lib/lockstep")]
    pub data_dir: PathBuf,
    /// Address of the API. It is plain HTTP: put TLS in front of it where others can listen.
    #[arg(long, env = "LOCKSTEPD_LISTEN", default_value = "127.0.0.1:7480")]
    pub listen: SocketAddr,
    /// File with credentials and limits, TOML.
    #[arg(long, env = "LOCKSTEPD_CONFIG")]
    pub config: Option<PathBuf>,
    /// Tool for infra: `auto` (tofu where it is installed, else terraform), `tofu`, `terraform`
    /// or a path.
    #[arg(long, env = "LOCKSTEPD_INFRA_TOOL", default_value = "auto")]
    pub infra_tool: String,
    /// Let sources, steps and checks reach loopback and private addresses.
    #[arg(long, env = "LOCKSTEPD_ALLOW_PRIVATE")]
    pub allow_private: bool,
}

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Registries that are asked over plain HTTP, `host[:port]`.
    #[serde(default)]
    insecure_registries: BTreeSet<String>,
    /// Hosts that may be reached although their addresses are private.
    #[serde(default)]
    private_hosts: Vec<String>,
    /// The only hosts that may be reached; empty: every public one.
    #[serde(default)]
    allowed_hosts: Vec<String>,
    /// Environment of every infra run.
    #[serde(default)]
    infra_env: BTreeMap<String, String>,
    /// Most that one working directory may take, in MiB.
    #[serde(default)]
    work_limit_mib: Option<NonZeroU32>,
    /// Directory of a shared plugin cache.
    #[serde(default)]
    plugin_cache: Option<PathBuf>,
    /// Which providers infra modules may use, and where they come from.
    #[serde(default)]
    infra_providers: Option<ProvidersEntry>,
    /// File with the keys that seal the secrets of projects.
    #[serde(default)]
    secret_key_file: Option<PathBuf>,
    /// Directories from whose files projects may have secrets read.
    #[serde(default)]
    secret_dirs: Vec<PathBuf>,
    /// Environment variables that projects may have read.
    #[serde(default)]
    secret_variables: BTreeSet<String>,
    /// How programs that are not trusted are contained.
    #[serde(default)]
    sandbox: SandboxEntry,
    /// What is kept of embedded states.
    #[serde(default)]
    states: StatesEntry,
    /// How many looks at drift there may be.
    #[serde(default)]
    drift: DriftEntry,
    /// Credentials by URL prefix; the longest prefix wins.
    #[serde(default, rename = "credential")]
    credentials: Vec<CredentialEntry>,
}

/// How many looks at drift there may be, over all projects.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DriftEntry {
    /// At once.
    #[serde(default)]
    at_once: Option<NonZeroU32>,
    /// Begun in an hour.
    #[serde(default)]
    per_hour: Option<NonZeroU32>,
}

/// How programs are contained.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SandboxEntry {
    /// Whether they have to be: `required`, `preferred`, `off`.
    #[serde(default)]
    mode: Mode,
    /// Files and directories that they may read, beside those of the system.
    #[serde(default)]
    read: Vec<PathBuf>,
    /// What of the machine infra runs may change, beside their own directories.
    #[serde(default)]
    write: Vec<PathBuf>,
    /// Whether a step may ask for the network of the machine.
    #[serde(default)]
    host_network: bool,
    /// What infra runs may reach: `none`, `egress`, `host`.
    #[serde(default)]
    infra_network: Reach,
}

/// Providers of infra modules.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProvidersEntry {
    /// `NAMESPACE/TYPE` or `HOST/NAMESPACE/TYPE`, with `*` for any; left out: all.
    #[serde(default)]
    allow: Option<Vec<String>>,
    /// A filesystem mirror.
    #[serde(default)]
    mirror: Option<PathBuf>,
    /// Whether they may come from their registries; left out: where there is no mirror.
    #[serde(default)]
    registries: Option<bool>,
}

/// What is kept of embedded states.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StatesEntry {
    /// Versions of each.
    #[serde(default)]
    versions: Option<NonZeroU32>,
    /// Most that the versions of one may take, in MiB.
    #[serde(default)]
    versions_limit_mib: Option<NonZeroU32>,
    /// Most that one may take, in MiB.
    #[serde(default)]
    state_limit_mib: Option<NonZeroU32>,
    /// Whose members may read and write what is in states.
    #[serde(default)]
    groups: BTreeSet<String>,
}

/// One credential; its secret is read from a file or a variable, never written here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialEntry {
    /// `https://git.example.com/team`, `oci://registry.example.com/team`, `ssh://git@host`.
    prefix: String,
    /// For basic authentication.
    username: Option<String>,
    /// File with the password or token.
    secret_file: Option<PathBuf>,
    /// Environment variable with the password or token.
    secret_env: Option<String>,
    /// Private key for SSH.
    ssh_key: Option<PathBuf>,
}

/// The checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Directory for everything that must survive.
    pub data_dir: PathBuf,
    /// Address of the API.
    pub listen: SocketAddr,
    /// Registries that are asked over plain HTTP.
    pub insecure_registries: BTreeSet<String>,
    /// What may be reached.
    pub egress: EgressPolicy,
    /// Tool for infra.
    pub tool: ToolPreference,
    /// Environment of every infra run.
    pub infra_env: BTreeMap<String, String>,
    /// Most bytes that one working directory may take; absent: what the effects take for usual.
    pub work_limit: Option<u64>,
    /// Directory of a shared plugin cache.
    pub plugin_cache: Option<PathBuf>,
    /// Which providers infra modules may use, and where they come from; absent: as their tool is used to.
    pub providers: Option<Providers>,
    /// File with the keys that seal secrets; absent: in the data directory.
    pub secret_key_file: Option<PathBuf>,
    /// What projects may have secrets read from.
    pub secret_sources: AllowedSources,
    /// How programs that are not trusted are contained.
    pub sandbox: Settings,
    /// What is kept of embedded states.
    pub states: Kept,
    /// Whose members may read and write what is in embedded states, beside administrators.
    pub state_groups: BTreeSet<String>,
    /// How many looks at drift there may be.
    pub looks: LookLimits,
    /// Credentials by URL prefix.
    pub credentials: Vec<Credential>,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file does not parse.
    #[error("the configuration file {path} is not valid: {message}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What and where.
        message: String,
    },
    /// A value cannot be used.
    #[error("{place}: {message}")]
    Invalid {
        /// The option or key.
        place: String,
        /// What is wrong.
        message: String,
    },
}

impl Config {
    /// Checks the options and reads the file that they name.
    ///
    /// # Errors
    /// A file that cannot be read or does not parse, a value that cannot be used.
    pub fn load(options: &Options) -> Result<Self, ConfigError> {
        let file = match &options.config {
            Some(path) => read(path)?,
            None => File::default(),
        };
        let tool = options.infra_tool.parse().map_err(|error| invalid("--infra-tool", error))?;
        let egress = EgressPolicy {
            allow_private: options.allow_private,
            private: host_rules("private_hosts", &file.private_hosts)?,
            only: host_rules("allowed_hosts", &file.allowed_hosts)?,
        };
        if let Some(dir) = file.secret_dirs.iter().find(|dir| !is_narrow(dir)) {
            let message =
                format!("{} is no directory of its own: write a whole path", dir.display());
            return Err(invalid("secret_dirs", message));
        }
        if file.secret_variables.contains("*") {
            return Err(invalid("secret_variables", "name variables, or begin them: SHOP_*"));
        }
        let providers = file.infra_providers.map(|entry| providers(entry, &file.infra_env));
        let secret_sources =
            AllowedSources { dirs: file.secret_dirs, variables: file.secret_variables };
        let credentials = file.credentials.into_iter().map(credential);
        Ok(Self {
            data_dir: options.data_dir.clone(),
            listen: options.listen,
            insecure_registries: file.insecure_registries,
            egress,
            tool,
            infra_env: file.infra_env,
            work_limit: file.work_limit_mib.map(|limit| u64::from(limit.get()) << 20),
            plugin_cache: file.plugin_cache,
            providers: providers.transpose()?,
            secret_key_file: file.secret_key_file,
            secret_sources,
            sandbox: sandbox(file.sandbox)?,
            states: kept(&file.states),
            state_groups: file.states.groups,
            looks: looks(&file.drift),
            credentials: credentials.collect::<Result<_, _>>()?,
        })
    }
}

/// Whether a path is absolute, plain, and not the root of everything.
fn is_narrow(dir: &Path) -> bool {
    let plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
    dir.is_absolute() && dir.parent().is_some() && dir.components().all(plain)
}

fn providers(
    entry: ProvidersEntry,
    env: &BTreeMap<String, String>,
) -> Result<Providers, ConfigError> {
    let ProvidersEntry { allow, mirror, registries } = entry;
    let elsewhere = ["TF_CLI_CONFIG_FILE", "TF_REATTACH_PROVIDERS"];
    if let Some(name) = elsewhere.iter().find(|name| env.contains_key(**name)) {
        let message =
            format!("{name} of [infra_env] says where providers come from, too: give one of them");
        return Err(invalid("infra_providers", message));
    }
    if allow.as_ref().is_some_and(Vec::is_empty) {
        let message = "no provider at all: leave it out to allow all, or name some";
        return Err(invalid("infra_providers.allow", message));
    }
    if let Some(mirror) = mirror.as_ref().filter(|mirror| !is_narrow(mirror)) {
        let message = format!("{} is no place of its own: write a whole path", mirror.display());
        return Err(invalid("infra_providers.mirror", message));
    }
    let written = mirror.as_ref().map(|mirror| mirror.to_string_lossy());
    if written.is_some_and(|path| path.contains("${") || path.contains(char::is_control)) {
        let message = "its configuration has no way to write this path for the tool";
        return Err(invalid("infra_providers.mirror", message));
    }
    let registries = registries.unwrap_or(mirror.is_none());
    if mirror.is_none() && !registries {
        let message = "without a mirror and without registries there are no providers";
        return Err(invalid("infra_providers.registries", message));
    }
    let patterns = allow
        .unwrap_or_default()
        .into_iter()
        .map(|text| text.parse().map_err(|error| invalid("infra_providers.allow", error)));
    Ok(Providers { allow: patterns.collect::<Result<_, _>>()?, mirror, registries })
}

fn sandbox(entry: SandboxEntry) -> Result<Settings, ConfigError> {
    for (key, paths) in [("sandbox.read", &entry.read), ("sandbox.write", &entry.write)] {
        if let Some(path) = paths.iter().find(|path| !is_narrow(path)) {
            let message = format!("{} is no place of its own: write a whole path", path.display());
            return Err(invalid(key, message));
        }
    }
    let SandboxEntry { mode, read, write, host_network, infra_network } = entry;
    Ok(Settings { mode, read, write, host_network, infra_network })
}

fn looks(entry: &DriftEntry) -> LookLimits {
    let usual = LookLimits::default();
    LookLimits {
        at_once: entry.at_once.map_or(usual.at_once, NonZeroU32::get),
        per_hour: entry.per_hour.map_or(usual.per_hour, NonZeroU32::get),
    }
}

fn kept(entry: &StatesEntry) -> Kept {
    let usual = Kept::default();
    let mib = |limit: Option<NonZeroU32>, usual| {
        limit.map_or(usual, |limit| u64::from(limit.get()) << 20)
    };
    Kept {
        versions: entry.versions.map_or(usual.versions, |count| count.get() as usize),
        bytes: mib(entry.versions_limit_mib, usual.bytes),
        state_bytes: mib(entry.state_limit_mib, usual.state_bytes),
    }
}

fn read(path: &Path) -> Result<File, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    toml::from_str(&text).map_err(|error| ConfigError::Malformed {
        path: path.to_owned(),
        message: error.to_string(),
    })
}

fn host_rules(key: &str, hosts: &[String]) -> Result<Vec<HostRule>, ConfigError> {
    let rules = hosts.iter().map(|host| host.parse().map_err(|error| invalid(key, error)));
    rules.collect()
}

fn credential(entry: CredentialEntry) -> Result<Credential, ConfigError> {
    let place = format!("credential {}", entry.prefix);
    let login = match (&entry.ssh_key, secret(&entry, &place)?) {
        (Some(key), None) => Login::SshKey(key.clone()),
        (None, Some(secret)) => match entry.username {
            Some(username) => Login::Basic { username, password: secret },
            None => Login::Bearer(secret),
        },
        (Some(_), Some(_)) | (None, None) => {
            return Err(invalid(&place, "give one of secret_file, secret_env and ssh_key"));
        }
    };
    Credential::new(&entry.prefix, login).map_err(|error| invalid(&place, error))
}

fn secret(entry: &CredentialEntry, place: &str) -> Result<Option<Secret>, ConfigError> {
    let text = match (&entry.secret_file, &entry.secret_env) {
        (Some(path), None) => {
            let read = std::fs::read_to_string(path);
            read.map_err(|error| invalid(place, format!("{}: {error}", path.display())))?
        }
        (None, Some(name)) => {
            let read = std::env::var(name);
            read.map_err(|error| invalid(place, format!("variable {name}: {error}")))?
        }
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(invalid(place, "give secret_file or secret_env, not both"));
        }
    };
    Ok(Some(Secret::new(text.trim().to_owned())))
}

fn invalid(place: &str, message: impl std::fmt::Display) -> ConfigError {
    ConfigError::Invalid { place: place.to_owned(), message: message.to_string() }
}
