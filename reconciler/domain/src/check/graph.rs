//! The graph of stages: circles and what can be reached.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::StageName;
use crate::stage::Stage;

/// A circle of stages that the stage closes, itself first and last; absent: there is none.
///
/// `others` may hold an older definition of the same stage; the given one counts.
#[must_use]
pub fn cycle_through<'a>(
    stage: &'a Stage,
    others: &BTreeMap<&'a StageName, &'a Stage>,
) -> Option<Vec<&'a StageName>> {
    let mut path = vec![&stage.name];
    let mut visited = BTreeSet::new();
    walk(stage, stage, others, &mut path, &mut visited).then_some(path)
}

fn walk<'a>(
    start: &'a Stage,
    at: &'a Stage,
    others: &BTreeMap<&'a StageName, &'a Stage>,
    path: &mut Vec<&'a StageName>,
    visited: &mut BTreeSet<&'a StageName>,
) -> bool {
    for upstream in at.upstreams() {
        path.push(upstream);
        if *upstream == start.name {
            return true;
        }
        if visited.insert(upstream)
            && let Some(next) = others.get(upstream)
            && walk(start, next, others, path, visited)
        {
            return true;
        }
        path.pop();
    }
    false
}

/// The stages, upstream before downstream, else by name. Those of a circle come last.
#[must_use]
pub fn in_order<'a>(stages: &BTreeMap<&'a StageName, &'a Stage>) -> Vec<&'a StageName> {
    let mut waits_for: BTreeMap<&StageName, usize> = BTreeMap::new();
    let mut downstream: BTreeMap<&StageName, Vec<&'a StageName>> = BTreeMap::new();
    for (name, stage) in stages {
        let known = stage.upstreams().into_iter().filter(|upstream| stages.contains_key(upstream));
        let known: Vec<&StageName> = known.collect();
        waits_for.insert(name, known.len());
        for upstream in known {
            downstream.entry(upstream).or_default().push(name);
        }
    }
    let free = waits_for.iter().filter(|(_, count)| **count == 0);
    let mut free: BTreeSet<&StageName> = free.map(|(name, _)| *name).collect();
    let mut ordered = Vec::with_capacity(stages.len());
    while let Some(next) = free.pop_first() {
        waits_for.remove(next);
        ordered.push(next);
        for name in downstream.remove(next).into_iter().flatten() {
            if let Some(count) = waits_for.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    free.insert(name);
                }
            }
        }
    }
    ordered.extend(waits_for.into_keys());
    ordered
}

/// The stages that freight of some warehouse can ever get to.
#[must_use]
pub fn reachable<'a>(stages: &BTreeMap<&'a StageName, &'a Stage>) -> BTreeSet<&'a StageName> {
    let mut reached: BTreeSet<&StageName> = BTreeSet::new();
    loop {
        let before = reached.len();
        for (name, stage) in stages {
            let comes = stage.requests.iter().any(|request| {
                let verified = |from: &StageName| reached.contains(from);
                request.direct
                    || request.from.iter().filter(|from| verified(from)).count()
                        >= request.matching.needed(request.from.len())
            });
            if comes {
                reached.insert(*name);
            }
        }
        if reached.len() == before {
            return reached;
        }
    }
}
