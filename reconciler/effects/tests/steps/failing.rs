//! Every kind of call fails for good, and so does every undo: the world outside is as before, or what is left
//! is said; and saying it again changes nothing.
//!
//! [`undo_of`] and [`break_step`] match every kind of step without a wildcard, so a new kind has to say what
//! undoes it, and how it fails.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use reconciler_domain::step::{
    Applied, Call, FileCall, OciRecord, RanRecord, Record, StepKind, StepOutcome,
};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::forge::How;
use crate::harness::{self, AT_ONCE, Subject, is_carried_out};
use crate::images::TARGET;
use crate::running;
use crate::world::{Task, World, git};

/// What an undo of the kind is, as it is tried here; none: it changed nothing outside, or what it did stays.
pub(crate) fn undo_of(kind: StepKind) -> &'static [Subject] {
    match kind {
        StepKind::GitPush => &[Subject::Revert, Subject::Retract],
        StepKind::GitTag => &[Subject::Untag],
        StepKind::TfApply => &[Subject::DestroyPlan, Subject::Destroy],
        StepKind::OciPush => &[Subject::PutBack],
        StepKind::OciAttach => &[Subject::Detach],
        StepKind::GitOpenPr => &[Subject::Retreat],
        // What was merged is reverted as a push is.
        StepKind::GitWaitForPr | StepKind::GitMergePr => &[Subject::Revert],
        StepKind::RunEffect => &[Subject::UndoRun],
        // Written into the daemon's own store, in the transaction of their outcomes.
        StepKind::SetMetadata | StepKind::SetAlias | StepKind::AuditEvent => &[],
        // What was said stays said.
        StepKind::Http | StepKind::GitClosePr | StepKind::GitCommentPr => &[],
        StepKind::Wait | StepKind::WaitForApproval | StepKind::GetInput => &[],
        StepKind::GitClone
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
        | StepKind::Task => &[],
    }
}

/// Breaks what the step needs, or its arguments. Answers whether it can fail at all.
async fn break_step(world: &mut World, task: &mut Task, kind: StepKind) -> bool {
    match kind {
        StepKind::GitClone => replace(task, "/app.git", "/gone.git"),
        StepKind::YamlUpdate
        | StepKind::GitCommit
        | StepKind::TfPlan
        | StepKind::TfDestroy
        | StepKind::TfImport
        | StepKind::TfOutput
        | StepKind::GitClear
        | StepKind::Tar
        | StepKind::Untar
        | StepKind::Copy
        | StepKind::Delete
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
        | StepKind::OciAttach
        | StepKind::KustomizeBuild
        | StepKind::HelmTemplate
        | StepKind::HelmUpdateChart => mislead(task),
        // It replaces nothing.
        StepKind::Write => {
            let path = "src/values.yaml".to_owned();
            let text = "made\n".to_owned();
            task.call = Call::File(FileCall::Write { path, text, overwrite: false });
        }
        StepKind::GitPush | StepKind::GitTag => refuse_pushes(world),
        // Its module is broken from the beginning.
        StepKind::TfApply => {}
        StepKind::Http => match &mut task.call {
            Call::Http(http) => http.success = "false".to_owned(),
            other => panic!("{other:?}"),
        },
        StepKind::Download => match &mut task.call {
            Call::Download(download) => download.sha256 = "0".repeat(64),
            other => panic!("{other:?}"),
        },
        StepKind::OciPull | StepKind::OciPush => {
            replace(task, "/shop/api", "/shop/gone");
        }
        StepKind::GitOpenPr => replace(task, "\"change\"", "\"gone\""),
        StepKind::GitWaitForPr | StepKind::GitClosePr | StepKind::GitCommentPr => {
            replace(task, "\"number\":1", "\"number\":7");
        }
        StepKind::GitMergePr => world.forge.close(1),
        StepKind::Run => task.call = Call::Run(running::shell("echo why not >&2; exit 3")),
        StepKind::RunEffect => {
            let announced = running::announce(world);
            let script = format!("{}; exit 3", announced.command[2]);
            task.call = Call::Run(running::with_script(announced, &script));
        }
        StepKind::Fail => {}
        StepKind::ComposeOutput => return false,
        StepKind::Wait
        | StepKind::WaitForApproval
        | StepKind::GetInput
        | StepKind::SetMetadata
        | StepKind::SetAlias
        | StepKind::AuditEvent
        | StepKind::Task => panic!("nobody carries it out"),
    }
    true
}

/// Breaks what an undo needs, as others do.
async fn break_undo(world: &mut World, task: &mut Task, subject: Subject) {
    match subject {
        Subject::Step(_) => panic!("it is no undo"),
        // Others changed the same line.
        Subject::Revert => {
            git(&world.path("people"), &["pull", "--quiet", "origin", "main"]);
            world.write("values.yaml", "image:\n  tag: 9.9.9\n");
            world.publish("mine");
        }
        Subject::Untag => {
            git(&world.path("served/app.git"), &["tag", "--force", "v2.0.0", "main"]);
        }
        Subject::PutBack => {
            world.images().await.artifact(TARGET, "stable", &[("notes.txt", "others\n")]).await;
        }
        Subject::Look => replace(task, "/shop/api", "/shop/gone"),
        // Nobody answers there.
        Subject::Detach => {
            let registry = world.images().await.repo("");
            replace(task, &registry, "127.0.0.1:1/");
        }
        Subject::Retract => refuse_pushes(world),
        Subject::Retreat => {
            world.forge.merge(1, How::Merge).unwrap();
        }
        Subject::DestroyPlan => mislead(task),
        // Its module is broken from the beginning.
        Subject::Destroy => {}
        Subject::UndoRun => {
            task.call = Call::Run(running::effect("echo why not >&2; exit 3", false));
        }
    }
}

