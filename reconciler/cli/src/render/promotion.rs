//! Promotions and what happens to them.

use jiff::Timestamp;
use reconciler_api::v1::{
    Measurement, Phase, Promotion, PromotionApproval, PromotionEvent, StepRun,
};

use super::age::{age, age_or_dash, instant};
use super::gates::{GATE_HEADER, gate, waiting};
use super::{Show, brought, list, or_dash, section};

impl Show for Promotion {
    const HEADER: &'static [&'static str] =
        &["PROMOTION", "STAGE", "FREIGHT", "PHASE", "REQUESTER", "AGE", "MESSAGE"];

    fn row(&self, now: Timestamp) -> Vec<String> {
        let message =
            self.error.clone().or_else(|| self.waiting.first().map(|it| it.message.clone()));
        vec![
            self.id.clone(),
            self.stage.clone(),
            brought(self),
            phase(self),
            self.requester.clone(),
            age(self.created_at, now),
            or_dash(message),
        ]
    }

    fn details(&self, now: Timestamp) -> Vec<String> {
        let approval_header = ["BY", "GROUPS", "DIGEST", "AGE", "COMMENT"];
        let approvals = self.approvals.iter().map(|it| approval(it, now)).collect();
        let step_header = ["STEP", "USES", "STATE", "ENDED", "ERROR"];
        let steps = self.steps.iter().map(|it| step(it, now)).collect();
        let measurement_header = ["CHECK", "VERDICT", "VALUE", "AGE", "WHY"];
        let measurements = self.measurements.iter().map(|it| measurement(it, now)).collect();
        vec![
            self.reason.as_ref().map(|it| format!("reason: {it}")).unwrap_or_default(),
            self.change_set.as_ref().map(|it| format!("digest: {}", it.digest)).unwrap_or_default(),
            section("gates", GATE_HEADER, self.gates.iter().map(gate).collect()),
            section("approvals", &approval_header, approvals),
            section("steps", &step_header, steps),
            section("measurements", &measurement_header, measurements),
            waiting(&self.waiting),
            self.waits_until.map(until).unwrap_or_default(),
            list("differences that remain", &self.remaining),
        ]
    }
}

/// How far it is. What is rehearsed goes no further than its gates.
fn phase(promotion: &Promotion) -> String {
    let Promotion { phase, rehearsal, .. } = promotion;
    if *rehearsal && !phase.is_finished() {
        return format!("{phase} (rehearsal)");
    }
    phase.to_string()
}

fn until(at: Timestamp) -> String {
    format!("waits until {} at most", instant(at))
}

fn approval(approval: &PromotionApproval, now: Timestamp) -> Vec<String> {
    let PromotionApproval { by, groups, digest, comment, at, void } = approval;
    let digest = if *void { format!("{digest} (void)") } else { digest.clone() };
    vec![by.clone(), groups.join(", "), digest, age(*at, now), or_dash(comment.clone())]
}

fn step(step: &StepRun, now: Timestamp) -> Vec<String> {
    vec![
        step.name.clone(),
        step.uses.clone(),
        step.state.to_string(),
        age_or_dash(step.finished_at, now),
        or_dash(step.error.clone()),
    ]
}

fn measurement(measurement: &Measurement, now: Timestamp) -> Vec<String> {
    let Measurement { verification, check, at, verdict, value, message } = measurement;
    vec![
        format!("{verification}.{check}"),
        verdict.to_string(),
        or_dash(value.clone()),
        age(*at, now),
        message.clone(),
    ]
}

/// One event, as one line.
pub(crate) fn event(event: &PromotionEvent) -> String {
    let PromotionEvent { at, step, message, .. } = event;
    let step = step.as_ref().map(|it| format!("{it}: ")).unwrap_or_default();
    format!("{}  {step}{message}", at.strftime("%H:%M:%SZ"))
}

/// How a promotion ended, as one line.
pub(crate) fn verdict(promotion: &Promotion) -> String {
    let Promotion { id, stage, phase, .. } = promotion;
    let freight = brought(promotion);
    match phase {
        Phase::Succeeded => format!("promotion {id} succeeded: {stage} holds freight {freight}"),
        Phase::RolledBack => {
            format!(
                "promotion {id} rolled back: all that freight {freight} did to {stage} is undone"
            )
        }
        Phase::Stuck => format!("promotion {id} is stuck: {stage} needs a person"),
        Phase::Preparing
        | Phase::Waiting
        | Phase::Committing
        | Phase::Verifying
        | Phase::Unwinding
        | Phase::Failed
        | Phase::Aborted
        | Phase::Superseded
        | Phase::Expired
        | Phase::Inconclusive
        | Phase::Rehearsed => format!("promotion {id} is {phase}"),
    }
}
