//! The embedded states of modules, with the real tool: versions, and what a run could not write.

use jiff::Timestamp;
use reconciler_domain::id::PromotionId;
use reconciler_domain::step::{
    ApplyCall, Call, ModuleOptions, PlanCall, PlanRecord, Record, StepOutcome,
};
use reconciler_effects::Workdir;
use reconciler_effects::states::{Maker, StateName, Version};
use serde_json::{Value, json};

use crate::world::{World, cx, name};

const MODULE: &str = r#"
variable "says" {
  type    = string
  default = "nothing"
}
resource "terraform_data" "one" { input = var.says }
"#;

async fn world(module: &str) -> World {
    let mut world = World::new().await;
    world.write("infra/main.tf", module);
    world.publish("module");
    world.checkout().await;
    world
}

fn call(world: &World, says: &str, workspace: Option<&str>) -> PlanCall {
    let vars = serde_json::Map::from_iter([("says".to_owned(), json!(says))]);
    let options =
        ModuleOptions { workspace: workspace.map(str::to_owned), ..ModuleOptions::default() };
    PlanCall { vars, options, ..world.plan_call() }
}

async fn plan(world: &World, call: PlanCall) -> PlanRecord {
    match world.run(&world.task("plan", Call::TfPlan(call))).await {
        StepOutcome::Done { record: Record::Plan(plan), .. } => *plan,
        other => panic!("{other:?}"),
    }
}

async fn apply(world: &World, plan: &PlanRecord, run: &str) -> StepOutcome {
    let call = ApplyCall { plan: Box::new(plan.clone()), run: run.to_owned() };
    world.run(&world.task("apply", Call::TfApply(call))).await
}

fn state_name(workspace: Option<&str>) -> StateName {
    let cx = cx(Workdir::Main);
    StateName::new(&cx.project, &cx.stage, "main", workspace).unwrap()
}

fn versions(world: &World, workspace: Option<&str>) -> Vec<Version> {
    world.open().states().versions(&state_name(workspace)).unwrap()
}

fn made_by_the_apply() -> Maker {
    let promotion: PromotionId = cx(Workdir::Main).promotion;
    Maker::Run { promotion, step: name("apply") }
}

#[tokio::test]
async fn each_apply_is_a_version_in_each_workspace_and_crashes_lose_none() {
    let world = world(MODULE).await;
    for (says, workspace) in [("a", None), ("b", None), ("a", Some("blue"))] {
        let made = plan(&world, call(&world, says, workspace)).await;
        let run = format!("{says}-{}", workspace.unwrap_or("default"));
        let outcome = apply(&world, &made, &run).await;
        assert!(matches!(outcome, StepOutcome::Done { .. }), "{outcome:?}");
        // As after a crash between the end of the run and the outcome in the log.
        apply(&world, &made, &run).await;
    }
    let usual = versions(&world, None);
    let by: Vec<_> = usual.iter().map(|version| version.by.clone()).collect();
    assert_eq!(by, [made_by_the_apply(), made_by_the_apply()]);
    assert!(usual[0].serial < usual[1].serial && usual[0].lineage == usual[1].lineage);
    assert_eq!(usual[1].resources, 1);
    let blue = versions(&world, Some("blue"));
    assert_eq!(blue.last().unwrap().by, made_by_the_apply());
    assert_ne!(blue.last().unwrap().lineage, usual[0].lineage);
    let there = std::fs::read(world.path("data/states/shop/prod/main/terraform.tfstate")).unwrap();
    assert_eq!(world.open().states().content(&state_name(None), 2).unwrap(), there);
}

#[tokio::test]
async fn what_was_written_while_nobody_looked_is_found_before_the_next_plan() {
    let world = world(MODULE).await;
    let made = plan(&world, call(&world, "a", None)).await;
    apply(&world, &made, "a").await;
    // A daemon of before, or one that died and whose promotion nobody resumed.
    std::fs::remove_dir_all(world.path("data/versions")).unwrap();
    plan(&world, call(&world, "b", None)).await;
    let found = versions(&world, None);
    assert_eq!(found.iter().map(|version| &version.by).collect::<Vec<_>>(), [&Maker::Found]);
}

#[tokio::test]
async fn nothing_is_planned_without_a_state_that_was_there() {
    let world = world(MODULE).await;
    let made = plan(&world, call(&world, "a", None)).await;
    apply(&world, &made, "a").await;
    let file = world.path("data/states/shop/prod/main/terraform.tfstate");
    std::fs::write(&file, "").unwrap();
    let outcome = world.run(&world.task("plan", Call::TfPlan(call(&world, "a", None)))).await;
    let StepOutcome::Failed { message, retry: false, .. } = outcome else { panic!("{outcome:?}") };
    assert!(message.contains("version 1 (serial "), "{message}");
    let version = world.path("data/versions/shop/prod/main/default/0000000001.version");
    std::fs::write(version, "damaged").unwrap();
    let outcome = world.run(&world.task("plan", Call::TfPlan(call(&world, "a", None)))).await;
    let StepOutcome::Failed { message, retry: false, .. } = outcome else { panic!("{outcome:?}") };
    assert!(message.contains("does not open"), "{message}");
}

