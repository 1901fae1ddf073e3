//! Giving back what an ended promotion does not need any more.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use reconciler_domain::id::{ProjectName, PromotionId};

use crate::Effects;
use crate::infra::run::{self, RunStatus};
use crate::steps::PLAN_OF_RUN;

/// How long the log of an apply is kept for people.
const RUNS_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

pub(crate) async fn clean(
    effects: &Effects,
    project: &ProjectName,
    promotion: &PromotionId,
    now: Timestamp,
) -> Result<(), String> {
    let layout = effects.layout();
    let ended = [layout.work(project, promotion), layout.plans(project, promotion)];
    let runs = layout.runs(project);
    crate::blocking(move || {
        for dir in ended {
            remove(&dir)?;
        }
        for dir in outdated(&runs, now).map_err(|error| describe("look at", &runs, &error))? {
            remove(&dir)?;
        }
        Ok(())
    })
    .await
}

/// Runs that ended, or were cut off, longer ago than they are kept.
fn outdated(runs: &Path, now: Timestamp) -> std::io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(runs) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut old = Vec::new();
    for entry in entries {
        let entry = entry?;
        let age = SystemTime::from(now).duration_since(entry.metadata()?.modified()?);
        let status = run::attach(&entry.path());
        let goes_on = matches!(status, Ok(RunStatus::Running { .. }) | Err(_));
        if matches!(status, Ok(RunStatus::Exited { .. } | RunStatus::Dead { .. })) {
            // Whoever came for its end was killed before this.
            gone(std::fs::remove_file(entry.path().join(PLAN_OF_RUN)))?;
        }
        if age.is_ok_and(|age| age > RUNS_KEPT) && !goes_on {
            old.push(entry.path());
        }
    }
    Ok(old)
}

fn gone(removed: std::io::Result<()>) -> std::io::Result<()> {
    match removed {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn remove(dir: &Path) -> Result<(), String> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(describe("remove", dir, &error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn describe(action: &str, dir: &Path, error: &std::io::Error) -> String {
    format!("cannot {action} {}: {error}", dir.display())
}
