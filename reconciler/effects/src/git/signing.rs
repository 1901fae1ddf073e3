//! Signatures of commits and tags by an SSH key, as `git` makes them with `gpg.format = ssh`.
//!
//! The format is that of OpenSSH (PROTOCOL.sshsig, namespace `git`, SHA-512). Only Ed25519 keys sign: the
//! same key gives the same text the same signature, so a signed commit has the same id each time, too.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::Ed25519KeyPair;
use git2::{ObjectType, Oid, Tree};
use ssh_key::private::KeypairData;
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey, Signature, SshSig};

use super::credentials::Secret;
use super::error::GitError;
use super::mirror::Job;

/// The purpose that a signature is for: it cannot be used for another.
const NAMESPACE: &str = "git";
/// The header of a commit that holds its signature, of whatever kind.
const HEADER: &str = "gpgsig";

/// A private key that signs. It is wiped when the last of its clones is dropped.
#[derive(Clone)]
pub struct Signer(Arc<Keys>);

struct Keys {
    public: ssh_key::public::KeyData,
    pair: Ed25519KeyPair,
}

/// Who made something, as libgit2 has it.
pub(super) type Hands<'a> = (&'a git2::Signature<'a>, &'a git2::Signature<'a>);

impl Signer {
    /// Reads a private key in the format of OpenSSH.
    ///
    /// # Errors
    /// Why the key does not sign, in words that hold nothing of it.
    pub fn parse(key: &Secret) -> Result<Self, String> {
        // What was pasted often lacks the end of the last line, which the format wants.
        let text = zeroize::Zeroizing::new(format!("{}\n", key.expose().trim()));
        let key = PrivateKey::from_openssh(text.as_bytes()).map_err(|_| {
            "a signing key is an Ed25519 private key in the format of OpenSSH, which begins with \
             -----BEGIN OPENSSH PRIVATE KEY-----; make one with `ssh-keygen -t ed25519`"
                .to_owned()
        })?;
        if key.is_encrypted() {
            return Err(
                "the signing key has a passphrase, which nobody is there to give; take it off \
                        with `ssh-keygen -p`"
                    .to_owned(),
            );
        }
        let KeypairData::Ed25519(pair) = key.key_data() else {
            return Err(format!(
                "the signing key is of the kind {}, and only ssh-ed25519 is used: make one with \
                 `ssh-keygen -t ed25519`",
                key.algorithm(),
            ));
        };
        let public = key.public_key().key_data().clone();
        let pair =
            Ed25519KeyPair::from_seed_and_public_key(&pair.private.to_bytes(), &pair.public.0)
                .map_err(|_| "the halves of the signing key do not belong together".to_owned())?;
        Ok(Self(Arc::new(Keys { public, pair })))
    }

    /// The signature of what a commit or tag consists of, in lines.
    fn sign(&self, content: &[u8]) -> Result<String, ssh_key::Error> {
        let Keys { public, pair } = &*self.0;
        let signed = SshSig::signed_data(NAMESPACE, HashAlg::Sha512, content)?;
        let signature = Signature::new(Algorithm::Ed25519, pair.sign(&signed).as_ref())?;
        SshSig::new(public.clone(), NAMESPACE, HashAlg::Sha512, signature)?.to_pem(LineEnding::LF)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.0.public.fingerprint(HashAlg::Sha256))
    }
}

/// Writes a commit to the mirror, signed if there is a key.
pub(super) fn write_commit(
    job: &Job,
    (author, committer): Hands<'_>,
    message: &str,
    tree: &Tree<'_>,
    parents: &[&git2::Commit<'_>],
    what: &'static str,
) -> Result<Oid, GitError> {
    let fail = job.fail(what);
    let Some(signer) = &job.signer else {
        let made = job.repository.commit(None, author, committer, message, tree, parents);
        return made.map_err(fail);
    };
    let content = job.repository.commit_create_buffer(author, committer, message, tree, parents);
    let content = content.map_err(&fail)?;
    let text = std::str::from_utf8(&content)
        .map_err(|_| unsigned(job, "its author, committer or message is no UTF-8"))?;
    let signature = signer.sign(&content).map_err(|error| unsigned(job, &error.to_string()))?;
    job.repository.commit_signed(text, signature.trim_end(), Some(HEADER)).map_err(fail)
}

/// Writes an annotated tag to the mirror, without a name there, signed if there is a key.
pub(super) fn write_tag(
    job: &Job,
    tag: &str,
    commit: Oid,
    tagger: &git2::Signature<'_>,
    message: &str,
) -> Result<Oid, GitError> {
    let fail = job.fail("making a tag");
    let Some(signer) = &job.signer else {
        let target = job.repository.find_object(commit, Some(ObjectType::Commit)).map_err(&fail)?;
        return job.repository.tag_annotation_create(tag, &target, tagger, message).map_err(fail);
    };
    // libgit2 has no words for a signed one: the signature is the end of its message.
    let who = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut content = format!(
        "object {commit}\ntype commit\ntag {tag}\ntagger {} <{}> {} +0000\n\n{message}",
        who(tagger.name_bytes()),
        who(tagger.email_bytes()),
        tagger.when().seconds(),
    );
    let signature = signer.sign(content.as_bytes());
    content.push_str(&signature.map_err(|error| unsigned(job, &error.to_string()))?);
    let odb = job.repository.odb().map_err(&fail)?;
    odb.write(ObjectType::Tag, content.as_bytes()).map_err(fail)
}

fn unsigned(job: &Job, why: &str) -> GitError {
    GitError::NotSigned { repo: job.repo.clone(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_said_without_it() {
        let found = Signer::parse(&Secret::new("hunter2hunter2"));
        let said = found.map_or_else(|why| why, |signer| format!("{signer:?}"));
        assert!(said.contains("ssh-keygen") && !said.contains("hunter2"), "{said}");
    }
}
