//! Preview: what changes of definitions would do together to live freight. It runs the same functions
//! as the reconciler, once with the definitions as they are and once as they would be, and tells the
//! difference. Instants are absolute, so that the answer stays true while it is read.
//!
//! - `after`: the world as it would be
//! - `compare`: the two worlds side by side
//! - `replay`: what a changed policy would have said of promotions that are over
//! - `warning`: what the author of a change should know

mod after;
mod broken;
mod compare;
mod replay;
mod warning;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::freeze::{Freeze, Reach};
use crate::hold::Hold;
use crate::id::{
    FreezeName, FreightId, HoldName, PolicyName, Principal, PromotionId, StageName, TaskName,
    VerificationName, WarehouseName,
};
use crate::policy::Policy;
use crate::snapshot::{Definitions, PromotionSnapshot, StageSnapshot};
use crate::stage::Stage;
use crate::task::Task;
use crate::verification::Verification;
use crate::warehouse::Warehouse;

pub use broken::Broken;
pub use replay::{
    Counted, History, Past, PastCommit, REPLAY_DEFAULT, REPLAY_MAX, Replay, Unjudged, Wanted,
    Witness, replay, wanted,
};

/// A definition as it would be.
#[expect(
    clippy::large_enum_variant,
    reason = "a preview has a handful of them, and most are policies"
)]
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A policy; absent: removed.
    Policy(PolicyName, Option<Policy>),
    /// A stage; absent: removed.
    Stage(StageName, Option<Stage>),
    /// A warehouse; absent: removed. It changes what will be found, never what found freight may do.
    Warehouse(WarehouseName, Option<Warehouse>),
    /// A verification template; absent: removed. Promotions that verify have theirs already.
    Verification(VerificationName, Option<Verification>),
    /// A task; absent: removed. Stages that use it are prepared anew.
    Task(TaskName, Option<Task>),
    /// A hold; absent: lifted.
    Hold(HoldName, Option<Hold>),
    /// A freeze of the project, or of every project; absent: ended.
    Freeze(Reach, FreezeName, Option<Freeze>),
}

/// Changes that are made together, each of another object.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    /// Who makes them.
    pub by: Principal,
    /// The changes.
    pub all: Vec<Change>,
}

/// The live world, as far as the changes may reach.
#[derive(Debug, Clone)]
pub struct World {
    /// Every definition.
    pub definitions: Definitions,
    /// The stages that the changes may reach, with the freight of the warehouses that they request
    /// before or after them.
    pub stages: Vec<StageSnapshot>,
    /// The stages that the changes would make, as they would first be looked at.
    pub created: Vec<StageSnapshot>,
    /// Promotions to the stages that wait at gates.
    pub waiting: Vec<PromotionSnapshot>,
    /// Who could approve; absent: nobody knows.
    pub people: Option<People>,
}

/// The people of each group, by what their tokens say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct People(BTreeMap<String, BTreeSet<String>>);

impl People {
    /// Adds a person with the groups of a token.
    pub fn add<'a>(&mut self, person: &str, groups: impl IntoIterator<Item = &'a String>) {
        for group in groups {
            self.0.entry(group.clone()).or_default().insert(person.to_owned());
        }
    }

    /// How many are in a group.
    #[must_use]
    pub fn of_group(&self, group: &str) -> usize {
        self.0.get(group).map_or(0, BTreeSet::len)
    }
}

/// What changes would do together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Preview {
    /// What would happen, sorted.
    pub effects: Vec<Effect>,
    /// What the author should know.
    pub warnings: Vec<Warning>,
}

/// One thing that would happen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Effect {
    /// The stage.
    pub stage: StageName,
    /// The freight, if one.
    pub freight: Option<FreightId>,
    /// The promotion, if one.
    pub promotion: Option<PromotionId>,
    /// What.
    pub kind: EffectKind,
    /// Why, in one sentence.
    pub reason: String,
    /// When it ends or begins by time alone, if it does.
    pub until: Option<Timestamp>,
}

/// A kind of effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EffectKind {
    /// A promotion would start, or commit, by itself.
    WouldPromote,
    /// Freight that could not be promoted could be.
    BecomesPromotable,
    /// Freight that could be promoted could not be.
    BecomesBlocked,
    /// A gate that did not pass would.
    GatePasses,
    /// A gate that passed would not.
    GateBlocks,
    /// A waiting promotion would be superseded.
    Supersedes,
    /// No freight could ever reach the stage.
    Unreachable,
    /// Approvals that were given would not be enough any more.
    NeedsApprovalAgain,
    /// A waiting promotion would be over, because it waits for too long already.
    Expires,
}

/// Something that the author of a change should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Which of the changes it is about: its place among them.
    pub change: usize,
    /// The field that causes it.
    pub path: String,
    /// What, in a few words.
    pub summary: String,
    /// What and why.
    pub detail: String,
}

/// Tells what the changes would do to the world at this instant.
#[must_use]
pub fn preview(world: &World, changes: &Changes, now: Timestamp) -> Preview {
    let after = after::After::of(world, changes, now);
    let mut effects = Vec::new();
    let there = world.stages.iter().map(|before| (Some(before), before));
    let created = world.created.iter().map(|created| (None, created));
    let stages: Vec<(Option<&StageSnapshot>, StageSnapshot)> = there
        .chain(created)
        .filter_map(|(before, stage)| Some((before, after.stage(stage)?)))
        .collect();
    for (before, after) in &stages {
        match before {
            Some(before) => compare::stages(before, after, now, &mut effects),
            None => compare::automation(None, after, now, &mut effects),
        }
    }
    for before in &world.waiting {
        match after.promotion(before) {
            after::Judged::Anew(after) => compare::gates(before, &after, now, &mut effects),
            after::Judged::Prepared => effects.extend(compare::prepared_anew(before)),
            after::Judged::Gone => {}
        }
    }
    effects.extend(compare::lost_stages(&world.definitions, &after.definitions, changes));
    effects.sort();
    effects.dedup();
    let people = world.people.as_ref();
    let (old, new) = (&world.definitions, &after.definitions);
    let warnings = warning::all(old, new, changes, &effects, &stages, people, now);
    Preview { effects, warnings }
}

impl Changes {
    /// Changes of this author.
    #[must_use]
    pub fn new(by: Principal, all: Vec<Change>) -> Self {
        Self { by, all }
    }

    /// The definitions as they would be. Holds and freezes are none of them.
    #[must_use]
    pub fn apply(&self, definitions: &Definitions, now: Timestamp) -> Definitions {
        after::definitions(definitions, self, now)
    }

    /// What the changes break in stages that they leave as they are.
    #[must_use]
    pub fn broken(&self, before: &Definitions, after: &Definitions) -> Vec<Broken> {
        broken::broken(self, before, after)
    }

    /// The stages that the changes may reach; `held` are the holds of theirs as they are.
    #[must_use]
    pub fn reach(&self, definitions: &Definitions, held: &[Hold]) -> BTreeSet<StageName> {
        after::reach(self, definitions, held)
    }
}
