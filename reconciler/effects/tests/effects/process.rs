//! Children: environment, limits, and that none outlives its run.

use std::path::Path;
use std::time::Duration;

use reconciler_effects::process::{Command, ProcessError};
use tokio_util::sync::CancellationToken;

fn shell(script: &str) -> Command {
    Command::new("/bin/sh").args(["-c", script]).inherit("PATH")
}

/// Resolves when the process is gone, or is a zombie that only waits to be reaped.
async fn gone(pid: i32) {
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if stat.is_empty() || stat.contains(") Z ") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn written_pid(path: &Path) -> i32 {
    loop {
        if let Some(pid) =
            std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok())
        {
            return pid;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_environment_is_what_was_named() {
    let cancel = CancellationToken::new();
    let output =
        Command::new("/usr/bin/env").env("A", "1").inherit("PATH").run(&cancel).await.unwrap();
    let text = output.stdout.text().into_owned();
    let mut names: Vec<_> = text.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    assert_eq!(names, ["A", "PATH"]);
}

#[tokio::test]
async fn exit_code_streams_and_input_come_back() {
    let cancel = CancellationToken::new();
    let output = shell("cat; echo oops >&2; exit 3").stdin("hello").run(&cancel).await.unwrap();
    assert_eq!(output.status.code, Some(3));
    assert_eq!(output.stdout.text(), "hello");
    assert_eq!(output.stderr.tail(), "oops");
}

#[tokio::test]
async fn output_beyond_the_limit_is_dropped_without_blocking() {
    let cancel = CancellationToken::new();
    let output = shell("head -c 1000000 /dev/zero").output_limit(1000).run(&cancel).await.unwrap();
    assert_eq!((output.stdout.bytes.len(), output.stdout.truncated), (1000, true));
    assert!(output.status.success());
}

#[tokio::test]
async fn a_deadline_interrupts_before_it_kills() {
    let cancel = CancellationToken::new();
    let polite = shell("trap 'echo bye >&2; exit 0' INT; while :; do sleep 0.01; done");
    let error = polite.deadline(Duration::from_millis(300)).run(&cancel).await.unwrap_err();
    let ProcessError::DeadlineExceeded { stderr, .. } = error else { panic!("{error:?}") };
    assert_eq!(stderr, "bye");

    let deaf = shell("trap '' INT; while :; do sleep 0.01; done");
    let error = deaf
        .deadline(Duration::from_millis(50))
        .grace(Duration::from_millis(20))
        .run(&cancel)
        .await
        .unwrap_err();
    assert!(matches!(error, ProcessError::DeadlineExceeded { .. }));
}

#[tokio::test]
async fn cancelling_and_dropping_end_the_whole_group() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!("sleep 1000 & echo $! > {}; wait", file.display());

    let cancel = CancellationToken::new();
    let run = tokio::spawn({
        let (cancel, command) = (cancel.clone(), shell(&script));
        async move { command.run(&cancel).await }
    });
    let grandchild = written_pid(&file).await;
    cancel.cancel();
    assert!(matches!(run.await.unwrap(), Err(ProcessError::Cancelled { .. })));
    gone(grandchild).await;

    std::fs::remove_file(&file).unwrap();
    let cancel = CancellationToken::new();
    let run = tokio::spawn(async move { shell(&script).run(&cancel).await });
    let grandchild = written_pid(&file).await;
    run.abort();
    gone(grandchild).await;
}

#[tokio::test]
async fn a_background_child_does_not_outlive_its_leader() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!("sleep 1000 & echo $! > {}", file.display());
    let output = shell(&script).run(&CancellationToken::new()).await.unwrap();
    assert!(output.status.success());
    gone(written_pid(&file).await).await;
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let cancel = CancellationToken::new();
    let missing = Command::new("no-such-program-here").run(&cancel).await.unwrap_err();
    insta::assert_snapshot!(missing, @"program `no-such-program-here` was not found; install it or give its full path");
    let nowhere =
        Command::new("/bin/true").current_dir("/no/such/dir").run(&cancel).await.unwrap_err();
    insta::assert_snapshot!(nowhere, @"cannot start `/bin/true` in `/no/such/dir`");
}

#[test]
fn debug_output_hides_values() {
    let shown = format!("{:?}", Command::new("x").env("TOKEN", "hunter2"));
    assert!(shown.contains("TOKEN") && !shown.contains("hunter2"), "{shown}");
}
