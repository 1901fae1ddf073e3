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

/// How much of each project to take up when so much can be: one after the other goes to the project
/// that has the least under way, and of several such to the first of `loads`.
#[must_use]
pub fn shares(free: u32, loads: &[Load]) -> Vec<(ProjectName, u32)> {
    let mut taken = vec![0; loads.len()];
    for _ in 0..free {
        let open = (0..loads.len()).filter(|at| taken[*at] < loads[*at].due);
        let Some(next) = open.min_by_key(|at| loads[*at].held.saturating_add(taken[*at])) else {
            break;
        };
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
        check(4, &[("big", 500, 0), ("small", 1, 0)], &[("big", 3), ("small", 1)]);
        check(4, &[("big", 500, 12), ("small", 9, 0)], &[("small", 4)]);
        check(3, &[("one", 9, 0), ("two", 9, 0)], &[("one", 2), ("two", 1)]);
        check(9, &[("one", 2, 3), ("two", 1, 0)], &[("one", 2), ("two", 1)]);
        check(0, &[("one", 2, 3)], &[]);
        check(2, &[], &[]);
    }
}
