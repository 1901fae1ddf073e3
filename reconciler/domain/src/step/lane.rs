//! Steps that are carried out side by side.
//!
//! Steps that follow one another under the same word (`control.parallel`) are a *group*; each of them is a
//! *lane*: a step, one element of a `for_each`, or all the steps of one use of a task. What is in one lane
//! is carried out in order, and knows nothing of the others: it has a working directory of its own, which
//! begins with what was made before the group. Outside of the lane nothing of that directory is seen, also
//! after the group; outputs are.

use serde::{Deserialize, Serialize};

use super::Step;
use crate::expression::Reference;
use crate::id::StepName;
use crate::scope::{conditions, outermost};
use crate::template::references_json;

/// Where a step stands in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    /// The group: its word, below the task in which it is written.
    pub group: String,
    /// The step that is beside the others: this one, or the one that stands for the task it is part of.
    pub name: StepName,
}

/// One of a promotion's working directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Workdir {
    /// Of the steps that stand in no group.
    Main,
    /// Of a lane, by the position of its first step.
    Lane(usize),
    /// Of the undo, which works on other trees than the promotion itself.
    Undo,
}

impl Lane {
    /// Whether these two are in one group, beside each other.
    #[must_use]
    pub fn is_beside(&self, other: &Self) -> bool {
        self.group == other.group && self.name != other.name
    }
}

impl Step {
    /// Whether this step and that one are carried out side by side: neither sees what the other does.
    #[must_use]
    pub fn is_beside(&self, other: &Self) -> bool {
        let lanes = self.lane.as_ref().zip(other.lane.as_ref());
        lanes.is_some_and(|(one, other)| one.is_beside(other))
    }
}

impl Step {
    /// Whether this step works on what that one made in the working directory.
    #[must_use]
    pub fn sees(&self, other: &Self) -> bool {
        other.lane.is_none() || other.lane == self.lane
    }
}

/// The steps whose results the working directory of one of them holds: those that it sees, and of a
/// group nothing that comes after it.
pub fn seen_by<'a>(steps: &'a [Step], step: &StepName) -> impl Iterator<Item = &'a Step> {
    let here = steps.iter().find(|known| known.name == *step);
    let group = here.and_then(|here| here.lane.as_ref()).map(|lane| lane.group.as_str());
    let in_group = move |known: &Step| {
        group.is_some() && known.lane.as_ref().map(|lane| lane.group.as_str()) == group
    };
    let end = steps.iter().rposition(in_group).map_or(steps.len(), |last| last + 1);
    steps[..end].iter().filter(move |other| here.is_none_or(|here| here.sees(other)))
}

/// How many steps from the beginning are carried out as one: those of the first one's group, or one.
#[must_use]
pub fn together(steps: &[Step]) -> usize {
    let Some(lane) = steps.first().and_then(|step| step.lane.as_ref()) else { return 1 };
    let same = |step: &&Step| step.lane.as_ref().is_some_and(|other| other.group == lane.group);
    steps.iter().take_while(same).count()
}

/// The lanes of a group, each with its steps, in the order in which they are written.
pub fn lanes(group: &[Step]) -> impl Iterator<Item = &[Step]> {
    group.chunk_by(|one, next| !one.is_beside(next))
}

/// The working directory of a step.
#[must_use]
pub fn workdir(steps: &[Step], step: &StepName) -> Workdir {
    let lane = steps.iter().find(|known| known.name == *step).and_then(|known| known.lane.as_ref());
    let first =
        lane.and_then(|lane| steps.iter().position(|known| known.lane.as_ref() == Some(lane)));
    first.map_or(Workdir::Main, Workdir::Lane)
}

/// What a step reads of one that is carried out beside it, so that nobody can say which of them is first;
/// and which step that is.
pub fn read_beside<'a>(
    steps: impl Iterator<Item = &'a Step>,
    step: &Step,
) -> Option<(String, &'a StepName)> {
    step.lane.as_ref()?;
    let mut read: Vec<Reference> = references_json(&step.config).unwrap_or_default();
    read = read.iter().flat_map(|reference| outermost(reference, &step.within)).collect();
    for (when, within) in conditions(step) {
        read.extend(when.references().iter().flat_map(|reference| outermost(reference, within)));
    }
    let beside: Vec<&Step> = steps.filter(|other| other.is_beside(step)).collect();
    read.iter().find_map(|reference| {
        let Reference::Path(path) = reference else { return None };
        let (root, rest) = path.split_first()?;
        let found = beside.iter().find(|other| other.name.read_by(rest).is_some());
        found.filter(|_| root == "steps").map(|other| (reference.to_string(), &other.name))
    })
}
