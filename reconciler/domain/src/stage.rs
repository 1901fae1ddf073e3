//! Stages: where freight is promoted to, from where it may come, and how it gets there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::drift::Watch;
use crate::id::{StageName, VerificationName, WarehouseName};
use crate::step::Step;

/// A place where freight is promoted to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Unique in the project.
    pub name: StageName,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// Values that steps see as `vars`.
    pub vars: BTreeMap<String, String>,
    /// Names of `vars` to which a person may give another value for one promotion.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settable_vars: Vec<String>,
    /// What is asked for, one entry per warehouse.
    pub requests: Vec<Request>,
    /// How freight gets here. None: a control-flow stage, which passes freight on.
    pub steps: Vec<Step>,
    /// What decides whether the stage vouches for its freight. None: a finished promotion is enough.
    pub verifications: Vec<VerificationUse>,
    /// Which of several available freights is taken.
    pub choose: Choose,
    /// Whether it is refused to be removed. Absent in what was written before there was such a thing.
    #[serde(default)]
    pub deletion_protection: bool,
    /// How its infra is looked at by itself; absent: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Watch>,
}

/// One warehouse whose freight the stage wants, and the stages that must have verified it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The warehouse.
    pub warehouse: WarehouseName,
    /// Whether freight may come straight from the warehouse.
    pub direct: bool,
    /// Upstream stages.
    pub from: Vec<StageName>,
    /// How many of them must vouch for freight.
    pub matching: Matching,
}

/// How many of the upstream stages must vouch for freight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Matching {
    /// One is enough.
    #[default]
    Any,
    /// All of them.
    All,
    /// So many of them; at least one.
    AtLeast(u32),
}

impl Matching {
    /// How many of so many upstream stages must vouch; never none.
    #[must_use]
    pub fn needed(self, of: usize) -> usize {
        let needed = match self {
            Self::Any => 1,
            Self::All => of,
            Self::AtLeast(count) => usize::try_from(count).unwrap_or(usize::MAX),
        };
        needed.max(1)
    }
}

/// Which of several available freights automation takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choose {
    /// The newest; a newer candidate supersedes one that has not committed.
    #[default]
    Latest,
    /// Every freight, oldest first.
    Queue,
    /// Only freight that is in an upstream stage now.
    MatchUpstream,
}

/// A verification template used by a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationUse {
    /// Unique in the stage.
    pub name: String,
    /// The template.
    pub template: VerificationName,
    /// Values that the template sees as `args`.
    pub args: BTreeMap<String, String>,
}

impl Stage {
    /// Whether the stage has no steps: freight available to it is verified in it at once.
    #[must_use]
    pub fn is_control_flow(&self) -> bool {
        self.steps.is_empty()
    }

    /// The values that steps see as `vars` in a promotion that sets these.
    ///
    /// # Errors
    /// The first name that no promotion may set.
    pub fn vars_with<'a>(
        &self,
        set: &'a BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, &'a str> {
        let may =
            |name: &&String| self.vars.contains_key(*name) && self.settable_vars.contains(*name);
        if let Some(refused) = set.keys().find(|name| !may(name)) {
            return Err(refused);
        }
        let mut vars = self.vars.clone();
        vars.extend(set.clone());
        Ok(vars)
    }

    /// The request for a warehouse.
    #[must_use]
    pub fn request(&self, warehouse: &WarehouseName) -> Option<&Request> {
        self.requests.iter().find(|request| request.warehouse == *warehouse)
    }

    /// Upstream stages of all requests, each once.
    #[must_use]
    pub fn upstreams(&self) -> Vec<&StageName> {
        let mut names: Vec<&StageName> =
            self.requests.iter().flat_map(|request| &request.from).collect();
        names.sort();
        names.dedup();
        names
    }
}
