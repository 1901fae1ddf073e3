//! Who works on which key at this moment, and how it went.

use std::collections::HashMap;

use reconciler_store::{Lease, WakeKey};
use tokio::task::{Id, JoinError, JoinSet};

/// How work on a key ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// As it may, well or not.
    Orderly,
    /// Our own code panicked.
    Panicked,
}

/// The keys that are worked on, and the panics of each since it last ended in order.
#[derive(Default)]
pub(super) struct Crew {
    tasks: JoinSet<Ended>,
    held: HashMap<Id, Lease>,
    panics: HashMap<WakeKey, u32>,
}

impl Crew {
    /// Starts work under a lease.
    pub(super) fn start(
        &mut self,
        lease: Lease,
        work: impl Future<Output = Ended> + Send + 'static,
    ) {
        let task = self.tasks.spawn(work);
        self.held.insert(task.id(), lease);
    }

    /// Keys that are worked on.
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether anything is.
    pub(super) fn is_at_work(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// Under which leases.
    pub(super) fn held(&self) -> Vec<Lease> {
        self.held.values().cloned().collect()
    }

    /// How often work on the key panicked, one time after the other.
    pub(super) fn panics(&self, key: &WakeKey) -> u32 {
        self.panics.get(key).copied().unwrap_or_default()
    }

    /// Takes note of everything that has ended.
    pub(super) fn gather(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.note(ended);
        }
    }

    /// Waits until something ends.
    pub(super) async fn one_ends(&mut self) {
        if let Some(ended) = self.tasks.join_next_with_id().await {
            self.note(ended);
        }
    }

    fn note(&mut self, ended: Result<(Id, Ended), JoinError>) {
        let (id, ended) = match ended {
            Ok((id, ended)) => (id, ended),
            Err(error) => (error.id(), Ended::Panicked),
        };
        let Some(lease) = self.held.remove(&id) else { return };
        match ended {
            Ended::Orderly => {
                self.panics.remove(&lease.key);
            }
            Ended::Panicked => {
                let panics = self.panics.entry(lease.key.clone()).or_default();
                *panics = panics.saturating_add(1);
                tracing::error!(times = *panics, "work on {} panicked", lease.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    fn lease(key: &str) -> Lease {
        Lease { key: key.parse().expect("a key"), epoch: 1, owner: "w".to_owned() }
    }

    #[tokio::test]
    async fn a_panic_is_of_its_key_until_that_ends_in_order() {
        let (bad, good) = (lease("promotion/shop/dev.1"), lease("stage/shop/dev"));
        let mut crew = Crew::default();
        for times in 1..=2 {
            crew.start(bad.clone(), async { panic!("a bug") });
            crew.start(good.clone(), ready(Ended::Orderly));
            assert_eq!((crew.len(), crew.held().len()), (2, 2));
            while crew.is_at_work() {
                crew.one_ends().await;
            }
            assert_eq!((crew.panics(&bad.key), crew.panics(&good.key)), (times, 0));
            assert_eq!(crew.held(), []);
        }
        crew.start(bad.clone(), ready(Ended::Panicked));
        crew.one_ends().await;
        assert_eq!(crew.panics(&bad.key), 3);
        crew.start(bad.clone(), ready(Ended::Orderly));
        crew.one_ends().await;
        assert_eq!(crew.panics(&bad.key), 0);
    }
}
