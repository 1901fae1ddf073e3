//! Evidence: two statements under a key that is always the same, and what the command line makes of them.

use std::fs;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use reconciler_domain::promotion::{ChangeSet, PublicKey, Signed, Stated, Statement};
use reconciler_domain::step::Said;
use serde_json::{Value, json};

use super::{command, lockstep, transcript};

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn key(seed: u8) -> PublicKey {
    PublicKey(pair(seed).public_key().as_ref().try_into().unwrap())
}

fn change_set() -> ChangeSet {
    let freight = "3f2a1b9c0d3f2a1b9c0d3f2a1b9c0d3f2a1b9c0d".parse().unwrap();
    let collection = [("main".parse().unwrap(), freight)].into_iter().collect();
    ChangeSet::new(collection, Vec::new(), Vec::new(), Vec::new(), Vec::new())
}

fn signed(promotion: &str, by: &str, said: Stated, seed: u8) -> Signed {
    let statement = Statement {
        project: "shop".parse().unwrap(),
        promotion: promotion.parse().unwrap(),
        stage: "prod".parse().unwrap(),
        freight: "3f2a1b9c0d3f2a1b9c0d3f2a1b9c0d3f2a1b9c0d".parse().unwrap(),
        along: Vec::new(),
        said,
        by: by.to_owned(),
        groups: ["sre".to_owned()].into(),
        comment: Some("looks right".to_owned()),
        at: "2026-11-22T12:00:00Z".parse().unwrap(),
    };
    statement.signed(|bytes| (key(seed).id(), pair(seed).sign(bytes).as_ref().to_vec()))
}

fn approved(digest: &str) -> Stated {
    Stated::Approved { change_set: digest.to_owned() }
}

/// What the daemon's stand-in has of `prod.12`.
pub(crate) fn canned() -> Value {
    let (digest, content) = (change_set().digest, change_set().content());
    let (step, question) = ("release".parse().unwrap(), "sha256:0e".to_owned());
    let change_set = digest.clone();
    let answered = Stated::Answered { change_set, step, question, answer: Said::Refused };
    let statements = [approved("sha256:01d"), approved(&digest), answered]
        .map(|said| signed("prod.12", "cleo", said, 7));
    json!({
        "project": "shop", "promotion": "prod.12", "stage": "prod", "phase": "waiting",
        "freight": "3f2a1b9c0d3f2a1b9c0d3f2a1b9c0d3f2a1b9c0d",
        "change_set": { "digest": digest, "content": content }, "statements": statements,
    })
}

/// The keys of the daemon's stand-in.
pub(crate) fn keys() -> Value {
    json!({ "keys": [{ "id": key(7).id(), "pem": key(7).to_pem() }] })
}

/// What `lockstep verify` says of this evidence under this key, without a daemon and without a token.
fn verify(evidence: &Value, key: &PublicKey) -> String {
    verify_with(evidence, key, "")
}

fn verify_with(evidence: &Value, key: &PublicKey, options: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (file, keys) = (folder.path().join("evidence.json"), folder.path().join("keys.pem"));
    fs::write(&file, evidence.to_string()).unwrap();
    fs::write(&keys, key.to_pem()).unwrap();
    let (file, keys) = (file.display().to_string(), keys.display().to_string());
    transcript(command(&format!("verify {file} --keys {keys} {options}")))
        .replace(&file, "EVIDENCE")
        .replace(&keys, "KEYS")
}

