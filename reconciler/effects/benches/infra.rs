//! What a plan and its apply cost beside the same commands of the tool in a shell.
//!
//! One module of the built-in provider, whose one variable is another one each time. Our side is what a promotion does
//! once the module is checked out: plan, keep the plan sealed, and apply it below the shim, all of it contained. The
//! shell runs the commands of the tool that this comes to, and beside them each of `init`, `plan`, `show`, `apply` once. All
//! alternate, so that what else the machine does meets all of them. `make bench ID=infra`; `ROUNDS=N`.
#![expect(clippy::print_stdout, reason = "a bench prints its table")]
#![expect(clippy::unwrap_used, reason = "a bench ends with its first failure")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reconciler_domain::id::StepName;
use reconciler_domain::step::{
    ApplyCall, Call, Checkout, CheckoutAt, CloneCall, ModuleOptions, PlanCall, PlanRecord, Record,
    StepOutcome,
};
use reconciler_effects::http::EgressPolicy;
use reconciler_effects::infra::shim::Shim;
use reconciler_effects::infra::{Tool, ToolPreference};
use reconciler_effects::{Effects, EffectsConfig, RunContext, Workdir};
use serde_json::{Map, json};
use tokio_util::sync::CancellationToken;

use crate::githttp::{Access, GitHttp, init_bare};
use crate::sealing::OneKey;

#[expect(dead_code, reason = "the tests use all of it")]
#[path = "../tests/support/githttp.rs"]
mod githttp;
#[path = "../tests/support/sealing.rs"]
mod sealing;

const SHIM: &str = env!("CARGO_BIN_EXE_effects-probe");
const ROUNDS: usize = 10;
/// What the reference allows: whichever is more.
const ALLOWED: (f64, Duration) = (1.05, Duration::from_millis(30));

const MODULE: &str = r#"
variable "says" { type = string }
resource "terraform_data" "one" { input = var.says }
resource "terraform_data" "two" { input = terraform_data.one.output }
output "says" { value = terraform_data.two.output }
"#;

#[tokio::main]
async fn main() {
    let rounds = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let rounds: usize = rounds.unwrap_or(ROUNDS);
    let bench = Bench::new().await;
    // The first of each finds nothing in any cache.
    bench.ours(0).await;
    bench.shell(Commands::Same, 0);
    bench.shell(Commands::Four, 0);
    let (mut ours, mut same, mut four) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        ours.push(bench.ours(round).await);
        same.push(bench.shell(Commands::Same, round));
        four.push(bench.shell(Commands::Four, round));
    }
    let Tool { kind, version, .. } = &bench.tool;
    println!("| {rounds} rounds, {kind} {version} | lockstep ms | shell ms | more ms | ratio |");
    println!("|---|---|---|---|---|");
    row("plan: init, plan, show as JSON and as text", &ours, &same, 0);
    row("apply: init, apply", &ours, &same, 1);
    let (ratio, more) = row("both", &ours, &same, 2);
    row("both, beside init, plan, show, apply, each once", &ours, &four, 2);
    let kept = ratio <= ALLOWED.0 && more <= ALLOWED.1;
    println!(
        "\nat most 5 % and 30 ms more than the same commands: {}",
        if kept { "kept" } else { "not kept" }
    );
}

/// Prints a row; the ratio, and how much more it is.
fn row(name: &str, ours: &[Took], shell: &[Took], part: usize) -> (f64, Duration) {
    let of = |took: &[Took]| median(took.iter().map(|took| took[part]).collect());
    let (ours, shell) = (of(ours), of(shell));
    let ratio = ours.as_secs_f64() / shell.as_secs_f64();
    println!(
        "| {name} | {:.0} | {:.0} | {:+.0} | {ratio:.3} |",
        ms(ours),
        ms(shell),
        ms(ours) - ms(shell)
    );
    (ratio, ours.saturating_sub(shell))
}

/// For the plan, for the apply, and both.
type Took = [Duration; 3];

/// Which commands the shell runs.
#[derive(Debug, Clone, Copy)]
enum Commands {
    /// Those that a promotion runs.
    Same,
    /// Each that is needed, once.
    Four,
}

