//! Every kind of call is repeated, loses its surroundings, is killed in the middle, and is undone:
//! whatever happens, its effect is there once.
//!
//! [`task`] matches every kind of step without a wildcard, so a new kind has to say what it does.

use std::collections::BTreeMap;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use reconciler_domain::step::{
    ApplyCall, Asks, AwaitCall, Call, CloseCall, DownloadCall, FileCall, HttpCall, IfMoved,
    ImageCall, ImportCall, Language, ModuleOptions, Nature, OciCall, OciRecord, OutputCall,
    ParseCall, PlanCall, PlanGoal, PlanRecord, PullRequestCall, PullRequestRecord, PushCall,
    PushRecord, Record, StepKind, StepOutcome, TagCall, TagNote, TagRecord, UntagCall,
};
use reconciler_effects::{Halted, Workdir};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::failing::undo_of;
use crate::forge::How;
use crate::images::TARGET;
use crate::pull_requests::{at, comment_call, merge_call, open_call};
use crate::world::{REPO, Task, World, done, now, revert_call, update_call};
use crate::{charts, rendering, running};

/// Time for an exchange beside everything else that is tried at once.
const PATIENCE: Duration = Duration::from_secs(120);
/// Subjects that are tried at the same time.
pub(crate) const AT_ONCE: usize = 8;
/// Attempts after a death.
const ATTEMPTS: usize = 4;

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A step.
    Step(StepKind),
    /// The undo of a push.
    Revert,
    /// The undo of a tag.
    Untag,
    /// What a push of an artifact looks at first.
    Look,
    /// The undo of a push of an artifact.
    PutBack,
    /// The undo of an attachment.
    Detach,
    /// The undo of a push that made its branch.
    Retract,
    /// The plan of the undo of a first apply.
    DestroyPlan,
    /// The undo of a first apply.
    Destroy,
    /// The undo of a pull request that was opened.
    Retreat,
    /// The undo of a program.
    UndoRun,
}

/// When the process is killed.
#[derive(Debug, Clone, Copy)]
enum Kill {
    /// So long after its start.
    After(Duration),
    /// As soon as something happened outside.
    AfterEffect,
}

/// Runs this as the daemon would: its threads have stacks for calls inside of each other.
pub(crate) fn on_deep_stacks(work: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().thread_stack_size(8 << 20).build().unwrap().block_on(work);
}

#[test]
fn every_call_has_its_effect_once() {
    on_deep_stacks(async {
        let mut undo = vec![Subject::Look];
        for subject in StepKind::ALL.into_iter().flat_map(undo_of) {
            if !undo.contains(subject) {
                undo.push(*subject);
            }
        }
        let mut running = JoinSet::new();
        // Each has servers and processes of its own: all at once would only wait for each other.
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let kinds = StepKind::ALL.into_iter().filter(is_carried_out);
        for subject in kinds.map(Subject::Step).chain(undo) {
            let room = room.clone();
            running.spawn(async move {
                let _place = room.acquire().await.unwrap();
                repeat(subject).await;
                // What only works on files goes the one way that others go, too.
                let after: &[u64] = if is_on_files(subject) { &[30] } else { &[0, 30, 200] };
                let after = after.iter().map(|ms| Kill::After(Duration::from_millis(*ms)));
                let effect = (effects_of(subject) != 0).then_some(Kill::AfterEffect);
                for kill in after.chain(effect) {
                    interrupt(subject, kill).await;
                }
                for pause in [0, 30] {
                    break_off(subject, Duration::from_millis(pause)).await;
                }
            });
        }
        while let Some(tried) = running.join_next().await {
            tried.unwrap();
        }
    });
}

/// Whether somebody carries it out, and it can come to a good end.
pub(crate) fn is_carried_out(kind: &StepKind) -> bool {
    let is_kept = matches!(kind, StepKind::SetMetadata | StepKind::SetAlias | StepKind::AuditEvent);
    let is_decided = kind.only_waits() || is_kept || *kind == StepKind::Fail;
    !is_decided && kind.nature() != Nature::Expanded
}

