//! The working directory of a promotion: never trusted, always explained.
//!
//! A directory is worth something only together with its *marker*, a file beside it that lists the
//! calls whose results are inside, in order. The marker goes before the first change of a call and
//! comes back after its last, so whatever a crash left half done has none. A call that finds
//! another list than the one it needs removes the directory and carries the needed calls out again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use reconciler_domain::id::StepName;
use reconciler_domain::step::{
    Call, ChartCall, Checkout, CheckoutAt, CloneCall, CloneRecord, CommitCall, DownloadCall,
    FileCall, OciCall, OciPull, Record, RenderCall, RunCall, UpdateCall,
};
use rustix::fs::Mode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Done, Halt, RunContext, Workdir, blocking, chart, download, files, git, oci, render, run, yaml,
};
use crate::git::{CommitId, GitError, RepoUrl, Revision, is_unborn};
use crate::scoped::Scoped;
use crate::workdir::{RelPath, WorkDir, WorkKey, WorkRoot, WorkdirError, free, write_atomic};

/// What stays free of the disk: room for the database, its log and the logs of the daemon.
const RESERVE: u64 = 256 << 20;
const MARKER_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// A working directory and the calls that it is to hold.
pub(super) struct Workspace<'a> {
    effects: &'a Scoped,
    cx: &'a RunContext,
    dir: PathBuf,
    key: WorkKey,
    rebuild: &'a [(StepName, Call)],
}

/// What a marker says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Marker {
    /// Whose directory it is.
    promotion: String,
    /// The calls whose results are inside.
    holds: Vec<Call>,
}

