//! What a plan may say about its module: workspace, backend, tool, targets, environment; with the real tool.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use reconciler_domain::credential::CredentialKind;
use reconciler_domain::infra::{Action, Address};
use reconciler_domain::plan::Base;
use reconciler_domain::secret::SecretRef;
use reconciler_domain::step::{
    ApplyCall, Call, ImportCall, ModuleOptions, OutputCall, PlanCall, PlanGoal, PlanRecord,
    PlannedOutput, Record, StepOutcome,
};
use reconciler_effects::git::Secret;
use reconciler_effects::infra::Providers;
use reconciler_effects::sandbox::{Reach, Settings};
use reconciler_effects::{Effects, EffectsConfig, Held, Workdir};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::credentials::Wallets;
use crate::support::scripted;
use crate::world::{World, cx, name};

/// Two things, and what was said about them.
const MODULE: &str = r#"
variable "region" {
  type    = string
  default = "none"
}
variable "key" {
  type      = string
  default   = "none"
  sensitive = true
}
resource "terraform_data" "one" { input = terraform.workspace }
resource "terraform_data" "two" { input = var.region }
resource "terraform_data" "three" {
  input = "${join("", [for digit in range(115) : "-"])}${nonsensitive(var.key)}"
}
output "workspace" { value = terraform.workspace }
output "region" { value = var.region }
output "key_length" { value = nonsensitive(length(var.key)) }
"#;

const PASSWORD: &str = "correct horse battery";

/// A world with this module, checked out.
async fn world(module: &str) -> World {
    let mut world = World::new().await;
    world.write("infra/main.tf", module);
    world.publish("module");
    world.checkout().await;
    world
}

fn call(world: &World, options: ModuleOptions) -> PlanCall {
    PlanCall { vars: serde_json::Map::new(), options, ..world.plan_call() }
}

/// The effects of a project that holds a secret, in which infra reaches what the machine does.
fn effects(world: &World) -> Effects {
    effects_with(world, [("password", PASSWORD)].as_slice())
}

/// The same with these secrets.
fn effects_with(world: &World, secrets: &[(&str, &str)]) -> Effects {
    let wallets = Wallets::default();
    let held = Held {
        name: "states".parse().unwrap(),
        kind: CredentialKind::Http,
        address: Some("https://states.example/".parse().unwrap()),
        username: None,
        secrets: secrets
            .iter()
            .map(|(key, secret)| ((*key).to_owned(), Ok(Secret::new(*secret))))
            .collect(),
    };
    wallets.give("shop", held);
    let config = world.config();
    let sandbox = Settings { infra_network: Reach::Host, ..config.sandbox.clone() };
    Effects::open(EffectsConfig { holdings: Arc::new(wallets), sandbox, ..config }).unwrap()
}

async fn run(world: &World, step: &str, call: Call) -> StepOutcome {
    run_by(&effects(world), world, step, call).await
}

async fn run_by(effects: &Effects, world: &World, step: &str, call: Call) -> StepOutcome {
    let task = world.task(step, call);
    let rebuild: Vec<_> =
        task.rebuild.iter().map(|(step, call)| (name(step), call.clone())).collect();
    effects
        .run(&cx(Workdir::Main), &name(step), &task.call, &rebuild, &CancellationToken::new())
        .await
        .unwrap()
}

async fn plan(world: &World, call: PlanCall) -> PlanRecord {
    match run(world, "plan", Call::TfPlan(call)).await {
        StepOutcome::Done { record: Record::Plan(plan), .. } => *plan,
        other => panic!("{other:?}"),
    }
}

async fn refused(world: &World, options: ModuleOptions) -> String {
    match run(world, "plan", Call::TfPlan(call(world, options))).await {
        StepOutcome::Failed { message, retry: false, .. } => message,
        other => panic!("{other:?}"),
    }
}

async fn apply(world: &World, plan: &PlanRecord) {
    let key = format!("prod.1-{}", plan.call.options.workspace.as_deref().unwrap_or("apply"));
    let call = ApplyCall { plan: Box::new(plan.clone()), run: key };
    let outcome = run(world, "apply", Call::TfApply(call)).await;
    assert!(matches!(outcome, StepOutcome::Done { .. }), "{outcome:?}");
}

