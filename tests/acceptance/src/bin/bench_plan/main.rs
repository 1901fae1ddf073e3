//! `make bench ID=plan`: what a plan of ours costs beside the same plan of the built-in
//! `terraform_data`.
//!
//! Both are measured in one run, one after the other and again: the first plan, which creates
//! everything, and the plan after the apply, which refreshes and finds nothing to do. The project and
//! a stage are there before, so that the daemon is asked what each change would do. What counts
//! is the ratio; the times are those of this machine at this minute. The client's own CPU is told beside that
//! of the provider, and the most memory that the provider had: no provider could make a plan cheaper than that.
//!
//! ```text
//! bench_plan [ROUNDS]     rounds of each plan, 5 if not said
//! ```

#![expect(clippy::print_stdout, reason = "the table is the result")]

use std::process::ExitCode;
use std::time::Duration;

use acceptance::lockstepd::Lockstepd;
use acceptance::terraform::{Tool, Workspace};
use acceptance::{At as _, Failure, Outcome};

mod case;
mod cpu;
mod memory;

use case::Case;
use cpu::Cpu;

const ROUNDS: usize = 5;

#[tokio::main]
async fn main() -> ExitCode {
    match whole().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("failed: {}", failure.to_string().chars().take(2_000).collect::<String>());
            ExitCode::FAILURE
        }
    }
}

async fn whole() -> Outcome {
    let rounds = match std::env::args().nth(1) {
        Some(rounds) => rounds.parse().at(format_args!("ROUNDS is no number: {rounds:?}"))?,
        None => ROUNDS,
    };
    if rounds == 0 {
        return Err(Failure::new("ROUNDS is at least 1"));
    }
    let tool = Tool::preferred()?;
    println!("{}, the median of {rounds}\n", tool.version().await?);
    println!(
        "| resources | plan | lockstep ms | terraform_data ms | more ms | ratio | client's own CPU ms | \
         of terraform_data | ratio | provider's CPU ms | provider's MB at most | state KiB each |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for case in case::all() {
        measure(&tool, &case, rounds).await?;
    }
    Ok(())
}

/// The two plans of one case, with a daemon of its own.
async fn measure(tool: &Tool, case: &Case, rounds: usize) -> Outcome {
    let lockstepd = Lockstepd::start().await?;
    let ours = Workspace::new(tool, &lockstepd)?;
    ours.write("main.tf", &case.live())?;
    ours.apply().await?;
    ours.write("main.tf", &case.ours())?;
    let built_in = Workspace::new(tool, &lockstepd)?;
    built_in.write("main.tf", &case.built_in())?;
    let first = plans(tool, &ours, &built_in, rounds).await?;
    tell(case, "first", &first, "");
    ours.apply().await?;
    built_in.apply().await?;
    ours.unchanged().await?;
    let again = plans(tool, &ours, &built_in, rounds).await?;
    let state = ours.read("terraform.tfstate")?.len();
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let each = state as f64 / case.count as f64 / 1024.0;
    tell(case, "nothing to do", &again, &format!("{each:.1}"));
    Ok(())
}

/// The medians of a plan of ours and of the built-in's, the CPU of one of each, and the memory of one
/// of ours.
struct Pair {
    ours: Duration,
    built_in: Duration,
    cpu: Cpu,
    built_in_cpu: Cpu,
    memory: f64,
}

/// Plans here and there in turn, so that what else the machine does falls on both.
async fn plans(
    tool: &Tool,
    ours: &Workspace,
    built_in: &Workspace,
    rounds: usize,
) -> Outcome<Pair> {
    let mut taken = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        taken.0.push(ours.run(&["plan"]).await?.ok()?.took);
        taken.1.push(built_in.run(&["plan"]).await?.ok()?.took);
    }
    let planned = async { ours.run(&["plan"]).await?.ok() };
    let (_, memory) = memory::at_most("terraform-provider-lockstep", planned).await?;
    Ok(Pair {
        memory,
        ours: median(taken.0),
        built_in: median(taken.1),
        cpu: cpu::of_a_plan(tool, ours)?,
        built_in_cpu: cpu::of_a_plan(tool, built_in)?,
    })
}

fn median(mut taken: Vec<Duration>) -> Duration {
    taken.sort();
    taken[taken.len() / 2]
}

fn tell(case: &Case, plan: &str, pair: &Pair, state: &str) {
    let Pair { ours, built_in, cpu, built_in_cpu, memory } = pair;
    let ms = |time: &Duration| time.as_secs_f64() * 1e3;
    println!(
        "| {} | {plan} | {:.0} | {:.0} | {:.0} | {:.2} | {:.0} | {:.0} | {:.2} | {:.0} | {memory:.1} | {state} |",
        case.name,
        ms(ours),
        ms(built_in),
        ms(ours) - ms(built_in),
        ms(ours) / ms(built_in),
        ms(&cpu.client),
        ms(&built_in_cpu.client),
        ms(&cpu.client) / ms(&built_in_cpu.client),
        ms(&cpu.provider),
    );
}
