//! The daemon killed at every boundary of every effect: it goes on where it was, and nothing
//! happens twice.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use acceptance::process::in_folder;
use acceptance::wait::eventually;
use acceptance::{At as _, Failure, Outcome};
use axum::http::StatusCode;
use reconciler_api::client::RetryPolicy;
use reconciler_api::v1::{Phase, Promotion, StepState};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::pipeline::{
    app_steps, apply, call, clone_infra, direct, infra_steps, plan, step, undone,
};
use crate::site::{SOON, Site, ask};

/// Where the daemon is killed, as `LOCKSTEP_CRASH` names it.
pub(crate) const BOUNDARIES: [&str; 4] =
    ["before_intent", "after_intent", "after_effect", "after_outcome"];
const SIGABRT: i32 = 6;

/// An effect, or the undo of one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Push,
    Apply,
    Call,
    UndoPush,
    UndoApply,
}

impl Effect {
    /// The node of the log at which the daemon is killed.
    fn node(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Apply => "apply",
            Self::Call => "call",
            Self::UndoPush => "undo-push",
            Self::UndoApply => "undo-apply",
        }
    }

    fn is_undo(self) -> bool {
        matches!(self, Self::UndoPush | Self::UndoApply)
    }

    /// A stage whose promotions have the effect; for an undo it fails after it.
    fn steps(self, site: &Site, stage: &str) -> Vec<Value> {
        let mut steps = match self {
            Self::Push | Self::UndoPush => app_steps(site),
            Self::Apply | Self::UndoApply => infra_steps(site),
            Self::Call => vec![call("call", &site.desk.url(&format!("/{stage}")))],
        };
        if self.is_undo() {
            steps.push(step("fails", "http", &json!({ "url": site.desk.url("/teapot") })));
        }
        steps
    }

    fn ends(self) -> Phase {
        if self.is_undo() { Phase::RolledBack } else { Phase::Succeeded }
    }

    /// Makes sure that it happened, and only once.
    async fn happened_once(self, site: &Site, stage: &str, boundary: &str) -> Outcome {
        match self {
            Self::Push | Self::UndoPush => self.pushed_once(site, stage).await,
            Self::Apply | Self::UndoApply => self.applied_once(site, stage),
            Self::Call => {
                let path = format!("/{stage}");
                // Who was killed after the request cannot know that it arrived: it is sent again,
                // and the receiver can tell by its key.
                let sent = if boundary == "after_effect" { 2 } else { 1 };
                assert_eq!(site.desk.taken(&path).len(), sent);
                let keys = site.desk.keys(&path);
                assert!(keys.len() == 1 && !keys.contains(&None), "{keys:?}");
                Ok(())
            }
        }
    }

    async fn pushed_once(self, site: &Site, stage: &str) -> Outcome {
        let log = site.gitops.log("main").await?;
        let ours = format!("/{stage}.1/");
        let count = |trailer: &str| {
            let values = log.iter().filter_map(|commit| commit.trailer(trailer));
            values.filter(|value| value.contains(&ours)).count()
        };
        assert_eq!(count("Lockstep-Promotion"), 1, "{log:#?}");
        assert_eq!(count("Lockstep-Undo"), usize::from(self.is_undo()), "{log:#?}");
        let values = site.values_of(stage).await?;
        assert_eq!(values.contains("release: none"), self.is_undo(), "{values}");
        Ok(())
    }

    fn applied_once(self, site: &Site, stage: &str) -> Outcome {
        let counted = |what: &str| site.marked(what).get(stage).copied().unwrap_or_default();
        assert_eq!((counted("created"), counted("destroyed")), (1, usize::from(self.is_undo())));
        let state = site.state(stage)?.ok_or_else(|| Failure::new("there is no state"))?;
        let resources = state["resources"].as_array().map_or(0, Vec::len);
        assert_eq!(resources, if self.is_undo() { 0 } else { 2 }, "{state:#}");
        Ok(())
    }
}

