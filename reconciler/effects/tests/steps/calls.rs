//! What single calls say and leave behind when the world is not as they would like it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use indexmap::IndexMap;
use reconciler_domain::id::ProjectName;
use reconciler_domain::infra::Action;
use reconciler_domain::plan::Base;
use reconciler_domain::step::{
    Applied, ApplyCall, Asks, Call, Checkout, CheckoutAt, CloneCall, ConfirmCall, DownloadCall,
    FileCall, HttpCall, IfMoved, OutputCall, PlanCall, PlanRecord, PlannedOutput, Poll, PushCall,
    Record, StepOutcome, UpdateCall,
};
use reconciler_effects::{
    Effects, EffectsConfig, Halted, Held, Holdings, RunContext, Workdir, reseal_plans,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use crate::charts;
use crate::sealing::OneKey;
use crate::support::scripted;
use crate::world::{REPO, Task, World, cx, done, git, name, now, revert_call, update_call};

fn failed(outcome: StepOutcome) -> (String, bool, Record) {
    match outcome {
        StepOutcome::Failed { message, retry, record, .. } => (message, retry, record),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_edit_says_what_it_cannot_set() {
    let mut world = World::new().await;
    world.checkout().await;
    let refused = async |path: &str, key: &str, value| {
        let updates = IndexMap::from([(key.to_owned(), value)]);
        let call = Call::YamlUpdate(UpdateCall { path: path.to_owned(), updates });
        let (message, retry, _) = failed(world.run(&world.task("edit", call)).await);
        assert!(!retry, "{message}");
        message
    };
    insta::assert_snapshot!(refused("src/values.yaml", "image.tga", json!("2")).await, @"src/values.yaml: key `image.tga` is not in the first document; only existing values are set");
    insta::assert_snapshot!(refused("src/values.yaml", "image.tag", json!([1])).await, @"src/values.yaml: the value for key `image.tag` cannot be set: a list or an object is no scalar; set each of its values by its own key");
    insta::assert_snapshot!(refused("src/none.yaml", "a", json!("2")).await, @"src/none.yaml: `src/none.yaml` does not exist in the working directory");
    insta::assert_snapshot!(refused("../../etc/passwd", "a", json!("2")).await, @"path `../../etc/passwd` is refused: give a path relative to the working directory without `..`");
}

#[tokio::test]
async fn a_commit_shows_its_files_and_nothing_to_commit_is_nothing_to_push() {
    let mut world = World::new().await;
    let base = world.checkout().await;
    let unchanged = world.run(&world.task("commit", world.commit_call(&base))).await;
    let (outputs, record) = done(unchanged);
    assert_eq!(json!(outputs), json!({ "changed": false, "commit": "" }));
    assert!(matches!(record, Record::Commit(made) if made.commit.is_none()));
    let before = world.happened();
    let (outputs, _) = done(world.run(&world.task("push", world.push_call(None))).await);
    assert_eq!(json!(outputs), json!({ "commit": "", "branch": "main" }));
    assert_eq!(world.happened(), before);

    world.prepare("edit", update_call("2.0.0")).await;
    let call = world.commit_call(&base);
    let Record::Commit(made) = world.prepare("commit", call).await else { panic!() };
    let [file] = made.files.as_slice() else { panic!("{:?}", made.files) };
    assert!(file.old_blob.is_some() && file.new_blob.is_some() && file.path == "values.yaml");
    assert!(file.patch.contains("+  tag: 2.0.0 # set by promotions"), "{}", file.patch);
}

#[tokio::test]
async fn what_was_not_checked_out_is_not_taken_for_deleted() {
    let mut world = World::new().await;
    let Call::GitClone(mut clone) = world.clone_call() else { panic!() };
    clone.checkouts[0].paths = vec!["values.yaml".to_owned()];
    let Record::Clone(record) = world.prepare("clone", Call::GitClone(clone)).await else {
        panic!()
    };
    assert_eq!(record.paths["src"], ["values.yaml"]);
    world.prepare("edit", update_call("2.0.0")).await;
    let Call::GitCommit(mut commit) = world.commit_call(&record.commits["src"]) else { panic!() };
    commit.paths.clone_from(&record.paths["src"]);
    let commit = Call::GitCommit(commit);
    let Record::Commit(made) = world.prepare("commit", commit).await else { panic!() };
    let files: Vec<&str> = made.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(files, ["values.yaml"]);
}

#[tokio::test]
async fn infra_files_never_get_into_a_commit() {
    let mut world = World::new().await;
    let base = world.checkout().await;
    world.prepare("edit", update_call("2.0.0")).await;
    let call = Call::TfPlan(world.plan_call());
    world.prepare("plan", call).await;
    let call = world.commit_call(&base);
    let Record::Commit(made) = world.prepare("commit", call).await else { panic!() };
    let files: Vec<&str> = made.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(files, ["values.yaml"]);
}

#[tokio::test]
async fn a_push_lands_on_what_others_pushed() {
    let mut world = World::new().await;
    let commit = world.commit().await;
    world.write("other.txt", "theirs\n");
    world.publish("theirs");
    let call = world.push_call(Some(&commit));
    let Record::Push(push) = world.prepare("push", call).await else { panic!() };
    assert_ne!(push.commit.as_deref(), Some(commit.as_str()));
    assert_eq!(push.commit.unwrap(), world.tip());
    assert!(world.published("values.yaml").contains("2.0.0"));
    assert!(world.published("other.txt").contains("theirs"));

    let hook = world.path("served/app.git/hooks/pre-receive");
    std::fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let other = Call::GitPush(PushCall {
        repo: world.server.url(REPO),
        branch: "release".to_owned(),
        commit: Some(commit),
        mark: "prod.1/commit".to_owned(),
        if_moved: IfMoved::Rebase,
        stands_on: None,
        own: Vec::new(),
        asks: Asks::No,
    });
    let (message, retry, _) = failed(world.run(&world.task("push", other)).await);
    assert!(!retry && message.contains("hook declined"), "{message}");
}

#[tokio::test]
async fn an_undo_never_overwrites_what_others_wrote() {
    let mut world = World::new().await;
    let commit = world.commit().await;
    let call = world.push_call(Some(&commit));
    world.prepare("push", call).await;
    git(&world.path("people"), &["pull", "--quiet"]);
    world.write("values.yaml", "image:\n  tag: 3.0.0\n");
    world.publish("by hand");
    let before = world.tip();
    let call = revert_call(&world, "main", &commit, false);
    let task = Task { workdir: Workdir::Undo, ..world.task("push", call) };
    let (message, retry, _) = failed(world.run(&task).await);
    let blob = |at: &str| git(&world.path("people"), &["rev-parse", &format!("{at}:values.yaml")]);
    assert!(!retry && world.tip() == before, "{message}");
    for part in ["values.yaml: somebody else changed the same lines", blob("HEAD").trim(), &commit]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
}

async fn planned(world: &mut World) -> PlanRecord {
    world.checkout().await;
    let call = Call::TfPlan(world.plan_call());
    match world.prepare("plan", call).await {
        Record::Plan(plan) => *plan,
        other => panic!("{other:?}"),
    }
}

fn apply(world: &World, plan: &PlanRecord) -> Task {
    let call = ApplyCall { plan: Box::new(plan.clone()), run: "prod.1-apply".to_owned() };
    world.task("apply", Call::TfApply(call))
}

/// The files below a directory.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else if entry.file_type().unwrap().is_file() {
            found.insert(entry.path(), std::fs::read(entry.path()).unwrap());
        }
    }
    found
}

