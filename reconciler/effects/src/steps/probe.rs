//! Whether what a change set was made against is still so.

use reconciler_domain::plan::Base;
use reconciler_domain::step::{PlanRecord, TagMove};

use super::workspace::{Workspace, rel_path};
use super::{Halt, RunContext, git, infra, oci};
use crate::git::is_unborn;
use crate::infra::{State, StateId};
use crate::scoped::Scoped;

/// One message for each base that moved.
///
/// # Errors
/// A base could not be looked at, so nothing is known.
pub(crate) async fn probe(
    effects: &Scoped,
    cx: &RunContext,
    bases: &[Base],
) -> Result<Vec<String>, String> {
    let mut moved = Vec::new();
    for base in bases {
        let found = match base {
            Base::Branch { repo, branch, commit } => {
                branch_moved(effects, repo, branch, commit).await
            }
            Base::State { plan, workdir } => {
                let cx = RunContext { workdir: *workdir, ..cx.clone() };
                state_moved(effects, &cx, plan).await
            }
            Base::Tag(tag) => tag_moved(effects, tag).await,
        };
        match found {
            Ok(message) => moved.extend(message.map(|message| effects.clean(&message))),
            Err(Halt::Failed { message, .. } | Halt::Uncertain { message }) => {
                return Err(effects.clean(&message));
            }
            Err(Halt::Interrupted | Halt::NotYet { .. }) => {
                return Err("it was broken off".to_owned());
            }
        }
    }
    Ok(moved)
}

async fn branch_moved(
    effects: &Scoped,
    repo: &str,
    branch: &str,
    commit: &str,
) -> Result<Option<String>, Halt> {
    let url = git::repo(repo)?;
    let tip = effects.git().remote_tip(&url, branch).await;
    Ok(match tip.map_err(|error| git::halt(&error))? {
        Some(tip) if tip.as_str() == commit => None,
        Some(tip) if is_unborn(commit) => {
            Some(format!("branch {branch:?} of {url} was not there, and is at {tip} now"))
        }
        Some(tip) => Some(format!("branch {branch:?} of {url} moved from {commit} to {tip}")),
        // It was not there before.
        None if is_unborn(commit) => None,
        None => Some(format!("branch {branch:?} of {url} is gone; it was at {commit}")),
    })
}

async fn tag_moved(effects: &Scoped, base: &TagMove) -> Result<Option<String>, Halt> {
    let TagMove { repo, tag, before, .. } = base;
    let now = oci::tag_now(effects, repo, tag).await?;
    if now == *before {
        return Ok(None);
    }
    let (now, before) = (oci::shown(now.as_deref()), oci::shown(before.as_deref()));
    Ok(Some(format!("tag {tag} of {repo} is {now}; it was {before}")))
}

async fn state_moved(
    effects: &Scoped,
    cx: &RunContext,
    plan: &PlanRecord,
) -> Result<Option<String>, Halt> {
    let workspace = Workspace::open(effects, cx, &[]);
    let dir = workspace.left()?;
    let module = rel_path(&plan.call.dir)?;
    let Some(dir) = dir.filter(|dir| dir.resolve(&module).is_ok()) else {
        // Without the module nobody can ask its backend; planning again costs little.
        let name = &plan.call.dir;
        return Ok(Some(format!(
            "the checkout of module {name:?} was lost, so it is planned again"
        )));
    };
    let module = infra::module(effects, cx, &workspace, &dir, &plan.call).await?;
    // Only a state in a file of its own is read without the tool.
    if module.state == State::Declared || module.workspace.is_some() {
        workspace.unmark().await?;
        infra::init(effects, &module).await?;
    }
    let state = module.state(effects.cancel()).await.map_err(|error| infra::halt(&error))?;
    let state = state.map(|StateId { lineage, serial }| (lineage, serial));
    if state == plan.state {
        return Ok(None);
    }
    Ok(Some(format!(
        "the state of module {:?} moved from {} to {}",
        plan.call.dir,
        described(plan.state.as_ref()),
        described(state.as_ref()),
    )))
}

fn described(state: Option<&(String, u64)>) -> String {
    state.map_or_else(
        || "none".to_owned(),
        |(lineage, serial)| format!("serial {serial} of {lineage}"),
    )
}