/// Kills the daemon at each boundary of an effect, each time in a stage of its own.
async fn at_each_boundary(effect: Effect) -> Outcome {
    let stages = BOUNDARIES.map(|boundary| boundary.replace('_', "-"));
    let names: Vec<&str> = stages.iter().map(String::as_str).collect();
    let mut site = Site::start(&names).await?;
    site.desk.answer("/teapot", StatusCode::IM_A_TEAPOT);
    for stage in names {
        let steps = effect.steps(&site, stage);
        site.stage(stage, &json!({ "requests": direct(), "steps": steps })).await?;
    }
    site.policy("undone", &undone("*")).await?;
    site.first_freight().await?;
    for boundary in BOUNDARIES {
        let stage = boundary.replace('_', "-");
        let crash = format!("{boundary}/{}", effect.node());
        let ended = crash_at(&mut site, &stage, &crash, effect.ends()).await;
        ended.map_err(|failure| failure.with("killed", &crash))?;
        effect.happened_once(&site, &stage, boundary).await?;
    }
    Ok(())
}

/// One promotion during which the daemon is killed, and started again.
pub(crate) async fn crash_at(
    site: &mut Site,
    stage: &str,
    crash: &str,
    ends: Phase,
) -> Outcome<Promotion> {
    let freight = site.first_freight().await?;
    site.lockstepd.restart_to_crash(crash).await?;
    let client = site.client()?.with_retry(RetryPolicy::NEVER);
    eventually(SOON, "lockstepd is healthy", async || Ok(client.health().await.map(drop)?)).await?;
    // It may be killed before it has answered.
    match ask(&client, stage, &freight).await {
        Ok(_) => {}
        Err(error) if error.is_unreachable() => {}
        Err(error) => return Err(error.into()),
    }
    let status = site.lockstepd.ended(SOON).await?;
    assert_eq!(status.signal(), Some(SIGABRT), "{status}");
    site.lockstepd.restart().await?;
    site.is(&format!("{stage}.1"), ends).await
}

#[tokio::test]
async fn a_push_happens_once() -> Outcome {
    at_each_boundary(Effect::Push).await
}

#[tokio::test]
async fn an_apply_happens_once() -> Outcome {
    at_each_boundary(Effect::Apply).await
}

#[tokio::test]
async fn a_call_has_one_key() -> Outcome {
    at_each_boundary(Effect::Call).await
}

#[tokio::test]
async fn the_undo_of_a_push_happens_once() -> Outcome {
    at_each_boundary(Effect::UndoPush).await
}

#[tokio::test]
async fn the_undo_of_an_apply_happens_once() -> Outcome {
    at_each_boundary(Effect::UndoApply).await
}

#[tokio::test]
async fn a_call_that_may_have_been_sent_once_at_most_is_left_to_a_person() -> Outcome {
    let mut site = Site::start(&[]).await?;
    let config = json!({ "url": site.desk.url("/once"), "method": "POST" });
    let steps = [step("call", "http", &config)];
    site.stage("once", &json!({ "requests": direct(), "steps": steps })).await?;
    let ended = crash_at(&mut site, "once", "after_intent/call", Phase::Stuck).await?;
    let error = ended.error.unwrap_or_default();
    assert!(error.contains("marked to be sent at most once"), "{error}");
    assert_eq!(ended.steps[0].state, StepState::Uncertain);
    assert_eq!(site.desk.taken("/once"), []);
    Ok(())
}

/// A promotion whose apply has begun and waits for the file that is named last.
async fn slow_apply(site: &Site) -> Outcome<(String, std::path::PathBuf)> {
    let gate = site.mark_file("gate");
    let more = json!({ "gate": gate.display().to_string() });
    let steps = [clone_infra(site), plan(site, &more), apply()];
    site.stage("slow", &json!({ "requests": direct(), "steps": steps })).await?;
    let id = site.promote("slow", &site.first_freight().await?).await?;
    let began = site.lockstepd.eventually(SOON, "the apply has begun", async || {
        match site.marked("created").get("slow") {
            Some(_) => Ok(()),
            None => Err(Failure::new("nothing is created yet")),
        }
    });
    began.await?;
    Ok((id, gate))
}

