//! What a module says about itself: workspace, imports, destruction, and its plan in full.

use acceptance::{Failure, Outcome};
use reconciler_api::v1::{Gate, GateKind, Phase, Promotion, Verdict};
use serde_json::{Value, json};

use crate::pipeline::{apply, clone_infra, direct, plan, step};
use crate::site::{PROJECT, Site};

/// A policy under which a person starts, with these infra rules.
fn rules(rules: &Value) -> Value {
    json!({ "mode": "manual", "stages": { "names": ["dev"] }, "infra": { "rules": rules } })
}

fn infra(promotion: &Promotion) -> Outcome<&Gate> {
    let found = promotion.gates.iter().find(|gate| gate.gate == GateKind::Infra);
    found.ok_or_else(|| Failure::new(format!("{:#?}", promotion.gates)))
}

/// The step that plans, for another kind of plan and in a workspace of its own.
fn planned(site: &Site, uses: &str) -> Value {
    let mut planned = plan(site, &json!({}));
    planned["uses"] = json!(uses);
    planned["config"]["workspace"] = json!("blue");
    planned["config"]["version"] = json!(">= 1.7");
    planned
}

#[tokio::test]
async fn what_exists_becomes_part_of_a_module_and_is_destroyed_with_it() -> Outcome {
    let site = Site::start(&[]).await?;
    let imports = json!({
        "dir": "infra/modules/shop",
        "imports": { "terraform_data.database": "made-by-hand" },
    });
    let steps = [
        clone_infra(&site),
        step("existing", "tf_import", &imports),
        planned(&site, "tf_plan"),
        apply(),
    ];
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    let untouched = json!([{
        "name": "untouched", "when": "changes.all(c, !c.importing)", "message": "nothing is taken over",
    }]);
    site.policy("dev", &rules(&untouched)).await?;
    let first = site.first_freight().await?;
    let id = site.promote("dev", &first).await?;
    let (waiting, _) = site.waits(&id).await?;
    let gate = infra(&waiting)?;
    assert_eq!(gate.verdict, Verdict::Fail);
    let broken = "rule \"untouched\": nothing is taken over: terraform_data.database (";
    assert!(gate.message.contains(broken), "{}", gate.message);

    let client = site.client()?;
    let full = client.plan(PROJECT, &id, "plan").await?;
    let text = full.text.unwrap_or_default();
    for told in
        ["terraform_data.database will be", "imported", "terraform_data.service will be created"]
    {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert_eq!((full.workspace.as_deref(), full.cut), (Some("blue"), false));
    assert_eq!(full.summary["create"], json!(1), "{}", full.summary);
    let none = client.plan(PROJECT, &id, "apply").await;
    assert!(none.is_err_and(|error| error.to_string().contains("plan")), "it has no undo yet");

    let rule = json!([{ "name": "few", "when": "summary.delete == 0 && summary.replace == 0" }]);
    site.policy("dev", &rules(&rule)).await?;
    site.is(&id, Phase::Succeeded).await?;
    assert_eq!(site.marked("created").len(), 0, "the database was there");

    // The end of it is a plan like any other, judged by the same rules.
    let steps = [clone_infra(&site), planned(&site, "tf_destroy"), apply()];
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    let second = site.commit_infra("the end", &[("notes.txt", "the end\n")]).await?;
    let id = site.promote("dev", &second).await?;
    let (waiting, _) = site.waits(&id).await?;
    assert_eq!(infra(&waiting)?.verdict, Verdict::Fail);
    let full = client.plan(PROJECT, &id, "plan").await?;
    assert_eq!(full.summary["delete"], json!(2), "{}", full.summary);
    site.policy("dev", &rules(&json!([{ "name": "few", "when": "summary.delete == 2" }]))).await?;
    site.is(&id, Phase::Succeeded).await?;
    assert_eq!(site.marked("destroyed").get("dev"), Some(&1));
    Ok(())
}
