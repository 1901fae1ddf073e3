//! Real modules of the built-in provider: whole cycles, and applies whose processes are killed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reconciler_effects::infra::run::{
    self, ApplyError, ApplySpec, RunError, RunStatus, attach, outcome, wait,
};
use reconciler_effects::infra::shim::Shim;
use reconciler_effects::infra::{
    InfraError, Module, Plan, PlanMode, PlanOptions, State, Tool, ToolKind, ToolPreference,
};
use rustix::process::{Pid, Signal};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

const PROBE: &str = env!("CARGO_BIN_EXE_effects-probe");

const TWO_VALUES: &str = r#"
variable "text" { type = string }
variable "list" {
  type    = list(number)
  default = []
}
resource "terraform_data" "a" { input = var.text }
resource "terraform_data" "b" { input = var.list }
output "text" { value = terraform_data.a.output }
output "hidden" {
  value     = "s3cret-${var.text}"
  sensitive = true
}
"#;

/// `a` is quick; `b` counts its runs in a file and then waits for the file `go`.
const SLOW: &str = r#"
resource "terraform_data" "a" { input = "done" }
resource "terraform_data" "b" {
  depends_on = [terraform_data.a]
  provisioner "local-exec" {
    command = "echo $$ >> runs; while [ ! -e go ]; do sleep 0.02; done"
  }
}
"#;

pub(crate) struct Bench {
    temp: tempfile::TempDir,
    pub(crate) module: Module,
    pub(crate) cancel: CancellationToken,
}

