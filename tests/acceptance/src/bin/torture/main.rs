//! `make torture`: kills lockstepd at random moments, and counts what happened twice or not at all.
//!
//! Releases are promoted through real git and a real infra tool while the daemon is killed with
//! `kill -9` and started again. Each promotion must leave exactly one commit, and the infra module
//! writes one line to a file outside whenever it makes a release: a second line, or none, is seen.
//!
//! ```text
//! torture KILLS [SEED]     exit code 0 if nothing happened twice and nothing was lost
//! ```

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use acceptance::{At as _, Failure, Outcome};

mod audit;
mod run;

use audit::Tally;

struct Options {
    kills: u32,
    seed: u64,
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
    let Options { kills, seed } = options()?;
    let again = format!("make torture N={kills} SEED={seed}");
    say(&format!("{kills} kills, seed {seed}; the same again: {again}"));
    let began = Instant::now();
    let tally = run::torture(kills, seed).await?;
    say(&report(&tally, began.elapsed()));
    Ok(tally.is_clean())
}

fn options() -> Outcome<Options> {
    let mut arguments = std::env::args().skip(1);
    let usage = || Failure::new("usage: torture KILLS [SEED]");
    let kills = arguments.next().ok_or_else(usage)?;
    let kills = kills.parse().at(format_args!("KILLS is no number: {kills:?}"))?;
    let seed = match arguments.next() {
        Some(seed) => seed.parse().at(format_args!("SEED is no number: {seed:?}"))?,
        None => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).at("the clock")?;
            u64::from(now.subsec_nanos())
        }
    };
    if arguments.next().is_some() {
        return Err(usage());
    }
    Ok(Options { kills, seed })
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
