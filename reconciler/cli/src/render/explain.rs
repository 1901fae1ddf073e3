//! Why a stage does or does not get freight.

use jiff::Timestamp;
use reconciler_api::v1::{Candidate, Explain, ExplainedPolicy};

use super::age::{age, instant};
use super::freeze::stage_freezes;
use super::gates::{GATE_HEADER, gate, holds, waiting};
use super::stage::current;
use super::{indent, section, several, short, table};

/// All of it, from what the stage is to when the daemon looks again.
pub(crate) fn text(explain: &Explain, now: Timestamp) -> String {
    let next_wake = |at| format!("lockstepd looks again at {} ({})", instant(at), age(at, now));
    let promotion = |it: &reconciler_api::v1::ActivePromotion| {
        let brought = several(&it.freight, &it.along);
        format!("promotion {} brings freight {brought}: {}", it.id, it.phase)
    };
    let sections = [
        headline(explain),
        section(
            "policies",
            &["NAME", "MODE", "VERDICT"],
            explain.policies.iter().map(policy).collect(),
        ),
        current(&explain.current, now),
        holds(&explain.holds),
        stage_freezes(&explain.freezes),
        explain.promotion.as_ref().map(promotion).unwrap_or_default(),
        candidates(&explain.candidates),
        waiting(&explain.waiting),
        explain.next_wake.map(next_wake).unwrap_or_default(),
    ];
    let there: Vec<String> = sections.into_iter().filter(|it| !it.is_empty()).collect();
    there.join("\n\n")
}

fn headline(explain: &Explain) -> String {
    let Explain { stage, mode, policies, .. } = explain;
    if policies.is_empty() {
        return format!("stage {stage} is {mode}: no policy selects it");
    }
    format!("stage {stage} is {mode}")
}

fn policy(policy: &ExplainedPolicy) -> Vec<String> {
    let ExplainedPolicy { name, mode, verdict } = policy;
    vec![name.clone(), mode.to_string(), verdict.to_string()]
}

fn candidates(candidates: &[Candidate]) -> String {
    if candidates.is_empty() {
        return "no freight could come next".to_owned();
    }
    let texts: Vec<String> = candidates.iter().map(candidate).collect();
    texts.join("\n\n")
}

fn candidate(candidate: &Candidate) -> String {
    let Candidate { freight, warehouse, available, gates, promotion, waits_until, passed_over } =
        candidate;
    let available = if *available { "available" } else { "not available" };
    let promotion = promotion.as_ref().map(|it| format!(", in promotion {it}")).unwrap_or_default();
    let waits = waits_until
        .map(|at| format!(", which waits until {} at most", instant(at)))
        .unwrap_or_default();
    let passed_over = match (passed_over, &candidate.promotion) {
        (Some(why), None) => format!("; automation passes it over: {why}"),
        (Some(_) | None, _) => String::new(),
    };
    let headline = format!(
        "freight {} of {warehouse} is {available}{promotion}{waits}{passed_over}",
        short(freight)
    );
    if gates.is_empty() {
        return headline;
    }
    format!("{headline}\n{}", indent(&table(GATE_HEADER, gates.iter().map(gate))))
}
