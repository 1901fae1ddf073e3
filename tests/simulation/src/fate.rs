//! Chance, from one seed.

use std::ops::RangeInclusive;
use std::time::Duration;

/// The only source of chance of a run.
#[derive(Debug)]
pub(crate) struct Fate(fastrand::Rng);

impl Fate {
    pub(crate) fn of(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// Whether something of this probability happens.
    pub(crate) fn strikes(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.0.f64() < probability
    }

    pub(crate) fn number(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.0.u64(range)
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        self.0.usize(..len)
    }

    pub(crate) fn one_of<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.0.usize(..from.len())]
    }

    /// A whole number of milliseconds in this range.
    pub(crate) fn millis(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.0.u64(range))
    }

    /// Time until the next of things that happen at random, this far apart on average.
    pub(crate) fn next_after(&mut self, mean: Duration) -> Duration {
        let draw = self.0.f64().max(1e-9);
        let millis = mean.as_secs_f64() * 1000.0 * -draw.ln();
        Duration::from_millis(millis as u64 + 1)
    }

    /// A rate between these, evenly on a logarithmic scale.
    pub(crate) fn rate(&mut self, low: f64, high: f64) -> f64 {
        (low.ln() + self.0.f64() * (high.ln() - low.ln())).exp()
    }
}
