//! Checks of the order of a stage's steps: what a step needs, an earlier one must have made, and what
//! decides where a step acts must be known before anything is changed.
//!
//! Only what is certain before a promotion is reported: a path or directory that is a template is
//! known when it is rendered, and so is an output that a plan may know.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Problem, ProblemKind, unknown};
use crate::expression::{Reference, Scope};
use crate::id::StepName;
use crate::scope::{conditions, layered, outermost};
use crate::stage::Stage;
use crate::step::{
    Expanded, Lane, Layer, Nature, Place, Step, StepKind, Touch, Wanted, expand, fields, places,
    plain_path, read_beside,
};
use crate::task::Tasks;
use crate::template::{references_json, render_json};

/// Checks the order of the steps, whose arguments are well formed.
pub(super) fn check_order(stage: &Stage, tasks: &Tasks<'_>, problems: &mut Vec<Problem>) {
    let expanded = match expanded(stage, tasks) {
        Ok(expanded) => expanded,
        Err(problem) => return problems.push(problem),
    };
    let mut found = Vec::new();
    let mut made = Made::default();
    // What was made before a group, and what the steps of the present lane see.
    let (mut before, mut lane_sees): (Option<(&Lane, Made<'_>)>, _) = (None, Made::default());
    for Expanded { step, origin } in &expanded {
        let mut wrong = Vec::new();
        let seen = match &step.lane {
            None => &made,
            Some(lane) => {
                let known = before.take().filter(|(other, _)| other.group == lane.group);
                let is_new = known.as_ref().is_none_or(|(other, _)| *other != lane);
                let (_, at_begin) = known.unwrap_or_else(|| (lane, made.clone()));
                if is_new {
                    lane_sees = at_begin.clone();
                }
                before = Some((lane, at_begin));
                &lane_sees
            }
        };
        seen.check_needs(step, &made.applied, *origin, &mut wrong);
        seen.check_waits(step, *origin, &mut wrong);
        let steps = expanded.iter().map(|expanded| &expanded.step);
        wrong.extend(read_beside(steps, step).map(|(what, other)| Problem {
            path: format!("steps[{origin}].config"),
            kind: ProblemKind::Invalid,
            message: format!(
                "it reads {what}, but step {other} is carried out beside it: put this step after the \
                 group"
            ),
        }));
        if step.lane.is_some() {
            lane_sees.note(step);
            // Outside of the lane nothing of it is seen but its outputs.
            made.note_outputs(step, &lane_sees);
        } else {
            made.note(step);
        }
        // What is wrong inside a task is told at the step that stands for it.
        let inside = step.within.iter().any(|layer| matches!(layer, Layer::Task { .. }));
        found.extend(wrong.into_iter().map(|problem| match inside {
            false => problem,
            true => Problem {
                path: format!("steps[{origin}].config.task"),
                message: format!("step {}: {}", step.name, problem.message),
                // The task is known; what is wrong is what it would do here.
                kind: ProblemKind::Invalid,
            },
        }));
    }
    found.extend(idle_imports(&expanded));
    // What is wrong with a step is wrong with it for each element.
    found.dedup();
    problems.extend(found);
}

/// Imports that no plan would do.
fn idle_imports(expanded: &[Expanded]) -> Vec<Problem> {
    let imports = expanded.iter().enumerate().filter(|(_, e)| e.step.uses == StepKind::TfImport);
    let idle = imports.filter_map(|(at, Expanded { step, origin })| {
        let dir = literal(step, "dir")?;
        let plans = |other: &Expanded| {
            other.step.uses == StepKind::TfPlan
                && other.step.sees(step)
                && literal(&other.step, "dir").is_none_or(|planned| plain_path(planned) == plain_path(dir))
        };
        let message = format!(
            "no tf_plan step after this one plans {dir:?}, so nothing would be imported: put one after it"
        );
        let inside = step.within.iter().any(|layer| matches!(layer, Layer::Task { .. }));
        let path = format!("steps[{origin}].config.{}", if inside { "task" } else { "dir" });
        let problem = Problem::new(path, ProblemKind::Invalid, message);
        (!expanded[at + 1..].iter().any(plans)).then_some(problem)
    });
    idle.collect()
}

/// The steps as they are carried out, as far as that is known before there is freight. Elements that
/// are not known yet are one.
pub(crate) fn expanded(stage: &Stage, tasks: &Tasks<'_>) -> Result<Vec<Expanded>, Problem> {
    let mut scope = Scope::new();
    scope.set("vars", json!(stage.vars));
    let resolve = |wanted: Wanted, value: &Value, within: &[Layer]| {
        let scope = layered(&scope, within)?;
        Ok(render_json(value, &scope).unwrap_or_else(|_| match wanted {
            Wanted::Elements => json!([null]),
            Wanted::StepName => value.clone(),
        }))
    };
    expand(&stage.steps, tasks, &resolve).map_err(|error| {
        let at = stage.steps.iter().position(|step| step.name == error.step).unwrap_or_default();
        Problem::new(format!("steps[{at}]"), ProblemKind::Invalid, error.message)
    })
}

/// What the steps so far have made.
#[derive(Default, Clone)]
struct Made<'a> {
    /// Checkouts by directory, and whether they are of a branch.
    checkouts: BTreeMap<&'a str, bool>,
    /// What steps write beside checkouts.
    written: Places<'a>,
    commits: Places<'a>,
    plans: Places<'a>,
    plan_steps: Vec<&'a str>,
    /// Plans that are applied.
    applied: BTreeSet<&'a str>,
    /// Steps whose outputs exist only after the commit.
    late: BTreeSet<&'a StepName>,
    /// Files and directories that late steps write.
    late_paths: Vec<&'a str>,
}

/// Directories in which something was made, and whether it may be in others, too.
#[derive(Default, Clone)]
struct Places<'a> {
    known: BTreeSet<&'a str>,
    others: bool,
}