async fn outputs(world: &World, call: PlanCall) -> Value {
    match run(world, "outputs", Call::TfOutput(OutputCall { plan: call })).await {
        StepOutcome::Done { outputs, .. } => json!(outputs),
        other => panic!("{other:?}"),
    }
}

fn in_workspace(workspace: &str) -> ModuleOptions {
    ModuleOptions { workspace: Some(workspace.to_owned()), ..ModuleOptions::default() }
}

#[tokio::test]
async fn workspaces_of_one_module_are_states_of_their_own() {
    let world = world(MODULE).await;
    let blue = plan(&world, call(&world, in_workspace("blue"))).await;
    apply(&world, &blue).await;
    // What was selected for one plan is not what the next one works on.
    let usual = plan(&world, call(&world, ModuleOptions::default())).await;
    assert_eq!(usual.summary.create, 3);
    apply(&world, &usual).await;
    let green = plan(&world, call(&world, in_workspace("green"))).await;
    assert_eq!(green.summary.create, 3);
    for (call, workspace) in [(&blue.call, "blue"), (&usual.call, "default")] {
        assert_eq!(outputs(&world, call.clone()).await["workspace"], json!(workspace));
        let again = plan(&world, call.clone()).await;
        assert!(!again.summary.has_changes, "{:?}", again.summary);
    }
    let states = world.path("data/states/shop/prod/main");
    assert!(states.join("terraform.tfstate.d/blue/terraform.tfstate").is_file());
}

#[tokio::test]
async fn the_state_of_a_workspace_is_found_in_a_directory_that_was_made_anew() {
    let mut world = world(MODULE).await;
    let blue = plan(&world, call(&world, in_workspace("blue"))).await;
    world.checkout().await;
    let bases = [Base::State { plan: Box::new(blue.clone()), workdir: Workdir::Main }];
    let probe = async || effects(&world).probe(&cx(Workdir::Main), &bases).await.unwrap();
    assert_eq!(probe().await, [""; 0]);
    // The same workspace of another state is not what is looked at.
    let other = PlanCall { state: "other".to_owned(), ..blue.call.clone() };
    let other = plan(&world, other).await;
    apply(&world, &other).await;
    assert_eq!(probe().await, [""; 0]);
    apply(&world, &blue).await;
    let moved = probe().await;
    assert!(moved.len() == 1 && moved[0].contains("moved from none to serial"), "{moved:?}");
}

#[tokio::test]
async fn no_secret_hides_a_change() {
    let world = world(MODULE).await;
    let words = ["resource_changes", "importing", "terraform_data.two", "workspace"];
    let secrets: Vec<(&str, &str)> = words.iter().map(|word| (*word, *word)).collect();
    let effects = effects_with(&world, &secrets);
    let call = call(&world, in_workspace("blue"));
    let plan = match run_by(&effects, &world, "plan", Call::TfPlan(call.clone())).await {
        StepOutcome::Done { record: Record::Plan(plan), .. } => *plan,
        other => panic!("{other:?}"),
    };
    let created: Vec<&str> =
        plan.summary.addresses[&Action::Create].iter().map(Address::as_str).collect();
    assert_eq!(created, ["terraform_data.one", "terraform_data.three", "terraform_data.two"]);
    assert_eq!(plan.call, call);
}

#[tokio::test]
async fn a_plan_is_limited_to_its_targets_and_makes_anew_what_it_is_told_to() {
    let world = world(MODULE).await;
    let targets = vec!["terraform_data.two".to_owned()];
    let part = call(&world, ModuleOptions { targets, ..ModuleOptions::default() });
    let part = plan(&world, part).await;
    let created: Vec<&str> =
        part.summary.addresses[&Action::Create].iter().map(Address::as_str).collect();
    assert_eq!(created, ["terraform_data.two"]);
    apply(&world, &part).await;
    let replace = vec!["terraform_data.two".to_owned()];
    let rest = call(&world, ModuleOptions { replace, ..ModuleOptions::default() });
    let rest = plan(&world, rest).await;
    assert_eq!((rest.summary.create, rest.summary.replace), (2, 1));
}

