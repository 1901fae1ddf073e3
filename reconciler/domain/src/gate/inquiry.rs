//! The gates that ask somebody else: one for each ticket and each attestation of each policy.

use super::{Facts, Gate, Verdict, gate as plain};
use crate::inquiry::{Asker, Reply, Standing, askers};
use crate::verification::Measured;

pub(super) fn gates(facts: &Facts<'_>) -> Vec<Gate> {
    let asking = facts.joined.policies.iter().flat_map(|policy| askers(policy));
    asking.map(|asker| gate(facts, &asker)).collect()
}

fn gate(facts: &Facts<'_>, asker: &Asker) -> Gate {
    let what = asker.describe();
    let unknown =
        |message| plain(asker.gate, vec![asker.policy.clone()], Verdict::Unknown, message);
    let Some(said) = facts.said.iter().find(|said| said.asker == *asker) else {
        return unknown(format!("{what} is asked about once a promotion is prepared"));
    };
    match &said.standing {
        Standing::Unposable(why) => unknown(format!("{what} cannot be asked about: {why}")),
        Standing::Unasked => unknown(format!("{what}: nobody was asked yet")),
        Standing::Stale(Reply { at, detail, .. }) => {
            unknown(format!("{what}: the last answer is too old, it is of {at}: {detail}"))
        }
        Standing::Fresh { reply, again } => {
            let Reply { at, measured, detail, .. } = reply;
            let (verdict, until) = match measured {
                Measured::Pass => (Verdict::Pass, None),
                Measured::Fail => (Verdict::Fail, *again),
                Measured::Unknown => (Verdict::Unknown, *again),
            };
            let asked = match until {
                Some(again) => format!("asked at {at}, and again at {again}"),
                None => format!("asked at {at}"),
            };
            let message = format!("{what}: {detail} ({asked})");
            Gate { until, ..plain(asker.gate, vec![asker.policy.clone()], verdict, message) }
        }
    }
}
