//! Data sources and functions.

use acceptance::{Failure, Outcome};
use serde_json::{Value, json};

use super::{root, with_each_tool};
use crate::pipeline::{call, direct};
use crate::site::{PROJECT, Site};

const READS: &str = r#"
data "lockstep_freight" "newest" { warehouse = "shop" }
data "lockstep_freight" "for_dev" { stage = "dev" }
data "lockstep_freight" "one" { id = data.lockstep_freight.newest.short_id }
data "lockstep_stage" "dev" { name = "dev" }

output "commit" { value = data.lockstep_freight.newest.artifacts["infra"].commit }
output "ids" {
  value = [for it in [data.lockstep_freight.newest, data.lockstep_freight.for_dev, data.lockstep_freight.one] : it.full_id]
}
output "verified" { value = data.lockstep_freight.newest.stages["dev"].verified_at != null }
output "current" { value = data.lockstep_stage.dev.current["shop"].freight }
output "why" { value = data.lockstep_stage.dev.waiting[*].reason }
output "step" {
  value = provider::lockstep::tf_plan("plan", { dir = "infra/live", vars = { size = 2 } })
}
"#;

#[tokio::test]
async fn freight_and_stages_are_read() -> Outcome {
    with_each_tool(async |tool| {
        let site = Site::start(&[]).await?;
        let steps = [call("call", &site.desk.url("/call"))];
        site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
        let freight = site.first_freight().await?;
        site.promoted("dev", &freight).await?;
        let root = root(tool, &site.lockstepd, READS)?;
        root.apply().await?;
        root.unchanged().await?;
        let state = root.state().await?;
        let output = |name: &str| state["values"]["outputs"][name]["value"].clone();
        let id = freight.id.as_str();
        assert_eq!(output("commit"), site.infra.tip("main").await?);
        assert_eq!(output("ids"), json!([id, id, id]));
        assert_eq!((output("verified"), output("current")), (json!(true), json!(id)));
        assert_eq!(output("why"), json!(["Manual"]));
        let step = output("step");
        assert_eq!((&step["name"], &step["uses"]), (&json!("plan"), &json!("tf_plan")));
        let config = step["config"].as_str().unwrap_or_default();
        let config: Value = serde_json::from_str(config).unwrap_or_default();
        assert_eq!(config, json!({ "dir": "infra/live", "vars": { "size": 2 } }));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_is_not_there_is_told() -> Outcome {
    with_each_tool(async |tool| {
        let site = Site::start(&[]).await?;
        let reads = r#"data "lockstep_stage" "none" { name = "none" }"#;
        let root = root(tool, &site.lockstepd, reads)?;
        let told = root.refused(&["plan"]).await?;
        let place = format!("{PROJECT}/none");
        if told.contains(&place) { Ok(()) } else { Err(Failure::new(told)) }
    })
    .await
}
