//! Promotions: the saga of freight into one stage: of one warehouse, or of several as one unit.
//!
//! A promotion is a row that never changes ([`Promotion`]) and an append-only log of [`Event`]s.
//! Everything else about it is derived by folding the log ([`State`]): phase, what is approved,
//! which steps ran, what remains. [`crate::plan`] decides the next move from the state;
//! nobody else does.

mod change_set;
mod evidence;
mod label;
mod node_run;
mod public_key;
mod rebuild;
mod state;
mod statement;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use change_set::{ChangeSet, FilesOf, InfraChange, PlannedStep, StepPlan, UndoPlan};
pub use evidence::{Checked, Evidence, Standing};
pub(crate) use node_run::ARRIVES;
pub use node_run::NodeRun;
pub use public_key::{PublicKey, PublicKeyError};
pub use state::{IllegalEvent, PassedOver, Phase, PrepareFailure, Prepared, Probe, State};
pub use statement::{Signature, Signed, Stated, Statement, StatementError};

use crate::freight::Freight;
use crate::id::{
    FreightId, Principal, ProjectName, PromotionId, StageName, StepName, WarehouseName,
};
use crate::metadata::Metadata;
use crate::policy::GateKind;
use crate::stage::Stage;
use crate::step::{Answer, Call, Record, StepOutcome};
use crate::task::Task;
use crate::verification::{FrozenCheck, Measurement, Verification};

/// What a promotion is from its first moment on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Promotion {
    /// Stage and number.
    pub id: PromotionId,
    /// Where to.
    pub stage: StageName,
    /// What.
    pub freight: FreightId,
    /// The freight's warehouse.
    pub warehouse: WarehouseName,
    /// Freight of other warehouses that it brings along, as one unit with its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub along: BTreeMap<WarehouseName, FreightId>,
    /// Who asked for it.
    pub requester: Principal,
    /// Groups of the requester when they asked; automation has none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// Why, in their words.
    pub reason: Option<String>,
    /// Variables of the stage that have another value in this promotion.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: BTreeMap<String, String>,
    /// Gates that the requester skips by right.
    pub bypass: Option<BypassRequest>,
    /// Whether it goes back to what was in the stage before: windows take it for a rollback.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rollback: bool,
    /// Whether it is a rehearsal, which only shows what it would do: it is prepared and judged, and never
    /// commits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rehearsal: bool,
    /// When it was asked for; also the date of its commits.
    pub created_at: Timestamp,
}

impl Promotion {
    /// Everything that it brings: its own freight, then what comes along, by warehouse.
    pub fn promoted(&self) -> impl Iterator<Item = (&WarehouseName, &FreightId)> {
        std::iter::once((&self.warehouse, &self.freight)).chain(&self.along)
    }

    /// Whether it brings this freight.
    #[must_use]
    pub fn brings(&self, freight: &FreightId) -> bool {
        self.promoted().any(|(_, promoted)| promoted == freight)
    }

    /// Whether it brings freight of this warehouse.
    #[must_use]
    pub fn brings_of(&self, warehouse: &WarehouseName) -> bool {
        self.promoted().any(|(of, _)| of == warehouse)
    }

    /// What it brings, in short: `1a2b3c4d5e`, `1a2b3c4d5e with 9f8e7d6c5b`.
    #[must_use]
    pub fn brings_in_short(&self) -> String {
        let along: Vec<&str> = self.along.values().map(FreightId::short).collect();
        match along.as_slice() {
            [] => self.freight.short().to_owned(),
            along => format!("{} with {}", self.freight.short(), along.join(", ")),
        }
    }

    /// The end of a promotion whose place another one takes before it commits.
    #[must_use]
    pub fn superseded_by(&self, other: &Self) -> Finish {
        let goes_on = self.promoted().all(|(_, freight)| other.brings(freight));
        let message = if goes_on {
            format!("it goes on as promotion {} of freight {}", other.id, other.brings_in_short())
        } else {
            format!("freight {} took its place with {}", other.brings_in_short(), other.id)
        };
        Finish::new(Ending::Superseded, message, Vec::new())
    }
}

/// How the last promotion of a freight to a stage ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub ending: Ending,
    /// What else it brought.
    pub beside: BTreeMap<WarehouseName, FreightId>,
}

