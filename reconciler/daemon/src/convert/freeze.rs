//! Freezes.

use jiff::Timestamp;
use reconciler_api::problem::{FieldCode, FieldProblem};
use reconciler_api::v1::{
    self, FreezeExceptions, FreezeScope, FreezeSpec, FreezeStatus, FreezeWindow,
    InstanceFreezeSpec, InstanceFreezeStatus, StoppedPromotion,
};
use reconciler_convert::{domain_action, wire_action};
use reconciler_domain::duration;
use reconciler_domain::freeze::{Asker, Exceptions, Freeze, Reach, window};
use reconciler_domain::id::FreezeName;
use reconciler_domain::promotion::Promotion;
use reconciler_domain::snapshot::StageSnapshot;
use reconciler_domain::window::{Action, Window};
use reconciler_store::{WaitingAnywhere, Whereabouts};

use super::Fields;
use super::hold::transposed;

/// The most promotions that are told of a freeze of every project.
const WAITING_MAX: usize = 100;

/// Reads a freeze of every project.
pub(crate) fn parse_instance_freeze(
    name: FreezeName,
    spec: &InstanceFreezeSpec,
) -> Result<Freeze, Vec<FieldProblem>> {
    let mut freeze = parse_freeze(name, &spec.in_project())?;
    freeze.reach = Reach::Instance;
    freeze.except.projects.clone_from(&spec.except.projects);
    Ok(freeze)
}

/// Reads a freeze.
pub(crate) fn parse_freeze(
    name: FreezeName,
    spec: &FreezeSpec,
) -> Result<Freeze, Vec<FieldProblem>> {
    let mut fields = Fields::default();
    let window = transposed(spec.window.as_ref().map(|given| parse_window(&mut fields, given)));
    let FreezeExceptions { stages, principals, groups } = &spec.except;
    let freeze = window.map(|window| Freeze {
        name,
        reach: Reach::Project,
        reason: spec.reason.clone(),
        from: spec.from,
        until: spec.until,
        window: window.map(Box::new),
        actions: spec.actions.iter().map(domain_action).collect(),
        except: Exceptions {
            projects: Vec::new(),
            stages: stages.clone(),
            principals: principals.iter().cloned().collect(),
            groups: groups.iter().cloned().collect(),
        },
    });
    fields.finish(freeze)
}

fn parse_window(fields: &mut Fields, given: &FreezeWindow) -> Option<Window> {
    let rule = fields.parse("window.rule", FieldCode::BadRecurrence, &given.rule);
    let duration = fields.duration("window.duration", &given.duration);
    let timezone = fields.parse("window.timezone", FieldCode::BadTimezone, &given.timezone);
    let start = given.start.as_deref().map(|text| {
        let read = reconciler_domain::window::local(text);
        fields.result("window.start", FieldCode::Invalid, read)
    });
    match window(rule?, transposed(start)?, duration?, timezone?) {
        Ok(window) => Some(window),
        Err(error) => {
            let code = if error.never { FieldCode::NeverSatisfied } else { FieldCode::Invalid };
            fields.add(&format!("window.{}", error.field), code, error.message);
            None
        }
    }
}

/// Says a freeze of every project on the wire.
pub(crate) fn instance_freeze_spec(freeze: &Freeze) -> InstanceFreezeSpec {
    InstanceFreezeSpec::new(freeze_spec(freeze), freeze.except.projects.clone())
}

/// Says a freeze on the wire.
pub(crate) fn freeze_spec(freeze: &Freeze) -> FreezeSpec {
    let Exceptions { projects: _, stages, principals, groups } = &freeze.except;
    FreezeSpec {
        reason: freeze.reason.clone(),
        from: freeze.from,
        until: freeze.until,
        window: freeze.window.as_deref().map(freeze_window),
        actions: freeze.actions.iter().map(wire_action).collect(),
        except: FreezeExceptions {
            stages: stages.clone(),
            principals: principals.iter().cloned().collect(),
            groups: groups.iter().cloned().collect(),
        },
    }
}

fn freeze_window(window: &Window) -> FreezeWindow {
    let spec = window.spec();
    FreezeWindow {
        rule: spec.rule.to_string(),
        duration: duration::print(spec.duration),
        timezone: spec.timezone.to_string(),
        start: spec.start.map(|start| start.to_string()),
    }
}

/// Says whether a freeze runs, and what it stops.
pub(crate) fn freeze_status(freeze: &Freeze, found: &Whereabouts, now: Timestamp) -> FreezeStatus {
    let Times { active, begins_at, ends_at } = Times::of(freeze, now);
    let waiting = found.coming.iter().filter(|coming| !coming.committed);
    let stopped = waiting.filter(|coming| active && stops(freeze, &coming.promotion));
    let waiting = stopped.map(|coming| coming.promotion.id.to_string()).collect();
    FreezeStatus { active, begins_at, ends_at, waiting }
}

/// Says whether a freeze of every project runs, and what of all that waits it stops. `names` is whether
/// the reader may know the promotions of other projects.
pub(crate) fn instance_freeze_status(
    freeze: &Freeze,
    waiting: &[WaitingAnywhere],
    names: bool,
    now: Timestamp,
) -> InstanceFreezeStatus {
    let Times { active, begins_at, ends_at } = Times::of(freeze, now);
    let is_stopped = |it: &&WaitingAnywhere| {
        active && freeze.concerns_project(&it.project) && stops(freeze, &it.promotion)
    };
    let stopped: Vec<&WaitingAnywhere> = waiting.iter().filter(is_stopped).collect();
    let told = stopped.iter().take(if names { WAITING_MAX } else { 0 });
    let told = told.map(|it| StoppedPromotion {
        project: it.project.to_string(),
        promotion: it.promotion.id.to_string(),
    });
    InstanceFreezeStatus {
        active,
        begins_at,
        ends_at,
        waiting: told.collect(),
        waiting_total: u32::try_from(stopped.len()).unwrap_or(u32::MAX),
    }
}

/// Whether a freeze that runs keeps a promotion from its commit.
fn stops(freeze: &Freeze, promotion: &Promotion) -> bool {
    let action = if promotion.rollback { Action::Rollback } else { Action::Promote };
    let by = Asker { name: &promotion.requester, groups: &promotion.groups };
    freeze.covers(&promotion.stage, action, by)
}

/// When a freeze runs.
struct Times {
    active: bool,
    begins_at: Option<Timestamp>,
    ends_at: Option<Timestamp>,
}

impl Times {
    fn of(freeze: &Freeze, now: Timestamp) -> Self {
        let active = freeze.runs_at(now);
        let begins_at = if active { None } else { freeze.begins_after(now) };
        let runs = if active { Some(now) } else { begins_at };
        let ends_at = runs.and_then(|at| freeze.ends_after(at).earliest());
        Self { active, begins_at, ends_at }
    }
}

/// Says the freezes that run and are about a stage.
pub(crate) fn stage_freezes(snapshot: &StageSnapshot, now: Timestamp) -> Vec<v1::StageFreeze> {
    let running = snapshot.freezes.iter().filter(|freeze| freeze.spec.runs_at(now));
    let said = running.map(|freeze| v1::StageFreeze {
        name: freeze.spec.name.to_string(),
        scope: match freeze.spec.reach {
            Reach::Project => FreezeScope::Project,
            Reach::Instance => FreezeScope::Instance,
        },
        reason: freeze.spec.reason.clone(),
        author: freeze.changed_by.to_string(),
        actions: freeze.spec.actions.iter().map(wire_action).collect(),
        until: freeze.spec.ends_after(now).earliest(),
    });
    said.collect()
}
