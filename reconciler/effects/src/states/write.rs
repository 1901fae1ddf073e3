//! What people and other tools do with a state: read it, write it, remove it, restore an older version.

use jiff::Timestamp;
use reconciler_domain::id::Principal;

use super::document::{Document, with_serial};
use super::lock::locked;
use super::version::{Maker, Version};
use super::{StateError, StateName, States, sha256};

impl States {
    /// The state as it is there; none if there is none.
    ///
    /// # Errors
    /// It cannot be read. [`StateError::Gone`]: it was there, and is not. [`StateError::NoState`]: it is damaged, or
    /// a run is writing it at this moment.
    pub fn read_current(&self, name: &StateName) -> Result<Option<Vec<u8>>, StateError> {
        let _turn = self.turn();
        if self.holder(name)?.is_none() {
            self.put_back(name)?;
        }
        let Some(bytes) = self.read(name)? else {
            return self.not_gone(name).map(|()| None);
        };
        Document::parse(&bytes)
            .map_err(|source| StateError::NoState { name: name.to_string(), source })?;
        Ok(Some(bytes))
    }

    /// Writes a state for a client that has the lock of this id, or none where nobody locked it.
    ///
    /// # Errors
    /// It is locked by another, is no state, or does not carry on what is there.
    pub fn receive(
        &self,
        name: &StateName,
        bytes: &[u8],
        lock: Option<&str>,
        who: &Principal,
        at: Timestamp,
    ) -> Result<Version, StateError> {
        let _turn = self.turn();
        self.may_write(name, lock)?;
        let sent = Document::parse(bytes)
            .map_err(|source| StateError::NoState { name: name.to_string(), source })?;
        if let Some(there) = self.kept(name, at)? {
            if there.sha256 == sha256(bytes) {
                return Ok(there);
            }
            carries_on(name, &there, &sent)?;
        }
        self.replace(name, bytes, &Maker::Client { who: who.clone() }, at)
    }

    /// Removes a state for a client; it is kept as a version.
    ///
    /// # Errors
    /// It is locked by another.
    pub fn remove(
        &self,
        name: &StateName,
        lock: Option<&str>,
        at: Timestamp,
    ) -> Result<Option<Version>, StateError> {
        let _turn = self.turn();
        self.may_write(name, lock)?;
        let kept = self.kept(name, at)?;
        self.inner.versions.write(&name.removed(), at.to_string().as_bytes())?;
        self.inner.current.remove(&name.current())?;
        self.inner.versions.remove(&name.waiting())?;
        Ok(kept)
    }

    /// Makes an older version the state that is there, as a new version: of the same lineage, and newer than all
    /// of that lineage, so that every stored plan against what was there is stale.
    ///
    /// # Errors
    /// It is locked, there is no such version, or it does not open.
    pub fn restore(
        &self,
        name: &StateName,
        number: u64,
        who: &Principal,
        reason: &str,
        at: Timestamp,
    ) -> Result<Version, StateError> {
        let _turn = self.turn();
        if let Some(held) = self.holder(name)? {
            return Err(locked(name, held));
        }
        let old = self.open_version(name, number)?;
        let no_state = |source| StateError::NoState { name: name.to_string(), source };
        let Document { lineage, .. } = Document::parse(&old).map_err(no_state)?;
        // What is there may be damaged: that is what restoring is for.
        if let Err(error) = self.kept(name, at) {
            tracing::warn!(%name, %error, "the state that is replaced is not kept as a version");
        }
        let versions = self.list_versions(name)?;
        let same_line = versions.iter().filter(|version| version.lineage == lineage);
        let newest = same_line.map(|version| version.serial).max().unwrap_or(0);
        let state = with_serial(&old, newest + 1).map_err(no_state)?;
        let reason = reason.to_owned();
        self.replace(name, &state, &Maker::Restored { who: who.clone(), from: number, reason }, at)
    }

    fn may_write(&self, name: &StateName, lock: Option<&str>) -> Result<(), StateError> {
        match (self.holder(name)?, lock) {
            (None, None) => Ok(()),
            (Some(held), Some(id)) if held.id == id => Ok(()),
            (Some(held), _) => Err(locked(name, held)),
            (None, Some(_)) => Err(StateError::LockLost { name: name.to_string() }),
        }
    }

    /// What is there, as a version.
    fn kept(&self, name: &StateName, at: Timestamp) -> Result<Option<Version>, StateError> {
        let Some(bytes) = self.read(name)? else { return Ok(None) };
        self.keep_bytes(name, &bytes, &Maker::Found, at).map(Some)
    }

    /// The version is there first: what is written can then not be lost.
    fn replace(
        &self,
        name: &StateName,
        bytes: &[u8],
        by: &Maker,
        at: Timestamp,
    ) -> Result<Version, StateError> {
        let version = self.keep_bytes(name, bytes, by, at)?;
        self.inner.current.write(&name.current(), bytes)?;
        self.inner.versions.remove(&name.waiting())?;
        Ok(version)
    }
}

/// Refuses a state of another line, and an older one. An empty state may be replaced by any.
fn carries_on(name: &StateName, there: &Version, sent: &Document) -> Result<(), StateError> {
    let no = |what: String, advice| {
        let (serial, lineage) = (there.serial, there.lineage.clone());
        Err(StateError::NoSuccessor { name: name.to_string(), serial, lineage, what, advice })
    };
    if sent.lineage != there.lineage && there.resources > 0 {
        return no(
            format!("what was sent is of lineage {}", sent.lineage),
            "it is the state of something else; to replace this one all the same, remove it first",
        );
    }
    if sent.lineage == there.lineage && sent.serial <= there.serial {
        return no(
            format!("what was sent has serial {}", sent.serial),
            "plan again; to go back, restore a version",
        );
    }
    Ok(())
}
