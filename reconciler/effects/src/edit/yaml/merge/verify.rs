//! Proves that a merged text says what it should, and of everything else what it said before.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::document::{Document, Item};
use super::super::value::{names, read};

/// Whether `new` is `old` with `over` merged into it: as data it is what is wanted, what `over` does not name has
/// the same tokens, tags and aliases as before, and what it brings has no tag.
pub(super) fn is_merged(old: &str, new: &str, over: &Map<String, Value>, wanted: &Value) -> bool {
    if !read(new).is_ok_and(|data| data == *wanted) {
        return false;
    }
    let (Ok(old), Ok(new)) = (Document::parse(old), Document::parse(new)) else { return false };
    let mut pair = Pair { old: &old, new: &new, anchors: BTreeMap::new() };
    let first = match (old.root(), new.root()) {
        (Some(a), Some(b)) if matches!(old.item_of(a), Item::Start(_)) => pair.merged(a, b, over),
        (_, Some(root)) => !new.holds_tag(root),
        (None, None) => true,
        (Some(_), None) => false,
    };
    let (before, after) = (old.later_items(), new.later_items());
    first
        && before.len() == after.len()
        && before.iter().zip(after).all(|(before, after)| pair.item(before, after))
}

/// A text before and after.
struct Pair<'a> {
    old: &'a Document<'a>,
    new: &'a Document<'a>,
    /// The numbers of the anchors after by those before: they count from the beginning.
    anchors: BTreeMap<usize, usize>,
}

impl Pair<'_> {
    fn merged(&mut self, old: usize, new: usize, over: &Map<String, Value>) -> bool {
        let (Ok(before), Ok(after)) = (names(self.old, old), names(self.new, new)) else {
            return false;
        };
        if !self.same_kind(old, new) {
            return false;
        }
        // In the order of the text, so that anchors come before their aliases.
        let mut before: Vec<_> = before.into_iter().collect();
        before.sort_by_key(|(_, index)| *index);
        before.iter().all(|(name, index)| {
            let value = over.get(name);
            let Some(there) = after.get(name) else { return value.is_some_and(Value::is_null) };
            let (old, new) =
                (&self.old.children(old)[index * 2..], &self.new.children(new)[there * 2..]);
            self.alike(old[0], new[0]) && self.value(old[1], new[1], value)
        })
    }

    fn value(&mut self, old: usize, new: usize, over: Option<&Value>) -> bool {
        let is_mapping =
            |item: &Item| matches!(item, Item::Start(collection) if collection.mapping);
        match over {
            None => self.alike(old, new),
            Some(Value::Object(over)) if is_mapping(self.old.item_of(old)) => {
                is_mapping(self.new.item_of(new)) && self.merged(old, new, over)
            }
            Some(_) if self.new.is_alias(new) => self.alike(old, new),
            Some(_) => !self.new.holds_tag(new) && self.named_alike(old, new),
        }
    }

    /// Whether two nodes and all that is in them have the same tokens.
    fn alike(&mut self, old: usize, new: usize) -> bool {
        let (before, after) = (self.old.children(old), self.new.children(new));
        self.item(self.old.item_of(old), self.new.item_of(new))
            && before.len() == after.len()
            && before.iter().zip(after).all(|(old, new)| self.alike(*old, *new))
    }

    /// Whether two mappings have the same tag and anchor, and the same style unless one of them is empty.
    fn same_kind(&mut self, old: usize, new: usize) -> bool {
        let (Item::Start(before), Item::Start(after)) =
            (self.old.item_of(old), self.new.item_of(new))
        else {
            return false;
        };
        let empty = self.old.children(old).is_empty() || self.new.children(new).is_empty();
        before.tag == after.tag
            && (before.flow == after.flow || empty)
            && self.named_alike(old, new)
    }

    /// An anchor that is still there has its place in the count; one that nothing refers to may go.
    fn named_alike(&mut self, old: usize, new: usize) -> bool {
        match (self.old.anchor_of(old), self.new.anchor_of(new)) {
            (_, 0) => true,
            (before, after) => self.anchor(before, after),
        }
    }

    fn item(&mut self, old: &Item, new: &Item) -> bool {
        match (old, new) {
            (Item::Scalar(a), Item::Scalar(b)) => {
                (&a.text, a.style, &a.tag) == (&b.text, b.style, &b.tag)
                    && self.anchor(a.anchor, b.anchor)
            }
            (Item::Start(a), Item::Start(b)) => {
                (a.mapping, a.flow, &a.tag) == (b.mapping, b.flow, &b.tag)
                    && self.anchor(a.anchor, b.anchor)
            }
            (Item::Alias(a), Item::Alias(b)) => self.anchor(*a, *b),
            (a, b) => a == b,
        }
    }

    fn anchor(&mut self, before: usize, after: usize) -> bool {
        match (before, after) {
            (0, 0) => true,
            (0, _) | (_, 0) => false,
            _ => *self.anchors.entry(before).or_insert(after) == after,
        }
    }
}
