//! Whether drift holds a promotion back.
//!
//! Witnesses are what the last look found, and what the promotion's own plans found when they refreshed: the latter
//! are the newer ones, unless the look was after them. Drift is in the way where the plan would write over it; what
//! only a provider computes, and the plan does not set, is not.

use super::{Facts, Gate, Verdict, asking, gate as plain};
use crate::drift::{DriftSummary, Found, StateDrift};
use crate::infra::{Action, Drift, OnDrift, PlanSummary, PlannedChange};
use crate::policy::GateKind;
use crate::promotion::{ChangeSet, InfraChange, StepPlan};
use crate::step::StateKey;

/// Witnesses that are told; of more only the number is.
const TOLD_MAX: usize = 5;
/// What stands for a value that nobody knows before the apply.
const UNKNOWN: &str = "(known after apply)";

/// The gate, where the stage is looked at or a policy asks for it.
pub(super) fn gate(facts: &Facts<'_>) -> Option<Gate> {
    let watched = facts.stage.drift.map(|_| OnDrift::default());
    let on_drift = facts.joined.infra.on_drift.or(watched)?;
    let all = match on_drift {
        OnDrift::Ignore => return None,
        OnDrift::Intersecting => false,
        OnDrift::Any => true,
    };
    let say = |verdict, message| {
        Some(plain(GateKind::Drift, asking(facts, GateKind::Drift), verdict, message))
    };
    let Some(change_set) = facts.change_set else {
        return say(Verdict::Unknown, "judged once the infra plans are made".to_owned());
    };
    let judged = Judged { facts, change_set };
    let found = if all { judged.any() } else { judged.intersecting() };
    let stage = &facts.stage.name;
    if !found.is_empty() {
        let message = format!(
            "{}; `lockstep drift {stage}` shows it: mend it outside and look again with `--look`, or have \
             somebody who may skip the gate",
            told(found)
        );
        return say(Verdict::Fail, message);
    }
    let unknown = judged.unknown(all);
    if !unknown.is_empty() {
        let message = format!("{}; look again with `lockstep drift {stage} --look`", told(unknown));
        return say(Verdict::Unknown, message);
    }
    let message = if all {
        "nothing is known to have drifted"
    } else {
        "the plans touch nothing that drifted"
    };
    say(Verdict::Pass, message.to_owned())
}

fn told(mut found: Vec<String>) -> String {
    let more = found.len().saturating_sub(TOLD_MAX);
    if more > 0 {
        found.truncate(TOLD_MAX);
        found.push(format!("and {more} more"));
    }
    found.join("; ")
}

/// What is judged.
struct Judged<'a> {
    facts: &'a Facts<'a>,
    change_set: &'a ChangeSet,
}

impl<'a> Judged<'a> {
    /// What drifted and is touched by the plan of its state.
    fn intersecting(&self) -> Vec<String> {
        let mut found = Vec::new();
        for change in &self.change_set.infra {
            let state = self.state_of(change);
            let looked = self.looked().filter(|looked| Some(&looked.state) == state.as_ref());
            let looked = looked.filter_map(StateDrift::drifted).flat_map(|it| &it.resources);
            let looked = looked.filter(|drift| self.counts_beside_plan(drift));
            let own = change.summary.drift.iter();
            let own = own.filter(|drift| !self.is_mended(drift, state.as_ref()));
            let mut drifts: Vec<&Drift> = own.chain(looked).collect();
            drifts.sort_by(|a, b| a.address.cmp(&b.address));
            drifts.dedup_by(|a, b| a.address == b.address);
            found.extend(drifts.into_iter().filter_map(|drift| {
                let change_of = touched(drift, &change.summary)?;
                let would = verb(change_of.action);
                Some(format!("{}: {}, and the plan would {would} it", change.dir, drift.describe()))
            }));
        }
        found
    }