/// A module whose second resource is not made, or does not go.
fn break_module(world: &World, subject: Subject) {
    let (made, gone) = match subject {
        Subject::Step(StepKind::TfApply) => ("exit 3", "true"),
        Subject::Destroy => ("true", "exit 3"),
        _ => return,
    };
    let text = std::fs::read_to_string(world.path("people/infra/main.tf")).unwrap();
    let broken = text
        .replace(
            "echo created >> $WORLD/effects;",
            &format!("echo created >> $WORLD/effects; {made};"),
        )
        .replace(
            "echo destroyed >> $WORLD/effects;",
            &format!("echo destroyed >> $WORLD/effects; {gone};"),
        );
    assert_ne!(broken, text);
    world.write("infra/main.tf", &broken);
    world.publish("broken");
}

/// The server lets nothing be pushed from now on.
fn refuse_pushes(world: &World) {
    let hook = world.path("served/app.git/hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, "#!/bin/sh\necho not today >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// The call, of files that are not there.
fn mislead(task: &mut Task) {
    for end in ["/", ".", "\""] {
        let (from, to) = (format!("\"src{end}"), format!("\"none{end}"));
        let text = serde_json::to_string(&task.call).unwrap().replace(&from, &to);
        task.call = serde_json::from_str(&text).unwrap();
    }
}

pub(crate) fn replace(task: &mut Task, from: &str, to: &str) {
    let text = serde_json::to_string(&task.call).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    task.call = serde_json::from_str(&text.replace(from, to)).unwrap();
}

/// What is said of what was done although it failed.
fn says_what_is_left(outcome: &StepOutcome) -> bool {
    match outcome {
        StepOutcome::Failed { record: Record::Applied(Applied { created }), .. } => {
            created.contains(&"terraform_data.quick".to_owned())
        }
        StepOutcome::Failed { record: Record::Ran(RanRecord { ended, .. }), .. } => {
            ended.contains('3')
        }
        // The receiver's answer was another than wanted.
        StepOutcome::Failed { message, record: Record::Sent, .. } => message.contains("200"),
        StepOutcome::Failed { .. }
        | StepOutcome::Done { .. }
        | StepOutcome::Uncertain { .. }
        | StepOutcome::Interrupted { .. } => false,
    }
}

/// Fails twice; what it did is done once, and said each time.
async fn fails(subject: Subject, is_undo: bool) {
    let mut world = World::new().await;
    break_module(&world, subject);
    let mut task = Box::pin(harness::of(&mut world, subject)).await;
    match subject {
        Subject::Step(kind) => {
            if !break_step(&mut world, &mut task, kind).await {
                return;
            }
        }
        _ => break_undo(&mut world, &mut task, subject).await,
    }
    world.go();
    let before = world.happened();
    let first = world.run(&task).await;
    let after = world.happened();
    if let StepOutcome::Done { record, .. } = &first {
        // What a registry does not remove is no failure of ours, and is left.
        assert!(matches!(record, Record::Oci(OciRecord::Left { .. })), "{subject:?}: {first:?}");
        assert!(is_undo, "{subject:?}: {first:?}");
        return;
    }
    let StepOutcome::Failed { message, .. } = &first else { panic!("{subject:?}: {first:?}") };
    assert!(!message.is_empty(), "{subject:?} says why");
    assert!(before == after || is_undo || says_what_is_left(&first), "{subject:?}: {first:?}");
    let again = world.run(&task).await;
    assert!(matches!(again, StepOutcome::Failed { .. }), "{subject:?}: {again:?}");
    assert_eq!(world.happened(), after, "{subject:?} does nothing more");
}

/// Each in a world of its own, several at a time.
async fn all_fail(subjects: Vec<Subject>, is_undo: bool) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for subject in subjects {
        let room = room.clone();
        running.spawn(async move {
            let _place = room.acquire().await.unwrap();
            fails(subject, is_undo).await;
        });
    }
    while let Some(tried) = running.join_next().await {
        tried.unwrap();
    }
}

#[test]
fn what_fails_leaves_the_world_as_it_was_or_says_what_is_left() {
    harness::on_deep_stacks(async {
        let kinds = StepKind::ALL.into_iter().filter(is_carried_out).chain([StepKind::Fail]);
        all_fail(kinds.map(Subject::Step).collect(), false).await;
    });
}

#[test]
fn an_undo_that_cannot_be_carried_out_says_so() {
    harness::on_deep_stacks(async {
        let mut undos: Vec<Subject> = Vec::new();
        for subject in StepKind::ALL.into_iter().flat_map(undo_of) {
            if !undos.contains(subject) {
                undos.push(*subject);
            }
        }
        all_fail(undos, true).await;
    });
}

/// The calls that are no steps and no undos: looks.
#[tokio::test]
async fn a_look_that_fails_says_so() {
    let mut world = World::new().await;
    let mut task = harness::of(&mut world, Subject::Look).await;
    break_undo(&mut world, &mut task, Subject::Look).await;
    let outcome = world.run(&task).await;
    assert!(matches!(outcome, StepOutcome::Failed { .. }), "{outcome:?}");
}
