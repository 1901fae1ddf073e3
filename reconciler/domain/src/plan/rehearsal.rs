//! Rehearsals: promotions that are prepared and judged like any other, and never commit.
//!
//! What the gates say against one is no reason to refuse it: that is what is to be seen. It ends once it was
//! seen, when what it was made from has changed, or after a while.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::promotion::Move;
use super::request::{
    NOT_REQUESTED, RequestError, RequestFacts, check_bypass, check_vars, check_warehouses,
};
use super::{Waiting, earlier, prepare};
use crate::freight::FreightFacts;
use crate::policy::Joined;
use crate::promotion::{Ending, Finish, Promotion};
use crate::snapshot::{PromotionSnapshot, StageSnapshot};

/// Most rehearsals of a stage that are not over: each has a working directory, and runs tools in it.
const REHEARSALS_MAX: usize = 3;
/// How long a rehearsal stays once it was asked for.
const REHEARSAL_KEPT: Duration = Duration::from_secs(15 * 60);
pub(super) const REHEARSED: &str = "it was a rehearsal: nothing was changed";

/// A person's wish to see what a promotion would do. What the gates would say against it is no reason to
/// refuse: that is what is to be seen.
///
/// # Errors
/// The stage does not take such freight, a gate may not be skipped by them, or there are too many.
pub fn rehearse(facts: &RequestFacts<'_>, now: Timestamp) -> Result<(), RequestError> {
    let snapshot = facts.stage;
    let stage = &snapshot.stage.spec;
    let name = || stage.name.to_string();
    if stage.is_control_flow() {
        return Err(RequestError::ControlFlow { stage: name() });
    }
    check_bypass(facts, &Joined::of(&snapshot.policies, &stage.name), now)?;
    check_vars(facts)?;
    let mut wanted = Vec::with_capacity(1 + facts.along.len());
    for freight in std::iter::once(facts.freight).chain(facts.along) {
        let known = snapshot.freight.iter().find(|known| known.freight.id == *freight);
        let requested = known.filter(|it| stage.request(&it.freight.warehouse).is_some());
        let Some(known) = requested else {
            return Err(RequestError::NotAvailable {
                freight: freight.short().to_owned(),
                stage: name(),
                why: NOT_REQUESTED.to_owned(),
            });
        };
        wanted.push(known.as_ref());
    }
    check_warehouses(&wanted)?;
    if snapshot.rehearsals >= REHEARSALS_MAX {
        return Err(RequestError::Rehearsals { stage: name(), max: REHEARSALS_MAX });
    }
    Ok(())
}

/// The freight that a rehearsal of the newest means: whether it may go there is what is to be seen.
///
/// # Errors
/// There is none.
pub fn newest_of_all(stage: &StageSnapshot) -> Result<&FreightFacts, RequestError> {
    let newest = stage.freight.last().map(Arc::as_ref);
    newest.ok_or_else(|| RequestError::NoneAvailable { stage: stage.stage.spec.name.to_string() })
}

/// The end of a rehearsal: its time is over, or what it shows is what was, not what would be.
pub(super) fn seen_enough(snapshot: &PromotionSnapshot, now: Timestamp) -> Option<Finish> {
    let (promotion, state) = (&snapshot.promotion, &snapshot.state);
    if !promotion.rehearsal {
        return None;
    }
    let shown = state.frozen.as_ref().filter(|_| state.change_set.is_some());
    if shown.is_some_and(|frozen| prepare::is_outdated(snapshot, frozen)) {
        let message = format!("{REHEARSED}; what it was made from has changed since");
        return Some(Finish::new(Ending::Rehearsed, message, Vec::new()));
    }
    let until = kept_until(promotion);
    if until > now {
        return None;
    }
    if shown.is_some() {
        let message = format!("{REHEARSED}; it was kept until {until}");
        return Some(Finish::new(Ending::Rehearsed, message, Vec::new()));
    }
    let why = state.prepare_failure.as_ref().map(|failure| format!(": {}", failure.message));
    let message = format!("it could not be prepared by {until}{}", why.unwrap_or_default());
    Some(Finish::new(Ending::Failed, message, Vec::new()))
}

fn kept_until(promotion: &Promotion) -> Timestamp {
    promotion.created_at.checked_add(REHEARSAL_KEPT).unwrap_or(Timestamp::MAX)
}

/// A rehearsal stays for a while, so that people see what it would do and what the gates say.
pub(super) fn not_for_ever(snapshot: &PromotionSnapshot, mut next: Move) -> Move {
    if next.act.is_some() {
        return next;
    }
    let until = kept_until(&snapshot.promotion);
    next.waiting.push(Waiting {
        subject: format!("promotion {}", snapshot.promotion.id),
        reason: "Rehearsal",
        message: format!(
            "is a rehearsal: it shows what it would do until {until}, and changes nothing"
        ),
        until: Some(until),
    });
    next.wake_at = earlier(next.wake_at, Some(until));
    next
}
