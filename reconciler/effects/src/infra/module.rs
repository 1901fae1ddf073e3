//! One root module in a directory, and the operations on it that only read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::backend::{self, Backend};
use super::record::boot_id;
use super::{Containment, InfraError, Providers, Tool, read_file};
use crate::process::{Command, Output};
use crate::sandbox::SandboxError;

const DEADLINE_DEFAULT: Duration = Duration::from_secs(30 * 60);
const GRACE_DEFAULT: Duration = Duration::from_secs(2 * 60);
const LOCK_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// Outputs and states are read into memory.
const ANSWER_MAX_BYTES: usize = 64 << 20;
const LOCK_FILE: &str = ".terraform.lock.hcl";
/// The tool's directory for what `init` makes, in the private one.
const DATA: &str = "data";
/// Says that it is whole, and in which run of the machine it was made.
const WHOLE: &str = "data.whole";
/// What the tool needs of this process's environment; everything else is named by the caller.
const INHERITED: [&str; 4] = ["PATH", "SSL_CERT_DIR", "SSL_CERT_FILE", "TZ"];

/// A root module, the tool that runs it, and where its state is.
///
/// Two operations must not run on the same `dir` or `scratch` at once: the tool keeps files in both.
#[derive(Clone)]
pub struct Module {
    /// The program.
    pub tool: Tool,
    /// The directory of the root module.
    pub dir: PathBuf,
    /// A private directory for the tool's data, variable files and `HOME`. It may be lost between operations,
    /// but then `init` comes first again.
    pub scratch: PathBuf,
    /// Environment of the tool: credentials of providers and backends. `TF_CLI_ARGS*` is not passed on.
    pub env: BTreeMap<String, String>,
    /// Where the state is.
    pub state: State,
    /// The workspace, if not the default one. Made if missing.
    pub workspace: Option<String>,
    /// Settings for a declared backend, passed in a file.
    pub backend_config: Map<String, Value>,
    /// How the tool is contained; absent: not at all.
    pub containment: Option<Containment>,
    /// Providers shared between modules.
    pub plugin_cache: Option<PathBuf>,
    /// Which providers may be used, and where they come from; absent: as the tool is used to.
    pub providers: Option<Providers>,
    /// Whether `init` may add to the lock file, or fails where a provider is not in it.
    pub lock_file_readonly: bool,
    /// Whether nothing is made or locked: neither a workspace that is missing, nor the state's lock.
    pub only_looks: bool,
    /// How long to wait for the state's lock.
    pub lock_timeout: Duration,
    /// How long a reading operation may take. An apply has none of its own.
    pub deadline: Duration,
    /// How long the tool gets to end after each of two interrupts.
    pub grace: Duration,
}

/// Where the state of a module is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// In the backend that the module declares.
    Declared,
    /// In this file, an absolute path in a durable place. For modules that declare none.
    Embedded(PathBuf),
}

/// One version of one state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateId {
    /// Given at the state's birth.
    pub lineage: String,
    /// Higher by one with each write.
    pub serial: u64,
}

/// What `init` left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Init {
    /// SHA-256 of the dependency lock file, in hexadecimal; `None` if there is no such file.
    pub lock_hash: Option<String>,
}

/// An output value of the root module.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct OutputValue {
    /// The value as JSON.
    pub value: Value,
    /// Whether the module marks it as secret.
    #[serde(default)]
    pub sensitive: bool,
}

/// The tool's own configuration, in the scratch directory.
const SETTINGS: &str = "settings.tfrc";

impl Module {
    /// A module with declared state, an empty environment and default limits.
    pub fn new(tool: Tool, dir: impl Into<PathBuf>, scratch: impl Into<PathBuf>) -> Self {
        Self {
            tool,
            dir: dir.into(),
            scratch: scratch.into(),
            env: BTreeMap::new(),
            state: State::Declared,
            workspace: None,
            backend_config: Map::new(),
            containment: None,
            plugin_cache: None,
            providers: None,
            lock_file_readonly: false,
            only_looks: false,
            lock_timeout: LOCK_TIMEOUT_DEFAULT,
            deadline: DEADLINE_DEFAULT,
            grace: GRACE_DEFAULT,
        }
    }

    /// Prepares the directory: backend, providers, child modules, workspace. May be repeated.
    ///
    /// # Errors
    /// [`InfraError::Refused`] if the module declares a backend and the state is to be embedded, or the
    /// other way round.
    pub async fn init(&self, cancel: &CancellationToken) -> Result<Init, InfraError> {
        make_private_dir(&self.scratch)?;
        self.fresh_home()?;
        self.drop_half_made()?;
        self.place_state()?;
        let mut command = self.command("init")?.args(["-input=false", "-no-color", "-reconfigure"]);
        if self.lock_file_readonly {
            command = command.arg("-lockfile=readonly");
        }
        let settings = if self.backend_config.is_empty() {
            None
        } else {
            Some(self.private_json("backend.tfbackend", &self.backend_config)?)
        };
        if let Some(settings) = &settings {
            command = command.arg(settings.as_argument("-backend-config="));
        }
        {
            // Terraform's plugin cache is not safe for two `init`s at once.
            static PLUGIN_CACHE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
            let _one_at_a_time = match &self.plugin_cache {
                Some(cache) => {
                    make_private_dir(cache)?;
                    Some(PLUGIN_CACHE.lock().await)
                }
                None => None,
            };
            self.run("init", command, cancel).await?;
        }
        if let Some(workspace) = &self.workspace {
            let create: &[&str] = if self.only_looks { &[] } else { &["-or-create"] };
            let select = self.command("workspace")?.args(["select", "-no-color"]).args(create);
            let select = select.arg("--").arg(workspace);
            self.run("workspace", select, cancel).await?;
        }
        self.say_whole()?;
        Ok(Init { lock_hash: self.lock_hash()? })
    }

