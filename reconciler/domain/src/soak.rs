//! Soak: how long freight must have been in its upstream stages, verified.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::duration;
use crate::id::StageName;

/// How long freight must have been in each upstream stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Soak {
    /// In a stage of which nothing else is said.
    pub everywhere: Duration,
    /// In these, instead.
    pub in_stages: BTreeMap<StageName, Duration>,
}

impl Soak {
    /// The same everywhere.
    #[must_use]
    pub fn of(everywhere: Duration) -> Self {
        Self { everywhere, in_stages: BTreeMap::new() }
    }

    /// How long in one upstream stage.
    #[must_use]
    pub fn in_stage(&self, stage: &StageName) -> Duration {
        self.in_stages.get(stage).copied().unwrap_or(self.everywhere)
    }

    /// Whether freight need not have been anywhere for any time.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.everywhere.is_zero() && self.in_stages.values().all(Duration::is_zero)
    }

    /// In words, for these upstream stages: `1h`, or `24h in qa, 1h in dev`.
    #[must_use]
    pub fn print(&self, upstreams: &[StageName]) -> String {
        if !upstreams.iter().any(|stage| self.in_stages.contains_key(stage)) {
            return duration::print(self.everywhere);
        }
        let of =
            |stage: &StageName| format!("{} in {stage}", duration::print(self.in_stage(stage)));
        upstreams.iter().map(of).collect::<Vec<_>>().join(", ")
    }
}
