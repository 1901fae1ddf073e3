//! Verifying: measurements after the effects, until every check is decided. Absence of evidence is
//! never success.

use jiff::Timestamp;

use super::Waiting;
use super::commit::{effects_done, failed};
use super::promotion::{Act, Move};
use crate::expression::Scope;
use crate::id::{Principal, PromotionId, StageName};
use crate::policy::RollbackOn;
use crate::promotion::{Ending, Event, Finish, Frozen, Phase};
use crate::scope::scope;
use crate::snapshot::PromotionSnapshot;
use crate::stage::Stage;
use crate::template::{Template, render_json};
use crate::verification::{
    Check, CheckState, FrozenCheck, HttpCheck, Measurement, PrometheusCheck, Verification,
    check_state,
};

/// The first move once every step is done.
pub(super) fn begin(snapshot: &PromotionSnapshot, frozen: &Frozen) -> Move {
    let frozen = freeze_checks(snapshot, frozen, &frozen.stage, &frozen.templates);
    let (checks, unusable) = match frozen {
        Ok(checks) => (checks, None),
        Err(message) => (Vec::new(), Some(message)),
    };
    let replaced = Some(snapshot.there.values().cloned().collect());
    Move::append(Event::Verifying { checks, replaced, unusable })
}

/// Why what is in a stage cannot be verified anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReverifyError {
    /// The promotion did not bring what is in the stage to its end.
    #[error(
        "promotion {promotion} is {phase}: only what a promotion brought to its end, and what was \
         not undone, is verified anew"
    )]
    NotDone {
        /// The promotion.
        promotion: PromotionId,
        /// Where it is.
        phase: &'static str,
    },
    /// Its freight is in the stage no more, or the stage was deleted.
    #[error("what promotion {promotion} brought is no longer in stage {stage}")]
    NotThere {
        /// The promotion.
        promotion: PromotionId,
        /// The stage.
        stage: StageName,
    },
    /// A promotion changes the stage, or verifies it.
    #[error("promotion {holder} is under way in stage {stage}; wait for it to end")]
    UnderWay {
        /// The promotion that holds the slot.
        holder: PromotionId,
        /// The stage.
        stage: StageName,
    },
    /// A later promotion changed the stage and was not undone: undoing what is beneath it would undo
    /// something else.
    #[error(
        "promotion {by} changed stage {stage} after promotion {promotion}, and was not undone; promote to \
         the stage again, so that it is known what is there"
    )]
    Overlaid {
        /// The promotion that brought what is to be verified.
        promotion: PromotionId,
        /// The later one.
        by: PromotionId,
        /// The stage.
        stage: StageName,
    },
    /// There is nothing to measure.
    #[error("stage {stage} has no verification; define one first")]
    NoChecks {
        /// The stage.
        stage: StageName,
    },
    /// The checks cannot be rendered.
    #[error("the verification of stage {stage} could not begin: {message}")]
    Unusable {
        /// The stage.
        stage: StageName,
        /// What is wrong.
        message: String,
    },
}

/// Another promotion to a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// Its id.
    pub promotion: PromotionId,
    /// Where it is.
    pub phase: Phase,
    /// Whether it began its effects.
    pub committed: bool,
}

/// A person's wish to verify anew what a promotion brought: by the checks that the stage has now.
/// The promotion goes on where it was, so that a failure is treated as the first one would be: undone
/// where the policies say so. Meanwhile it holds the slot of the stage. `others` are the newest
/// promotions to the stage.
///
/// # Errors
/// It did not come to its end, is not what is in the stage, others are at work there, or there is
/// nothing to measure.
pub fn reverify(
    snapshot: &PromotionSnapshot,
    others: &[Other],
    by: Principal,
    reason: Option<String>,
) -> Result<Event, ReverifyError> {
    let promotion = snapshot.promotion.id.clone();
    let name = &snapshot.promotion.stage;
    if let Some(holder) = &snapshot.slot {
        return Err(ReverifyError::UnderWay { holder: holder.clone(), stage: name.clone() });
    }
    if !snapshot.state.may_be_verified_anew() {
        let phase = snapshot.state.phase().label();
        return Err(ReverifyError::NotDone { promotion, phase });
    }
    let mut promoted = snapshot.promotion.promoted();
    let is_there = promoted.all(|(warehouse, id)| snapshot.there.get(warehouse) == Some(id));
    let (Some(stage), Some(frozen), true) = (&snapshot.stage, &snapshot.state.frozen, is_there)
    else {
        return Err(ReverifyError::NotThere { promotion, stage: name.clone() });
    };
    let overlays = |other: &&Other| {
        let later = other.promotion.number() > promotion.number();
        later && other.committed && other.phase != Phase::Ended(Ending::RolledBack)
    };
    if let Some(later) = others.iter().find(overlays) {
        let by = later.promotion.clone();
        return Err(ReverifyError::Overlaid { promotion, by, stage: name.clone() });
    }
    let checks = freeze_checks(snapshot, frozen, &stage.spec, &snapshot.templates);
    let checks =
        checks.map_err(|message| ReverifyError::Unusable { stage: name.clone(), message })?;
    if checks.is_empty() {
        return Err(ReverifyError::NoChecks { stage: name.clone() });
    }
    Ok(Event::Reverifying { by, reason, checks })
}