struct Bench {
    folder: tempfile::TempDir,
    _server: GitHttp,
    effects: Effects,
    tool: Tool,
    clone: Call,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let served = folder.path().join("served");
        init_bare(&served.join("app.git")).unwrap();
        let people = folder.path().join("people");
        run("git", folder.path(), &["clone", "--quiet", "served/app.git", "people"]);
        std::fs::create_dir(people.join("infra")).unwrap();
        std::fs::write(people.join("infra/main.tf"), MODULE).unwrap();
        run("git", &people, &["add", "."]);
        let who = ["-c", "user.name=x", "-c", "user.email=x@example.com"];
        run("git", &people, &[&who[..], &["commit", "--quiet", "-m", "module"]].concat());
        run("git", &people, &["push", "--quiet", "origin", "HEAD:main"]);
        let server = GitHttp::start(&served, Access::Open).await.unwrap();
        let checkouts = vec![Checkout {
            dir: "src".to_owned(),
            at: CheckoutAt::Branch("main".to_owned()),
            create: false,
            paths: Vec::new(),
        }];
        let clone = Call::GitClone(CloneCall { repo: server.url("app.git"), checkouts });
        let effects = Effects::open(EffectsConfig {
            egress: EgressPolicy::with_private(),
            shim: Shim::at(SHIM),
            sealing: Arc::new(OneKey(1)),
            ..EffectsConfig::new(folder.path().join("data"), [7; 32])
        })
        .unwrap();
        let tool = Tool::detect(&ToolPreference::Auto, &CancellationToken::new()).await.unwrap();
        let module = folder.path().join("shell/module");
        std::fs::create_dir_all(&module).unwrap();
        std::fs::write(module.join("main.tf"), MODULE).unwrap();
        Self { folder, _server: server, effects, tool, clone }
    }

    /// A promotion's plan and apply, and both.
    async fn ours(&self, round: usize) -> Took {
        let cx = RunContext {
            project: "shop".parse().unwrap(),
            stage: "prod".parse().unwrap(),
            promotion: format!("prod.{}", round + 1).parse().unwrap(),
            workdir: Workdir::Main,
            now: Timestamp::now(),
        };
        let clone: StepName = "clone".parse().unwrap();
        self.carry_out(&cx, "clone", &self.clone, &[]).await;
        let rebuild = [(clone, self.clone.clone())];
        let began = Instant::now();
        let call = Call::TfPlan(plan_call(round));
        let Record::Plan(plan) = self.carry_out(&cx, "plan", &call, &rebuild).await else {
            panic!("a plan leaves a plan")
        };
        let planned = began.elapsed();
        let plan: Box<PlanRecord> = plan.to_apply();
        assert!(plan.summary.has_changes);
        let call = Call::TfApply(ApplyCall { plan, run: format!("prod.{round}-apply") });
        self.carry_out(&cx, "apply", &call, &rebuild).await;
        let all = began.elapsed();
        [planned, all - planned, all]
    }

    async fn carry_out(
        &self,
        cx: &RunContext,
        step: &str,
        call: &Call,
        rebuild: &[(StepName, Call)],
    ) -> Record {
        let step = step.parse().unwrap();
        let interrupt = CancellationToken::new();
        match self.effects.run(cx, &step, call, rebuild, &interrupt).await.unwrap() {
            StepOutcome::Done { record, .. } => record,
            other => panic!("{other:?}"),
        }
    }

    /// The commands, one after the other, in one shell each for plan and apply.
    fn shell(&self, commands: Commands, round: usize) -> Took {
        let dir = self.folder.path().join("shell/module");
        let tool = self.tool.path.display();
        let init = format!("{tool} init -input=false -no-color -reconfigure > init.out");
        let plan = format!(
            "{init} && {{ {tool} plan -input=false -json -detailed-exitcode -lock-timeout=60s -var says={commands:?}{round} \
             -out=it.tfplan > plan.out; [ $? = 2 ]; }} && {tool} show -json it.tfplan > it.json"
        );
        let apply =
            format!("{tool} apply -input=false -json -lock-timeout=60s it.tfplan > apply.out");
        let (plan, apply) = match commands {
            Commands::Same => (
                format!("{plan} && {tool} show -no-color it.tfplan > it.txt"),
                format!("{init} && {apply}"),
            ),
            Commands::Four => (plan, apply),
        };
        let began = Instant::now();
        sh(&dir, &plan);
        let planned = began.elapsed();
        sh(&dir, &apply);
        let all = began.elapsed();
        [planned, all - planned, all]
    }
}

fn plan_call(round: usize) -> PlanCall {
    PlanCall {
        dir: "src/infra".to_owned(),
        vars: Map::from_iter([("says".to_owned(), json!(round.to_string()))]),
        var_files: Vec::new(),
        state: "main".to_owned(),
        tool: None,
        lock_timeout: Duration::from_secs(60),
        timeout: Duration::from_secs(300),
        destroy: Vec::new(),
        options: ModuleOptions::default(),
    }
}

fn sh(dir: &Path, script: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).current_dir(dir).stdin(Stdio::null());
    shell.env("CHECKPOINT_DISABLE", "1").env("TF_IN_AUTOMATION", "1").env("TF_INPUT", "0");
    assert!(shell.status().unwrap().success(), "{script}");
}

fn run(program: &str, dir: &Path, args: &[&str]) {
    assert!(Command::new(program).args(args).current_dir(dir).status().unwrap().success());
}

fn median(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took[took.len() / 2]
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}
