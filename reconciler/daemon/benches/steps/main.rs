//! `make bench ID=steps`: durable steps a second with 64 running promotions, beside engines that also
//! promise to go on where they were.
//!
//! Ours is the real `lockstepd` over a database of 64 promotions. All of them wait for one instant,
//! and have from there to carry out steps that do nothing: for each an intent and an outcome, each
//! of them synchronised to the disk before anything goes on. It is killed at the end, and what is
//! counted is what its database then says. The peers run 64 workflows of such steps, with one durable
//! row each; they are programs of their own in `benches/peers`. All take turns.
//!
//! ```text
//! steps [ROUNDS [PEERS]]     rounds of each, 3 if not said; where the peers are installed
//! ```
#![expect(clippy::print_stdout, reason = "a bench prints its table")]
#![expect(clippy::unwrap_used, reason = "a bench ends with its first failure")]

#[path = "../kit/mod.rs"]
mod kit;
mod ours;
mod peers;

use std::path::PathBuf;

use peers::Peer;

const ROUNDS: usize = 3;

/// What one run came to.
struct Figures {
    name: String,
    steps: usize,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    peak_mb: f64,
    note: String,
}

#[tokio::main]
async fn main() {
    // The first is what cargo says to benchmarks.
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let rounds = arguments.first().map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let peers: Vec<Peer> =
        arguments.get(1).map(|dir| Peer::all(&PathBuf::from(dir))).unwrap_or_default();
    let scratch = tempfile::tempdir().unwrap();
    println!("{}", kit::machine::calibration(scratch.path()));
    println!(
        "{:<22} {:>6} {:>9} {:>8} {:>8} {:>8}",
        "", "steps", "steps/s", "p50 ms", "p99 ms", "RSS MB"
    );
    let mut ours = Vec::new();
    let mut theirs: Vec<Vec<Figures>> = peers.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        let measured = ours::measure().await;
        tell(&measured);
        ours.push(measured);
        for (peer, runs) in peers.iter().zip(&mut theirs) {
            match peer.measure() {
                Ok(measured) => {
                    tell(&measured);
                    runs.push(measured);
                }
                Err(why) => println!("{:<22} not measured: {why}", peer.name()),
            }
        }
    }
    println!("{}", kit::machine::calibration(scratch.path()));
    println!("\nmedian of {rounds}");
    let mine = median(&ours);
    println!("{:<22} {mine:>9.0} steps/s", "lockstepd");
    for (peer, runs) in peers.iter().zip(&theirs).filter(|(_, runs)| !runs.is_empty()) {
        let other = median(runs);
        println!(
            "{:<22} {other:>9.0} steps/s: lockstepd does {:.1} times as many",
            peer.name(),
            mine / other
        );
    }
}

fn tell(figures: &Figures) {
    let Figures { name, steps, per_second, p50_ms, p99_ms, peak_mb, note } = figures;
    println!(
        "{name:<22} {steps:>6} {per_second:>9.0} {p50_ms:>8.1} {p99_ms:>8.1} {peak_mb:>8.0} {note}"
    );
}

fn median(runs: &[Figures]) -> f64 {
    let mut rates: Vec<f64> = runs.iter().map(|run| run.per_second).collect();
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
