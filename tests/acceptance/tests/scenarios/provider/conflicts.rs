//! Other people, other tokens, and a daemon that is not there.

use acceptance::Outcome;
use reconciler_api::v1::{Policy, Stage};
use serde_json::json;

use super::{root, with_each_tool};
use crate::pipeline::{call, direct};
use crate::site::{PROJECT, Site};

fn policy(soak: &str) -> String {
    format!(
        r#"resource "lockstep_promotion_policy" "prod_gates" {{
          name = "prod-gates"
          mode = "manual"
          soak = "{soak}"
          stages {{ names = ["prod"] }}
        }}"#
    )
}

/// The text in one line, so that breaks do not matter.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn what_exists_is_not_taken_over_and_its_import_is_shown() -> Outcome {
    with_each_tool(async |tool| {
        let site = Site::start(&[]).await?;
        let spec = json!({ "mode": "manual", "stages": { "names": ["prod"] }, "soak": "9h" });
        site.policy("prod-gates", &spec).await?;
        let root = root(tool, &site.lockstepd, &policy("1h"))?;
        let told = flat(&root.refused(&["apply", "-auto-approve"]).await?);
        let import =
            "import {\n  to = lockstep_promotion_policy.prod_gates\n  id = \"shop/prod-gates\"\n}";
        assert!(told.contains("Policy exists already") && told.contains(&flat(import)), "{told}");
        let kept: Policy = site.client()?.get(PROJECT, "prod-gates").await?;
        assert_eq!(kept.spec.soak.as_deref(), Some("9h"));
        // Following the advice works.
        root.write("import.tf", import)?;
        root.apply().await?;
        root.unchanged().await
    })
    .await
}

