//! Whether the run of a plan may be left out, if nothing that it is made of has changed.
//!
//! A plan also looks at the world. Where it is left out, somebody else has to have looked: the last look at drift
//! found the state as its last apply left it, and is not old. Only whoever wrote the step can do without, and only
//! where no policy asks about drift.

use jiff::{SignedDuration, Timestamp};

use crate::drift::{Found, LEFT_OUT_MAX, Watch};
use crate::infra::OnDrift;
use crate::policy::Joined;
use crate::snapshot::PromotionSnapshot;
use crate::step::{Call, PlanCall, PlanGoal, SkipUnchanged};

/// The call of a plan, with whether it may be left out; any other as it is.
pub(super) fn decided(snapshot: &PromotionSnapshot, mut call: Call, now: Timestamp) -> Call {
    if let Call::TfPlan(plan) = &mut call {
        plan.options.skip_unchanged = match plan.options.skip_unchanged {
            SkipUnchanged::Never => SkipUnchanged::Never,
            SkipUnchanged::Watched | SkipUnchanged::Always if may_skip(snapshot, plan, now) => {
                SkipUnchanged::Always
            }
            SkipUnchanged::Watched | SkipUnchanged::Always => SkipUnchanged::Watched,
        };
    }
    call
}

fn may_skip(snapshot: &PromotionSnapshot, plan: &PlanCall, now: Timestamp) -> bool {
    // What is made anew, or destroyed, is so whatever has changed.
    let as_written = plan.options.goal == PlanGoal::Configuration
        && plan.options.replace.is_empty()
        && plan.destroy.is_empty();
    let unseen = plan.options.skip_unchanged == SkipUnchanged::Always && !drift_counts(snapshot);
    as_written && is_in_reach(snapshot, plan) && (unseen || was_seen_clean(snapshot, plan, now))
}

/// Whether the last apply of the state, as the last look had it, is found when this promotion leaves it out, too.
/// What is not found is not looked at any more, and nobody would be told.
fn is_in_reach(snapshot: &PromotionSnapshot, plan: &PlanCall) -> bool {
    let key = plan.state_key();
    let seen = snapshot.drift.iter().flat_map(|record| &record.states);
    let mut applied = seen.filter(|seen| seen.state == key).map(|seen| seen.promotion.number());
    let own = snapshot.promotion.id.number();
    applied.all(|applied| own.saturating_sub(applied) <= LEFT_OUT_MAX)
}

fn watch(snapshot: &PromotionSnapshot) -> Option<Watch> {
    snapshot.stage.as_ref().and_then(|stage| stage.spec.drift)
}

/// Whether drift of the stage holds promotions back.
fn drift_counts(snapshot: &PromotionSnapshot) -> bool {
    let policies: Vec<_> = snapshot.policies.iter().map(|policy| policy.spec.clone()).collect();
    let said = Joined::of(&policies, &snapshot.promotion.stage).infra.on_drift;
    match said.or(watch(snapshot).map(|_| OnDrift::default())) {
        Some(OnDrift::Intersecting | OnDrift::Any) => true,
        Some(OnDrift::Ignore) | None => false,
    }
}

/// Whether the last look found the state as its last apply left it, no longer ago than two looks are apart.
fn was_seen_clean(snapshot: &PromotionSnapshot, plan: &PlanCall, now: Timestamp) -> bool {
    let (Some(watch), Some(record)) = (watch(snapshot), &snapshot.drift) else { return false };
    let most = SignedDuration::try_from(watch.every.saturating_mul(2));
    let is_new = most.is_ok_and(|most| now.duration_since(record.ended_at) <= most);
    let key = plan.state_key();
    let seen = record.states.iter().find(|seen| seen.state == key);
    is_new && seen.is_some_and(|seen| seen.found == Found::Clean && seen.outdated_by.is_none())
}
