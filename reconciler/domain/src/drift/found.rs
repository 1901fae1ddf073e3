//! What a look says of one state, from the plan that it made.

use std::collections::BTreeSet;

use super::{DriftSummary, Found, Left};
use crate::infra::{Action, Address, Drift, Plan};

/// What the plan of a look (`-refresh-only`) says, where the last apply left this in the state. Of a state that is
/// empty by now, or missing, the tool tells nothing but what drifted: what was deleted outside is that.
///
/// Outputs alone are no drift: they may come from what a module only reads, or from the clock.
#[must_use]
pub fn found(plan: &Plan, left: &Left) -> Found {
    let there = plan.known_before();
    let summary = plan.summary();
    let mut resources = summary.drift;
    if there.is_none() && resources.is_empty() {
        return lost(left);
    }
    let there = there.unwrap_or_default();
    let told: BTreeSet<&Address> = resources.iter().map(|drift| &drift.address).collect();
    let lost = left.known().filter(|at| !there.contains(*at) && !told.contains(at));
    let lost: Vec<Drift> = lost.map(lost_from_state).collect();
    resources.extend(lost);
    resources.sort_by(|a, b| a.address.cmp(&b.address));
    if resources.is_empty() {
        return Found::Clean;
    }
    let outputs = summary.outputs.into_keys().collect();
    Found::Drifted(DriftSummary { resources, more: 0, outputs })
}

/// What is said of a state that is missing or empty, where the last apply left this in it.
#[must_use]
pub fn lost(left: &Left) -> Found {
    match left {
        Left::Unknown => Found::unknown("its state is missing or empty"),
        Left::Known(left) if left.is_empty() => Found::Clean,
        Left::Known(left) => {
            let resources = left.iter().map(lost_from_state).collect();
            Found::Drifted(DriftSummary { resources, more: 0, outputs: BTreeSet::new() })
        }
    }
}

fn lost_from_state(address: &Address) -> Drift {
    let (action, attributes) = (Action::Forget, Vec::new());
    Drift { address: address.clone(), action, attributes, configured: true }
}
