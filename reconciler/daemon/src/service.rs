//! Starting and stopping: store, effects, loop and server, in that order, and back.

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use reconciler_domain::id::Principal;
use reconciler_domain::token::SecretOrigin;
use reconciler_effects::infra::shim::Shim;
use reconciler_effects::sandbox::{Mode, Sandbox};
use reconciler_effects::{Effects, EffectsConfig};
use reconciler_store::{
    ChainHead, Change, NewSecret, NewToken, Precondition, PutTokenError, Store,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::crash::Crash;
use crate::secrets::{self, Keyring, KeyringError, RotateError, Rotated, Safe, Signer};
use crate::server::{self, Server};
use crate::worker::{Looks, Rests, Worker};

/// Name of the token that is made at first start.
const FIRST_TOKEN: &str = "admin";
/// File with its secret, below the data directory.
const FIRST_TOKEN_FILE: &str = "admin.token";
/// File with the keys that seal secrets, below the data directory unless configured.
const SECRET_KEY_FILE: &str = "secret.key";
/// File with the key that signs what people agree to, below the data directory.
const SIGNING_KEY_FILE: &str = "signing.key";
/// File with the key under which sensitive values are hashed, below the data directory.
const HASH_KEY_FILE: &str = "hash.key";

/// A running daemon.
pub struct Service {
    address: SocketAddr,
    shutdown: CancellationToken,
    server: JoinHandle<io::Result<()>>,
    worker: JoinHandle<()>,
    store: Store,
}

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file or directory of the daemon cannot be used.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] reconciler_store::OpenError),
    /// The store failed while starting.
    #[error(transparent)]
    StoreOperation(#[from] reconciler_store::StoreError),
    /// The working directories cannot be used.
    #[error(transparent)]
    Effects(#[from] reconciler_effects::OpenError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The keys of the secrets cannot be used.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The first token was not kept.
    #[error("the administrator's token was not kept: {0}")]
    FirstToken(#[source] PutTokenError),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

impl Service {
    /// Starts everything; the API answers when this returns.
    ///
    /// # Errors
    /// A directory, the database or the address cannot be used.
    pub async fn start(config: Config, crash: Crash) -> Result<Self, StartError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let shutdown = CancellationToken::new();
        make_private_dir(&config.data_dir)?;
        let store = Store::open(database(&config)).await?;
        first_token(&store, &config.data_dir, clock.as_ref()).await?;
        let hash_key = hash_key(&config.data_dir.join(HASH_KEY_FILE))?;
        let keyring = Arc::new(Keyring::open(&secret_key_file(&config))?);
        let signer = Arc::new(Signer::open(&signing_key_file(&config))?);
        let allowed = config.secret_sources.clone();
        let safe = Arc::new(Safe::new(store.clone(), Arc::clone(&keyring), allowed, &hash_key));
        let effects = open_effects(&config, hash_key, safe.clone(), keyring, shutdown.clone())?;
        let states = effects.states().clone();
        let worker = Worker {
            store: store.clone(),
            effects,
            clock: Arc::clone(&clock),
            crash: Arc::new(crash),
            looks: Looks::new(config.looks),
            rests: Rests::default(),
            owner: owner(),
            shutdown: shutdown.clone(),
        };
        let address = config.listen;
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| StartError::Listen { address, source })?;
        let address =
            listener.local_addr().map_err(|source| StartError::Listen { address, source })?;
        let router = server::router(Server {
            store: store.clone(),
            safe,
            signer,
            clock,
            turns: Arc::default(),
            states,
            state_groups: Arc::new(config.state_groups.clone()),
            shutdown: shutdown.clone(),
        });
        let stop = shutdown.clone();
        let server = tokio::spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(async move { stop.cancelled().await })
                .await
        });
        let worker = tokio::spawn(worker.run());
        Ok(Self { address, shutdown, server, worker, store })
    }

    /// Where the API answers.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops taking requests, leaves running work to the next start, closes the store.
    ///
    /// Work that is cut off here has its intent in the log; an infra run goes on below its shim.
    pub async fn stop(self) {
        self.shutdown.cancel();
        if let Ok(Err(error)) = self.server.await {
            tracing::error!(%error, "the API ended badly");
        }
        if let Err(error) = self.worker.await {
            tracing::error!(%error, "the loop ended badly");
        }
        self.store.close().await;
    }
}

/// Seals the secrets of all projects, and the versions of states, under a new key and forgets the old ones.
///
/// # Errors
/// A daemon runs, or a secret does not open; nothing is lost then.
pub async fn rotate_key(config: &Config) -> Result<Rotated, RotateError> {
    secrets::rotate(&database(config), &config.data_dir, &secret_key_file(config)).await
}

/// Has statements signed by a new key from the next start on. Its id.
///
/// # Errors
/// The key file cannot be used.
pub fn rotate_signing_key(config: &Config) -> Result<String, KeyringError> {
    Signer::rotate(&signing_key_file(config))
}

