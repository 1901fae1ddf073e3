//! The walk over the steps of one preparation.
//!
//! Steps are walked in order. A local step runs as soon as its inputs are known. What needs an
//! output, a file or a state that exists only after a later effect is *deferred*: its place, files,
//! keys and the text of its expressions are fixed in the change set, only values may vary. A
//! deferred argument that would decide *where* a step acts is refused.

mod infra;

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use jiff::Timestamp;
use serde_json::Value;

use super::{unchanged, undo};
use crate::expression::{Expression, Reference, Scope};
use crate::id::{FreightId, StepName, WarehouseName};
use crate::promotion::{
    ChangeSet, FilesOf, Frozen, InfraChange, PlannedStep, State, StepPlan, StepPrepared,
};
use crate::scope::{conditions, layered, outermost, scope};
use crate::secret;
use crate::snapshot::PromotionSnapshot;
use crate::step::{
    Call, Layer, Nature, OciRecord, Place, Record, StateKey, Step, StepKind, TagMove, Touch,
    WorkdirContext, fields, places, plain_path, read_beside, top,
};
use crate::template::{references_json, render_json, render_partial};

/// What one step of the walk comes to.
pub(super) enum Progress {
    /// It is prepared, deferred, or an effect for later.
    Passed,
    /// It has to run now.
    Run(Box<Call>),
    /// It need not run: its outputs follow from a plan.
    Follows(Box<StepPrepared>),
    /// Its condition does not hold.
    PassOver(String),
}