#[tokio::test]
async fn an_apply_outlives_the_daemon() -> Outcome {
    let mut site = Site::start(&[]).await?;
    let (id, gate) = slow_apply(&site).await?;
    site.lockstepd.kill().await?;
    let left = in_folder(&site.lockstepd.data_dir());
    assert!(left.iter().any(|(_, line)| line.contains("infra-shim")), "{left:?}");
    site.lockstepd.restart().await?;
    site.is(&id, Phase::Committing).await?;
    std::fs::write(&gate, "").at("opening the gate")?;
    site.is(&id, Phase::Succeeded).await?;
    assert_eq!(site.marked("created"), BTreeMap::from([("slow".to_owned(), 1)]));
    Ok(())
}

#[tokio::test]
async fn an_apply_that_was_cut_off_is_left_to_a_person() -> Outcome {
    let mut site = Site::start(&[]).await?;
    let (id, _gate) = slow_apply(&site).await?;
    site.lockstepd.kill().await?;
    // As if the machine had stopped: the shim, the tool and what it started are gone too.
    let folder = site.lockstepd.data_dir();
    eventually(SOON, "everything is gone", async || {
        let left = in_folder(&folder);
        for pid in left.iter().filter_map(|(pid, _)| Pid::from_raw(*pid)) {
            let _gone = kill_process(pid, Signal::KILL);
        }
        if left.is_empty() { Ok(()) } else { Err(Failure::new(format!("{left:?}"))) }
    })
    .await?;
    site.lockstepd.restart().await?;
    let stuck = site.is(&id, Phase::Stuck).await?;
    let error = stuck.error.unwrap_or_default();
    assert!(error.contains("the apply was cut off"), "{error}");
    assert!(error.contains("terraform_data.database (create)"), "{error}");
    assert_eq!(site.marked("created"), BTreeMap::from([("slow".to_owned(), 1)]));
    Ok(())
}

#[tokio::test]
async fn a_daemon_that_stood_still_for_too_long_takes_nothing_for_granted() -> Outcome {
    let site = Site::start(&["dev"]).await?;
    let mut steps = vec![call("held", &site.desk.url("/held"))];
    steps.extend(app_steps(&site));
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    site.desk.hold("/held");
    let id = site.promote("dev", &site.first_freight().await?).await?;
    let sent = site.lockstepd.eventually(SOON, "the request is sent", async || {
        if site.desk.taken("/held").is_empty() { Err(Failure::new("not yet")) } else { Ok(()) }
    });
    sent.await?;
    site.lockstepd.signal(Signal::STOP)?;
    // The time is what is tried here: two thirds of a lease, after which another might have it.
    tokio::time::sleep(Duration::from_secs(21)).await;
    // The answer is there before it goes on.
    site.desk.release("/held");
    site.lockstepd.signal(Signal::CONT)?;
    site.is(&id, Phase::Succeeded).await?;
    // What it heard without a lease it did not act on: it asked again, as whoever comes next does.
    assert_eq!(site.desk.taken("/held").len(), 2);
    assert_eq!(site.desk.keys("/held").len(), 1);
    assert!(site.lockstepd.log().contains("was not renewed in time"), "{}", site.lockstepd.log());
    let pushed = site.gitops.log("main").await?;
    let ours = pushed.iter().filter(|commit| commit.trailer("Lockstep-Promotion").is_some());
    assert_eq!(ours.count(), 1, "{pushed:#?}");
    Ok(())
}

#[tokio::test]
async fn a_daemon_that_is_stopped_in_mid_promotion_goes_on() -> Outcome {
    let mut site = Site::start(&["dev"]).await?;
    let mut steps = vec![call("held", &site.desk.url("/held"))];
    steps.extend(app_steps(&site));
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    site.desk.hold("/held");
    let id = site.promote("dev", &site.first_freight().await?).await?;
    site.lockstepd
        .eventually(SOON, "the request is sent", async || {
            if site.desk.taken("/held").is_empty() { Err(Failure::new("not yet")) } else { Ok(()) }
        })
        .await?;
    site.lockstepd.stop().await?;
    site.desk.release("/held");
    site.lockstepd.restart().await?;
    site.is(&id, Phase::Succeeded).await?;
    assert_eq!(site.desk.keys("/held").len(), 1, "{:?}", site.desk.taken("/held"));
    let pushed = site.gitops.log("main").await?;
    let ours = pushed.iter().filter(|commit| commit.trailer("Lockstep-Promotion").is_some());
    assert_eq!(ours.count(), 1, "{pushed:#?}");
    Ok(())
}
