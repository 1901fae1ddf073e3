//! Freezes.

use jiff::Timestamp;
use reconciler_api::problem::{FieldCode, FieldProblem};
use reconciler_api::v1::{self, FreezeExceptions, FreezeSpec, FreezeStatus, FreezeWindow};
use reconciler_convert::{domain_action, wire_action};
use reconciler_domain::duration;
use reconciler_domain::freeze::{Asker, Exceptions, Freeze, window};
use reconciler_domain::id::FreezeName;
use reconciler_domain::snapshot::StageSnapshot;
use reconciler_domain::window::{Action, Window};
use reconciler_store::Whereabouts;

use super::Fields;
use super::hold::transposed;

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
        reason: spec.reason.clone(),
        from: spec.from,
        until: spec.until,
        window: window.map(Box::new),
        actions: spec.actions.iter().map(domain_action).collect(),
        except: Exceptions {
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

/// Says a freeze on the wire.
pub(crate) fn freeze_spec(freeze: &Freeze) -> FreezeSpec {
    let Exceptions { stages, principals, groups } = &freeze.except;
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
    let active = freeze.runs_at(now);
    let begins_at = if active { None } else { freeze.begins_after(now) };
    let runs = if active { Some(now) } else { begins_at };
    let stops = |promotion: &reconciler_domain::promotion::Promotion| {
        let action = if promotion.rollback { Action::Rollback } else { Action::Promote };
        let by = Asker { name: &promotion.requester, groups: &promotion.groups };
        active && freeze.covers(&promotion.stage, action, by)
    };
    let waiting = found.coming.iter().filter(|coming| !coming.committed);
    FreezeStatus {
        active,
        begins_at,
        ends_at: runs.and_then(|at| freeze.ends_after(at).earliest()),
        waiting: waiting
            .filter(|coming| stops(&coming.promotion))
            .map(|coming| coming.promotion.id.to_string())
            .collect(),
    }
}

/// Says the freezes that run and are about a stage.
pub(crate) fn stage_freezes(snapshot: &StageSnapshot, now: Timestamp) -> Vec<v1::StageFreeze> {
    let running = snapshot.freezes.iter().filter(|freeze| freeze.spec.runs_at(now));
    let said = running.map(|freeze| v1::StageFreeze {
        name: freeze.spec.name.to_string(),
        reason: freeze.spec.reason.clone(),
        author: freeze.changed_by.to_string(),
        actions: freeze.spec.actions.iter().map(wire_action).collect(),
        until: freeze.spec.ends_after(now).earliest(),
    });
    said.collect()
}
