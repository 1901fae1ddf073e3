//! What changes break in stages that they leave as they are.

use super::{Change, Changes};
use crate::check::{Problem, Surroundings, check_stage};
use crate::id::StageName;
use crate::snapshot::Definitions;
use crate::stage::Stage;
use crate::task::used;

/// What a change breaks in a stage that uses what is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which of the changes.
    pub change: usize,
    /// The stage, which is not changed itself.
    pub stage: StageName,
    /// What would be wrong with it.
    pub problem: Problem,
}

pub(super) fn broken(changes: &Changes, before: &Definitions, after: &Definitions) -> Vec<Broken> {
    let (was, is) = (Surroundings::of(before), Surroundings::of(after));
    let mut broken = Vec::new();
    for (at, change) in changes.all.iter().enumerate() {
        for (name, stage) in &before.stages {
            let stays = after.stages.get(name).is_some_and(|after| after.spec == stage.spec);
            if !stays || !names(&stage.spec, change, &was) {
                continue;
            }
            let known = check_stage(&stage.spec, &was);
            let found = check_stage(&stage.spec, &is).into_iter();
            let new = found.filter(|problem| !known.contains(problem));
            broken.extend(new.map(|problem| Broken { change: at, stage: name.clone(), problem }));
        }
    }
    broken
}

/// Whether a stage names what is changed.
fn names(stage: &Stage, change: &Change, before: &Surroundings<'_>) -> bool {
    match change {
        Change::Stage(name, _) => stage.upstreams().contains(&name),
        Change::Warehouse(name, _) => stage.request(name).is_some(),
        Change::Verification(name, _) => {
            stage.verifications.iter().any(|used| used.template == *name)
        }
        Change::Task(name, _) => {
            let used = used(&stage.steps, |task| before.tasks.get(task).copied());
            used.iter().any(|task| task.name == *name)
        }
        Change::Policy(..) | Change::Hold(..) | Change::Freeze(..) => false,
    }
}