#[tokio::test]
async fn a_change_in_between_is_a_conflict_that_names_who_what_and_when() -> Outcome {
    with_each_tool(async |tool| {
        let site = Site::start(&[]).await?;
        let root = root(tool, &site.lockstepd, &policy("1h"))?;
        root.apply().await?;
        root.write("main.tf", &policy("2h"))?;
        root.plan(&[]).await?;
        let bob = site.person("bob", &[]).await?;
        let mut theirs: Policy = bob.get(PROJECT, "prod-gates").await?;
        theirs.spec.soak = Some("9h".to_owned());
        let any = reconciler_api::v1::Precondition::None;
        let theirs: Policy = bob.put(PROJECT, "prod-gates", &theirs.spec, any).await?;
        let told = flat(&root.refused(&["apply", "saved.tfplan"]).await?);
        let when = theirs.meta.changed_at.strftime("%Y-%m-%dT%H:%M").to_string();
        for part in ["policy shop/prod-gates was changed elsewhere", "bob", &when, "`soak`"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let told = root.refused(&["destroy", "-auto-approve", "-refresh=false"]).await?;
        assert!(flat(&told).contains("was changed elsewhere"), "{told}");
        let kept: Policy = site.client()?.get(PROJECT, "prod-gates").await?;
        assert_eq!(kept.spec.soak.as_deref(), Some("9h"), "never overwritten");
        // Planned again, with what is there now, it is put back.
        root.apply().await?;
        root.unchanged().await
    })
    .await
}

#[tokio::test]
async fn a_wrong_token_is_told_once() -> Outcome {
    with_each_tool(async |tool| {
        let site = Site::start(&[]).await?;
        let mut root = root(tool, &site.lockstepd, &policy("1h"))?;
        let file = site.mark_file("wrong.token");
        std::fs::write(&file, "lks_wrong\n")
            .map_err(|error| acceptance::Failure::new(error.to_string()))?;
        root.set_env("LOCKSTEP_TOKEN_FILE", &file.display().to_string());
        let told = root.refused(&["plan"]).await?;
        assert_eq!(told.matches("Error:").count(), 1, "{told}");
        for part in ["Token is not accepted", "neither revoked nor expired"] {
            assert!(flat(&told).contains(part), "{part}: {told}");
        }
        assert!(!told.contains("lks_wrong"), "the token itself is not shown: {told}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_plan_does_without_the_daemon_and_an_apply_says_that_it_cannot() -> Outcome {
    with_each_tool(async |tool| {
        let mut site = Site::start(&[]).await?;
        let root = root(tool, &site.lockstepd, &policy("1h"))?;
        site.lockstepd.stop().await?;
        let plan = root.plan(&[]).await?;
        assert_eq!(plan.text.matches("Lockstep is not reachable").count(), 1, "{}", plan.text);
        assert_eq!(plan.actions().len(), 1);
        let told = root.refused(&["apply", "saved.tfplan"]).await?;
        assert_eq!(told.matches("Error:").count(), 1, "{told}");
        let reach = format!("reach lockstepd at {}", site.lockstepd.endpoint());
        assert!(flat(&told).contains(&reach), "{told}");
        site.lockstepd.restart().await?;
        root.apply().await?;
        root.unchanged().await
    })
    .await
}

#[tokio::test]
async fn what_a_promotion_needs_is_not_removed() -> Outcome {
    with_each_tool(async |tool| {
        let site = Site::start(&[]).await?;
        let url = site.desk.url("/call");
        let config = format!(
            r#"resource "lockstep_stage" "prod" {{
              name    = "prod"
              steps   = [provider::lockstep::http("call", {{ url = "{url}", method = "POST" }})]
              request {{ warehouse = "shop" }}
            }}"#
        );
        let root = root(tool, &site.lockstepd, &config)?;
        root.apply().await?;
        let approved = json!({
            "mode": "manual", "stages": { "names": ["prod"] }, "approvals": [{ "group": "sre" }],
        });
        site.policy("approved", &approved).await?;
        let id = site.promote("prod", &site.first_freight().await?).await?;
        site.waits(&id).await?;
        let told = flat(&root.refused(&["destroy", "-auto-approve"]).await?);
        for part in ["Cannot delete stage shop/prod", &id] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(site.client()?.find::<Stage>(PROJECT, "prod").await?.is_some());
        let reason = reconciler_api::v1::AbortPromotion { reason: "the stage goes".to_owned() };
        site.client()?.abort(PROJECT, &id, &reason).await?;
        site.is(&id, reconciler_api::v1::Phase::Aborted).await?;
        root.destroy().await.map(drop)
    })
    .await
}

#[tokio::test]
async fn what_other_objects_need_is_not_removed() -> Outcome {
    with_each_tool(async |tool| {
        let site = Site::start(&[]).await?;
        let config = r#"resource "lockstep_verification" "errors" {
          name = "errors"
          http {
            name    = "health"
            url     = "http://127.0.0.1:1/"
            success = "response.status == 200"
          }
        }"#;
        let root = root(tool, &site.lockstepd, config)?;
        root.apply().await?;
        let spec = json!({
            "requests": direct(), "steps": [call("call", &site.desk.url("/call"))],
            "verifications": [{ "name": "errors", "template": "errors" }],
        });
        site.stage("prod", &spec).await?;
        let told = flat(&root.refused(&["destroy", "-auto-approve"]).await?);
        assert!(told.contains("shop/errors") && told.contains("prod"), "{told}");
        Ok(())
    })
    .await
}

/// The tools write ten objects at a time, and other runs may do so as well. None is in the way of
/// another: only who changes the same object conflicts.
#[tokio::test]
async fn many_changes_of_one_project_at_a_time_come_through() -> Outcome {
    with_each_tool(async |tool| {
        let site = Site::start(&[]).await?;
        let holds = |run: &str| {
            format!(
                "resource \"lockstep_hold\" \"{run}\" {{\n  count  = 60\n  name   = \
                 \"{run}-${{count.index}}\"\n  reason = \"many\"\n  stage  = \"prod\"\n}}\n"
            )
        };
        site.stage("prod", &json!({ "requests": direct(), "steps": [] })).await?;
        let roots = [
            root(tool, &site.lockstepd, &holds("one"))?,
            root(tool, &site.lockstepd, &holds("two"))?,
        ];
        let (one, two) = tokio::join!(roots[0].apply(), roots[1].apply());
        one?;
        two?;
        for root in &roots {
            root.unchanged().await?;
        }
        Ok(())
    })
    .await
}
