//! `lockstep_promotion_task`: steps that stages share, from the configuration to what is pushed.

use acceptance::Outcome;
use reconciler_api::problem::ProblemCode;
use reconciler_api::v1::{Kind, Phase, Precondition, StepState, Task};
use serde_json::json;

use super::{planned, root, with_each_tool};
use crate::site::{PROJECT, Site, approve, refusal};

/// Two stages that share a task; `prod` waits for an approval and tells the desk what was pushed.
fn config(site: &Site, message: &str) -> String {
    let (repo, desk) = (&site.gitops.url, site.desk.url("/pushed"));
    format!(
        r#"
resource "lockstep_promotion_task" "release" {{
  name = "release"

  input {{ name = "environment" }}
  input {{
    name    = "pool"
    type    = "number"
    default = 11
  }}

  steps = [
    provider::lockstep::git_clone("gitops", {{
      repo     = "{repo}"
      checkout = {{ gitops = {{ branch = "main" }} }}
    }}),
    provider::lockstep::yaml_update("values", {{
      path = "gitops/apps/{{{{ inputs.environment }}}}/values.yaml"
      updates = {{
        release         = "{{{{ freight.infra.commit }}}}"
        "database.pool" = "{{{{ inputs.pool }}}}"
      }}
    }}),
    provider::lockstep::git_commit("commit", {{ dir = "gitops", message = "{message} {{{{ inputs.environment }}}}" }}),
    provider::lockstep::git_push("push", {{ dir = "gitops" }}),
  ]
}}

resource "lockstep_stage" "dev" {{
  name = "dev"
  request {{ warehouse = "shop" }}
  steps = [
    provider::lockstep::task("release", {{
      task   = lockstep_promotion_task.release.name
      inputs = {{ environment = "{{{{ stage.name }}}}" }}
    }}),
  ]
}}

resource "lockstep_stage" "prod" {{
  name = "prod"
  request {{
    warehouse = "shop"
    from      = [lockstep_stage.dev.name]
  }}
  steps = [
    provider::lockstep::task("release", {{
      task   = lockstep_promotion_task.release.name
      inputs = {{ environment = "{{{{ stage.name }}}}", pool = 40 }}
    }}),
    provider::lockstep::http("tell", {{
      url    = "{desk}"
      method = "PUT"
      body   = "{{{{ steps.release.push.commit }}}}"
    }}),
  ]
}}

resource "lockstep_promotion_policy" "prod" {{
  name = "prod"
  mode = "manual"
  stages {{ names = [lockstep_stage.prod.name] }}
  approval {{ group = "sre" }}
}}
"#
    )
}

#[tokio::test]
async fn two_stages_share_a_task() -> Outcome {
    with_each_tool(async |tool| {
        let site = Site::start(&["dev", "prod"]).await?;
        let root = root(tool, &site.lockstepd, &config(&site, "shop to"))?;
        root.apply().await?;
        root.unchanged().await?;
        let freight = site.first_freight().await?;
        let done = site.promoted("dev", &freight).await?;
        let steps: Vec<&str> = done.steps.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(
            steps,
            ["release.gitops", "release.values", "release.commit", "release.push"],
            "a promotion carries the steps of the task"
        );
        let pushed = done.steps.last().map(|step| step.state);
        assert_eq!(pushed, Some(StepState::Succeeded), "{:?}", done.steps);
        let values = site.values_of("dev").await?;
        assert!(values.contains("pool: 11\n"), "its input's default: {values}");

        // Until it commits, a promotion does what the task says; approvals are for that.
        let id = site.promote("prod", &freight).await?;
        let (_, before) = site.waits(&id).await?;
        root.write("main.tf", &config(&site, "release to"))?;
        let plan = root.plan(&[]).await?;
        let changes = [("lockstep_promotion_task.release".to_owned(), "update".to_owned())];
        assert_eq!(plan.actions(), changes, "{}", plan.text);
        root.apply_saved().await?;
        root.unchanged().await?;
        let digest = site.prepared_anew(&id, &before).await?;
        let ann = site.person("ann", &["sre"]).await?;
        approve(&ann, &id, &digest).await?;
        site.is(&id, Phase::Succeeded).await?;

        let values = site.values_of("prod").await?;
        assert!(values.contains("pool: 40\n"), "what the stage handed over: {values}");
        let log = site.gitops.log("main").await?;
        assert!(log[0].subject == "release to prod", "{:?}", log[0]);
        assert_eq!(log[0].trailer("Lockstep-Promotion"), Some("shop/prod.1/release.commit"));
        let told = site.desk.taken("/pushed");
        let told: Vec<&str> = told.iter().map(|it| it.body.trim_matches('"')).collect();
        assert_eq!(told, [log[0].id.as_str()], "later steps read the outputs of the task's");

        // What stages use stays.
        let client = site.client()?;
        let refused = client.delete(Kind::Task, PROJECT, "release", Precondition::None).await;
        let refused = refusal(refused)?;
        assert_eq!(refused.code(), Some(ProblemCode::InUse), "{refused}");
        let said = refused.to_string();
        assert!(said.contains("stage dev, stage prod"), "{said}");
        let shown = site.cli()?.ok(&["get", "task", "release"]).await?;
        let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("pool number 11"), "{shown}");
        root.destroy().await?;
        assert!(client.find::<Task>(PROJECT, "release").await?.is_none());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_a_task_is_not_handed_is_told_at_the_plan() -> Outcome {
    with_each_tool(async |tool| {
        let site = Site::start(&[]).await?;
        let steps = json!([{ "name": "wait", "uses": "wait", "config": { "duration": "1s" } }]);
        let spec = json!({ "inputs": [{ "name": "place" }], "steps": steps });
        let spec = serde_json::from_value(spec).expect("a task");
        site.client()?.put::<Task>(PROJECT, "there", &spec, Precondition::Absent).await?;
        let config = r#"
resource "lockstep_stage" "dev" {
  name = "dev"
  request { warehouse = "shop" }
  steps = [
    provider::lockstep::task("a", { task = "their", inputs = {} }),
  ]
}
resource "lockstep_stage" "qa" {
  name = "qa"
  request { warehouse = "shop" }
  steps = [
    provider::lockstep::task("a", { task = "there", inputs = { plaice = "x" } }),
  ]
}
resource "lockstep_promotion_task" "round" {
  name = "round"
  steps = [
    provider::lockstep::task("again", { task = "round" }),
  ]
}
"#;
        let root = root(tool, &site.lockstepd, config)?;
        let told: Vec<String> = planned(&root).await?.into_iter().map(|it| it.text).collect();
        let told = told.join("\n");
        for part in [
            "There is no task \"their\" in project \"shop\".",
            "Task there has no input \"plaice\"; did you mean \"place\"?",
            "Task there needs it: it has no default",
            "Task \"round\" uses itself",
        ] {
            assert!(told.contains(part), "{part}\nis not in\n{told}");
        }
        Ok(())
    })
    .await
}
