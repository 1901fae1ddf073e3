//! When what is looked at again and again is due again.
//!
//! A key is woken by much that has nothing to do with what its promotion waits for outside. Whoever is asked there
//! is asked at the pace that the step names all the same. It is only remembered: after a restart everything is
//! looked at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use reconciler_domain::id::{ProjectName, PromotionId};
use reconciler_domain::promotion::Node;

type ByNode = HashMap<Node, Timestamp>;

/// When nodes of promotions that nobody works on are looked at again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rests(Arc<Mutex<HashMap<(ProjectName, PromotionId), ByNode>>>);

impl Rests {
    /// Those of a promotion, for whoever works on it from now on.
    pub(super) fn take(&self, project: &ProjectName, id: &PromotionId) -> ByNode {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&(project.clone(), id.clone())).unwrap_or_default()
    }

    /// Forgets them all, so that everything is looked at once.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Keeps those of a promotion while nobody works on it.
    pub(super) fn keep(&self, project: &ProjectName, id: &PromotionId, rests: ByNode) {
        if rests.is_empty() {
            return;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert((project.clone(), id.clone()), rests);
    }
}
