//! Preparing: everything that has no outside effect and whose inputs are known is done, so that
//! people and policies judge what a promotion will do.
//!
//! Steps are walked in order. A local step runs as soon as its inputs are known. What needs an
//! output that exists only after a later effect is *deferred*: its place, files, keys and the text
//! of its expressions are fixed in the change set, only values may vary. A deferred argument that
//! would decide *where* a step acts is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::promotion::{Act, Move};
use super::{Collection, Waiting, undo};
use crate::expression::{Reference, Scope};
use crate::id::{FreightId, StepName, WarehouseName};
use crate::promotion::{
    ChangeSet, Ending, Event, FilesOf, Finish, Frozen, InfraChange, PlannedStep, State, StepPlan,
    StepPrepared,
};
use crate::scope::scope;
use crate::snapshot::PromotionSnapshot;
use crate::step::{Call, Nature, PlannedOutput, Record, Step, StepKind, WorkdirContext, fields};
use crate::template::{references_json, render_json, render_partial};

/// Failures of preparation in a row after which the promotion fails.
const FAILURES_MAX: u32 = 8;
/// Wait after the first failure; doubled after each further one.
const RETRY_MIN: Duration = Duration::from_secs(5);

pub(super) fn next(snapshot: &PromotionSnapshot, now: Timestamp) -> Move {
    let state = &snapshot.state;
    let Some(frozen) = &state.frozen else { return start(snapshot) };
    if snapshot.stage.as_ref().map(|stage| stage.generation) != Some(frozen.generation) {
        return start(snapshot);
    }
    if let Some(failure) = &state.prepare_failure {
        return after_failure(snapshot, failure, now);
    }
    let mut walk = Walk::new(snapshot, frozen);
    for step in &frozen.stage.steps {
        match walk.step(step) {
            Ok(Progress::Passed) => {}
            Ok(Progress::Run(call)) => {
                let rebuild = state.rebuild();
                let step = step.name.clone();
                return Move::act(Act::Prepare { step, call, rebuild });
            }
            Ok(Progress::Follows(prepared)) => {
                return Move::append(Event::StepPrepared(prepared));
            }
            Err(message) => {
                let step = Some(step.name.clone());
                return Move::append(Event::PrepareFailed { step, message, retry: false });
            }
        }
    }
    Move::append(Event::Prepared(Box::new(walk.change_set())))
}

/// Begins a preparation, for the first time or anew.
pub(super) fn start(snapshot: &PromotionSnapshot) -> Move {
    let Some(stage) = &snapshot.stage else { return Move::default() };
    let collection = match collection(snapshot) {
        Ok(collection) => collection,
        Err(missing) => {
            return Move::wait(Waiting {
                subject: format!("promotion {}", snapshot.promotion.id),
                reason: "CollectionIncomplete",
                message: format!(
                    "the stage also requests freight of {missing}, and none has been promoted \
                     to it yet: promote some first"
                ),
                until: None,
            });
        }
    };
    let attempt = snapshot.state.frozen.as_ref().map_or(0, |frozen| frozen.attempt) + 1;
    Move::append(Event::PrepareStarted(Box::new(Frozen {
        attempt,
        project: snapshot.project.clone(),
        generation: stage.generation,
        stage: stage.spec.clone(),
        templates: snapshot.templates.clone(),
        collection,
        previous: snapshot.previous.clone(),
    })))
}

/// The promoted freight, and of every other requested warehouse the freight that is in the stage.
fn collection(snapshot: &PromotionSnapshot) -> Result<Collection, WarehouseName> {
    let mut collection = Collection::new();
    let stage = snapshot.stage.as_ref().map(|stage| &stage.spec);
    for request in stage.into_iter().flat_map(|stage| &stage.requests) {
        let freight = if request.warehouse == snapshot.promotion.warehouse {
            Some(&snapshot.facts.freight)
        } else {
            snapshot.current.get(&request.warehouse)
        };
        let freight = freight.ok_or_else(|| request.warehouse.clone())?;
        collection.insert(request.warehouse.clone(), freight.clone());
    }
    Ok(collection)
}

fn after_failure(
    snapshot: &PromotionSnapshot,
    failure: &crate::promotion::PrepareFailure,
    now: Timestamp,
) -> Move {
    let place = match &failure.step {
        Some(step) => format!("step {step}"),
        None => "preparation".to_owned(),
    };
    let failures = snapshot.state.prepare_failures;
    if !failure.retry || failures >= FAILURES_MAX {
        return Move::append(Event::Finished(Finish {
            ending: Ending::Failed,
            message: format!("{place} failed before anything was changed: {}", failure.message),
            remaining: Vec::new(),
        }));
    }
    let pause = RETRY_MIN.saturating_mul(1 << failures.saturating_sub(1).min(8));
    let due = failure.at.checked_add(pause).unwrap_or(Timestamp::MAX);
    if due <= now {
        return start(snapshot);
    }
    Move::wait(Waiting {
        subject: format!("promotion {}", snapshot.promotion.id),
        reason: "PrepareFailed",
        message: format!("{place} failed and is tried again at {due}: {}", failure.message),
        until: Some(due),
    })
}

