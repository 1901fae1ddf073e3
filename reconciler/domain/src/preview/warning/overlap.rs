//! Two stages that write to one place: what one promotes, the other replaces.

use super::Warning;
use crate::footprint::{Print, footprint};
use crate::id::StageName;
use crate::snapshot::Definitions;
use crate::stage::Stage;
use crate::task::Tasks;

/// What a stage would write to that another one writes to, and that it does not yet.
pub(super) fn of_stage(before: &Definitions, after: &Definitions, new: &Stage) -> Vec<Warning> {
    let (tasks, old_tasks) = (tasks(after), tasks(before));
    let own = footprint(new, &tasks);
    let old = before.stages.get(&new.name);
    let old = old.map(|old| footprint(&old.spec, &old_tasks)).unwrap_or_default();
    let others = after.stages.values().filter(|other| other.spec.name != new.name);
    others
        .filter_map(|other| {
            let theirs = footprint(&other.spec, &tasks);
            let (mine, theirs) = met(&own, &theirs, &old)?;
            Some(warning(new, mine, &other.spec.name, theirs))
        })
        .collect()
}

fn tasks(definitions: &Definitions) -> Tasks<'_> {
    definitions.tasks.iter().map(|(name, task)| (name.as_str(), &task.spec)).collect()
}

/// The first places that meet. What met before the change is known.
fn met<'a>(own: &'a [Print], theirs: &'a [Print], old: &[Print]) -> Option<(&'a Print, &'a Print)> {
    own.iter().filter(|mine| old.iter().all(|old| old.on != mine.on)).find_map(|mine| {
        let their = theirs.iter().find(|their| their.on.meets(&mine.on))?;
        Some((mine, their))
    })
}

fn warning(new: &Stage, mine: &Print, other: &StageName, theirs: &Print) -> Warning {
    Warning {
        change: 0,
        path: format!("steps[{}]", mine.origin),
        summary: "Two stages write to one place".to_owned(),
        detail: format!(
            "Step {} of stage {} writes to {}, and so does step {} of stage {other}: what is promoted to \
             one of them replaces what was promoted to the other.",
            mine.step, new.name, mine.on, theirs.step,
        ),
    }
}
