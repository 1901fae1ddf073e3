//! A whole plan judged together, and policies judged by the past.

use acceptance::Outcome;
use serde_json::{Value, json};

use super::{root, with_each_tool, words};
use crate::pipeline::{after, call, direct};
use crate::site::{PROJECT, Site};

/// Dev and prod, each with freight that was promoted there.
async fn past() -> Outcome<(Site, String)> {
    let site = Site::start(&[]).await?;
    let steps = [call("call", &site.desk.url("/call"))];
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    site.stage("prod", &json!({ "requests": after(&["dev"]), "steps": steps })).await?;
    let freight = site.first_freight().await?;
    site.promoted("dev", &freight).await?;
    site.promoted("prod", &freight).await?;
    Ok((site, freight.id))
}

/// A policy, a stage that takes freight from dev, and a policy that promotes to it at once.
fn plan(url: &str) -> String {
    format!(
        r#"
resource "lockstep_promotion_policy" "prod" {{
  name = "prod"
  mode = "gated"
  stages {{ names = ["prod"] }}
  approval {{ group = "sre" }}
}}

resource "lockstep_stage" "qa" {{
  name = "qa"
  request {{
    warehouse = "shop"
    from      = ["dev"]
  }}
  steps = [provider::lockstep::http("call", {{ url = "{url}" }})]
}}

resource "lockstep_promotion_policy" "qa" {{
  name   = "qa"
  mode   = "automatic"
  settle = "1h"
  stages {{ names = [lockstep_stage.qa.name] }}
}}
"#
    )
}

const REPLAYED: &str = r#"
data "lockstep_policy_preview" "stricter" {
  name = "prod"
  policy = {
    mode     = "gated"
    soak     = "24h"
    stages   = { names = ["prod"] }
    approval = [{ group = "sre" }]
  }
}
data "lockstep_policy_preview" "json" {
  name    = "prod"
  policy  = jsonencode({ mode = "manual", stages = [{ names = ["prod", "dev"] }] })
  history = 1
}
output "stricter" { value = data.lockstep_policy_preview.stricter }
output "json" { value = data.lockstep_policy_preview.json.replay }
"#;

#[tokio::test]
async fn a_plan_is_judged_as_a_whole() -> Outcome {
    with_each_tool(async |tool| {
        let (site, freight) = past().await?;
        let root = root(tool, &site.lockstepd, &plan(&site.desk.url("/call")))?;
        let planned = root.plan(&[]).await?;
        root.write("plan.json", &planned.json.to_string())?;
        let file = root.folder().join("plan.json").display().to_string();
        let cli = site.cli()?;
        let said = cli.run(&["preview", "-f", &file, "-o", "json"]).await?.ended_with(5)?.stdout;
        let said: Value = serde_json::from_str(&said).unwrap_or_default();
        let said = &said[0];
        assert_eq!(said["project"], PROJECT);
        let mut changes: Vec<&str> =
            said["changes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        changes.sort_unstable();
        let expected =
            ["lockstep_promotion_policy.prod", "lockstep_promotion_policy.qa", "lockstep_stage.qa"];
        assert_eq!(changes, expected);
        assert_eq!((&said["left_out"], &said["preview"]["problems"]), (&json!([]), &json!([])));
        // The stage and its policy are both new: only together they promote.
        let effect = &said["preview"]["effects"][0];
        let told = (&effect["stage"], &effect["effect"], &effect["freight"]);
        assert_eq!(told, (&json!("qa"), &json!("would_promote"), &json!(freight)), "{said}");
        let replay = &said["preview"]["replay"];
        assert_eq!((&replay["judged"], &replay["blocked"]), (&json!(1), &json!(1)), "{replay}");
        assert_eq!(replay["witnesses"][0]["gate"], "approvals");
        let text = cli.run(&["preview", "-f", &file, "--replay", "0"]).await?.ok()?.stdout;
        assert!(text.contains("3 changes of project") && text.contains("would_promote"), "{text}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_only_several_changes_do_together_is_warned_of() -> Outcome {
    with_each_tool(async |tool| {
        let (site, freight) = past().await?;
        let root = root(tool, &site.lockstepd, &plan(&site.desk.url("/call")))?;
        let planned = root.plan(&[]).await?;
        // Alone the stage is manual, and alone the policy selects nothing.
        let said = words(&planned.text);
        let warned = format!("Freight {} to stage qa: ", &freight[..10]);
        assert!(said.contains("Warning: This change promotes freight"), "{said}");
        assert_eq!(said.matches(&warned).count(), 1, "{said}");
        assert!(said.contains("So it is together with stage shop/qa"), "{said}");
        // It is told, and enters nothing that is planned.
        let change = planned.change("lockstep_promotion_policy.qa")?;
        assert_eq!(change["after_unknown"]["impact"], true, "{change}");
        assert!(!change.to_string().contains(&freight), "{change}");
        root.apply_saved().await?;
        root.unchanged().await
    })
    .await
}

#[tokio::test]
async fn a_policy_is_judged_by_the_past() -> Outcome {
    with_each_tool(async |tool| {
        let (site, freight) = past().await?;
        let root = root(tool, &site.lockstepd, REPLAYED)?;
        root.apply().await?;
        root.unchanged().await?;
        let state = root.state().await?;
        let output = |name: &str| state["values"]["outputs"][name]["value"].clone();
        let stricter = output("stricter");
        let replay = &stricter["replay"];
        let counts = ["judged", "passed", "blocked", "unknown"].map(|name| replay[name].clone());
        assert_eq!(counts, [1, 0, 1, 0].map(|count| json!(count)), "{stricter}");
        let witnesses = replay["witnesses"].as_array().cloned().unwrap_or_default();
        let gates: Vec<&Value> = witnesses.iter().map(|witness| &witness["gate"]).collect();
        assert_eq!(gates, ["soak", "approvals"], "{replay}");
        let told = (&witnesses[0]["promotion"], &witnesses[0]["freight"]);
        assert_eq!(told, (&json!("prod.1"), &json!(freight)));
        // What a person started passes a manual policy; of two promotions the newest is judged.
        let json = output("json");
        let told = (&json["judged"], &json["passed"], &json["complete"]);
        assert_eq!(told, (&json!(1), &json!(1), &json!(false)), "{json}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_policy_that_cannot_stand_is_told() -> Outcome {
    with_each_tool(async |tool| {
        let (site, _) = past().await?;
        let policy = r#"
            data "lockstep_policy_preview" "odd" {
              name   = "prod"
              policy = { mode = "gated", soka = "24h", stages = { names = ["prod"] } }
            }
        "#;
        let root = root(tool, &site.lockstepd, policy)?;
        let told = root.refused(&["plan"]).await?;
        assert!(
            told.contains("unknown field `soka`") || told.contains("Unknown field `soka`"),
            "{told}"
        );
        let policy = r#"
            data "lockstep_policy_preview" "odd" {
              name   = "prod"
              policy = { mode = "automatic", soak = "24h", stages = { names = ["prod"] } }
            }
        "#;
        root.write("main.tf", policy)?;
        let told = root.refused(&["plan"]).await?;
        let words: Vec<&str> = told.split_whitespace().collect();
        let words = words.join(" ");
        assert!(
            words.contains("a policy of mode automatic")
                || words.contains("A policy of mode automatic"),
            "{told}"
        );
        Ok(())
    })
    .await
}
