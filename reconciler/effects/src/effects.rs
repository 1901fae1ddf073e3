//! The door: what the daemon calls.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use reconciler_domain::drift::{Basis, Found};
use reconciler_domain::id::{ProjectName, PromotionId, StageName, StepName};
use reconciler_domain::inquiry::Inquiry;
use reconciler_domain::plan::Base;
use reconciler_domain::step::{Asks, Call, Record, Seen, StepOutcome};
use reconciler_domain::verification::{FrozenCheck, Measurement};
use reconciler_domain::warehouse::{Discovery, Source};
use tokio_util::sync::CancellationToken;

use crate::config::EffectsConfig;
use crate::credentials::{Holdings, Logins};
use crate::git::{Git, GitConfig, GitError};
use crate::http::{EgressPolicy, HttpClient, HttpError};
use crate::infra::shim::Shim;
use crate::infra::{Providers, Tool, ToolError, ToolKind, ToolPreference};
use crate::inquiries::{self, Heard};
use crate::layout::Layout;
use crate::sandbox::{Sandbox, Settings};
use crate::scoped::Scoped;
use crate::sources::{self, Registries, Tips};
use crate::states::{Sealing, States};
use crate::steps::{self, Halted, LookDir, RunContext};
use crate::workdir::WorkdirError;
use crate::{checks, clean, fault};

/// Carries out what was decided. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Effects {
    inner: Arc<Inner>,
    /// Ends what is carried out through this handle.
    cancel: CancellationToken,
}

struct Inner {
    config: EffectsConfig,
    layout: Layout,
    states: States,
    logins: Arc<Logins>,
    git: Git,
    http: HttpClient,
    registries: Registries,
    tips: Tips,
    sandbox: Sandbox,
    tools: tokio::sync::Mutex<HashMap<Option<String>, Tool>>,
}

