//! `make demo`: the whole of Lockstep on this machine, every claim checked.
//!
//! Exit code 0 if every claim holds, 1 if one does not. Everything lives in one temporary folder
//! and ends with this program. With `KEEP=1` it stays up until Ctrl-C.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use acceptance::process::in_folder;
use acceptance::wait::eventually;
use acceptance::{At as _, Failure, Outcome};
use tokio::signal::unix::{SignalKind, signal};

mod acts;
mod keep;
mod show;
mod stage;
mod undo;

use show::Show;
use stage::Stage;

#[tokio::main]
async fn main() -> ExitCode {
    let mut show = Show::new();
    match whole(&mut show).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            show.failed(&failure);
            ExitCode::FAILURE
        }
    }
}

async fn whole(show: &mut Show) -> Outcome {
    let began = Instant::now();
    let root = tempfile::Builder::new().prefix("lockstep-demo-").tempdir().at("a folder")?;
    // Set once, before anything asks for it.
    let overridden = tempfile::env::override_temp_dir(root.path());
    overridden.map_err(|old| Failure::new(format!("folders are made in {}", old.display())))?;
    let stage = tokio::select! {
        played = acts::perform(show) => played?,
        () = interrupted() => return Err(Failure::new("interrupted")),
    };
    let took = began.elapsed();
    if std::env::var("KEEP").is_ok_and(|keep| !keep.is_empty() && keep != "0") {
        keep::explain(show, &stage)?;
        interrupted().await;
    }
    end(show, stage, root.path()).await?;
    show.done(took);
    Ok(())
}

async fn end(show: &mut Show, stage: Stage, root: &Path) -> Outcome {
    drop(stage);
    eventually(Duration::from_secs(10), "everything has ended", async || {
        let left = in_folder(root);
        if left.is_empty() { Ok(()) } else { Err(Failure::new(format!("{left:?}"))) }
    })
    .await?;
    show.holds("everything that was started has ended");
    Ok(())
}

/// Returns at Ctrl-C, and when the terminal or somebody else wants us to end.
async fn interrupted() {
    let signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let Ok(mut signals) = signals.map(signal).into_iter().collect::<Result<Vec<_>, _>>() else {
        return std::future::pending().await;
    };
    let [interrupt, terminate, hangup] = &mut signals[..] else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}
