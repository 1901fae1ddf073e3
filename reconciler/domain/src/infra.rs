//! Infrastructure plans: what a Terraform or `OpenTofu` plan would do, and whether rules allow it.
//!
//! A [`Plan`] is read from the JSON form of a saved plan (`show -json`, format version 1.x,
//! <https://developer.hashicorp.com/terraform/internals/json-format>). From it come
//!
//! - a [`PlanSummary`] that people see and rules judge ([`judge`], [`judge_undo`]); it never holds
//!   the value of a sensitive attribute;
//! - the outputs that are known before the apply ([`Plan::outputs`]);
//! - the [`PlanDigest`] that approvals bind to: equal for two plans that would do the same.

mod address;
mod conditions;
mod cost;
mod difference;
mod digest;
mod envelope;
mod mask;
mod plan;
mod rules;
mod summary;

pub use address::{Address, AddressGlob, AddressGlobError};
pub use conditions::{PlanRule, plan_names};
pub use cost::{Cost, CostVerdict};
pub use difference::difference;
pub use digest::{PlanDigest, PlanDigestError};
pub use envelope::Envelope;
pub use plan::{Action, Plan, PlanError, PlannedOutput};
pub use rules::{ForbiddenAction, InfraRules, OnDrift, Rule, Violation, judge, judge_undo};
pub use summary::{AttributeChange, Drift, OutputChange, PlanSummary, PlannedChange};

#[cfg(test)]
mod tests;