impl Bench {
    pub(crate) async fn new(config: &str) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let cancel = CancellationToken::new();
        let tool = Tool::detect(&ToolPreference::Auto, &cancel).await.unwrap();
        let dir = temp.path().join("module");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("main.tf"), config).unwrap();
        let mut module = Module::new(tool, dir, temp.path().join("scratch"));
        module.state = State::Embedded(temp.path().join("states/one.tfstate"));
        module.lock_timeout = Duration::ZERO;
        Self { temp, module, cancel }
    }

    pub(crate) async fn ready(config: &str) -> Self {
        let bench = Self::new(config).await;
        bench.module.init(&bench.cancel).await.unwrap();
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    pub(crate) fn options(&self, variables: &Value) -> PlanOptions {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let variables = variables.as_object().unwrap().clone();
        let name = format!("plan{}.bin", NEXT.fetch_add(1, Ordering::Relaxed));
        PlanOptions { variables, ..PlanOptions::new(self.path(&name)) }
    }

    pub(crate) async fn plan(&self, variables: &Value) -> Plan {
        self.module.plan(&self.options(variables), &self.cancel).await.unwrap()
    }

    pub(crate) fn spec(&self, plan: &Plan, run: &str) -> ApplySpec {
        ApplySpec {
            plan: plan.file.clone(),
            digest: plan.digest.clone(),
            run_dir: self.path(run),
            ephemeral: Map::new(),
            shim: Shim::at(PROBE),
        }
    }

    /// Starts an apply and returns its run directory.
    pub(crate) async fn start(&self, plan: &Plan, run: &str) -> PathBuf {
        let handle = self.module.start_apply(&self.spec(plan, run)).await.unwrap();
        assert!(handle.started_here);
        handle.run_dir
    }

    pub(crate) async fn apply(&self, plan: &Plan, run: &str) -> Result<(), ApplyError> {
        let run_dir = self.start(plan, run).await;
        wait(&run_dir, None, &self.cancel).await.unwrap();
        outcome(&run_dir).map(drop)
    }

    /// Waits until the slow module's provisioner runs.
    async fn provisioner_runs(&self) -> i32 {
        exists(&self.module.dir.join("runs")).await;
        loop {
            let runs = self.runs();
            if let Some(pid) = runs.first().and_then(|pid| pid.parse().ok()) {
                return pid;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn runs(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.module.dir.join("runs")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn let_go(&self) {
        std::fs::write(self.module.dir.join("go"), "").unwrap();
    }

    fn addresses(&self, plan: &Plan) -> Vec<String> {
        let json: Value = serde_json::from_str(&plan.json).unwrap();
        let changes = json["resource_changes"].as_array().cloned().unwrap_or_default();
        changes
            .iter()
            .filter(|change| change["change"]["actions"] != json!(["no-op"]))
            .map(|change| {
                format!(
                    "{} {}",
                    change["change"]["actions"][0].as_str().unwrap(),
                    change["address"].as_str().unwrap()
                )
            })
            .collect()
    }
}

pub(crate) async fn exists(path: &Path) {
    while !path.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn kill9(pid: i32) {
    rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

pub(crate) fn running_pid(run_dir: &Path) -> i32 {
    match attach(run_dir).unwrap() {
        RunStatus::Running { pid } => pid,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_init_that_was_killed_leaves_nothing_in_the_way() {
    let mut bench = Bench::new(TWO_VALUES).await;
    let (wrapper, killed) = (bench.path("terraform"), bench.path("killed"));
    // The first run dies while it writes what the tool keeps of the backend and of child modules.
    let script = format!(
        "#!/bin/sh\n[ -e {killed} ] || {{ mkdir -p $TF_DATA_DIR/modules; : > {killed}\n\
         : > $TF_DATA_DIR/terraform.tfstate; : > $TF_DATA_DIR/modules/modules.json; kill -9 $$; }}\n\
         exec {real} \"$@\"\n",
        killed = killed.display(),
        real = bench.module.tool.path.display(),
    );
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "printf %s \"$1\" > \"$0\" && chmod 755 \"$0\""]);
    assert!(shell.arg(&wrapper).arg(script).status().unwrap().success());
    bench.module.tool.path = wrapper;
    bench.module.init(&bench.cancel).await.unwrap_err();
    bench.module.init(&bench.cancel).await.unwrap();
    let plan = bench.plan(&json!({ "text": "x" })).await;
    assert!(plan.state.is_none(), "nothing is applied yet");
}

#[tokio::test]
async fn a_module_goes_through_its_whole_life() {
    let bench = Bench::ready(TWO_VALUES).await;
    let variables = json!({"text": "one ${x} \"q\"", "list": [1, 2]});
    assert_eq!(bench.module.state(&bench.cancel).await.unwrap(), None);

    let plan = bench.plan(&variables).await;
    assert!(plan.changes && plan.state.is_none());
    assert_eq!(bench.addresses(&plan), ["create terraform_data.a", "create terraform_data.b"]);
    bench.apply(&plan, "run1").await.unwrap();
    let log = outcome(&bench.path("run1")).unwrap();
    assert_eq!((log.completed.len(), log.unfinished.len()), (2, 0));

    let outputs = bench.module.output(&bench.cancel).await.unwrap();
    assert_eq!(outputs["text"].value, variables["text"]);
    assert!(outputs["hidden"].sensitive && !outputs["text"].sensitive);
    let state = bench.module.state(&bench.cancel).await.unwrap().unwrap();

    let again = bench.plan(&variables).await;
    assert!(!again.changes);
    assert_eq!(again.state, Some(state));
    assert!(matches!(bench.apply(&plan, "run2").await, Err(ApplyError::StalePlan)));
}

#[tokio::test]
async fn an_undo_plans_other_inputs_or_destroys_only_its_targets() {
    let bench = Bench::ready(TWO_VALUES).await;
    let plan = bench.plan(&json!({"text": "v2"})).await;
    bench.apply(&plan, "run1").await.unwrap();

    // Another checkout of the module, the same state.
    let mut earlier = bench.module.clone();
    earlier.dir = bench.path("earlier");
    earlier.scratch = bench.path("scratch2");
    std::fs::create_dir(&earlier.dir).unwrap();
    std::fs::write(earlier.dir.join("main.tf"), TWO_VALUES).unwrap();
    earlier.init(&bench.cancel).await.unwrap();
    let undo = earlier.plan(&bench.options(&json!({"text": "v1"})), &bench.cancel).await.unwrap();
    assert_eq!(bench.addresses(&undo), ["update terraform_data.a"]);

    let mut destroy = bench.options(&json!({"text": "v2"}));
    destroy.mode = PlanMode::Destroy;
    let refused = bench.module.plan(&destroy, &bench.cancel).await;
    assert!(matches!(refused, Err(InfraError::Refused { .. })));
    destroy.targets = vec!["terraform_data.b".to_owned()];
    let plan = bench.module.plan(&destroy, &bench.cancel).await.unwrap();
    assert_eq!(bench.addresses(&plan), ["delete terraform_data.b"]);
}

#[tokio::test]
async fn secrets_stay_out_of_arguments_and_leave_no_file() {
    let bench = Bench::ready("variable \"t\" {\n  type = string\n  ephemeral = true\n}\n").await;
    let plan = bench.plan(&json!({"t": "hunter2"})).await;
    let mut spec = bench.spec(&plan, "run1");
    spec.ephemeral = json!({"t": "hunter2"}).as_object().unwrap().clone();
    bench.module.start_apply(&spec).await.unwrap();
    wait(&spec.run_dir, None, &bench.cancel).await.unwrap();
    outcome(&spec.run_dir).unwrap();
    let recorded = std::fs::read_to_string(spec.run_dir.join("spec.json")).unwrap();
    assert!(recorded.contains("-var-file=") && !recorded.contains("hunter2"), "{recorded}");
    let left: Vec<_> = std::fs::read_dir(&bench.module.scratch)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("variables"))
        .collect();
    assert_eq!(left, [] as [&str; 0]);
}

#[tokio::test]
async fn an_apply_outlives_the_process_that_started_it() {
    let bench = Bench::ready(SLOW).await;
    let plan = bench.plan(&json!({})).await;
    let State::Embedded(state) = &bench.module.state else { unreachable!() };
    let run_dir = bench.path("run1");
    assert_eq!(attach(&run_dir).unwrap(), RunStatus::NotStarted);
    let mut starter = std::process::Command::new(PROBE)
        .arg("start-apply")
        .args([&bench.module.dir, &bench.module.scratch, state, &plan.file])
        .arg(&plan.digest)
        .arg(&run_dir)
        .spawn()
        .unwrap();
    bench.provisioner_runs().await;
    starter.kill().unwrap();
    starter.wait().unwrap();

    running_pid(&run_dir);
    let again = bench.module.start_apply(&bench.spec(&plan, "run1")).await.unwrap();
    assert!(!again.started_here, "a claimed run is not started again");
    let brief = Some(Duration::from_millis(50));
    let overdue = wait(&run_dir, brief, &bench.cancel).await;
    assert!(matches!(overdue, Err(RunError::DeadlineExceeded { .. })));

    bench.let_go();
    let ended = wait(&run_dir, None, &bench.cancel).await.unwrap();
    assert!(matches!(ended, RunStatus::Exited { code: Some(0), .. }), "{ended:?}");
    assert_eq!(outcome(&run_dir).unwrap().completed.len(), 2);
    assert_eq!(bench.runs().len(), 1, "applied once");
    assert!(!bench.plan(&json!({})).await.changes);
}

#[tokio::test]
async fn two_starts_at_once_apply_once() {
    let bench = Bench::ready(SLOW).await;
    let plan = bench.plan(&json!({})).await;
    bench.let_go();
    let spec = bench.spec(&plan, "run1");
    let starts = (0..4).map(|_| bench.module.start_apply(&spec));
    let handles = futures::future::join_all(starts).await;
    let started = handles.iter().filter(|handle| handle.as_ref().unwrap().started_here).count();
    assert_eq!(started, 1);
    wait(&spec.run_dir, None, &bench.cancel).await.unwrap();
    outcome(&spec.run_dir).unwrap();
    assert_eq!(bench.runs().len(), 1);
}

#[tokio::test]
async fn a_killed_shim_takes_the_tool_with_it_and_the_rest_is_planned() {
    let bench = Bench::ready(SLOW).await;
    let plan = bench.plan(&json!({})).await;
    let run_dir = bench.start(&plan, "run1").await;
    bench.provisioner_runs().await;
    kill9(running_pid(&run_dir));

    let ended = wait(&run_dir, None, &bench.cancel).await.unwrap();
    assert!(matches!(ended, RunStatus::Dead { .. }), "{ended:?}");
    run::kill(&run_dir).await.unwrap();
    assert_eq!(attach(&run_dir).unwrap(), RunStatus::Dead { survivors: vec![] });
    let Err(ApplyError::Dead { log }) = outcome(&run_dir) else { panic!() };
    assert_eq!(log.maybe_created(), ["terraform_data.b"]);

    // The embedded state kept what was complete, and its lock died with the tool.
    let rest = bench.plan(&json!({})).await;
    assert_eq!(bench.addresses(&rest), ["create terraform_data.b"]);
    bench.let_go();
    bench.apply(&rest, "run2").await.unwrap();
    assert!(matches!(bench.apply(&plan, "run3").await, Err(ApplyError::StalePlan)));
}

#[tokio::test]
async fn an_interrupted_apply_ends_by_itself_and_keeps_its_state() {
    let bench = Bench::ready(SLOW).await;
    let plan = bench.plan(&json!({})).await;
    let run_dir = bench.start(&plan, "run1").await;
    bench.provisioner_runs().await;

    let locked = bench.module.plan(&bench.options(&json!({})), &bench.cancel).await;
    let Err(InfraError::StateLocked { holder, .. }) = locked else { panic!("{locked:?}") };
    assert!(
        holder.id.is_some() && holder.operation.as_deref() == Some("OperationTypeApply"),
        "{holder:?}"
    );

    run::interrupt(&run_dir).await.unwrap();
    let ended = wait(&run_dir, None, &bench.cancel).await.unwrap();
    assert!(matches!(ended, RunStatus::Exited { code: Some(1), .. }), "{ended:?}");
    let Err(ApplyError::Failed { log, .. }) = outcome(&run_dir) else { panic!() };
    assert_eq!(log.completed[0].address, "terraform_data.a");
    let state = bench.module.state(&bench.cancel).await.unwrap();
    assert!(state.is_some(), "the state was written and its lock released");
    run::interrupt(&run_dir).await.unwrap();
    run::kill(&run_dir).await.unwrap();
}

#[tokio::test]
async fn another_plan_file_is_not_applied() {
    let bench = Bench::ready(TWO_VALUES).await;
    let plan = bench.plan(&json!({"text": "x"})).await;
    let mut spec = bench.spec(&plan, "run1");
    spec.digest = "00".repeat(32);
    let refused = bench.module.start_apply(&spec).await;
    assert!(matches!(refused, Err(InfraError::OtherPlan { .. })));
    assert_eq!(attach(&spec.run_dir).unwrap(), RunStatus::NotStarted);
    assert!(matches!(outcome(&spec.run_dir), Err(ApplyError::NotEnded)));
}

#[tokio::test]
async fn declared_backends_and_workspaces_are_kept() {
    let config = format!("terraform {{\n  backend \"local\" {{}}\n}}\n{TWO_VALUES}");
    let mut bench = Bench::new(&config).await;
    let refused = bench.module.init(&bench.cancel).await;
    assert!(matches!(refused, Err(InfraError::Refused { .. })), "{refused:?}");

    let state = bench.path("declared.tfstate");
    bench.module.state = State::Declared;
    bench.module.backend_config =
        json!({"path": state, "workspace_dir": bench.path("spaces")}).as_object().unwrap().clone();
    bench.module.workspace = Some("blue".to_owned());
    bench.module.init(&bench.cancel).await.unwrap();
    bench.module.init(&bench.cancel).await.unwrap();
    let plan = bench.plan(&json!({"text": "x"})).await;
    bench.apply(&plan, "run1").await.unwrap();
    assert!(bench.module.state(&bench.cancel).await.unwrap().is_some());
    assert!(bench.path("spaces/blue/terraform.tfstate").exists() && !state.exists());
}

#[tokio::test]
async fn failures_say_what_the_tool_said() {
    let bench = Bench::new("resource \"terraform_data\" \"a\" {\n  input = var.missing\n}\n").await;
    bench.module.init(&bench.cancel).await.unwrap();
    let error = bench.module.plan(&bench.options(&json!({})), &bench.cancel).await.unwrap_err();
    let said = error.to_string().replace(bench.module.dir.to_str().unwrap(), "DIR");
    insta::assert_snapshot!(said, @r#"plan failed in `DIR` (exit code 1): Reference to undeclared input variable: An input variable with the name "missing" has not been declared. This variable can be declared with a variable "missing" {} block."#);

    let mut small = bench.options(&json!({}));
    std::fs::write(bench.module.dir.join("main.tf"), TWO_VALUES).unwrap();
    small.variables = json!({"text": "x"}).as_object().unwrap().clone();
    small.show_limit = 100;
    let error = bench.module.plan(&small, &bench.cancel).await.unwrap_err();
    assert!(matches!(error, InfraError::TooLarge { limit_bytes: 100, .. }));
}

#[tokio::test]
async fn the_tool_is_asked_what_it_is() {
    let cancel = CancellationToken::new();
    let named = ToolPreference::Kind(ToolKind::Terraform);
    let tool = Tool::detect(&named, &cancel).await.unwrap();
    assert!(tool.version >= semver::Version::new(1, 0, 0));
    let by_path = Tool::detect(&ToolPreference::Path(tool.path.clone()), &cancel).await.unwrap();
    assert_eq!(by_path, tool);
    let other = Tool::detect(&ToolPreference::Path("/bin/echo".into()), &cancel).await.unwrap_err();
    insta::assert_snapshot!(other, @"`/bin/echo` is neither OpenTofu nor Terraform: to `version` it says `version`");
}
