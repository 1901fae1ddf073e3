//! What an event of a promotion means for the world around it. The store writes the event and its
//! consequences in one transaction.

use crate::id::FreightId;
use crate::promotion::{Ending, Event, Phase, Promotion, State};
use crate::step::{Kept, Record, StepOutcome};

/// What follows from an event.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Consequences {
    /// The stage now holds exactly this freight; absent: as before. Stays that go on are not
    /// interrupted.
    pub enter: Option<Vec<FreightId>>,
    /// The stage vouches for this freight from now on.
    pub verify: Vec<FreightId>,
    /// The stage no longer vouches for this freight.
    pub withdraw: Vec<FreightId>,
    /// The slot of the stage is taken (`true`) or given back (`false`); absent: as before.
    pub slot: Option<bool>,
    /// Automation on the stage stops, for this reason.
    pub hold: Option<String>,
    /// What is written about the stage and the freight, and to the ledger.
    pub keep: Option<Kept>,
    /// The promotion is over: the stage, its other promotions and the stages downstream look again.
    pub over: Option<Ending>,
}

impl Consequences {
    /// Whether nothing follows.
    #[must_use]
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What follows from appending an event to a promotion in this state.
#[must_use]
pub fn consequences(promotion: &Promotion, before: &State, event: &Event) -> Consequences {
    let mut after = Consequences::default();
    match event {
        Event::Committed { .. } | Event::Reverifying { .. } => after.slot = Some(true),
        Event::SentBack { .. } => after.slot = Some(false),
        Event::Verifying { .. } => after.enter = Some(collection(before)),
        // What failed anew is not vouched for from the moment that it is known. What stays when it
        // is undone was there before, and keeps what was said of it.
        Event::Unwinding { .. } if before.reverifying.is_some() => {
            let stays = replaced(before);
            after.withdraw = collection(before);
            after.withdraw.retain(|freight| !stays.contains(freight));
        }
        Event::Finished(finish) if finish.as_before => {
            after.over = Some(finish.ending);
            after.slot = Some(false);
        }
        Event::Finished(finish) => {
            if before.reverifying.is_some() && finish.ending == Ending::Failed {
                after.withdraw = collection(before);
            }
            finished(before, finish.ending, &mut after);
            if finish.ending == Ending::Stuck {
                let id = &promotion.id;
                after.hold = Some(format!("promotion {id} is stuck: {}", finish.message));
            }
        }
        Event::Outcome { outcome, .. } => {
            if let StepOutcome::Done { record: Record::Kept(kept), .. } = &**outcome {
                after.keep = Some(kept.clone());
            }
        }
        Event::PrepareStarted(_)
        | Event::StepPrepared(_)
        | Event::PassedOver { .. }
        | Event::PrepareFailed { .. }
        | Event::Prepared(_)
        | Event::Approved(_)
        | Event::Probed { .. }
        | Event::Intent { .. }
        | Event::Answered(_)
        | Event::Measured(_)
        | Event::Unwinding { .. }
        | Event::AbortRequested { .. } => {}
    }
    after
}

fn finished(before: &State, ending: Ending, after: &mut Consequences) {
    after.over = Some(ending);
    if before.phase().holds_slot() {
        after.slot = Some(false);
    }
    match ending {
        Ending::Succeeded => after.verify = collection(before),
        Ending::Inconclusive if before.phase() == Phase::Committing => {
            after.enter = Some(collection(before));
        }
        Ending::RolledBack if before.verifying.is_some() => {
            after.enter = Some(replaced(before));
        }
        Ending::Failed
        | Ending::RolledBack
        | Ending::Stuck
        | Ending::Aborted
        | Ending::Superseded
        | Ending::Expired
        | Ending::Inconclusive
        | Ending::Rehearsed => {}
    }
}

fn collection(state: &State) -> Vec<FreightId> {
    let frozen = state.frozen.iter();
    frozen.flat_map(|frozen| frozen.collection.values()).map(|freight| freight.id.clone()).collect()
}

/// The freight that was there before, whether its own promotion succeeded or not: undoing goes back
/// by one, not to the last success.
fn replaced(state: &State) -> Vec<FreightId> {
    if let Some(replaced) = &state.replaced {
        return replaced.clone();
    }
    let previous = state.frozen.iter().filter_map(|frozen| frozen.previous.as_ref());
    previous.flat_map(|previous| previous.collection.values()).cloned().collect()
}
