//! What all operations share: the connection pool, the bounded set of blocking threads, the
//! mirrors and the locks. An operation sees it through a [`Remote`].

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use git2::{AutotagOption, Direction, FetchOptions, Oid, PushOptions, RemoteCallbacks};
use tokio::runtime::Handle;
use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio_util::sync::CancellationToken;

use super::config::GitConfig;
use super::credentials::Credentials;
use super::error::GitError;
use super::http::{self, HttpLink};
use super::id::{CommitId, Revision, branch_ref, tag_ref};
use super::ls_refs;
use super::mirror::{Job, Locks, Mirrors, tracking_ref};
use super::receive_pack::{self, Update};
use super::signing::Signer;
use super::transport::{self, Link, OpenSession, SshLink};
use super::unborn;
use super::url::{Location, RepoUrl};
use super::writer::Writers;
use crate::http::EgressPolicy;

/// Shared by all clones of a [`Git`](super::Git).
pub(super) struct Engine {
    config: GitConfig,
    client: reqwest::Client,
    egress: Arc<EgressPolicy>,
    runtime: Handle,
    pool: Arc<Semaphore>,
    mirrors: Mirrors,
    /// One fetch per mirror.
    fetching: Locks,
    pub(super) writers: Writers,
    /// Keys of repositories whose server has spoken protocol version 2.
    version2: Mutex<HashSet<String>>,
}

/// One repository during one operation.
#[derive(Clone)]
pub(super) struct Remote {
    pub(super) engine: Arc<Engine>,
    pub(super) repo: RepoUrl,
    pub(super) mirror: String,
    credentials: Credentials,
    signer: Option<Signer>,
    cancel: CancellationToken,
}

/// How a push of one ref ended.
pub(super) enum Sent {
    Accepted,
    /// The remote's ref was not what the lease says.
    Moved,
    /// The server said no, in these words.
    Refused(String),
}

/// What libgit2 connects to.
struct Wire {
    /// For libgit2.
    url: String,
    session: Option<OpenSession>,
    credentials: Credentials,
}

impl Engine {
    pub(super) fn new(config: GitConfig) -> Result<Self, GitError> {
        transport::install()?;
        let runtime = Handle::try_current().map_err(|error| GitError::Setup {
            what: "git",
            why: format!("it must be opened inside a tokio runtime: {error}"),
        })?;
        let egress = Arc::new(config.egress.clone());
        Ok(Self {
            client: http::client(config.timeouts, &egress)?,
            egress,
            runtime,
            pool: Arc::new(Semaphore::new(config.workers.max(1))),
            mirrors: Mirrors::new(&config.mirrors)?,
            fetching: Locks::default(),
            writers: Writers::default(),
            version2: Mutex::default(),
            config,
        })
    }

    fn speaks_version2(&self, key: &str) -> bool {
        self.version2.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    fn note_version2(&self, key: String, speaks: bool) {
        let mut known = self.version2.lock().unwrap_or_else(PoisonError::into_inner);
        if speaks {
            known.insert(key)
        } else {
            known.remove(&key)
        };
    }
}

impl Remote {
    pub(super) fn new(
        engine: &Arc<Engine>,
        scope: &str,
        repo: &RepoUrl,
        credentials: Credentials,
        cancel: CancellationToken,
    ) -> Result<Self, GitError> {
        if let Location::Local(path) = repo.location() {
            check_local(engine, repo, path)?;
        }
        let mirror = Mirrors::name(scope, repo);
        let (engine, repo) = (Arc::clone(engine), repo.clone());
        Ok(Self { engine, repo, mirror, credentials, signer: None, cancel })
    }

    /// The same, with what signs its commits and tags.
    pub(super) fn signed_by(self, signer: Option<Signer>) -> Self {
        Self { signer, ..self }
    }

    /// The branch's tip as the server has it now.
    pub(super) async fn tip(&self, branch: &str) -> Result<Option<CommitId>, GitError> {
        let reference = branch_ref(branch)?;
        let Location::Http(base) = self.repo.location() else {
            return self.wired(false, move |job, wire| list_one(job, wire, &reference)).await;
        };
        let cancel = self.cancel.clone();
        let link = self.http_link(base, cancel)?;
        let key = self.repo.key();
        let known = self.engine.speaks_version2(&key);
        let limit = self.engine.config.caps.advertisement;
        let poll = ls_refs::poll(&link, &self.repo, &reference, known, limit).await?;
        if poll.version2 != known {
            self.engine.note_version2(key, poll.version2);
        }
        Ok(poll.tip)
    }

