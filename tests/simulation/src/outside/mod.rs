//! The world outside: repositories, registries, infra states, receivers of requests, metrics. It carries out
//! one call at a time as the real effects do, which look before they act, and writes down each effect that
//! really happened.
//!
//! ```text
//! git       a branch with its history, three-way merges, reverts
//! workdir   what the calls that fill a working directory lead to
//! infra     states with serials, stored plans, runs
//! sources   new versions, measurements
//! ```

mod git;
mod infra;
mod sources;
mod workdir;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use reconciler_domain::id::{ProjectName, PromotionId, StageName, StepName};
use reconciler_domain::plan::Base;
use reconciler_domain::promotion::Node;
use reconciler_domain::step::{
    Call, CommitCall, CommitRecord, FileChange, HttpCall, PlanRecord, PushCall, PushRecord, Record,
    RevertCall, Seen, StepOutcome, Unseen,
};
use serde_json::{Map, Value, json};

pub(crate) use git::Changes;
use git::Repo;
pub(crate) use infra::InfraState;
use infra::StoredPlan;

use crate::bug::Bug;

/// A request that is under way.
pub(crate) type FlightId = u64;

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is refused before anything happens, and may be tried again: 429, 503.
    Refused,
    /// It happens, and the answer is lost.
    ReplyLost,
    /// It fails half-way, for good.
    Breaks,
    /// It is cut off, and nobody can know how far it got.
    CutOff,
}

/// Who asks for a call to be carried out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) project: &'a ProjectName,
    pub(crate) stage: &'a StageName,
    pub(crate) promotion: &'a PromotionId,
    pub(crate) node: &'a Node,
}

impl Asked<'_> {
    fn promotion_key(&self) -> String {
        format!("{}/{}", self.project, self.promotion)
    }
}

/// An effect that really happened.
#[derive(Debug, Clone)]
pub(crate) struct Happened {
    pub(crate) project: ProjectName,
    pub(crate) promotion: PromotionId,
    pub(crate) node: Node,
    pub(crate) effect: Effect,
}

/// What an effect did.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    /// A commit is on its branch.
    Pushed(Changes),
    /// A commit was taken back.
    Reverted,
    /// A plan was applied, and changed these addresses.
    Applied { plan: Box<PlanRecord>, changed: BTreeSet<String> },
    /// A request was received.
    Received,
}

#[derive(Debug, Default)]
pub(crate) struct Outside {
    repos: BTreeMap<String, Repo>,
    images: BTreeMap<String, Vec<String>>,
    pub(crate) states: BTreeMap<String, InfraState>,
    /// Stored plans by promotion, then by the digest of their file.
    plans: HashMap<String, HashMap<String, StoredPlan>>,
    plans_made: u64,
    /// Applies that ended, by run and plan.
    runs: HashMap<String, StepOutcome>,
    /// Keys of the requests that receivers have seen.
    requests: BTreeSet<String>,
    /// Whether a plan with changes does not know the output `url`.
    unknown_outputs: bool,
    /// Effects that happened since somebody last looked.
    news: Vec<Happened>,
    bug: Option<Bug>,
}

impl Outside {
    pub(crate) fn with(bug: Option<Bug>, unknown_outputs: bool) -> Self {
        Self { unknown_outputs, bug, ..Self::default() }
    }

    /// Makes a repository with a first commit.
    pub(crate) fn found_repo(&mut self, url: &str, values: &[(&str, &str)]) {
        let mut repo = Repo::default();
        let changes = values.iter().map(|(k, v)| ((*k).to_owned(), Some((*v).to_owned())));
        let first = repo.commit(0, changes.collect(), "first");
        repo.land(first);
        self.repos.insert(url.to_owned(), repo);
    }

