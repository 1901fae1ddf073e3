//! The fuzz targets, over their corpus and over some thousand inputs that are made on the spot.

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "a crate of its own where it is fuzzed")]
mod targets;

use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

const CASES: u32 = 2_000;

/// The inputs that are kept for a target: what was hard to find, and what once broke it.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let files = std::fs::read_dir(&directory)
        .expect("a corpus")
        .map(|file| std::fs::read(file.expect("a file").path()).expect("readable"));
    let inputs: Vec<Vec<u8>> = files.collect();
    assert!(!inputs.is_empty(), "no corpus in {}", directory.display());
    inputs
}

/// Bytes of any kind; and what is kept, damaged.
fn inputs(corpus: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let noise = vec(any::<u8>(), 0..200);
    let damage = (any::<prop::sample::Index>(), any::<u8>());
    let damaged = (prop::sample::select(corpus), vec(damage, 1..4), any::<prop::sample::Index>());
    let damaged = damaged.prop_map(|(mut input, damage, end)| {
        for (place, byte) in damage {
            if !input.is_empty() {
                let place = place.index(input.len());
                input[place] = byte;
            }
        }
        // Half of them are cut off besides.
        let length = input.len() + 1;
        if end.index(2) == 0 {
            input.truncate(end.index(length));
        }
        input
    });
    prop_oneof![1 => noise, 3 => damaged]
}

#[test]
fn no_input_breaks_a_target() {
    for (name, target) in targets::TARGETS {
        let corpus = corpus(name);
        for input in &corpus {
            target(input);
        }
        let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let run = TestRunner::new_with_rng(config, rng).run(&inputs(corpus), |input| {
            target(&input);
            Ok(())
        });
        assert_eq!(run, Ok(()), "{name}");
    }
}