    /// Brings what `revision` means now into the mirror.
    pub(super) async fn fetch(&self, revision: &Revision) -> Result<CommitId, GitError> {
        match revision {
            Revision::Branch(branch) => match self.tip(branch).await? {
                Some(tip) => self.fetch_branch(branch, &tip).await,
                None => Err(self.no_branch(branch)),
            },
            Revision::Tag(tag) => {
                let (reference, tag) = (tag_ref(tag)?, tag.clone());
                self.wired(true, move |job, wire| {
                    let id = download(job, wire, &[reference])?.into_iter().next();
                    id.flatten().ok_or(GitError::TagNotFound { repo: job.repo.clone(), tag })
                })
                .await
            }
            Revision::Commit(commit) => self.ensure(commit).await.map(|()| commit.clone()),
        }
    }

    /// Brings `branch`, last seen at `tip`, into the mirror; gives the tip that was fetched.
    pub(super) async fn fetch_branch(
        &self,
        branch: &str,
        tip: &CommitId,
    ) -> Result<CommitId, GitError> {
        match self.fetch_branch_once(branch, tip).await {
            // It has been discarded, so that everything is fetched now.
            Err(GitError::DamagedMirror { .. }) => self.fetch_branch_once(branch, tip).await,
            other => other,
        }
    }

    async fn fetch_branch_once(&self, branch: &str, tip: &CommitId) -> Result<CommitId, GitError> {
        let wanted = tip.clone();
        if self.run(move |job| Ok(job.contains(&wanted))).await? {
            return Ok(tip.clone());
        }
        let (reference, wanted) = (branch_ref(branch)?, tip.clone());
        let fetched = self
            .wired(true, move |job, wire| {
                if job.contains(&wanted) {
                    return Ok(Some(wanted));
                }
                Ok(download(job, wire, &[reference])?.into_iter().next().flatten())
            })
            .await?;
        fetched.ok_or_else(|| self.no_branch(branch))
    }

    /// Makes sure that the mirror has `commit`, if need be by fetching all branches.
    pub(super) async fn ensure(&self, commit: &CommitId) -> Result<(), GitError> {
        match self.ensure_once(commit).await {
            Err(GitError::DamagedMirror { .. }) => self.ensure_once(commit).await,
            other => other,
        }
    }

    async fn ensure_once(&self, commit: &CommitId) -> Result<(), GitError> {
        if *commit == unborn::id() {
            return self.run(unborn::ensure).await;
        }
        let wanted = commit.clone();
        if self.run(move |job| Ok(job.contains(&wanted))).await? {
            return Ok(());
        }
        let wanted = commit.clone();
        self.wired(true, move |job, wire| {
            let heads = list(job, wire)?.into_iter().map(|(name, _)| name);
            let heads: Vec<String> = heads.filter(|n| n.starts_with("refs/heads/")).collect();
            download(job, wire, &heads)?;
            job.commit(&wanted).map(|_| ())
        })
        .await
    }

    /// Pushes `commit` to `branch` if the branch is at `expected`.
    pub(super) async fn send(
        &self,
        branch: &str,
        commit: Oid,
        expected: Option<&CommitId>,
    ) -> Result<Sent, GitError> {
        let reference = branch_ref(branch)?;
        self.send_to(&reference, Some(commit), expected.map(CommitId::oid)).await
    }

    /// What a ref is at as the server has it now, a tag not peeled.
    pub(super) async fn reference(&self, reference: &str) -> Result<Option<Oid>, GitError> {
        let reference = reference.to_owned();
        self.wired(false, move |job, wire| {
            let heads = list(job, wire)?;
            Ok(heads.into_iter().find(|(name, _)| *name == reference).map(|(_, id)| id))
        })
        .await
    }

    /// Puts a ref to an object, or removes it, if it is at `expected`.
    pub(super) async fn send_to(
        &self,
        reference: &str,
        object: Option<Oid>,
        expected: Option<Oid>,
    ) -> Result<Sent, GitError> {
        let (reference, expected) = (reference.to_owned(), expected.unwrap_or(Oid::ZERO_SHA1));
        self.wired(false, move |job, wire| upload(job, wire, &reference, object, expected)).await
    }

    /// Work on the mirror beside other work.
    pub(super) async fn run<T, W>(&self, work: W) -> Result<T, GitError>
    where
        T: Send + 'static,
        W: FnOnce(&Job) -> Result<T, GitError> + Send + 'static,
    {
        self.blocking(None, |_| Ok(()), move |job, ()| work(job)).await
    }

    pub(super) fn no_branch(&self, branch: &str) -> GitError {
        GitError::BranchNotFound { repo: self.repo.clone(), branch: branch.to_owned() }
    }

    /// Work that talks to the server through libgit2; alone on the mirror if `exclusive`.
    async fn wired<T, W>(&self, exclusive: bool, work: W) -> Result<T, GitError>
    where
        T: Send + 'static,
        W: FnOnce(&Job, &mut Wire) -> Result<T, GitError> + Send + 'static,
    {
        let lock = match exclusive {
            true => Some(self.engine.fetching.lock(&self.mirror).await),
            false => None,
        };
        let prepare = |cancel: CancellationToken| self.wire(cancel);
        self.blocking(lock, prepare, move |job, mut wire| work(job, &mut wire)).await
    }

