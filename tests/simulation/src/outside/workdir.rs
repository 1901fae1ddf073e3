//! Working directories: what the calls that fill one lead to. They are filled anew for each call, as after the
//! loss of a machine, so that nothing can hang on what an earlier process left there.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use reconciler_domain::id::StepName;
use reconciler_domain::step::{Call, CheckoutAt, CloneCall, CloneRecord, CommitCall};

use super::Outside;
use super::git::{Changes, Commit};

/// A tree below the working directory: a commit and what was changed since.
#[derive(Debug)]
pub(super) struct Checkout {
    pub(super) repo: String,
    pub(super) place: usize,
    pub(super) edits: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
pub(super) struct Workdir {
    pub(super) trees: BTreeMap<String, Checkout>,
    pub(super) commits: Vec<Commit>,
}

impl Outside {
    /// Which commits a clone puts where.
    pub(super) fn resolve(&self, call: &CloneCall) -> Result<CloneRecord, String> {
        let repo = self.repo(&call.repo)?;
        let mut commits = IndexMap::new();
        let mut branches = IndexMap::new();
        for checkout in &call.checkouts {
            let commit = match &checkout.at {
                CheckoutAt::Commit(commit) | CheckoutAt::Pinned { commit, .. } => commit.clone(),
                CheckoutAt::Branch(_) => repo.id_at(repo.tip()).to_owned(),
            };
            if repo.place_of(&commit).is_none() {
                return Err(format!("{} has no commit {commit}", call.repo));
            }
            if let CheckoutAt::Branch(branch) | CheckoutAt::Pinned { branch, .. } = &checkout.at {
                branches.insert(checkout.dir.clone(), branch.clone());
            }
            commits.insert(checkout.dir.clone(), commit);
        }
        Ok(CloneRecord { repo: call.repo.clone(), commits, branches, paths: BTreeMap::new() })
    }

    /// The working directory that these calls lead to.
    pub(super) fn filled(&self, calls: &[(StepName, Call)]) -> Result<Workdir, String> {
        let mut workdir = Workdir::default();
        for (_, call) in calls {
            match call {
                Call::GitClone(clone) => {
                    let record = self.resolve(clone)?;
                    let repo = self.repo(&clone.repo)?;
                    for (dir, commit) in record.commits {
                        let place = repo.place_of(&commit).expect("resolved above");
                        let (repo, edits) = (clone.repo.clone(), BTreeMap::new());
                        workdir.trees.insert(dir, Checkout { repo, place, edits });
                    }
                }
                Call::YamlUpdate(update) => {
                    let (dir, file) = update.path.split_once('/').unwrap_or((&update.path, ""));
                    let tree = workdir.trees.get_mut(dir);
                    let tree = tree.ok_or_else(|| format!("nothing is checked out at {dir}"))?;
                    for (key, value) in &update.updates {
                        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                        tree.edits.insert(format!("{file}#{key}"), text);
                    }
                }
                Call::GitCommit(commit) => {
                    let made = self.committed(&workdir, commit)?;
                    workdir.commits.extend(made);
                }
                Call::GitPush(_)
                | Call::GitRevert(_)
                | Call::GitTag(_)
                | Call::GitUntag(_)
                | Call::PullRequest(_)
                | Call::TfPlan(_)
                | Call::TfApply(_)
                | Call::TfOutput(_)
                | Call::TfImport(_)
                | Call::Http(_)
                | Call::File(_)
                | Call::Download(_)
                | Call::Oci(_)
                | Call::Render(_)
                | Call::Chart(_)
                | Call::Parse(_)
                | Call::Run(_)
                | Call::Compose { .. }
                | Call::Fail { .. }
                | Call::Ask(_)
                | Call::Keep(_)
                | Call::Wait(_) => {}
            }
        }
        Ok(workdir)
    }

    /// The commit that a call makes of a checkout; `None`: nothing has changed.
    pub(super) fn committed(
        &self,
        workdir: &Workdir,
        call: &CommitCall,
    ) -> Result<Option<Commit>, String> {
        let tree = workdir.trees.get(&call.dir);
        let tree = tree.ok_or_else(|| format!("nothing is checked out at {}", call.dir))?;
        let repo = self.repo(&tree.repo)?;
        let base = repo.place_of(&call.base).ok_or("the base of the commit is gone")?;
        let changed =
            tree.edits.iter().filter(|(key, value)| repo.value(key, base) != Some(value.as_str()));
        let changes: Changes =
            changed.map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
        Ok((!changes.is_empty()).then(|| repo.commit(base, changes, &call.mark)))
    }
}
