//! One embedded state for promotions and people: over HTTP with the real tool, one at a time, with versions.

use std::process::Command;

use acceptance::process::Process;
use acceptance::terraform::{Tool, Workspace};
use acceptance::{At as _, Failure, Outcome};
use reconciler_api::v1::Phase;
use serde_json::{Map, Value, json};

use crate::pipeline::{direct, infra_steps, module_text, undone};
use crate::site::{PROJECT, SOON, Site};

const STATE: &str = "infra/modules/shop";

/// A site whose `dev` has the infra module, promoted once, and a person's copy of the module on the same state.
async fn site() -> Outcome<(Site, Workspace)> {
    let site = Site::start(&[]).await?;
    let steps = infra_steps(&site);
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    site.policy("dev", &undone("dev")).await?;
    let freight = site.first_freight().await?;
    site.promoted("dev", &freight).await?;
    let person = person(&site).await?;
    Ok((site, person))
}

/// A person with the module and a token of the administrator, on the state of `dev`.
async fn person(site: &Site) -> Outcome<Workspace> {
    let mut person = Workspace::new(&Tool::preferred()?, &site.lockstepd)?;
    let token = std::fs::read_to_string(site.lockstepd.token_file()).at("the token")?;
    person.set_env("TF_HTTP_PASSWORD", token.trim());
    person.write("backend.tf", &site.cli()?.ok(&["state", "backend", "dev", STATE]).await?)?;
    person.write("main.tf", module_text())?;
    variables(site, &person, &json!({})).await?;
    person.run(&["init"]).await?.ok()?;
    Ok(person)
}

/// Sets what the promotion sets, and more.
async fn variables(site: &Site, person: &Workspace, more: &Value) -> Outcome {
    let mut all = Map::new();
    all.insert("environment".into(), json!("dev"));
    all.insert("release".into(), json!(site.infra.tip("main").await?));
    all.insert("marks".into(), json!(site.marks()));
    all.extend(more.as_object().cloned().unwrap_or_default());
    person.set_variables(&all)
}

async fn states(site: &Site) -> Outcome<Vec<Value>> {
    match site.cli()?.json(&["state", "list"]).await? {
        Value::Array(states) => Ok(states),
        other => Err(Failure::new(other.to_string())),
    }
}

async fn versions(site: &Site) -> Outcome<Vec<Value>> {
    match site.cli()?.json(&["state", "versions", "dev", STATE]).await? {
        Value::Array(versions) => Ok(versions),
        other => Err(Failure::new(other.to_string())),
    }
}

#[tokio::test]
async fn a_promotion_and_a_person_see_one_state() -> Outcome {
    let (site, person) = site().await?;
    let plan = person.run(&["plan", "-detailed-exitcode"]).await?;
    plan.ended_with(0)?;
    variables(&site, &person, &json!({ "release": "by-hand" })).await?;
    person.run(&["apply", "-auto-approve"]).await?.ok()?;
    let kept = versions(&site).await?;
    let by: Vec<&Value> = kept.iter().map(|version| &version["by"]).collect();
    assert_eq!(by, ["apply", "client"], "{kept:#?}");
    assert_eq!(kept[1]["principal"], "admin");
    let there = site.state("dev")?.ok_or_else(|| Failure::new("no state"))?;
    assert_eq!(there["outputs"]["release"]["value"], "by-hand");
    assert_eq!(states(&site).await?[0]["lock"], Value::Null);

    // The daemon's next promotion goes on from there, and a person sees what it did.
    let second = site.freight("the second").await?;
    site.promoted("dev", &second).await?;
    variables(&site, &person, &json!({})).await?;
    person.run(&["plan", "-detailed-exitcode"]).await?.ended_with(0)?;

    // Going back is a new version of the same line, which the tool takes for the state.
    let cli = site.cli()?;
    let restored = cli
        .json(&["state", "restore", "dev", STATE, "2", "--reason", "the release was wrong"])
        .await?;
    assert_eq!((&restored["by"], &restored["restored"]), (&json!("restore"), &json!(2)));
    assert_eq!(restored["lineage"], kept[0]["lineage"]);
    let shown = cli.json(&["state", "show", "dev", STATE]).await?;
    assert_eq!(shown["outputs"]["release"]["value"], "by-hand");
    assert_eq!(shown["serial"], restored["serial"]);
    person.run(&["plan", "-detailed-exitcode"]).await?.ended_with(2)?;
    Ok(())
}