fn created(record: Record) -> Vec<String> {
    match record {
        Record::Applied(Applied { created }) => created,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_plan_keeps_no_secret_and_its_outputs_are_typed() {
    let mut world = World::new().await;
    let plan = planned(&mut world).await;
    assert_eq!(plan.summary.create, 2);
    assert_eq!(plan.outputs["fixed"], PlannedOutput::Known(json!("known")));
    assert_eq!(plan.outputs["where"], PlannedOutput::Unknown);
    assert_eq!(plan.outputs["hidden"], PlannedOutput::Sensitive);
    assert!(!serde_json::to_string(&plan).unwrap().contains("s3cret"));
    let told = &plan.text.as_ref().unwrap().text;
    assert!(told.contains("terraform_data.slow will be created"), "{told}");
    assert!(told.contains("(sensitive value)"), "{told}");
    for (file, text) in files(&world.path("data/plans")) {
        assert!(text.starts_with(b"lockstep sealed plan 1\n1\n"), "{} is open", file.display());
        // As they are when the key changes.
        assert_eq!(reseal_plans(&world.path("data"), &OneKey(1)).unwrap(), 1);
        assert_ne!(std::fs::read(&file).unwrap(), text);
    }
    world.go();
    let task = apply(&world, &plan);
    done(world.run(&task).await);
    let left = files(&world.path("data/runs")).into_keys();
    let left: Vec<_> = left.filter(|file| file.ends_with("plan.tfplan")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(
        files(&world.path("data/work"))
            .into_keys()
            .filter(|file| file.ends_with("draft.tfplan"))
            .count(),
        0
    );
    let output = Call::TfOutput(OutputCall { plan: world.plan_call() });
    let (outputs, _) = done(world.run(&world.task("output", output)).await);
    let names: Vec<&String> = outputs.keys().collect();
    assert_eq!(names, ["fixed", "where"]);

    let again = Call::TfPlan(world.plan_call());
    let (outputs, record) = done(world.run(&world.task("plan", again)).await);
    assert_eq!(outputs["has_changes"], json!(false));
    let Record::Plan(plan) = record else { panic!() };
    std::fs::remove_dir_all(world.path("data/plans")).unwrap();
    let task = apply(&world, &plan);
    assert_eq!(created(done(world.run(&task).await).1), [""; 0], "there was nothing to run");
}

#[tokio::test]
async fn only_the_stored_plan_is_applied() {
    let mut world = World::new().await;
    let plan = planned(&mut world).await;
    let file = world.path("data/plans").join(&plan.file);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.push(0);
    std::fs::write(&file, bytes).unwrap();
    let (message, retry, _) = failed(world.run(&apply(&world, &plan)).await);
    assert!(!retry && message.contains("was changed"), "{message}");
    std::fs::remove_file(&file).unwrap();
    let (message, retry, _) = failed(world.run(&apply(&world, &plan)).await);
    assert!(!retry && message.contains("is gone"), "{message}");
    assert!(!world.path("outside/effects").exists());
}

#[tokio::test]
async fn a_stale_plan_changes_nothing_and_a_moved_base_is_seen() {
    let mut world = World::new().await;
    let stale = planned(&mut world).await;
    let branch = Base::Branch {
        repo: world.server.url(REPO),
        branch: "main".to_owned(),
        commit: world.tip(),
    };
    let bases = [branch, Base::State { plan: Box::new(stale.clone()), workdir: Workdir::Main }];
    let probe = async || world.open().probe(&cx(Workdir::Main), &bases).await.unwrap();
    assert_eq!(probe().await, [""; 0]);
    // Plans of the same state made within one second are the same file, byte for byte: they hold
    // nothing else of the clock. Only another file is another plan.
    let plan = loop {
        let plan = planned(&mut world).await;
        if plan.file != stale.file {
            break plan;
        }
    };
    world.go();
    done(world.run(&apply(&world, &plan)).await);
    world.write("other.txt", "theirs\n");
    world.publish("theirs");
    let moved = world.open().probe(&cx(Workdir::Main), &bases).await.unwrap();
    let [branch, state] = moved.as_slice() else { panic!("{moved:?}") };
    assert!(branch.contains("\"main\"") && branch.ends_with(&world.tip()), "{branch}");
    assert!(state.contains("moved from none to serial"), "{state}");
    let before = world.happened();
    let (message, retry, record) = failed(world.run(&apply(&world, &stale)).await);
    assert!(!retry && message.contains("nothing was changed"), "{message}");
    assert_eq!(record, Record::Stale);
    assert_eq!(world.happened(), before);
}

#[tokio::test]
async fn a_failed_apply_says_what_it_created() {
    let mut world = World::new().await;
    let broken = r#"
resource "terraform_data" "fine" {}
resource "terraform_data" "broken" {
  depends_on = [terraform_data.fine]
  provisioner "local-exec" { command = "echo no such region >&2; exit 3" }
}
variable "world" { type = string }
"#;
    world.write("infra/main.tf", broken);
    world.publish("broken");
    let plan = planned(&mut world).await;
    assert_eq!(plan.summary.addresses[&Action::Create].len(), 2);
    let (message, retry, record) = failed(world.run(&apply(&world, &plan)).await);
    assert!(!retry && message.contains("no such region"), "{message}");
    assert_eq!(created(record), ["terraform_data.fine", "terraform_data.broken"]);
}

/// Whether the first effect of an apply is written down.
fn has_begun(world: &World) -> bool {
    std::fs::read(world.path("outside/effects")).is_ok_and(|written| !written.is_empty())
}

#[tokio::test]
async fn an_apply_that_was_cut_off_is_never_guessed_at() {
    let mut world = World::new().await;
    let plan = planned(&mut world).await;
    let task = apply(&world, &plan);
    let mut child = world.spawn(&task);
    while !has_begun(&world) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let run = std::fs::read_dir(world.path("data/runs/shop")).unwrap().next().unwrap().unwrap();
    // What a machine that stops does to every process of the run.
    reconciler_effects::infra::run::kill(&run.path()).await.unwrap();
    let StepOutcome::Uncertain { message } = world.run(&task).await else { panic!() };
    for part in
        ["Completed: terraform_data.quick.", "terraform_data.slow (create)", "promote again"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(std::fs::read_to_string(world.path("outside/effects")).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn an_apply_past_its_time_is_asked_to_end() {
    let mut world = World::new().await;
    let plan = planned(&mut world).await;
    let task = apply(&world, &plan);
    let mut child = world.spawn(&task);
    while !has_begun(&world) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let late = RunContext { now: now() + plan.call.timeout, ..cx(task.workdir) };
    let outcome = world
        .open()
        .run(&late, &name(&task.step), &task.call, &[], &CancellationToken::new())
        .await
        .unwrap();
    let (message, retry, record) = failed(outcome);
    assert!(!retry, "{message}");
    assert_eq!(created(record), ["terraform_data.quick", "terraform_data.slow"]);
}

#[tokio::test]
async fn an_apply_that_finds_the_state_locked_may_be_tried_again() {
    let mut world = World::new().await;
    let plan = planned(&mut world).await;
    let first = apply(&world, &plan);
    let mut child = world.spawn(&first);
    while !has_begun(&world) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let call = PlanCall { lock_timeout: Duration::ZERO, ..plan.call.clone() };
    let plan = Box::new(PlanRecord { call, ..plan });
    let second = Call::TfApply(ApplyCall { plan, run: "prod.1-other".to_owned() });
    // Its own directories: the first one's are in use.
    let second = Task { workdir: Workdir::Undo, ..world.task("apply", second) };
    for _ in 0..2 {
        let (message, retry, _) = failed(world.run(&second).await);
        assert!(retry && message.contains("is locked by"), "{message}");
    }
    world.go();
    assert!(child.wait().unwrap().success());
    let (message, retry, _) = failed(world.run(&second).await);
    assert!(!retry && message.contains("nothing was changed"), "{message}");
    assert_eq!(std::fs::read_to_string(world.path("outside/effects")).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn a_run_that_died_before_it_began_is_started_again() {
    let mut world = World::new().await;
    let plan = planned(&mut world).await;
    let task = apply(&world, &plan);
    world.go();
    done(world.run(&task).await);
    // The same shim, dead by now, has claimed the run of a plan in a world without a state.
    let runs = world.path("data/runs/shop");
    let run = std::fs::read_dir(&runs).unwrap().next().unwrap().unwrap().path();
    let shim = std::fs::read(run.join("shim.json")).unwrap();
    std::fs::remove_dir_all(&run).unwrap();
    std::fs::create_dir(&run).unwrap();
    std::fs::write(run.join("shim.json"), shim).unwrap();
    let StepOutcome::Uncertain { .. } = world.run(&task).await else { panic!("the state moved") };
    std::fs::remove_dir_all(world.path("data/states")).unwrap();
    let before = world.happened();
    done(world.run(&task).await);
    assert_eq!(world.happened(), before + 1);
}

fn http(url: &str) -> HttpCall {
    HttpCall {
        url: url.to_owned(),
        method: "POST".to_owned(),
        headers: [].into(),
        body: None,
        timeout: Duration::from_secs(5),
        success: "response.status == 200".to_owned(),
        failure: None,
        poll: None,
        outputs: [].into(),
        at_most_once: true,
        confirm: None,
        asks: Asks::No,
        secrets: Vec::new(),
    }
}

/// A receiver that loses its answers: it counts what it is sent, and says of a key whether it came.
async fn forgetful(status_of_known: StatusCode) -> (url::Url, Arc<AtomicUsize>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let (count, asked) = (Arc::clone(&sent), Arc::clone(&sent));
    let receive = move || {
        let count = Arc::clone(&count);
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
    };
    let seen = move || {
        let known = asked.load(Ordering::SeqCst) > 0;
        async move { (if known { status_of_known } else { StatusCode::NOT_FOUND }, "7") }
    };
    let router = Router::new()
        .route("/send", axum::routing::post(receive))
        .route("/accept", axum::routing::post(|| async { "8" }))
        .route("/seen", axum::routing::get(seen));
    (scripted(router).await, sent)
}

#[tokio::test]
async fn a_request_that_can_be_asked_about_is_asked_about() {
    let world = World::new().await;
    let send = async |call: HttpCall| world.run(&world.task("notify", Call::Http(call))).await;
    let call = |url: &url::Url, path: &str, asks: Asks| {
        let confirm = ConfirmCall {
            url: url.join("seen").unwrap().to_string(),
            method: "GET".to_owned(),
            headers: [].into(),
            success: "response.status == 200".to_owned(),
            failure: "response.status == 404".to_owned(),
        };
        let outputs = [("id".to_owned(), "response.json".to_owned())].into();
        let confirm = Some(Box::new(confirm));
        let timeout = Duration::from_millis(500);
        let url = url.join(path).unwrap();
        HttpCall { confirm, asks, outputs, timeout, ..http(url.as_str()) }
    };

    // The answer is lost; it has happened.
    let (url, sent) = forgetful(StatusCode::OK).await;
    let (outputs, _) = done(send(call(&url, "send", Asks::No)).await);
    assert_eq!((json!(outputs), sent.load(Ordering::SeqCst)), (json!({ "id": 7 }), 1));
    // Who comes after a crash asks first, and sends nothing.
    let (outputs, _) = done(send(call(&url, "send", Asks::First)).await);
    assert_eq!((json!(outputs), sent.load(Ordering::SeqCst)), (json!({ "id": 7 }), 1));

    // It has not happened: it is sent.
    let (url, _) = forgetful(StatusCode::OK).await;
    let (outputs, _) = done(send(call(&url, "accept", Asks::First)).await);
    assert_eq!(json!(outputs), json!({ "id": 8 }));

    // It has not happened, and is not to be sent any more.
    let (url, sent) = forgetful(StatusCode::OK).await;
    let (message, retry, _) = failed(send(call(&url, "send", Asks::Only)).await);
    assert!(!retry && message.contains("has not happened"), "{message}");
    assert_eq!(sent.load(Ordering::SeqCst), 0);

    // Nobody can tell: a person is asked, and nothing is sent.
    let (url, sent) = forgetful(StatusCode::IM_A_TEAPOT).await;
    sent.store(1, Ordering::SeqCst);
    let outcome = send(call(&url, "send", Asks::First)).await;
    let StepOutcome::Uncertain { message } = outcome else { panic!("{outcome:?}") };
    assert!(message.contains("asking did not tell") && message.contains("418"), "{message}");
    assert_eq!(sent.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_request_that_may_have_arrived_is_not_sent_again() {
    let world = World::new().await;
    let send = async |call: HttpCall| world.run(&world.task("notify", Call::Http(call))).await;
    let closed = format!("http://127.0.0.1:{}/x?token=s3cret", crate::support::free_port());
    let (message, retry, _) = failed(send(http(&closed)).await);
    assert!(retry && !message.contains("s3cret"), "{message}");

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let cuts = format!("http://{}/x?token=s3cret", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            tokio::io::AsyncReadExt::read(&mut stream, &mut request).await.unwrap();
        }
    });
    let StepOutcome::Uncertain { message } = send(http(&cuts)).await else { panic!() };
    assert!(message.contains("look there") && !message.contains("s3cret"), "{message}");
    let (_, retry, _) = failed(send(HttpCall { at_most_once: false, ..http(&cuts) }).await);
    assert!(retry);
}

#[tokio::test]
async fn an_answer_is_judged() {
    let world = World::new().await;
    let router = Router::new()
        .route("/busy", axum::routing::any(|| async { (StatusCode::BAD_GATEWAY, "later") }))
        .route("/no", axum::routing::any(|| async { (StatusCode::CONFLICT, "not\n now") }))
        .route("/yes", axum::routing::any(|| async { axum::Json(json!({ "n": [1, 2] })) }));
    let url = scripted(router).await;
    let send = async |path: &str, call: HttpCall| {
        let call = HttpCall { url: url.join(path).unwrap().to_string(), ..call };
        world.run(&world.task("notify", Call::Http(call))).await
    };
    let often = HttpCall { at_most_once: false, ..http("") };
    assert!(failed(send("busy", often.clone()).await).1);
    assert!(!failed(send("busy", http("")).await).1, "it may have been acted on");
    let (message, retry, _) = failed(send("no", often.clone()).await);
    assert!(!retry && message.contains("answered 409: not now, which `success`"), "{message}");
    let outputs = [("second".to_owned(), "response.json.n[1]".to_owned())].into();
    let (values, _) = done(send("yes", HttpCall { outputs, ..often.clone() }).await);
    assert_eq!(json!(values), json!({ "second": 2 }));
    let outputs = [("third".to_owned(), "response.json.n[2]".to_owned())].into();
    let (message, retry, _) = failed(send("yes", HttpCall { outputs, ..often }).await);
    assert!(!retry && message.contains("output \"third\""), "{message}");
}

#[tokio::test]
async fn an_answer_that_is_not_so_yet_is_asked_for_again() {
    let world = World::new().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let rollout = move || {
        let seen = count.fetch_add(1, Ordering::SeqCst);
        async move {
            let phase = ["Progressing", "Progressing", "Healthy"].get(seen).unwrap_or(&"Failed");
            let status = if seen == 0 { StatusCode::BAD_GATEWAY } else { StatusCode::OK };
            (status, axum::Json(json!({ "phase": phase })))
        }
    };
    let url = scripted(Router::new().fallback(rollout)).await;
    let (pause, later) = (Duration::from_secs(2), now() + Duration::from_secs(60));
    let call = HttpCall {
        success: "response.status == 200 && response.json.phase == 'Healthy'".to_owned(),
        failure: Some("response.json.phase == 'Failed'".to_owned()),
        poll: Some(Poll { interval: pause, timeout: Duration::from_secs(60), until: later }),
        outputs: [("phase".to_owned(), "response.json.phase".to_owned())].into(),
        at_most_once: false,
        ..http(url.as_str())
    };
    let task = world.task("rollout", Call::Http(call.clone()));
    // Nobody waits for the next look: whoever takes it up then knows nothing of this one.
    for said in ["answered 502", "answered 200: {\"phase\":\"Progressing\"}"] {
        let (message, again) = not_yet(&world, &task).await;
        assert!(message.contains(said), "{message}");
        assert_eq!(again, pause);
    }
    let (outputs, _) = done(world.run(&task).await);
    assert_eq!((json!(outputs), asked.load(Ordering::SeqCst)), (json!({ "phase": "Healthy" }), 3));
    // What will never be so ends at once, and what takes too long ends when the next look would be too late.
    let (message, retry, _) = failed(world.run(&task).await);
    assert!(message.contains("`failure` (response.json.phase == 'Failed') holds"), "{message}");
    assert!(!retry);
    let poll =
        Some(Poll { interval: pause, timeout: Duration::from_secs(3), until: now() + pause });
    let call = HttpCall { success: "false".to_owned(), failure: None, poll, ..call };
    let (message, retry, _) = failed(world.run(&world.task("rollout", Call::Http(call))).await);
    assert!(message.starts_with("it was not so within 3s; the last: "), "{message}");
    assert!(!retry);
}

/// What is so instead of what is waited for, and the pause.
async fn not_yet(world: &World, task: &Task) -> (String, Duration) {
    match world.run_until(task, &CancellationToken::new()).await {
        Err(Halted::NotYet { message, again }) => (message, again),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn stopping_says_nothing_about_a_call() {
    let world = World::new().await;
    let task = world.task("clone", world.clone_call());
    let shutdown = CancellationToken::new();
    let effects = world.open_with(shutdown.clone());
    shutdown.cancel();
    let never = CancellationToken::new();
    let (cx, step) = (cx(task.workdir), name(&task.step));
    let outcome = effects.run(&cx, &step, &task.call, &[], &never).await;
    assert_eq!(outcome, Err(Halted::Stopping));
}

#[tokio::test]
async fn what_never_ends_is_broken_off() {
    let world = World::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}/", listener.local_addr().unwrap());
    let order = CancellationToken::new();
    let ended = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut request).await.map(drop)
    });
    let once = world.task("call", Call::Http(HttpCall { at_most_once: false, ..http(&silent) }));
    let after_a_while = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        order.cancel();
    };
    let (broken, ()) = tokio::join!(world.run_until(&once, &order), after_a_while);
    assert_eq!(broken, Err(Halted::Interrupted));
    // The connection is gone, whichever way the receiver hears of it.
    drop(ended.await.unwrap());
}

#[tokio::test]
async fn an_apply_that_is_broken_off_ends_as_its_tool_does() {
    let mut world = World::new().await;
    let plan = planned(&mut world).await;
    let task = apply(&world, &plan);
    let order = CancellationToken::new();
    let at_work = async {
        while !has_begun(&world) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        order.cancel();
    };
    let (ended, ()) = tokio::join!(world.run_until(&task, &order), at_work);
    let (message, retry, record) = failed(ended.unwrap());
    assert!(!retry, "{message}");
    let Record::Applied(applied) = record else { panic!("it had begun") };
    assert_eq!(applied.created, ["terraform_data.quick", "terraform_data.slow"], "{message}");
    // It is not begun again: its end is on record.
    let (again, _, _) = failed(world.run(&task).await);
    assert_eq!(again, message);
}

#[tokio::test]
async fn a_receiver_that_wants_a_pause_gets_it() {
    let world = World::new().await;
    let busy = || async { (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "90")], "later") };
    let url = scripted(Router::new().fallback(busy)).await;
    let call = HttpCall { at_most_once: false, ..http(url.as_str()) };
    let place = url.as_str().trim_end_matches('/');
    let download = DownloadCall {
        url: url.to_string(),
        to: "made".to_owned(),
        sha256: "0".repeat(64),
        headers: BTreeMap::new(),
        max_bytes: 9,
        timeout: Duration::from_secs(10),
        secrets: Vec::new(),
    };
    let at = CheckoutAt::Branch("main".to_owned());
    let (dir, paths) = ("src".to_owned(), Vec::new());
    let checkouts = vec![Checkout { dir, at, create: false, paths }];
    let clone = CloneCall { repo: format!("{place}/shop.git"), checkouts };
    for call in [Call::Http(call), Call::Download(download), Call::GitClone(clone)] {
        let outcome = world.run(&world.task("notify", call)).await;
        let StepOutcome::Failed { retry, retry_after, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!((retry, retry_after), (true, Some(Duration::from_secs(90))));
    }
}

#[tokio::test]
async fn a_repository_of_charts_that_wants_a_pause_gets_it() {
    let mut world = World::new().await;
    let busy = || async { (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "90")], "later") };
    let url = scripted(Router::new().fallback(busy)).await;
    charts::depending_on(&mut world, url.as_str()).await;
    let outcome = world.run(&world.task("charts", charts::update())).await;
    let StepOutcome::Failed { retry, retry_after, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!((retry, retry_after), (true, Some(Duration::from_secs(90))));
}

/// What a project holds, where our own code is at fault.
struct Faulty;

#[async_trait::async_trait]
impl Holdings for Faulty {
    async fn of(&self, _: &ProjectName) -> Result<Vec<Held>, String> {
        panic!("a bug, with hunter22-and-more")
    }
}

#[tokio::test]
async fn a_panic_is_the_failure_of_one_call() {
    let world = World::new().await;
    let config = EffectsConfig { holdings: Arc::new(Faulty), ..world.config() };
    let effects = Effects::open(config).unwrap();
    let task = world.task("clone", world.clone_call());
    let interrupt = CancellationToken::new();
    let (cx, step) = (cx(Workdir::Main), name(&task.step));
    let run = effects.run(&cx, &step, &task.call, &[], &interrupt);
    let (message, retry, _) = failed(run.await.unwrap());
    assert!(!retry && message.contains("this is a bug of it"), "{message}");
    assert!(!message.contains("hunter22"), "{message}");
    done(world.run(&task).await);
}

#[tokio::test]
async fn what_an_ended_promotion_needed_is_given_back() {
    let mut world = World::new().await;
    let plan = planned(&mut world).await;
    world.go();
    done(world.run(&apply(&world, &plan)).await);
    let effects = world.open();
    let clean = async |now| {
        let cx = cx(Workdir::Main);
        effects.clean(&cx.project, &cx.promotion, now).await.unwrap();
    };
    let runs = || std::fs::read_dir(world.path("data/runs/shop")).unwrap().count();
    // Laid out for runs that were never started: one of this promotion, one of another.
    let [own, other] = ["prod.1-apply-undo-0.1", "prod.10-apply-0.1"].map(|run| {
        let dir = world.path("data/runs/shop").join(run);
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("plan.tfplan"), "in clear text").unwrap();
        dir
    });
    clean(jiff::Timestamp::now()).await;
    assert!(own.exists() && !own.join("plan.tfplan").exists());
    assert!(other.join("plan.tfplan").exists());
    for dir in [own, other] {
        std::fs::remove_dir_all(dir).unwrap();
    }
    for _ in 0..2 {
        clean(jiff::Timestamp::now()).await;
        assert!(!world.path("data").join("work").join("shop/prod.1").exists());
        assert!(!world.path("data/plans/shop/prod.1").exists());
        assert_eq!(runs(), 1);
    }
    clean(jiff::Timestamp::now() + Duration::from_secs(31 * 86_400)).await;
    assert_eq!(runs(), 0);
    assert!(world.path("data/states/shop/prod/main/terraform.tfstate").exists());
}

#[tokio::test]
async fn only_what_the_checksum_says_is_kept() {
    let world = World::new().await;
    let call = |sha256: &str, max_bytes| {
        Call::Download(DownloadCall {
            url: world.inbox.url.clone(),
            to: "made/a.json".to_owned(),
            sha256: sha256.to_owned(),
            headers: BTreeMap::new(),
            max_bytes,
            timeout: Duration::from_secs(10),
            secrets: Vec::new(),
        })
    };
    let digest = Sha256::digest("{\"id\":7}");
    let good: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let (outputs, _) = done(world.run(&world.task("fetch", call(&good, 8))).await);
    assert_eq!(outputs["size"], 8);
    let (other, small) = (call(&"0".repeat(64), 8), call(&good, 7));
    for (call, told) in
        [(other, "the checksum asks for sha256:000"), (small, "larger than 7 bytes")]
    {
        let (message, retry, _) = failed(world.run(&world.task("fetch", call)).await);
        assert!(message.contains(told) && !retry, "{message}");
    }
}

#[tokio::test]
async fn a_cleared_checkout_commits_what_is_put_there() {
    let mut world = World::new().await;
    world.with_files().await;
    let base = world.checkout().await;
    world.prepare("clear", Call::File(FileCall::Clear { dir: "src".to_owned() })).await;
    let write = FileCall::Write {
        path: "src/only.txt".to_owned(),
        text: "only\n".to_owned(),
        overwrite: false,
    };
    world.prepare("write", Call::File(write)).await;
    let Record::Commit(made) = world.prepare("commit", world.commit_call(&base)).await else {
        panic!("a commit")
    };
    let files: Vec<(&str, bool)> =
        made.files.iter().map(|file| (file.path.as_str(), file.new_blob.is_some())).collect();
    assert!(files.contains(&("only.txt", true)) && files.contains(&("values.yaml", false)));
    assert_eq!(files.iter().filter(|(_, stays)| *stays).count(), 1, "{files:?}");
}

#[tokio::test]
async fn a_directory_that_grows_too_large_is_taken_away() {
    let world = World::new().await;
    // Poorly compressible, so that it is large in the repository and beside it.
    let text: String = (0..200_000_u64).map(|n| format!("{:x}", n.wrapping_mul(n << 7))).collect();
    world.write("large", &text);
    world.publish("large");
    let config = EffectsConfig { work_limit: 1 << 20, ..world.config() };
    let effects = Effects::open(config).unwrap();
    let task = world.task("clone", world.clone_call());
    let never = CancellationToken::new();
    let ran = effects.run(&cx(task.workdir), &name(&task.step), &task.call, &[], &never).await;
    let (message, retry, _) = failed(ran.unwrap());
    assert!(!retry && message.contains("more than 1 MiB"), "{message}");
    assert!(!world.held("src").exists(), "nothing of it stays");
    // The same with room.
    done(world.run(&task).await);
    assert!(world.held("src/large").exists());
}
