//! The rules of planning and applying, as pure functions over values.
//!
//! The client holds every provider to them: [`proposed_new`] is where a plan starts,
//! [`plan_violations`] what makes a plan invalid, [`apply_violations`] what makes the result of
//! an apply inconsistent with its plan. The server checks itself by the same rules before it
//! answers, so that a broken rule is told as a bug of ours, at its attribute; tests use them as
//! an oracle.

mod compatible;
mod engine;
mod proposed;
mod valid;
mod validate;
mod walk;

use crate::cty::Path;

pub use compatible::apply_violations;
pub use engine::{Planned, keep_equal_forms, plan, replace_paths, strip_write_only, with_defaults};
pub use proposed::proposed_new;
pub use valid::plan_violations;
pub use validate::validate;
pub(crate) use walk::each as each_attribute;

/// A rule that a value breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where.
    pub path: Path,
    /// What is wrong there.
    pub problem: String,
}

impl Violation {
    pub(crate) fn new(path: &Path, problem: impl Into<String>) -> Self {
        Self { path: path.clone(), problem: problem.into() }
    }
}