#[test]
fn evidence_and_keys_are_shown() {
    insta::assert_snapshot!(lockstep("evidence prod.12"), @r#"
    shop/prod.12, freight 3f2a1b9c0d
    cleo (sre) approved change set sha256:01d at 2026-11-22T12:00:00Z, saying "looks right"
    cleo (sre) approved change set sha256:02504a77f2facd68091f821b8d9faed29a4b7800018a905a66c3e0d6da84c725 at 2026-11-22T12:00:00Z, saying "looks right"
    cleo (sre) refused step release at 2026-11-22T12:00:00Z, saying "looks right"
    "#);
    insta::assert_snapshot!(lockstep("keys"), @r"
    # 324be2dea8bc4446
    -----BEGIN PUBLIC KEY-----
    MCowBQYDK2VwAyEA6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=
    -----END PUBLIC KEY-----
    ");
}

#[test]
fn verify_asks_nobody() {
    insta::assert_snapshot!(verify(&canned(), &key(7)), @r#"
    shop/prod.12: what it does was approved by cleo

           WHAT                                                                                                                                                   KEY
    true   the digest sha256:02504a77f2facd68091f821b8d9faed29a4b7800018a905a66c3e0d6da84c725 is of this content                                                  -
    void   cleo (sre) approved change set sha256:01d at 2026-11-22T12:00:00Z, saying "looks right", which is not what it does now                                 324be2dea8bc4446
    true   cleo (sre) approved change set sha256:02504a77f2facd68091f821b8d9faed29a4b7800018a905a66c3e0d6da84c725 at 2026-11-22T12:00:00Z, saying "looks right"   324be2dea8bc4446
    true   cleo (sre) refused step release at 2026-11-22T12:00:00Z, saying "looks right"                                                                          324be2dea8bc4446
    "#);
}

#[test]
fn evidence_without_approvals_is_none() {
    let mut none = canned();
    none["statements"] = json!([]);
    insta::assert_snapshot!(verify(&none, &key(7)), @r"
    shop/prod.12: nobody is known to have approved what it does

           WHAT                                                                                                    KEY
    true   the digest sha256:02504a77f2facd68091f821b8d9faed29a4b7800018a905a66c3e0d6da84c725 is of this content   -
    ! error: 0 of 1 people approved what the promotion does
    [exit 1]
    ");
    // A change set that nobody has seen bears its digest as well.
    let mut other = canned();
    let freight = "4".repeat(40).parse().unwrap();
    let collection = [("main".parse().unwrap(), freight)].into_iter().collect();
    let set = ChangeSet::new(collection, Vec::new(), Vec::new(), Vec::new(), Vec::new());
    other["change_set"] = json!({ "digest": set.digest, "content": set.content() });
    insta::assert_snapshot!(verify(&other, &key(7)), @r#"
    shop/prod.12: nobody is known to have approved what it does

           WHAT                                                                                                                                                                                  KEY
    true   the digest sha256:624844b7d3f305f3626f48b691d3c81ddbb8ac6e8330f0668a296c0ffd5a5987 is of this content                                                                                 -
    void   cleo (sre) approved change set sha256:01d at 2026-11-22T12:00:00Z, saying "looks right", which is not what it does now                                                                324be2dea8bc4446
    void   cleo (sre) approved change set sha256:02504a77f2facd68091f821b8d9faed29a4b7800018a905a66c3e0d6da84c725 at 2026-11-22T12:00:00Z, saying "looks right", which is not what it does now   324be2dea8bc4446
    void   cleo (sre) refused step release at 2026-11-22T12:00:00Z, saying "looks right", which is not what it does now                                                                          324be2dea8bc4446
    ! error: 0 of 1 people approved what the promotion does
    [exit 1]
    "#);
    insta::assert_snapshot!(verify_with(&canned(), &key(7), "--people 2"), @r#"
    shop/prod.12: what it does was approved by cleo

           WHAT                                                                                                                                                   KEY
    true   the digest sha256:02504a77f2facd68091f821b8d9faed29a4b7800018a905a66c3e0d6da84c725 is of this content                                                  -
    void   cleo (sre) approved change set sha256:01d at 2026-11-22T12:00:00Z, saying "looks right", which is not what it does now                                 324be2dea8bc4446
    true   cleo (sre) approved change set sha256:02504a77f2facd68091f821b8d9faed29a4b7800018a905a66c3e0d6da84c725 at 2026-11-22T12:00:00Z, saying "looks right"   324be2dea8bc4446
    true   cleo (sre) refused step release at 2026-11-22T12:00:00Z, saying "looks right"                                                                          324be2dea8bc4446
    ! error: 1 of 2 people approved what the promotion does
    [exit 1]
    "#);
    insta::assert_snapshot!(verify_with(&canned(), &key(7), "--promotion shop/prod.13"), @r"
    ! error: the evidence is about shop/prod.12, not shop/prod.13
    [exit 1]
    ");
}

#[test]
fn verify_finds_what_is_not_true() {
    insta::assert_snapshot!(verify(&canned(), &key(8)), @r"
    shop/prod.12: nobody is known to have approved what it does

               WHAT                                                                                                    KEY
    true       the digest sha256:02504a77f2facd68091f821b8d9faed29a4b7800018a905a66c3e0d6da84c725 is of this content   -
    NOT TRUE   a statement that none of the given keys signed; it names 324be2dea8bc4446                               -
    NOT TRUE   a statement that none of the given keys signed; it names 324be2dea8bc4446                               -
    NOT TRUE   a statement that none of the given keys signed; it names 324be2dea8bc4446                               -
    ! error: the evidence does not hold; what is not true of it: 3
    ! hint: a key may be missing: ask whoever runs lockstepd what `lockstep keys` says there
    [exit 1]
    ");
    let mut forged = canned();
    forged["change_set"]["content"] = json!("[]");
    forged["statements"] = json!([signed("prod.11", "cleo", approved("sha256:00"), 7)]);
    insta::assert_snapshot!(verify(&forged, &key(7)), @r"
    shop/prod.12: nobody is known to have approved what it does

               WHAT                                                                                                       KEY
    NOT TRUE   the digest sha256:02504a77f2facd68091f821b8d9faed29a4b7800018a905a66c3e0d6da84c725 is of another content   -
    NOT TRUE   a statement about shop/prod.11 with freight 3f2a1b9c0d                                                     -
    ! error: the evidence does not hold; what is not true of it: 2
    ! hint: a key may be missing: ask whoever runs lockstepd what `lockstep keys` says there
    [exit 1]
    ");
    insta::assert_snapshot!(verify(&json!({ "project": "shop" }), &key(7)), @r"
    ! error: cannot read EVIDENCE: missing field `promotion` at line 1 column 18
    ! hint: write it with: lockstep evidence PROMOTION -o json, and the keys with: lockstep keys
    [exit 2]
    ");
}
