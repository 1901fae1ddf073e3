//! What was done, beside what was judged; what a log folds to, beside what was kept of it.

use std::collections::BTreeSet;

use reconciler_domain::promotion::{Entry, Node, State};
use reconciler_domain::step::{Call, PlanRecord};

use crate::outside::{Changes, line};
use crate::store::Saga;

/// Writes the log down as the store does, reads it again and folds it.
pub(super) fn replays(saga: &Saga) -> Result<(), String> {
    let written = serde_json::to_string(&saga.log).map_err(|error| error.to_string())?;
    let log: Vec<Entry> = serde_json::from_str(&written).map_err(|error| error.to_string())?;
    let replayed = State::fold(&log).map_err(|error| error.to_string())?;
    if format!("{replayed:?}") == format!("{:?}", saga.state) {
        Ok(())
    } else {
        Err("what was kept between appends is not what the log folds to".to_owned())
    }
}

/// How pushed changes differ from those that were judged. Of a commit that had to wait for an effect only the
/// values may differ.
pub(super) fn pushed_otherwise(state: &State, call: &Call, changes: &Changes) -> Option<String> {
    let Call::GitPush(push) = call else { return Some(format!("the intent is {call:?}")) };
    let change_set = state.change_set.as_ref()?;
    let committer = state
        .records()
        .into_iter()
        .find(|(_, record)| record.as_commit().is_some_and(|commit| commit.commit == push.commit));
    let Some((committer, _)) = committer else { return Some("no commit was made".to_owned()) };
    let judged = change_set.files.iter().find(|files| files.step == committer);
    if let Some(judged) = judged {
        let said: String = judged.files.iter().map(|file| file.patch.as_str()).collect();
        let done: String = changes.iter().map(|(key, value)| line(key, value.as_deref())).collect();
        return (said != done).then(|| format!("judged was {said:?}, pushed is {done:?}"));
    }
    let updates = change_set.steps.iter().filter_map(|step| step.config.get("updates"));
    let keys: BTreeSet<&String> =
        updates.filter_map(serde_json::Value::as_object).flat_map(serde_json::Map::keys).collect();
    let beyond = changes.keys().find(|key| {
        let name = key.split_once('#').map_or(key.as_str(), |(_, name)| name);
        !keys.iter().any(|known| *known == name)
    });
    beyond.map(|key| format!("{key} was not in the change set"))
}

/// How an apply differs from the plan that was judged.
pub(super) fn applied_otherwise(
    state: &State,
    node: &Node,
    plan: &PlanRecord,
    changed: &BTreeSet<String>,
) -> Option<String> {
    if let Node::Step(_) = node {
        let mut judged = state.change_set.iter().flat_map(|set| &set.infra);
        if !judged.any(|infra| infra.digest == plan.semantic_digest) {
            return Some("the plan is not in the change set".to_owned());
        }
    }
    let planned: BTreeSet<String> =
        plan.summary.changes.iter().map(|change| change.address.to_string()).collect();
    let beyond = changed.iter().find(|address| !planned.contains(*address));
    beyond.map(|address| format!("{address} changed, which the plan does not say"))
}
