//! The working directory of a promotion: never trusted, always explained.
//!
//! A directory is worth something only together with its *marker*, a file beside it that lists the
//! calls whose results are inside, in order. The marker goes before the first change of a call and
//! comes back after its last, so whatever a crash left half done has none. A call that finds
//! another list than the one it needs removes the directory and carries the needed calls out again.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use reconciler_domain::id::StepName;
use reconciler_domain::step::{
    Call, Checkout, CheckoutAt, CloneCall, CloneRecord, CommitCall, Record,
};
use rustix::fs::Mode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Done, Halt, RunContext, blocking, git, yaml};
use crate::Effects;
use crate::git::{CommitId, RepoUrl, Revision};
use crate::workdir::{RelPath, WorkDir, WorkKey, WorkRoot, WorkdirError, write_atomic};

const MARKER_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// A working directory and the calls that it is to hold.
pub(super) struct Workspace<'a> {
    effects: &'a Effects,
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

impl<'a> Workspace<'a> {
    pub(super) fn open(
        effects: &'a Effects,
        cx: &'a RunContext,
        rebuild: &'a [(StepName, Call)],
    ) -> Self {
        let dir = effects.layout().work(&cx.project, &cx.promotion);
        let key = cx.workdir.name().parse().expect("the names of the kinds are plain");
        Self { effects, cx, dir, key, rebuild }
    }

    /// A private directory for the infra tool's own files about the module `name`.
    pub(super) fn scratch(&self, name: &str) -> PathBuf {
        self.dir.join("scratch").join(self.key.as_str()).join(name)
    }

    /// The directory with the results of the needed calls in it.
    pub(super) async fn fill(&self) -> Result<WorkDir, Halt> {
        let needed: Vec<Call> = self.needed().cloned().collect();
        if self.marker().await.is_some_and(|marker| marker.holds == needed) {
            match self.root()?.open_dir(&self.key) {
                Ok(dir) => return Ok(dir),
                Err(WorkdirError::NotFound { .. }) => {}
                Err(error) => return Err(Halt::of(&error, true)),
            }
        }
        let dir = self.fresh().await?;
        for call in &needed {
            self.change(&dir, call).await?;
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

    /// What is left of the directory, for a tool that only asks the module about its surroundings.
    pub(super) async fn left(&self) -> Result<Option<WorkDir>, Halt> {
        self.unmark().await?;
        match self.root()?.open_dir(&self.key) {
            Ok(dir) => Ok(Some(dir)),
            Err(WorkdirError::NotFound { .. }) => Ok(None),
            Err(error) => Err(Halt::of(&error, true)),
        }
    }

    /// Carries out a call that changes the directory.
    pub(super) async fn advance(&self, call: &Call) -> Result<Done, Halt> {
        let dir = self.take().await?;
        let done = self.change(&dir, call).await?;
        let mut holds: Vec<Call> = self.needed().cloned().collect();
        holds.push(pinned(call, &done.record));
        self.mark(holds).await?;
        Ok(done)
    }

    /// Makes a lost commit again: everything from the beginning, commits included. Whether the
    /// commit was among the needed calls.
    pub(super) async fn commit_again(&self, wanted: &str) -> Result<bool, Halt> {
        let dir = self.fresh().await?;
        for (_, call) in self.rebuild {
            let Call::GitCommit(commit) = call else {
                self.change_if_local(&dir, call).await?;
                continue;
            };
            if self.is_made(&dir, commit, wanted).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn is_made(&self, dir: &WorkDir, call: &CommitCall, wanted: &str) -> Result<bool, Halt> {
        let done = git::commit(self.effects, self.cx, dir, call).await?;
        Ok(matches!(&done.record, Record::Commit(made) if made.commit.as_deref() == Some(wanted)))
    }

    async fn change_if_local(&self, dir: &WorkDir, call: &Call) -> Result<(), Halt> {
        if changes_directory(call) {
            self.change(dir, call).await?;
        }
        Ok(())
    }

    fn needed(&self) -> impl Iterator<Item = &'a Call> {
        self.rebuild.iter().map(|(_, call)| call).filter(|call| changes_directory(call))
    }

    async fn change(&self, dir: &WorkDir, call: &Call) -> Result<Done, Halt> {
        match call {
            Call::GitClone(clone) => self.clone(dir, clone).await,
            Call::YamlUpdate(update) => yaml::update(dir, update).await,
            Call::GitCommit(_)
            | Call::GitPush(_)
            | Call::GitRevert(_)
            | Call::TfPlan(_)
            | Call::TfApply(_)
            | Call::TfOutput(_)
            | Call::Http(_) => unreachable!("only calls that change the directory come here"),
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
            let commit = git.checkout(&repo, &revision, None, &place).await;
            found.insert(&checkout.dir, commit.map_err(|error| git::halt(&error))?);
        }
        let mut record = CloneRecord {
            repo: call.repo.clone(),
            commits: IndexMap::new(),
            branches: IndexMap::new(),
        };
        for checkout in &call.checkouts {
            record.commits.insert(checkout.dir.clone(), found[checkout.dir.as_str()].to_string());
            if let CheckoutAt::Branch(branch) | CheckoutAt::Pinned { branch, .. } = &checkout.at {
                record.branches.insert(checkout.dir.clone(), branch.clone());
            }
        }
        let commits =
            record.commits.iter().map(|(dir, id)| (dir.clone(), Value::from(id.as_str())));
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

    async fn unmark(&self) -> Result<(), Halt> {
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

fn changes_directory(call: &Call) -> bool {
    match call {
        Call::GitClone(_) | Call::YamlUpdate(_) => true,
        Call::GitCommit(_)
        | Call::GitPush(_)
        | Call::GitRevert(_)
        | Call::TfPlan(_)
        | Call::TfApply(_)
        | Call::TfOutput(_)
        | Call::Http(_) => false,
    }
}

/// The call that gives the same directory again, whatever the branches do meanwhile.
fn pinned(call: &Call, record: &Record) -> Call {
    let (Call::GitClone(clone), Record::Clone(record)) = (call, record) else {
        return call.clone();
    };
    let mut clone = clone.clone();
    for checkout in &mut clone.checkouts {
        if let (CheckoutAt::Branch(branch), Some(commit)) =
            (&checkout.at, record.commits.get(&checkout.dir))
        {
            let (branch, commit) = (branch.clone(), commit.clone());
            checkout.at = CheckoutAt::Pinned { branch, commit };
        }
    }
    Call::GitClone(clone)
}

fn revision(repo: &RepoUrl, at: &CheckoutAt) -> Result<Revision, Halt> {
    match at {
        CheckoutAt::Branch(branch) => Ok(Revision::Branch(branch.clone())),
        CheckoutAt::Commit(commit) | CheckoutAt::Pinned { commit, .. } => {
            Ok(Revision::Commit(git::commit_id(repo, commit)?))
        }
    }
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