/// Why the ledger is not known to be whole.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The database cannot be opened; a running daemon has it.
    #[error(transparent)]
    Open(#[from] reconciler_store::OpenError),
    /// It is not whole, or cannot be read.
    #[error(transparent)]
    Chain(#[from] reconciler_store::ChainError),
}

/// Walks the whole ledger. Its last event, whose hash somebody may have kept elsewhere.
///
/// # Errors
/// A daemon runs, or an event was changed, removed, inserted or moved.
pub async fn verify_ledger(config: &Config) -> Result<ChainHead, VerifyError> {
    let store = Store::open(database(config)).await?;
    let verified = store.verify_chain().await;
    store.close().await;
    Ok(verified?)
}

/// Host and process: who holds a lease, for people who look.
fn owner() -> String {
    let host = fs::read_to_string("/etc/hostname").unwrap_or_default();
    format!("{}/{}", host.trim(), std::process::id())
}

/// Where the keys of the secrets are.
fn secret_key_file(config: &Config) -> PathBuf {
    config.secret_key_file.clone().unwrap_or_else(|| config.data_dir.join(SECRET_KEY_FILE))
}

/// Where the signing key is.
fn signing_key_file(config: &Config) -> PathBuf {
    config.data_dir.join(SIGNING_KEY_FILE)
}

/// Where the database is.
fn database(config: &Config) -> PathBuf {
    config.data_dir.join("lockstep.db")
}

fn open_effects(
    config: &Config,
    hash_key: [u8; 32],
    holdings: Arc<Safe>,
    sealing: Arc<Keyring>,
    shutdown: CancellationToken,
) -> Result<Effects, StartError> {
    let mut effects = EffectsConfig::new(config.data_dir.clone(), hash_key);
    effects.egress = config.egress.clone();
    effects.insecure_registries = config.insecure_registries.clone();
    effects.tool = config.tool.clone();
    effects.sandbox = config.sandbox.clone();
    effects.infra_env = config.infra_env.clone();
    effects.work_limit = config.work_limit.unwrap_or(effects.work_limit);
    effects.plugin_cache = config.plugin_cache.clone();
    effects.providers = config.providers.clone();
    effects.credentials = config.credentials.clone();
    effects.holdings = holdings;
    effects.sealing = sealing;
    effects.states = config.states;
    effects.shim = Shim::current();
    effects.shutdown = shutdown;
    let effects = Effects::open(effects)?;
    tell_of_sandbox(effects.sandbox());
    Ok(effects)
}

/// What the machine offers is found out at start, so that nobody learns it from a promotion that fails.
fn tell_of_sandbox(sandbox: &Sandbox) {
    let refused = match sandbox.mode() {
        Mode::Off => {
            return tracing::warn!(
                "infra tools and programs of steps run as this user: the sandbox is off"
            );
        }
        Mode::Required => "Steps of infra and of programs will refuse",
        Mode::Preferred => "Infra tools and programs of steps run as this user",
    };
    match sandbox.probe() {
        Ok(offer) => tracing::info!("infra tools and programs of steps are contained by {offer}"),
        Err(missing) => tracing::warn!("{missing}. {refused}"),
    }
}

/// Makes the first administrator's token, once. Its secret is only ever in the file, which is there
/// before the store knows the token: a start that was cut off in between takes it from there.
async fn first_token(store: &Store, data_dir: &Path, clock: &dyn Clock) -> Result<(), StartError> {
    if !store.list_tokens(false).await?.is_empty() {
        return Ok(());
    }
    let path = data_dir.join(FIRST_TOKEN_FILE);
    let secret = match fs::read_to_string(&path) {
        Ok(text) => text.trim().to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = server::new_secret().ok_or(StartError::Random)?;
            write_private(&path, format!("{secret}\n").as_bytes())
                .map_err(|source| StartError::File { path: path.clone(), source })?;
            secret
        }
        Err(source) => return Err(StartError::File { path, source }),
    };
    tracing::info!(file = %path.display(), "the administrator's token is in this file");
    let token = NewToken {
        name: FIRST_TOKEN.parse().expect("it is a name"),
        groups: std::collections::BTreeSet::new(),
        admin: true,
        secret: Some(NewSecret { hash: server::hash(&secret), origin: SecretOrigin::Daemon }),
        expires_at: None,
    };
    let change = Change::by(&Principal::Automation, clock.now());
    let made = store.put_token(&token, &change.precondition(Precondition::MustNotExist)).await;
    made.map(drop).map_err(StartError::FirstToken)
}

fn hash_key(path: &Path) -> Result<[u8; 32], StartError> {
    let file = |source| StartError::File { path: path.to_owned(), source };
    match fs::read(path) {
        Ok(bytes) => bytes.try_into().map_err(|_| {
            file(io::Error::other("is not a key of 32 bytes; restore it from a backup"))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut key = [0_u8; 32];
            SystemRandom::new().fill(&mut key).map_err(|_| StartError::Random)?;
            write_private(path, &key).map_err(file)?;
            Ok(key)
        }
        Err(error) => Err(file(error)),
    }
}

fn make_private_dir(path: &Path) -> Result<(), StartError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| StartError::File { path: path.to_owned(), source })
}

/// Writes a file that only we can read, whole or not at all.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}
