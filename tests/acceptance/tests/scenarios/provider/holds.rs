//! Holds put by a configuration, and what they stop.

use acceptance::{Failure, Outcome};
use reconciler_api::problem::ProblemCode;
use reconciler_api::v1::{Freight, Hold, Phase};
use serde_json::json;

use super::{root, with_each_tool};
use crate::pipeline::{call, direct};
use crate::site::{PROJECT, Site, approve, ask, refusal};

fn commit_of(freight: &Freight) -> Outcome<String> {
    match &freight.artifacts["infra"] {
        reconciler_api::v1::Artifact::Git(git) => Ok(git.commit.clone()),
        reconciler_api::v1::Artifact::Image(_) => Err(Failure::new("it is a commit")),
    }
}

fn quarantine(commit: &str) -> String {
    format!(
        r#"
resource "lockstep_hold" "bad" {{
  name   = "bad"
  reason = "it loses orders"

  artifacts {{
    subscription = "infra"
    commit       = "{}"
  }}
}}
"#,
        &commit[..12]
    )
}

#[tokio::test]
async fn a_quarantine_stops_what_waits_and_what_comes() -> Outcome {
    with_each_tool(async |tool| {
        let site = Site::start(&[]).await?;
        let steps = [call("call", &site.desk.url("/call"))];
        site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
        site.stage("qa", &json!({ "requests": direct(), "steps": steps })).await?;
        let sre = json!({
            "mode": "manual", "stages": { "names": ["qa"] }, "approvals": [{ "group": "sre" }],
        });
        site.policy("qa", &sre).await?;
        let bad = site.first_freight().await?;
        site.promoted("dev", &bad).await?;
        let waiting = site.promote("qa", &bad).await?;
        let (_, digest) = site.waits(&waiting).await?;

        let root = root(tool, &site.lockstepd, &quarantine(&commit_of(&bad)?))?;
        let plan = root.plan(&[]).await?;
        assert_eq!(plan.actions(), [("lockstep_hold.bad".to_owned(), "create".to_owned())]);
        root.apply_saved().await?;
        root.unchanged().await?;
        // Approved as it is, it waits at the hold; it is where it was, and nobody brings it further.
        let ann = site.person("ann", &["sre"]).await?;
        approve(&ann, &waiting, &digest).await?;
        let (held, _) = site.waits(&waiting).await?;
        let reasons: Vec<&str> = held.waiting.iter().map(|it| it.message.as_str()).collect();
        assert_eq!(reasons, ["hold bad of admin: it loses orders"]);
        let hold: Hold = site.client()?.get(PROJECT, "bad").await?;
        let running = hold.status.running.iter().map(|it| (it.stage.as_str(), it.freight.as_str()));
        assert_eq!(running.collect::<Vec<_>>(), [("dev", bad.id.as_str())]);
        assert_eq!(hold.status.waiting, [waiting.as_str()]);
        let refused = refusal(ask(&ann, "dev", &bad).await)?;
        assert_eq!(refused.code(), Some(ProblemCode::Held), "{refused}");
        let why = site.cli()?.ok(&["explain", "qa"]).await?;
        assert!(why.contains("hold bad of admin: it loses orders"), "{why}");
        // Other freight goes on, and so does this when the hold is lifted.
        let good = site.freight("the fix").await?;
        site.promoted("dev", &good).await?;
        let plan = root.plan(&["-destroy"]).await?;
        assert!(plan.text.contains("promotion qa.1 would commit"), "{}", plan.text);
        root.destroy().await?;
        site.is(&waiting, Phase::Succeeded).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_hold_ends_by_itself() -> Outcome {
    let site = Site::start(&[]).await?;
    let steps = [call("call", &site.desk.url("/call"))];
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    let freight = site.first_freight().await?;
    let id = site.promote("dev", &freight).await?;
    site.is(&id, Phase::Succeeded).await?;
    let cli = site.cli()?;
    let put = ["hold", "create", "short", "--stage", "dev", "--reason", "a pause", "--for", "2s"];
    let shown = cli.ok(&put).await?;
    assert!(shown.contains("stage dev"), "{shown}");
    let automatic = json!({ "mode": "automatic", "stages": { "names": ["dev"] } });
    site.policy("dev", &automatic).await?;
    // Nobody looks for the end: the stage is looked at again when it comes.
    let next = site.freight("the next").await?;
    let id = site.on_its_way("dev", &next).await?;
    site.is(&id, Phase::Succeeded).await?;
    let hold: Hold = site.client()?.get(PROJECT, "short").await?;
    assert!(!hold.status.active);
    let said = cli.ok(&["hold", "lift", "short"]).await?;
    assert_eq!(said, "hold short is lifted\n");
    Ok(())
}
