//! A look at an infra state: what differs from what the last apply left.
//!
//! It plans with `-refresh-only`, from the files, values, secrets and targets of that apply, in the same sandbox, and
//! takes no lock: neither the backend's nor that of an embedded state, of which it works on a copy. It makes nothing,
//! not even a workspace, and leaves nothing but its directory, which goes with its [`LookDir`].

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use reconciler_domain::drift::{self, Basis, Found};
use reconciler_domain::id::{ProjectName, StageName};
use reconciler_domain::infra;

use super::workspace::Workspace;
use super::{Halt, RunContext, Workdir, infra as modules, states};
use crate::fault;
use crate::infra::{PlanMode, PlanOptions, State};
use crate::layout::{STATE_FILE, make_private_dir, remove_tree};
use crate::scoped::Scoped;
use crate::states::{DEFAULT_WORKSPACE, StateName};

/// What the plan of a look is called, in the tool's private directory.
const PLAN: &str = "look.tfplan";
/// How often it is tried to remove a directory whose processes are just being ended.
const REMOVALS: u32 = 20;
/// Time between two of those.
const REMOVE_AGAIN: Duration = Duration::from_millis(25);

/// The directory of one look, removed with this. Whoever looks keeps it until what was found is recorded.
#[derive(Debug)]
pub struct LookDir {
    path: PathBuf,
}

impl LookDir {
    /// Makes it, below the directory of the stage's looks: one of its own, whatever another look has left there.
    pub(crate) fn make(of_stage: &Path) -> std::io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let process = std::process::id();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = of_stage.join(format!("{process}-{number}"));
        remove_tree(&path)?;
        make_private_dir(&path)?;
        Ok(Self { path })
    }
}

impl Drop for LookDir {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.path);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || remove(&path))),
            Err(_) => remove(&path),
        }
    }
}

/// A look that is broken off has processes which are only being ended; the daemon's next start removes what
/// outlasts them.
fn remove(path: &Path) {
    for _ in 0..REMOVALS {
        if remove_tree(path).is_ok() {
            return;
        }
        std::thread::sleep(REMOVE_AGAIN);
    }
    tracing::warn!(dir = %path.display(), "the directory of a look stays until the next start");
}

/// Looks at one state. Where that fails it is unknown, with the reason.
pub(crate) async fn look(
    effects: &Scoped,
    (project, stage): (&ProjectName, &StageName),
    dir: &LookDir,
    basis: &Basis,
    now: Timestamp,
) -> Found {
    let cx = RunContext {
        project: project.clone(),
        stage: stage.clone(),
        promotion: basis.promotion.clone(),
        workdir: Workdir::Main,
        now,
    };
    let why = match fault::held(carried_out(effects, &cx, &dir.path, basis)).await {
        Ok(Ok(found)) => return found,
        Ok(Err(Halt::Failed { message, .. } | Halt::Uncertain { message })) => message,
        Ok(Err(Halt::Interrupted | Halt::NotYet { .. })) => "it was broken off".to_owned(),
        Err(said) => fault::told(&said),
    };
    Found::unknown(effects.clean(&why))
}

async fn carried_out(
    effects: &Scoped,
    cx: &RunContext,
    place: &Path,
    basis: &Basis,
) -> Result<Found, Halt> {
    let call = &basis.plan;
    let workspace = Workspace::at(effects, cx, &basis.rebuild, place.to_owned());
    let dir = workspace.take().await?;
    let mut module = modules::module(effects, cx, &workspace, &dir, call).await?;
    module.only_looks = true;
    if let State::Embedded(state) = &mut module.state {
        match copied(effects, &states::name(cx, call)?, &place.join("state")).await? {
            Some(copy) => *state = copy,
            None => return Ok(drift::lost(&basis.left)),
        }
    }
    modules::init(effects, &module).await?;
    let options = PlanOptions {
        mode: PlanMode::RefreshOnly,
        variables: call.vars.clone(),
        var_files: modules::var_files(&dir, call)?,
        targets: call.options.targets.clone(),
        ..PlanOptions::new(module.scratch.join(PLAN))
    };
    let made =
        module.plan(&options, effects.cancel()).await.map_err(|error| modules::halt(&error))?;
    let unread = |error| Halt::never(format_args!("look at {}: {error}", call.dir));
    let plan = infra::Plan::from_value(&modules::clean_values(effects, &made)).map_err(unread)?;
    Ok(drift::found(&plan, &basis.left))
}

/// A copy of an embedded state, for nobody else; absent: somebody removed it.
async fn copied(effects: &Scoped, name: &StateName, place: &Path) -> Result<Option<PathBuf>, Halt> {
    let (wanted, place) = (name.clone(), place.to_owned());
    effects
        .states()
        .work(move |states| {
            let found = states.present(&wanted).map_err(|error| Halt::of(&error, true))?;
            let Some(bytes) = found else { return Ok(None) };
            let copy = place.join(STATE_FILE);
            let file = if wanted.workspace() == DEFAULT_WORKSPACE {
                copy.clone()
            } else {
                place.join(format!("{STATE_FILE}.d")).join(wanted.workspace()).join(STATE_FILE)
            };
            let written = write(&file, &bytes);
            written.map_err(|error| Halt::later(format_args!("cannot copy the state: {error}")))?;
            Ok(Some(copy))
        })
        .await
}

fn write(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(dir) = file.parent() {
        make_private_dir(dir)?;
    }
    crate::infra::write_file(file, bytes)
}
