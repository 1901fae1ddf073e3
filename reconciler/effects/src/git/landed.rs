//! A branch while commits are built on it, and what is known of its history.
//!
//! Many wishes ask the same of one history: is this commit there, is this trailer there? It is
//! walked once for all of them, and what is added meanwhile is added to what is known.

use std::collections::{HashMap, HashSet};

use git2::{Oid, Sort};

use super::commit::{Trailer, trailer_lines};
use super::error::GitError;
use super::id::CommitId;
use super::mirror::Job;

/// Commits of a history that are searched.
pub(super) const SEARCH: usize = 20_000;

/// A branch as it will be: its tip on the server, and what was built on it.
pub(super) struct Chain<'a> {
    job: &'a Job,
    branch: String,
    tip: Option<CommitId>,
    known: Option<Known>,
}

/// The part of a history that does not lead to `floor`.
struct Known {
    /// Where the walk ended; absent: nowhere.
    floor: Option<Oid>,
    /// Whether the floor itself is part of the history.
    floor_is_part: bool,
    /// Whether the walk was not cut.
    complete: bool,
    commits: HashSet<Oid>,
    /// The newest commit by trailer.
    trailers: HashMap<String, Oid>,
    /// What joined a commit to the branch, by the commit.
    joined: HashMap<Oid, Oid>,
}

impl<'a> Chain<'a> {
    pub(super) fn new(job: &'a Job, branch: &str, tip: Option<CommitId>) -> Self {
        Self { job, branch: branch.to_owned(), tip, known: None }
    }

    pub(super) fn job(&self) -> &'a Job {
        self.job
    }

    pub(super) fn branch(&self) -> &str {
        &self.branch
    }

    /// What the next commit stands on; absent: there is no such branch yet.
    pub(super) fn tip(&self) -> Option<&CommitId> {
        self.tip.as_ref()
    }

    /// Whether the branch has the commit. `base` is a commit before it; absent: it has none.
    pub(super) fn has(&mut self, commit: Oid, base: Option<Oid>) -> Result<bool, GitError> {
        let Some(tip) = self.tip.as_ref().map(CommitId::oid) else { return Ok(false) };
        let job = self.job;
        let known = self.known(base)?;
        if known.holds(commit) {
            return Ok(true);
        }
        if known.complete { Ok(false) } else { job.is_ancestor(commit, tip) }
    }

    /// The merge by which the commit came to the branch after `base`.
    pub(super) fn joined(
        &mut self,
        commit: Oid,
        base: Option<Oid>,
    ) -> Result<Option<CommitId>, GitError> {
        if self.tip.is_none() {
            return Ok(None);
        }
        Ok(self.known(base)?.joined.get(&commit).map(|id| CommitId::from(*id)))
    }

    /// The newest commit with this trailer that came after `base`.
    pub(super) fn carrying(
        &mut self,
        trailer: &Trailer,
        base: Option<Oid>,
    ) -> Result<Option<CommitId>, GitError> {
        if self.tip.is_none() {
            return Ok(None);
        }
        Ok(self.known(base)?.trailers.get(&trailer.line()).map(|id| CommitId::from(*id)))
    }

    /// The commits up to `ours` that the branch lacks, oldest first, if a straight line of at most
    /// `max` leads from what it has to them; with what that line starts from.
    pub(super) fn line(
        &mut self,
        ours: Oid,
        max: usize,
    ) -> Result<Option<(Oid, Vec<Oid>)>, GitError> {
        let job = self.job;
        let fail = job.fail("reading a history");
        let (mut at, mut line) = (ours, Vec::new());
        let tip = self.tip.as_ref().map(CommitId::oid);
        while line.len() <= max {
            if Some(at) == tip || self.known.as_ref().is_some_and(|known| known.holds(at)) {
                line.reverse();
                return Ok(Some((at, line)));
            }
            line.push(at);
            let commit = job.repository.find_commit(at).map_err(&fail)?;
            if commit.parent_count() != 1 {
                return Ok(None);
            }
            at = commit.parent_id(0).map_err(&fail)?;
        }
        Ok(None)
    }

    /// Puts a commit on top, with its ancestors that the branch lacks.
    pub(super) fn add(&mut self, commit: &CommitId) -> Result<(), GitError> {
        let line = self.line(commit.oid(), SEARCH)?;
        self.tip = Some(commit.clone());
        let (Some((_, line)), Some(known)) = (line, &mut self.known) else {
            // It is walked again when somebody asks.
            self.known = None;
            return Ok(());
        };
        let fail = self.job.fail("reading a history");
        for id in line {
            known.note(&self.job.repository.find_commit(id).map_err(&fail)?);
        }
        Ok(())
    }

    /// The history after `base`, or more of it.
    fn known(&mut self, base: Option<Oid>) -> Result<&Known, GitError> {
        let floor = match &self.known {
            None => base,
            Some(known) => match known.floor_for(self.job, base)? {
                Floor::Covers => return Ok(self.known.as_ref().expect("it was just looked at")),
                Floor::Lower(floor) => floor,
            },
        };
        let tip = self.tip.as_ref().map(CommitId::oid);
        Ok(self.known.insert(Known::walk(self.job, tip, floor)?))
    }
}

