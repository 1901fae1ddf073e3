//! What a decision may look at. The store fills these from one read transaction; the functions of
//! [`crate::plan`] look at nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::credential::Credential;
use crate::drift::DriftRecord;
use crate::freeze::Freeze;
use crate::freight::{Freight, FreightFacts};
use crate::hold::{AutomaticHold, Hold};
use crate::id::{
    Alias, CredentialName, FreightId, Principal, ProjectName, PromotionId, StageName,
    SubscriptionName, TaskName, VerificationName, WarehouseName,
};
use crate::inquiry::Replies;
use crate::metadata::Metadata;
use crate::plan::consequences;
use crate::policy::Policy;
use crate::promotion::{Ended, Entry, Event, Phase, Previous, Promotion, State};
use crate::stage::Stage;
use crate::task::Task;
use crate::verification::Verification;
use crate::warehouse::{Discovery, Warehouse};

/// A stored definition and its generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Defined<T> {
    /// The definition.
    pub spec: T,
    /// Rises with every change.
    pub generation: u64,
    /// When it last changed.
    pub changed_at: Timestamp,
    /// Who changed it last.
    pub changed_by: Principal,
}

/// Every definition of a project.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Definitions {
    /// Warehouses by name.
    pub warehouses: BTreeMap<WarehouseName, Defined<Warehouse>>,
    /// Stages by name.
    pub stages: BTreeMap<StageName, Defined<Stage>>,
    /// Verification templates by name.
    pub verifications: BTreeMap<VerificationName, Defined<Verification>>,
    /// Tasks by name.
    pub tasks: BTreeMap<TaskName, Defined<Task>>,
    /// Policies.
    pub policies: Vec<Defined<Policy>>,
    /// Credentials by name.
    pub credentials: BTreeMap<CredentialName, Defined<Credential>>,
}

impl Definitions {
    /// The policies without their generations.
    #[must_use]
    pub fn policy_specs(&self) -> Vec<Policy> {
        self.policies.iter().map(|policy| policy.spec.clone()).collect()
    }
}

/// What the decision about a warehouse looks at.
#[derive(Debug, Clone)]
pub struct WarehouseSnapshot {
    /// The project.
    pub project: ProjectName,
    /// The warehouse.
    pub warehouse: Defined<Warehouse>,
    /// What its subscriptions found.
    pub discovered: IndexMap<SubscriptionName, Discovery>,
    /// When someone asked for a look at the sources that has not happened yet.
    pub refresh_asked_at: Option<Timestamp>,
    /// Freight that exists already, of this warehouse.
    pub freight: BTreeSet<FreightId>,
}

/// What the decision about a stage looks at.
#[derive(Debug, Clone)]
pub struct StageSnapshot {
    /// The project.
    pub project: ProjectName,
    /// The stage.
    pub stage: Defined<Stage>,
    /// The policies that select the stage; others are not looked at.
    pub policies: Vec<Policy>,
    /// The latest change of a definition that selects or feeds the stage.
    pub definitions_changed_at: Timestamp,
    /// Freight of the requested warehouses that may matter: the newest ones, and what is in the
    /// stage or promoted to it. Oldest first. Shared, because many stages look at the same.
    pub freight: Vec<Arc<FreightFacts>>,
    /// Freight that is in the stage now, by warehouse.
    pub current: BTreeMap<WarehouseName, FreightId>,
    /// Promotions to the stage that are not over; rehearsals are none.
    pub running: Vec<RunningPromotion>,
    /// How many rehearsals of the stage are not over.
    pub rehearsals: usize,
    /// How the last promotion of a freight to this stage ended.
    pub ended: BTreeMap<FreightId, Ended>,
    /// What stops automation here.
    pub automatic_hold: Option<AutomaticHold>,
    /// The holds of the project that may concern the stage.
    pub holds: Vec<Defined<Hold>>,
    /// The freezes of the project that may concern the stage.
    pub freezes: Vec<Defined<Freeze>>,
    /// Commits that the rates of its policies count.
    pub commits: Vec<Committed>,
}