#[tokio::test]
async fn a_killed_apply_of_a_person_keeps_its_lock_and_its_state() -> Outcome {
    let (mut site, person) = site().await?;
    let gate = site.mark_file("gate").display().to_string();
    variables(&site, &person, &json!({ "gate": gate, "environment": "else" })).await?;
    let mut apply = Command::new(Tool::preferred()?.program());
    apply
        .args(["apply", "-auto-approve", "-replace=terraform_data.database"])
        .current_dir(person.folder());
    apply.envs(person.environment().iter().map(|(name, value)| (name, value)));
    let mut apply = Process::logged(&apply, &site.mark_file("apply.log")).await?;
    site.lockstepd
        .eventually(SOON, "the database is made", async || {
            if site.marked("created").contains_key("else") {
                return Ok(());
            }
            Err(Failure::new(
                std::fs::read_to_string(site.mark_file("apply.log")).unwrap_or_default(),
            ))
        })
        .await?;
    apply.kill().await?;

    // A restart of the daemon changes nothing about that.
    site.lockstepd.restart().await?;
    let state = states(&site).await?.remove(0);
    let id = state["lock"]["id"].as_str().unwrap_or_default().to_owned();
    assert_eq!(state["lock"]["operation"], "OperationTypeApply", "{state:#}");
    assert!(state["serial"].is_u64(), "{state:#}");
    let other = self::person(&site).await?;
    let refused = other.refused(&["apply", "-auto-approve", "-lock-timeout=0s"]).await?;
    assert!(
        refused.contains("Error acquiring the state lock") && refused.contains(&id),
        "{refused}"
    );

    // A promotion names the holder, and what to do.
    let steps = infra_steps(&site);
    let mut impatient = steps.clone();
    impatient[1]["config"]["lock_timeout"] = json!("1s");
    site.stage("dev", &json!({ "requests": direct(), "steps": impatient })).await?;
    let second = site.freight("the second").await?;
    let promotion = site.promote("dev", &second).await?;
    let told = site
        .lockstepd
        .eventually(SOON, "the holder is named", async || {
            let promotion = site.client()?.promotion(PROJECT, &promotion).await?;
            let text = format!("{promotion:#?}");
            if text.contains(&id) { Ok(text) } else { Err(Failure::new(text)) }
        })
        .await?;
    assert!(told.contains("is locked by") && told.contains("lockstep state unlock dev"), "{told}");

    other.run(&["force-unlock", "-force", &id]).await?.ok()?;
    assert_eq!(states(&site).await?[0]["lock"], Value::Null);
    let third = site.freight("the third").await?;
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    site.promoted("dev", &third).await?;
    Ok(())
}

#[tokio::test]
async fn a_run_of_a_promotion_locks_people_out_and_only_some_may_in() -> Outcome {
    let site = Site::start(&[]).await?;
    let gate = site.mark_file("gate").display().to_string();
    let mut steps = infra_steps(&site);
    steps[1]["config"]["vars"]["gate"] = json!(gate);
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    site.policy("dev", &undone("dev")).await?;
    let id = site.promote("dev", &site.first_freight().await?).await?;
    site.lockstepd
        .eventually(SOON, "the apply is under way", async || {
            if site.marked("created").contains_key("dev") {
                return Ok(());
            }
            Err(Failure::new("not yet"))
        })
        .await?;
    let person = person(&site).await?;
    let refused = person.refused(&["plan", "-lock-timeout=0s"]).await?;
    // Of the lock of another the tool shows the id alone.
    assert!(refused.contains(&format!("ID={id}/apply/")), "{refused}");
    let lock = states(&site).await?.remove(0)["lock"].clone();
    let cli = site.cli()?;
    let lock_id = lock["id"].as_str().unwrap_or_default();
    let unlock = ["state", "unlock", "dev", STATE, lock_id, "--reason", "impatience"];
    let refused = cli.refused(1, &unlock).await?;
    assert!(refused.contains("it is unlocked when that ends"), "{refused}");
    std::fs::write(&gate, "").at("the gate")?;
    site.is(&id, Phase::Succeeded).await?;
    assert_eq!(states(&site).await?[0]["lock"], Value::Null);

    // What is in a state is not for everybody.
    let ann = site.lockstepd.token(PROJECT, "ann", &["dev"]).await?;
    let ann = cli.as_bearer_of(&ann);
    ann.ok(&["state", "versions", "dev", STATE]).await?;
    for secret in [
        &["state", "show", "dev", STATE][..],
        &["state", "show", "dev", STATE, "--version", "1"],
        &["state", "restore", "dev", STATE, "1", "--reason", "x"],
    ] {
        let refused = ann.refused(1, secret).await?;
        assert!(refused.contains("may not read or write what is in states"), "{refused}");
    }
    Ok(())
}