#[tokio::test]
async fn a_step_that_fails_says_so_each_time() {
    let (world, task) = prepared(Subject::Step(StepKind::Fail)).await;
    for _ in 0..2 {
        let outcome = world.run(&task).await;
        let StepOutcome::Failed { message, retry, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!((message.as_str(), retry), ("no", false));
    }
}

fn is_on_files(subject: Subject) -> bool {
    match subject {
        Subject::Step(kind) => !matches!(
            kind,
            StepKind::GitClone
                | StepKind::YamlUpdate
                | StepKind::GitCommit
                | StepKind::GitPush
                | StepKind::GitTag
                | StepKind::TfPlan
                | StepKind::TfDestroy
                | StepKind::TfImport
                | StepKind::TfApply
                | StepKind::TfOutput
                | StepKind::Http
                | StepKind::OciPull
                | StepKind::OciPush
                | StepKind::OciAttach
                | StepKind::GitOpenPr
                | StepKind::GitWaitForPr
                | StepKind::GitMergePr
                | StepKind::GitClosePr
                | StepKind::GitCommentPr
                | StepKind::KustomizeBuild
                | StepKind::HelmTemplate
                | StepKind::HelmUpdateChart
                | StepKind::Run
                | StepKind::RunEffect
        ),
        Subject::Revert
        | Subject::Untag
        | Subject::Look
        | Subject::PutBack
        | Subject::Detach
        | Subject::Retract
        | Subject::DestroyPlan
        | Subject::Destroy
        | Subject::Retreat
        | Subject::UndoRun => false,
    }
}

/// Again, again without its working directory, and again without its mirrors.
async fn repeat(subject: Subject) {
    let (world, task) = prepared(subject).await;
    world.go();
    let before = world.happened();
    let first = comparable(world.run(&task).await);
    let once = world.happened();
    assert_eq!(once - before, effects_of(subject), "{subject:?} ran once");
    for lost in ["nothing", "work", "mirrors"] {
        if lost != "nothing" && world.path("data").join(lost).exists() {
            world.lose(lost);
        }
        assert_eq!(comparable(world.run(&task).await), first, "{subject:?} after losing {lost}");
        assert_eq!(world.happened(), once, "{subject:?} after losing {lost}");
    }
}

/// Killed without a word, and taken up by another process.
async fn interrupt(subject: Subject, kill: Kill) {
    let (world, task) = prepared(subject).await;
    let before = world.happened();
    let mut child = world.spawn(&task);
    wait_for(&world, &mut child, before, kill).await;
    child.kill().unwrap();
    child.wait().unwrap();
    world.go();
    let outcome = comparable(attempts(&world, &task).await);
    assert_eq!(world.happened() - before, effects_of(subject), "{subject:?} killed {kill:?}");
    assert_eq!(comparable(world.run(&task).await), outcome, "{subject:?} killed {kill:?}");
    assert_eq!(world.happened() - before, effects_of(subject), "{subject:?} killed {kill:?}");
}

/// As the engine does it: what may pass is tried again. A tool whose starter was killed may still be
/// at work in the directory for a moment.
async fn attempts(world: &World, task: &Task) -> StepOutcome {
    for _ in 1..ATTEMPTS {
        match world.run(task).await {
            StepOutcome::Failed { retry: true, .. } => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            outcome => return outcome,
        }
    }
    world.run(task).await
}

/// Broken off on order, and carried out after all. An apply that began ends as its tool ends it, and
/// is never begun again.
async fn break_off(subject: Subject, pause: Duration) {
    let (world, task) = prepared(subject).await;
    let before = world.happened();
    let order = CancellationToken::new();
    let (broken, ()) = tokio::join!(world.run_until(&task, &order), async {
        tokio::time::sleep(pause).await;
        order.cancel();
    });
    match (&task.call, &broken) {
        (_, Ok(StepOutcome::Done { .. }) | Err(Halted::Interrupted)) => {}
        (Call::TfApply(_), Ok(StepOutcome::Failed { .. })) => return,
        // It says that it did nothing.
        (Call::PullRequest(_), Ok(StepOutcome::Failed { .. })) => {}
        (_, other) => panic!("{subject:?} broken off after {pause:?}: {other:?}"),
    }
    world.go();
    done(world.run(&task).await);
    assert_eq!(world.happened() - before, effects_of(subject), "{subject:?} after {pause:?}");
}

async fn wait_for(world: &World, child: &mut Child, before: isize, kill: Kill) {
    match kill {
        Kill::After(pause) => tokio::time::sleep(pause).await,
        Kill::AfterEffect => {
            while world.happened() == before && child.try_wait().unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }
}

/// How many things one run makes happen outside.
fn effects_of(subject: Subject) -> isize {
    match subject {
        // Others merge.
        Subject::Step(StepKind::GitWaitForPr) => 0,
        Subject::Step(kind) => match kind.nature() {
            Nature::Local | Nature::Expanded => 0,
            Nature::Effect => 1,
        },
        Subject::Look | Subject::DestroyPlan => 0,
        // There is one tag less, or one thing attached, or one branch.
        Subject::Untag | Subject::PutBack | Subject::Detach | Subject::Retract => -1,
        Subject::Revert | Subject::Destroy | Subject::Retreat | Subject::UndoRun => 1,
    }
}

/// An outcome without what differs from plan to plan: the file holds the time of its making.
fn comparable(outcome: StepOutcome) -> StepOutcome {
    let (outputs, record) = done(outcome);
    let record = match record {
        Record::Plan(plan) => Record::Plan(Box::new(PlanRecord {
            file: String::new(),
            file_digest: String::new(),
            ..*plan
        })),
        other => other,
    };
    StepOutcome::Done { outputs, record }
}

async fn prepared(subject: Subject) -> (World, Task) {
    let mut world = World::new().await;
    // On the heap: together they are more than a thread's stack holds.
    let task = Box::pin(of(&mut world, subject)).await;
    (world, task)
}

/// The call, with all that has to be there before it.
pub(crate) async fn of(world: &mut World, subject: Subject) -> Task {
    match subject {
        Subject::Step(kind) => Box::pin(task(world, kind)).await,
        Subject::Revert => revert(world).await,
        Subject::Untag => untag(world).await,
        Subject::Look => {
            let look = OciCall::Look(world.images().await.look());
            world.task("push", Call::Oci(look))
        }
        Subject::PutBack => put_back(world).await,
        Subject::Detach => detach(world).await,
        Subject::Retract => retract(world).await,
        Subject::DestroyPlan => destroy_plan(world).await,
        Subject::Destroy => destroy(world).await,
        Subject::Retreat => retreat(world).await,
        Subject::UndoRun => {
            let call = Call::Run(running::announce(world));
            Task { workdir: Workdir::Undo, ..world.task("announce", call) }
        }
    }
}

async fn task(world: &mut World, kind: StepKind) -> Task {
    match kind {
        StepKind::GitClone => world.task("clone", world.clone_call()),
        StepKind::YamlUpdate => {
            world.checkout().await;
            world.task("edit", update_call("2.0.0"))
        }
        StepKind::GitCommit => {
            let base = world.checkout().await;
            world.prepare("edit", update_call("2.0.0")).await;
            world.task("commit", world.commit_call(&base))
        }
        StepKind::GitPush => {
            let commit = world.commit().await;
            world.task("push", world.push_call(Some(&commit)))
        }
        StepKind::GitTag => {
            let commit = world.checkout().await;
            world.task("tag", tag_call(world, &commit))
        }
        StepKind::TfPlan => {
            world.checkout().await;
            world.task("plan", Call::TfPlan(world.plan_call()))
        }
        StepKind::TfDestroy => {
            applied(world).await;
            let goal = PlanGoal::Destruction;
            let options = ModuleOptions { goal, ..ModuleOptions::default() };
            world.task("destroy", Call::TfPlan(PlanCall { options, ..world.plan_call() }))
        }
        StepKind::TfImport => {
            world.checkout().await;
            let imports = [("terraform_data.quick".to_owned(), "an-id".to_owned())].into();
            world
                .task("import", Call::TfImport(ImportCall { dir: "src/infra".to_owned(), imports }))
        }
        StepKind::TfApply => {
            let plan = planned(world).await;
            world.task("apply", apply_call(plan, "prod.1-apply"))
        }
        StepKind::TfOutput => {
            applied(world).await;
            world.task("output", Call::TfOutput(OutputCall { plan: world.plan_call() }))
        }
        StepKind::Http => world.task("notify", http_call(world)),
        StepKind::GitClear
        | StepKind::Tar
        | StepKind::Copy
        | StepKind::Delete
        | StepKind::Write
        | StepKind::Template
        | StepKind::YamlMerge
        | StepKind::JsonUpdate
        | StepKind::TomlUpdate
        | StepKind::KustomizeSetImage
        | StepKind::HclUpdate => {
            world.with_files().await;
            world.task("change", Call::File(file_call(kind)))
        }
        StepKind::Untar => {
            world.with_files().await;
            world.prepare("pack", Call::File(file_call(StepKind::Tar))).await;
            world.task("change", Call::File(file_call(kind)))
        }
        StepKind::Download => world.task("fetch", download_call(world)),
        StepKind::YamlParse => parsed(world, Language::Yaml, "document.image.tag").await,
        StepKind::JsonParse => parsed(world, Language::Json, "document.image.tag").await,
        StepKind::TomlParse => parsed(world, Language::Toml, "document.image.tag").await,
        StepKind::HclParse => parsed(world, Language::Hcl, "document.tag").await,
        StepKind::OciPull => {
            let pull = OciCall::Pull(world.images().await.pull());
            world.task("pull", Call::Oci(pull))
        }
        StepKind::OciPush => {
            let push = OciCall::Push(world.images().await.push(None));
            world.task("push", Call::Oci(push))
        }
        StepKind::OciAttach => {
            world.checkout().await;
            let attach = OciCall::Attach(world.images().await.attach("src/values.yaml"));
            world.task("attach", Call::Oci(attach))
        }
        StepKind::KustomizeBuild => {
            rendering::sources(world).await;
            world.task("render", Call::Render(rendering::kustomize("src/overlay", "src/all.yaml")))
        }
        StepKind::HelmTemplate => {
            rendering::sources(world).await;
            world.task("render", Call::Render(rendering::helm("src/out")))
        }
        StepKind::HelmUpdateChart => {
            charts::sources(world).await;
            world.task("chart", charts::update())
        }
        StepKind::ComposeOutput => {
            let outputs = Map::from_iter([("tag".to_owned(), json!("2.0.0"))]);
            world.task("compose", Call::Compose { outputs })
        }
        StepKind::Fail => world.task("fail", Call::Fail { message: "no".to_owned() }),
        StepKind::Wait
        | StepKind::WaitForApproval
        | StepKind::GetInput
        | StepKind::SetMetadata
        | StepKind::SetAlias
        | StepKind::AuditEvent => {
            panic!("nobody carries it out: the log and the clock decide")
        }
        StepKind::GitOpenPr => {
            world.propose("change", "change.txt", "x\n");
            world.task("pr", Call::PullRequest(open_call(world, "change")))
        }
        StepKind::GitWaitForPr => {
            let (number, _) = proposed(world);
            world.forge.merge(number, How::Merge).unwrap();
            let until = now() + Duration::from_secs(60);
            let (at, interval) = (at(world, number), Duration::from_secs(1));
            let call = AwaitCall { at, target: None, interval, until };
            world.task("merged", Call::PullRequest(PullRequestCall::Await(call)))
        }
        StepKind::GitMergePr => {
            let (number, head) = proposed(world);
            world.task("merge", Call::PullRequest(merge_call(world, number, &head)))
        }
        StepKind::GitClosePr => {
            let call = CloseCall { at: at(world, proposed(world).0), mark: None };
            world.task("close", Call::PullRequest(PullRequestCall::Close(call)))
        }
        StepKind::GitCommentPr => {
            let call = comment_call(world, proposed(world).0, "on its way");
            world.task("said", Call::PullRequest(call))
        }
        StepKind::Run => {
            world.checkout().await;
            let call = running::shell("tr a-z A-Z < values.yaml > made.yaml");
            world.task("make", Call::Run(call))
        }
        StepKind::RunEffect => {
            let call = running::announce(world);
            world.task("announce", Call::Run(call))
        }
        StepKind::Task => panic!("its steps are carried out in its place"),
    }
}

fn file_call(kind: StepKind) -> FileCall {
    let update = |language, file: &str, key: &str| FileCall::Update {
        language,
        path: format!("src/{file}"),
        updates: [(key.to_owned(), json!("2.0.0"))].into_iter().collect(),
    };
    let (path, to) = ("src/values.yaml".to_owned(), "src/made.yaml".to_owned());
    match kind {
        StepKind::Copy => FileCall::Copy { from: "src".to_owned(), to: "copy".to_owned() },
        StepKind::Delete => FileCall::Delete { paths: vec![path], strict: true },
        StepKind::GitClear => FileCall::Clear { dir: "src".to_owned() },
        StepKind::Tar => {
            FileCall::Tar { from: "src".to_owned(), to: "src.tgz".to_owned(), gzip: true }
        }
        StepKind::Untar => {
            FileCall::Untar { from: "src.tgz".to_owned(), to: "unpacked".to_owned(), strip: 0 }
        }
        StepKind::Template => {
            let values = Map::from_iter([("tag".to_owned(), json!("2.0.0"))]);
            FileCall::Template { path: "src/template.txt".to_owned(), to, values }
        }
        StepKind::YamlMerge => {
            let from = vec![path, "src/over.yaml".to_owned()];
            FileCall::Merge { from, to, ignore_missing: false }
        }
        StepKind::JsonUpdate => update(Language::Json, "values.json", "image.tag"),
        StepKind::TomlUpdate => update(Language::Toml, "values.toml", "image.tag"),
        StepKind::HclUpdate => update(Language::Hcl, "values.tfvars", "tag"),
        StepKind::KustomizeSetImage => {
            let tag = Some("2.0.0".to_owned());
            let image = ImageCall { tag, ..ImageCall::default() };
            let images = [("api".to_owned(), image)].into_iter().collect();
            FileCall::Images { path: "src/kustomization.yaml".to_owned(), images }
        }
        StepKind::Write => {
            FileCall::Write { path: to, text: "made\n".to_owned(), overwrite: false }
        }
        other => panic!("{} is no change of files", other.name()),
    }
}

async fn parsed(world: &mut World, language: Language, expression: &str) -> Task {
    world.with_files().await;
    let file = match language {
        Language::Yaml => "src/values.yaml",
        Language::Json => "src/values.json",
        Language::Toml => "src/values.toml",
        Language::Hcl => "src/values.tfvars",
    };
    let outputs = [("tag".to_owned(), expression.to_owned())].into();
    world.task("parse", Call::Parse(ParseCall { language, path: file.to_owned(), outputs }))
}

async fn planned(world: &mut World) -> PlanRecord {
    world.checkout().await;
    let call = Call::TfPlan(world.plan_call());
    match world.prepare("plan", call).await {
        Record::Plan(plan) => *plan,
        other => panic!("{other:?}"),
    }
}

/// Applies, and leaves the next run to wait again.
async fn applied(world: &mut World) -> Vec<String> {
    let plan = planned(world).await;
    world.go();
    let record = world.prepare("apply", apply_call(plan, "prod.1-apply")).await;
    std::fs::remove_file(world.path("outside/go")).unwrap();
    match record {
        Record::Applied(applied) => applied.created,
        other => panic!("{other:?}"),
    }
}

fn apply_call(plan: PlanRecord, run: &str) -> Call {
    Call::TfApply(ApplyCall { plan: Box::new(plan), run: run.to_owned() })
}

/// Fetches what the inbox answers.
fn download_call(world: &World) -> Call {
    Call::Download(DownloadCall {
        url: world.inbox.url.clone(),
        to: "fetched.json".to_owned(),
        sha256: Sha256::digest("{\"id\":7}").iter().map(|byte| format!("{byte:02x}")).collect(),
        headers: BTreeMap::new(),
        max_bytes: 1024,
        timeout: PATIENCE,
        secrets: Vec::new(),
    })
}

fn http_call(world: &World) -> Call {
    Call::Http(HttpCall {
        url: world.inbox.url.clone(),
        method: "POST".to_owned(),
        headers: [("Idempotency-Key".to_owned(), "prod.1/notify".to_owned())].into(),
        body: Some(json!({ "version": "2.0.0" })),
        timeout: PATIENCE,
        success: "response.status == 200".to_owned(),
        failure: None,
        poll: None,
        outputs: [("id".to_owned(), "response.json.id".to_owned())].into(),
        at_most_once: false,
        confirm: None,
        asks: Asks::No,
        secrets: Vec::new(),
    })
}

fn tag_call(world: &World, commit: &str) -> Call {
    let note = TagNote {
        message: "2.0.0".to_owned(),
        author_name: "Lockstep".to_owned(),
        author_email: "lockstep@example.com".to_owned(),
        date: now(),
        mark: "prod.1/tag".to_owned(),
    };
    Call::GitTag(TagCall {
        repo: world.server.url(REPO),
        tag: "v2.0.0".to_owned(),
        commit: commit.to_owned(),
        note: Some(note),
        asks: Asks::No,
    })
}

async fn untag(world: &mut World) -> Task {
    let commit = world.checkout().await;
    let call = tag_call(world, &commit);
    match world.prepare("tag", call).await {
        Record::Tag(TagRecord { repo, tag, object, .. }) => {
            world.task("undo", Call::GitUntag(UntagCall { repo, tag, object, asks: Asks::No }))
        }
        other => panic!("{other:?}"),
    }
}

/// A tag that was at another version before.
async fn put_back(world: &mut World) -> Task {
    let images = world.images().await;
    images.artifact(TARGET, "stable", &[("notes.txt", "version 1\n")]).await;
    assert_eq!(images.tag(TARGET, "stable"), Some(images.old.to_string()));
    let push = OciCall::Push(images.push(Some(&images.old)));
    let back = OciCall::PutBack(images.put_back(Some(&images.old)));
    world.prepare("push", Call::Oci(push)).await;
    Task { workdir: Workdir::Undo, ..world.task("push", Call::Oci(back)) }
}

async fn detach(world: &mut World) -> Task {
    world.checkout().await;
    let attach = OciCall::Attach(world.images().await.attach("src/values.yaml"));
    match world.prepare("attach", Call::Oci(attach)).await {
        Record::Oci(OciRecord::Attached(attached)) => {
            let detach = Call::Oci(OciCall::Detach(attached));
            Task { workdir: Workdir::Undo, ..world.task("attach", detach) }
        }
        other => panic!("{other:?}"),
    }
}

/// A pull request of somebody, and the commit that it is at.
fn proposed(world: &World) -> (usize, String) {
    let head = world.propose("change", "change.txt", "x\n");
    (world.forge.open("change", "main", "").unwrap(), head)
}

/// Closes a pull request of its own.
async fn retreat(world: &mut World) -> Task {
    world.propose("change", "change.txt", "x\n");
    let call = Call::PullRequest(open_call(world, "change"));
    match world.prepare("pr", call).await {
        Record::PullRequest(PullRequestRecord::Opened(opened)) => {
            let mark = Some(opened.mark);
            let call = CloseCall { at: at(world, 1), mark };
            let call = Call::PullRequest(PullRequestCall::Close(call));
            Task { workdir: Workdir::Undo, ..world.task("pr", call) }
        }
        other => panic!("{other:?}"),
    }
}

async fn retract(world: &mut World) -> Task {
    let commit = world.commit().await;
    let branch = "lockstep/prod.1".to_owned();
    let call = Call::GitPush(PushCall {
        repo: world.server.url(REPO),
        branch: branch.clone(),
        commit: Some(commit.clone()),
        mark: "prod.1/commit".to_owned(),
        if_moved: IfMoved::Rebase,
        stands_on: None,
        own: Vec::new(),
        asks: Asks::No,
    });
    let record = world.prepare("push", call).await;
    let Record::Push(PushRecord { created: true, .. }) = record else { panic!("{record:?}") };
    let call = revert_call(world, &branch, &commit, true);
    Task { workdir: Workdir::Undo, ..world.task("push", call) }
}

async fn revert(world: &mut World) -> Task {
    let commit = world.commit().await;
    let call = world.push_call(Some(&commit));
    world.prepare("push", call).await;
    let call = revert_call(world, "main", &commit, false);
    Task { workdir: Workdir::Undo, ..world.task("push", call) }
}

async fn destroy_plan(world: &mut World) -> Task {
    let destroy = applied(world).await;
    assert_eq!(destroy, ["terraform_data.quick", "terraform_data.slow"]);
    let call = Call::TfPlan(PlanCall { destroy, ..world.plan_call() });
    Task { workdir: Workdir::Undo, ..world.task("apply", call) }
}

async fn destroy(world: &mut World) -> Task {
    let plan = destroy_plan(world).await;
    let (outputs, record) = done(world.run(&plan).await);
    assert_eq!(outputs["delete"], Value::from(2));
    let Record::Plan(record) = record else { panic!("a plan was made") };
    Task { call: apply_call(*record, "prod.1-apply-undo"), ..plan }
}
