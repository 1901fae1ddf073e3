//! Previews.

use reconciler_api::problem::FieldProblem;
use reconciler_api::v1;
use reconciler_domain::preview::{Effect, EffectKind, Preview, Replay, Warning, Witness};

use super::explain::{gate_kind, verdict};

/// Says a preview on the wire.
pub(crate) fn preview(preview: &Preview, problems: Vec<FieldProblem>, as_of: u64) -> v1::Preview {
    v1::Preview {
        as_of: v1::WorldToken(as_of),
        known: problems.is_empty(),
        effects: preview.effects.iter().map(effect).collect(),
        warnings: preview.warnings.iter().map(warning).collect(),
        problems,
        replay: None,
    }
}

/// Says a preview of several changes on the wire: what is said of one begins with its place.
pub(crate) fn preview_of_set(
    preview: &Preview,
    replay: Option<&Replay>,
    problems: Vec<FieldProblem>,
    as_of: u64,
) -> v1::Preview {
    let mut said = self::preview(preview, problems, as_of);
    for (warning, judged) in said.warnings.iter_mut().zip(&preview.warnings) {
        warning.path = place(judged.change, &warning.path);
    }
    said.replay = replay.map(wire_replay);
    said
}

/// Where the field of one of several changes is.
pub(crate) fn place(change: usize, path: &str) -> String {
    if path.is_empty() { format!("changes[{change}]") } else { format!("changes[{change}].{path}") }
}

fn wire_replay(replay: &Replay) -> v1::Replay {
    v1::Replay {
        judged: replay.judged(),
        passed: replay.passed,
        blocked: replay.blocked,
        unknown: replay.unknown,
        complete: replay.is_whole,
        witnesses: replay.witnesses.iter().map(witness).collect(),
    }
}

fn witness(witness: &Witness) -> v1::Witness {
    v1::Witness {
        promotion: witness.promotion.to_string(),
        stage: witness.stage.to_string(),
        freight: witness.freight.to_string(),
        at: witness.at,
        gate: witness.gate.map(gate_kind),
        policies: witness.policies.iter().map(ToString::to_string).collect(),
        verdict: verdict(witness.verdict),
        reason: witness.reason.clone(),
    }
}

fn effect(effect: &Effect) -> v1::Effect {
    v1::Effect {
        stage: effect.stage.to_string(),
        freight: effect.freight.as_ref().map(ToString::to_string),
        promotion: effect.promotion.as_ref().map(ToString::to_string),
        effect: match effect.kind {
            EffectKind::WouldPromote => v1::EffectKind::WouldPromote,
            EffectKind::BecomesPromotable => v1::EffectKind::BecomesPromotable,
            EffectKind::BecomesBlocked => v1::EffectKind::BecomesBlocked,
            EffectKind::GatePasses => v1::EffectKind::GatePasses,
            EffectKind::GateBlocks => v1::EffectKind::GateBlocks,
            EffectKind::Supersedes => v1::EffectKind::Supersedes,
            EffectKind::Unreachable => v1::EffectKind::Unreachable,
            EffectKind::NeedsApprovalAgain => v1::EffectKind::NeedsApprovalAgain,
            EffectKind::Expires => v1::EffectKind::Expires,
        },
        reason: effect.reason.clone(),
        until: effect.until,
    }
}

fn warning(warning: &Warning) -> v1::PreviewWarning {
    v1::PreviewWarning {
        path: warning.path.clone(),
        summary: warning.summary.clone(),
        detail: warning.detail.clone(),
    }
}
