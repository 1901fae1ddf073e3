//! The other process of the tests: the infra shim, a sandbox, and a starter of applies.

mod call;
mod contain;
#[path = "../support/sealing.rs"]
mod sealing;

use std::process::ExitCode;

use reconciler_effects::infra::run::ApplySpec;
use reconciler_effects::infra::shim::{self, Shim, shim_main};
use reconciler_effects::infra::{Module, State, Tool, ToolPreference};
use reconciler_effects::sandbox;
use serde_json::Map;
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(first) if first == shim::ARGUMENT => shim_main(args),
        Some(first) if first == sandbox::ARGUMENT => sandbox::sandbox_main(args),
        Some(first) if first == "start-apply" => {
            start_apply(args.filter_map(|arg| arg.into_string().ok()).collect())
        }
        Some(first) if first == "run-call" => {
            let order = args.next().and_then(|order| order.into_string().ok());
            order
                .and_then(|order| call::run(&order))
                .map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
        }
        Some(first) if first == "contain" => {
            let order = args.next().and_then(|order| order.into_string().ok());
            order
                .and_then(|order| contain::run(&order))
                .map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
        }
        _ => ExitCode::from(2),
    }
}

/// Starts an apply as a daemon would, and then only waits to be killed.
fn start_apply(args: Vec<String>) -> ExitCode {
    let Ok([dir, scratch, state, plan, digest, run_dir]) = <[String; 6]>::try_from(args) else {
        return ExitCode::from(2);
    };
    let Ok(runtime) = tokio::runtime::Runtime::new() else { return ExitCode::FAILURE };
    let started = runtime.block_on(async {
        let tool = Tool::detect(&ToolPreference::Auto, &CancellationToken::new()).await.ok()?;
        let mut module = Module::new(tool, dir, scratch);
        module.state = State::Embedded(state.into());
        let spec = ApplySpec {
            plan: plan.into(),
            digest,
            run_dir: run_dir.into(),
            ephemeral: Map::new(),
            shim: Shim::current(),
        };
        module.start_apply(&spec).await.ok()
    });
    if started.is_none() {
        return ExitCode::FAILURE;
    }
    loop {
        std::thread::park();
    }
}
