//! The decision about a warehouse.

use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;

use super::{Waiting, earlier};
use crate::artifact::Artifact;
use crate::freight::Freight;
use crate::id::{FreightId, SubscriptionName};
use crate::snapshot::WarehouseSnapshot;
use crate::warehouse::{Combination, Discovery, Source, newest_combination};

/// What to do for a warehouse.
#[derive(Debug, Clone, PartialEq)]
pub struct WarehousePlan {
    /// What to do now, in any order.
    pub acts: Vec<WarehouseAct>,
    /// What does not move, and why.
    pub waiting: Vec<Waiting>,
    /// When to look again.
    pub wake_at: Timestamp,
}

/// One thing to do for a warehouse.
#[derive(Debug, Clone, PartialEq)]
pub enum WarehouseAct {
    /// Look at a source.
    Discover {
        /// The subscription.
        subscription: SubscriptionName,
        /// Where to look.
        source: Source,
    },
    /// Make freight.
    CreateFreight {
        /// Its id.
        id: FreightId,
        /// Its content.
        artifacts: IndexMap<SubscriptionName, Artifact>,
    },
}

/// How a subscription's last look went, for the object's conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoveryCondition {
    /// The subscription.
    pub subscription: SubscriptionName,
    /// Versions known.
    pub versions: usize,
    /// What failed; absent: nothing.
    pub error: Option<String>,
}

/// Shortest wait after a failed look.
const RETRY_MIN: Duration = Duration::from_secs(10);
/// Longest wait after failed looks in a row.
const RETRY_MAX: Duration = Duration::from_secs(600);

/// Decides about a warehouse.
///
/// A source is looked at when its interval is over, when a refresh was asked for, or when it was
/// never looked at; after a failure at growing distances, never earlier than the source asked.
/// Freight is made only from a complete set; one failing source does not erase what others found.
#[must_use]
pub fn warehouse(snapshot: &WarehouseSnapshot, now: Timestamp) -> WarehousePlan {
    let mut plan = WarehousePlan { acts: Vec::new(), waiting: Vec::new(), wake_at: Timestamp::MAX };
    let nothing = Discovery::default();
    for (name, source) in &snapshot.warehouse.spec.subscriptions {
        let found = snapshot.discovered.get(name).unwrap_or(&nothing);
        let due = due_at(snapshot, found, now);
        if due <= now {
            let act = WarehouseAct::Discover { subscription: name.clone(), source: source.clone() };
            plan.acts.push(act);
        } else {
            plan.wake_at = earlier(Some(plan.wake_at), Some(due)).unwrap_or(due);
        }
        plan.waiting.extend(failed_look(name, found, due));
    }
    let looks = !plan.acts.is_empty();
    if looks {
        plan.wake_at = now;
    }
    combine(snapshot, looks, &mut plan);
    plan
}

/// How the last look of every subscription went.
#[must_use]
pub fn condition(snapshot: &WarehouseSnapshot) -> Vec<DiscoveryCondition> {
    let subscriptions = snapshot.warehouse.spec.subscriptions.keys();
    subscriptions
        .map(|name| {
            let found = snapshot.discovered.get(name);
            DiscoveryCondition {
                subscription: name.clone(),
                versions: found.map_or(0, |found| found.versions.len()),
                error: found.and_then(|f| f.error.as_ref()).map(|error| error.message.clone()),
            }
        })
        .collect()
}

fn due_at(snapshot: &WarehouseSnapshot, found: &Discovery, now: Timestamp) -> Timestamp {
    // A look later than now was taken before the clock was put back: how long ago, nobody knows.
    let Some(looked_at) = found.looked_at.filter(|at| *at <= now) else { return Timestamp::MIN };
    // Nor is what happened later than now after this look: it would be due for ever.
    let asked = snapshot.refresh_asked_at.is_some_and(|at| at >= looked_at && at <= now);
    let redefined =
        snapshot.warehouse.changed_at > looked_at && snapshot.warehouse.changed_at <= now;
    let Some(error) = &found.error else {
        if asked || redefined {
            return Timestamp::MIN;
        }
        return later(looked_at, snapshot.warehouse.spec.interval);
    };
    if redefined {
        return Timestamp::MIN;
    }
    let pause = RETRY_MIN.saturating_mul(1 << error.failures.saturating_sub(1).min(6));
    let due = later(looked_at, pause.min(RETRY_MAX));
    let due = if asked { looked_at } else { due };
    error.retry_at.map_or(due, |at| at.max(due))
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

fn failed_look(name: &SubscriptionName, found: &Discovery, due: Timestamp) -> Option<Waiting> {
    let error = found.error.as_ref()?;
    Some(Waiting {
        subject: format!("subscription {name}"),
        reason: "DiscoveryFailed",
        message: error.message.clone(),
        until: Some(due),
    })
}

/// Makes freight of the newest combination, or says why there is none. While sources are still to be
/// looked at (`looks`) nothing is made: something newer may be found.
fn combine(snapshot: &WarehouseSnapshot, looks: bool, plan: &mut WarehousePlan) {
    let spec = &snapshot.warehouse.spec;
    let (reason, message) = match newest_combination(spec, &snapshot.discovered) {
        Combination::Found(artifacts) => {
            let id = Freight::id_of(&spec.name, &artifacts);
            if snapshot.freight.contains(&id) {
                return;
            }
            if !looks {
                plan.acts.push(WarehouseAct::CreateFreight { id, artifacts });
                return;
            }
            ("Looking", "the sources are looked at before freight is made".to_owned())
        }
        Combination::Incomplete { missing } => {
            let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
            ("Incomplete", format!("no version found yet for {}", names.join(", ")))
        }
        Combination::Unsatisfied { judged, bounded } => {
            let bound = if bounded { "; older ones were not tried" } else { "" };
            let message =
                format!("none of the {judged} newest combinations satisfies `require`{bound}");
            ("RequireNotSatisfied", message)
        }
        Combination::Refused { message } => {
            ("RequireFailed", format!("`require` could not be evaluated: {message}"))
        }
    };
    let subject = format!("warehouse {}", spec.name);
    plan.waiting.push(Waiting { subject, reason, message, until: None });
}
