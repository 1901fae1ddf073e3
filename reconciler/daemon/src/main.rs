//! `lockstepd`: arguments, logging, signals.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use reconciler_daemon::config::{Config, Options};
use reconciler_daemon::crash::Crash;
use reconciler_daemon::{Rotated, Service, StartError, panics};
use reconciler_effects::infra::shim;
use reconciler_effects::sandbox;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The reconciler: discovers artifacts, bundles them as freight, promotes freight through stages.
#[derive(Parser)]
#[command(name = "lockstepd", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run until SIGTERM or SIGINT.
    Serve(Options),
    /// Seal the secrets of all projects, the versions of states and the stored plans, under a new key. No daemon may run meanwhile.
    RotateKey(Options),
    /// Have what people agree to signed by a new key, from the next start on.
    RotateSigningKey(Options),
    /// Walk the whole ledger and say whether any event was changed, removed or inserted. No daemon may run meanwhile.
    VerifyLedger(Options),
}

/// Bytes of each thread's stack. Calls are deep futures inside of each other; what is not used is never touched.
const STACK_SIZE: usize = 8 << 20;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    match arguments.nth(1) {
        Some(first) if first == shim::ARGUMENT => return shim::shim_main(arguments),
        Some(first) if first == sandbox::ARGUMENT => return sandbox::sandbox_main(arguments),
        Some(_) | None => {}
    }
    let Arguments { command } = Arguments::parse();
    let filter =
        EnvFilter::try_from_env("LOCKSTEPD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    panics::tell();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().thread_stack_size(STACK_SIZE).build();
    let ran = match runtime {
        Ok(runtime) => runtime.block_on(async {
            match command {
                Command::Serve(options) => serve(&options).await,
                Command::RotateKey(options) => rotate_key(&options).await,
                Command::RotateSigningKey(options) => rotate_signing_key(&options),
                Command::VerifyLedger(options) => verify_ledger(&options).await,
            }
        }),
        Err(error) => Err(format!("the runtime does not start: {error}")),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            tracing::error!("{message}");
            ExitCode::FAILURE
        }
    }
}

async fn rotate_key(options: &Options) -> Result<(), String> {
    let config = Config::load(options).map_err(|error| error.to_string())?;
    let rotated = reconciler_daemon::rotate_key(&config).await;
    let Rotated { credentials, versions, plans } = rotated.map_err(|error| error.to_string())?;
    tracing::info!(credentials, versions, plans, "sealed under a new key; back the key file up");
    Ok(())
}

fn rotate_signing_key(options: &Options) -> Result<(), String> {
    let config = Config::load(options).map_err(|error| error.to_string())?;
    let rotated = reconciler_daemon::rotate_signing_key(&config);
    let id = rotated.map_err(|error| error.to_string())?;
    tracing::info!(
        id,
        "signs from the next start on; back the key file up, and give `lockstep keys` out anew"
    );
    Ok(())
}

async fn verify_ledger(options: &Options) -> Result<(), String> {
    let config = Config::load(options).map_err(|error| error.to_string())?;
    let verified = reconciler_daemon::verify_ledger(&config).await;
    let head = verified.map_err(|error| error.to_string())?;
    tracing::info!(
        events = head.seq,
        hash = head.hash,
        "the ledger is whole; what was cut off its end shows by an older hash"
    );
    Ok(())
}

async fn serve(options: &Options) -> Result<(), String> {
    let config = Config::load(options).map_err(|error| error.to_string())?;
    let crash = match std::env::var("LOCKSTEP_CRASH") {
        Ok(order) => Crash::parse(&order).map_err(|error| error.to_string())?,
        Err(_) => Crash::never(),
    };
    let service =
        Service::start(config, crash).await.map_err(|error: StartError| error.to_string())?;
    tracing::info!(address = %service.address(), "lockstepd {}", env!("CARGO_PKG_VERSION"));
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    service.stop().await;
    Ok(())
}
