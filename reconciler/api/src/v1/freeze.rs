//! Freezes: times in which nothing happens in a project.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Kind, Meta, Object, WindowAction};

/// What a client says of a freeze.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FreezeSpec {
    /// Why; whoever it stops reads it.
    pub reason: String,
    /// When it begins; null if at once.
    #[serde(default)]
    pub from: Option<Timestamp>,
    /// When it ends by itself; null if a person must end it.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// When it runs between these; null if all the time.
    #[serde(default)]
    pub window: Option<FreezeWindow>,
    /// What it is about. A freeze that is about `rollback` keeps what failed from being undone.
    #[serde(default = "actions_default")]
    pub actions: Vec<WindowAction>,
    /// What it lets go on.
    #[serde(default)]
    pub except: FreezeExceptions,
}

/// A recurring time in which a freeze runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FreezeWindow {
    /// A recurrence rule of RFC 5545 for when it begins, such as `FREQ=WEEKLY;BYDAY=FR;BYHOUR=16`;
    /// `HOURLY` to `YEARLY`.
    pub rule: String,
    /// How long each occurrence lasts, a duration of elapsed time, at most 366 days.
    pub duration: String,
    /// The IANA name of the zone whose wall clock the rule is about, such as `Europe/Berlin`.
    pub timezone: String,
    /// From when on, in local time, such as `2026-01-05T09:00:00`. Rules with `COUNT` or `INTERVAL`
    /// need it, and it fills in what a rule does not say.
    #[serde(default)]
    pub start: Option<String>,
}

/// What a freeze lets go on: what any of these names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FreezeExceptions {
    /// Names or globs of stages.
    #[serde(default)]
    pub stages: Vec<String>,
    /// Names of those whose promotions go on.
    #[serde(default)]
    pub principals: Vec<String>,
    /// Groups whose members' promotions go on.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// What a freeze is about where nothing is said.
pub(super) fn actions_default() -> Vec<WindowAction> {
    vec![WindowAction::Promote, WindowAction::Bypass]
}

impl Default for FreezeSpec {
    fn default() -> Self {
        Self {
            reason: String::new(),
            from: None,
            until: None,
            window: None,
            actions: actions_default(),
            except: FreezeExceptions::default(),
        }
    }
}

/// A time in which nothing happens in a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Freeze {
    /// Who and what it is; `changed_by` put it.
    #[serde(flatten)]
    pub meta: Meta,
    /// Its definition.
    pub spec: FreezeSpec,
    /// What the daemon has seen.
    pub status: FreezeStatus,
}

/// Whether a freeze runs, and what it stops now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FreezeStatus {
    /// Whether it runs.
    pub active: bool,
    /// When it begins next; null if it runs, or does not run again.
    pub begins_at: Option<Timestamp>,
    /// When it, or the occurrence that begins next, ends; null if a person must end it, or if it
    /// does not run again.
    pub ends_at: Option<Timestamp>,
    /// The promotions that it stops from committing, oldest first.
    pub waiting: Vec<String>,
}

wire_enum! {
    /// Where a freeze holds.
    FreezeScope {
        /// In one project.
        Project = "project",
        /// In every project of the daemon.
        Instance = "instance",
    }
}

impl Default for FreezeScope {
    /// What it was before there were others.
    fn default() -> Self {
        Self::Project
    }
}

/// A freeze that runs and is about a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StageFreeze {
    /// The name of the freeze.
    pub name: String,
    /// Whether it is of the stage's project or of all of them.
    #[serde(default)]
    pub scope: FreezeScope,
    /// Why.
    pub reason: String,
    /// Who put it.
    pub author: String,
    /// What it is about.
    pub actions: Vec<WindowAction>,
    /// When it ends, or the earliest instant at which it can; null if a person must end it.
    pub until: Option<Timestamp>,
}

impl Object for Freeze {
    type Spec = FreezeSpec;

    const KIND: Kind = Kind::Freeze;

    fn meta(&self) -> &Meta {
        &self.meta
    }
}
