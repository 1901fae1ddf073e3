//! Previews.

use reconciler_api::problem::FieldProblem;
use reconciler_api::v1;
use reconciler_domain::preview::{Effect, EffectKind, Preview, Warning};

/// Says a preview on the wire.
pub(crate) fn preview(preview: &Preview, problems: Vec<FieldProblem>, as_of: u64) -> v1::Preview {
    v1::Preview {
        as_of: v1::WorldToken(as_of),
        known: problems.is_empty(),
        effects: preview.effects.iter().map(effect).collect(),
        warnings: preview.warnings.iter().map(warning).collect(),
        problems,
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
