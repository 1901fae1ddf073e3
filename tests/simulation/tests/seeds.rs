//! A fixed budget of seeds.

use simulation::{Scenario, run};

/// Seeds of every test run; `make simulate` runs others.
const SEEDS: u64 = 32;

#[test]
fn every_invariant_holds_for_every_seed() {
    let mut promotions = 0;
    for seed in 0..SEEDS {
        match run(&Scenario::of(seed), None, false) {
            Ok(report) => promotions += report.tally.promotions,
            Err(failure) => panic!("{failure}"),
        }
    }
    assert!(promotions > SEEDS, "runs in which nothing happens show nothing");
}
