//! What a look says of one state, from the plan that it made.

use std::collections::BTreeSet;

use super::{DriftSummary, Found};
use crate::infra::{Action, Address, Drift, Plan};

/// What the plan of a look (`-refresh-only`) says, where the last apply left these resource instances in the state.
///
/// Outputs alone are no drift: they may come from what a module only reads, or from the clock.
#[must_use]
pub fn found(plan: &Plan, left: &BTreeSet<Address>) -> Found {
    let Some(there) = plan.known_before() else {
        return lost(left);
    };
    let summary = plan.summary();
    let mut resources = summary.drift;
    let told: BTreeSet<&Address> = resources.iter().map(|drift| &drift.address).collect();
    let lost = left.iter().filter(|at| !there.contains(*at) && !told.contains(at));
    let lost: Vec<Drift> = lost.map(lost_from_state).collect();
    resources.extend(lost);
    resources.sort_by(|a, b| a.address.cmp(&b.address));
    if resources.is_empty() {
        return Found::Clean;
    }
    let outputs = summary.outputs.into_keys().collect();
    Found::Drifted(DriftSummary { resources, outputs })
}

/// What is said of a state that is missing or empty, where the last apply left these in it.
#[must_use]
pub fn lost(left: &BTreeSet<Address>) -> Found {
    if left.is_empty() {
        return Found::unknown("its state is missing or empty");
    }
    let resources = left.iter().map(lost_from_state).collect();
    Found::Drifted(DriftSummary { resources, outputs: BTreeSet::new() })
}

fn lost_from_state(address: &Address) -> Drift {
    let (action, attributes) = (Action::Forget, Vec::new());
    Drift { address: address.clone(), action, attributes, configured: true }
}