impl PromotionSnapshot {
    /// What is noted about the stage and the freight now.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        let (stage, freight) = (self.stage_metadata.clone(), self.facts.metadata.clone());
        Metadata { stage, freight }
    }

    /// What it is after an entry of the promotion's own log, if nothing but the log has changed.
    ///
    /// `None`: others see the difference, it names what this snapshot was not asked for, or it cannot
    /// follow. Then everything has to be read anew.
    #[must_use]
    pub fn followed_by(mut self, entry: &Entry) -> Option<Self> {
        if !consequences(&self.promotion, &self.state, &entry.event).are_none() {
            return None;
        }
        if let Event::Intent { call, .. } = &entry.event
            && call.as_keep().is_some_and(|keep| keep.aliases().next().is_some())
        {
            return None;
        }
        self.state.apply(entry).ok()?;
        Some(self)
    }

    /// What is known of everything that is promoted.
    pub fn promoted(&self) -> impl Iterator<Item = &FreightFacts> {
        std::iter::once(&self.facts).chain(&self.along)
    }
}

impl StageSnapshot {
    /// Freight that is in the stage now, by warehouse.
    #[must_use]
    pub fn companions(&self) -> BTreeMap<WarehouseName, Freight> {
        let there = |facts: &&Arc<FreightFacts>| {
            self.current.get(&facts.freight.warehouse) == Some(&facts.freight.id)
        };
        let there = self.freight.iter().filter(there).map(|facts| facts.freight.clone());
        there.map(|freight| (freight.warehouse.clone(), freight)).collect()
    }
}

/// A promotion that committed, as rates count it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// Which.
    pub promotion: PromotionId,
    /// Where to.
    pub stage: StageName,
    /// When it took the slot.
    pub at: Timestamp,
    /// Whether it is over.
    pub over: bool,
}

/// A promotion that is not over, as its stage sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunningPromotion {
    /// The promotion.
    pub promotion: Promotion,
    /// Where it is.
    pub phase: Phase,
}

/// What the decision about a promotion looks at.
#[derive(Debug, Clone)]
pub struct PromotionSnapshot {
    /// The project.
    pub project: ProjectName,
    /// The promotion.
    pub promotion: Promotion,
    /// Its log, folded.
    pub state: State,
    /// The stage as it is now; absent: it was deleted.
    pub stage: Option<Defined<Stage>>,
    /// Every policy of the project, with who changed it last.
    pub policies: Vec<Defined<Policy>>,
    /// When a policy that selects or selected the stage last came, changed or went.
    pub policies_changed_at: Option<Timestamp>,
    /// The verification templates that the stage uses.
    pub templates: Vec<Verification>,
    /// The tasks that the stage uses, by name.
    pub tasks: Vec<Task>,
    /// The promoted freight and what happened to it.
    pub facts: FreightFacts,
    /// The same of the freight that comes along, by the names of its warehouses.
    pub along: Vec<FreightFacts>,
    /// What the promoted freight goes with: freight of the last succeeded promotion, by warehouse.
    /// Where that has none of another warehouse, the freight of the newest promotion to the stage
    /// that is not over: the first promotions to a stage bring each other's freight.
    pub current: BTreeMap<WarehouseName, Freight>,
    /// Freight that is in the stage now, by warehouse.
    pub there: BTreeMap<WarehouseName, FreightId>,
    /// How the last succeeded promotion made its infra.
    pub previous: Option<Previous>,
    /// What stops automation on the stage.
    pub automatic_hold: Option<AutomaticHold>,
    /// The holds of the project that may concern the stage.
    pub holds: Vec<Defined<Hold>>,
    /// The freezes of the project that may concern the stage.
    pub freezes: Vec<Defined<Freeze>>,
    /// What steps noted about the stage, by key.
    pub stage_metadata: Map<String, Value>,
    /// Freight by alias, of the aliases that its calls name.
    pub aliases: BTreeMap<Alias, FreightId>,
    /// What the last look at the infra of the stage found.
    pub drift: Option<DriftRecord>,
    /// What those said last whom its gates asked.
    pub replies: Replies,
    /// The promotion that holds the stage's slot.
    pub slot: Option<PromotionId>,
    /// Commits that the rates of its policies count: per stage the newest ones, as many as the
    /// largest of those rates counts, and all that are not over.
    pub commits: Vec<Committed>,
}