/// A world after one apply, and a plan whose apply leaves this where the tool leaves a state that it cannot
/// write, and fails.
async fn errored(text: impl FnOnce(Value) -> String) -> (World, PlanRecord) {
    let mut world = world(MODULE).await;
    let made = plan(&world, call(&world, "a", None)).await;
    apply(&world, &made, "a").await;
    let text = text(there(&world));
    let module = format!(
        "{MODULE}resource \"terraform_data\" \"two\" {{\n  provisioner \"local-exec\" {{\n    command = <<-EOT\n      \
         cat > errored.tfstate <<'STATE'\n      {text}\n      STATE\n      exit 1\n    EOT\n  }}\n}}\n"
    );
    world.write("infra/main.tf", &module);
    world.publish("it fails");
    world.forget();
    world.checkout().await;
    let made = plan(&world, call(&world, "a", None)).await;
    (world, made)
}

fn there(world: &World) -> Value {
    let file = world.path("data/states/shop/prod/main/terraform.tfstate");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// What the tool leaves that has a serial more than is there.
fn newer(mut state: Value) -> Value {
    state["serial"] = json!(state["serial"].as_u64().unwrap() + 5);
    state
}

#[tokio::test]
async fn a_state_that_the_tool_could_not_write_is_kept_and_put_back() {
    let (world, made) = errored(|state| newer(state).to_string()).await;
    let errored = newer(there(&world));
    let outcome = apply(&world, &made, "fails").await;
    let StepOutcome::Failed { message, .. } = outcome else { panic!("{outcome:?}") };
    assert!(message.contains("it is kept as version "), "{message}");
    assert_eq!(there(&world), errored);
    let kept = versions(&world, None);
    assert!(kept.iter().any(|version| matches!(version.by, Maker::Unwritten { .. })), "{kept:?}");
    assert!(made.state.is_some() && kept.iter().all(|version| version.at <= Timestamp::now()));
}

#[tokio::test]
async fn a_state_of_which_no_version_can_be_kept_outlives_the_working_directory() {
    // The tool had no room for this, either.
    let cut = |state| newer(state).to_string()[..100].to_owned();
    let (world, made) = errored(cut).await;
    let left = cut(there(&world));
    for _ in ["at once", "after a crash"] {
        let outcome = apply(&world, &made, "fails").await;
        let StepOutcome::Failed { message, .. } = outcome else { panic!("{outcome:?}") };
        let runs = world.path("data/runs").canonicalize().unwrap();
        let named = message.split([' ', ',']).map(std::path::Path::new);
        let named = named.into_iter().find(|word| word.starts_with(&runs));
        let named = named.unwrap_or_else(|| panic!("{message}"));
        assert!(named.ends_with("errored.tfstate"), "{message}");
        let saved = std::fs::read_to_string(named).unwrap();
        assert_eq!(saved.trim(), left);
        assert!(!world.held("src/infra/errored.tfstate").exists());
    }
}

#[tokio::test]
async fn who_has_no_patience_gets_a_free_lock_all_the_same() {
    let world = world(MODULE).await;
    let patience = std::time::Duration::ZERO;
    plan(&world, PlanCall { lock_timeout: patience, ..call(&world, "a", None) }).await;
}

#[tokio::test]
async fn the_lock_of_a_run_stays_until_what_it_left_was_looked_at() {
    let world = world(MODULE).await;
    let made = plan(&world, call(&world, "a", None)).await;
    apply(&world, &made, "a").await;
    let runs = world.path("data/runs/shop").canonicalize().unwrap();
    let run = std::fs::read_dir(runs).unwrap().next().unwrap().unwrap().path();
    // As if the daemon had died just when the tool ended.
    let lock = world.path("data/versions/shop/prod/main/default/lock");
    let die = || {
        std::fs::remove_file(run.join("looked-at")).unwrap();
        let left = json!({
            "id": "1", "operation": "OperationTypeApply", "who": "lockstepd", "since": "2026-01-01T00:00:00Z",
            "holder": {
                "kind": "run", "promotion": "prod.1", "step": "apply", "process": null,
                "runs": run.with_extension(""),
            },
            "info": {},
        });
        std::fs::write(&lock, left.to_string()).unwrap();
    };
    die();
    let is_locked = || world.open().states().locked(&state_name(None)).unwrap().is_some();
    assert!(is_locked());
    apply(&world, &made, "a").await;
    assert!(!is_locked() && !lock.exists());
    // Nobody comes back to it: a person may take it away.
    die();
    assert!(is_locked());
    assert_eq!(world.open().states().unlock(&state_name(None), Some("1")).unwrap().id, "1");
    assert!(!is_locked());
}
