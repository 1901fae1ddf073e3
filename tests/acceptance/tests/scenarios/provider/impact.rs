//! What a change of a policy does to live freight: in the plan, and the same when it is applied,
//! whatever the world does in between.

use acceptance::Outcome;
use acceptance::terraform::{Tool, Workspace};
use reconciler_api::v1::{
    Definition, Freight, Phase, Policy, PolicySpec, Preview, PreviewRequest, WorldToken,
};
use serde_json::{Value, json};

use super::{root, with_each_tool, words};
use crate::pipeline::{after, call, direct};
use crate::site::{PROJECT, Site};

const ADDRESS: &str = "lockstep_promotion_policy.prod";

fn policy(mode: &str, soak: &str) -> String {
    format!(
        r#"resource "lockstep_promotion_policy" "prod" {{
          name   = "prod"
          mode   = "{mode}"
          soak   = "{soak}"
          settle = "1h"
          stages {{ names = ["prod"] }}
        }}"#
    )
}

/// Dev, with freight that it has verified, and prod behind it.
async fn pipeline() -> Outcome<(Site, Freight)> {
    let site = Site::start(&[]).await?;
    let steps = [call("call", &site.desk.url("/call"))];
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    site.stage("prod", &json!({ "requests": after(&["dev"]), "steps": steps })).await?;
    let freight = site.first_freight().await?;
    site.promoted("dev", &freight).await?;
    Ok((site, freight))
}

/// What the daemon says of a change, as of a state of the world.
async fn preview(site: &Site, spec: PolicySpec, token: WorldToken) -> Outcome<Preview> {
    let definition = Definition::Policy(spec);
    let request =
        PreviewRequest { name: "prod".to_owned(), definition, token: Some(token), remove: false };
    Ok(site.client()?.preview(PROJECT, &request).await?)
}

/// The effects as the provider shows them.
fn shown(preview: &Preview) -> Value {
    let effects = preview.effects.iter().map(|effect| {
        json!({
            "effect": effect.effect.as_str(), "stage": effect.stage, "freight": effect.freight,
            "promotion": effect.promotion, "reason": effect.reason, "until": effect.until,
        })
    });
    effects.collect()
}

fn impact(state: &Value) -> Value {
    let resources = state["values"]["root_module"]["resources"].as_array();
    let found = resources.into_iter().flatten().find(|it| it["address"] == ADDRESS);
    found.map(|it| it["values"]["impact"].clone()).unwrap_or_default()
}

