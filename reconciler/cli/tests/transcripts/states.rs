//! Embedded states of the stand-in.

use axum::body::Bytes;
use jiff::{SignedDuration, Timestamp};
use reconciler_api::problem::{Problem, ProblemCode};
use reconciler_api::v1::{
    EmbeddedState, RestoreState, StateLock, StateVersion, UnlockState, VersionMaker,
};
use serde_json::{Value, json as object};

use crate::server::{Answer, json, read};

fn ago(now: Timestamp, hours: i64) -> Timestamp {
    now - SignedDuration::from_hours(hours)
}

fn lock(now: Timestamp) -> StateLock {
    StateLock {
        id: "6f0a".into(),
        operation: "OperationTypeApply".into(),
        who: "ada@laptop".into(),
        principal: Some("ada".into()),
        promotion: None,
        step: None,
        since: ago(now, 1),
    }
}

pub(crate) fn all(now: Timestamp) -> Vec<EmbeddedState> {
    let state = EmbeddedState {
        stage: "prod".into(),
        name: "modules/db".into(),
        workspace: "default".into(),
        serial: Some(12),
        lineage: Some("5c1e".into()),
        resources: Some(4),
        size: 4_096,
        version: Some(3),
        updated_at: Some(ago(now, 2)),
        lock: Some(lock(now)),
        unwritten: None,
    };
    let broken = EmbeddedState {
        stage: "dev".into(),
        workspace: "blue".into(),
        lock: None,
        unwritten: Some(7),
        ..state.clone()
    };
    vec![broken, state]
}

pub(crate) fn versions(now: Timestamp) -> Vec<StateVersion> {
    let version = |number: u64, by| StateVersion {
        version: number,
        serial: 9 + number,
        lineage: "5c1e".into(),
        resources: 4,
        at: ago(now, 10 - i64::try_from(number).unwrap()),
        sha256: "3f2a1b9c0d3f2a1b9c0d".into(),
        size: 4_096,
        by,
        promotion: None,
        step: None,
        principal: None,
        restored: None,
        reason: None,
    };
    let (promotion, step) = (Some("prod.12".to_owned()), Some("apply".to_owned()));
    let restored = StateVersion {
        principal: Some("ada".into()),
        restored: Some(1),
        reason: Some("a wrong import".into()),
        ..version(4, VersionMaker::Restore)
    };
    vec![
        version(1, VersionMaker::Found),
        StateVersion { promotion, step, ..version(2, VersionMaker::Apply) },
        StateVersion { principal: Some("ada".into()), ..version(3, VersionMaker::Client) },
        restored,
    ]
}

pub(crate) fn content(serial: u64) -> Value {
    object!({ "version": 4, "serial": serial, "lineage": "5c1e" })
}

pub(crate) fn restored(now: Timestamp, body: &Bytes) -> Answer {
    let RestoreState { version, reason } = read(body)?;
    assert_eq!((version, reason.as_str()), (1, "a wrong import"));
    Ok(json(&versions(now)[3]))
}

pub(crate) fn unlocked(now: Timestamp, body: &Bytes) -> Answer {
    let UnlockState { id, .. } = read(body)?;
    let lock = lock(now);
    if id != lock.id {
        let detail = "the state of shop/prod/modules/db is locked by ada@laptop";
        return Err(Box::new(Problem::new(ProblemCode::StateLocked, detail)));
    }
    Ok(json(&lock))
}
