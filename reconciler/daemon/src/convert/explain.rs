//! Why a stage does or does not get freight.

use std::collections::BTreeMap;

use jiff::Timestamp;
use reconciler_api::v1;
use reconciler_convert::wire_mode;
use reconciler_domain::gate::{Facts, Gate, Verdict, gates};
use reconciler_domain::id::PromotionId;
use reconciler_domain::plan::{Candidate, Move, StagePlan, Waiting, candidates, stage};
use reconciler_domain::policy::Policy;
use reconciler_domain::policy::{GateKind, Joined};
use reconciler_domain::promotion::Phase;
use reconciler_domain::snapshot::{Defined, StageSnapshot};

use super::promotion::phase;

/// What an explanation is made from.
pub(crate) struct Explained<'a> {
    /// The stage.
    pub(crate) snapshot: &'a StageSnapshot,
    /// The project's policies with who changed them.
    pub(crate) policies: &'a [Defined<Policy>],
    /// Who is in the stage.
    pub(crate) current: BTreeMap<String, v1::CurrentFreight>,
    /// The next move of each of its promotions that are not over: their gates, why they wait.
    pub(crate) promotions: BTreeMap<PromotionId, Move>,
}

/// Says why nothing, or what, moves.
pub(crate) fn explain(explained: Explained<'_>, now: Timestamp) -> v1::Explain {
    let snapshot = explained.snapshot;
    let name = &snapshot.stage.spec.name;
    let joined = Joined::of(&snapshot.policies, name);
    let plan: StagePlan = stage(snapshot, now);
    let candidates: Vec<v1::Candidate> = candidates(snapshot, &joined, now)
        .into_iter()
        .map(|candidate| wire_candidate(&explained, &joined, candidate, now))
        .collect();
    let policies = joined.policies.iter().map(|policy| v1::ExplainedPolicy {
        name: policy.name.to_string(),
        mode: wire_mode(policy.mode),
        verdict: policy_verdict(policy, &candidates),
    });
    v1::Explain {
        stage: name.to_string(),
        policies: policies.collect(),
        mode: wire_mode(joined.mode),
        holds: super::stage_holds(snapshot, now),
        freezes: super::stage_freezes(snapshot, now),
        promotion: snapshot.running.iter().max_by_key(|run| importance(run.phase)).map(active),
        waiting: plan
            .waiting
            .iter()
            .chain(explained.promotions.values().flat_map(|next| &next.waiting))
            .map(waiting)
            .collect(),
        next_wake: plan.wake_at,
        current: explained.current,
        candidates,
    }
}

/// Of several promotions the one that is furthest is shown.
fn importance(phase: Phase) -> u8 {
    match phase {
        Phase::Preparing => 0,
        Phase::Waiting => 1,
        Phase::Committing => 2,
        Phase::Verifying => 3,
        Phase::Unwinding => 4,
        Phase::Ended(_) => 0,
    }
}

/// Says a running promotion on the wire.
pub(crate) fn active(
    running: &reconciler_domain::snapshot::RunningPromotion,
) -> v1::ActivePromotion {
    v1::ActivePromotion {
        id: running.promotion.id.to_string(),
        freight: running.promotion.freight.to_string(),
        along: running.promotion.along.values().map(ToString::to_string).collect(),
        phase: phase(running.phase),
    }
}

/// A candidate, judged as its promotion is if there is one, else as one of automation would be.
fn wire_candidate(
    explained: &Explained<'_>,
    joined: &Joined<'_>,
    candidate: Candidate,
    now: Timestamp,
) -> v1::Candidate {
    let running = explained.snapshot.running.iter();
    let running = running.map(|run| &run.promotion).find(|p| p.brings(&candidate.freight));
    let next = running.and_then(|promotion| explained.promotions.get(&promotion.id));
    let gates = match next {
        Some(next) => next.gates.iter().flat_map(gate).collect(),
        None => candidate_gates(explained, joined, &candidate.freight, now),
    };
    v1::Candidate {
        freight: candidate.freight.to_string(),
        warehouse: candidate.warehouse.to_string(),
        available: candidate.availability.is_available(),
        gates,
        promotion: running.map(|promotion| promotion.id.to_string()),
        waits_until: next.and_then(|next| next.waits_until),
        passed_over: candidate.passed_over,
    }
}