impl<'a> Places<'a> {
    fn add(&mut self, dir: Option<&'a str>) {
        match dir {
            Some(dir) => {
                self.known.insert(dir);
            }
            None => self.others = true,
        }
    }

    fn may_have(&self, dir: &str) -> bool {
        self.others || self.known.contains(dir)
    }
}

impl<'a> Made<'a> {
    /// Files, commits and plans that the step needs.
    fn check_needs(
        &self,
        step: &Step,
        applied: &BTreeSet<&str>,
        at: usize,
        problems: &mut Vec<Problem>,
    ) {
        let path = |argument: &str| format!("steps[{at}].config.{argument}");
        let mut missing = |argument: &str, message: String| {
            problems.push(Problem::new(path(argument), ProblemKind::Unknown, message));
        };
        match step.uses {
            StepKind::GitClone
            | StepKind::GitTag
            | StepKind::Download
            | StepKind::Http
            | StepKind::OciPull
            | StepKind::OciPush
            | StepKind::ComposeOutput
            | StepKind::Fail
            | StepKind::Wait
            | StepKind::GitOpenPr
            | StepKind::GitWaitForPr
            | StepKind::GitMergePr
            | StepKind::GitClosePr
            | StepKind::GitCommentPr
            | StepKind::WaitForApproval
            | StepKind::GetInput
            | StepKind::SetMetadata
            | StepKind::SetAlias
            | StepKind::AuditEvent
            | StepKind::Task => {}
            StepKind::YamlUpdate
            | StepKind::TfPlan
            | StepKind::TfDestroy
            | StepKind::TfImport
            | StepKind::GitClear
            | StepKind::Tar
            | StepKind::Untar
            | StepKind::Copy
            | StepKind::Delete
            | StepKind::Write
            | StepKind::Template
            | StepKind::YamlMerge
            | StepKind::YamlParse
            | StepKind::JsonUpdate
            | StepKind::JsonParse
            | StepKind::TomlUpdate
            | StepKind::TomlParse
            | StepKind::HclUpdate
            | StepKind::KustomizeSetImage
            | StepKind::OciAttach
            | StepKind::KustomizeBuild
            | StepKind::HelmTemplate
            | StepKind::HelmUpdateChart
            | StepKind::Run
            | StepKind::RunEffect
            | StepKind::HclParse => {
                let needed = literal_places(step).filter(|place| place.touch.needs());
                for place in needed.filter(|place| !self.is_made(place.path)) {
                    missing(&place.argument, self.no_checkout(place.path));
                }
            }
            StepKind::GitCommit => {
                let dir = literal(step, "dir");
                if let Some(dir) = dir.filter(|dir| !self.checkouts.contains_key(dir)) {
                    missing("dir", self.no_checkout(dir));
                }
            }
            StepKind::GitPush => {
                let Some(dir) = literal(step, "dir") else { return };
                if !self.commits.may_have(dir) {
                    missing("dir", format!("no git_commit step before this one commits {dir:?}"));
                }
                if self.checkouts.get(dir) == Some(&false) && given(step, "branch").is_none() {
                    let message = format!(
                        "{dir:?} is checked out from a commit, so the branch to push to must be given"
                    );
                    problems.push(Problem::new(path("branch"), ProblemKind::Missing, message));
                }
            }
            StepKind::TfOutput => {
                let dir = literal(step, "dir");
                if let Some(dir) = dir.filter(|dir| !self.plans.may_have(dir)) {
                    missing("dir", format!("no tf_plan step before this one plans {dir:?}"));
                }
                if let Some(plan) = literal(step, "plan") {
                    unknown("tf_plan step", plan, &self.plan_steps, path("plan"), problems);
                }
            }
            StepKind::TfApply => {
                let Some(plan) = literal(step, "plan") else { return };
                unknown("tf_plan step", plan, &self.plan_steps, path("plan"), problems);
                if applied.contains(plan) {
                    let message = format!(
                        "the plan of step {plan} is applied before; a plan is applied once"
                    );
                    problems.push(Problem::new(path("plan"), ProblemKind::Duplicate, message));
                }
            }
        }
    }

