//! Freezes put by a configuration: what waits for them, who goes on, and that a plan says so.

use acceptance::Outcome;
use reconciler_api::v1::{Freeze, Phase};
use serde_json::json;

use super::{root, with_each_tool};
use crate::pipeline::{call, direct};
use crate::site::{PROJECT, Site, approve, ask};

const FREEZE: &str = r#"
resource "lockstep_freeze" "audit" {
  name    = "audit"
  reason  = "the books close"
  actions = ["promote", "rollback"]

  except {
    stages     = ["dev"]
    principals = ["eve"]
  }
}
"#;

#[tokio::test]
async fn a_freeze_stops_a_project_but_for_its_exceptions() -> Outcome {
    with_each_tool(async |tool| {
        let site = Site::start(&[]).await?;
        let steps = [call("call", &site.desk.url("/call"))];
        for stage in ["dev", "qa", "eu"] {
            site.stage(stage, &json!({ "requests": direct(), "steps": steps })).await?;
        }
        let sre = json!({
            "mode": "manual", "stages": { "names": ["qa"] }, "approvals": [{ "group": "sre" }],
            "rollback": { "on": ["promotion_failed"] },
        });
        site.policy("qa", &sre).await?;
        let freight = site.first_freight().await?;
        let waiting = site.promote("qa", &freight).await?;
        let (_, digest) = site.waits(&waiting).await?;

        // It would keep what fails from being undone, and the plan says where.
        let root = root(tool, &site.lockstepd, FREEZE)?;
        let plan = root.plan(&[]).await?;
        assert!(plan.text.contains("This freeze traps what fails"), "{}", plan.text);
        root.write("main.tf", &FREEZE.replace("\"promote\", \"rollback\"", "\"promote\""))?;
        let plan = root.plan(&[]).await?;
        assert!(!plan.text.contains("This freeze traps what fails"), "{}", plan.text);
        root.apply_saved().await?;
        root.unchanged().await?;

        // Approved as it is, it waits for the end of the freeze; so does what is started now.
        let ann = site.person("ann", &["sre"]).await?;
        approve(&ann, &waiting, &digest).await?;
        let (frozen, _) = site.waits(&waiting).await?;
        let reasons: Vec<_> = frozen.waiting.iter().map(|it| it.message.as_str()).collect();
        let why = "freeze audit of admin: the books close; lasts until somebody ends it";
        assert_eq!(reasons, [why]);
        let started = ask(&ann, "eu", &freight).await?.id;
        site.waits(&started).await?;
        let freeze: Freeze = site.client()?.get(PROJECT, "audit").await?;
        assert!(freeze.status.active);
        assert_eq!(freeze.status.waiting, [waiting.as_str(), started.as_str()]);
        let said = site.cli()?.ok(&["explain", "qa"]).await?;
        assert!(said.contains("frozen by admin (audit; promote): the books close"), "{said}");
        assert!(said.contains(why), "{said}");

        // A stage that is excepted goes on, and so does a person.
        site.promoted("dev", &freight).await?;
        let abort = ["abort", started.as_str(), "--reason", "eve does it"];
        site.cli()?.ok(&abort).await?;
        let eve = site.person("eve", &[]).await?;
        let by_eve = ask(&eve, "eu", &freight).await?.id;
        site.is(&by_eve, Phase::Succeeded).await?;

        let plan = root.plan(&["-destroy"]).await?;
        let would = format!("promotion {waiting} would commit");
        assert!(plan.text.contains(&would), "{}", plan.text);
        root.destroy().await?;
        site.is(&waiting, Phase::Succeeded).await?;
        Ok(())
    })
    .await
}