/// Whether what is known of a history is enough.
enum Floor {
    Covers,
    /// It has to be walked down to there.
    Lower(Option<Oid>),
}

impl Known {
    /// Walks the history of `tip` that does not lead to `floor`.
    fn walk(job: &Job, tip: Option<Oid>, floor: Option<Oid>) -> Result<Self, GitError> {
        let mut known = Self {
            floor,
            floor_is_part: false,
            complete: true,
            commits: HashSet::new(),
            trailers: HashMap::new(),
            joined: HashMap::new(),
        };
        let Some(tip) = tip else { return Ok(known) };
        let fail = job.fail("searching the history");
        let mut walk = job.repository.revwalk().map_err(&fail)?;
        walk.set_sorting(Sort::TIME).map_err(&fail)?;
        walk.push(tip).map_err(&fail)?;
        if let Some(floor) = floor {
            walk.hide(floor).map_err(&fail)?;
            known.floor_is_part = job.is_ancestor(floor, tip)?;
        }
        let mut found = walk.take(SEARCH + 1).collect::<Result<Vec<Oid>, _>>().map_err(&fail)?;
        known.complete = found.len() <= SEARCH;
        found.truncate(SEARCH);
        // The oldest first, so that of two commits with one trailer the newest is named.
        for id in found.into_iter().rev() {
            job.check()?;
            known.note(&job.repository.find_commit(id).map_err(&fail)?);
        }
        Ok(known)
    }

    /// Whether the history that leads to no ancestor of `base` is known.
    fn floor_for(&self, job: &Job, base: Option<Oid>) -> Result<Floor, GitError> {
        let (Some(floor), Some(base)) = (self.floor, base) else {
            return Ok(if self.floor.is_none() { Floor::Covers } else { Floor::Lower(None) });
        };
        if floor == base || job.is_ancestor(floor, base)? {
            return Ok(Floor::Covers);
        }
        Ok(Floor::Lower(job.repository.merge_base(floor, base).ok()))
    }

    fn note(&mut self, commit: &git2::Commit<'_>) {
        self.commits.insert(commit.id());
        // The oldest is the one that brought it.
        for parent in commit.parent_ids().skip(1) {
            self.joined.entry(parent).or_insert(commit.id());
        }
        for line in trailer_lines(commit) {
            self.trailers.insert(line, commit.id());
        }
    }

    /// Whether the history is known to have this commit.
    fn holds(&self, commit: Oid) -> bool {
        self.commits.contains(&commit) || (self.floor_is_part && self.floor == Some(commit))
    }
}