    /// Runs `work` on a thread for blocking work, with an open mirror. Dropping the future cancels
    /// it; the thread keeps its place in the pool and its lock until it has noticed.
    async fn blocking<P, T, W>(
        &self,
        lock: Option<OwnedMutexGuard<()>>,
        prepare: impl FnOnce(CancellationToken) -> Result<P, GitError>,
        work: W,
    ) -> Result<T, GitError>
    where
        P: Send + 'static,
        T: Send + 'static,
        W: FnOnce(&Job, P) -> Result<T, GitError> + Send + 'static,
    {
        let pool = Arc::clone(&self.engine.pool);
        let permit = pool.acquire_owned().await.expect("the pool is never closed");
        let cancel = self.cancel.child_token();
        let _cancel_when_dropped = cancel.clone().drop_guard();
        let prepared = prepare(cancel.clone())?;
        let remote = self.clone();
        let task = self.engine.runtime.spawn_blocking(move || {
            let _held = (permit, lock);
            let (caps, mirrors) = (remote.engine.config.caps, &remote.engine.mirrors);
            let repository = mirrors.open_or_replace(&remote.mirror, &remote.repo)?;
            let signer = remote.signer.clone();
            let job = Job { repo: remote.repo.clone(), repository, cancel, caps, signer };
            let done = work(&job, prepared);
            drop(job);
            if let Err(GitError::DamagedMirror { .. }) = &done {
                mirrors.discard(&remote.mirror)?;
            }
            done
        });
        match task.await {
            Ok(done) => done,
            // Whoever waits gets an answer, and those that went along get theirs.
            Err(error) if error.is_panic() => {
                Err(GitError::Panicked { repo: self.repo.clone(), why: said(&*error.into_panic()) })
            }
            Err(_) => Err(GitError::Cancelled { repo: self.repo.clone() }),
        }
    }

    fn wire(&self, cancel: CancellationToken) -> Result<Wire, GitError> {
        let config = &self.engine.config;
        let link = match self.repo.location() {
            Location::Local(path) => {
                let (url, credentials) =
                    (path.to_string_lossy().into_owned(), Credentials::Anonymous);
                return Ok(Wire { url, session: None, credentials });
            }
            Location::Http(base) => Link::Http(self.http_link(base, cancel)?),
            Location::Ssh(address) => Link::Ssh(SshLink::new(
                &self.repo,
                address,
                &config.ssh,
                self.credentials.clone(),
                config.timeouts,
                cancel,
            )?),
        };
        let runtime = self.engine.runtime.clone();
        let session = OpenSession::new(&self.repo, link, config.caps, runtime);
        let credentials = self.credentials.clone();
        Ok(Wire { url: session.url(), session: Some(session), credentials })
    }

