//! The gate of rates: whether enough happened already.

use jiff::Timestamp;

use super::{Facts, Gate, Verdict, asking, gate as plain};
use crate::duration;
use crate::policy::{Across, GateKind, Most, Policy, Rate};
use crate::snapshot::Committed;

pub(super) fn gate(facts: &Facts<'_>, now: Timestamp) -> Option<Gate> {
    let asking = asking(facts, GateKind::Rate);
    if asking.is_empty() {
        return None;
    }
    let mut reached = Vec::new();
    for policy in &facts.joined.policies {
        for rate in &policy.rates {
            let counted = counted(facts, policy, rate);
            let found = [
                rate.most.and_then(|most| too_many(most, &counted, now)),
                rate.cooldown.and_then(|cooldown| too_soon(cooldown, &counted, now)),
                rate.concurrent.and_then(|most| too_many_at_once(most, &counted)),
            ];
            let named = |(why, until)| (format!("rate {}: {why}", rate.name), until);
            reached.extend(found.into_iter().flatten().map(named));
        }
    }
    if reached.is_empty() {
        let message = "no rate is reached".to_owned();
        return Some(plain(GateKind::Rate, asking, Verdict::Pass, message));
    }
    // It passes once the last of them does; an end that nobody knows may come first.
    let until = reached.iter().map(|(_, until)| *until).collect::<Option<Vec<_>>>();
    let until = until.and_then(|all| all.into_iter().max());
    let reasons: Vec<String> = reached.into_iter().map(|(why, _)| why).collect();
    let message = reasons.join("; ");
    Some(Gate { until, ..plain(GateKind::Rate, asking, Verdict::Fail, message) })
}

/// The commits that a rate counts, newest first; never the promotion that is judged.
fn counted<'a>(facts: &Facts<'a>, policy: &Policy, rate: &Rate) -> Vec<&'a Committed> {
    let counts = |commit: &&Committed| {
        let own = facts.promotion.is_some_and(|promotion| promotion.id == commit.promotion);
        let in_scope = match rate.across {
            Across::Stage => commit.stage == facts.stage.name,
            Across::Policy => policy.selects(&commit.stage),
        };
        in_scope && !own
    };
    let mut counted: Vec<&Committed> = facts.commits.iter().filter(counts).collect();
    counted.sort_by_key(|commit| std::cmp::Reverse(commit.at));
    counted
}

type Reached = (String, Option<Timestamp>);

fn too_many(most: Most, counted: &[&Committed], now: Timestamp) -> Option<Reached> {
    let oldest = counted.get((most.count as usize).checked_sub(1)?)?;
    let until = oldest.at.checked_add(most.per).unwrap_or(Timestamp::MAX);
    let per = duration::print(most.per);
    (until > now).then(|| {
        (format!("{} in {per} are committed, the next may at {until}", most.count), Some(until))
    })
}

fn too_soon(
    cooldown: std::time::Duration,
    counted: &[&Committed],
    now: Timestamp,
) -> Option<Reached> {
    let last = counted.first()?;
    let until = last.at.checked_add(cooldown).unwrap_or(Timestamp::MAX);
    let cooldown = duration::print(cooldown);
    (until > now).then(|| {
        let why =
            format!("{} committed less than {cooldown} ago, wait until {until}", last.promotion);
        (why, Some(until))
    })
}

fn too_many_at_once(most: u32, counted: &[&Committed]) -> Option<Reached> {
    let under_way: Vec<String> = counted
        .iter()
        .filter(|commit| !commit.over)
        .map(|commit| commit.promotion.to_string())
        .collect();
    let reached = under_way.len() >= most as usize;
    reached.then(|| (format!("{} under way, at most {most} at once", under_way.join(", ")), None))
}
