//! What the walk has to know of infra modules: which state each works on, and what a plan says of outputs.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Walk, rendered_config};
use crate::expression::Scope;
use crate::promotion::StepPrepared;
use crate::scope::layered;
use crate::step::{PlanRecord, PlannedOutput, Record, StateKey, Step, StepKind};
use crate::template::render_json;

impl<'a> Walk<'a> {
    /// The applies before a plan that change the state which it is made against.
    pub(super) fn applies_before(&self, step: &Step, scope: &Scope) -> Result<Vec<String>, String> {
        let state = state_of(step, scope);
        self.no_apply_beside(step, &state)?;
        let applied = self.applied_states.iter().filter(|(_, applied)| state == *applied);
        Ok(applied.map(|(other, _)| format!("steps.{}", other.name)).collect())
    }

    /// Notes which state an apply changes.
    pub(super) fn note_apply(&mut self, step: &'a Step) -> Result<(), String> {
        let plan = step.config.get("plan").and_then(Value::as_str);
        let planned = |other: &&Step| Some(other.name.as_str()) == plan;
        let Some(plan) = self.frozen.stage.steps.iter().find(planned) else { return Ok(()) };
        if !step.sees(plan) {
            return Err(format!(
                "step {} plans in a lane of its own: apply the plan in that lane",
                plan.name
            ));
        }
        let state = state_of(plan, &layered(&self.scope, &plan.within)?);
        self.no_apply_beside(step, &state)?;
        self.applied_states.push((step, state));
        Ok(())
    }

    /// Two that are carried out side by side must not work on one infra state.
    fn no_apply_beside(&self, step: &Step, state: &StateKey) -> Result<(), String> {
        let mut applied = self.applied_states.iter().filter(|(_, applied)| applied == state);
        match applied.find(|(other, _)| step.is_beside(other)) {
            Some((other, _)) => Err(format!(
                "step {} is carried out beside it and changes the same infra state {state}: give \
                 each a `state` of its own, or put one after the other",
                other.name
            )),
            None => Ok(()),
        }
    }

    /// Outputs of a module whose apply comes before this step, as far as its plan knows them.
    pub(super) fn outputs_of_plan(
        &self,
        step: &Step,
        scope: &Scope,
    ) -> Result<Option<StepPrepared>, String> {
        let dir = render_json(&step.config["dir"], scope).map_err(|e| e.to_string())?;
        let made = self.state.prepared.iter().rev().filter(|(name, _)| self.is_seen(name, step));
        let wanted = step.config.get("plan").and_then(Value::as_str);
        let planned = made
            .filter_map(|(name, done)| Some((name, done.record.as_plan()?)))
            .filter(|(name, _)| wanted.is_none_or(|wanted| name.as_str() == wanted))
            .find(|(_, plan)| dir.as_str() == Some(&plan.call.dir));
        let Some((plan_step, plan)) = planned else { return Ok(None) };
        self.no_apply_beside(step, &plan.call.state_key())?;
        let applied_before =
            self.frozen.stage.steps.iter().take_while(|s| s.name != step.name).any(|other| {
                other.uses == StepKind::TfApply
                    && !self.state.passed_over.contains_key(&other.name)
                    && other.config.get("plan").and_then(Value::as_str) == Some(plan_step.as_str())
            });
        if !applied_before || !plan.summary.has_changes {
            return Ok(None);
        }
        let (outputs, unknown) = outputs_of(plan);
        let record = Record::None;
        Ok(Some(StepPrepared { step: step.name.clone(), call: None, outputs, unknown, record }))
    }
}

/// The state of a step that plans.
fn state_of(step: &Step, scope: &Scope) -> StateKey {
    StateKey::of_config(&rendered_config(&step.config, scope))
}

/// The outputs that a plan knows, and the names of those that it does not.
fn outputs_of(plan: &PlanRecord) -> (Map<String, Value>, BTreeSet<String>) {
    let mut outputs = Map::new();
    let mut unknown = BTreeSet::new();
    for (name, output) in &plan.outputs {
        match output {
            PlannedOutput::Known(value) => {
                outputs.insert(name.clone(), value.clone());
            }
            PlannedOutput::Unknown | PlannedOutput::Sensitive => {
                unknown.insert(name.clone());
            }
        }
    }
    (outputs, unknown)
}
