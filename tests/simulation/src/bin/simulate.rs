//! Runs seeds, or one long run, and says what came of it. See `make simulate`.

#![expect(clippy::print_stdout, reason = "it speaks to whoever started it")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use simulation::{Bug, Failure, Report, Scenario, run};

/// A decision makes and drops thousands of small values: with the system's allocator that is a third of a run.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Simulates promotions while everything fails.
#[derive(Debug, Parser)]
struct Arguments {
    /// Replays this seed and tells what happens.
    #[arg(long)]
    seed: Option<u64>,
    /// Runs this many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Runs the hundred stages of the benchmark for this many days instead.
    #[arg(long)]
    days: Option<u64>,
    /// Puts a deliberate bug in.
    #[arg(long)]
    bug: Option<Bug>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let began = Instant::now();
    let outcome = match (arguments.days, arguments.seed) {
        (Some(days), seed) => {
            run(&Scenario::of_days(seed.unwrap_or(0), days), arguments.bug, false).map(|r| vec![r])
        }
        (None, Some(seed)) => run(&Scenario::of(seed), arguments.bug, true).map(|r| vec![r]),
        (None, None) => seeds(&arguments),
    };
    match outcome {
        Ok(reports) => {
            tell(&reports, began.elapsed());
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn seeds(arguments: &Arguments) -> Result<Vec<Report>, Failure> {
    let seeds = arguments.from..arguments.from + arguments.seeds;
    seeds.map(|seed| run(&Scenario::of(seed), arguments.bug, false)).collect()
}

fn tell(reports: &[Report], took: Duration) {
    let simulated: Duration = reports.iter().map(|report| report.simulated).sum();
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let (promotions, decisions) = (sum(|r| r.tally.promotions), sum(|r| r.tally.decisions));
    println!("runs       {}", reports.len());
    println!(
        "simulated  {:.1} days in {:.1} s",
        simulated.as_secs_f64() / 86400.0,
        took.as_secs_f64()
    );
    println!("speed      {:.0} times real time", simulated.as_secs_f64() / took.as_secs_f64());
    println!("promotions {promotions}");
    println!(
        "decisions  {decisions} ({:.1} µs each)",
        took.as_secs_f64() * 1e6 / decisions.max(1) as f64
    );
    println!("changes    {}", sum(|r| r.tally.changes));
    println!("effects    {}", sum(|r| r.tally.effects));
    println!("events     {}", sum(|r| r.events));
    let mut endings = std::collections::BTreeMap::new();
    for (ending, count) in reports.iter().flat_map(|report| &report.tally.endings) {
        *endings.entry(ending.label()).or_insert(0) += count;
    }
    for (ending, count) in endings {
        println!("  {ending:<12} {count}");
    }
}
