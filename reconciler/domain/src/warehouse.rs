//! Warehouses: what to watch, and which combination of what was found becomes freight.
//!
//! The choice of a combination is here ([`newest_combination`]); looking at the sources is not.

use std::collections::{BinaryHeap, HashSet};
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::artifact::Artifact;
use crate::expression::{EvaluationFailure, Expression, Scope};
use crate::id::{SubscriptionName, WarehouseName};

/// A named set of subscriptions and the rule for making freight of what they find.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Warehouse {
    /// Unique in the project.
    pub name: WarehouseName,
    /// How often the sources are looked at without being told to.
    pub interval: Duration,
    /// One source each, by name.
    pub subscriptions: IndexMap<SubscriptionName, Source>,
    /// CEL over `freight` that a combination must satisfy; absent: any.
    pub require: Option<String>,
    /// Whether it is refused to be removed. Absent in what was written before there was such a thing.
    #[serde(default)]
    pub deletion_protection: bool,
}

/// Where a subscription looks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Source {
    /// Commits of a branch.
    Git(GitSource),
    /// Tags of an image repository.
    Image(ImageSource),
}

/// Commits of one branch, newest first, by changed path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GitSource {
    /// The repository's URL.
    pub repo: String,
    /// The branch.
    pub branch: String,
    /// A commit counts if it changes one of these paths; empty: any.
    pub include_paths: Vec<String>,
    /// Paths that do not count.
    pub exclude_paths: Vec<String>,
    /// Most commits kept.
    pub discovery_limit: u32,
}

/// Tags of an image repository that are semantic versions in a range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageSource {
    /// Registry and repository, without tag.
    pub repo: String,
    /// The range; absent: every version.
    pub constraint: Option<String>,
    /// Whether a tag must have all three numbers.
    pub strict_semver: bool,
    /// A tag counts if one of these expressions matches; empty: any.
    pub allow_tags: Vec<String>,
    /// Tags that do not count.
    pub ignore_tags: Vec<String>,
    /// `os/arch[/variant]` that the image must have.
    pub platform: Option<String>,
    /// Whether the registry may be asked over plain HTTP.
    pub insecure: bool,
    /// Most tags kept.
    pub discovery_limit: u32,
}

/// What one subscription found when it was last looked at.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Discovery {
    /// Versions, newest first. Those of the last success stay when a look fails.
    pub versions: Vec<Artifact>,
    /// When the newest version was first seen.
    pub newest_seen_at: Option<Timestamp>,
    /// When the source was last looked at.
    pub looked_at: Option<Timestamp>,
    /// Why the last look failed; absent: it did not.
    pub error: Option<DiscoveryError>,
}

/// A failed look at a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveryError {
    /// What happened, where, and what to do.
    pub message: String,
    /// Failures in a row.
    pub failures: u32,
    /// The earliest time that the source asked to be looked at again.
    pub retry_at: Option<Timestamp>,
}

/// Most combinations that are judged in one search.
pub const COMBINATIONS_MAX: usize = 2_000;

/// What the search for a combination ended with.
#[derive(Debug, Clone, PartialEq)]
pub enum Combination {
    /// The newest combination that satisfies the requirement.
    Found(IndexMap<SubscriptionName, Artifact>),
    /// A subscription has no version yet.
    Incomplete {
        /// Those without.
        missing: Vec<SubscriptionName>,
    },
    /// No combination satisfies the requirement.
    Unsatisfied {
        /// Combinations judged.
        judged: usize,
        /// Whether the bound was hit before all were judged.
        bounded: bool,
    },
    /// No combination satisfies the requirement, and for some it could not be evaluated.
    Refused {
        /// Why.
        message: String,
    },
}

/// Searches the discovered versions for the newest combination that satisfies the requirement.
///
/// Combinations are judged in order of age: the sum of the positions in each subscription's list,
/// newest version at position 0. Among equally old ones that which keeps the newest version of the
/// subscription that changed last comes first. At most [`COMBINATIONS_MAX`] are judged. One for which
/// the requirement cannot be evaluated is passed over.
#[must_use]
pub fn newest_combination(
    warehouse: &Warehouse,
    discovered: &IndexMap<SubscriptionName, Discovery>,
) -> Combination {
    let mut lists: Vec<(&SubscriptionName, &[Artifact])> = Vec::new();
    let mut missing = Vec::new();
    for name in warehouse.subscriptions.keys() {
        match discovered.get(name).map(|found| found.versions.as_slice()) {
            Some(versions) if !versions.is_empty() => lists.push((name, versions)),
            Some(_) | None => missing.push(name.clone()),
        }
    }
    if !missing.is_empty() {
        return Combination::Incomplete { missing };
    }
    let require = match warehouse.require.as_deref().map(Expression::parse).transpose() {
        Ok(require) => require,
        Err(error) => return Combination::Refused { message: error.to_string() },
    };
    let Some(require) = require else {
        return Combination::Found(pick(&lists, &vec![0; lists.len()]));
    };
    search(&lists, &by_last_change(&lists, discovered), &require)
}

