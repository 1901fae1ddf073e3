//! Embedded states, as the API says them.

use reconciler_api::v1::{EmbeddedState, StateLock, StateVersion, VersionMaker};
use reconciler_effects::states::{self, Current, Holder, Maker, Version};

/// A state that is there.
pub(crate) fn embedded_state(state: &Current) -> EmbeddedState {
    let Current { name, document, version, size, waits, lock } = state;
    EmbeddedState {
        stage: name.stage.to_string(),
        name: name.name().to_owned(),
        workspace: name.workspace().to_owned(),
        serial: document.as_ref().map(|document| document.serial),
        lineage: document.as_ref().map(|document| document.lineage.clone()),
        resources: document.as_ref().map(|document| document.resources),
        size: *size,
        version: version.as_ref().map(|version| version.number),
        updated_at: version.as_ref().map(|version| version.at),
        lock: lock.as_ref().map(state_lock),
        unwritten: *waits,
    }
}

/// The lock of a state.
pub(crate) fn state_lock(lock: &states::StateLock) -> StateLock {
    let (principal, promotion, step) = match &lock.holder {
        Holder::Client { who } => (Some(who.to_string()), None, None),
        Holder::Run(run) => (None, Some(run.promotion.to_string()), Some(run.step.to_string())),
    };
    let states::StateLock { id, operation, who, since, .. } = lock.clone();
    StateLock { id, operation, who, principal, promotion, step, since }
}

/// A version of a state.
pub(crate) fn state_version(version: &Version) -> StateVersion {
    let Version { number, serial, lineage, resources, at, sha256, size, by } = version.clone();
    let mut said = StateVersion {
        version: number,
        serial,
        lineage,
        resources,
        at,
        sha256,
        size,
        by: VersionMaker::Found,
        promotion: None,
        step: None,
        principal: None,
        restored: None,
        reason: None,
    };
    match by {
        Maker::Found => {}
        Maker::Run { promotion, step } => {
            said.by = VersionMaker::Apply;
            (said.promotion, said.step) = (Some(promotion.to_string()), Some(step.to_string()));
        }
        Maker::Unwritten { promotion, step } => {
            said.by = VersionMaker::Unwritten;
            (said.promotion, said.step) = (Some(promotion.to_string()), Some(step.to_string()));
        }
        Maker::Client { who } => {
            (said.by, said.principal) = (VersionMaker::Client, Some(who.to_string()));
        }
        Maker::Restored { who, from, reason } => {
            (said.by, said.principal) = (VersionMaker::Restore, Some(who.to_string()));
            (said.restored, said.reason) = (Some(from), Some(reason));
        }
    }
    said
}
