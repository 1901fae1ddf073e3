//! Plans that need not be made, with the real tool.

use reconciler_domain::step::{
    ApplyCall, Call, ModuleOptions, PlanCall, PlanRecord, PlannedOutput, Record, SkipUnchanged,
    StepOutcome,
};
use serde_json::json;

use crate::world::World;

const MODULE: &str = r#"
variable "says" {
  type    = string
  default = "nothing"
}
module "inner" {
  source = "../inner"
  says   = "${var.says}${file("text.txt")}"
}
output "says" { value = module.inner.says }
output "later" { value = module.inner.id }
output "hidden" {
  value     = "s3cret"
  sensitive = true
}
"#;

const INNER: &str = r#"
variable "says" { type = string }
resource "terraform_data" "one" { input = var.says }
output "says" { value = var.says }
output "id" { value = terraform_data.one.id }
"#;

async fn world() -> World {
    let mut world = World::new().await;
    std::fs::create_dir(world.path("people/inner")).unwrap();
    world.write("infra/main.tf", MODULE);
    world.write("infra/text.txt", "a");
    world.write("inner/main.tf", INNER);
    world.publish("module");
    world.checkout().await;
    world
}

fn call(world: &World, says: &str) -> PlanCall {
    let vars = serde_json::Map::from_iter([("says".to_owned(), json!(says))]);
    let skip_unchanged = SkipUnchanged::Always;
    let options = ModuleOptions { skip_unchanged, ..ModuleOptions::default() };
    PlanCall { vars, options, ..world.plan_call() }
}

async fn plan(world: &World, call: PlanCall) -> PlanRecord {
    match world.run(&world.task("plan", Call::TfPlan(call))).await {
        StepOutcome::Done { record: Record::Plan(plan), outputs } => {
            assert_eq!(outputs["unchanged"], json!(plan.summary.unchanged.is_some()));
            *plan
        }
        other => panic!("{other:?}"),
    }
}

async fn apply(world: &World, plan: &PlanRecord, run: &str) {
    let call = ApplyCall { plan: Box::new(plan.clone()), run: run.to_owned() };
    let outcome = world.run(&world.task("apply", Call::TfApply(call))).await;
    assert!(matches!(outcome, StepOutcome::Done { .. }), "{outcome:?}");
}

#[tokio::test]
async fn what_is_made_of_the_same_is_not_planned_again() {
    let mut world = world().await;
    let made = plan(&world, call(&world, "a")).await;
    assert!(made.summary.unchanged.is_none() && made.summary.has_changes);
    // Nothing is left out before it was applied.
    assert!(plan(&world, call(&world, "a")).await.summary.unchanged.is_none());
    apply(&world, &made, "a").await;
    // In another working directory, as a later promotion has one.
    world.checkout().await;
    let left_out = plan(&world, call(&world, "a")).await;
    let since = left_out.summary.unchanged.clone().unwrap_or_default();
    assert!(since.contains("step apply of promotion prod.1"), "{since}");
    assert!(!left_out.summary.has_changes && left_out.summary.no_op == 1);
    let text = left_out.text.clone().unwrap();
    assert!(text.text.starts_with("Unchanged: not planned"), "{text:?}");

    // It says what a plan would have said, also to those who approve.
    let asked = PlanCall { options: ModuleOptions::default(), ..call(&world, "a") };
    let again = plan(&world, asked).await;
    assert!(again.summary.unchanged.is_none());
    assert_eq!(left_out.semantic_digest, again.semantic_digest);
    assert_eq!((&left_out.state, &left_out.outputs), (&again.state, &again.outputs));
    assert_eq!(left_out.outputs["says"], PlannedOutput::Known(json!("aa")));
    assert_eq!(left_out.outputs["hidden"], PlannedOutput::Sensitive);
    assert_eq!(left_out.inputs, again.inputs);
    // And nothing is there to apply.
    apply(&world, &left_out, "nothing").await;
}