fn candidate_gates(
    explained: &Explained<'_>,
    joined: &Joined<'_>,
    freight: &reconciler_domain::id::FreightId,
    now: Timestamp,
) -> Vec<v1::Gate> {
    let snapshot = explained.snapshot;
    let Some(facts) = snapshot.freight.iter().find(|facts| facts.freight.id == *freight) else {
        return Vec::new();
    };
    let judged = gates(
        &Facts {
            stage: &snapshot.stage.spec,
            joined,
            policies: explained.policies,
            freight: facts,
            along: &[],
            promotion: None,
            change_set: None,
            approvals: &[],
            automatic_hold: snapshot.automatic_hold.as_ref(),
            holds: &snapshot.holds,
            freezes: &snapshot.freezes,
            brings: &[],
            companions: &snapshot.companions(),
            commits: &snapshot.commits,
            drift: None,
            said: &[],
            prepared_at: None,
        },
        now,
    );
    judged.iter().flat_map(gate).collect()
}

/// A policy passes if every gate that it asks for passes for the newest candidate.
fn policy_verdict(policy: &Policy, candidates: &[v1::Candidate]) -> v1::Verdict {
    let Some(newest) = candidates.first() else { return v1::Verdict::Unknown };
    let name = policy.name.to_string();
    let asked: Vec<v1::Verdict> = newest
        .gates
        .iter()
        .filter(|gate| gate.policy.as_deref() == Some(&name))
        .map(|gate| gate.verdict)
        .collect();
    if asked.contains(&v1::Verdict::Fail) {
        v1::Verdict::Fail
    } else if asked.contains(&v1::Verdict::Unknown) {
        v1::Verdict::Unknown
    } else {
        v1::Verdict::Pass
    }
}

/// The word of the wire for a kind of gate.
pub(super) fn gate_kind(kind: GateKind) -> v1::GateKind {
    match kind {
        GateKind::Upstream => v1::GateKind::Upstream,
        GateKind::Soak => v1::GateKind::Soak,
        GateKind::Age => v1::GateKind::Age,
        GateKind::Condition => v1::GateKind::Condition,
        GateKind::Window => v1::GateKind::Window,
        GateKind::Rate => v1::GateKind::Rate,
        GateKind::Ticket => v1::GateKind::Ticket,
        GateKind::Attestation => v1::GateKind::Attestation,
        GateKind::Approvals => v1::GateKind::Approvals,
        GateKind::Infra => v1::GateKind::Infra,
        GateKind::Drift => v1::GateKind::Drift,
        GateKind::Mode => v1::GateKind::Mode,
        GateKind::Hold => v1::GateKind::Hold,
        GateKind::Freeze => v1::GateKind::Freeze,
    }
}

/// The word of the wire for a verdict.
pub(super) fn verdict(verdict: Verdict) -> v1::Verdict {
    match verdict {
        Verdict::Pass => v1::Verdict::Pass,
        Verdict::Fail => v1::Verdict::Fail,
        Verdict::Unknown => v1::Verdict::Unknown,
    }
}

/// Says a gate on the wire: one entry per policy that asks for it.
pub(crate) fn gate(gate: &Gate) -> Vec<v1::Gate> {
    let entry = |policy: Option<String>| v1::Gate {
        gate: gate_kind(gate.kind),
        policy,
        verdict: verdict(gate.verdict),
        message: gate.message.clone(),
        until: gate.until,
        bypassed: gate.bypassed,
    };
    if gate.policies.is_empty() {
        return vec![entry(None)];
    }
    gate.policies.iter().map(|policy| entry(Some(policy.to_string()))).collect()
}

/// Says a reason for waiting on the wire.
pub(crate) fn waiting(waiting: &Waiting) -> v1::Waiting {
    v1::Waiting {
        subject: waiting.subject.clone(),
        reason: waiting.reason.to_owned(),
        message: waiting.message.clone(),
        until: waiting.until,
    }
}
