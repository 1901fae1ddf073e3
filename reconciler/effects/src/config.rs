//! What the effects need to know from their owner.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::credentials::{Credential, Holdings, NothingHeld};
use crate::http::EgressPolicy;
use crate::infra::shim::Shim;
use crate::infra::{Providers, ToolPreference};
use crate::sandbox;
use crate::states::{Kept, NoKey, Sealing};

/// What a working directory may take unless it is said: 10 GiB.
const WORK_LIMIT: u64 = 10 << 30;

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
    /// Where `kustomize` and `helm` are looked for: directories as in a `PATH`.
    pub search_path: OsString,
    /// Key of the hashes that stand for sensitive values in semantic digests. Keep it: with
    /// another key the same plan has another digest, and approvals do not carry over.
    pub hash_key: [u8; 32],
    /// How the program that outlives this process during an apply is started.
    pub shim: Shim,
    /// Bytes that one working directory may take.
    pub work_limit: u64,
    /// How programs that are not trusted are contained: by starting the program of `shim` once more.
    pub sandbox: sandbox::Settings,
    /// Folder in which infra runs share downloaded providers.
    pub plugin_cache: Option<PathBuf>,
    /// Which providers infra modules may use; absent: as their tool is used to.
    pub providers: Option<Providers>,
    /// Environment of every infra run, beside `PATH`: credentials of clouds and backends.
    pub infra_env: BTreeMap<String, String>,
    /// Who we are, by address, in every project that has no credential of its own there.
    pub credentials: Vec<Credential>,
    /// What projects hold themselves.
    pub holdings: Arc<dyn Holdings>,
    /// Seals the versions of embedded states.
    pub sealing: Arc<dyn Sealing>,
    /// How much is kept of each embedded state.
    pub states: Kept,
    /// Ends everything that runs, but no apply: that goes on and is found again.
    pub shutdown: CancellationToken,
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
            search_path: std::env::var_os("PATH").unwrap_or_default(),
            hash_key,
            shim: Shim::current(),
            work_limit: WORK_LIMIT,
            sandbox: sandbox::Settings::default(),
            plugin_cache: None,
            providers: None,
            infra_env: BTreeMap::new(),
            credentials: Vec::new(),
            holdings: Arc::new(NothingHeld),
            sealing: Arc::new(NoKey),
            states: Kept::default(),
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
            .field("search_path", &self.search_path)
            .field("work_limit", &self.work_limit)
            .field("sandbox", &self.sandbox)
            .field("plugin_cache", &self.plugin_cache)
            .field("providers", &self.providers)
            .field("infra_env", &self.infra_env.keys())
            .field("credentials", &self.credentials)
            .field("states", &self.states)
            .finish_non_exhaustive()
    }
}
