//! One world: a git server, a receiver of requests, real infra, and what happened in them.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use indexmap::IndexMap;
use jiff::Timestamp;
use reconciler_domain::step::{
    Asks, Call, Checkout, CheckoutAt, CloneCall, CommitCall, IfMoved, ModuleOptions, PlanCall,
    PushCall, Record, RevertCall, StepOutcome, UpdateCall,
};
use reconciler_effects::http::EgressPolicy;
use reconciler_effects::infra::shim::Shim;
use reconciler_effects::sandbox::Settings;
use reconciler_effects::{Effects, EffectsConfig, Halted, RunContext, Workdir};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::forge::{Dialect, Forge, REPOSITORY};
use crate::githttp::{Access, GitHttp, init_bare};
use crate::images::Images;
use crate::rendering;
use crate::sealing::OneKey;

pub(crate) const PROBE: &str = env!("CARGO_BIN_EXE_effects-probe");
pub(crate) const REPO: &str = "app.git";

const VALUES: &str =
    "image:\n  tag: 1.0.0 # set by promotions\n# 2\n# 3\n# 4\n# 5\n# 6\nreplicas: 1\n";

/// Says in a file of the world that it ran, and waits there until it may go on.
const MODULE: &str = r#"
variable "world" { type = string }
resource "terraform_data" "quick" { input = "done" }
resource "terraform_data" "slow" {
  input      = var.world
  depends_on = [terraform_data.quick]
  provisioner "local-exec" {
    command = "echo created >> $WORLD/effects; while [ ! -e $WORLD/go ]; do sleep 0.02; done"
    environment = { WORLD = var.world }
  }
  provisioner "local-exec" {
    when    = destroy
    command = "echo destroyed >> $WORLD/effects; while [ ! -e $WORLD/go ]; do sleep 0.02; done"
    environment = { WORLD = self.input }
  }
}
output "where" { value = terraform_data.slow.output }
output "fixed" { value = "known" }
output "hidden" {
  value     = "s3cret"
  sensitive = true
}
"#;

pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) server: GitHttp,
    pub(crate) inbox: Inbox,
    images: Option<Images>,
    /// Speaks about the pull requests of the repository, which it has under another name.
    pub(crate) forge: Forge,
    history: Vec<(String, Call)>,
}