    /// Everything that drifted.
    fn any(&self) -> Vec<String> {
        let own = self.change_set.infra.iter().flat_map(|change| {
            let state = self.state_of(change);
            let drifts = change.summary.drift.iter();
            let drifts = drifts.filter(move |drift| !self.is_mended(drift, state.as_ref()));
            drifts.map(|drift| format!("{}: {}", change.dir, drift.describe()))
        });
        let mut found: Vec<String> = own.collect();
        for state in self.looked() {
            let drifted = state.drifted().into_iter().flat_map(|it| &it.resources);
            let counts =
                |drift: &&Drift| !self.is_planned(&state.state) || self.counts_beside_plan(drift);
            found.extend(
                drifted.filter(counts).map(|it| format!("{}: {}", state.dir, it.describe())),
            );
        }
        found.sort();
        found.dedup();
        found
    }

    /// What keeps anybody from knowing.
    fn unknown(&self, all: bool) -> Vec<String> {
        let mut unknown = Vec::new();
        for step in &self.change_set.steps {
            if !step.uses.plans_infra() || !matches!(step.plan, StepPlan::Deferred { .. }) {
                continue;
            }
            let state = StateKey::of_config(&step.config);
            let drifted = self.looked().filter(|looked| looked.state == state);
            let drifted = drifted.filter_map(StateDrift::drifted);
            // What only the provider computes is written over by no plan.
            let counting =
                drifted.filter_map(|it| if all { Some(it.clone()) } else { it.configured() });
            unknown.extend(counting.map(|drifted| {
                format!(
                    "step {} can be planned only after an earlier effect, and its state has drifted: {}",
                    step.name,
                    drifted.describe()
                )
            }));
        }
        // Of what was not kept, nobody knows whether a plan touches it.
        for change in &self.change_set.infra {
            let state = self.state_of(change);
            let looked = self.looked().filter(|looked| Some(&looked.state) == state.as_ref());
            let more =
                looked.filter_map(StateDrift::drifted).map(DriftSummary::unkept).sum::<usize>();
            if more > 0 {
                unknown
                    .push(format!("{}: so much has drifted that {more} are not kept", change.dir));
            }
        }
        if all {
            let unseen = self.looked().filter(|looked| !self.is_planned(&looked.state));
            unknown.extend(unseen.filter_map(|looked| match &looked.found {
                Found::Drifted(_) | Found::Clean if looked.outdated_by.is_none() => None,
                Found::Drifted(_) | Found::Clean | Found::Unknown { .. } => looked.describe(),
            }));
        }
        unknown
    }

    fn looked(&self) -> impl Iterator<Item = &'a StateDrift> + use<'a> {
        self.facts.drift.into_iter().flat_map(|record| &record.states)
    }

    /// Whether what a look found counts beside what a plan of the same state found: it may be newer, or no plan can
    /// find it. A look that ended after the plan was made may have seen what the plan did not.
    fn counts_beside_plan(&self, drift: &Drift) -> bool {
        let looked_at = self.facts.drift.map(|record| record.ended_at);
        drift.action == Action::Forget || looked_at >= self.facts.prepared_at
    }

    /// Whether a look that began after the plan no longer found what the plan had found: one that was under way by
    /// then may have seen the state before. What was gone then, the plan would make once more although it is there
    /// again: that has to be planned anew.
    fn is_mended(&self, drift: &Drift, state: Option<&StateKey>) -> bool {
        let looked_at = self.facts.drift.map(|record| record.began_at);
        let later = self.facts.prepared_at.is_some() && looked_at >= self.facts.prepared_at;
        let mut looked = self.looked().filter(|looked| later && Some(&looked.state) == state);
        let still = looked.find(|looked| looked.outdated_by.is_none()).map(|it| match &it.found {
            Found::Clean => false,
            Found::Drifted(found) => found.resources.iter().any(|it| it.address == drift.address),
            Found::Unknown { .. } => true,
        });
        still == Some(false) && drift.action != Action::Delete
    }

    fn state_of(&self, change: &InfraChange) -> Option<StateKey> {
        let planned = self.change_set.steps.iter().find(|step| step.name == change.step)?;
        Some(StateKey::of_config(&planned.config))
    }

