//! The clock. The daemon owns the only one; everything else is told what time it is.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// The machine's wall clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// How far the wall clock may lag behind the steady one before it counts as put back.
const LAG_MAX: Duration = Duration::from_secs(5);

/// Notices when the wall clock is put back, by the steady clock of the machine.
#[derive(Debug)]
pub(crate) struct PutBack {
    wall: Timestamp,
    steady: Instant,
}

impl PutBack {
    pub(crate) fn since(wall: Timestamp, steady: Instant) -> Self {
        Self { wall, steady }
    }

    /// By how much it was since this was asked last; absent: it was not.
    pub(crate) fn by(&mut self, wall: Timestamp, steady: Instant) -> Option<Duration> {
        let last = std::mem::replace(self, Self { wall, steady });
        let expected = last.wall.checked_add(steady.duration_since(last.steady)).ok()?;
        let lag = Duration::try_from(expected.duration_since(wall)).ok()?;
        (lag > LAG_MAX).then_some(lag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_put_back_is_noticed_once() {
        let (wall, steady) = (Timestamp::UNIX_EPOCH, Instant::now());
        let at = |wall_s: i64, steady_s: u64| {
            let moved = jiff::SignedDuration::from_secs(wall_s);
            (wall + moved, steady + Duration::from_secs(steady_s))
        };
        let mut clock = PutBack::since(wall, steady);
        let mut check = |(wall, steady), by: Option<u64>| {
            assert_eq!(clock.by(wall, steady), by.map(Duration::from_secs));
        };
        check(at(30, 30), None);
        check(at(3_660, 60), None);
        check(at(3_690, 90), None);
        check(at(120, 120), Some(3_600));
        check(at(150, 150), None);
        // Clocks that run a little slow are not put back.
        check(at(176, 180), None);
    }
}