impl Ended {
    /// How this promotion ended for what it brought, by freight.
    pub fn of(promotion: &Promotion, ending: Ending) -> impl Iterator<Item = (FreightId, Self)> {
        promotion.promoted().map(move |(warehouse, freight)| {
            let others = promotion.promoted().filter(|(other, _)| *other != warehouse);
            let beside = others.map(|(of, other)| (of.clone(), other.clone())).collect();
            (freight.clone(), Self { ending, beside })
        })
    }
}

/// Gates to skip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BypassRequest {
    /// Which.
    pub gates: BTreeSet<GateKind>,
    /// Groups of the requester when they asked.
    pub groups: BTreeSet<String>,
    /// Why; mandatory.
    pub reason: String,
    /// Until when they are skipped; absent: for as long as the promotion waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// A gate that did not pass at the commit, and that the requester skipped by right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Which.
    pub gate: GateKind,
    /// Why it did not pass, in one sentence.
    pub message: String,
}

/// One entry of a promotion's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Position, from 1.
    pub seq: u64,
    /// When it was appended.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// What can happen to a promotion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// Preparation begins, for the first time or anew.
    PrepareStarted(Box<Frozen>),
    /// A local step ran, or its outputs follow from a plan.
    StepPrepared(Box<StepPrepared>),
    /// A step is passed over: its condition does not hold, or it failed and the promotion goes on.
    PassedOver {
        /// Which.
        step: StepName,
        /// Whether it failed.
        failed: bool,
        /// Why.
        message: String,
    },
    /// Preparation failed.
    PrepareFailed {
        /// The step; absent: the promotion as a whole.
        step: Option<StepName>,
        /// What happened, where, and what to do.
        message: String,
        /// Whether trying again may help.
        retry: bool,
        /// How long the other side asks to be left alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<Duration>,
    },
    /// The change set is known.
    Prepared(Box<ChangeSet>),
    /// A person agreed to a change set.
    Approved(Approval),
    /// What the change set was made against was looked at again.
    Probed {
        /// What moved since; empty: nothing.
        moved: Vec<String>,
    },
    /// The slot is taken; steps and variables are fixed.
    Committed {
        /// What was skipped for it. Absent in logs of before it was noted.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        skipped: Vec<Skipped>,
    },
    /// The slot is given back before anything was changed: what would be done is not what was agreed to.
    SentBack {
        /// What is otherwise.
        why: String,
    },
    /// A node is about to run.
    Intent {
        /// Which.
        node: Node,
        /// What it will do, with what was seen before it and the key that makes it the same when it is repeated.
        call: Box<Call>,
        /// The epoch of the lease under which it is begun; absent: it is done by being noted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        epoch: Option<u64>,
    },
    /// A node ran.
    Outcome {
        /// Which.
        node: Node,
        /// How it ended.
        outcome: Box<StepOutcome>,
    },
    /// A person answered the question of a step.
    Answered(Box<Answer>),
    /// Every step is done; verification begins.
    Verifying {
        /// The checks with their templates rendered.
        checks: Vec<FrozenCheck>,
        /// The freight that was in the stage until now, and is again once this is undone. Absent in
        /// logs from before it was written down.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaced: Option<Vec<FreightId>>,
        /// Why there is nothing to measure by, although there should be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unusable: Option<String>,
    },
    /// A person asked to verify anew what is in the stage: a promotion that was over goes on.
    Reverifying {
        /// Who.
        by: Principal,
        /// Why, in their words.
        reason: Option<String>,
        /// The checks with their templates rendered.
        checks: Vec<FrozenCheck>,
    },
    /// A measurement was taken.
    Measured(Measurement),
    /// The undo begins.
    Unwinding {
        /// Why.
        cause: String,
    },
    /// A person asked to stop.
    AbortRequested {
        /// Who.
        by: Principal,
        /// Why.
        reason: String,
    },
    /// It is over.
    Finished(Finish),
}

