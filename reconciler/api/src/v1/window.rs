//! Windows of policies: when something may happen, and when it must not.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A recurring time. Either `allow` or `deny` is set.
///
/// Several windows of a policy are open while no deny window runs, and some allow window runs or
/// there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowRule {
    /// Its name within the policy.
    pub name: String,
    /// A recurrence rule of RFC 5545 for when it opens, such as
    /// `FREQ=WEEKLY;BYDAY=MO,TU;BYHOUR=9`; `HOURLY` to `YEARLY`.
    #[serde(default)]
    pub allow: Option<String>,
    /// A recurrence rule of RFC 5545 for when it closes.
    #[serde(default)]
    pub deny: Option<String>,
    /// How long each occurrence lasts, a duration of elapsed time, at most 366 days.
    pub duration: String,
    /// The IANA name of the zone whose wall clock the rule is about, such as `Europe/Berlin`.
    pub timezone: String,
    /// From when on, in local time, such as `2026-01-05T09:00:00`. Rules with `COUNT` or `INTERVAL`
    /// need it, and it fills in what a rule does not say.
    #[serde(default)]
    pub start: Option<String>,
    /// What it is about.
    #[serde(default = "actions_default")]
    pub actions: Vec<WindowAction>,
    /// Whom it is about: promotions that a member of one of these groups asked for. Empty: all,
    /// those of automation too.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Groups whose members it is not about.
    #[serde(default)]
    pub exempt: Vec<String>,
}

fn actions_default() -> Vec<WindowAction> {
    vec![WindowAction::Promote]
}

wire_enum! {
    /// What a window can be about.
    WindowAction {
        /// The commit of a promotion.
        Promote = "promote",
        /// The undo of a failed one.
        Rollback = "rollback",
        /// Skipping a gate by right.
        Bypass = "bypass",
    }
}