/// Receives requests and keeps their idempotency keys.
#[derive(Clone)]
pub(crate) struct Inbox {
    pub(crate) url: String,
    keys: Arc<Mutex<Vec<String>>>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::at(Dialect::Gitea, None).await
    }

    /// A world with a forge that speaks so, and wants this token.
    pub(crate) async fn at(dialect: Dialect, token: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let served = folder.path().join("served");
        init_bare(&served.join(REPO)).unwrap();
        std::fs::create_dir(served.join("shop")).unwrap();
        std::os::unix::fs::symlink("../app.git", served.join(format!("{REPOSITORY}.git"))).unwrap();
        let forge = Forge::new(dialect, &served.join(REPO), token);
        let address = ([127, 0, 0, 1], 0).into();
        let server = GitHttp::start_beside(address, &served, Access::Open, forge.router());
        let server = server.await.unwrap();
        let inbox = Inbox::start().await;
        let outside = folder.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        // Whoever a module's code is, this is what it may change.
        std::fs::set_permissions(&outside, std::fs::Permissions::from_mode(0o777)).unwrap();
        let world = Self { folder, server, inbox, images: None, forge, history: Vec::new() };
        let people = world.path("people");
        git(world.folder.path(), &["clone", "--quiet", "served/app.git", "people"]);
        world.write("values.yaml", VALUES);
        std::fs::create_dir(people.join("infra")).unwrap();
        world.write("infra/main.tf", MODULE);
        world.publish("first");
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file of the working directory.
    pub(crate) fn held(&self, file: &str) -> PathBuf {
        let work = self.path("data").join("work");
        work.join("shop").join("prod.1").join("main").join(file)
    }

    /// Lets the infra run go on.
    pub(crate) fn go(&self) {
        std::fs::write(self.path("outside/go"), "").unwrap();
    }

    /// Its registry, which is started when it is needed.
    pub(crate) async fn images(&mut self) -> &Images {
        if self.images.is_none() {
            self.images = Some(Images::start().await);
        }
        self.images.as_ref().unwrap()
    }

    /// What other people write.
    pub(crate) fn write(&self, path: &str, text: &str) {
        std::fs::write(self.path("people").join(path), text).unwrap();
    }

    pub(crate) fn publish(&self, message: &str) {
        let people = self.path("people");
        git(&people, &["add", "--all"]);
        git(&people, &["commit", "--quiet", "-m", message]);
        git(&people, &["push", "--quiet", "origin", "HEAD:main"]);
    }

    /// What other people push to a branch of its own; gives its commit.
    pub(crate) fn propose(&self, branch: &str, path: &str, text: &str) -> String {
        let people = self.path("people");
        git(&people, &["checkout", "--quiet", "-B", branch]);
        self.write(path, text);
        git(&people, &["add", "--all"]);
        git(&people, &["commit", "--quiet", "-m", &format!("change {path}")]);
        git(&people, &["push", "--quiet", "origin", &format!("HEAD:{branch}")]);
        git(&people, &["checkout", "--quiet", "-"]);
        self.tip_of(branch)
    }

    /// The repository as the forge has it.
    pub(crate) fn forge_repo(&self) -> String {
        self.server.url(&format!("{REPOSITORY}.git"))
    }

    /// A file as it is on the branch.
    pub(crate) fn published(&self, path: &str) -> String {
        git(&self.path("served/app.git"), &["show", &format!("main:{path}")])
    }

    pub(crate) fn tip(&self) -> String {
        self.tip_of("main")
    }

    pub(crate) fn tip_of(&self, branch: &str) -> String {
        git(&self.path("served/app.git"), &["rev-parse", branch]).trim().to_owned()
    }

    /// How many things there are outside: commits, branches, tags, infra provisioners, distinct
    /// requests, what happened in the registry, and what was done to pull requests. One that was merged
    /// is a commit.
    pub(crate) fn happened(&self) -> isize {
        let commits = git(&self.path("served/app.git"), &["rev-list", "--count", "main"]);
        let infra = std::fs::read_to_string(self.path("outside/effects")).unwrap_or_default();
        let tags = git(&self.path("served/app.git"), &["tag", "--list"]).lines().count();
        let commits: usize = commits.trim().parse().unwrap();
        let images = self.images.as_ref().map_or(0, Images::happened);
        let branches = git(&self.path("served/app.git"), &["branch", "--list"]).lines().count();
        let forge = self.forge.happened() - self.forge.merged();
        let git = commits + branches + tags;
        let all = git + infra.lines().count() + self.inbox.distinct() + images + forge;
        isize::try_from(all).unwrap()
    }

    /// The effects as another process would open them.
    pub(crate) fn open(&self) -> Effects {
        self.open_with(CancellationToken::new())
    }

    pub(crate) fn open_with(&self, shutdown: CancellationToken) -> Effects {
        Effects::open(EffectsConfig { shutdown, ..self.config() }).unwrap()
    }

    pub(crate) fn config(&self) -> EffectsConfig {
        EffectsConfig {
            egress: EgressPolicy::with_private(),
            sandbox: Settings { write: vec![self.path("outside")], ..Settings::default() },
            shim: Shim::at(PROBE),
            search_path: rendering::installed(&self.path("bin")),
            sealing: Arc::new(OneKey(1)),
            ..EffectsConfig::new(self.path("data"), [7; 32])
        }
    }

    pub(crate) async fn run(&self, task: &Task) -> StepOutcome {
        self.run_until(task, &CancellationToken::new()).await.unwrap()
    }

    /// The same, until it is broken off.
    pub(crate) async fn run_until(
        &self,
        task: &Task,
        interrupt: &CancellationToken,
    ) -> Result<StepOutcome, Halted> {
        let Task { workdir, step, call, rebuild } = task;
        self.open().run(&cx(*workdir), &name(step), call, &named(rebuild), interrupt).await
    }

    /// Runs a step that others need, and remembers it for rebuilding.
    pub(crate) async fn prepare(&mut self, step: &str, call: Call) -> Record {
        let task = self.task(step, call);
        let (_, record) = done(self.run(&task).await);
        self.history.push((step.to_owned(), pinned(task.call, &record)));
        record
    }

    /// Begins anew, without the steps so far.
    pub(crate) fn forget(&mut self) {
        self.history.clear();
    }

    /// A call after the steps so far.
    pub(crate) fn task(&self, step: &str, call: Call) -> Task {
        let rebuild = self.history.clone();
        Task { workdir: Workdir::Main, step: step.to_owned(), call, rebuild }
    }

    /// The same in a process of its own.
    pub(crate) fn spawn(&self, task: &Task) -> Child {
        let order = json!({
            "data_dir": self.path("data"), "project": "shop", "stage": "prod",
            "promotion": "prod.1", "undo": task.workdir == Workdir::Undo, "now": now(),
            "step": task.step, "call": task.call, "rebuild": task.rebuild,
            "write": [self.path("outside")], "step": task.step, "call": task.call, "rebuild": task.rebuild,
        });
        let file = self.path("order.json");
        std::fs::write(&file, order.to_string()).unwrap();
        let mut probe = Command::new(PROBE);
        probe.env("PATH", rendering::installed(&self.path("bin")));
        probe.arg("run-call").arg(file).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
    }

    /// Loses what may be lost.
    pub(crate) fn lose(&self, what: &str) {
        std::fs::remove_dir_all(self.path("data").join(what)).unwrap();
    }
}

