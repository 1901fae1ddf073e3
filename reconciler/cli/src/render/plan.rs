//! What a promotion would do, and what its gates say.

use reconciler_api::v1::Promotion;

use super::changes;
use super::gates::{GATE_HEADER, gate, waiting};
use super::{section, short};

pub(crate) fn text(promotion: &Promotion) -> String {
    let Promotion { freight, stage, change_set, gates, .. } = promotion;
    let head = format!("freight {} to {stage}; nothing was changed", short(freight));
    let parts = [
        head,
        change_set.as_ref().map(changes::full).unwrap_or_default(),
        section("gates", GATE_HEADER, gates.iter().map(gate).collect()),
        waiting(&promotion.waiting),
    ];
    let there: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    there.join("\n\n")
}
