//! Who changes the definitions of a project has the turn. A change is checked against all of them,
//! and a check against what another is just changing is done in vain: clients that send ten at a
//! time would mostly wait for each other's failures.
//!
//! This is order within one process, not safety: the store refuses what was checked against
//! anything but the newest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use reconciler_domain::id::ProjectName;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// Entries from which on those that nobody waits for are removed.
const SWEPT_FROM: usize = 100;

/// One turn per project.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<ProjectName, Weak<Turn<()>>>>);

impl Turns {
    /// Waits for the turn; it lasts as long as the guard. Who comes first goes first.
    pub(super) async fn take(&self, project: &ProjectName) -> OwnedMutexGuard<()> {
        self.of(project).lock_owned().await
    }

    fn of(&self, project: &ProjectName) -> Arc<Turn<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(project).and_then(Weak::upgrade) {
            return turn;
        }
        if turns.len() >= SWEPT_FROM {
            turns.retain(|_, turn| turn.strong_count() > 0);
        }
        let turn = Arc::default();
        turns.insert(project.clone(), Arc::downgrade(&turn));
        turn
    }
}