/// What one step of the walk comes to.
enum Progress {
    /// It is prepared, deferred, or an effect for later.
    Passed,
    /// It has to run now.
    Run(Box<Call>),
    /// It need not run: its outputs follow from a plan.
    Follows(Box<StepPrepared>),
}

/// The walk over the steps of one preparation.
struct Walk<'a> {
    snapshot: &'a PromotionSnapshot,
    frozen: &'a Frozen,
    state: &'a State,
    scope: Scope,
    unknown: BTreeMap<&'a StepName, &'a BTreeSet<String>>,
    deferred: BTreeSet<&'a str>,
    /// Paths below the working directory that deferred steps will write.
    waiting_paths: Vec<String>,
    planned: Vec<PlannedStep>,
}

impl<'a> Walk<'a> {
    fn new(snapshot: &'a PromotionSnapshot, frozen: &'a Frozen) -> Self {
        let state = &snapshot.state;
        Self {
            snapshot,
            frozen,
            state,
            scope: scope(&snapshot.promotion, frozen, state),
            unknown: state.unknown_outputs(),
            deferred: BTreeSet::new(),
            waiting_paths: Vec::new(),
            planned: Vec::new(),
        }
    }

    fn step(&mut self, step: &'a Step) -> Result<Progress, String> {
        let waits_for = self.waits_for(step)?;
        if step.uses.nature() == Nature::Effect {
            self.note(step, StepPlan::Effect)?;
            self.deferred.insert(step.name.as_str());
            return Ok(Progress::Passed);
        }
        if !waits_for.is_empty() {
            self.defer(step, waits_for)?;
            return Ok(Progress::Passed);
        }
        if self.state.prepared.contains_key(&step.name) {
            self.note(step, StepPlan::Prepared)?;
            return Ok(Progress::Passed);
        }
        if step.uses == StepKind::TfOutput
            && let Some(prepared) = self.outputs_of_plan(step)?
        {
            return Ok(Progress::Follows(Box::new(prepared)));
        }
        let config = render_json(&step.config, &self.scope).map_err(|error| error.to_string())?;
        let records = self.state.records();
        let context = WorkdirContext {
            promotion: &self.snapshot.promotion.id,
            step: &step.name,
            started_at: self.snapshot.promotion.created_at,
            records: &records,
        };
        let call = Call::new(step.uses, &config, &context).map_err(|error| error.to_string())?;
        Ok(Progress::Run(Box::new(call)))
    }

    /// Outputs, files or plans of later effects that the step needs, in words.
    fn waits_for(&self, step: &Step) -> Result<Vec<String>, String> {
        let references = references_json(&step.config).map_err(|error| error.to_string())?;
        let mut waits: BTreeSet<String> = references
            .iter()
            .filter(|reference| self.is_deferred(reference))
            .map(ToString::to_string)
            .collect();
        let text = |name: &str| step.config.get(name).and_then(Value::as_str);
        let reads = match step.uses {
            StepKind::GitCommit | StepKind::TfPlan | StepKind::TfOutput => text("dir"),
            StepKind::YamlUpdate => text("path"),
            StepKind::GitClone | StepKind::GitPush | StepKind::TfApply | StepKind::Http => None,
        };
        if let Some(reads) = reads {
            let inside = |path: &&String| is_beneath(path, reads) || is_beneath(reads, path);
            waits.extend(
                self.waiting_paths.iter().filter(inside).map(|path| format!("file {path}")),
            );
        }
        Ok(waits.into_iter().collect())
    }

    fn is_deferred(&self, reference: &Reference) -> bool {
        let Reference::Path(path) = reference else { return false };
        let [root, step, output @ ..] = path.as_slice() else { return false };
        if root != "steps" {
            return false;
        }
        if self.deferred.contains(step.as_str()) {
            return true;
        }
        let unknown = self.unknown.iter().find(|(name, _)| name.as_str() == step);
        unknown.is_some_and(|(_, unknown)| match output.first() {
            Some(output) => unknown.contains(output),
            None => !unknown.is_empty(),
        })
    }

