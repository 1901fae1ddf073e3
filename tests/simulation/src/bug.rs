//! Deliberate bugs of the shell, the store and the effects: what the invariants must be able to find.

use std::fmt;
use std::str::FromStr;

/// One deliberate bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The store takes appends of workers whose lease is lost.
    FencingOff,
    /// Effects are carried out without an intent in the log.
    IntentNotAppended,
    /// Effects act without looking whether they have happened.
    ProbeSkipped,
    /// The commit does not take the stage's slot.
    SlotNotTaken,
    /// The commit does not check that the project is still what the gates judged.
    RevisionIgnored,
    /// A wake-up that comes in while the key is worked on is lost.
    WakeUpLost,
    /// Applies plan again and apply that, instead of the plan that was approved.
    PlannedAgain,
    /// The fold that is kept between appends forgets approvals.
    FoldKeptWrong,
    /// Which freight is in a stage is not written.
    ConsequencesLost,
    /// Whoever asked for a promotion approves it under another name.
    RequesterCounts,
    /// A new freight does not supersede what waits.
    NothingSuperseded,
    /// What a step keeps is not written with its outcome.
    KeptLost,
    /// Who answers a step is taken at their word about their groups.
    OutsiderAnswers,
    /// When a promotion asked to be looked at again is forgotten.
    WaitForgotten,
    /// How a promotion of a unit ended is kept of the freight that leads it alone.
    EndedOfLeading,
    /// What a promotion brings along is not looked at.
    AlongForgotten,
    /// A call that was sent and not answered, or cut off by a death, is taken for one that failed.
    DoubtForgotten,
}

impl Bug {
    /// Every bug.
    pub const ALL: [Self; 17] = [
        Self::FencingOff,
        Self::IntentNotAppended,
        Self::ProbeSkipped,
        Self::SlotNotTaken,
        Self::RevisionIgnored,
        Self::WakeUpLost,
        Self::PlannedAgain,
        Self::FoldKeptWrong,
        Self::ConsequencesLost,
        Self::RequesterCounts,
        Self::NothingSuperseded,
        Self::KeptLost,
        Self::OutsiderAnswers,
        Self::WaitForgotten,
        Self::EndedOfLeading,
        Self::AlongForgotten,
        Self::DoubtForgotten,
    ];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FencingOff => "fencing_off",
            Self::IntentNotAppended => "intent_not_appended",
            Self::ProbeSkipped => "probe_skipped",
            Self::SlotNotTaken => "slot_not_taken",
            Self::RevisionIgnored => "revision_ignored",
            Self::WakeUpLost => "wake_up_lost",
            Self::PlannedAgain => "planned_again",
            Self::FoldKeptWrong => "fold_kept_wrong",
            Self::ConsequencesLost => "consequences_lost",
            Self::RequesterCounts => "requester_counts",
            Self::NothingSuperseded => "nothing_superseded",
            Self::KeptLost => "kept_lost",
            Self::OutsiderAnswers => "outsider_answers",
            Self::WaitForgotten => "wait_forgotten",
            Self::EndedOfLeading => "ended_of_leading",
            Self::AlongForgotten => "along_forgotten",
            Self::DoubtForgotten => "doubt_forgotten",
        }
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no bug.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no bug {0:?}")]
pub struct UnknownBug(String);

impl FromStr for Bug {
    type Err = UnknownBug;

    fn from_str(text: &str) -> Result<Self, UnknownBug> {
        let known = Self::ALL.into_iter().find(|bug| bug.name() == text);
        known.ok_or_else(|| UnknownBug(text.to_owned()))
    }
}