#[tokio::test]
async fn what_an_apply_left_half_done_is_planned() {
    let mut world = world().await;
    settle(&world).await;
    // It fails, and the state stays byte for byte what it was.
    let failing = "resource \"terraform_data\" \"fails\" {\n  provisioner \"local-exec\" { command = \"exit 1\" }\n}\n";
    world.write("infra/fails.tf", failing);
    world.publish("fails");
    world.checkout().await;
    let state = world.path("data/states/shop/prod/main/terraform.tfstate");
    let before = std::fs::read(&state).unwrap();
    let made = plan(&world, call(&world, "a")).await;
    let failed = ApplyCall { plan: Box::new(made), run: "failing".to_owned() };
    let outcome = world.run(&world.task("apply", Call::TfApply(failed))).await;
    assert!(matches!(outcome, StepOutcome::Failed { .. }), "{outcome:?}");
    std::fs::write(&state, before).unwrap();
    world.write("infra/fails.tf", "");
    std::fs::remove_file(world.path("people/infra/fails.tf")).unwrap();
    world.publish("as it was");
    world.checkout().await;
    check(&world, call(&world, "a"), false).await;
}

/// Brings the state to what the usual call makes of the module as it is.
async fn settle(world: &World) {
    let made = plan(world, call(world, "a")).await;
    apply(world, &made, "again").await;
    check(world, call(world, "a"), true).await;
}

async fn check(world: &World, call: PlanCall, left_out: bool) {
    let made = plan(world, call.clone()).await;
    assert_eq!(made.summary.unchanged.is_some(), left_out, "{call:?}");
}

/// Whether the usual call is left out after this file came, or became another.
async fn check_file(world: &mut World, file: &str, text: &str, left_out: bool) {
    settle(world).await;
    world.write(file, text);
    world.publish(file);
    world.checkout().await;
    let made = plan(world, call(world, "a")).await;
    assert_eq!(made.summary.unchanged.is_some(), left_out, "{file}: {text}");
}

#[tokio::test]
async fn whatever_a_plan_is_made_of_counts() {
    let mut world = world().await;
    settle(&world).await;
    check(&world, call(&world, "b"), false).await;
    let with = |options: ModuleOptions| {
        let options = ModuleOptions { skip_unchanged: SkipUnchanged::Always, ..options };
        PlanCall { options, ..call(&world, "a") }
    };
    let env = [("TF_VAR_other".to_owned(), "x".to_owned())].into();
    check(&world, with(ModuleOptions { env, ..ModuleOptions::default() }), false).await;
    let targets = vec!["module.inner".to_owned()];
    check(&world, with(ModuleOptions { targets, ..ModuleOptions::default() }), false).await;
    check_file(&mut world, "inner/other.tf", "locals { a = 1 }", false).await;
    check_file(&mut world, "infra/text.txt", "b", false).await;
    check_file(&mut world, "beside.txt", "x", true).await;
    // A template may read the clock, too.
    check_file(&mut world, "infra/page.tpl", "${timestamp()}", false).await;
    check(&world, call(&world, "a"), false).await;
    world.write("infra/page.tpl", "now");
    world.publish("no clock");
    world.checkout().await;
    // It reads more than its own files.
    let read = world.path("outside/x.tfstate");
    let state =
        json!({ "version": 4, "serial": 1, "lineage": "x", "outputs": {}, "resources": [] });
    std::fs::write(&read, state.to_string()).unwrap();
    let data = format!(
        "data \"terraform_remote_state\" \"x\" {{\n  backend = \"local\"\n  config = {{ path = {read:?} }}\n}}\n"
    );
    check_file(&mut world, "inner/more.tf", &data, false).await;
    check(&world, call(&world, "a"), false).await;
}

#[tokio::test]
async fn a_state_that_somebody_wrote_is_planned_against() {
    let world = world().await;
    settle(&world).await;
    let state = world.path("data/states/shop/prod/main/terraform.tfstate");
    let text = std::fs::read_to_string(&state).unwrap();
    let mut written: serde_json::Value = serde_json::from_str(&text).unwrap();
    written["serial"] = json!(written["serial"].as_u64().unwrap() + 1);
    std::fs::write(&state, written.to_string()).unwrap();
    let made = plan(&world, call(&world, "a")).await;
    assert!(made.summary.unchanged.is_none() && !made.summary.has_changes, "{made:?}");
    // Nothing was to be done, so the next one is left out again.
    check(&world, call(&world, "a"), true).await;
}
