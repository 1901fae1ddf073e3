//! Every kind of effect, and every undo, is carried out while its answer is lost: it says that it may have happened,
//! is found by a look that changes nothing, and is there once. Before it was sent the look says that it is not there.
//!
//! [`loses_answer`] matches every kind of step without a wildcard, so a new kind has to say what its answer is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use reconciler_domain::step::{Asks, Record, Seen, StepKind, StepOutcome, Unseen};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::failing::{replace, undo_of};
use crate::harness::{self, Subject, is_carried_out};
use crate::world::{Task, World, done};

/// Whose answer a kind waits for.
#[derive(Debug, Clone, Copy)]
enum Answer {
    /// That of the git server.
    Git,
    /// That of the forge.
    Forge,
    /// That of the registry, after so many changes of manifests that it answers.
    Registry(i32),
    /// It changes nothing outside, or has an end of its own; or other tests say what it leaves behind: requests and
    /// programs always say that they ran.
    None,
}

fn loses_answer(kind: StepKind) -> Answer {
    match kind {
        StepKind::GitPush | StepKind::GitTag => Answer::Git,
        StepKind::GitOpenPr
        | StepKind::GitMergePr
        | StepKind::GitClosePr
        | StepKind::GitCommentPr => Answer::Forge,
        StepKind::OciPush => Answer::Registry(0),
        // The attachment comes first, then the list that leads to it.
        StepKind::OciAttach => Answer::Registry(1),
        StepKind::TfApply | StepKind::Http | StepKind::RunEffect | StepKind::GitWaitForPr => {
            Answer::None
        }
        StepKind::SetMetadata
        | StepKind::SetAlias
        | StepKind::AuditEvent
        | StepKind::Wait
        | StepKind::WaitForApproval
        | StepKind::GetInput
        | StepKind::GitClone
        | StepKind::YamlUpdate
        | StepKind::GitCommit
        | StepKind::TfPlan
        | StepKind::TfDestroy
        | StepKind::TfImport
        | StepKind::TfOutput
        | StepKind::GitClear
        | StepKind::Tar
        | StepKind::Untar
        | StepKind::Download
        | StepKind::Copy
        | StepKind::Delete
        | StepKind::Write
        | StepKind::Template
        | StepKind::YamlMerge
        | StepKind::YamlParse
        | StepKind::JsonUpdate
        | StepKind::JsonParse
        | StepKind::TomlUpdate
        | StepKind::TomlParse
        | StepKind::HclUpdate
        | StepKind::HclParse
        | StepKind::KustomizeSetImage
        | StepKind::OciPull
        | StepKind::KustomizeBuild
        | StepKind::HelmTemplate
        | StepKind::HelmUpdateChart
        | StepKind::ComposeOutput
        | StepKind::Run
        | StepKind::Fail
        | StepKind::Task => Answer::None,
    }
}

fn answer_of(subject: Subject) -> Answer {
    match subject {
        Subject::Step(kind) => loses_answer(kind),
        Subject::Revert | Subject::Untag | Subject::Retract => Answer::Git,
        Subject::Retreat => Answer::Forge,
        Subject::PutBack | Subject::Detach => Answer::Registry(0),
        Subject::Look | Subject::DestroyPlan | Subject::Destroy | Subject::UndoRun => Answer::None,
    }
}

/// Passes everything on to a registry, but the answer to one change of a manifest.
struct Cutter {
    address: String,
    /// Changes that are answered until one is not; below zero: all are.
    left: Arc<AtomicI32>,
    task: JoinHandle<()>,
}