    fn http_link(&self, base: &url::Url, cancel: CancellationToken) -> Result<HttpLink, GitError> {
        let client = (self.engine.client.clone(), &*self.engine.egress);
        let timeouts = self.engine.config.timeouts;
        HttpLink::new(client, &self.repo, base, &self.credentials, timeouts, cancel)
    }
}

impl Wire {
    /// The typed error of the session if there is one; else what the library said.
    fn fail<'a>(&'a self, job: &'a Job) -> impl Fn(git2::Error) -> GitError + 'a {
        move |error| {
            if let Some(known) = self.session.as_ref().and_then(OpenSession::take_error) {
                return known;
            }
            match GitError::library(&job.repo, "talking to the server", &error) {
                GitError::Remote { repo, message } => {
                    let message = self.credentials.presentable(&message);
                    GitError::Remote { repo, message }
                }
                other => other,
            }
        }
    }
}

fn check_local(engine: &Engine, repo: &RepoUrl, path: &Path) -> Result<(), GitError> {
    let repo = repo.clone();
    if !engine.config.allow_local {
        return Err(GitError::LocalNotAllowed { repo });
    }
    if !path.is_dir() {
        return Err(GitError::RepositoryNotFound { repo });
    }
    let opened = git2::Repository::open(path);
    opened.map(drop).map_err(|e| GitError::NotGit { repo, why: e.message().to_owned() })
}

/// All refs of the server, tags not peeled.
fn list(job: &Job, wire: &Wire) -> Result<Vec<(String, Oid)>, GitError> {
    let fail = wire.fail(job);
    let mut remote = job.repository.remote_anonymous(&wire.url).map_err(&fail)?;
    let connection = remote.connect_auth(Direction::Fetch, None, None).map_err(&fail)?;
    let heads = connection.list().map_err(&fail)?;
    Ok(heads.iter().map(|head| (head.name().to_owned(), head.oid())).collect())
}

fn list_one(job: &Job, wire: &Wire, reference: &str) -> Result<Option<CommitId>, GitError> {
    let heads = list(job, wire)?;
    Ok(heads.into_iter().find(|(name, _)| name == reference).map(|(_, id)| id.into()))
}

/// Fetches refs into the mirror; gives the commit that each leads to, if the server has it.
fn download(
    job: &Job,
    wire: &Wire,
    references: &[String],
) -> Result<Vec<Option<CommitId>>, GitError> {
    let fail = wire.fail(job);
    for reference in references {
        // What is left of an earlier fetch must not pass for the answer to this one.
        if let Ok(mut old) = job.repository.find_reference(&tracking_ref(reference)) {
            let keep = tracking_ref(&format!("{reference} before"));
            old = old.rename(&keep, true, "fetch").map_err(&fail)?;
            drop(old);
        }
    }
    let mut callbacks = RemoteCallbacks::new();
    callbacks.transfer_progress(|_| !job.cancel.is_cancelled());
    let mut options = FetchOptions::new();
    options.remote_callbacks(callbacks).update_fetchhead(false);
    options.download_tags(AutotagOption::None);
    let refspecs = references.iter().map(|name| format!("+{name}:{}", tracking_ref(name)));
    let refspecs: Vec<String> = refspecs.collect();
    if !refspecs.is_empty() {
        let mut remote = job.repository.remote_anonymous(&wire.url).map_err(&fail)?;
        remote.fetch(&refspecs, Some(&mut options), Some("fetch")).map_err(&fail)?;
    }
    let commit = |name: &String| {
        let found = job.repository.find_reference(&tracking_ref(name)).ok()?;
        Some(CommitId::from(found.peel_to_commit().ok()?.id()))
    };
    Ok(references.iter().map(commit).collect())
}

fn upload(
    job: &Job,
    wire: &mut Wire,
    reference: &str,
    object: Option<Oid>,
    expected: Oid,
) -> Result<Sent, GitError> {
    let Some(session) = &mut wire.session else {
        return upload_beside(job, wire, reference, object, expected);
    };
    let update = Update { reference, object, expected };
    let words = |text: String| wire.credentials.presentable(&text);
    match receive_pack::push(job, session, &update) {
        Ok(Sent::Refused(reason)) => Ok(Sent::Refused(words(reason))),
        Ok(sent) => Ok(sent),
        Err(broken) => {
            let is_open = broken.is_open();
            let error = match (session.take_error(), broken.at(job)) {
                (Some(known), _) => known,
                (None, GitError::Remote { repo, message }) => {
                    GitError::Remote { repo, message: words(message) }
                }
                (None, other) => other,
            };
            Err(if is_open { error.left_open() } else { error })
        }
    }
}

/// A push into a repository of this machine, which libgit2 writes to without a server.
fn upload_beside(
    job: &Job,
    wire: &Wire,
    reference: &str,
    object: Option<Oid>,
    expected: Oid,
) -> Result<Sent, GitError> {
    let moved = Cell::new(false);
    let refused = RefCell::new(None);
    let mut callbacks = RemoteCallbacks::new();
    callbacks.push_negotiation(|updates| {
        if updates.iter().all(|update| update.src() == expected) {
            return Ok(());
        }
        moved.set(true);
        Err(git2::Error::from_str("the ref has moved"))
    });
    callbacks.push_update_reference(|_, status| {
        if let Some(reason) = status {
            *refused.borrow_mut() = Some(wire.credentials.presentable(reason));
        }
        Ok(())
    });
    let mut options = PushOptions::new();
    options.remote_callbacks(callbacks).packbuilder_parallelism(1);
    let fail = wire.fail(job);
    let mut remote = job.repository.remote_anonymous(&wire.url).map_err(&fail)?;
    let source = object.map(|object| object.to_string()).unwrap_or_default();
    let pushed = remote.push(&[format!("{source}:{reference}")], Some(&mut options));
    drop(options);
    if moved.get() {
        return Ok(Sent::Moved);
    }
    if let Some(reason) = refused.into_inner() {
        return Ok(Sent::Refused(reason));
    }
    match pushed {
        Ok(()) => Ok(Sent::Accepted),
        Err(error) if error.code() == git2::ErrorCode::NotFastForward => Ok(Sent::Moved),
        // Nobody says whether the ref was written by then.
        Err(error) => Err(fail(error).left_open()),
    }
}

/// What a panic said, where that is a text of ours: others may hold anything that a project brought.
fn said(panic: &(dyn std::any::Any + Send)) -> &'static str {
    panic.downcast_ref::<&'static str>().copied().unwrap_or("what it said is not shown")
}
