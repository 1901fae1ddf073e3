//! Gates, holds, and why something waits.

use reconciler_api::v1::{Gate, StageHold, Verdict, Waiting};

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

/// What stops a stage, one line each.
pub(super) fn holds(holds: &[StageHold]) -> String {
    let lines: Vec<String> = holds.iter().map(stage_hold).collect();
    lines.join("\n")
}

pub(crate) fn stage_hold(hold: &StageHold) -> String {
    let StageHold { name, reason, author, since, until } = hold;
    let named = name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    let until = until.map(|it| format!(" until {}", instant(it))).unwrap_or_default();
    format!("held by {author}{named} since {}{until}: {reason}", instant(*since))
}

pub(super) fn waiting(waiting: &[Waiting]) -> String {
    let row = |it: &Waiting| {
        let until = or_dash(it.until.map(instant));
        vec![it.subject.clone(), it.reason.clone(), until, it.message.clone()]
    };
    section("waits", &["WHAT", "FOR", "UNTIL", "WHY"], waiting.iter().map(row).collect())
}
