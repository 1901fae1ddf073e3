//! What this run has planned so far.
//!
//! The client plans what refers to something after that something, so a reference to an object
//! that is neither live nor in here leads nowhere. The order of everything else is chance:
//! nothing of this may enter a planned value, only what is told beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use reconciler_api::v1::Kind;

use crate::session::Identity;

/// The objects that were planned in this process.
#[derive(Debug, Default)]
pub(crate) struct Overlay(Mutex<BTreeMap<(Kind, String), BTreeMap<String, Planned>>>);

/// One object that was planned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Whether it will be created or changed.
    pub(crate) changes: bool,
    /// Of a stage, the stages it takes freight from.
    pub(crate) upstreams: BTreeSet<String>,
}

impl Overlay {
    fn objects(&self) -> MutexGuard<'_, BTreeMap<(Kind, String), BTreeMap<String, Planned>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers an object.
    pub(crate) fn add(&self, kind: Kind, identity: &Identity, planned: Planned) {
        let mut objects = self.objects();
        let named = objects.entry((kind, identity.project.clone())).or_default();
        named.insert(identity.name.clone(), planned);
    }

    /// The planned objects of a kind.
    pub(crate) fn of(&self, kind: Kind, project: &str) -> BTreeMap<String, Planned> {
        self.objects().get(&(kind, project.to_owned())).cloned().unwrap_or_default()
    }

    /// Whether such an object was planned.
    pub(crate) fn has(&self, kind: Kind, project: &str, name: &str) -> bool {
        self.objects()
            .get(&(kind, project.to_owned()))
            .is_some_and(|named| named.contains_key(name))
    }
}
