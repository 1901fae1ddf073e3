//! Instance freezes: times in which nothing happens in any project of the daemon.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::freeze::actions_default;
use super::{FreezeExceptions, FreezeSpec, FreezeWindow, Kind, Meta, Object, WindowAction};

/// What an administrator says of a freeze of every project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InstanceFreezeSpec {
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
    pub except: InstanceFreezeExceptions,
}

/// What a freeze of every project lets go on: what any of these names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InstanceFreezeExceptions {
    /// Names or globs of projects.
    #[serde(default)]
    pub projects: Vec<String>,
    /// Names or globs of stages, in every project.
    #[serde(default)]
    pub stages: Vec<String>,
    /// Names of those whose promotions go on.
    #[serde(default)]
    pub principals: Vec<String>,
    /// Groups whose members' promotions go on.
    #[serde(default)]
    pub groups: Vec<String>,
}

impl InstanceFreezeSpec {
    /// What a freeze of one project says, said of all but these projects.
    #[must_use]
    pub fn new(spec: FreezeSpec, projects: Vec<String>) -> Self {
        let FreezeSpec { reason, from, until, window, actions, except } = spec;
        let FreezeExceptions { stages, principals, groups } = except;
        let except = InstanceFreezeExceptions { projects, stages, principals, groups };
        Self { reason, from, until, window, actions, except }
    }

    /// What it says beside the projects that it excepts.
    #[must_use]
    pub fn in_project(&self) -> FreezeSpec {
        let Self { reason, from, until, window, actions, except } = self.clone();
        let InstanceFreezeExceptions { projects: _, stages, principals, groups } = except;
        let except = FreezeExceptions { stages, principals, groups };
        FreezeSpec { reason, from, until, window, actions, except }
    }
}

/// A time in which nothing happens in any project. It is in none: its `project` is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceFreeze {
    /// Who and what it is; `changed_by` put it.
    #[serde(flatten)]
    pub meta: Meta,
    /// Its definition.
    pub spec: InstanceFreezeSpec,
    /// What the daemon has seen.
    pub status: InstanceFreezeStatus,
}

/// Whether a freeze of every project runs, and what it stops now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceFreezeStatus {
    /// Whether it runs.
    pub active: bool,
    /// When it begins next; null if it runs, or does not run again.
    pub begins_at: Option<Timestamp>,
    /// When it, or the occurrence that begins next, ends; null if a person must end it, or if it
    /// does not run again.
    pub ends_at: Option<Timestamp>,
    /// The promotions that it stops from committing, by project, oldest first, at most 100. Told to
    /// administrators only.
    pub waiting: Vec<StoppedPromotion>,
    /// How many promotions it stops from committing.
    pub waiting_total: u32,
}

/// A promotion of any project that a freeze stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoppedPromotion {
    /// The project.
    pub project: String,
    /// The promotion.
    pub promotion: String,
}

impl Object for InstanceFreeze {
    type Spec = InstanceFreezeSpec;

    const KIND: Kind = Kind::InstanceFreeze;

    fn meta(&self) -> &Meta {
        &self.meta
    }
}
