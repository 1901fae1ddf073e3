//! Gates, holds, and why something waits.

use reconciler_api::v1::{Gate, Hold, Verdict, Waiting};

use super::age::instant;
use super::{or_dash, section};

/// The columns of a gate's row.
pub(super) const GATE_HEADER: &[&str] = &["GATE", "POLICY", "VERDICT", "UNTIL", "WHY"];

pub(super) fn gate(gate: &Gate) -> Vec<String> {
    let Gate { gate, policy, verdict, message, until, bypassed } = gate;
    let verdict = match (verdict, bypassed) {
        (Verdict::Pass, _) | (_, false) => verdict.to_string(),
        (Verdict::Fail | Verdict::Unknown, true) => format!("{verdict}, skipped"),
    };
    vec![
        gate.to_string(),
        or_dash(policy.clone()),
        verdict,
        or_dash(until.map(instant)),
        message.clone(),
    ]
}

pub(super) fn hold(hold: &Hold) -> String {
    let Hold { reason, author, since, until } = hold;
    let until = until.map(|it| format!(" until {}", instant(it))).unwrap_or_default();
    format!("held by {author} since {}{until}: {reason}", instant(*since))
}

pub(super) fn waiting(waiting: &[Waiting]) -> String {
    let row = |it: &Waiting| {
        let until = or_dash(it.until.map(instant));
        vec![it.subject.clone(), it.reason.clone(), until, it.message.clone()]
    };
    section("waits", &["WHAT", "FOR", "UNTIL", "WHY"], waiting.iter().map(row).collect())
}