    fn is_planned(&self, state: &StateKey) -> bool {
        self.change_set.infra.iter().any(|change| self.state_of(change).as_ref() == Some(state))
    }
}

/// What a plan does to something that drifted, if it would write over that.
fn touched<'a>(drift: &Drift, summary: &'a PlanSummary) -> Option<&'a PlannedChange> {
    let of = |change: &&PlannedChange| {
        change.address == drift.address || change.previous_address.as_ref() == Some(&drift.address)
    };
    summary.changes.iter().filter(of).find(|change| writes_over(change, drift))
}

fn writes_over(change: &PlannedChange, drift: &Drift) -> bool {
    let was_changed = match drift.action {
        Action::Delete | Action::Forget => false,
        Action::Update | Action::Create | Action::Replace | Action::NoOp | Action::Read => true,
    };
    match change.action {
        Action::NoOp | Action::Read => false,
        Action::Create | Action::Update | Action::Replace | Action::Delete | Action::Forget
            if !was_changed =>
        {
            true
        }
        Action::Update => change.attributes.iter().any(|set| {
            set.after != UNKNOWN && drift.attributes.iter().any(|drifted| drifted.name == set.name)
        }),
        Action::Create | Action::Replace | Action::Delete | Action::Forget => drift.configured,
    }
}

fn verb(action: Action) -> &'static str {
    match action {
        Action::Create => "create",
        Action::Update => "update",
        Action::Replace => "replace",
        Action::Delete => "delete",
        Action::Forget => "forget",
        Action::NoOp => "move",
        Action::Read => "read",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infra::{Address, AttributeChange};

    fn attributes(names: &str) -> Vec<AttributeChange> {
        let attribute = |name: &str| {
            let (name, after) = match name.strip_suffix('?') {
                Some(name) => (name, UNKNOWN),
                None => (name, "\"new\""),
            };
            let before = "\"old\"".to_owned();
            AttributeChange { name: name.to_owned(), before, after: after.to_owned() }
        };
        names.split_whitespace().map(attribute).collect()
    }

    /// Whether a plan that does this, and sets these (`?`: to what nobody knows yet), writes over drift of these.
    fn check(action: Action, sets: &str, drifted: Action, names: &str, expect: bool) {
        let drift = Drift {
            address: Address::new("a.x"),
            action: drifted,
            attributes: attributes(names),
            configured: !names.contains("etag") || names.contains("size"),
        };
        let change = PlannedChange {
            address: Address::new("a.x"),
            action,
            reason: None,
            previous_address: None,
            importing: false,
            deposed: None,
            create_first: false,
            attributes: attributes(sets),
        };
        let summary = PlanSummary { changes: vec![change], ..PlanSummary::default() };
        let touches = touched(&drift, &summary).is_some();
        assert_eq!(touches, expect, "{action:?} {sets:?} over {drifted:?} {names:?}");
        let other = Drift { address: Address::new("a.y"), ..drift };
        assert!(touched(&other, &summary).is_none());
    }

    #[test]
    fn a_plan_is_in_the_way_where_it_writes_over_what_drifted() {
        use Action::{Create, Delete, Forget, NoOp, Read, Replace, Update};
        check(Update, "size tags", Update, "size", true);
        check(Update, "size", Update, "tags", false);
        // What only the provider computes, or nobody knows yet, is noise.
        check(Update, "size etag?", Update, "etag", false);
        check(Replace, "size id?", Update, "etag", false);
        check(Delete, "", Update, "etag", false);
        check(Replace, "size id?", Update, "size", true);
        check(Delete, "", Update, "size", true);
        check(Forget, "", Update, "size", true);
        // What is gone would be made anew.
        check(Create, "", Delete, "", true);
        check(Create, "", Forget, "", true);
        for idle in [NoOp, Read] {
            check(idle, "", Update, "size", false);
            check(idle, "", Delete, "", false);
        }
    }
}