/// What a preparation is made from; no later edit of the stage reaches it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frozen {
    /// Which preparation, from 1.
    pub attempt: u32,
    /// The project.
    pub project: ProjectName,
    /// Generation of the stage that was read.
    pub generation: u64,
    /// The stage as it was, its steps expanded to those that are carried out.
    pub stage: Stage,
    /// The verification templates that the stage uses, as they were.
    pub templates: Vec<Verification>,
    /// The tasks that the stage uses, as they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<Task>,
    /// Freight by warehouse: what is promoted, and of every other requested warehouse that of the
    /// last succeeded promotion.
    pub collection: IndexMap<WarehouseName, Freight>,
    /// What was noted about the stage and the freight.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// How the infra of the last succeeded promotion is made again, for the undo.
    pub previous: Option<Previous>,
}

/// The last succeeded promotion of the stage, as far as an undo needs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Previous {
    /// Its id.
    pub promotion: PromotionId,
    /// Its freight.
    pub collection: IndexMap<WarehouseName, FreightId>,
    /// Its local calls up to and including each plan, in order.
    pub calls: Vec<(StepName, Call)>,
    /// The steps that a plan of it worked on, where that was made in a lane; absent: all but lanes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seen: BTreeMap<StepName, BTreeSet<StepName>>,
}

impl Previous {
    /// The local calls whose results this plan of it worked on.
    pub fn calls_for(&self, plan: &StepName) -> impl Iterator<Item = &(StepName, Call)> {
        let seen = self.seen.get(plan);
        self.calls.iter().filter(move |(step, call)| {
            call.as_plan().is_none() && seen.is_none_or(|seen| seen.contains(step))
        })
    }
}

/// A local step that ran while preparing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepPrepared {
    /// Which.
    pub step: StepName,
    /// What ran; absent: nothing did, the outputs follow from a plan.
    pub call: Option<Call>,
    /// Outputs that are known.
    pub outputs: Map<String, Value>,
    /// Outputs that exist only after a later effect.
    pub unknown: BTreeSet<String>,
    /// What it left behind.
    pub record: Record,
}

/// One person's agreement to one change set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who.
    pub by: String,
    /// Their groups at that time.
    pub groups: BTreeSet<String>,
    /// Digest of the change set that they saw.
    pub digest: String,
    /// What they had to say.
    pub comment: Option<String>,
    /// The same as a signed statement; absent: it was given before statements were signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
}

/// Something that runs between an intent and an outcome.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "node", content = "step")]
pub enum Node {
    /// A step.
    Step(StepName),
    /// A plan that is made anew for a step, because the state moved away from under the first.
    Replan(StepName),
    /// What people are asked about a plan that is outside its envelope, before a step applies it.
    Excess(StepName),
    /// The plan that undoes an infra step.
    UndoPlan(StepName),
    /// The undo of a step.
    Undo(StepName),
}

/// How a promotion ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    /// How.
    pub ending: Ending,
    /// One sentence for people.
    pub message: String,
    /// What is left undone, if anything.
    pub remaining: Vec<String>,
    /// Whether this only says again how it had ended: a verification anew that decided nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub as_before: bool,
}

impl Finish {
    /// An end that is decided now.
    #[must_use]
    pub fn new(ending: Ending, message: String, remaining: Vec<String>) -> Self {
        Self { ending, message, remaining, as_before: false }
    }
}

/// The ways in which a promotion ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The freight is in the stage and the stage vouches for it.
    Succeeded,
    /// It failed; what was done stays.
    Failed,
    /// It failed, and everything that has an undo was undone. What has none (a request that was
    /// sent) is in `remaining`.
    RolledBack,
    /// It could not be undone, or it cannot be known what was done: a person must look.
    Stuck,
    /// A person stopped it.
    Aborted,
    /// Newer freight took its place before it committed.
    Superseded,
    /// It did not commit in the time that its policies give it. Nothing was changed.
    Expired,
    /// The freight is in the stage, but verification found no evidence either way.
    Inconclusive,
    /// What it would do is known, and nothing was done.
    Rehearsed,
}

impl Ending {
    /// Every ending.
    pub const ALL: [Self; 9] = [
        Self::Succeeded,
        Self::Failed,
        Self::RolledBack,
        Self::Stuck,
        Self::Aborted,
        Self::Superseded,
        Self::Expired,
        Self::Inconclusive,
        Self::Rehearsed,
    ];
}
