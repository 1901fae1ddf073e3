//! Giving back what an ended promotion does not need any more.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use reconciler_domain::id::{ProjectName, PromotionId};

use crate::Effects;
use crate::infra::run::{self, RunStatus};
use crate::layout::{plain, remove_tree};
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
    let (runs, own) = (layout.runs(project), plain(&format!("{promotion}-")));
    crate::blocking(move || {
        for dir in ended {
            remove(&dir)?;
        }
        for dir in outdated(&runs, own.as_deref(), now)
            .map_err(|error| describe("look at", &runs, &error))?
        {
            remove(&dir)?;
        }
        Ok(())
    })
    .await
}

/// Runs that ended, or were cut off, longer ago than they are kept. Removes the plans that no run needs any more,
/// those laid out for runs with names that begin so, which nobody starts now, included.
fn outdated(runs: &Path, own: Option<&str>, now: Timestamp) -> std::io::Result<Vec<PathBuf>> {
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
        let name = entry.file_name();
        let is_own = own.is_some_and(|own| name.as_encoded_bytes().starts_with(own.as_bytes()));
        let is_over = match status {
            Ok(RunStatus::Exited { .. } | RunStatus::Dead { .. }) => true,
            Ok(RunStatus::NotStarted) => is_own,
            Ok(RunStatus::Running { .. }) | Err(_) => false,
        };
        if is_over {
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
    remove_tree(dir).map_err(|error| describe("remove", dir, &error))
}

fn describe(action: &str, dir: &Path, error: &std::io::Error) -> String {
    format!("cannot {action} {}: {error}", dir.display())
}
