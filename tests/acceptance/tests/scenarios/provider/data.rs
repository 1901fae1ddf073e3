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

const LISTS: &str = r#"
data "lockstep_freights" "all" {}
data "lockstep_freights" "new" { created_from = data.lockstep_freights.all.freight[0].created_at }
data "lockstep_freights" "verified" {
  warehouse   = "shop"
  verified_in = "dev"
}
data "lockstep_freights" "commit" {
  stage = "dev"
  artifact {
    subscription = "infra"
    commit       = data.lockstep_freights.all.freight[0].artifacts["infra"].commit
  }
}
data "lockstep_freights" "none" {
  current_in = "dev"
  artifact { digest = "sha256:00" }
}
data "lockstep_pipeline" "shop" {}

locals {
  lists = {
    all      = data.lockstep_freights.all.freight[*].id
    new      = data.lockstep_freights.new.freight[*].id
    verified = data.lockstep_freights.verified.freight[*].id
    commit   = data.lockstep_freights.commit.freight[*].id
    none     = data.lockstep_freights.none.freight[*].id
  }
}
output "lists" { value = local.lists }
output "dev" { value = one([for s in data.lockstep_pipeline.shop.stages : s if s.name == "dev"]) }
output "edges" { value = data.lockstep_pipeline.shop.edges }
output "same" {
  value = tolist([for s in jsondecode(data.lockstep_pipeline.shop.json).stages : s.name]) == data.lockstep_pipeline.shop.stages[*].name
}
output "mermaid" { value = data.lockstep_pipeline.shop.mermaid }
"#;

#[tokio::test]
async fn freight_is_listed_and_the_pipeline_drawn() -> Outcome {
    with_each_tool(async |tool| {
        let site = Site::start(&[]).await?;
        let steps = [call("call", &site.desk.url("/call"))];
        site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
        let freight = site.first_freight().await?;
        site.promoted("dev", &freight).await?;
        let root = root(tool, &site.lockstepd, LISTS)?;
        root.apply().await?;
        root.unchanged().await?;
        let state = root.state().await?;
        let output = |name: &str| state["values"]["outputs"][name]["value"].clone();
        let id = freight.id.as_str();
        let one = json!([id]);
        let lists = json!({ "all": one, "new": one, "verified": one, "commit": one, "none": [] });
        assert_eq!(output("lists"), lists);
        let dev = output("dev");
        assert_eq!((&dev["mode"], &dev["control_flow"]), (&json!("manual"), &json!(false)));
        assert_eq!(dev["current"]["shop"]["freight"], id);
        let reason = |kind: &str| {
            let found = dev["conditions"].as_array().into_iter().flatten();
            found.filter(|it| it["type"] == kind).map(|it| it["reason"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(
            (reason("UpToDate"), reason("Verified")),
            (vec![json!("Manual")], vec![json!("Verified")])
        );
        assert_eq!(output("edges"), json!([{ "warehouse": "shop", "from": null, "to": "dev" }]));
        assert_eq!(output("same"), json!(true));
        let drawn = format!("s1[\"dev<br/>shop {}<br/>Manual\"]\n", &freight.short_id);
        let mermaid = output("mermaid");
        assert!(mermaid.as_str().unwrap_or_default().contains(&drawn), "{mermaid}");
        let drawn = site.cli()?.ok(&["pipeline", "--mermaid"]).await?;
        assert_eq!(output("mermaid"), drawn);
        let table = site.cli()?.ok(&["pipeline"]).await?;
        assert!(table.contains("warehouse shop") && table.contains(&freight.short_id), "{table}");
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