#[tokio::test]
async fn an_update_shows_what_the_daemon_foresees() -> Outcome {
    with_each_tool(async |tool| {
        let (site, freight) = pipeline().await?;
        let root = root(tool, &site.lockstepd, &policy("manual", "1ms"))?;
        let plan = root.plan(&[]).await?;
        let change = plan.change(ADDRESS)?;
        assert_eq!(change["after_unknown"]["impact"], true, "on create: {}", plan.text);
        root.apply_saved().await?;
        let stored: Policy = site.client()?.get(PROJECT, "prod").await?;

        root.write("main.tf", &policy("manual", "24h"))?;
        let plan = root.plan(&[]).await?;
        let planned = &plan.change(ADDRESS)?["after"]["impact"];
        let spec = PolicySpec { soak: Some("24h".to_owned()), ..stored.spec.clone() };
        let foreseen = preview(&site, spec, stored.meta.token).await?;
        assert_eq!(*planned, shown(&foreseen));
        assert_eq!(planned[0]["effect"], "becomes_blocked");
        assert_eq!(planned[0]["freight"], freight.id);
        assert!(plan.text.contains("becomes_blocked"), "{}", plan.text);
        root.apply_saved().await?;
        assert_eq!(impact(&root.state().await?), *planned);
        root.unchanged().await?;

        // The other way: freight would go to prod, and that is a warning at the attribute.
        root.write("main.tf", &policy("gated", "1ms"))?;
        let plan = root.plan(&[]).await?;
        let planned = &plan.change(ADDRESS)?["after"]["impact"];
        let effects: Vec<&Value> =
            planned.as_array().into_iter().flatten().map(|it| &it["effect"]).collect();
        assert!(effects.contains(&&json!("would_promote")), "{planned}");
        let stored: Policy = site.client()?.get(PROJECT, "prod").await?;
        let spec = PolicySpec {
            mode: reconciler_api::v1::Mode::Gated,
            soak: Some("1ms".to_owned()),
            ..stored.spec
        };
        let foreseen = preview(&site, spec, stored.meta.token).await?;
        assert_eq!(*planned, shown(&foreseen));
        let words = words(&plan.text);
        for warning in &foreseen.warnings {
            assert!(words.contains(&warning.summary), "{warning:?}: {words}");
            assert!(words.contains(&warning.detail), "{warning:?}: {words}");
        }
        assert!(!foreseen.warnings.is_empty() && words.contains("mode = \"gated\""), "{words}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_create_warns_of_what_it_lets_through() -> Outcome {
    with_each_tool(async |tool| {
        let (site, freight) = pipeline().await?;
        let root = root(tool, &site.lockstepd, &policy("gated", "1ms"))?;
        let plan = root.plan(&[]).await?;
        let words = words(&plan.text);
        let warned = format!("Freight {} to stage prod: automation would start", freight.short_id);
        assert!(words.contains("Warning: This change promotes freight"), "{words}");
        assert!(words.contains(&warned), "{warned}: {words}");
        assert!(words.contains("+ impact = (known after apply)"), "{words}");
        Ok(())
    })
    .await
}

/// Everything that may happen between a plan and its apply: new freight, a promotion that ends,
/// another policy.
async fn move_the_world(site: &Site) -> Outcome {
    let second = site.freight("the second").await?;
    site.promoted("dev", &second).await?;
    let other = json!({ "mode": "manual", "stages": { "names": ["*"] }, "soak": "5h" });
    site.policy("other", &other).await?;
    let third = site.freight("the third").await?;
    let id = site.promote("dev", &third).await?;
    site.is(&id, Phase::Succeeded).await.map(drop)
}

#[tokio::test]
async fn the_world_moves_between_a_plan_and_its_apply() -> Outcome {
    with_each_tool(async |tool| {
        let (site, freight) = pipeline().await?;
        let root = root(tool, &site.lockstepd, &policy("manual", "1ms"))?;
        root.apply().await?;
        root.write("main.tf", &policy("manual", "24h"))?;
        let plan = root.plan(&[]).await?;
        let planned = plan.change(ADDRESS)?["after"]["impact"].clone();
        assert_eq!(planned.as_array().map(Vec::len), Some(1), "{planned}");
        assert_eq!(planned[0]["freight"], freight.id);
        move_the_world(&site).await?;
        root.apply_saved().await?;
        assert_eq!(impact(&root.state().await?), planned, "what was planned was applied");
        // The world alone makes no diff.
        root.unchanged().await?;
        // The next change is judged against the world as it is now.
        root.write("main.tf", &policy("manual", "1ms"))?;
        let plan = root.plan(&[]).await?;
        let planned = &plan.change(ADDRESS)?["after"]["impact"];
        assert!(planned.as_array().map_or(0, Vec::len) > 1 || *planned == json!([]), "{planned}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_plan_without_a_refresh_is_applied_though_the_world_moved() -> Outcome {
    with_each_tool(async |tool| {
        let (site, _) = pipeline().await?;
        let root = root(tool, &site.lockstepd, &policy("manual", "1ms"))?;
        root.apply().await?;
        move_the_world(&site).await?;
        root.write("main.tf", &policy("manual", "24h"))?;
        let plan = root.plan(&["-refresh=false"]).await?;
        assert!(plan.change(ADDRESS)?["after"]["impact"].is_array(), "{}", plan.text);
        move_again(&site).await?;
        root.apply_saved().await?;
        root.unchanged().await
    })
    .await
}

async fn move_again(site: &Site) -> Outcome {
    let fourth = site.freight("the fourth").await?;
    site.promoted("dev", &fourth).await.map(drop)
}

#[tokio::test]
async fn a_refresh_shows_nothing_when_nothing_that_matters_changed() -> Outcome {
    with_each_tool(async |tool| {
        let (site, _) = pipeline().await?;
        let root = root(tool, &site.lockstepd, &policy("manual", "1h"))?;
        root.apply().await?;
        nothing_to_refresh(tool, &root).await?;
        // Somewhere else in the project something happens.
        let elsewhere = json!({ "requests": [{ "warehouse": "other" }] });
        site.warehouse("other", &json!({ "git": [site.subscription()] })).await?;
        site.stage("elsewhere", &elsewhere).await?;
        let other = json!({ "mode": "manual", "stages": { "names": ["elsewhere"] } });
        site.policy("elsewhere", &other).await?;
        nothing_to_refresh(tool, &root).await?;
        root.unchanged().await
    })
    .await
}

async fn nothing_to_refresh(tool: &Tool, root: &Workspace) -> Outcome {
    let run = root.run(&["plan", "-refresh-only", "-detailed-exitcode"]).await?.ok()?;
    assert!(run.said().contains("No changes."), "{}: {}", tool.name, run.said());
    Ok(())
}

#[tokio::test]
async fn an_imported_policy_has_no_impact() -> Outcome {
    with_each_tool(async |tool| {
        let (site, _) = pipeline().await?;
        let spec = json!({
            "mode": "manual", "stages": { "names": ["prod"] }, "soak": "1h", "settle": "1h",
        });
        site.policy("prod", &spec).await?;
        let root = root(tool, &site.lockstepd, &policy("manual", "1h"))?;
        root.import(ADDRESS, "shop/prod").await?;
        root.unchanged().await?;
        assert_eq!(impact(&root.state().await?), Value::Null);
        // The first change after it is judged.
        root.write("main.tf", &policy("manual", "24h"))?;
        let plan = root.plan(&[]).await?;
        assert!(plan.change(ADDRESS)?["after"]["impact"].is_array(), "{}", plan.text);
        root.apply_saved().await?;
        root.unchanged().await
    })
    .await
}