/// One call with what it needs.
#[derive(Clone)]
pub(crate) struct Task {
    pub(crate) workdir: Workdir,
    pub(crate) step: String,
    pub(crate) call: Call,
    pub(crate) rebuild: Vec<(String, Call)>,
}

impl Inbox {
    async fn start() -> Self {
        let keys: Arc<Mutex<Vec<String>>> = Arc::default();
        let receive = |State(keys): State<Arc<Mutex<Vec<String>>>>, headers: HeaderMap| async move {
            let key = headers.get("idempotency-key").map(|key| key.to_str().unwrap().to_owned());
            keys.lock().unwrap().extend(key);
            axum::Json(json!({ "id": 7 }))
        };
        let router = Router::new().fallback(receive).with_state(keys.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/deploys", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, keys }
    }

    fn distinct(&self) -> usize {
        self.keys.lock().unwrap().iter().collect::<BTreeSet<_>>().len()
    }
}

/// Calls of the usual pipeline.
impl World {
    pub(crate) fn clone_call(&self) -> Call {
        let at = CheckoutAt::Branch("main".to_owned());
        let (dir, paths) = ("src".to_owned(), Vec::new());
        let checkouts = vec![Checkout { dir, at, create: false, paths }];
        Call::GitClone(CloneCall { repo: self.server.url(REPO), checkouts })
    }

    pub(crate) fn commit_call(&self, base: &str) -> Call {
        Call::GitCommit(CommitCall {
            paths: Vec::new(),
            dir: "src".to_owned(),
            repo: self.server.url(REPO),
            base: base.to_owned(),
            message: "promote 2.0.0".to_owned(),
            author_name: "Lockstep".to_owned(),
            author_email: "lockstep@example.com".to_owned(),
            date: now(),
            mark: "prod.1/commit".to_owned(),
        })
    }

    pub(crate) fn push_call(&self, commit: Option<&str>) -> Call {
        Call::GitPush(PushCall {
            repo: self.server.url(REPO),
            branch: "main".to_owned(),
            commit: commit.map(str::to_owned),
            mark: "prod.1/commit".to_owned(),
            if_moved: IfMoved::Rebase,
            stands_on: None,
            own: Vec::new(),
            asks: Asks::No,
        })
    }

