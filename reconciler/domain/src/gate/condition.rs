//! The gate of conditions: what policies ask of freight, stage and upstream state.

use super::{Facts, Gate, Verdict, asking, gate as plain};
use crate::policy::GateKind;
use crate::scope::condition_scope;

pub(super) fn gate(facts: &Facts<'_>) -> Option<Gate> {
    let asking = asking(facts, GateKind::Condition);
    if asking.is_empty() {
        return None;
    }
    let set = facts.promotion.map(|promotion| promotion.vars.clone()).unwrap_or_default();
    let scope = condition_scope(facts.stage, facts.freight, facts.companions, &set);
    let (mut failing, mut unknown, mut holding) = (Vec::new(), Vec::new(), Vec::new());
    for condition in facts.joined.policies.iter().flat_map(|policy| &policy.conditions) {
        match condition.when.holds(&scope) {
            Ok(true) => holding.push(condition.name.as_str()),
            Ok(false) => failing.push(format!(
                "{} does not hold: {}",
                condition.name,
                condition.when.source()
            )),
            Err(error) => unknown.push(format!("{} cannot be judged: {error}", condition.name)),
        }
    }
    let (verdict, message) = match (failing.as_slice(), unknown.as_slice()) {
        ([], []) => (Verdict::Pass, format!("{} holds", holding.join(", "))),
        ([], unknown) => (Verdict::Unknown, unknown.join("; ")),
        (failing, unknown) => {
            (Verdict::Fail, failing.iter().chain(unknown).cloned().collect::<Vec<_>>().join("; "))
        }
    };
    Some(plain(GateKind::Condition, asking, verdict, message))
}