    /// Outputs of a module whose apply comes before this step, as far as its plan knows them.
    fn outputs_of_plan(&self, step: &Step) -> Result<Option<StepPrepared>, String> {
        let dir = render_json(&step.config["dir"], &self.scope).map_err(|e| e.to_string())?;
        let planned =
            self.state.prepared.iter().rev().find_map(|(name, done)| match &done.record {
                Record::Plan(plan) if dir.as_str() == Some(&plan.call.dir) => Some((name, plan)),
                _ => None,
            });
        let Some((plan_step, plan)) = planned else { return Ok(None) };
        let applied_before =
            self.frozen.stage.steps.iter().take_while(|s| s.name != step.name).any(|other| {
                other.uses == StepKind::TfApply
                    && other.config.get("plan").and_then(Value::as_str) == Some(plan_step.as_str())
            });
        if !applied_before || !plan.summary.has_changes {
            return Ok(None);
        }
        let mut outputs = Map::new();
        let mut unknown = BTreeSet::new();
        for (name, output) in &plan.outputs {
            match output {
                PlannedOutput::Known(value) => {
                    outputs.insert(name.clone(), value.clone());
                }
                PlannedOutput::Unknown | PlannedOutput::Sensitive => {
                    unknown.insert(name.clone());
                }
            }
        }
        let record = Record::None;
        Ok(Some(StepPrepared { step: step.name.clone(), call: None, outputs, unknown, record }))
    }

    fn defer(&mut self, step: &'a Step, waits_for: Vec<String>) -> Result<(), String> {
        let writes = match step.uses {
            StepKind::YamlUpdate => step.config.get("path"),
            StepKind::TfPlan => step.config.get("dir"),
            StepKind::GitClone
            | StepKind::GitCommit
            | StepKind::GitPush
            | StepKind::TfApply
            | StepKind::TfOutput
            | StepKind::Http => None,
        };
        self.waiting_paths.extend(writes.and_then(Value::as_str).map(str::to_owned));
        self.note(step, StepPlan::Deferred { waits_for })?;
        self.deferred.insert(step.name.as_str());
        Ok(())
    }

    /// Adds a step to the change set, with what must wait marked as such.
    fn note(&mut self, step: &Step, plan: StepPlan) -> Result<(), String> {
        let deferred = |reference: &Reference| self.is_deferred(reference);
        let partial = render_partial(&step.config, &self.scope, &deferred)
            .map_err(|error| error.to_string())?;
        for waiting in &partial.deferred {
            let argument = waiting.path.trim_start_matches('/').split('/').next().unwrap_or("");
            let may_wait = fields(step.uses).iter().any(|f| f.name == argument && f.may_wait);
            if !may_wait {
                let names: Vec<String> =
                    waiting.references.iter().map(ToString::to_string).collect();
                return Err(format!(
                    "{argument} decides where the step acts, so it cannot wait for {}, which exists \
                     only after a later effect",
                    names.join(", "),
                ));
            }
        }
        let (name, uses, config) = (step.name.clone(), step.uses, partial.value);
        self.planned.push(PlannedStep { name, uses, config, plan });
        Ok(())
    }

    fn change_set(self) -> ChangeSet {
        let mut files = Vec::new();
        let mut infra = Vec::new();
        for (name, done) in &self.state.prepared {
            match &done.record {
                Record::Commit(commit) => files.push(FilesOf {
                    step: name.clone(),
                    repo: commit.repo.clone(),
                    branch: self.branch_of(&commit.dir),
                    files: commit.files.clone(),
                }),
                Record::Plan(plan) => infra.push(InfraChange {
                    step: name.clone(),
                    dir: plan.call.dir.clone(),
                    summary: plan.summary.clone(),
                    digest: plan.semantic_digest,
                }),
                Record::None | Record::Clone(_) | Record::Push(_) | Record::Applied(_) => {}
            }
        }
        let collection: indexmap::IndexMap<WarehouseName, FreightId> = self
            .frozen
            .collection
            .iter()
            .map(|(warehouse, freight)| (warehouse.clone(), freight.id.clone()))
            .collect();
        let undo = undo::describe(self.frozen, self.state);
        ChangeSet::new(collection, self.planned, files, infra, undo)
    }

    /// The branch that a push step sends the checkout to.
    fn branch_of(&self, dir: &str) -> Option<String> {
        let pushes = |planned: &&PlannedStep| {
            planned.uses == StepKind::GitPush
                && planned.config.get("dir").and_then(Value::as_str) == Some(dir)
        };
        let push = self.planned.iter().find(pushes)?;
        if let Some(branch) = push.config.get("branch").and_then(Value::as_str) {
            return Some(branch.to_owned());
        }
        self.state.prepared.values().rev().find_map(|done| match &done.record {
            Record::Clone(clone) => clone.branches.get(dir).cloned(),
            Record::None
            | Record::Commit(_)
            | Record::Push(_)
            | Record::Plan(_)
            | Record::Applied(_) => None,
        })
    }
}

fn is_beneath(path: &str, dir: &str) -> bool {
    let dir = dir.trim_end_matches('/');
    path == dir || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/')) || dir == "."
}
