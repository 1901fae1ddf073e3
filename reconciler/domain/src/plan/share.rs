//! Whose work is taken up next: every project gets its share, however much another one has to do.

use crate::id::ProjectName;

/// What a project has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// Which.
    pub project: ProjectName,
    /// What is due and that nobody works on.
    pub due: u32,
    /// What is being worked on.
    pub held: u32,
}

/// Of the places for work one in so many is kept for projects that have less than their share.
const KEPT: u32 = 4;

/// How much of each project to take up when so much can be: one after the other goes to the project
/// that has the least under way, and of several such to the first of `loads`, which names every project,
/// whether anything of it is due or not. The last places go only to a project that has less than
/// its share of all: whatever hangs in one, another is taken up at once.
#[must_use]
pub fn shares(free: u32, loads: &[Load]) -> Vec<(ProjectName, u32)> {
    let places = loads.iter().fold(free, |sum, load| sum.saturating_add(load.held));
    let projects = u32::try_from(loads.len()).unwrap_or(u32::MAX).max(1);
    let kept = if projects > 1 { places / KEPT } else { 0 };
    let share = (places / projects).max(1);
    let mut taken = vec![0; loads.len()];
    for left in (1..=free).rev() {
        let under_way = |at: &usize| loads[*at].held.saturating_add(taken[*at]);
        let open = (0..loads.len()).filter(|at| taken[*at] < loads[*at].due);
        let open = open.filter(|at| left > kept || under_way(at) < share);
        let Some(next) = open.min_by_key(under_way) else { break };
        taken[next] += 1;
    }
    let shares = loads.iter().zip(taken).filter(|(_, taken)| *taken > 0);
    shares.map(|(load, taken)| (load.project.clone(), taken)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(free: u32, loads: &[(&str, u32, u32)], expect: &[(&str, u32)]) {
        let loads: Vec<Load> = loads
            .iter()
            .map(|(name, due, held)| {
                let project = name.parse().expect("a name");
                Load { project, due: *due, held: *held }
            })
            .collect();
        let shares = shares(free, &loads);
        let shares: Vec<(&str, u32)> =
            shares.iter().map(|(project, taken)| (project.as_str(), *taken)).collect();
        assert_eq!(shares, expect);
    }

    #[test]
    fn who_has_least_under_way_comes_first() {
        check(4, &[("big", 500, 0), ("small", 1, 0)], &[("big", 2), ("small", 1)]);
        check(4, &[("big", 500, 12), ("small", 9, 0)], &[("small", 4)]);
        check(3, &[("one", 9, 0), ("two", 9, 0)], &[("one", 2), ("two", 1)]);
        check(9, &[("one", 2, 3), ("two", 1, 0)], &[("one", 2), ("two", 1)]);
        check(0, &[("one", 2, 3)], &[]);
        check(16, &[("alone", 500, 0)], &[("alone", 16)]);
        check(2, &[], &[]);
    }

    #[test]
    fn the_last_places_are_for_who_has_little() {
        // Nothing of the other is due now; when it is, there is a place for it.
        check(16, &[("big", 500, 0), ("small", 0, 0)], &[("big", 12)]);
        check(4, &[("big", 500, 12), ("small", 0, 0)], &[]);
        check(4, &[("big", 500, 12), ("small", 9, 0)], &[("small", 4)]);
        // Three projects: a share is five.
        check(4, &[("big", 500, 12), ("middle", 9, 0), ("small", 0, 0)], &[("middle", 4)]);
        check(1, &[("big", 500, 12), ("middle", 9, 3), ("small", 1, 0)], &[("small", 1)]);
        check(16, &[("one", 9, 0), ("two", 9, 0)], &[("one", 8), ("two", 8)]);
    }
}