/// A call that changes the directory.
pub(super) enum Change<'a> {
    Clone(&'a CloneCall),
    Update(&'a UpdateCall),
    File(&'a FileCall),
    Download(&'a DownloadCall),
    Pull(&'a OciPull),
    Render(&'a RenderCall),
    Chart(&'a ChartCall),
    Run(&'a StepName, &'a RunCall),
}

impl<'a> Workspace<'a> {
    pub(super) fn open(
        effects: &'a Scoped,
        cx: &'a RunContext,
        rebuild: &'a [(StepName, Call)],
    ) -> Self {
        Self::at(effects, cx, rebuild, effects.layout().work(&cx.project, &cx.promotion))
    }

    /// One in a directory of its own.
    pub(super) fn at(
        effects: &'a Scoped,
        cx: &'a RunContext,
        rebuild: &'a [(StepName, Call)],
        dir: PathBuf,
    ) -> Self {
        let key = key(cx.workdir);
        Self { effects, cx, dir, key, rebuild }
    }

    /// A private directory for the infra tool's own files about the module `name`.
    pub(super) fn scratch(&self, name: &str) -> PathBuf {
        self.dir.join("scratch").join(self.key.as_str()).join(name)
    }

    /// The directory with the results of the needed calls in it.
    pub(super) async fn fill(&self) -> Result<WorkDir, Halt> {
        let needed: Vec<Call> = self.needed().map(|change| change.call()).collect();
        if self.marker().await.is_some_and(|marker| marker.holds == needed)
            && let Some(dir) = self.left()?
        {
            return Ok(dir);
        }
        let dir = self.fresh().await?;
        for change in self.needed() {
            self.make(&dir, &change).await?;
        }
        self.mark(needed).await?;
        Ok(dir)
    }

    /// The same for a tool that leaves files of its own in it: whoever comes next fills it anew.
    pub(super) async fn take(&self) -> Result<WorkDir, Halt> {
        let dir = self.fill().await?;
        self.unmark().await?;
        Ok(dir)
    }

    /// What is left of the directory, whether it is complete or not.
    pub(super) fn left(&self) -> Result<Option<WorkDir>, Halt> {
        match self.root()?.open_dir(&self.key) {
            Ok(dir) => Ok(Some(dir)),
            Err(WorkdirError::NotFound { .. }) => Ok(None),
            Err(error) => Err(Halt::of(&error, true)),
        }
    }

    /// Carries out a call that changes the directory.
    pub(super) async fn advance(&self, change: Change<'_>) -> Result<Done, Halt> {
        let dir = self.take().await?;
        let done = self.make(&dir, &change).await?;
        let holds = self.needed().map(|change| change.call());
        self.mark(holds.chain([pinned(change.call(), &done.record)]).collect()).await?;
        Ok(done)
    }

    /// Makes a lost commit again: everything from the beginning, commits included. Whether the
    /// commit was among the needed calls.
    pub(super) async fn commit_again(&self, wanted: &str) -> Result<bool, Halt> {
        let dir = self.fresh().await?;
        for (step, call) in self.rebuild {
            if let Call::GitCommit(commit) = call {
                if self.is_made(&dir, commit, wanted).await? {
                    return Ok(true);
                }
            } else if let Some(change) = Change::of(step, call) {
                self.make(&dir, &change).await?;
            }
        }
        Ok(false)
    }

    async fn is_made(&self, dir: &WorkDir, call: &CommitCall, wanted: &str) -> Result<bool, Halt> {
        let done = git::commit(self.effects, self.cx, dir, call).await?;
        Ok(matches!(&done.record, Record::Commit(made) if made.commit.as_deref() == Some(wanted)))
    }

    fn needed(&self) -> impl Iterator<Item = Change<'a>> + use<'a> {
        self.rebuild.iter().filter_map(|(step, call)| Change::of(step, call))
    }

    /// Makes a change. What brings much in is held to the limit of a directory, and does not begin
    /// where the disk is nearly full: the database is on it, too.
    async fn make(&self, dir: &WorkDir, change: &Change<'_>) -> Result<Done, Halt> {
        if !change.brings_much() {
            return self.change(dir, change).await;
        }
        let free = free(&self.dir).map_err(|error| self.io("look at the disk of", &error))?;
        if free < RESERVE {
            return Err(Halt::later(format_args!(
                "the disk of the data directory is nearly full: {} MiB are free, and {} MiB are kept \
                 for the database; make room there",
                free >> 20,
                RESERVE >> 20,
            )));
        }
        let done = self.change(dir, change).await?;
        let (limit, measured) = (self.effects.work_limit(), dir.clone());
        let size = blocking(move || measured.size(limit)).await;
        if size.map_err(|error| Halt::of(&error, true))? > limit {
            // What is too much must not stay until the promotion is over.
            self.fresh().await?;
            return Err(Halt::never(format_args!(
                "the working directory would take more than {} MiB, which is the limit \
                 (`work_limit_mib` of the daemon)",
                limit >> 20,
            )));
        }
        Ok(done)
    }

    async fn change(&self, dir: &WorkDir, change: &Change<'_>) -> Result<Done, Halt> {
        match change {
            Change::Clone(clone) => self.clone(dir, clone).await,
            Change::Update(update) => yaml::update(dir, update).await,
            Change::File(file) => files::change(dir, file).await,
            Change::Download(download) => {
                download::fetch(self.effects, self.cx, dir, download).await
            }
            Change::Pull(pull) => oci::pull(self.effects, dir, pull).await,
            Change::Render(call) => {
                render::render(self.effects, dir, &self.scratch("render"), call).await
            }
            Change::Chart(call) => chart::update(self.effects, self.cx, dir, call).await,
            Change::Run(step, call) => {
                run::files(self.effects, self.cx, step, dir, self, call).await
            }
        }
    }

    async fn clone(&self, dir: &WorkDir, call: &CloneCall) -> Result<Done, Halt> {
        let repo = git::repo(&call.repo)?;
        let git = self.effects.git();
        let mut found: IndexMap<&str, CommitId> = IndexMap::new();
        // A checkout empties its directory, so one inside another comes after it.
        let mut by_depth: Vec<&Checkout> = call.checkouts.iter().collect();
        by_depth.sort_by_key(|checkout| Path::new(&checkout.dir).components().count());
        for checkout in by_depth {
            let revision = revision(&repo, &checkout.at)?;
            let place = place(dir, &checkout.dir)?;
            let commit = match git.checkout(&repo, &revision, &checkout.paths, &place).await {
                Err(GitError::BranchNotFound { .. }) if checkout.create => {
                    git.checkout_unborn(&repo, &place).await
                }
                commit => commit,
            };
            found.insert(&checkout.dir, commit.map_err(|error| git::halt(&error))?);
        }
        let mut record = CloneRecord {
            repo: call.repo.clone(),
            commits: IndexMap::new(),
            branches: IndexMap::new(),
            paths: BTreeMap::new(),
        };
        for checkout in &call.checkouts {
            record.commits.insert(checkout.dir.clone(), found[checkout.dir.as_str()].to_string());
            if let CheckoutAt::Branch(branch) | CheckoutAt::Pinned { branch, .. } = &checkout.at {
                record.branches.insert(checkout.dir.clone(), branch.clone());
            }
            if !checkout.paths.is_empty() {
                record.paths.insert(checkout.dir.clone(), checkout.paths.clone());
            }
        }
        let commits =
            record.commits.iter().map(|(dir, id)| (dir.clone(), Value::from(commit_text(id))));
        let commits = Value::Object(commits.collect());
        Ok(Done::new([("commits", commits)], Record::Clone(record)))
    }

    async fn fresh(&self) -> Result<WorkDir, Halt> {
        self.unmark().await?;
        let (root, key) = (self.root()?, self.key.clone());
        let made = blocking(move || {
            root.remove(&key)?;
            root.create(&key)
        });
        made.await.map_err(|error| Halt::of(&error, true))
    }

    fn root(&self) -> Result<WorkRoot, Halt> {
        WorkRoot::open(&self.dir).map_err(|error| Halt::of(&error, true))
    }

    /// A marker that cannot be read is none.
    async fn marker(&self) -> Option<Marker> {
        let file = self.marker_file();
        let bytes = blocking(move || std::fs::read(file)).await.ok()?;
        let marker: Marker = serde_json::from_slice(&bytes).ok()?;
        (marker.promotion == self.cx.promotion.as_str()).then_some(marker)
    }

    async fn mark(&self, holds: Vec<Call>) -> Result<(), Halt> {
        let marker = Marker { promotion: self.cx.promotion.to_string(), holds };
        let text = json!(marker).to_string();
        let (dir, name) = (self.dir.clone(), self.marker_name());
        let written = blocking(move || {
            let dir = std::fs::File::open(dir)?;
            write_atomic(&dir, Path::new(&name), text.as_bytes(), MARKER_MODE)
        });
        written.await.map_err(|error| self.io("write", &error))
    }

    /// Says that the directory cannot be relied on.
    pub(super) async fn unmark(&self) -> Result<(), Halt> {
        let file = self.marker_file();
        match blocking(move || std::fs::remove_file(file)).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(self.io("remove", &error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn marker_name(&self) -> String {
        format!("{}.json", self.key.as_str())
    }

    fn marker_file(&self) -> PathBuf {
        self.dir.join(self.marker_name())
    }

    fn io(&self, action: &str, error: &std::io::Error) -> Halt {
        Halt::later(format_args!("cannot {action} {}: {error}", self.marker_file().display()))
    }
}

impl<'a> Change<'a> {
    /// Whether it may take much room.
    fn brings_much(&self) -> bool {
        match self {
            Self::Clone(_)
            | Self::Download(_)
            | Self::Pull(_)
            | Self::Render(_)
            | Self::Chart(_) => true,
            Self::File(file) => match file {
                FileCall::Copy { .. } | FileCall::Tar { .. } | FileCall::Untar { .. } => true,
                FileCall::Delete { .. }
                | FileCall::Clear { .. }
                | FileCall::Write { .. }
                | FileCall::Template { .. }
                | FileCall::Merge { .. }
                | FileCall::Update { .. }
                | FileCall::Images { .. } => false,
            },
            Self::Run(..) => true,
            Self::Update(_) => false,
        }
    }

    fn of(step: &'a StepName, call: &'a Call) -> Option<Self> {
        match call {
            Call::GitClone(clone) => Some(Self::Clone(clone)),
            Call::YamlUpdate(update) => Some(Self::Update(update)),
            Call::File(file) => Some(Self::File(file)),
            Call::Download(download) => Some(Self::Download(download)),
            Call::Oci(OciCall::Pull(pull)) => Some(Self::Pull(pull)),
            Call::Render(render) => Some(Self::Render(render)),
            Call::Chart(chart) => Some(Self::Chart(chart)),
            Call::Run(run) if run.effect.is_none() => Some(Self::Run(step, run)),
            Call::GitCommit(_)
            | Call::GitPush(_)
            | Call::GitRevert(_)
            | Call::GitTag(_)
            | Call::PullRequest(_)
            | Call::GitUntag(_)
            | Call::TfPlan(_)
            | Call::TfApply(_)
            | Call::TfOutput(_)
            | Call::TfImport(_)
            | Call::Http(_)
            | Call::Oci(
                OciCall::Look(_)
                | OciCall::Push(_)
                | OciCall::PutBack(_)
                | OciCall::Attach(_)
                | OciCall::Detach(_),
            )
            | Call::Parse(_)
            | Call::Run(_)
            | Call::Compose { .. }
            | Call::Fail { .. }
            | Call::Ask(_)
            | Call::Keep(_)
            | Call::Wait(_) => None,
        }
    }

    fn call(&self) -> Call {
        match *self {
            Self::Clone(clone) => Call::GitClone(clone.clone()),
            Self::Update(update) => Call::YamlUpdate(update.clone()),
            Self::File(file) => Call::File(file.clone()),
            Self::Download(download) => Call::Download(download.clone()),
            Self::Pull(pull) => Call::Oci(OciCall::Pull(pull.clone())),
            Self::Render(render) => Call::Render(render.clone()),
            Self::Chart(chart) => Call::Chart(chart.clone()),
            Self::Run(_, run) => Call::Run(run.clone()),
        }
    }
}

/// The name of a working directory among those of its promotion.
fn key(workdir: Workdir) -> WorkKey {
    let name = match workdir {
        Workdir::Main => "main".to_owned(),
        Workdir::Lane(first) => format!("lane-{first}"),
        Workdir::Undo => "undo".to_owned(),
    };
    name.parse().expect("letters, digits and `-`")
}

/// The call that gives the same directory again, whatever the branches do meanwhile.
fn pinned(mut call: Call, record: &Record) -> Call {
    if let (Call::GitClone(clone), Record::Clone(record)) = (&mut call, record) {
        for checkout in &mut clone.checkouts {
            if let (CheckoutAt::Branch(branch), Some(commit)) =
                (&checkout.at, record.commits.get(&checkout.dir))
            {
                let (branch, commit) = (branch.clone(), commit.clone());
                checkout.at = CheckoutAt::Pinned { branch, commit };
            }
        }
    }
    match call {
        Call::Oci(oci) => Call::Oci(oci.pinned(record.as_oci())),
        Call::Chart(chart) => Call::Chart(chart.pinned(record)),
        other => other,
    }
}

fn revision(repo: &RepoUrl, at: &CheckoutAt) -> Result<Revision, Halt> {
    match at {
        CheckoutAt::Branch(branch) => Ok(Revision::Branch(branch.clone())),
        CheckoutAt::Commit(commit) | CheckoutAt::Pinned { commit, .. } => {
            Ok(Revision::Commit(git::commit_id(repo, commit)?))
        }
    }
}

/// As texts see it: of a branch that is not there, none.
fn commit_text(id: &str) -> &str {
    if is_unborn(id) { "" } else { id }
}

/// A directory for a checkout, there and below the working directory.
fn place(dir: &WorkDir, path: &str) -> Result<PathBuf, Halt> {
    let relative = rel_path(path)?;
    dir.create_dir(&relative).map_err(|error| Halt::of(&error, false))
}

/// A path below the working directory as a call has it.
pub(super) fn rel_path(path: &str) -> Result<RelPath, Halt> {
    path.parse().map_err(|error: WorkdirError| Halt::of(&error, false))
}
