//! What people and other tools do with a state: read it, write it, remove it, restore an older version.

use jiff::Timestamp;
use reconciler_domain::id::Principal;

use super::document::{Document, with_serial};
use super::lock::{Holder, locked};
use super::version::{Maker, Version};
use super::{StateError, StateName, States, sha256};

impl States {
    /// The state as it is there; none if there is none.
    ///
    /// # Errors
    /// It cannot be read. [`StateError::Gone`]: it was there, and is not. [`StateError::NoState`]: it is damaged, or
    /// a run is writing it at this moment. [`StateError::Unsettled`]: a run is writing it, and has emptied it.
    pub fn read_current(&self, name: &StateName) -> Result<Option<Vec<u8>>, StateError> {
        let _turn = self.turn();
        let holder = self.holder(name)?.map(|held| held.holder);
        if holder.is_none() {
            self.put_back(name)?;
        }
        let Some(bytes) = self.read(name)? else {
            let is_empty = self.inner.current.exists(&name.current())?;
            if is_empty && matches!(holder, Some(Holder::Run(_))) {
                return Err(StateError::Unsettled { name: name.to_string() });
            }
            return self.not_gone(name).map(|()| None);
        };
        document(name, &bytes)?;
        Ok(Some(bytes))
    }

    /// Writes a state for a client that has the lock of this id, or none where nobody locked it.
    ///
    /// # Errors
    /// It is locked by another (whoever knows the id of that lock), is no state, or does not carry on what is there;
    /// [`StateError::Gone`]: something was, and nobody removed it.
    pub fn receive(
        &self,
        name: &StateName,
        bytes: &[u8],
        lock: Option<&str>,
        who: &Principal,
        at: Timestamp,
    ) -> Result<Version, StateError> {
        let _turn = self.turn();
        self.may_write(name, lock, who)?;
        let sent = document(name, bytes)?;
        match self.kept(name, at)? {
            Some((_, version)) if version.sha256 == sha256(bytes) => return Ok(version),
            Some((there, _)) => carries_on(name, &there, &sent)?,
            // What was there says what may follow it: a state that is missing is not one that never was. These very
            // bytes are the write that a crash cut off, come again.
            None if self.newest(name)?.is_some_and(|kept| kept.sha256 == sha256(bytes)) => {}
            None => self.not_gone(name)?,
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
        who: &Principal,
        at: Timestamp,
    ) -> Result<Option<Version>, StateError> {
        let _turn = self.turn();
        self.may_write(name, lock, who)?;
        let kept = self.kept(name, at)?.map(|(_, version)| version);
        self.inner.versions.write(&name.removed(), at.to_string().as_bytes())?;
        self.inner.current.remove(&name.current())?;
        self.inner.versions.remove(&name.waiting())?;
        Ok(kept)
    }

    /// Makes an older version the state that is there, as a new version: of the same lineage, and newer than all
    /// of that lineage, so that every stored plan against what was there is stale. One that OpenTofu encrypted
    /// comes back byte by byte, with the serial that it had.
    ///
    /// # Errors
    /// It is locked, there is no such version, or it does not open; or what is there cannot be kept.
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
        let Document { lineage, encrypted, .. } = document(name, &old)?;
        self.kept_or_aside(name, at)?;
        let versions = self.list_versions(name)?;
        let same_line = versions.iter().filter(|version| version.lineage == lineage);
        let newest = same_line.map(|version| version.serial).max().unwrap_or(0);
        let state = if encrypted {
            old
        } else {
            let no_state = |source| StateError::NoState { name: name.to_string(), source };
            with_serial(&old, newest + 1).map_err(no_state)?
        };
        let reason = reason.to_owned();
        self.replace(name, &state, &Maker::Restored { who: who.clone(), from: number, reason }, at)
    }

    /// Keeps what is replaced. What is damaged is no version, and is put aside as it is: that is what restoring
    /// is for. What cannot be kept at all is not replaced.
    fn kept_or_aside(&self, name: &StateName, at: Timestamp) -> Result<(), StateError> {
        match self.kept(name, at) {
            Err(StateError::NoState { source, .. }) => {
                let bytes = self.read(name)?.unwrap_or_default();
                let aside = name.aside(&sha256(&bytes));
                self.inner.current.write(&aside, &bytes)?;
                tracing::warn!(%name, %source, %aside, "a damaged state is put aside");
                Ok(())
            }
            kept => kept.map(drop),
        }
    }

    /// Lets those write who have the lock. Its id alone is no proof: whoever may list states knows it.
    fn may_write(
        &self,
        name: &StateName,
        lock: Option<&str>,
        who: &Principal,
    ) -> Result<(), StateError> {
        match (self.holder(name)?, lock) {
            (None, None) => Ok(()),
            (Some(held), Some(id)) if held.id == id && held.is_of(who) => Ok(()),
            (Some(held), _) => Err(locked(name, held)),
            (None, Some(_)) => Err(StateError::LockLost { name: name.to_string() }),
        }
    }

    /// What is there, and its version.
    fn kept(
        &self,
        name: &StateName,
        at: Timestamp,
    ) -> Result<Option<(Document, Version)>, StateError> {
        let Some(bytes) = self.read(name)? else { return Ok(None) };
        let version = self.keep_bytes(name, &bytes, &Maker::Found, at)?;
        Ok(Some((document(name, &bytes)?, version)))
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

fn document(name: &StateName, bytes: &[u8]) -> Result<Document, StateError> {
    Document::parse(bytes).map_err(|source| StateError::NoState { name: name.to_string(), source })
}

/// Refuses a state of another line, and an older one. An empty state may be replaced by any.
fn carries_on(name: &StateName, there: &Document, sent: &Document) -> Result<(), StateError> {
    let no = |what: String, advice| {
        let (serial, lineage) = (there.serial, there.lineage.clone());
        Err(StateError::NoSuccessor { name: name.to_string(), serial, lineage, what, advice })
    };
    if sent.lineage != there.lineage && !there.is_empty() {
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