    pub(crate) fn plan_call(&self) -> PlanCall {
        let vars = Map::from_iter([("world".to_owned(), json!(self.path("outside")))]);
        PlanCall {
            dir: "src/infra".to_owned(),
            vars,
            var_files: Vec::new(),
            state: "main".to_owned(),
            tool: None,
            lock_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(300),
            destroy: Vec::new(),
            options: ModuleOptions::default(),
        }
    }

    /// Clones, edits and commits; gives the commit.
    pub(crate) async fn commit(&mut self) -> String {
        let base = self.checkout().await;
        self.prepare("edit", update_call("2.0.0")).await;
        let call = self.commit_call(&base);
        match self.prepare("commit", call).await {
            Record::Commit(made) => made.commit.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Publishes a file of each language, and clones.
    pub(crate) async fn with_files(&mut self) {
        self.write("values.json", "{ \"image\": { \"tag\": \"1.0.0\" } }\n");
        self.write("values.toml", "[image]\ntag = \"1.0.0\" # set\n");
        self.write("values.tfvars", "tag = \"1.0.0\" # set\n");
        self.write("over.yaml", "image:\n  tag: 2.0.0\n");
        self.write("kustomization.yaml", "images:\n- name: api # ours\n  newTag: 1.0.0\n");
        self.write("template.txt", "tag {{ values.tag }}\n");
        self.publish("files");
        self.checkout().await;
    }

    /// Clones; gives the commit.
    pub(crate) async fn checkout(&mut self) -> String {
        let call = self.clone_call();
        match self.prepare("clone", call).await {
            Record::Clone(clone) => clone.commits["src"].clone(),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn update_call(tag: &str) -> Call {
    let updates = IndexMap::from([("image.tag".to_owned(), json!(tag))]);
    Call::YamlUpdate(UpdateCall { path: "src/values.yaml".to_owned(), updates })
}

/// The undo of a push to a branch, which that push may have made.
pub(crate) fn revert_call(world: &World, branch: &str, commit: &str, created: bool) -> Call {
    Call::GitRevert(RevertCall {
        may_be_gone: false,
        repo: world.server.url(REPO),
        branch: branch.to_owned(),
        commit: commit.to_owned(),
        author_name: "Lockstep".to_owned(),
        author_email: "lockstep@example.com".to_owned(),
        date: now(),
        mark: "prod.1/push".to_owned(),
        created,
        asks: Asks::No,
    })
}

pub(crate) fn shop() -> reconciler_domain::id::ProjectName {
    "shop".parse().unwrap()
}

pub(crate) fn cx(workdir: Workdir) -> RunContext {
    RunContext {
        project: shop(),
        stage: "prod".parse().unwrap(),
        promotion: "prod.1".parse().unwrap(),
        workdir,
        now: now(),
    }
}

pub(crate) fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

pub(crate) fn name(step: &str) -> reconciler_domain::id::StepName {
    step.parse().unwrap()
}

fn named(rebuild: &[(String, Call)]) -> Vec<(reconciler_domain::id::StepName, Call)> {
    rebuild.iter().map(|(step, call)| (name(step), call.clone())).collect()
}

pub(crate) fn done(outcome: StepOutcome) -> (Map<String, Value>, Record) {
    match outcome {
        StepOutcome::Done { outputs, record } => (outputs, record),
        other => panic!("{other:?}"),
    }
}

/// As the log gives it back: every branch at the commit that it was.
fn pinned(mut call: Call, record: &Record) -> Call {
    if let (Call::GitClone(clone), Record::Clone(record)) = (&mut call, record) {
        for checkout in &mut clone.checkouts {
            let commit = record.commits[&checkout.dir].clone();
            checkout.at = CheckoutAt::Pinned { branch: "main".to_owned(), commit };
        }
    }
    call
}

pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(dir).args(args).env("GIT_CONFIG_NOSYSTEM", "1");
    command.env("GIT_CONFIG_GLOBAL", "/dev/null");
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Ann").env(format!("GIT_{role}_EMAIL"), "a@b.c");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
