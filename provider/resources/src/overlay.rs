//! What this run has planned so far.
//!
//! The client plans what refers to something after that something, so a reference to an object
//! that is neither live nor in here leads nowhere. The order of everything else is chance:
//! nothing of this may enter a planned value, only what is told beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use reconciler_api::v1::{Definition, Kind};

use crate::session::Identity;

/// The objects that were planned in this process.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    objects: Mutex<BTreeMap<(Kind, String), BTreeMap<String, Planned>>>,
    /// Of what was warned: id, place, summary and detail.
    warned: Mutex<BTreeSet<(Kind, [String; 4])>>,
}

/// One object that was planned.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Planned {
    /// Whether it will be created or changed.
    pub(crate) changes: bool,
    /// Of a stage, the stages it takes freight from.
    pub(crate) upstreams: BTreeSet<String>,
    /// What it will be, if that is wholly known and can be previewed.
    pub(crate) definition: Option<Arc<Definition>>,
}

impl Overlay {
    fn objects(&self) -> MutexGuard<'_, BTreeMap<(Kind, String), BTreeMap<String, Planned>>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers an object.
    pub(crate) fn add(&self, kind: Kind, identity: &Identity, planned: Planned) {
        let mut objects = self.objects();
        let named = objects.entry((kind, identity.project.clone())).or_default();
        named.insert(identity.name.clone(), planned);
    }

    /// The planned objects of a kind, as far as they are wanted.
    fn of<T>(
        &self,
        kind: Kind,
        project: &str,
        want: impl Fn(&str, &Planned) -> Option<T>,
    ) -> Vec<T> {
        let objects = self.objects();
        let named = objects.get(&(kind, project.to_owned())).into_iter().flatten();
        named.filter_map(|(name, planned)| want(name, planned)).collect()
    }

    /// The names of the planned objects of a kind.
    pub(crate) fn names(&self, kind: Kind, project: &str) -> BTreeSet<String> {
        self.of(kind, project, |name, _| Some(name.to_owned())).into_iter().collect()
    }

    /// The planned objects of a kind that change, and what each will be, if that is known.
    pub(crate) fn changed(
        &self,
        kind: Kind,
        project: &str,
    ) -> Vec<(String, Option<Arc<Definition>>)> {
        self.of(kind, project, |name, planned| {
            planned.changes.then(|| (name.to_owned(), planned.definition.clone()))
        })
    }

    /// The upstreams of each planned stage.
    pub(crate) fn upstreams(&self, project: &str) -> Vec<(String, BTreeSet<String>)> {
        self.of(Kind::Stage, project, |name, planned| {
            Some((name.to_owned(), planned.upstreams.clone()))
        })
    }

    /// An object as it was planned.
    pub(crate) fn get(&self, kind: Kind, project: &str, name: &str) -> Option<Planned> {
        self.objects().get(&(kind, project.to_owned()))?.get(name).cloned()
    }

    /// Whether such an object was planned.
    pub(crate) fn has(&self, kind: Kind, project: &str, name: &str) -> bool {
        self.get(kind, project, name).is_some()
    }

    /// Whether nobody was warned of this before, of this object, at this place. The same comes out of
    /// more than one question: about the object alone, and together with others. The instants in it
    /// are others each time, so that they do not count; what else it says does, because one place may
    /// have several warnings of one kind, such as one for each freight.
    pub(crate) fn is_news(
        &self,
        identity: &Identity,
        (place, summary): (&str, &str),
        detail: &str,
    ) -> bool {
        let texts = [&identity.to_string(), place, summary, &timeless(detail)];
        let said = (identity.kind, texts.map(str::to_owned));
        self.warned.lock().unwrap_or_else(PoisonError::into_inner).insert(said)
    }
}

/// A text without the instants in it.
fn timeless(text: &str) -> String {
    let is_instant = |word: &&str| {
        let word = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        word.parse::<Timestamp>().is_ok()
    };
    text.split(' ').filter(|word| !is_instant(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_by_its_instants_is_no_news() {
        let overlay = Overlay::default();
        let named = |name: &str| Identity {
            kind: Kind::Policy,
            project: "shop".to_owned(),
            name: name.to_owned(),
        };
        let late = ("max_age", "Freight can be too old");
        for (name, said, detail, is_news) in [
            ("prod", late, "Made at 2026-01-02T03:04:05Z, it waits.", true),
            ("prod", late, "Made at 2026-01-02T03:04:05.25Z, it waits.", false),
            ("prod", late, "Made at 2026-01-02T03:04:06Z, it is lost.", true),
            ("prod", ("soak", late.1), "Made at 2026-01-02T03:04:05Z, it waits.", true),
            ("prod", (late.0, "Another"), "Made at 2026-01-02T03:04:05Z, it waits.", true),
            ("test", late, "Made at 2026-01-02T03:04:05Z, it waits.", true),
        ] {
            assert_eq!(overlay.is_news(&named(name), said, detail), is_news, "{name} {said:?}");
        }
    }
}
