//! What looks at the infra of stages find.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use reconciler_domain::drift::{DriftRecord, DriftSummary, Found, StateDrift};
use reconciler_domain::id::StageName;
use reconciler_domain::infra::{Action, Address, Drift};
use reconciler_domain::step::StateKey;
use serde_json::json;

use super::World;

/// Records that a look found this in the state of the stage: `deleted x.size`, `lost x.size`, `computed x.size`
/// (what only its provider computes is another), `clean`, `unknown`; `slowly` in front: it took ten minutes.
pub(crate) fn looked(world: &mut World, stage: &StageName, what: &[&str]) {
    let (what, took) = match what {
        ["slowly", what @ ..] => (what, SignedDuration::from_mins(10)),
        what => (what, SignedDuration::ZERO),
    };
    let drift = |action, address: &str| {
        let (address, attributes) = (Address::new(address), Vec::new());
        Drift { address, action, attributes, configured: action != Action::Update }
    };
    let drifted = |action, address: &str| {
        let addresses = address.split(',');
        let resources = addresses.map(|address| drift(action, address)).collect();
        Found::Drifted(DriftSummary { resources, more: 0, outputs: BTreeSet::new() })
    };
    let found = match what {
        ["clean"] => Found::Clean,
        ["unknown"] => Found::unknown("no way there"),
        ["deleted", address] => drifted(Action::Delete, address),
        ["computed", address] => drifted(Action::Update, address),
        ["lost", address] => drifted(Action::Forget, address),
        other => panic!("unknown drift {other:?}"),
    };
    let state = StateDrift {
        state: StateKey::of_config(&json!({ "state": stage.as_str() })),
        dir: "infra".to_owned(),
        promotion: format!("{stage}.1").parse().expect("a promotion"),
        step: "apply".parse().expect("a step"),
        applied_at: jiff::Timestamp::UNIX_EPOCH,
        found,
        outdated_by: None,
    };
    let record = DriftRecord::new(world.drift.get(stage), world.now - took, world.now, vec![state]);
    world.drift.insert(stage.clone(), record);
}
