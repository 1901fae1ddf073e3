//! The invariants can fail: each deliberate bug is found within a bounded number of seeds.

use simulation::{Bug, Failure, Scenario, run};

/// Seeds within which a bug has to be found.
const SEEDS: u64 = 64;

#[test]
fn every_deliberate_bug_is_found() {
    let missed: Vec<Bug> =
        Bug::ALL.into_iter().filter(|bug| first_failure(*bug).is_none()).collect();
    assert!(missed.is_empty(), "not found within {SEEDS} seeds: {missed:?}");
}

fn first_failure(bug: Bug) -> Option<Failure> {
    (0..SEEDS).find_map(|seed| run(&Scenario::of(seed), Some(bug), false).err())
}

#[test]
fn a_failure_says_how_to_see_it_again() {
    let failure = first_failure(Bug::ProbeSkipped).expect("found within the bound");
    let again = run(&Scenario::of(failure.seed), Some(Bug::ProbeSkipped), false);
    assert_eq!(again, Err(failure.clone()), "one seed is one run");
    let text = failure.to_string();
    assert!(text.contains(&format!("make simulate SEED={}", failure.seed)), "{text}");
}
