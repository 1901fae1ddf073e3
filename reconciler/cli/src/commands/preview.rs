//! `lockstep preview`: what the changes of a plan do together to live freight, and would have done.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;
use reconciler_api::v1::{EffectKind, Preview, PreviewSet};
use serde::Serialize;

use crate::failure::Failure;
use crate::render::preview;
use crate::session::{Session, read_text};

mod plan;

use plan::{Planned, changes_of_plan};

/// Arguments of `lockstep preview`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// What `terraform show -json PLAN` or `tofu show -json PLAN` writes; - for stdin
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// How many past promotions are judged by changed policies, 0 for none
    #[arg(long, value_name = "COUNT", default_value_t = 200,
        value_parser = clap::value_parser!(u32).range(0..=1000))]
    replay: u32,
}

/// What was judged in one project, and what the daemon says.
#[derive(Serialize)]
pub(crate) struct Judged {
    /// The project.
    pub(crate) project: String,
    /// The addresses of the changes, in the order in which the answer counts them.
    pub(crate) changes: Vec<String>,
    /// What of the plan is not judged, and why.
    pub(crate) left_out: Vec<String>,
    /// What the daemon says.
    pub(crate) preview: Preview,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    let unreadable = |why: String| Failure::PlanFile { path: arguments.file.clone(), why };
    let text = read_text(&arguments.file).map_err(|error| unreadable(error.to_string()))?;
    let plan = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
    let planned = changes_of_plan(&plan).map_err(unreadable)?;
    let mut judged = Vec::new();
    for (project, planned) in by_project(planned, session)? {
        let addresses = planned.changes.iter().map(|(address, _)| address.clone()).collect();
        let changes = planned.changes.into_iter().map(|(_, change)| change).collect();
        let set = PreviewSet { changes, replay: Some(arguments.replay) };
        let preview = session.client.preview_set(&project, &set).await?;
        let left_out = planned.left_out;
        judged.push(Judged { project, changes: addresses, left_out, preview });
    }
    session.out.answer(&judged, |judged| preview::text(judged))?;
    verdict(&judged)
}

/// What is planned without a project is planned for that of the command line.
fn by_project(
    planned: BTreeMap<Option<String>, Planned>,
    session: &Session,
) -> Result<BTreeMap<String, Planned>, Failure> {
    let mut named: BTreeMap<String, Planned> = BTreeMap::new();
    for (project, planned) in planned {
        let project = match project {
            Some(project) => project,
            None => session.project()?,
        };
        let there = named.entry(project).or_default();
        // What is in no project may stand in both.
        let is_new = |change: &(String, _)| !there.changes.contains(change);
        let changes: Vec<_> = planned.changes.into_iter().filter(is_new).collect();
        there.changes.extend(changes);
        let left_out = planned.left_out.into_iter().filter(|why| !there.left_out.contains(why));
        let left_out: Vec<_> = left_out.collect();
        there.left_out.extend(left_out);
    }
    Ok(named)
}

/// Programs hear by the exit code of what cannot stand, of what is blocked, and of what nobody can
/// judge yet: that is no consent.
fn verdict(judged: &[Judged]) -> Result<(), Failure> {
    let problems: usize = judged.iter().map(|it| it.preview.problems.len()).sum();
    let left_out: usize = judged.iter().map(|it| it.left_out.len()).sum();
    // What refers to something that was left out looks as if it referred to nothing.
    if problems > 0 && left_out == 0 {
        return Err(Failure::CannotStand { problems });
    }
    let blocks = |kind: EffectKind| match kind {
        EffectKind::BecomesBlocked
        | EffectKind::GateBlocks
        | EffectKind::NeedsApprovalAgain
        | EffectKind::Expires
        | EffectKind::Unreachable => true,
        EffectKind::WouldPromote
        | EffectKind::BecomesPromotable
        | EffectKind::GatePasses
        | EffectKind::Supersedes => false,
    };
    let effects = judged.iter().flat_map(|it| &it.preview.effects);
    let blocking: BTreeSet<_> = effects.filter(|effect| blocks(effect.effect)).collect();
    let past: u32 = judged.iter().filter_map(|it| Some(it.preview.replay.as_ref()?.blocked)).sum();
    if !blocking.is_empty() || past > 0 {
        return Err(Failure::Blocks { now: blocking.len(), past });
    }
    let replays = judged.iter().filter_map(|it| it.preview.replay.as_ref());
    let unknown: u32 = replays.map(|replay| replay.unknown).sum();
    if left_out > 0 || unknown > 0 {
        return Err(Failure::Unjudged { left_out, unknown });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judged(left_out: &[&str], unknown: u32) -> Judged {
        let preview = json!({
            "as_of": "1", "known": true, "effects": [], "warnings": [], "problems": [],
            "replay": {
                "judged": unknown, "passed": 0, "blocked": 0, "unknown": unknown,
                "complete": true, "witnesses": [],
            },
        });
        Judged {
            project: "shop".to_owned(),
            changes: Vec::new(),
            left_out: left_out.iter().map(|&address| address.to_owned()).collect(),
            preview: serde_json::from_value(preview).expect("a preview"),
        }
    }

    #[test]
    fn what_nobody_can_judge_is_no_consent() {
        assert!(verdict(&[judged(&[], 0)]).is_ok());
        for (left_out, unknown) in [(&["lockstep_stage.dev"][..], 0), (&[][..], 2)] {
            let told = verdict(&[judged(left_out, unknown)]);
            assert!(matches!(told, Err(Failure::Unjudged { .. })), "{told:?}");
        }
    }
}