    /// Someone pushes a value past Lockstep.
    pub(crate) fn push_by_hand(&mut self, url: &str, key: &str, value: &str) {
        let Some(repo) = self.repos.get_mut(url) else { return };
        let changes = Changes::from([(key.to_owned(), Some(value.to_owned()))]);
        let tip = repo.tip();
        let commit = repo.commit(tip, changes, &format!("by hand on {tip}"));
        repo.land(commit);
    }

    fn repo(&self, url: &str) -> Result<&Repo, String> {
        self.repos.get(url).ok_or_else(|| format!("there is no repository {url}"))
    }

    /// A value at the tip of a branch.
    pub(crate) fn value(&self, url: &str, key: &str) -> Option<&str> {
        let repo = self.repos.get(url)?;
        repo.value(key, repo.tip())
    }

    /// Effects that happened since this was last asked.
    pub(crate) fn take_news(&mut self) -> Vec<Happened> {
        std::mem::take(&mut self.news)
    }

    fn happened(&mut self, asked: &Asked<'_>, effect: Effect) {
        self.news.push(Happened {
            project: asked.project.clone(),
            promotion: asked.promotion.clone(),
            node: asked.node.clone(),
            effect,
        });
    }

    /// Forgets what a promotion that is over left behind for its own use.
    pub(crate) fn clean(&mut self, project: &ProjectName, id: &PromotionId) {
        self.plans.remove(&format!("{project}/{id}"));
    }

    /// Carries out one call.
    pub(crate) fn run(
        &mut self,
        asked: &Asked<'_>,
        call: &Call,
        rebuild: &[(StepName, Call)],
        trouble: Option<Trouble>,
    ) -> StepOutcome {
        if trouble == Some(Trouble::Refused) {
            return failed("503: come back later", true);
        }
        if call.only_asks() {
            return match trouble {
                Some(Trouble::ReplyLost) => failed("the connection was reset", true),
                Some(Trouble::Refused | Trouble::Breaks | Trouble::CutOff) | None => {
                    self.look_for(asked, call)
                }
            };
        }
        let outcome = match call {
            Call::GitClone(clone) => match self.resolve(clone) {
                Ok(record) => done(json!({ "commits": record.commits }), Record::Clone(record)),
                Err(message) => failed(message, false),
            },
            Call::YamlUpdate(_) => done(json!({ "changed": true }), Record::None),
            Call::GitCommit(commit) => self.commit(commit, rebuild),
            Call::GitPush(push) => self.push(asked, push, rebuild),
            Call::GitRevert(revert) => self.revert(asked, revert),
            Call::TfPlan(plan) => self.plan(asked, plan, rebuild),
            Call::TfApply(apply) => return self.apply(asked, apply, trouble),
            Call::TfOutput(output) => self.output(asked, output),
            Call::Http(http) => return self.receive(asked, http, trouble),
            Call::TfImport(_)
            | Call::GitTag(_)
            | Call::GitUntag(_)
            | Call::PullRequest(_)
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
            | Call::Wait(_) => {
                unreachable!("the pipelines have no such steps")
            }
        };
        match trouble {
            Some(Trouble::ReplyLost) => self.unanswered(call),
            Some(Trouble::Refused | Trouble::Breaks | Trouble::CutOff) | None => outcome,
        }
    }

    /// What was sent, and nobody saw what became of it.
    fn unanswered(&self, call: &Call) -> StepOutcome {
        let changes = call.unseen() != Unseen::Nothing && self.bug != Some(Bug::DoubtForgotten);
        let seen = if changes { Seen::Perhaps } else { Seen::Unsaid };
        let (message, retry_after) = ("the connection was reset".to_owned(), None);
        StepOutcome::Failed { message, retry: true, retry_after, record: Record::None, seen }
    }

