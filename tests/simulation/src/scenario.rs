//! What one seed stands for: how much there is, how fast it changes, what fails and how often.
//!
//! Each seed switches some faults on and leaves others off: what only shows when a fault is absent is found, too.

use std::time::Duration;

use crate::fate::Fate;

/// The conditions of one run.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Where chance begins.
    pub seed: u64,
    /// Simulated time before everything is left to settle.
    pub length: Duration,
    /// Processes that share the store.
    pub replicas: usize,
    /// Projects, each with a pipeline of its own.
    pub projects: usize,
    /// Whether the pipelines are the plain ones of the benchmark, not drawn.
    pub plain: bool,
    /// The longest pause between two moves of a job: how loaded the machines are.
    pub pace: Duration,
    /// Time between two new versions of one source, on average.
    pub release_every: Duration,
    /// Time between two things that people do in a project, on average; absent: nothing.
    pub people_every: Option<Duration>,
    /// Time between two rounds of somebody who puts edited definitions back, approves what waits and brings the
    /// newest freight where it is not, on average; absent: only once nothing fails any more.
    pub care_every: Option<Duration>,
    /// Whether most of what people do is to edit definitions.
    pub editors: bool,
    /// Time between two changes past Lockstep, on average; absent: none.
    pub strangers_every: Option<Duration>,
    /// Time between two deaths, stops and clock jumps, on average; absent: none.
    pub accidents_every: Option<Duration>,
    /// How often what fails.
    pub faults: Faults,
    /// Every how many promotions the whole log is replayed at the end of one.
    pub replay_every: u64,
}

/// Probabilities of what goes wrong.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// A process dies before or after a move.
    pub crash: f64,
    /// A person does something between two moves of a job, about its stage.
    pub meddling: f64,
    /// A transaction is refused.
    pub store_refuses: f64,
    /// A transaction is committed, and nobody is told.
    pub store_reply_lost: f64,
    /// A call is refused for now.
    pub refused: f64,
    /// The answer of a call is lost.
    pub reply_lost: f64,
    /// A request arrives twice.
    pub twice: f64,
    /// A call takes longer than a lease.
    pub slow: f64,
    /// A call fails for good, half-way.
    pub breaks: f64,
    /// An apply is cut off.
    pub cut_off: f64,
    /// A measurement fails, whatever the version.
    pub measures_fail: f64,
    /// A measurement shows nothing.
    pub measures_nothing: f64,
    /// A new version is a bad one.
    pub bad_release: f64,
    /// A look at a source fails.
    pub look_fails: f64,
}

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

impl Scenario {
    /// What a seed stands for in the tests and in `make simulate SEEDS=…`.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut fate = Fate::of(seed ^ 0x5eed);
        let some = |fate: &mut Fate, from: f64, to: f64| {
            let every = Duration::from_secs_f64(fate.rate(from, to));
            fate.strikes(0.8).then_some(every)
        };
        Self {
            seed,
            length: fate.millis(1_800_000..=4 * 3_600_000),
            replicas: *fate.one_of(&[1, 2, 3, 4]),
            projects: *fate.one_of(&[1, 1, 1, 2]),
            plain: false,
            pace: Duration::from_millis(*fate.one_of(&[5, 5, 100, 1000, 5000])),
            release_every: Duration::from_secs_f64(fate.rate(120.0, 3600.0)),
            people_every: some(&mut fate, 10.0, 600.0),
            care_every: None,
            editors: fate.strikes(0.3),
            strangers_every: some(&mut fate, 30.0, 3600.0),
            accidents_every: some(&mut fate, 20.0, 1800.0),
            faults: Faults::drawn(&mut fate),
            replay_every: 1,
        }
    }

    /// A long time of a hundred stages that get ten promotions a day, with faults.
    #[must_use]
    pub fn of_days(seed: u64, days: u64) -> Self {
        Self {
            seed,
            length: DAY.saturating_mul(u32::try_from(days).unwrap_or(u32::MAX)),
            replicas: 3,
            projects: 10,
            plain: true,
            pace: Duration::from_millis(5),
            release_every: HOUR.saturating_mul(2),
            people_every: Some(HOUR.saturating_mul(6)),
            care_every: Some(HOUR.saturating_mul(12)),
            editors: false,
            strangers_every: Some(HOUR.saturating_mul(3)),
            accidents_every: Some(HOUR),
            faults: Faults {
                crash: 0.0005,
                meddling: 0.0005,
                store_refuses: 0.0005,
                store_reply_lost: 0.0005,
                refused: 0.01,
                reply_lost: 0.003,
                twice: 0.005,
                slow: 0.002,
                breaks: 0.002,
                cut_off: 0.0002,
                measures_fail: 0.01,
                measures_nothing: 0.01,
                bad_release: 0.02,
                look_fails: 0.02,
            },
            replay_every: 64,
        }
    }
}

impl Faults {
    fn drawn(fate: &mut Fate) -> Self {
        let mut draw = |low: f64, high: f64| {
            if fate.strikes(0.6) { fate.rate(low, high) } else { 0.0 }
        };
        Self {
            crash: draw(0.0005, 0.05),
            meddling: draw(0.002, 0.2),
            store_refuses: draw(0.0005, 0.02),
            store_reply_lost: draw(0.0005, 0.02),
            refused: draw(0.01, 0.4),
            reply_lost: draw(0.01, 0.3),
            twice: draw(0.01, 0.3),
            slow: draw(0.002, 0.05),
            breaks: draw(0.002, 0.1),
            cut_off: draw(0.002, 0.05),
            measures_fail: draw(0.01, 0.2),
            measures_nothing: draw(0.01, 0.2),
            bad_release: draw(0.05, 0.4),
            look_fails: draw(0.01, 0.3),
        }
    }
}
