//! Freezes put by a configuration: what waits for them, who goes on, and that a plan says so.

use acceptance::{At as _, Outcome};
use reconciler_api::problem::ProblemCode;
use reconciler_api::v1::{
    CreatePromotion, Freeze, Freight, FreightSelector, InstanceFreeze, InstanceFreezeSpec, Phase,
    Precondition, Project, ProjectSpec, Stage, StageSpec, Warehouse, WarehouseSpec,
};
use serde_json::{from_value, json};

use super::{root, with_each_tool};
use crate::pipeline::{call, direct};
use crate::site::{PROJECT, SOON, Site, approve, ask, refusal};

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

const INSTANCE: &str = r#"
resource "lockstep_instance_freeze" "outage" {
  name   = "outage"
  reason = "the network is down"

  except {
    projects = ["lab"]
    groups   = ["oncall"]
  }
}
"#;

/// A project beside that of the site, with a stage `qa` that takes what is in the same repository.
async fn other_project(site: &Site, name: &str) -> Outcome<Freight> {
    let client = site.client()?;
    let spec = ProjectSpec::default();
    client.put::<Project>(name, name, &spec, Precondition::Absent).await?;
    let shop = json!({ "git": [site.subscription()], "interval": "1h" });
    let shop: WarehouseSpec = from_value(shop).at("a warehouse")?;
    client.put::<Warehouse>(name, "shop", &shop, Precondition::Absent).await?;
    let steps = [call("call", &site.desk.url("/call"))];
    let qa: StageSpec =
        from_value(json!({ "requests": direct(), "steps": steps })).at("a stage")?;
    client.put::<Stage>(name, "qa", &qa, Precondition::Absent).await?;
    site.lockstepd.freight(SOON, name, "there is freight", |_| true).await
}

#[tokio::test]
async fn a_freeze_of_every_project_stops_all_but_its_exceptions() -> Outcome {
    with_each_tool(async |tool| {
        let site = Site::start(&[]).await?;
        let steps = [call("call", &site.desk.url("/call"))];
        site.stage("qa", &json!({ "requests": direct(), "steps": steps })).await?;
        let freight = site.first_freight().await?;
        let in_lab = other_project(&site, "lab").await?;

        let root = root(tool, &site.lockstepd, INSTANCE)?;
        root.apply().await?;
        root.unchanged().await?;
        let ann = site.person("ann", &[]).await?;
        let waiting = ask(&ann, "qa", &freight).await?.id;
        let (frozen, _) = site.waits(&waiting).await?;
        let reasons: Vec<_> = frozen.waiting.iter().map(|it| it.message.as_str()).collect();
        let why =
            "instance freeze outage of admin: the network is down; lasts until somebody ends it";
        assert_eq!(reasons, [why]);
        let said = site.cli()?.ok(&["explain", "qa"]).await?;
        assert!(
            said.contains("frozen by admin (outage, every project; promote, bypass)"),
            "{said}"
        );

        // The excepted project goes on; one that is made now does not.
        let promote = async |project: &str, freight: &Freight| {
            let wish = CreatePromotion {
                stage: "qa".to_owned(),
                freight: FreightSelector::Id(freight.id.clone()),
                along: Vec::new(),
                reason: None,
                vars: [].into(),
                bypass: None,
                ensure: false,
                rehearsal: false,
            };
            ann.promote(project, &wish).await
        };
        let goes_on = promote("lab", &in_lab).await?.id;
        site.lockstepd.promotion(SOON, "lab", &goes_on, &[Phase::Succeeded]).await?;
        let in_late = other_project(&site, "late").await?;
        let late = promote("late", &in_late).await?.id;
        site.lockstepd.promotion(SOON, "late", &late, &[Phase::Waiting]).await?;

        // Everybody may see it; what waits in which project, administrators only, and they alone end it.
        let seen: InstanceFreeze = ann.get("", "outage").await?;
        assert!(seen.status.active && seen.status.waiting.is_empty(), "{:?}", seen.status);
        assert_eq!(seen.status.waiting_total, 2);
        let told: InstanceFreeze = site.client()?.get("", "outage").await?;
        let told: Vec<_> = told.status.waiting.iter().map(|it| it.project.as_str()).collect();
        assert_eq!(told, ["late", PROJECT]);
        let spec = InstanceFreezeSpec { reason: "it is not".to_owned(), ..seen.spec };
        let put = ann.put::<InstanceFreeze>("", "outage", &spec, Precondition::None).await;
        assert_eq!(refusal(put)?.code(), Some(ProblemCode::Forbidden));
        let kind = reconciler_api::v1::Kind::InstanceFreeze;
        let ended = ann.delete(kind, "", "outage", Precondition::None).await;
        assert_eq!(refusal(ended)?.code(), Some(ProblemCode::Forbidden));

        // Whoever is excepted goes on in the frozen projects, too; at the end all do.
        let bob = site.person("bob", &["oncall"]).await?;
        site.cli()?.ok(&["abort", waiting.as_str(), "--reason", "bob does it"]).await?;
        let by_bob = ask(&bob, "qa", &freight).await?.id;
        site.is(&by_bob, Phase::Succeeded).await?;
        root.destroy().await?;
        site.lockstepd.promotion(SOON, "late", &late, &[Phase::Succeeded]).await?;
        Ok(())
    })
    .await
}