/// The walk over the steps of one preparation.
pub(super) struct Walk<'a> {
    snapshot: &'a PromotionSnapshot,
    frozen: &'a Frozen,
    state: &'a State,
    scope: Scope,
    unknown: BTreeMap<&'a StepName, &'a BTreeSet<String>>,
    deferred: BTreeSet<&'a StepName>,
    /// Paths below the working directory that deferred steps will write.
    waiting_paths: Vec<(&'a Step, String)>,
    /// Applies of which it is not known yet whether they run.
    perhaps_applied: Vec<&'a Step>,
    /// Infra states that applies before this step change, with the step that does.
    applied_states: Vec<(&'a Step, StateKey)>,
    /// Directories of modules that were planned: their applies work there.
    modules: Vec<(&'a Step, String)>,
    /// Where what is in a directory was taken from: a repository, and a branch or commit of it.
    checkouts: Vec<(&'a Step, String, (Value, Value))>,
    /// Tags that are pushed, with the step that does.
    tags: BTreeMap<(&'a str, &'a str), &'a StepName>,
    planned: Vec<PlannedStep>,
    now: Timestamp,
}

/// What the conditions of a step come to.
enum Condition {
    Holds,
    Fails(String),
    /// It cannot be decided before what it reads is known.
    Waits(Vec<Reference>),
}

impl<'a> Walk<'a> {
    pub(super) fn new(snapshot: &'a PromotionSnapshot, frozen: &'a Frozen, now: Timestamp) -> Self {
        let state = &snapshot.state;
        Self {
            snapshot,
            frozen,
            state,
            scope: scope(&snapshot.promotion, frozen, state),
            unknown: state.unknown_outputs(),
            deferred: BTreeSet::new(),
            waiting_paths: Vec::new(),
            perhaps_applied: Vec::new(),
            applied_states: Vec::new(),
            modules: Vec::new(),
            checkouts: Vec::new(),
            tags: BTreeMap::new(),
            planned: Vec::new(),
            now,
        }
    }

    /// Looks at the next step.
    ///
    /// # Errors
    /// Why the promotion cannot be prepared, whenever it is tried.
    pub(super) fn step(&mut self, step: &'a Step) -> Result<Progress, String> {
        if let Some(passed) = self.state.passed_over.get(&step.name) {
            self.note_passed_over(step, passed.message.clone());
            return Ok(Progress::Passed);
        }
        if let Some((what, other)) = read_beside(self.frozen.stage.steps.iter(), step) {
            return Err(format!(
                "it reads {what}, but step {other} is carried out beside it: put this step after the \
                 group"
            ));
        }
        let undecided = match self.condition(step)? {
            Condition::Holds => None,
            Condition::Waits(reads) => Some(reads),
            Condition::Fails(why) => return Ok(Progress::PassOver(why)),
        };
        let scope = layered(&self.scope, &step.within)?;
        if step.uses.plans_infra() {
            self.modules.extend(text(step, "dir", &scope).map(|dir| (step, dir)));
        }
        if step.uses.nature() == Nature::Effect {
            self.note(step, &scope, StepPlan::Effect, undecided.is_some())?;
            if let Some(look) = self.look(step, &scope)? {
                return Ok(Progress::Run(Box::new(look)));
            }
            self.note_applied(step, undecided.is_some())?;
            return Ok(Progress::Passed);
        }
        let mut waits_for = self.waits_for(step, &scope)?;
        waits_for.extend(undecided.iter().flatten().map(ToString::to_string));
        waits_for.sort();
        waits_for.dedup();
        if !waits_for.is_empty() {
            self.defer(step, &scope, waits_for, undecided.is_some())?;
            return Ok(Progress::Passed);
        }
        self.note_checkout(step, &scope)?;
        if self.state.prepared.contains_key(&step.name) {
            self.note(step, &scope, StepPlan::Prepared, false)?;
            return Ok(Progress::Passed);
        }
        if step.uses == StepKind::TfOutput
            && let Some(prepared) = self.outputs_of_plan(step, &scope)?
        {
            return Ok(Progress::Follows(Box::new(prepared)));
        }
        let (config, secrets) = secret::rendered(&step.config, &scope)?;
        let records = self.state.records_before(&step.name);
        let context = WorkdirContext {
            project: &self.snapshot.project,
            promotion: &self.snapshot.promotion.id,
            step: &step.name,
            started_at: self.snapshot.promotion.created_at,
            begins_at: self.snapshot.promotion.created_at,
            steps: &self.frozen.stage.steps,
            records: &records,
            prepared: None,
        };
        let call = Call::new(step.uses, &config, &context).map_err(|error| error.to_string())?;
        let call = unchanged::decided(self.snapshot, call.with_secrets(secrets), self.now);
        Ok(Progress::Run(Box::new(call)))
    }

    /// What the step's conditions come to, outermost first: what stands behind one that fails, or
    /// cannot be decided yet, is not asked.
    fn condition(&self, step: &Step) -> Result<Condition, String> {
        let mut waits = Vec::new();
        for (when, within) in conditions(step) {
            let late = when.references().iter().flat_map(|read| self.late(read, within));
            waits.extend(late);
            if waits.is_empty()
                && let Some(why) = fails(when, within, &self.scope)?
            {
                return Ok(Condition::Fails(why));
            }
        }
        Ok(if waits.is_empty() { Condition::Holds } else { Condition::Waits(waits) })
    }

    /// A checkout empties its directory. Steps before it that still have to work there after the
    /// commit would find something else: what they changed is gone, and a module may be another.
    fn note_checkout(&mut self, step: &'a Step, scope: &Scope) -> Result<(), String> {
        if step.uses != StepKind::GitClone {
            return Ok(());
        }
        let config = render_json(&step.config, scope).map_err(|error| error.to_string())?;
        let checkouts = config.get("checkout").and_then(Value::as_object);
        for (dir, at) in checkouts.into_iter().flatten() {
            let source = (config["repo"].clone(), at.clone());
            let inside =
                |(other, path): &(&Step, String)| step.sees(other) && is_beneath(path, dir);
            let there = |(other, place, _): &&(&Step, String, (Value, Value))| {
                step.sees(other) && place == dir
            };
            let before = self.checkouts.iter().rev().find(there);
            let same = before.is_none_or(|(_, _, before)| *before == source);
            let needed = self.waiting_paths.iter().any(inside);
            if needed || (!same && self.modules.iter().any(inside)) {
                return Err(format!(
                    "it would empty directory {dir:?}, where a step before it still has to work \
                     after the commit; give this checkout a directory of its own"
                ));
            }
            self.checkouts.push((step, dir.clone(), source));
        }
        Ok(())
    }

    /// Outputs, files or plans of later effects that the step needs, in words.
    fn waits_for(&self, step: &Step, scope: &Scope) -> Result<Vec<String>, String> {
        let references = references_json(&step.config).map_err(|error| error.to_string())?;
        let mut waits: BTreeSet<String> = references
            .iter()
            .flat_map(|reference| self.late(reference, &step.within))
            .map(|reference| reference.to_string())
            .collect();
        for place in touched(step, scope, |touch| touch != Touch::Names) {
            let inside = |(other, path): &&(&Step, String)| {
                step.sees(other) && (is_beneath(path, &place) || is_beneath(&place, path))
            };
            let inside = self.waiting_paths.iter().filter(inside);
            waits.extend(inside.map(|(_, path)| format!("file {path}")));
        }
        if step.uses.plans_infra() {
            waits.extend(self.applies_before(step, scope)?);
        }
        if step.uses == StepKind::TfOutput {
            let seen = self.perhaps_applied.iter().filter(|other| step.sees(other));
            waits.extend(seen.map(|other| format!("steps.{}", other.name)));
        }
        Ok(waits.into_iter().collect())
    }

    /// What an effect has to look at first, if it has not.
    fn look(&mut self, step: &'a Step, scope: &Scope) -> Result<Option<Call>, String> {
        if !step.uses.is_foreseen() {
            return Ok(None);
        }
        if let Some(prepared) = self.state.prepared.get(&step.name) {
            if let Record::Oci(OciRecord::Looked(TagMove { repo, tag, .. })) = &prepared.record
                && let Some(other) = self.tags.insert((repo, tag), &step.name)
            {
                return Err(format!(
                    "tag {tag} of {repo} is pushed by step {other} before: push it once"
                ));
            }
            return Ok(None);
        }
        let config = render_json(&step.config, scope).map_err(|error| error.to_string())?;
        Call::look(step.uses, &config).map_err(|error| error.to_string())
    }

    fn note_applied(&mut self, step: &'a Step, perhaps: bool) -> Result<(), String> {
        let is_certain = !perhaps && !step.control.continue_on_error;
        if !(step.uses.is_foreseen() && is_certain) {
            self.deferred.insert(&step.name);
        }
        if step.uses != StepKind::TfApply {
            return Ok(());
        }
        self.note_apply(step)?;
        self.perhaps_applied.extend(perhaps.then_some(step));
        Ok(())
    }

    /// What a reference of a step in these layers has to wait for.
    fn late(&self, reference: &Reference, within: &[Layer]) -> Vec<Reference> {
        let read = outermost(reference, within).into_iter();
        read.filter(|reference| self.is_deferred(reference)).collect()
    }

    /// Whether a reference reads what exists only after a later effect.
    fn is_deferred(&self, reference: &Reference) -> bool {
        let Reference::Path(path) = reference else { return false };
        let Some(("steps", read)) = path.split_first().map(|(root, rest)| (root.as_str(), rest))
        else {
            return false;
        };
        if self.deferred.iter().any(|step| step.read_by(read).is_some()) {
            return true;
        }
        self.unknown.iter().any(|(step, unknown)| match step.read_by(read) {
            Some([output, ..]) => unknown.contains(output),
            Some([]) => !unknown.is_empty(),
            None => false,
        })
    }

    fn defer(
        &mut self,
        step: &'a Step,
        scope: &Scope,
        waits_for: Vec<String>,
        undecided: bool,
    ) -> Result<(), String> {
        let paths = touched(step, scope, Touch::changes);
        self.waiting_paths.extend(paths.into_iter().map(|path| (step, path)));
        self.note(step, scope, StepPlan::Deferred { waits_for }, undecided)?;
        self.deferred.insert(&step.name);
        Ok(())
    }

    fn note_passed_over(&mut self, step: &Step, why: String) {
        let (name, uses, plan) = (step.name.clone(), step.uses, StepPlan::PassedOver { why });
        let within = Vec::new();
        let lane = step.lane.clone();
        self.planned.push(PlannedStep {
            name,
            uses,
            config: Value::Null,
            plan,
            when: None,
            within,
            lane,
        });
    }

    /// Adds a step to the change set, with what must wait marked as such.
    fn note(
        &mut self,
        step: &Step,
        scope: &Scope,
        plan: StepPlan,
        undecided: bool,
    ) -> Result<(), String> {
        let deferred = |reference: &Reference| !self.late(reference, &step.within).is_empty();
        let partial =
            render_partial(&step.config, scope, &deferred).map_err(|error| error.to_string())?;
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
        let whens = conditions(step).map(|(when, _)| when.source());
        let whens: Vec<&str> = whens.filter(|_| undecided).collect();
        let when = match whens.as_slice() {
            [] => None,
            [one] => Some((*one).to_owned()),
            [..] => {
                Some(whens.iter().map(|when| format!("({when})")).collect::<Vec<_>>().join(" && "))
            }
        };
        // A condition that is waited for reads what the step stands in.
        let waits = undecided || !partial.deferred.is_empty() || step.uses == StepKind::Wait;
        self.planned.push(PlannedStep {
            name: step.name.clone(),
            uses: step.uses,
            config: partial.value,
            plan,
            when,
            within: if waits { step.within.clone() } else { Vec::new() },
            lane: step.lane.clone(),
        });
        Ok(())
    }

    /// What the promotion will do, after the last step.
    pub(super) fn change_set(self) -> ChangeSet {
        let mut files = Vec::new();
        let mut infra = Vec::new();
        for (name, done) in &self.state.prepared {
            match &done.record {
                Record::Commit(commit) => files.push(FilesOf {
                    step: name.clone(),
                    repo: commit.repo.clone(),
                    branch: self.branch_of(name, &commit.dir),
                    files: commit.files.clone(),
                }),
                Record::Plan(plan) => infra.push(InfraChange {
                    step: name.clone(),
                    dir: plan.call.dir.clone(),
                    summary: plan.summary.clone(),
                    digest: plan.semantic_digest,
                }),
                Record::None
                | Record::Clone(_)
                | Record::Push(_)
                | Record::Tag(_)
                | Record::Oci(_)
                | Record::Charts(_)
                | Record::PullRequest(_)
                | Record::Kept(_)
                | Record::Imports(_)
                | Record::Applied(_)
                | Record::Stale
                | Record::Sent
                | Record::Ran(_) => {}
            }
        }
        let collection: IndexMap<WarehouseName, FreightId> = self
            .frozen
            .collection
            .iter()
            .map(|(warehouse, freight)| (warehouse.clone(), freight.id.clone()))
            .collect();
        let undo = undo::describe(self.frozen, self.state);
        ChangeSet::new(collection, self.planned, files, infra, undo)
    }

    /// Whether a step sees what that one does.
    fn is_seen(&self, other: &StepName, step: &Step) -> bool {
        let mut steps = self.frozen.stage.steps.iter();
        steps.find(|known| known.name == *other).is_none_or(|other| step.sees(other))
    }

    /// The branch that a push step sends what this step committed to.
    fn branch_of(&self, commit: &StepName, dir: &str) -> Option<String> {
        let committed = self.frozen.stage.steps.iter().find(|step| step.name == *commit)?;
        let pushes = |planned: &&PlannedStep| {
            planned.uses == StepKind::GitPush
                && self.is_seen(&planned.name, committed)
                && planned.config.get("dir").and_then(Value::as_str) == Some(dir)
        };
        let push = self.planned.iter().find(pushes)?;
        if let Some(branch) = push.config.get("branch").and_then(Value::as_str) {
            return Some(branch.to_owned());
        }
        let done =
            self.state.prepared.iter().rev().filter(|(name, _)| self.is_seen(name, committed));
        let clones = done.filter_map(|(_, done)| done.record.as_clone());
        clones.filter_map(|clone| clone.branches.get(dir)).next().cloned()
    }
}

/// Why a step is passed over; absent: it is carried out. `scope` is its promotion's.
///
/// # Errors
/// Its condition has no value.
pub(super) fn refusal(step: &Step, scope: &Scope) -> Result<Option<String>, String> {
    for (when, within) in conditions(step) {
        if let Some(why) = fails(when, within, scope)? {
            return Ok(Some(why));
        }
    }
    Ok(None)
}

/// Why a condition in these layers does not hold; absent: it does.
fn fails(when: &Expression, within: &[Layer], scope: &Scope) -> Result<Option<String>, String> {
    let scope = layered(scope, within)?;
    let holds = when.holds(&scope).map_err(|error| format!("when: {error}"))?;
    Ok((!holds).then(|| format!("`{when}` does not hold")))
}

/// The files and directories below the working directory that a step touches so; as written where
/// they cannot be rendered yet.
fn touched(step: &Step, scope: &Scope, wanted: impl Fn(Touch) -> bool) -> Vec<String> {
    let places = places(step.uses, &step.config).into_iter();
    let wanted = places.filter(|place| wanted(place.touch));
    let path = |place: Place<'_>| {
        let path = plain_path(&rendered(&Value::from(place.path), scope).unwrap_or_default());
        if place.touch == Touch::ReadsAround { top(&path).to_owned() } else { path }
    };
    wanted.map(path).collect()
}

/// A rendered text argument; as written where it cannot be rendered yet.
fn text(step: &Step, name: &str, scope: &Scope) -> Option<String> {
    rendered(step.config.get(name)?, scope)
}

fn rendered(written: &Value, scope: &Scope) -> Option<String> {
    let rendered = render_json(written, scope).ok();
    rendered.as_ref().unwrap_or(written).as_str().map(str::to_owned)
}

/// The arguments, each rendered where it can be and else as written.
fn rendered_config(config: &Value, scope: &Scope) -> Value {
    let arguments = config.as_object().into_iter().flatten();
    let rendered = arguments.map(|(name, value)| {
        (name.clone(), render_json(value, scope).unwrap_or_else(|_| value.clone()))
    });
    Value::Object(rendered.collect())
}

fn is_beneath(path: &str, dir: &str) -> bool {
    let dir = dir.trim_end_matches('/');
    path == dir || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/')) || dir == "."
}