impl Cutter {
    async fn before(registry: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let left = Arc::new(AtomicI32::new(-1));
        let (counted, registry) = (Arc::clone(&left), registry.to_owned());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&registry).await.unwrap();
                tokio::spawn(pass(client, server, Arc::clone(&counted)));
            }
        });
        Self { address, left, task }
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut client: TcpStream, mut server: TcpStream, left: Arc<AtomicI32>) {
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut cuts = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(count @ 1..) = read else { return };
                let line = String::from_utf8_lossy(&asked[..count.min(256)]).into_owned();
                let changes = ["PUT ", "DELETE "].iter().any(|verb| line.starts_with(verb));
                if changes && line.contains("/manifests/") {
                    cuts = left.fetch_sub(1, Ordering::SeqCst) == 0;
                }
                if server.write_all(&asked[..count]).await.is_err() { return }
            }
            read = server.read(&mut answered) => {
                let Ok(count @ 1..) = read else { return };
                if cuts || client.write_all(&answered[..count]).await.is_err() { return }
            }
        }
    }
}

/// Loses the answer of a call that is carried out; what it says, what is found, and how often it happened.
async fn loses(subject: Subject) {
    let mut world = World::new().await;
    let mut task = Box::pin(harness::of(&mut world, subject)).await;
    if let Subject::Step(StepKind::GitOpenPr) = subject {
        replace(&mut task, "\"labels\":[\"lockstep\"]", "\"labels\":[]");
    }
    let mut cutter = None;
    if let Answer::Registry(_) = answer_of(subject) {
        let registry = world.images().await.repo("");
        let made = Cutter::before(registry.trim_end_matches('/')).await;
        replace(&mut task, &registry, &format!("{}/", made.address));
        cutter = Some(made);
    }
    let look = Task { call: task.call.asking(Asks::Only), ..again(&task) };
    let before = world.happened();
    if look.call.only_asks() {
        absent(&world, &look, subject).await;
        assert_eq!(world.happened(), before, "{subject:?} is only looked for");
    }
    match answer_of(subject) {
        Answer::Git => world.server.lose_next_reply(),
        Answer::Forge => world.forge.lose_next_answer(),
        Answer::Registry(answered) => {
            let cutter = cutter.as_ref().expect("it is made for registries");
            cutter.left.store(answered, Ordering::SeqCst);
        }
        Answer::None => panic!("{subject:?} waits for no answer"),
    }
    let outcome = world.run(&task).await;
    let after = world.happened();
    assert_ne!(after, before, "{subject:?} happened: {outcome:?}");
    let StepOutcome::Failed { seen: Seen::Perhaps, retry: true, record, .. } = &outcome else {
        panic!("{subject:?}: {outcome:?}")
    };
    // A merge says what to look at.
    let is_merge = matches!(subject, Subject::Step(StepKind::GitMergePr));
    assert!(is_merge || *record == Record::None, "{subject:?}: {outcome:?}");
    if look.call.only_asks() {
        let found = done(world.run(&look).await);
        assert_eq!(done(world.run(&task).await).1, found.1, "{subject:?}");
    } else {
        assert_ne!(task.call.unseen(), Unseen::Unknown, "{subject:?} can be looked for");
        done(world.run(&task).await);
    }
    assert_eq!(world.happened(), after, "{subject:?} happened once");
}

fn again(task: &Task) -> Task {
    let Task { workdir, step, call, rebuild } = task;
    Task { workdir: *workdir, step: step.clone(), call: call.clone(), rebuild: rebuild.clone() }
}

async fn absent(world: &World, look: &Task, subject: Subject) {
    let outcome = world.run(look).await;
    let StepOutcome::Failed { seen: Seen::No, retry: false, message, record: Record::None, .. } =
        &outcome
    else {
        panic!("{subject:?}: {outcome:?}")
    };
    assert!(message.contains("it was looked for"), "{subject:?}: {message}");
}

#[test]
fn whose_answer_is_lost_may_have_happened_and_is_found() {
    harness::on_deep_stacks(async {
        let mut subjects: Vec<Subject> = Vec::new();
        for kind in StepKind::ALL.into_iter().filter(is_carried_out) {
            subjects.push(Subject::Step(kind));
            for undo in undo_of(kind) {
                if !subjects.contains(undo) {
                    subjects.push(*undo);
                }
            }
        }
        subjects.retain(|subject| !matches!(answer_of(*subject), Answer::None));
        for subject in subjects {
            // On a thread of the runtime: it is those that have deep stacks.
            tokio::spawn(loses(subject)).await.unwrap();
        }
    });
}