    /// Arguments that decide where the step acts and would be known only after an effect.
    fn check_waits(&self, step: &Step, at: usize, problems: &mut Vec<Problem>) {
        for field in fields(step.uses).iter().filter(|field| !field.may_wait) {
            let Some(value) = given(step, field.name) else { continue };
            let names = self.late_references(value, &step.within);
            if names.is_empty() {
                continue;
            }
            let message = format!(
                "{} decides where the step acts, so it cannot wait for {}, which exists only after \
                 an effect",
                field.name,
                names.join(", "),
            );
            let path = format!("steps[{at}].config.{}", field.name);
            problems.push(Problem::new(path, ProblemKind::Invalid, message));
        }
    }

    /// Notes what a step in a lane gives to those after the group.
    fn note_outputs(&mut self, step: &'a Step, lane: &Self) {
        self.late.extend(lane.late.get(&step.name).copied());
        if step.uses == StepKind::TfApply {
            self.applied.extend(literal(step, "plan"));
        }
    }

    fn note(&mut self, step: &'a Step) {
        let late = |path: &str| {
            self.late_paths.iter().any(|late| is_below(late, path) || is_below(path, late))
        };
        let reads_late =
            literal_places(step).any(|place| place.touch != Touch::Names && late(place.path));
        let is_late = (step.uses.nature() == Nature::Effect && !step.uses.is_foreseen())
            || reads_late
            || !self.late_references(&step.config, &step.within).is_empty()
            || conditions(step).any(|(when, within)| {
                when.references().iter().any(|reference| self.is_late(reference, within))
            });
        if is_late {
            self.late.insert(&step.name);
        }
        self.note_places(step, is_late);
        match step.uses {
            StepKind::GitClone => self.note_checkouts(step),
            StepKind::GitCommit => self.commits.add(literal(step, "dir")),
            StepKind::TfPlan | StepKind::TfDestroy => {
                self.plans.add(literal(step, "dir"));
                self.plan_steps.push(step.name.as_str());
            }
            StepKind::TfApply => self.applied.extend(literal(step, "plan")),
            StepKind::GitPush
            | StepKind::GitTag
            | StepKind::TfOutput
            | StepKind::TfImport
            | StepKind::Http
            | StepKind::YamlUpdate
            | StepKind::GitClear
            | StepKind::Tar
            | StepKind::Untar
            | StepKind::Download
            | StepKind::Copy
            | StepKind::Delete
            | StepKind::Write
            | StepKind::Template
            | StepKind::YamlMerge
            | StepKind::YamlParse
            | StepKind::JsonUpdate
            | StepKind::JsonParse
            | StepKind::TomlUpdate
            | StepKind::TomlParse
            | StepKind::HclUpdate
            | StepKind::HclParse
            | StepKind::KustomizeSetImage
            | StepKind::OciPull
            | StepKind::OciPush
            | StepKind::OciAttach
            | StepKind::Run
            | StepKind::RunEffect
            | StepKind::KustomizeBuild
            | StepKind::HelmTemplate
            | StepKind::HelmUpdateChart
            | StepKind::ComposeOutput
            | StepKind::Fail
            | StepKind::Wait
            | StepKind::GitOpenPr
            | StepKind::GitWaitForPr
            | StepKind::GitMergePr
            | StepKind::GitClosePr
            | StepKind::GitCommentPr
            | StepKind::WaitForApproval
            | StepKind::GetInput
            | StepKind::SetMetadata
            | StepKind::SetAlias
            | StepKind::AuditEvent
            | StepKind::Task => {}
        }
    }

