//! Every decision: a snapshot and an instant go in, the next moves and the reasons for waiting
//! come out.
//!
//! | function | decides |
//! |---|---|
//! | [`warehouse`] | which sources to look at, which combination becomes freight |
//! | [`stage`] | which freight automation promotes, what it supersedes |
//! | [`promotion`] | the next move of one promotion: prepare, gate, commit, verify, undo |
//! | [`request`], [`ensured`], [`newest`], [`approve`], [`answer`], [`abort`] | whether a person's wish is granted |
//! | [`rerun`], [`downstream`] | what a wish for promotions amounts to |
//! | [`shares`] | whose work is taken up next, so that no project starves |
//!
//! Choosing (warehouse, stage) may change its mind on each pass. Carrying out (promotion) follows
//! its log. None of them acts: shells carry out the moves, append what came of them, and ask again.
//! A crash needs no path of its own: an intent without an outcome is part of the next snapshot.

mod answer;
mod commit;
mod consequence;
mod envelope;
mod expiry;
mod inside;
mod keep;
mod prepare;
mod promotion;
mod rehearsal;
mod request;
mod share;
mod stage;
mod stale;
mod together;
mod unchanged;
mod undo;
mod verify;
mod walk;
mod warehouse;
mod wish;

use indexmap::IndexMap;
use jiff::Timestamp;

pub use answer::{AnswerError, answer};
pub use commit::{files_of_apply, given_up};
pub use consequence::{Consequences, consequences};
pub use expiry::is_judged;
pub(crate) use expiry::waits_until;
pub use prepare::prepared;
pub(crate) use promotion::promotion_gates;
pub use promotion::{Act, Base, Move, Run, breaks_off, ended, probed, promotion};
pub use rehearsal::{newest_of_all, rehearse};
pub use request::{
    ApproveError, Ensured, RequestError, RequestFacts, Requested, abort, approve, ensured, newest,
    previous, request,
};
pub use share::{Load, shares};
pub(crate) use stage::stage_at_rest;
pub use stage::{Candidate, StageAct, StagePlan, candidates, stage};
pub use verify::{Other, ReverifyError, reverify};
pub use warehouse::{DiscoveryCondition, WarehouseAct, WarehousePlan, condition, warehouse};
pub use wish::{Again, DownstreamError, RerunError, downstream, goes_back, rerun, what_is_there};

use crate::id::{StageName, WarehouseName};

/// Why something does not move, and until when. What conditions, `explain` and the UI show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// What waits: `freight 1a2b3c4d5e`, `promotion prod.3`, `subscription api`.
    pub subject: String,
    /// A stable word, for machines.
    pub reason: &'static str,
    /// One sentence for people.
    pub message: String,
    /// The earliest time at which it can change by itself.
    pub until: Option<Timestamp>,
}

/// Something whose snapshot is to be looked at again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wake {
    /// A warehouse.
    Warehouse(WarehouseName),
    /// A stage.
    Stage(StageName),
    /// A promotion.
    Promotion(crate::id::PromotionId),
}

/// Freight by warehouse.
pub type Collection = IndexMap<WarehouseName, crate::freight::Freight>;

/// The earlier of two optional instants.
pub(crate) fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (only, None) | (None, only) => only,
    }
}
