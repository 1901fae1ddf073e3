//! Verifications: measurements after a promotion that decide whether the stage vouches for the
//! freight. What a series of measurements amounts to is decided here; taking one is not.

use std::collections::BTreeMap;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::VerificationName;

/// A template of measurements that stages use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// Unique in the project.
    pub name: VerificationName,
    /// What it is for.
    pub description: String,
    /// Wait before the first measurement.
    pub initial_delay: Duration,
    /// Time between two measurements of one check.
    pub interval: Duration,
    /// Successful measurements that every check needs.
    pub count: u32,
    /// Failed measurements that a check may have.
    pub failure_limit: u32,
    /// Time from the start after which what is not decided is unknown.
    pub deadline: Duration,
    /// What is measured, by name.
    pub checks: IndexMap<String, Check>,
}

/// One thing to measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Check {
    /// An HTTP request whose answer is judged.
    Http(HttpCheck),
    /// A Prometheus instant query whose result is judged.
    Prometheus(PrometheusCheck),
}

/// An HTTP request and the condition on its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpCheck {
    /// Where; a template.
    pub url: String,
    /// `GET` if absent in the definition.
    pub method: String,
    /// Header names and templates of their values.
    pub headers: BTreeMap<String, String>,
    /// The body; a template.
    pub body: Option<String>,
    /// Time for the whole exchange.
    pub timeout: Duration,
    /// CEL over `response.status`, `response.headers`, `response.body` and `response.json`.
    pub success: String,
}

/// A Prometheus query and the condition on its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrometheusCheck {
    /// The server's base URL; a template.
    pub address: String,
    /// `PromQL`; a template.
    pub query: String,
    /// Time for the query.
    pub timeout: Duration,
    /// CEL over `result.value` (the only sample's) and `result.samples`.
    pub success: String,
}

impl Check {
    /// The condition that judges a measurement.
    #[must_use]
    pub fn success(&self) -> &str {
        match self {
            Self::Http(check) => &check.success,
            Self::Prometheus(check) => &check.success,
        }
    }
}

/// How one measurement was judged. Absence of evidence is [`Measured::Unknown`], never success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measured {
    /// The condition held.
    Pass,
    /// The condition did not hold.
    Fail,
    /// Nothing could be said: no sample, no answer, an error in the condition.
    Unknown,
}

/// One measurement of one check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// `<use>/<check>`.
    pub check: String,
    /// When it was taken.
    pub at: Timestamp,
    /// How it was judged.
    pub measured: Measured,
    /// What was seen, in words.
    pub detail: String,
    /// What was seen, as data; null if nothing was.
    pub evidence: Value,
}

/// A check with its templates rendered, as a promotion carries it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrozenCheck {
    /// `<use>/<check>`, unique in the promotion.
    pub name: String,
    /// The rendered check.
    pub check: Check,
    /// Wait before the first measurement.
    pub initial_delay: Duration,
    /// Time between two measurements.
    pub interval: Duration,
    /// Successful measurements needed.
    pub count: u32,
    /// Failed measurements allowed.
    pub failure_limit: u32,
    /// Time from the start after which an undecided check is unknown.
    pub deadline: Duration,
}

/// Where a check stands after its measurements so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckState {
    /// Enough measurements passed.
    Passed,
    /// More failed than allowed.
    Failed,
    /// The deadline passed undecided.
    Unknown,
    /// The next measurement is due at this time.
    Due(Timestamp),
}

/// Judges one check from its measurements, oldest first, since verification began. It passes by
/// measurements only: a check without any never does.
#[must_use]
pub fn check_state(
    check: &FrozenCheck,
    started_at: Timestamp,
    measurements: &[&Measurement],
    now: Timestamp,
) -> CheckState {
    let of = |kind| measurements.iter().filter(|m| m.measured == kind).count();
    if of(Measured::Fail) > check.failure_limit as usize {
        return CheckState::Failed;
    }
    if of(Measured::Pass) >= check.count.max(1) as usize {
        return CheckState::Passed;
    }
    let due = match measurements.last() {
        // The clock was put back since: how long ago that was, nobody knows.
        Some(last) if last.at > now => now,
        Some(last) => last.at + check.interval,
        None => started_at + check.initial_delay,
    };
    let deadline = started_at + check.deadline;
    if now >= deadline || due > deadline { CheckState::Unknown } else { CheckState::Due(due) }
}