/// The checks of a stage with their templates rendered.
fn freeze_checks(
    snapshot: &PromotionSnapshot,
    frozen: &Frozen,
    stage: &Stage,
    templates: &[Verification],
) -> Result<Vec<FrozenCheck>, String> {
    let mut checks = Vec::new();
    for used in &stage.verifications {
        let template = templates
            .iter()
            .find(|template| template.name == used.template)
            .ok_or_else(|| format!("there is no verification {}", used.template))?;
        if template.checks.is_empty() {
            return Err(format!("verification {} has no checks", used.template));
        }
        let mut scope = scope(&snapshot.promotion, frozen, &snapshot.state);
        let arguments = render_json(&serde_json::json!(used.args), &scope)
            .map_err(|error| format!("arguments of {}: {error}", used.name))?;
        scope.set("args", arguments);
        for (name, check) in &template.checks {
            let name = format!("{}/{name}", used.name);
            checks.push(freeze(name, check, template, &scope)?);
        }
    }
    Ok(checks)
}

fn freeze(
    name: String,
    check: &Check,
    template: &Verification,
    scope: &Scope,
) -> Result<FrozenCheck, String> {
    let render = |text: &str| -> Result<String, String> {
        let rendered = Template::parse(text).and_then(|template| template.render(scope));
        let value = rendered.map_err(|error| format!("check {name}: {error}"))?;
        Ok(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    let check = render_check(check, &render)?;
    Ok(FrozenCheck {
        name,
        check,
        initial_delay: template.initial_delay,
        interval: template.interval,
        count: template.count,
        failure_limit: template.failure_limit,
        deadline: template.deadline,
    })
}

fn render_check(
    check: &Check,
    render: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Check, String> {
    Ok(match check {
        Check::Http(http) => Check::Http(HttpCheck {
            url: render(&http.url)?,
            headers: http
                .headers
                .iter()
                .map(|(name, value)| Ok((name.clone(), render(value)?)))
                .collect::<Result<_, String>>()?,
            body: http.body.as_deref().map(render).transpose()?,
            ..http.clone()
        }),
        Check::Prometheus(query) => Check::Prometheus(PrometheusCheck {
            address: render(&query.address)?,
            query: render(&query.query)?,
            ..query.clone()
        }),
    })
}

/// Measures what is due, and ends when the checks are decided.
pub(super) fn next(snapshot: &PromotionSnapshot, now: Timestamp) -> Move {
    let state = &snapshot.state;
    let Some((started_at, checks)) = &state.verifying else { return Move::default() };
    if let (Some((by, reason)), Some(before)) = (&state.abort, &state.reverifying) {
        return as_before(before, &format!("stopped by {by}: {reason}"));
    }
    if let Some((by, reason)) = &state.abort {
        let message = format!("aborted by {by} during verification: {reason}");
        return finished(Ending::Aborted, message, effects_done(snapshot));
    }
    if let Some(why) = &state.unusable {
        let message = format!("verification could not begin: {why}");
        return finished(Ending::Inconclusive, message, Vec::new());
    }
    let mut due: Option<(Timestamp, &FrozenCheck)> = None;
    let mut undecided = None;
    for check in checks {
        let taken: Vec<&Measurement> =
            state.measurements.iter().filter(|m| m.check == check.name).collect();
        match check_state(check, *started_at, &taken, now) {
            CheckState::Passed => {}
            CheckState::Failed => {
                let last = taken.last().map_or_else(String::new, |m| format!(": {}", m.detail));
                let cause = format!("verification {} failed{last}", check.name);
                return failed(snapshot, RollbackOn::VerificationFailed, cause);
            }
            CheckState::Unknown if undecided.is_none() => {
                undecided = Some(inconclusive(check, &taken));
            }
            CheckState::Unknown => {}
            CheckState::Due(at) if due.is_none_or(|(first, _)| at < first) => {
                due = Some((at, check));
            }
            CheckState::Due(_) => {}
        }
    }
    if let Some((at, check)) = due {
        return measure(snapshot, check, at, now);
    }
    if let (Some(message), Some(before)) = (&undecided, &state.reverifying) {
        return as_before(before, message);
    }
    let (ending, message) = match undecided {
        Some(message) => (Ending::Inconclusive, message),
        None => (Ending::Succeeded, "every step is done and every check passed".to_owned()),
    };
    finished(ending, message, Vec::new())
}

fn finished(ending: Ending, message: String, remaining: Vec<String>) -> Move {
    Move::append(Event::Finished(Finish::new(ending, message, remaining)))
}

/// A verification anew that decided nothing leaves the promotion as it had ended.
fn as_before(before: &Finish, why: &str) -> Move {
    Move::append(Event::Finished(Finish {
        ending: before.ending,
        message: format!("verified anew, {why}; what was decided before stands"),
        remaining: before.remaining.clone(),
        as_before: true,
    }))
}

fn measure(
    snapshot: &PromotionSnapshot,
    check: &FrozenCheck,
    at: Timestamp,
    now: Timestamp,
) -> Move {
    if at <= now {
        return Move::act(Act::Measure(Box::new(check.clone())));
    }
    Move::wait(Waiting {
        subject: format!("promotion {}", snapshot.promotion.id),
        reason: "Verifying",
        message: format!("verification {} measures again at {at}", check.name),
        until: Some(at),
    })
}

fn inconclusive(check: &FrozenCheck, measurements: &[&Measurement]) -> String {
    let last = measurements.last().map_or("nothing was measured", |m| m.detail.as_str());
    format!("verification {} found no evidence before its deadline: {last}", check.name)
}