    /// The output values that the state holds, secret ones in clear text.
    ///
    /// # Errors
    /// [`InfraError`].
    pub async fn output(
        &self,
        cancel: &CancellationToken,
    ) -> Result<BTreeMap<String, OutputValue>, InfraError> {
        let command = self.command("output")?.args(["-json", "-no-color"]);
        let output = self.run("output", command, cancel).await?;
        self.parse("output", &output.stdout.bytes)
    }

    /// Lineage and serial of the state; `None` if there is no state yet.
    ///
    /// # Errors
    /// [`InfraError`].
    pub async fn state(&self, cancel: &CancellationToken) -> Result<Option<StateId>, InfraError> {
        let bytes = match (&self.state, &self.workspace) {
            (State::Embedded(path), None) => {
                match read_file(path).map_err(InfraError::io("read", path))? {
                    Some(bytes) => bytes,
                    None => return Ok(None),
                }
            }
            (State::Embedded(_) | State::Declared, _) => {
                let command = self.command("state")?.arg("pull");
                self.run("state pull", command, cancel).await?.stdout.bytes
            }
        };
        if bytes.trim_ascii().is_empty() {
            return Ok(None);
        }
        let id: StateId = self.parse("state pull", &bytes)?;
        // Before its first write the tool shows a state with neither.
        Ok(if id.lineage.is_empty() { None } else { Some(id) })
    }

    /// Removes what an `init` left that did not come to its end: the tool's own files may be cut, and then it
    /// fails over them for ever. The end of the machine may cut them later, too.
    fn drop_half_made(&self) -> Result<(), InfraError> {
        let (word, data) = (self.scratch.join(WHOLE), self.scratch.join(DATA));
        let said = read_file(&word).map_err(InfraError::io("read", &word))?;
        let now = boot_id()
            .map_err(InfraError::io("read", Path::new("/proc/sys/kernel/random/boot_id")))?;
        if said.as_deref() != Some(now.as_bytes()) {
            gone(std::fs::remove_dir_all(&data)).map_err(InfraError::io("empty", &data))?;
        }
        gone(std::fs::remove_file(&word)).map_err(InfraError::io("remove", &word))
    }

    /// Says that everything in the tool's directory is whole.
    fn say_whole(&self) -> Result<(), InfraError> {
        let word = self.scratch.join(WHOLE);
        let said = boot_id().and_then(|now| std::fs::write(&word, now));
        said.map_err(InfraError::io("write", &word))
    }

    /// An empty home. What providers left there, such as settings that name programs to run, must not
    /// reach `init`, which may write where others read.
    fn fresh_home(&self) -> Result<(), InfraError> {
        let home = self.scratch.join("home");
        gone(std::fs::remove_dir_all(&home)).map_err(InfraError::io("empty", &home))?;
        make_private_dir(&home)
    }

    /// SHA-256 of the dependency lock file, in hexadecimal; `None` if there is no such file.
    ///
    /// # Errors
    /// [`InfraError::Io`].
    pub fn lock_hash(&self) -> Result<Option<String>, InfraError> {
        let path = self.dir.join(LOCK_FILE);
        let read = read_file(&path).map_err(InfraError::io("read", &path))?;
        Ok(read.map(|bytes| sha256(&bytes)))
    }

    /// The tool with a sub-command, its environment set.
    pub(super) fn command(&self, operation: &'static str) -> Result<Command, InfraError> {
        // The variable would win over the workspace that is selected.
        let chosen = |name: &str| name == "TF_WORKSPACE" && self.workspace.is_some();
        let settable = |name: &str| !name.starts_with("TF_CLI_ARGS") && !chosen(name);
        let given = self.env.iter().filter(|(name, _)| settable(name));
        let mut command = Command::new(&self.tool.path)
            .arg(operation)
            .current_dir(&self.dir)
            .env("HOME", self.scratch.join("home"))
            .envs(given)
            .env("CHECKPOINT_DISABLE", "1")
            .env("TF_DATA_DIR", self.scratch.join(DATA))
            .env("TF_IN_AUTOMATION", "1")
            .env("TF_INPUT", "0")
            .output_limit(ANSWER_MAX_BYTES)
            .deadline(self.deadline)
            .grace(self.grace);
        for name in INHERITED {
            command = command.inherit(name);
        }
        if let Some(cache) = &self.plugin_cache {
            command = command.env("TF_PLUGIN_CACHE_DIR", cache);
        }
        if let Some(providers) = &self.providers {
            // Written each time: what ran last may have changed it.
            let settings = self.scratch.join(SETTINGS);
            gone(std::fs::remove_file(&settings)).map_err(InfraError::io("remove", &settings))?;
            let mut file =
                File::create_new(&settings).map_err(InfraError::io("make", &settings))?;
            let written = file.write_all(providers.settings().as_bytes());
            written.map_err(InfraError::io("write", &settings))?;
            command = command.env("TF_CLI_CONFIG_FILE", settings);
        }
        if !self.dir.is_absolute() || !self.scratch.is_absolute() {
            let reason = "the directories of a module must be absolute paths";
            return Err(InfraError::Refused { operation, reason });
        }
        Ok(command)
    }