/// Positions of the lists, the subscription that changed last first.
fn by_last_change(
    lists: &[(&SubscriptionName, &[Artifact])],
    discovered: &IndexMap<SubscriptionName, Discovery>,
) -> Vec<usize> {
    let mut order: Vec<usize> = (0..lists.len()).collect();
    order.sort_by_key(|&at| {
        std::cmp::Reverse(discovered.get(lists[at].0).and_then(|found| found.newest_seen_at))
    });
    order
}

fn search(
    lists: &[(&SubscriptionName, &[Artifact])],
    order: &[usize],
    require: &Expression,
) -> Combination {
    // A max-heap of reversed keys: least total age first, then least age of the last changed.
    let key = |positions: &[usize]| {
        let by_order: Vec<usize> = order.iter().map(|&at| positions[at]).collect();
        std::cmp::Reverse((positions.iter().sum::<usize>(), by_order))
    };
    let start = vec![0; lists.len()];
    let mut seen = HashSet::from([start.clone()]);
    let mut heap = BinaryHeap::from([(key(&start), start)]);
    let (mut judged, mut undecided) = (0, None);
    while let Some((_, positions)) = heap.pop() {
        if judged == COMBINATIONS_MAX {
            return nothing_found(undecided, judged, true);
        }
        judged += 1;
        let artifacts = pick(lists, &positions);
        match satisfies(require, &artifacts) {
            Satisfies::Yes => return Combination::Found(artifacts),
            Satisfies::No => {}
            Satisfies::Unknown(message) => {
                undecided.get_or_insert(message);
            }
            Satisfies::Never(message) => return Combination::Refused { message },
        }
        for at in 0..positions.len() {
            let mut next = positions.clone();
            next[at] += 1;
            if next[at] < lists[at].1.len() && seen.insert(next.clone()) {
                heap.push((key(&next), next));
            }
        }
    }
    nothing_found(undecided, judged, false)
}

/// A search without a result. What could not be judged comes first: it may hide the combination
/// that was meant.
fn nothing_found(undecided: Option<String>, judged: usize, bounded: bool) -> Combination {
    match undecided {
        Some(message) => Combination::Refused { message },
        None => Combination::Unsatisfied { judged, bounded },
    }
}

fn pick(
    lists: &[(&SubscriptionName, &[Artifact])],
    positions: &[usize],
) -> IndexMap<SubscriptionName, Artifact> {
    lists
        .iter()
        .zip(positions)
        .map(|((name, versions), &at)| ((*name).clone(), versions[at].clone()))
        .collect()
}

/// What the requirement says of one combination.
enum Satisfies {
    Yes,
    No,
    /// It reads something that an artifact of this combination does not have, such as the version
    /// of a commit that is no release. Another combination may have it.
    Unknown(String),
    /// It cannot be evaluated with any.
    Never(String),
}

fn satisfies(require: &Expression, artifacts: &IndexMap<SubscriptionName, Artifact>) -> Satisfies {
    let mut freight = Map::new();
    for (name, artifact) in artifacts {
        freight.insert(name.to_string(), artifact.scope());
    }
    let mut scope = Scope::new();
    scope.set("freight", Value::Object(freight));
    match require.holds(&scope) {
        Ok(true) => Satisfies::Yes,
        Ok(false) => Satisfies::No,
        Err(error) => match error.failure {
            EvaluationFailure::Failed { .. } => Satisfies::Unknown(error.to_string()),
            EvaluationFailure::Exhausted
            | EvaluationFailure::TooLong { .. }
            | EvaluationFailure::NotABool { .. }
            | EvaluationFailure::NotData { .. }
            | EvaluationFailure::Panicked => Satisfies::Never(error.to_string()),
        },
    }
}
