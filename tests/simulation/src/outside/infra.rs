//! Infra: states with serials, plans against them, and runs that apply a stored plan once.

use std::collections::{BTreeMap, BTreeSet};

use reconciler_domain::id::StepName;
use reconciler_domain::infra::{Action, Plan};
use reconciler_domain::step::{
    Applied, ApplyCall, Call, OutputCall, PlanCall, PlanRecord, PlannedOutput, Record, Seen,
    StepOutcome,
};
use serde_json::json;

use super::{Asked, Effect, Outside, Trouble, done, failed};
use crate::bug::Bug;

/// Values of resources by address.
pub(super) type Resources = BTreeMap<String, String>;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct InfraState {
    pub(crate) serial: u64,
    resources: Resources,
}

/// A stored plan: where it leads.
#[derive(Debug, Clone)]
pub(super) struct StoredPlan {
    state: String,
    after: InfraState,
}

impl Outside {
    /// What the module in a directory wants: a resource per variable, and one per value of its file `module`.
    fn wanted(
        &self,
        call: &PlanCall,
        rebuild: &[(StepName, Call)],
        before: &Resources,
    ) -> Result<Resources, String> {
        if !call.destroy.is_empty() {
            let mut left = before.clone();
            left.retain(|address, _| !call.destroy.contains(address));
            return Ok(left);
        }
        let workdir = self.filled(rebuild)?;
        let tree = workdir.trees.get(&call.dir);
        let tree = tree.ok_or_else(|| format!("the module {} is not checked out", call.dir))?;
        let repo = self.repo(&tree.repo)?;
        let of_file = repo.keys_below("module#", tree.place).filter_map(|(key, value)| {
            Some((format!("x.{}", key.strip_prefix("module#")?), value.to_owned()))
        });
        let of_vars = call.vars.iter().map(|(name, value)| {
            (format!("x.{name}"), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        });
        Ok(of_file.chain(of_vars).collect())
    }

    pub(super) fn plan(
        &mut self,
        asked: &Asked<'_>,
        call: &PlanCall,
        rebuild: &[(StepName, Call)],
    ) -> StepOutcome {
        let state = state_name(asked, call);
        let before = self.states.get(&state).cloned().unwrap_or_default();
        let wanted = match self.wanted(call, rebuild, &before.resources) {
            Ok(wanted) => wanted,
            Err(message) => return failed(message, false),
        };
        let mut changes = Vec::new();
        let addresses: BTreeSet<&String> = before.resources.keys().chain(wanted.keys()).collect();
        for address in addresses {
            let (old, new) = (before.resources.get(address), wanted.get(address));
            let action = match (old, new) {
                (None, _) => "create",
                (_, None) => "delete",
                (Some(old), Some(new)) if old == new => "no-op",
                (Some(_), Some(_)) => "update",
            };
            changes.push(json!({ "address": address, "mode": "managed", "change": {
                "actions": [action], "before": old, "after": new,
            }}));
        }
        let changed = before.resources != wanted;
        let unknown = changed && self.unknown_outputs;
        let (old, new) = (url_of(&before.resources), url_of(&wanted));
        let action = if old == new { "no-op" } else { "update" };
        let document = json!({
            "format_version": "1.2",
            "resource_changes": changes,
            "output_changes": { "url": {
                "actions": [action], "before": old, "after": new, "after_unknown": unknown,
            }},
        });
        let plan = Plan::from_value(&document).expect("a well-formed plan");
        let outputs = plan.outputs().into_iter().map(|(name, output)| {
            (name, output.value.map_or(PlannedOutput::Unknown, PlannedOutput::Known))
        });
        self.plans_made += 1;
        let file_digest = format!("{state}@{}#{}", before.serial, self.plans_made);
        let record = PlanRecord {
            call: call.clone(),
            file_digest: file_digest.clone(),
            file: file_digest.clone(),
            summary: plan.summary(),
            semantic_digest: plan.semantic_digest(b"key"),
            outputs: outputs.collect(),
            state: (before.serial > 0).then(|| (state.clone(), before.serial)),
            text: None,
            inputs: None,
        };
        let after = InfraState { serial: before.serial + 1, resources: wanted };
        let stored = StoredPlan { state, after };
        self.plans.entry(asked.promotion_key()).or_default().insert(file_digest, stored);
        let outputs = json!({ "has_changes": record.summary.has_changes });
        done(outputs, Record::Plan(Box::new(record)))
    }

    /// Applies a stored plan, unless its one run has ended: then says how.
    pub(super) fn apply(
        &mut self,
        asked: &Asked<'_>,
        call: &ApplyCall,
        trouble: Option<Trouble>,
    ) -> StepOutcome {
        let run = format!("{}/{} {}", asked.project, call.run, call.plan.file_digest);
        let ended = self.runs.get(&run).filter(|_| self.bug != Some(Bug::ProbeSkipped));
        if let Some(ended) = ended {
            return ended.clone();
        }
        let plans = self.plans.get(&asked.promotion_key());
        let Some(mut stored) = plans.and_then(|p| p.get(&call.plan.file_digest)).cloned() else {
            return failed("the plan file is gone", false);
        };
        let state = self.states.entry(stored.state.clone()).or_default();
        if self.bug == Some(Bug::PlannedAgain) {
            stored.after.resources.insert("x.planned_again".to_owned(), call.run.clone());
        } else if state.serial + 1 != stored.after.serial && self.bug != Some(Bug::ProbeSkipped) {
            let message = "the state was changed after the plan was made".to_owned();
            let (retry, retry_after, record, seen) = (false, None, Record::Stale, Seen::Unsaid);
            let ended = StepOutcome::Failed { message, retry, retry_after, record, seen };
            self.runs.insert(run, ended.clone());
            return ended;
        }
        let before = state.resources.clone();
        let created = call.plan.summary.addresses.get(&Action::Create);
        let created: Vec<String> = created.into_iter().flatten().map(ToString::to_string).collect();
        let outcome = match trouble {
            Some(Trouble::Breaks) => {
                let created: Vec<String> = created.into_iter().take(1).collect();
                state.serial = stored.after.serial;
                for address in &created {
                    let value = stored.after.resources.get(address).cloned().unwrap_or_default();
                    state.resources.insert(address.clone(), value);
                }
                StepOutcome::Failed {
                    message: "the provider refused a resource".to_owned(),
                    retry: false,
                    retry_after: None,
                    record: Record::Applied(Applied { created }),
                    seen: Seen::Unsaid,
                }
            }
            Some(Trouble::CutOff) => {
                *state = stored.after;
                StepOutcome::Uncertain { message: "the apply was cut off".to_owned() }
            }
            Some(Trouble::Refused | Trouble::ReplyLost) | None => {
                *state = stored.after;
                done(json!({ "applied": true }), Record::Applied(Applied { created }))
            }
        };
        self.runs.insert(run, outcome.clone());
        let changed = changed(&before, &self.states[&stored.state].resources);
        self.happened(asked, Effect::Applied { plan: call.plan.clone(), changed });
        outcome
    }

    pub(super) fn output(&self, asked: &Asked<'_>, call: &OutputCall) -> StepOutcome {
        let state = self.states.get(&state_name(asked, &call.plan));
        let url = state.and_then(|state| url_of(&state.resources));
        done(json!({ "url": url }), Record::None)
    }

    /// Someone writes a state past Lockstep, to this value or, without one, as it was.
    pub(crate) fn drift(&mut self, which: usize, value: Option<&str>) {
        let count = self.states.len().max(1);
        let Some(state) = self.states.values_mut().nth(which % count) else { return };
        state.serial += 1;
        if let Some(value) = value {
            state.resources.insert("x.drifted".to_owned(), value.to_owned());
        }
    }
}

/// Addresses whose value came, went or changed.
fn changed(before: &Resources, after: &Resources) -> BTreeSet<String> {
    let addresses: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differ =
        addresses.into_iter().filter(|address| before.get(*address) != after.get(*address));
    differ.cloned().collect()
}

/// States belong to a stage.
pub(super) fn state_name(asked: &Asked<'_>, call: &PlanCall) -> String {
    format!("{}/{}/{}", asked.project, asked.stage, call.state)
}

fn url_of(resources: &Resources) -> Option<String> {
    resources.get("x.version").map(|version| format!("https://v{version}.example"))
}
