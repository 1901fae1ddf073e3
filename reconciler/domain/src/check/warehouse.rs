//! Checks of warehouses.

use super::{Problem, ProblemKind, expression};
use crate::scope::warehouse_names;
use crate::warehouse::{Source, Warehouse};

/// Checks a warehouse.
#[must_use]
pub fn check_warehouse(warehouse: &Warehouse) -> Vec<Problem> {
    let mut problems = Vec::new();
    if warehouse.subscriptions.is_empty() {
        let message = "a warehouse needs at least one subscription";
        problems.push(Problem::new("", ProblemKind::Missing, message));
    }
    if warehouse.interval.is_zero() {
        let message = "the sources would be looked at without a pause";
        problems.push(Problem::new("interval", ProblemKind::Invalid, message));
    }
    for (name, source) in &warehouse.subscriptions {
        let (kind, limit) = match source {
            Source::Git(git) => ("git", git.discovery_limit),
            Source::Image(image) => ("image", image.discovery_limit),
        };
        if limit == 0 {
            let path = format!("{kind}[\"{name}\"].discovery_limit");
            problems.push(Problem::new(path, ProblemKind::Invalid, "nothing would ever be found"));
        }
    }
    if let Some(require) = &warehouse.require {
        expression(require, &warehouse_names(warehouse), "require", &mut problems);
    }
    problems
}
