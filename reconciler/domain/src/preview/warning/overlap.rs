//! Two stages that write to one place: what one promotes, the other replaces.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::{Warning, named};
use crate::footprint::{Print, footprint};
use crate::id::StageName;
use crate::snapshot::Definitions;
use crate::stage::Stage;
use crate::task::Tasks;

/// What stages write to, each looked at once.
pub(super) struct Footprints<'a> {
    definitions: &'a Definitions,
    tasks: Tasks<'a>,
    known: RefCell<BTreeMap<&'a StageName, Rc<[Print]>>>,
    told: RefCell<BTreeSet<(StageName, StageName)>>,
}

impl<'a> Footprints<'a> {
    pub(super) fn of(definitions: &'a Definitions) -> Self {
        let tasks = definitions.tasks.iter().map(|(name, task)| (name.as_str(), &task.spec));
        let (known, told) = (RefCell::default(), RefCell::default());
        Self { definitions, tasks: tasks.collect(), known, told }
    }

    fn of_stage(&self, name: &StageName) -> Rc<[Print]> {
        let Some((name, stage)) = self.definitions.stages.get_key_value(name) else {
            return Rc::new([]);
        };
        let look = || footprint(&stage.spec, &self.tasks).into();
        Rc::clone(self.known.borrow_mut().entry(name).or_insert_with(look))
    }

    /// Whether these two were not told of each other yet.
    fn is_news(&self, one: &StageName, other: &StageName) -> bool {
        let pair = if one < other { (one, other) } else { (other, one) };
        self.told.borrow_mut().insert((pair.0.clone(), pair.1.clone()))
    }
}

/// What a stage would write to that other ones write to, and that it does not yet.
pub(super) fn of_stage(
    before: &Footprints<'_>,
    after: &Footprints<'_>,
    new: &Stage,
) -> Option<Warning> {
    let (own, old) = (after.of_stage(&new.name), before.of_stage(&new.name));
    let news: Vec<&Print> =
        own.iter().filter(|mine| old.iter().all(|old| old.on != mine.on)).collect();
    if news.is_empty() {
        return None;
    }
    let mut met: Vec<(&StageName, &Print)> = Vec::new();
    for other in after.definitions.stages.keys().filter(|other| **other != new.name) {
        let theirs = after.of_stage(other);
        let meeting = news.iter().find(|mine| theirs.iter().any(|it| it.on.meets(&mine.on)));
        if let Some(mine) = meeting
            && after.is_news(&new.name, other)
        {
            met.push((other, mine));
        }
    }
    let (_, mine) = met.first()?;
    Some(warning(new, mine, &met))
}

fn warning(new: &Stage, mine: &Print, met: &[(&StageName, &Print)]) -> Warning {
    let others: Vec<&StageName> = met.iter().map(|(name, _)| *name).collect();
    let (stages, write) = if met.len() == 1 { ("stage", "does") } else { ("stages", "do") };
    Warning {
        change: 0,
        path: format!("steps[{}]", mine.origin),
        summary: "Several stages write to one place".to_owned(),
        detail: format!(
            "Step {} of stage {} writes to {}, and so {write} {stages} {}: what is promoted to one \
             of them replaces what was promoted to the other.",
            mine.step,
            new.name,
            mine.on,
            named(&others),
        ),
    }
}
