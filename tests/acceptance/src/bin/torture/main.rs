//! `make torture`: kills lockstepd at random moments, and counts what happened twice or not at all.
//!
//! Releases are promoted through real git, a real registry and a real infra tool while the daemon is
//! killed with `kill -9` and started again. Each promotion of the shop must leave exactly one commit, and
//! the infra module writes one line to a file outside whenever it makes a release: a second line, or none,
//! is seen. Each promotion of the stage `calls` must leave one order at a stand-in that counts them, requests
//! of one key at another path, one manifest put under its tag, by the registry's own log, and a git tag.
//!
//! Most of the time a run waits for something, so several can stand side by side, each a daemon with servers of
//! its own: the *lanes*, among which the kills are divided.
//!
//! ```text
//! torture KILLS [SEED [LANES]]     exit code 0 if nothing happened twice and nothing was lost
//! ```

use std::io::Write as _;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use acceptance::{At as _, Failure, Outcome};
use futures::future::join_all;

mod audit;
mod orders;
mod run;

use audit::Tally;

struct Options {
    kills: u32,
    seed: u64,
    lanes: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    match whole().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            say(&format!("failed: {failure}"));
            ExitCode::FAILURE
        }
    }
}

async fn whole() -> Outcome<bool> {
    let Options { kills, seed, lanes } = options()?;
    let again = format!("make torture N={kills} SEED={seed} LANES={lanes}");
    say(&format!("{kills} kills, seed {seed}; the same again: {again}"));
    let began = Instant::now();
    let runs = (0..lanes).map(|lane| {
        let share = kills / lanes + u32::from(lane < kills % lanes);
        run::torture(lane, share, seed.wrapping_add(lane.into()))
    });
    let mut tally = Tally::default();
    let mut failed = None;
    for (lane, ended) in join_all(runs).await.into_iter().enumerate() {
        match ended {
            Ok(of_lane) => tally.add(of_lane),
            Err(failure) => failed = Some(Failure::new(format!("lane {lane}: {failure}"))),
        }
    }
    say(&report(&tally, began.elapsed()));
    match failed {
        Some(failure) => Err(failure),
        None => Ok(tally.is_clean()),
    }
}

fn options() -> Outcome<Options> {
    let usage = || Failure::new("usage: torture KILLS [SEED [LANES]]");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (kills, seed, lanes) = match arguments.as_slice() {
        [kills] => (kills, None, None),
        [kills, seed] => (kills, Some(seed), None),
        [kills, seed, lanes] => (kills, Some(seed), Some(lanes)),
        _ => return Err(usage()),
    };
    let kills = kills.parse().at(format_args!("KILLS is no number: {kills:?}"))?;
    let seed = match seed {
        Some(seed) => seed.parse().at(format_args!("SEED is no number: {seed:?}"))?,
        None => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).at("the clock")?;
            u64::from(now.subsec_nanos())
        }
    };
    let lanes: NonZeroU32 = match lanes {
        Some(lanes) => lanes.parse().at(format_args!("LANES is no number above 0: {lanes:?}"))?,
        None => NonZeroU32::MIN,
    };
    Ok(Options { kills, seed, lanes: lanes.get() })
}

fn report(tally: &Tally, took: Duration) -> String {
    let mut lines = vec![
        String::new(),
        format!("{:<11} {:>5}, {} of them while a promotion ran", "kills", tally.kills, tally.busy),
        format!("{:<11} {:>5}", "releases", tally.releases),
        format!("{:<11} {:>5}", "promotions", tally.promotions),
        format!("{:<11} {:>5}", "duplicates", tally.duplicates.len()),
        format!("{:<11} {:>5}", "lost", tally.lost.len()),
        format!("{:<11} {:>5.0} s", "time", took.as_secs_f64()),
    ];
    lines.extend(tally.duplicates.iter().map(|what| format!("duplicate: {what}")));
    lines.extend(tally.lost.iter().map(|what| format!("lost: {what}")));
    lines.join("\n")
}

/// Whoever closed the pipe has seen enough; the run goes on.
fn say(text: &str) {
    drop(writeln!(std::io::stdout(), "{text}"));
}
