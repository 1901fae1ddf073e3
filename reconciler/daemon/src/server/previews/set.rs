//! Several changes, judged together: read, checked with each other, and against the past.

use std::collections::BTreeSet;

use reconciler_api::problem::{FieldProblem, Problem};
use reconciler_api::v1::{self, Definition as Asked, PreviewSet};
use reconciler_domain::check;
use reconciler_domain::freeze::{Freeze, Reach};
use reconciler_domain::hold::Hold;
use reconciler_domain::id::{FreezeName, ProjectName};
use reconciler_domain::policy::Policy;
use reconciler_domain::preview::{
    Broken, Change, Changes, Preview, REPLAY_DEFAULT, REPLAY_MAX, Replay, preview as judge, replay,
    wanted,
};
use reconciler_domain::snapshot::Definitions;
use reconciler_domain::stage::Stage;
use reconciler_domain::task::Task;
use reconciler_domain::verification::Verification;
use reconciler_domain::warehouse::Warehouse;
use reconciler_store::Subject;

use super::{Server, aside, world};
use crate::convert;
use crate::server::answer::{Answer, name};
use crate::server::auth::Caller;
use crate::server::definitions::{Definition, definitions};

/// The most changes of one question.
const CHANGES_MAX: usize = 2_000;

pub(super) async fn answer(
    server: &Server,
    caller: &Caller,
    project: &ProjectName,
    set: &PreviewSet,
) -> Answer<v1::Preview> {
    let limit = set.replay.unwrap_or(REPLAY_DEFAULT);
    refuse(set, limit)?;
    let before = definitions(server, project).await?;
    let now = server.clock.now();
    let mut problems = Vec::new();
    let mut changes = Changes::new(caller.principal(), Vec::new());
    for (at, asked) in set.changes.iter().enumerate() {
        match parse(&asked.name, &asked.definition, asked.remove)? {
            Ok(change) => changes.all.push(change),
            Err(found) => problems.extend(placed(at, found)),
        }
    }
    // What cannot be read cannot be told from what is missing.
    let readable = problems.is_empty();
    let after = changes.apply(&before, now);
    if readable {
        for (at, change) in changes.all.iter().enumerate() {
            problems.extend(placed(at, check(change, &after)));
        }
        problems.extend(told(changes.broken(&before, &after)));
    }
    let as_of = server.store.token(project, &[Subject::Project]).await?;
    if !problems.is_empty() {
        return Ok(convert::preview_of_set(&Preview::default(), None, problems, as_of));
    }
    let history = match wanted(&before, &changes, limit, now) {
        Some(wanted) => Some(server.store.history(project, &wanted).await?),
        None => None,
    };
    let world = world::load(server, project, before, &changes).await?;
    let (judged, replayed) = aside(move || {
        let replayed: Option<Replay> = history.map(|history| replay(&history, &after));
        (judge(&world, &changes, now), replayed)
    })
    .await?;
    Ok(convert::preview_of_set(&judged, replayed.as_ref(), problems, as_of))
}

/// Questions that cannot be meant.
fn refuse(set: &PreviewSet, limit: u32) -> Answer<()> {
    if set.changes.len() > CHANGES_MAX {
        let detail = format!("{} changes are too many: at most {CHANGES_MAX}", set.changes.len());
        return Err(Problem::malformed(detail).into());
    }
    if limit > REPLAY_MAX {
        let detail = format!("replay is at most {REPLAY_MAX}, not {limit}");
        return Err(Problem::malformed(detail).into());
    }
    let mut seen = BTreeSet::new();
    for change in &set.changes {
        let kind = change.definition.kind();
        if !seen.insert((kind.as_str(), change.name.as_str())) {
            let detail = format!("{kind} {} is changed twice", change.name);
            return Err(Problem::malformed(detail).into());
        }
    }
    Ok(())
}

fn placed(at: usize, problems: Vec<FieldProblem>) -> impl Iterator<Item = FieldProblem> {
    problems
        .into_iter()
        .map(move |problem| FieldProblem { path: convert::place(at, &problem.path), ..problem })
}

/// Reads a change; what does not parse is a problem.
pub(super) fn parse(
    wanted: &str,
    definition: &Asked,
    remove: bool,
) -> Answer<Result<Change, Vec<FieldProblem>>> {
    fn read<D: Definition>(
        wanted: &str,
        spec: &D::Spec,
        remove: bool,
        change: fn(D::Name, Option<D>) -> Change,
    ) -> Answer<Result<Change, Vec<FieldProblem>>> {
        let wanted: D::Name = name(wanted)?;
        if remove {
            return Ok(Ok(change(wanted, None)));
        }
        Ok(D::parse(wanted.clone(), spec).map(|definition| change(wanted, Some(definition))))
    }
    match definition {
        Asked::Policy(spec) => read::<Policy>(wanted, spec, remove, Change::Policy),
        Asked::Stage(spec) => read::<Stage>(wanted, spec, remove, Change::Stage),
        Asked::Warehouse(spec) => read::<Warehouse>(wanted, spec, remove, Change::Warehouse),
        Asked::Freeze(spec) => read::<Freeze>(wanted, spec, remove, |name, new| {
            Change::Freeze(Reach::Project, name, new)
        }),
        Asked::InstanceFreeze(spec) => {
            let wanted: FreezeName = name(wanted)?;
            let change = |new| Change::Freeze(Reach::Instance, wanted.clone(), new);
            if remove {
                return Ok(Ok(change(None)));
            }
            let read = convert::parse_instance_freeze(wanted.clone(), spec);
            Ok(read.map(|freeze| change(Some(freeze))))
        }
        Asked::Hold(spec) => read::<Hold>(wanted, spec, remove, Change::Hold),
        Asked::Verification(spec) => {
            read::<Verification>(wanted, spec, remove, Change::Verification)
        }
        Asked::Task(spec) => read::<Task>(wanted, spec, remove, Change::Task),
    }
}

/// What is wrong with a definition among the others.
pub(super) fn check(change: &Change, definitions: &Definitions) -> Vec<FieldProblem> {
    match change {
        Change::Policy(_, Some(policy)) => policy.check(definitions),
        Change::Stage(_, Some(stage)) => stage.check(definitions),
        Change::Warehouse(_, Some(warehouse)) => warehouse.check(definitions),
        Change::Verification(_, Some(verification)) => verification.check(definitions),
        Change::Task(_, Some(task)) => task.check(definitions),
        Change::Hold(_, Some(hold)) => hold.check(definitions),
        Change::Freeze(_, _, Some(freeze)) => freeze.check(definitions),
        Change::Policy(_, None)
        | Change::Stage(_, None)
        | Change::Warehouse(_, None)
        | Change::Verification(_, None)
        | Change::Task(_, None)
        | Change::Hold(_, None)
        | Change::Freeze(_, _, None) => Vec::new(),
    }
}

/// What the changes break elsewhere, at the change that does.
fn told(broken: Vec<Broken>) -> Vec<FieldProblem> {
    let told = broken.into_iter().map(|Broken { change, stage, problem }| check::Problem {
        path: convert::place(change, ""),
        message: format!("stage {stage} would break at {problem}"),
        ..problem
    });
    convert::field_problems(told.collect())
}