    /// Looks for what nobody saw the end of.
    fn look_for(&self, asked: &Asked<'_>, call: &Call) -> StepOutcome {
        let there = |repo: &str, mark: String| {
            let repo = self.repos.get(repo)?;
            repo.marked(&mark).map(|commit| commit.id.clone())
        };
        let found = match call {
            Call::GitPush(push) => {
                there(&push.repo, asked.mark(&push.mark)).map(|id| pushed(push, Some(&id)))
            }
            Call::GitRevert(revert) => {
                there(&revert.repo, asked.mark(&format!("undo {}", revert.mark)))
                    .map(|_| done(json!({}), Record::None))
            }
            other => unreachable!("{other:?} is not looked for"),
        };
        let (message, retry_after) = ("it is not there".to_owned(), None);
        let (record, seen) = (Record::None, Seen::No);
        found.unwrap_or(StepOutcome::Failed { message, retry: false, retry_after, record, seen })
    }

    fn commit(&self, call: &CommitCall, rebuild: &[(StepName, Call)]) -> StepOutcome {
        let made = self.filled(rebuild).and_then(|workdir| self.committed(&workdir, call));
        let made = match made {
            Ok(made) => made,
            Err(message) => return failed(message, false),
        };
        let mut files: BTreeMap<String, FileChange> = BTreeMap::new();
        for (key, value) in made.iter().flat_map(|commit| &commit.changes) {
            let path = key.split_once('#').map_or(key.as_str(), |(path, _)| path);
            let change = files.entry(path.to_owned()).or_insert_with(|| FileChange {
                path: path.to_owned(),
                old_blob: None,
                new_blob: Some(String::new()),
                patch: String::new(),
            });
            let line = line(key, value.as_deref());
            change.patch.push_str(&line);
            change.new_blob.get_or_insert_default().push_str(&line);
        }
        let id = made.map(|commit| commit.id);
        let outputs = json!({ "changed": id.is_some(), "commit": id });
        let record = CommitRecord {
            dir: call.dir.clone(),
            repo: call.repo.clone(),
            base: call.base.clone(),
            commit: id,
            message: call.message.clone(),
            files: files.into_values().collect(),
        };
        done(outputs, Record::Commit(record))
    }

    fn push(
        &mut self,
        asked: &Asked<'_>,
        call: &PushCall,
        rebuild: &[(StepName, Call)],
    ) -> StepOutcome {
        let Some(wanted) = &call.commit else { return pushed(call, None) };
        let mark = asked.mark(&call.mark);
        let there = self.repos.get(&call.repo).and_then(|repo| repo.marked(&mark));
        if let Some(there) = there.filter(|_| self.bug != Some(Bug::ProbeSkipped)) {
            return pushed(call, Some(&there.id.clone()));
        }
        let workdir = match self.filled(rebuild) {
            Ok(workdir) => workdir,
            Err(message) => return failed(message, false),
        };
        let Some(own) = workdir.commits.into_iter().find(|commit| commit.id == *wanted) else {
            return failed(format!("the working directory has no commit {wanted}"), false);
        };
        let repo = self.repos.get_mut(&call.repo).expect("its commit was found");
        let changes = match repo.onto_tip(own.parent, &own.changes) {
            Ok(changes) => changes,
            Err(conflict) => {
                return failed(format!("others changed {:?} otherwise", conflict.0), false);
            }
        };
        let mut landing = repo.commit(repo.tip(), changes, &mark);
        if own.parent == repo.tip() {
            landing.id.clone_from(wanted);
        }
        let id = landing.id.clone();
        self.happened(asked, Effect::Pushed(landing.changes.clone()));
        self.repos.get_mut(&call.repo).expect("found above").land(landing);
        pushed(call, Some(&id))
    }

    fn revert(&mut self, asked: &Asked<'_>, call: &RevertCall) -> StepOutcome {
        let mark = asked.mark(&format!("undo {}", call.mark));
        let Some(repo) = self.repos.get_mut(&call.repo) else {
            return failed("the repository is gone", false);
        };
        if repo.marked(&mark).is_some() && self.bug != Some(Bug::ProbeSkipped) {
            return done(json!({}), Record::None);
        }
        let back = match repo.taken_back(&call.commit) {
            Ok(back) => back,
            Err(conflict) => return failed(format!("others changed {:?}", conflict.0), false),
        };
        let commit = repo.commit(repo.tip(), back, &mark);
        repo.land(commit);
        self.happened(asked, Effect::Reverted);
        done(json!({}), Record::None)
    }