#[tokio::test]
async fn what_exists_is_taken_into_the_state_by_the_plan_that_shows_it() {
    let mut world = world("resource \"terraform_data\" \"kept\" {}\n").await;
    let imports: BTreeMap<String, String> =
        [("terraform_data.kept".to_owned(), "an \"odd\" ${id}".to_owned())].into();
    let import = ImportCall { dir: "src/infra".to_owned(), imports: imports.clone() };
    let outcome = run(&world, "import", Call::TfImport(import.clone())).await;
    let StepOutcome::Done { record, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(record, Record::Imports(import.clone()));
    let options = ModuleOptions { imports, ..ModuleOptions::default() };
    let made = plan(&world, call(&world, options.clone())).await;
    let [change] = made.summary.changes.as_slice() else { panic!("{:?}", made.summary) };
    assert!(change.importing && made.summary.has_changes && made.summary.create == 0);
    let told = made.text.clone().expect("the tool says it");
    assert!(told.text.contains("terraform_data.kept will be imported") && !told.is_cut());
    assert!(!told.text.contains('\u{1b}'), "no colours: {}", told.text);
    apply(&world, &made).await;
    let again = plan(&world, call(&world, options.clone())).await;
    assert!(!again.summary.has_changes, "what is imported stays as it is");
    // A commit of the checkout has nothing of it.
    let base = world.tip();
    let outcome = run(&world, "commit", world.commit_call(&base)).await;
    let StepOutcome::Done { outputs, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(outputs["changed"], json!(false));

    world.write("infra/lockstep_imports.tf", "");
    world.publish("theirs");
    world.forget();
    world.checkout().await;
    for call in [Call::TfImport(import), Call::TfPlan(call(&world, options))] {
        let StepOutcome::Failed { message, retry, .. } = run(&world, "import", call).await else {
            panic!("it has the file")
        };
        assert!(!retry && message.contains("`lockstep_imports.tf`"), "{message}");
    }
}

#[tokio::test]
async fn what_a_module_made_is_destroyed_by_a_plan_that_says_so() {
    let world = world(MODULE).await;
    let made = plan(&world, call(&world, ModuleOptions::default())).await;
    apply(&world, &made).await;
    let goal = PlanGoal::Destruction;
    let targets = vec!["terraform_data.two".to_owned()];
    let part = ModuleOptions { goal, targets, ..ModuleOptions::default() };
    let part = plan(&world, call(&world, part)).await;
    assert_eq!((part.summary.delete, part.summary.create), (1, 0));
    apply(&world, &part).await;
    let rest = ModuleOptions { goal, ..ModuleOptions::default() };
    let rest = plan(&world, call(&world, rest)).await;
    assert_eq!((rest.summary.delete, rest.summary.create), (2, 0));
    apply(&world, &rest).await;
    assert_eq!(outputs(&world, rest.call).await, json!({}));
}

#[tokio::test]
async fn a_tool_of_another_version_runs_nothing() {
    let world = world(MODULE).await;
    let version = |wanted: &str| ModuleOptions {
        version: Some(wanted.to_owned()),
        ..ModuleOptions::default()
    };
    let message = refused(&world, version("< 1.0")).await;
    assert!(message.starts_with("version: the step wants "), "{message}");
    assert!(message.contains(" < 1.0, and ") && message.contains("nothing was run"), "{message}");
    assert!(!world.path("data/states/shop").exists());
    plan(&world, call(&world, version(">= 1.0"))).await;
}

#[tokio::test]
async fn the_environment_of_a_module_is_its_step_s() {
    let world = world(MODULE).await;
    let env = [("TF_VAR_key".to_owned(), "another".to_owned())].into();
    let first = ModuleOptions { env, ..ModuleOptions::default() };
    let first = plan(&world, call(&world, first)).await;
    apply(&world, &first).await;
    let options = ModuleOptions {
        env: [("TF_VAR_region".to_owned(), "eu-1".to_owned())].into(),
        secrets: [("TF_VAR_key".to_owned(), "states/password".to_owned())].into(),
        ..ModuleOptions::default()
    };
    let made = plan(&world, call(&world, options.clone())).await;
    // Neither all of it nor, where the value is shortened, its beginning.
    let (shown, begin) = (serde_json::to_string(&made).unwrap(), &PASSWORD[..4]);
    assert!(shown.contains("[sec") && !shown.contains(begin), "{shown}");
    apply(&world, &made).await;
    let expected =
        json!({ "workspace": "default", "region": "eu-1", "key_length": PASSWORD.len() });
    assert_eq!(outputs(&world, made.call).await, expected);
    let secrets = [("TF_VAR_key".to_owned(), "states/token".to_owned())].into();
    let message = refused(&world, ModuleOptions { secrets, ..options }).await;
    assert!(message.contains("has no key \"token\""), "{message}");
}

#[tokio::test]
async fn a_module_without_a_backend_takes_no_settings_for_one() {
    let world = world(MODULE).await;
    let backend_config = json!({ "path": "x" }).as_object().unwrap().clone();
    let options = ModuleOptions { backend_config, ..ModuleOptions::default() };
    let message = refused(&world, options).await;
    assert!(message.starts_with("backend_config: module \"src/infra\" declares no"), "{message}");
}

/// States by path, for who has the password.
type States = Arc<Mutex<BTreeMap<String, Bytes>>>;

async fn keep(
    State(states): State<States>,
    method: Method,
    uri: axum::http::Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    use base64::Engine as _;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("ci:{PASSWORD}"));
    if headers.get("authorization").is_none_or(|sent| *sent != format!("Basic {pair}")) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let mut states = states.lock().unwrap();
    match method {
        Method::GET => match states.get(uri.path()) {
            Some(state) => state.clone().into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        Method::POST => {
            states.insert(uri.path().to_owned(), body);
            StatusCode::OK.into_response()
        }
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

/// Whether a file below a directory holds this text.
fn holds(dir: &std::path::Path, text: &str) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() { holds(&path, text) } else { find(&path, text) }
    })
}

fn find(file: &std::path::Path, text: &str) -> bool {
    let bytes = std::fs::read(file).unwrap_or_default();
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

/// What the tool sees of its environment, and what it runs to make something.
const LOOKS: &str = r#"
locals {
  environment = file("/proc/self/environ")
}
resource "terraform_data" "made" {
  provisioner "local-exec" { command = "test \"$CLOUD_KEY\" = writes && test \"$WRITE_KEY\" = writes" }
}
output "reads" { value = strcontains(local.environment, "CLOUD_KEY=reads") }
output "writes" { value = strcontains(local.environment, "=writes") }
"#;

#[tokio::test]
async fn what_only_the_apply_may_have_the_plan_does_not_see() {
    let world = world(LOOKS).await;
    let effects = effects_with(&world, &[("read", "reads"), ("write", "writes")]);
    let of = |name: &str, key: &str| (name.to_owned(), format!("states/{key}"));
    let options = ModuleOptions {
        secrets: [of("CLOUD_KEY", "read")].into(),
        apply_secrets: [of("CLOUD_KEY", "write"), of("WRITE_KEY", "write")].into(),
        ..ModuleOptions::default()
    };
    let planned = run_by(&effects, &world, "plan", Call::TfPlan(call(&world, options))).await;
    let StepOutcome::Done { record: Record::Plan(made), .. } = planned else {
        panic!("{planned:?}")
    };
    let seen = |name: &str| made.outputs.get(name).cloned();
    assert_eq!(seen("reads"), Some(PlannedOutput::Known(true.into())));
    assert_eq!(seen("writes"), Some(PlannedOutput::Known(false.into())));
    let unknown = ModuleOptions {
        apply_secrets: [of("WRITE_KEY", "wirte")].into(),
        ..ModuleOptions::default()
    };
    let message = refused(&world, unknown).await;
    assert!(
        message.contains("apply_secrets.WRITE_KEY: ") && message.contains("\"wirte\""),
        "{message}"
    );
    let apply = ApplyCall { plan: made.clone(), run: "prod.1-apply".to_owned() };
    let applied = run_by(&effects, &world, "apply", Call::TfApply(apply)).await;
    assert!(matches!(applied, StepOutcome::Done { .. }), "{applied:?}");
}

/// A module that wants a provider of this address.
fn wants(source: &str) -> String {
    format!(
        "terraform {{\n  required_providers {{\n    thing = {{ source = {source:?} }}\n  }}\n}}\n\
         resource \"thing_thing\" \"one\" {{}}\n"
    )
}

#[tokio::test]
async fn a_module_uses_the_providers_that_it_may_and_no_other() {
    let mirror = tempfile::tempdir().unwrap();
    std::fs::set_permissions(mirror.path(), Permissions::from_mode(0o755)).unwrap();
    // No provider can be had from elsewhere here, and what stands in for these does not speak like one.
    for namespace in ["acme", "other"] {
        let dir = mirror.path().join(format!("example.com/{namespace}/thing/1.0.0/linux_amd64"));
        std::fs::create_dir_all(&dir).unwrap();
        let program = dir.join("terraform-provider-thing_v1.0.0");
        std::fs::write(&program, "#!/bin/sh\nexit 1\n").unwrap();
        std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    }
    let told = async |source: &str| {
        let world = world(&wants(source)).await;
        let providers = Providers {
            allow: vec!["example.com/acme/*".parse().unwrap()],
            mirror: Some(mirror.path().to_owned()),
            registries: false,
        };
        let config = EffectsConfig { providers: Some(providers), ..world.config() };
        let effects = Effects::open(config).unwrap();
        let plan = Call::TfPlan(call(&world, ModuleOptions::default()));
        match run_by(&effects, &world, "plan", plan).await {
            StepOutcome::Failed { message, retry, .. } => (message, retry),
            other => panic!("{other:?}"),
        }
    };
    let (message, _) = told("example.com/acme/thing").await;
    assert!(message.contains("plugin") && !message.contains("infra_providers"), "{message}");
    for other in ["example.com/other/thing", "hashicorp/aws"] {
        let (message, retry) = told(other).await;
        assert!(
            !retry && message.contains("lets modules use example.com/acme/* from"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn the_settings_of_a_backend_hold_secrets_that_nobody_is_told() {
    let declared = format!("terraform {{\n  backend \"http\" {{}}\n}}\n{MODULE}");
    let world = world(&declared).await;
    let states = States::default();
    let url = scripted(Router::new().fallback(keep).with_state(states.clone())).await;
    let with = |path: &str, password: &str| {
        let address = url.join(path).unwrap().to_string();
        let config = json!({ "address": address, "username": "ci", "password": password });
        let secret =
            SecretRef { credential: "states".parse().unwrap(), key: "password".to_owned() };
        ModuleOptions {
            backend_config: config.as_object().unwrap().clone(),
            backend_secrets: vec![secret],
            ..ModuleOptions::default()
        }
    };
    let message = refused_later(&world, with("blue", "wrong")).await;
    assert!(message.contains("HTTP") || message.contains("auth"), "{message}");
    let words = "[secret states/password]";
    let blue = plan(&world, call(&world, with("blue", words))).await;
    assert!(!serde_json::to_string(&blue).unwrap().contains(PASSWORD));
    apply(&world, &blue).await;
    assert_eq!(states.lock().unwrap().keys().collect::<Vec<_>>(), ["/blue"]);
    // Another address is another state.
    let green = plan(&world, call(&world, with("green", words))).await;
    assert_eq!(green.summary.create, 3);
    let again = plan(&world, blue.call.clone()).await;
    assert!(!again.summary.has_changes);
    assert_eq!(outputs(&world, blue.call).await["workspace"], json!("default"));
    assert!(!world.path("data/states/shop").exists(), "its state is where the module says");
    assert!(!holds(&world.path("data/runs"), PASSWORD), "no log has it");
}

/// What preparing a module says that may pass by itself.
async fn refused_later(world: &World, options: ModuleOptions) -> String {
    match run(world, "plan", Call::TfPlan(call(world, options))).await {
        StepOutcome::Failed { message, .. } => message,
        other => panic!("{other:?}"),
    }
}
