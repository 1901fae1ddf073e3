//! Checkouts and commits.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use reconciler_effects::git::{CommitOutcome, FileEdit, GitError, NewCommit, Revision, Source};

use crate::fixture::{Fixture, VALUES, commit_request};

fn main_branch() -> Revision {
    Revision::Branch("main".into())
}

fn tree_of(folder: &Path) -> Source {
    Source::WorkingTree { dir: folder.to_owned(), paths: Vec::new() }
}

fn changed(made: &NewCommit) -> Vec<String> {
    let line = |file: &reconciler_effects::git::FileChange| {
        let sign = match (&file.old_blob, &file.new_blob) {
            (None, _) => '+',
            (_, None) => '-',
            (Some(_), Some(_)) => '~',
        };
        format!("{sign}{}", file.path)
    };
    made.changed.iter().map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_is_exactly_the_tree() {
    let fixture = Fixture::new().await;
    let people = &fixture.people;
    people.write("bin/run", "#!/bin/sh\n");
    fs::set_permissions(people.path("bin/run"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("bin/run", people.path("run")).unwrap();
    symlink("../values.yaml", people.path("bin/values")).unwrap();
    people.commit("files");
    people.git(&["push", "--quiet", "origin", "HEAD:main"]);

    let dest = fixture.folder.path().join("work");
    fs::create_dir(&dest).unwrap();
    fs::write(dest.join("left-over"), "x").unwrap();
    symlink("/etc", dest.join("bin")).unwrap();
    let id = fixture.git.checkout(&fixture.repo, &main_branch(), &[], &dest).await.unwrap();
    assert_eq!(id, fixture.tip().await);
    assert!(!dest.join("left-over").exists());
    assert_eq!(fs::read_to_string(dest.join("run")).unwrap(), "#!/bin/sh\n");
    assert_eq!(fs::read_to_string(dest.join("bin/values")).unwrap(), VALUES);
    assert_eq!(fs::metadata(dest.join("bin/run")).unwrap().permissions().mode() & 0o111, 0o111);
    assert_eq!(fs::metadata(dest.join("values.yaml")).unwrap().permissions().mode() & 0o111, 0);

    let link = fixture.folder.path().join("link");
    symlink(&dest, &link).unwrap();
    let through = fixture.git.checkout(&fixture.repo, &main_branch(), &[], &link).await;
    assert!(matches!(through, Err(GitError::Io { .. })), "{through:?}");
    assert!(dest.join("values.yaml").exists(), "what a link points to is not emptied");
}

#[tokio::test(flavor = "multi_thread")]
async fn submodules_are_left_where_they_are() {
    let fixture = Fixture::new().await;
    let people = &fixture.people;
    let elsewhere = "https://somewhere.invalid/lib.git";
    people
        .write(".gitmodules", &format!("[submodule \"lib\"]\n\tpath = lib\n\turl = {elsewhere}\n"));
    let pinned = fixture.tip().await;
    people.git(&["add", ".gitmodules"]);
    people.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{pinned},lib")]);
    people.git(&["commit", "--quiet", "--message", "a submodule"]);
    people.git(&["push", "--quiet", "origin", "HEAD:main"]);

    let dest = fixture.folder.path().join("work");
    let base = fixture.git.checkout(&fixture.repo, &main_branch(), &[], &dest).await.unwrap();
    assert!(!dest.join("lib").exists(), "nobody is asked for it");
    fs::write(dest.join("values.yaml"), "first: 2\n").unwrap();
    let request = commit_request(&fixture.repo, &base, "dev.1/1", tree_of(&dest));
    let made = fixture.git.commit(request).await.unwrap();
    let CommitOutcome::Committed(made) = made else { panic!("{made:?}") };
    assert_eq!(changed(&made), ["~values.yaml"], "the submodule stays in the tree");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_lead_out_are_refused_in_both_directions() {
    for (at, target) in [("out", "/etc"), ("a/out", "../../x"), ("out", "a/../..")] {
        let fixture = Fixture::new().await;
        let dest = fixture.folder.path().join("work");
        let base = fixture.git.checkout(&fixture.repo, &main_branch(), &[], &dest).await.unwrap();
        fs::create_dir(dest.join("a")).unwrap();
        symlink(target, dest.join(at)).unwrap();
        let request = commit_request(&fixture.repo, &base, "dev.1/1", tree_of(&dest));
        let made = fixture.git.commit(request).await;
        assert!(matches!(made, Err(GitError::UnsafePath { .. })), "{target}: {made:?}");

        fs::create_dir_all(fixture.people.path("a")).unwrap();
        symlink(target, fixture.people.path(at)).unwrap();
        fixture.people.commit("link");
        fixture.people.git(&["push", "--quiet", "origin", "HEAD:main"]);
        let out = fixture.git.checkout(&fixture.repo, &main_branch(), &[], &dest).await;
        assert!(matches!(out, Err(GitError::UnsafePath { .. })), "{target}: {out:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_working_tree_becomes_the_same_commit_each_time() {
    let fixture = Fixture::new().await;
    let people = &fixture.people;
    people.write(".gitignore", ".terraform/\n*.log\n");
    people.write("deep/er/a.txt", "a\n");
    people.write("deep/er/b.txt", "b\n");
    people.write("gone/only.txt", "x\n");
    people.write("file-then-folder", "x\n");
    people.write("folder-then-file/x", "x\n");
    people.write("kept.log", "known\n");
    people.git(&["add", "--force", "kept.log"]);
    people.commit("files");
    people.git(&["push", "--quiet", "origin", "HEAD:main"]);

    let dest = fixture.folder.path().join("work");
    let base = fixture.git.checkout(&fixture.repo, &main_branch(), &[], &dest).await.unwrap();
    let request = || commit_request(&fixture.repo, &base, "dev.1/1", tree_of(&dest));
    let unchanged = fixture.git.commit(request()).await.unwrap();
    assert_eq!(unchanged, CommitOutcome::Unchanged { base: base.clone() });

    fs::write(dest.join("deep/er/a.txt"), "changed\n").unwrap();
    fs::write(dest.join("deep/new.txt"), "new\n").unwrap();
    fs::write(dest.join("kept.log"), "known, and changed\n").unwrap();
    fs::write(dest.join("new.log"), "ignored\n").unwrap();
    fs::create_dir_all(dest.join(".terraform/providers")).unwrap();
    fs::write(dest.join(".terraform/providers/big"), "ignored\n").unwrap();
    fs::create_dir_all(dest.join("deep/.git")).unwrap();
    fs::write(dest.join("deep/.git/config"), "not ours\n").unwrap();
    fs::remove_dir_all(dest.join("gone")).unwrap();
    fs::remove_file(dest.join("file-then-folder")).unwrap();
    fs::create_dir(dest.join("file-then-folder")).unwrap();
    fs::write(dest.join("file-then-folder/y"), "y\n").unwrap();
    fs::remove_dir_all(dest.join("folder-then-file")).unwrap();
    fs::write(dest.join("folder-then-file"), "z\n").unwrap();
    fs::set_permissions(dest.join("values.yaml"), fs::Permissions::from_mode(0o755)).unwrap();

    let CommitOutcome::Committed(made) = fixture.git.commit(request()).await.unwrap() else {
        panic!("there are changes");
    };
    insta::assert_debug_snapshot!(changed(&made), @r#"
    [
        "~deep/er/a.txt",
        "+deep/new.txt",
        "-file-then-folder",
        "+file-then-folder/y",
        "+folder-then-file",
        "-folder-then-file/x",
        "-gone/only.txt",
        "~kept.log",
        "~values.yaml",
    ]
    "#);
    let again = fixture.git.commit(request()).await.unwrap();
    assert_eq!(again, CommitOutcome::Committed(made.clone()));
    let elsewhere = fixture.another_git("elsewhere").commit(request()).await.unwrap();
    assert_eq!(elsewhere, CommitOutcome::Committed(made.clone()), "another mirror, the same id");

    let push = fixture.push_request(&made.commit, "dev.1/1");
    fixture.git.push(push).await.unwrap();
    fixture.people.git(&["fetch", "--quiet", "origin"]);
    fixture.people.git(&["fsck", "--strict", "--no-dangling"]);
    let message = fixture.people.git(&["log", "-1", "--format=%an <%ae> %at%n%B", "origin/main"]);
    insta::assert_snapshot!(message, @r"
    Lockstep <lockstep@example.com> 1795262400
    Promote dev.1/1

    Lockstep-Promotion: dev.1/1
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_repository_can_be_worked_on_alone() {
    let fixture = Fixture::new().await;
    let people = &fixture.people;
    for (file, content) in [
        (".gitignore", "*.log\n"),
        ("env/dev/app.yaml", "tag: 1\n"),
        ("env/dev/old.yaml", "x\n"),
        ("env/prod/app.yaml", "tag: 0\n"),
        ("env/notes", "x\n"),
        ("charts/web/values.yaml", "x\n"),
    ] {
        people.change(file, content, file);
    }
    let dest = fixture.folder.path().join("work");
    let checkout = async |paths: &[&str]| {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        fixture.git.checkout(&fixture.repo, &main_branch(), &paths, &dest).await
    };
    let paths = ["env/dev/", "charts/web/values.yaml"];
    let base = checkout(&paths).await.unwrap();
    let found = std::process::Command::new("find")
        .args([".", "-type", "f"])
        .current_dir(&dest)
        .output()
        .unwrap();
    let mut listed: Vec<&str> = std::str::from_utf8(&found.stdout).unwrap().lines().collect();
    listed.sort_unstable();
    let all =
        ["./.gitignore", "./charts/web/values.yaml", "./env/dev/app.yaml", "./env/dev/old.yaml"];
    assert_eq!(listed, all);

    let commit = async || {
        let paths = paths.map(str::to_owned).to_vec();
        let source = Source::WorkingTree { dir: dest.clone(), paths };
        let request = commit_request(&fixture.repo, &base, "dev.1/1", source);
        fixture.git.commit(request).await.map(|outcome| match outcome {
            CommitOutcome::Committed(made) => changed(&made),
            CommitOutcome::Unchanged { .. } => Vec::new(),
        })
    };
    assert_eq!(commit().await.unwrap(), [""; 0], "what is not here is not gone");
    fs::write(dest.join("env/dev/app.yaml"), "tag: 2\n").unwrap();
    fs::write(dest.join("env/dev/noise.log"), "x\n").unwrap();
    fs::remove_file(dest.join("env/dev/old.yaml")).unwrap();
    fs::remove_dir_all(dest.join("charts")).unwrap();
    fs::create_dir_all(dest.join("env/new")).unwrap();
    fs::write(dest.join("env/new/app.yaml"), "tag: 2\n").unwrap();
    let all =
        ["-charts/web/values.yaml", "~env/dev/app.yaml", "-env/dev/old.yaml", "+env/new/app.yaml"];
    assert_eq!(commit().await.unwrap(), all);

    fs::write(dest.join("env/prod"), "x\n").unwrap();
    insta::assert_snapshot!(
        commit().await.unwrap_err(),
        @r#""env/prod": what it would replace was not checked out"#
    );
    let missing = checkout(&["env/dve"]).await;
    assert!(matches!(missing, Err(GitError::PathNotFound { .. })), "{missing:?}");
    let outside = checkout(&["../x"]).await;
    assert!(matches!(outside, Err(GitError::UnsafePath { .. })), "{outside:?}");
    assert!(dest.join("env/dev").exists(), "what is refused changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn single_edits_need_no_checkout() {
    let fixture = Fixture::new().await;
    let base = fixture.tip().await;
    let edit = |path: &str, content: Option<&str>| FileEdit {
        path: path.into(),
        content: content.map(|text| text.as_bytes().to_vec()),
    };
    let commit = async |edits: Vec<FileEdit>| {
        let request = commit_request(&fixture.repo, &base, "dev.1/1", Source::Edits(edits));
        fixture.git.commit(request).await
    };
    let made = commit(vec![edit("a/b.txt", Some("b\n")), edit("values.yaml", None)]).await.unwrap();
    let CommitOutcome::Committed(made) = made else { panic!("there are changes") };
    assert_eq!(changed(&made), ["+a/b.txt", "-values.yaml"]);
    let same = commit(vec![edit("values.yaml", Some(VALUES)), edit("no", None)]).await.unwrap();
    assert_eq!(same, CommitOutcome::Unchanged { base: base.clone() });
    for bad in [".git/hooks/x", "a/GIT~1/x"] {
        let refused = commit(vec![edit(bad, Some("x"))]).await;
        assert!(matches!(refused, Err(GitError::UnsafePath { .. })), "{refused:?}");
    }
}