    fn receive(
        &mut self,
        asked: &Asked<'_>,
        call: &HttpCall,
        trouble: Option<Trouble>,
    ) -> StepOutcome {
        let key = call.headers.get("Idempotency-Key").cloned().unwrap_or_default();
        let first = self.requests.insert(key);
        // The receiver knows the key; what must be sent at most once counts each time.
        if first || call.at_most_once || self.bug == Some(Bug::ProbeSkipped) {
            self.happened(asked, Effect::Received);
        }
        if matches!(trouble, Some(Trouble::ReplyLost | Trouble::CutOff)) {
            let message = "the answer was lost".to_owned();
            return if call.at_most_once {
                StepOutcome::Uncertain { message }
            } else {
                sent(message, true)
            };
        }
        if trouble == Some(Trouble::Breaks) {
            return sent("422: not like this", false);
        }
        let outputs = call.outputs.keys().map(|name| (name.clone(), json!(format!("the {name}"))));
        let outputs: Map<String, Value> = outputs.collect();
        StepOutcome::Done { outputs, record: Record::None }
    }

    /// What moved since a change set was made.
    pub(crate) fn probe(
        &self,
        project: &ProjectName,
        stage: &StageName,
        bases: &[Base],
    ) -> Vec<String> {
        let moved = bases.iter().filter_map(|base| match base {
            Base::Branch { repo, branch, commit } => {
                let known = self.repos.get(repo)?;
                let tip = known.id_at(known.tip());
                (tip != commit)
                    .then(|| format!("branch {branch} of {repo} moved from {commit} to {tip}"))
            }
            Base::Tag(_) => unreachable!("the pipelines have no such steps"),
            Base::State { plan, .. } => {
                let name = format!("{project}/{stage}/{}", plan.call.state);
                let serial = self.states.get(&name).map_or(0, |state| state.serial);
                let planned = plan.state.as_ref().map_or(0, |(_, serial)| *serial);
                (serial != planned).then(|| format!("state {name} moved"))
            }
        });
        moved.collect()
    }
}

impl Asked<'_> {
    /// A mark as it stands outside: promotions of two projects may have one id.
    fn mark(&self, mark: &str) -> String {
        format!("{}/{mark}", self.project)
    }
}

/// One changed key, as a line of a patch.
pub(crate) fn line(key: &str, value: Option<&str>) -> String {
    format!("{key}={}\n", value.unwrap_or("-"))
}

fn done(outputs: Value, record: Record) -> StepOutcome {
    let Value::Object(outputs) = outputs else { unreachable!("outputs are written as objects") };
    StepOutcome::Done { outputs, record }
}

fn failed(message: impl Into<String>, retry: bool) -> StepOutcome {
    let (message, retry_after, record) = (message.into(), None, Record::None);
    StepOutcome::Failed { message, retry, retry_after, record, seen: Seen::Unsaid }
}

/// A request that was received, and whose answer was not as wanted.
fn sent(message: impl Into<String>, retry: bool) -> StepOutcome {
    let (message, retry_after, record) = (message.into(), None, Record::Sent);
    StepOutcome::Failed { message, retry, retry_after, record, seen: Seen::Unsaid }
}

fn pushed(call: &PushCall, commit: Option<&String>) -> StepOutcome {
    let record = PushRecord {
        repo: call.repo.clone(),
        branch: call.branch.clone(),
        commit: commit.cloned(),
        mark: call.mark.clone(),
        created: false,
    };
    done(json!({ "branch": call.branch, "commit": commit }), Record::Push(record))
}
