//! Signed commits and tags, looked at by the real git.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use async_trait::async_trait;
use reconciler_effects::git::{
    Annotation, CredentialSource, Credentials, Git, GitError, PushOutcome, RepoUrl, RevertOutcome,
    Secret, Signer, TagOutcome, TagRequest, Trailer,
};

use crate::fixture::{Fixture, PASSWORD, basic, commit_with, git_in, push_request, signature};

/// Who logs in as ever, and signs.
struct Signing(PathBuf);

#[async_trait]
impl CredentialSource for Signing {
    async fn credentials(&self, _: &RepoUrl) -> Result<Credentials, String> {
        Ok(basic(PASSWORD))
    }

    async fn signer(&self, _: &RepoUrl) -> Result<Option<Signer>, String> {
        Signer::parse(&key(&self.0)).map(Some)
    }
}

fn key(path: &Path) -> Secret {
    Secret::new(std::fs::read_to_string(path).unwrap())
}

fn keygen(arguments: &[&str]) {
    let status = Command::new("ssh-keygen").arg("-q").args(arguments).status().unwrap();
    assert!(status.success());
}

/// Makes a key; whoever holds it is known to the served repository as the one who makes the commits.
fn signing(fixture: &Fixture) -> Git {
    let path = fixture.folder.path().join("signing");
    keygen(&["-t", "ed25519", "-N", "", "-C", "", "-f", path.to_str().unwrap()]);
    let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    let allowed = fixture.folder.path().join("allowed");
    std::fs::write(&allowed, format!("lockstep@example.com {public}")).unwrap();
    let served = fixture.served();
    git_in(&served, &["config", "gpg.ssh.allowedSignersFile", allowed.to_str().unwrap()]);
    fixture.git.scoped("signed", Arc::new(Signing(path)))
}

/// Who signed the commit, as git finds it; `N`: nobody.
fn signed_by(fixture: &Fixture, commit: &str) -> String {
    let found = git_in(&fixture.served(), &["log", "-1", "--format=%G? %GS", commit]);
    found.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_their_undo_and_tags_are_signed() {
    let fixture = Fixture::new().await;
    let git = signing(&fixture);
    let base = fixture.tip().await;
    let made = commit_with(&git, &fixture.repo, &base, "dev.1/1", &[("new.txt", "new\n")]).await;
    let again = commit_with(&git, &fixture.repo, &base, "dev.1/1", &[("new.txt", "new\n")]).await;
    assert_eq!(made, again, "the same request makes the same commit");
    // Somebody is faster, so that it goes up on another parent.
    fixture.people.change("other.txt", "other\n", "theirs");
    let request = push_request(&fixture.repo, &made.commit, "dev.1/1");
    let PushOutcome::Pushed { commit, .. } = git.push(request.clone()).await.unwrap() else {
        panic!("it was not there")
    };
    assert_ne!(commit, made.commit);
    assert_eq!(signed_by(&fixture, commit.as_str()), "G lockstep@example.com");
    let found = git.push(request).await.unwrap();
    assert_eq!(found, PushOutcome::AlreadyThere { commit: commit.clone() });

    let annotation = Annotation {
        tagger: signature(),
        message: "1.0.0 is out".to_owned(),
        trailer: Trailer::promotion("dev.1/tag").unwrap(),
    };
    let (repo, tag) = (fixture.repo.clone(), "v1.0.0".to_owned());
    let request = TagRequest { repo, tag, commit: commit.clone(), annotation: Some(annotation) };
    let TagOutcome::Made { object } = git.tag(request.clone()).await.unwrap() else {
        panic!("it was not there")
    };
    git_in(&fixture.served(), &["verify-tag", "v1.0.0"]);
    let said = git_in(&fixture.served(), &["tag", "--list", "--format=%(subject) %(trailers)"]);
    assert_eq!(said.trim(), "1.0.0 is out Lockstep-Promotion: dev.1/tag");
    assert_eq!(git.tag(request).await.unwrap(), TagOutcome::AlreadyThere { object });

    let undone = git.revert(fixture.revert_request(&commit, "dev.1/1")).await.unwrap();
    let RevertOutcome::Reverted { commit, .. } = undone else { panic!("{undone:?}") };
    assert_eq!(signed_by(&fixture, commit.as_str()), "G lockstep@example.com");
    assert_eq!(signed_by(&fixture, base.as_str()), "N");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_do_not_sign_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, arguments: &[&str]| {
        let path = folder.path().join(name);
        keygen(&[arguments, &["-f", path.to_str().unwrap()]].concat());
        path
    };
    let told = |path: &Path| Signer::parse(&key(path)).map(|_| ()).unwrap_err();
    insta::assert_snapshot!(told(&make("a", &["-t", "ecdsa", "-N", ""])), @"a signing key is an Ed25519 private key in the format of OpenSSH, which begins with -----BEGIN OPENSSH PRIVATE KEY-----; make one with `ssh-keygen -t ed25519`");
    insta::assert_snapshot!(told(&make("b", &["-t", "ed25519", "-N", "correct horse"])), @"the signing key has a passphrase, which nobody is there to give; take it off with `ssh-keygen -p`");
    let public = make("c", &["-t", "ed25519", "-N", ""]).with_extension("pub");
    insta::assert_snapshot!(told(&public), @"a signing key is an Ed25519 private key in the format of OpenSSH, which begins with -----BEGIN OPENSSH PRIVATE KEY-----; make one with `ssh-keygen -t ed25519`");

    // Nothing goes up unsigned where it was to be signed.
    let fixture = Fixture::new().await;
    let git = fixture.git.scoped("signed", Arc::new(Signing(public)));
    let refused = git.push(push_request(&fixture.repo, &fixture.tip().await, "dev.1/1")).await;
    assert!(matches!(refused, Err(GitError::NotSigned { .. })), "{refused:?}");
}