    /// Files and directories that the step changes, or makes.
    fn note_places(&mut self, step: &'a Step, is_late: bool) {
        for place in places(step.uses, &step.config) {
            let is_literal = !place.path.contains("{{");
            if place.touch.changes() && is_late && is_literal {
                self.late_paths.push(place.path);
            }
            if place.touch == Touch::Writes {
                self.written.add(is_literal.then_some(place.path));
            }
        }
    }

    fn note_checkouts(&mut self, step: &'a Step) {
        for (dir, checkout) in step.config["checkout"].as_object().into_iter().flatten() {
            let of_branch = checkout.get("branch").is_some_and(|branch| !branch.is_null());
            self.checkouts.insert(dir, of_branch);
        }
    }

    /// What a value reads of late steps, in words.
    fn late_references(&self, value: &Value, within: &[Layer]) -> Vec<String> {
        let references = references_json(value).unwrap_or_default();
        references.iter().filter(|r| self.is_late(r, within)).map(ToString::to_string).collect()
    }

    fn is_late(&self, reference: &Reference, within: &[Layer]) -> bool {
        outermost(reference, within).iter().any(|reference| match reference {
            Reference::Path(path) => match path.as_slice() {
                [root, read @ ..] if root == "steps" && !read.is_empty() => {
                    self.late.iter().any(|step| step.read_by(read).is_some())
                }
                [..] => false,
            },
            Reference::Call { .. } => false,
        })
    }

    /// Whether something is there, as far as that is known.
    fn is_made(&self, path: &str) -> bool {
        let written = |made: &&str| is_below(path, made) || is_below(made, path);
        self.checkouts.keys().any(|dir| is_below(path, dir))
            || self.written.others
            || self.written.known.iter().any(written)
    }

    fn no_checkout(&self, path: &str) -> String {
        let dirs: Vec<&str> = self.checkouts.keys().copied().collect();
        match dirs.as_slice() {
            [] => format!("no git_clone step before this one checks out {path:?}"),
            dirs => format!(
                "no git_clone step before this one checks out {path:?}; checked out: {}",
                dirs.join(", ")
            ),
        }
    }
}

fn given<'a>(step: &'a Step, argument: &str) -> Option<&'a Value> {
    step.config.get(argument).filter(|value| !value.is_null())
}

/// The files and directories that a step names otherwise than by templates.
fn literal_places(step: &Step) -> impl Iterator<Item = Place<'_>> {
    places(step.uses, &step.config).into_iter().filter(|place| !place.path.contains("{{"))
}

/// A text argument that is no template.
fn literal<'a>(step: &'a Step, argument: &str) -> Option<&'a str> {
    given(step, argument)?.as_str().filter(|text| !text.contains("{{"))
}

/// Whether a path is a directory or inside it.
fn is_below(path: &str, dir: &str) -> bool {
    let dir = dir.trim_end_matches('/');
    dir == "."
        || path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