    pub(super) fn lock_argument(&self) -> String {
        if self.only_looks {
            return "-lock=false".to_owned();
        }
        format!("-lock-timeout={}s", self.lock_timeout.as_secs())
    }

    /// Runs a command to success.
    pub(super) async fn run(
        &self,
        operation: &'static str,
        command: Command,
        cancel: &CancellationToken,
    ) -> Result<Output, InfraError> {
        let output = self.run_any(operation, command, cancel).await?;
        if output.status.success() {
            return Ok(output);
        }
        Err(InfraError::of(operation, self.dir.clone(), &output))
    }

    /// Runs a command to any end.
    pub(super) async fn run_any(
        &self,
        operation: &'static str,
        command: Command,
        cancel: &CancellationToken,
    ) -> Result<Output, InfraError> {
        let dir = || self.dir.clone();
        let output = match self.contained(operation, command.clone(), self.notes(), &[])? {
            Some(contained) => match contained.run(cancel).await {
                Err(SandboxError::Process(source)) => {
                    return Err(InfraError::Process { operation, dir: dir(), source });
                }
                ended => ended.map_err(|source| self.uncontained(operation, source))?,
            },
            None => command.run(cancel).await.map_err(|source| InfraError::Process {
                operation,
                dir: dir(),
                source,
            })?,
        };
        if output.stdout.truncated {
            let limit_bytes = output.stdout.bytes.len();
            return Err(InfraError::TooLarge { operation, dir: dir(), limit_bytes });
        }
        Ok(output)
    }

    /// Writes an object to a new file in the scratch directory that only this user can read.
    pub(super) fn private_json(
        &self,
        stem: &str,
        content: &Map<String, Value>,
    ) -> Result<PrivateFile, InfraError> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = self.scratch.join(format!("{stem}-{}-{number}.json", std::process::id()));
        let text = serde_json::to_vec(content).expect("a JSON object always serialises");
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(&text))
            .map_err(InfraError::io("write", &path))?;
        Ok(PrivateFile { path })
    }

    fn place_state(&self) -> Result<(), InfraError> {
        let refused = |reason| Err(InfraError::Refused { operation: "init", reason });
        match (backend::of_module(&self.dir)?, &self.state) {
            (Backend::Declared(_) | Backend::Cloud, State::Declared) => Ok(()),
            (Backend::None, State::Embedded(path)) if path.is_absolute() => {
                make_private_dir(path.parent().unwrap_or(path))?;
                Ok(backend::write_override(&self.dir, path)?)
            }
            (Backend::None, State::Embedded(_)) => {
                refused("the path of an embedded state must be absolute")
            }
            (Backend::None, State::Declared) => {
                refused("the module declares no backend; declare one or use the embedded state")
            }
            (Backend::Declared(_) | Backend::Cloud, State::Embedded(_)) => refused(
                "the module declares a backend; remove it or do not ask for the embedded state",
            ),
        }
    }

    fn parse<T: serde::de::DeserializeOwned>(
        &self,
        operation: &'static str,
        bytes: &[u8],
    ) -> Result<T, InfraError> {
        serde_json::from_slice(bytes).map_err(|source| InfraError::Malformed {
            operation,
            dir: self.dir.clone(),
            source,
        })
    }
}

/// Shows the names of the variables only: values may be secrets.
impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module")
            .field("tool", &self.tool)
            .field("dir", &self.dir)
            .field("scratch", &self.scratch)
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("state", &self.state)
            .field("workspace", &self.workspace)
            .finish_non_exhaustive()
    }
}

/// A file with secrets, removed when it goes out of scope.
pub(super) struct PrivateFile {
    path: PathBuf,
}

impl PrivateFile {
    pub(super) fn as_argument(&self, flag: &str) -> std::ffi::OsString {
        let mut argument = std::ffi::OsString::from(flag);
        argument.push(&self.path);
        argument
    }

    /// Leaves the file where it is: a process that outlives this one still reads it.
    pub(super) fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.path)
    }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty()
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "a file with variables stays behind");
        }
    }
}

pub(super) fn make_private_dir(path: &Path) -> Result<(), InfraError> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(InfraError::io("create", path))
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
/// What is not there need not be removed.
fn gone(removed: std::io::Result<()>) -> std::io::Result<()> {
    match removed {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