/// Why the effects cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data directory cannot be used.
    #[error("data directory `{path}` cannot be used")]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
    /// Git cannot be set up.
    #[error("git cannot be set up")]
    Git(#[from] GitError),
    /// The embedded states cannot be used.
    #[error("the embedded states cannot be used")]
    States(#[from] WorkdirError),
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Http(#[from] HttpError),
}

impl Effects {
    /// Opens the data directory and the clients. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(config: EffectsConfig) -> Result<Self, OpenError> {
        let layout = Layout::open(&config.data_dir)
            .map_err(|source| OpenError::DataDir { path: config.data_dir.clone(), source })?;
        let states = States::open(&config.data_dir, config.sealing.clone(), config.states)?;
        let logins = Arc::new(Logins::new(config.credentials.clone()));
        let git = Git::open(GitConfig {
            allow_local: config.allow_local_git,
            egress: config.egress.clone(),
            shutdown: config.shutdown.clone(),
            ..GitConfig::new(layout.mirrors())
        })?;
        let http = HttpClient::new(config.egress.clone())?;
        let registries = Registries::new(&config)?;
        let (tips, tools) = (Tips::default(), tokio::sync::Mutex::default());
        let cancel = config.shutdown.clone();
        let sandbox = Sandbox::new(config.sandbox.mode, &config.shim.program);
        let inner =
            Inner { config, layout, states, logins, git, http, registries, tips, sandbox, tools };
        Ok(Self { inner: Arc::new(inner), cancel })
    }

    /// Carries out one call of a promotion. `rebuild` are the local calls, in order, that fill its
    /// working directory; they are carried out again if it does not hold exactly their results.
    ///
    /// The call may be repeated after a crash at any point: it has its effect once. Dropping the
    /// future breaks it off like a crash; an apply goes on and is found by the next call.
    ///
    /// One call at a time for one promotion; promotions are independent of each other.
    ///
    /// `interrupt` asks for the end of the call: its processes are ended, its connections closed.
    /// An apply is asked to end as its tool does (an interrupt through the shim), and its own end
    /// is the outcome.
    ///
    /// # Errors
    /// [`Halted`]: it was broken off, and nothing is known of it.
    pub async fn run(
        &self,
        cx: &RunContext,
        step: &StepName,
        call: &Call,
        rebuild: &[(StepName, Call)],
        interrupt: &CancellationToken,
    ) -> Result<StepOutcome, Halted> {
        // What it was to ask about is as open as before.
        let asks = matches!(call, Call::Http(http) if http.asks != Asks::No);
        let seen = if asks { Seen::Perhaps } else { Seen::Unsaid };
        let failed = |message, retry| {
            let (retry_after, record) = (None, Record::None);
            Ok(StepOutcome::Failed { message, retry, retry_after, record, seen })
        };
        match fault::held(Scoped::open(self, &cx.project)).await {
            Ok(Ok(scoped)) => steps::run(&scoped, cx, step, call, rebuild, interrupt).await,
            Ok(Err(message)) => failed(message, true),
            // Nobody knows the secrets that it may have said.
            Err(_) => failed(fault::told("what the project holds could not be opened"), false),
        }
    }

    /// A handle whose work ends with this token, too.
    pub(crate) fn until(&self, cancel: CancellationToken) -> Self {
        Self { inner: Arc::clone(&self.inner), cancel }
    }

    /// Says of each base that moved how it did.
    ///
    /// # Errors
    /// A base could not be looked at: what happened, where, and what to do.
    pub async fn probe(&self, cx: &RunContext, bases: &[Base]) -> Result<Vec<String>, String> {
        let scoped = Scoped::open(self, &cx.project).await?;
        let moved = fault::held(steps::probe(&scoped, cx, bases)).await;
        moved.unwrap_or_else(|said| Err(scoped.clean(&fault::told(&said))))
    }

    /// Makes the directory of a look at the infra of a stage, empty.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn look_dir(&self, project: &ProjectName, stage: &StageName) -> Result<LookDir, String> {
        let dir = self.inner.layout.look(project, stage);
        let made = LookDir::make(&dir);
        made.map_err(|error| format!("the directory {} cannot be made: {error}", dir.display()))
    }

    /// Looks whether an infra state of a stage is as its last apply left it. Changes nothing and locks nothing; where
    /// it cannot be told it is unknown, with the reason. Dropping the future ends it. One at a time in one directory.
    pub async fn look_for_drift(
        &self,
        project: &ProjectName,
        stage: &StageName,
        dir: &LookDir,
        basis: &Basis,
        now: Timestamp,
    ) -> Found {
        match fault::held(Scoped::open(self, project)).await {
            Ok(Ok(scoped)) => steps::look(&scoped, (project, stage), dir, basis, now).await,
            Ok(Err(why)) => Found::unknown(why),
            // Nobody knows the secrets that it may have said.
            Err(_) => Found::unknown(fault::told("what the project holds could not be opened")),
        }
    }

    /// Looks at a source of a project. When that fails the versions of `previous` stay and the error is inside.
    pub async fn discover(
        &self,
        project: &ProjectName,
        source: &Source,
        previous: &Discovery,
        now: Timestamp,
    ) -> Discovery {
        sources::discover(self, project, source, previous, now).await
    }

    /// Takes one measurement for a project. Where nothing can be said it is unknown, with the
    /// reason.
    pub async fn measure(
        &self,
        project: &ProjectName,
        check: &FrozenCheck,
        now: Timestamp,
    ) -> Measurement {
        checks::measure(self, project, check, now).await
    }

    /// Asks somebody else whether a promotion may go on. Where nothing can be said it is unknown, with the reason.
    /// Changes nothing; dropping the future ends it. None: the process is stopping.
    pub async fn ask(&self, project: &ProjectName, inquiry: &Inquiry) -> Option<Heard> {
        inquiries::ask(self, project, inquiry).await
    }

    /// Removes working directories and stored plans of a promotion that has ended, and what is
    /// known of applies that ended long ago. May be repeated.
    ///
    /// # Errors
    /// Something could not be removed.
    pub async fn clean(
        &self,
        project: &ProjectName,
        promotion: &PromotionId,
        now: Timestamp,
    ) -> Result<(), String> {
        let cleaned = fault::held(clean::clean(self, project, promotion, now)).await;
        cleaned.unwrap_or_else(|said| Err(fault::told(&said)))
    }

    /// The embedded states.
    #[must_use]
    pub fn states(&self) -> &States {
        &self.inner.states
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    pub(crate) fn holdings(&self) -> &dyn Holdings {
        &*self.inner.config.holdings
    }

    pub(crate) fn logins(&self) -> &Arc<Logins> {
        &self.inner.logins
    }

    /// Git without any login; [`Scoped::git`] has the project's.
    pub(crate) fn all_git(&self) -> Git {
        self.inner.git.until(self.cancel.clone())
    }

    pub(crate) fn http(&self) -> &HttpClient {
        &self.inner.http
    }

    pub(crate) fn registries(&self) -> &Registries {
        &self.inner.registries
    }

    pub(crate) fn tips(&self) -> &Tips {
        &self.inner.tips
    }

    /// The process is stopping.
    pub(crate) fn shutdown(&self) -> &CancellationToken {
        &self.inner.config.shutdown
    }

    /// What is carried out through this handle is to end.
    pub(crate) fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    pub(crate) fn hash_key(&self) -> &[u8] {
        &self.inner.config.hash_key
    }

    /// What seals versions of states and stored plans.
    pub(crate) fn sealing(&self) -> &Arc<dyn Sealing> {
        &self.inner.config.sealing
    }

    pub(crate) fn shim(&self) -> &Shim {
        &self.inner.config.shim
    }

    pub(crate) fn work_limit(&self) -> u64 {
        self.inner.config.work_limit
    }

    /// How programs are contained.
    #[must_use]
    pub fn sandbox(&self) -> &Sandbox {
        &self.inner.sandbox
    }

    pub(crate) fn sandbox_settings(&self) -> &Settings {
        &self.inner.config.sandbox
    }
    pub(crate) fn egress(&self) -> &EgressPolicy {
        &self.inner.config.egress
    }

    pub(crate) fn plugin_cache(&self) -> Option<&PathBuf> {
        self.inner.config.plugin_cache.as_ref()
    }

    pub(crate) fn providers(&self) -> Option<&Providers> {
        self.inner.config.providers.as_ref()
    }

    /// Where programs are looked for.
    pub(crate) fn search_path(&self) -> &OsStr {
        &self.inner.config.search_path
    }

    pub(crate) fn infra_env(&self) -> &BTreeMap<String, String> {
        &self.inner.config.infra_env
    }

    /// The infra tool that a call asks for by name, or the configured one. Found once.
    pub(crate) async fn tool(&self, name: Option<&str>) -> Result<Tool, ToolError> {
        let preference = match name {
            None => self.inner.config.tool.clone(),
            Some("tofu") => ToolPreference::Kind(ToolKind::OpenTofu),
            Some("terraform") => ToolPreference::Kind(ToolKind::Terraform),
            Some(other) => {
                return Err(ToolError::InvalidPreference { preference: other.to_owned() });
            }
        };
        let mut tools = self.inner.tools.lock().await;
        let known = name.map(str::to_owned);
        if let Some(tool) = tools.get(&known).filter(|tool| tool.path.exists()) {
            return Ok(tool.clone());
        }
        let tool = Tool::detect(&preference, self.cancel()).await?;
        tools.insert(known, tool.clone());
        Ok(tool)
    }
}

impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effects").field("config", &self.inner.config).finish_non_exhaustive()
    }
}
