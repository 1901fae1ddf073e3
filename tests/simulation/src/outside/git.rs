//! A repository with one branch. Its history keeps for each key which commit set it, so that the tree of any
//! commit can be read without a copy of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Values by `file#key`; absent: the key goes.
pub(crate) type Changes = BTreeMap<String, Option<String>>;

/// A commit that may be pushed: what it changes against its parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) id: String,
    /// Place of its parent on the branch.
    pub(crate) parent: usize,
    pub(crate) changes: Changes,
    pub(crate) mark: String,
}

#[derive(Debug, Default)]
pub(crate) struct Repo {
    landed: Vec<Commit>,
    places: HashMap<String, usize>,
    marks: HashMap<String, usize>,
    values: BTreeMap<String, Vec<(usize, Option<String>)>>,
}

/// Keys that both sides changed in different ways.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Conflict(pub(crate) BTreeSet<String>);

impl Repo {
    /// Place of the newest commit.
    pub(crate) fn tip(&self) -> usize {
        self.landed.len() - 1
    }

    pub(crate) fn id_at(&self, place: usize) -> &str {
        &self.landed[place].id
    }

    pub(crate) fn place_of(&self, id: &str) -> Option<usize> {
        self.places.get(id).copied()
    }

    pub(crate) fn marked(&self, mark: &str) -> Option<&Commit> {
        self.marks.get(mark).map(|place| &self.landed[*place])
    }

    pub(crate) fn value(&self, key: &str, place: usize) -> Option<&str> {
        let history = self.values.get(key)?;
        let after = history.partition_point(|(at, _)| *at <= place);
        history[..after].last()?.1.as_deref()
    }

    /// The newest commits, newest first.
    pub(crate) fn newest(&self, limit: usize) -> impl Iterator<Item = &Commit> {
        self.landed.iter().rev().take(limit)
    }

    /// Keys below a prefix that have a value at a commit.
    pub(crate) fn keys_below<'a>(
        &'a self,
        prefix: &'a str,
        place: usize,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let from = self.values.range(prefix.to_owned()..);
        let below = from.take_while(move |(key, _)| key.starts_with(prefix));
        below.filter_map(move |(key, _)| Some((key.as_str(), self.value(key, place)?)))
    }

    /// The commit that these changes make on top of a parent: the same id for the same content.
    pub(crate) fn commit(&self, parent: usize, changes: Changes, mark: &str) -> Commit {
        let mut hash = DefaultHasher::new();
        self.landed.get(parent).map(|parent| &parent.id).hash(&mut hash);
        changes.hash(&mut hash);
        mark.hash(&mut hash);
        let id = format!("{:040x}", hash.finish());
        Commit { id, parent, changes, mark: mark.to_owned() }
    }

    /// Puts a commit on the branch. Its parent has to be the tip.
    pub(crate) fn land(&mut self, commit: Commit) {
        let place = self.landed.len();
        self.places.insert(commit.id.clone(), place);
        self.marks.insert(commit.mark.clone(), place);
        for (key, value) in &commit.changes {
            self.values.entry(key.clone()).or_default().push((place, value.clone()));
        }
        self.landed.push(commit);
    }

    /// Changes as they are on top of the tip, if nobody changed the same keys otherwise since the parent.
    pub(crate) fn onto_tip(&self, parent: usize, changes: &Changes) -> Result<Changes, Conflict> {
        let tip = self.tip();
        let mut conflicts = BTreeSet::new();
        for (key, ours) in changes {
            let (base, theirs) = (self.value(key, parent), self.value(key, tip));
            if theirs != base && theirs != ours.as_deref() {
                conflicts.insert(key.clone());
            }
        }
        if conflicts.is_empty() { Ok(changes.clone()) } else { Err(Conflict(conflicts)) }
    }

    /// The changes that take a landed commit back, if its values still stand.
    pub(crate) fn taken_back(&self, id: &str) -> Result<Changes, Conflict> {
        let Some(place) = self.place_of(id) else { return Ok(Changes::new()) };
        let (before, tip) = (self.landed[place].parent, self.tip());
        let mut back = Changes::new();
        let mut conflicts = BTreeSet::new();
        for (key, ours) in &self.landed[place].changes {
            let old = self.value(key, before);
            let now = self.value(key, tip);
            if now == old {
                continue;
            }
            if now != ours.as_deref() {
                conflicts.insert(key.clone());
            }
            back.insert(key.clone(), old.map(str::to_owned));
        }
        if conflicts.is_empty() { Ok(back) } else { Err(Conflict(conflicts)) }
    }
}
