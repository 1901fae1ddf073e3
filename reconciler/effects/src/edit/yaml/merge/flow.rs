//! Changes inside of `{ }`: the mapping is put together anew from the pieces of the old one.

use std::ops::Range;

use serde_json::{Map, Value};

use super::super::YamlEditError;
use super::super::value::{flow, flow_entry, names, without_nulls};
use super::{Change, Edits, unsafe_at};

impl Edits<'_> {
    /// Merges into a flow mapping.
    pub(super) fn flow_mapping(
        &mut self,
        node: usize,
        over: &Map<String, Value>,
        shared: bool,
    ) -> Result<(), YamlEditError> {
        if let Some((range, replacement)) = self.flow_merged(node, over, shared)? {
            self.replace(range, replacement);
        }
        Ok(())
    }

    /// Where the mapping stands and what becomes of it; none: nothing changes.
    fn flow_merged(
        &mut self,
        node: usize,
        over: &Map<String, Value>,
        shared: bool,
    ) -> Result<Option<(Range<usize>, String)>, YamlEditError> {
        let (place, entries) = self.flow_places(node).ok_or_else(|| unsafe_at(&self.path))?;
        let kept = |range: &Range<usize>| Some(self.text[range.clone()].to_owned());
        let mut merged: Vec<Option<String>> = entries.iter().map(kept).collect();
        let mut added = Vec::new();
        let names = names(self.document, node)?;
        for (key, value) in over {
            self.path.push(key.clone());
            match names.get(key) {
                Some(index) => {
                    let range = entries[*index].clone();
                    merged[*index] = self.flow_value(node, *index, range, value, shared)?;
                }
                None if value.is_null() => {}
                None => {
                    self.may_change(shared)?;
                    let value = without_nulls(value.clone());
                    let entry = Map::from_iter([(key.clone(), value.clone())]);
                    self.refuse_merge_keys(&Value::Object(entry))?;
                    added.push(flow_entry(key, &value));
                }
            }
            self.path.pop();
        }
        let mapping = joined(self.text, &place, &entries, &merged, &added);
        Ok((self.text[place.clone()] != mapping).then_some((place, mapping)))
    }

    /// Where the mapping and each of its entries stand.
    fn flow_places(&self, node: usize) -> Option<(Range<usize>, Vec<Range<usize>>)> {
        let place = self.document.token_of(node)?;
        let text = &self.text[place.clone()];
        if !(text.starts_with('{') && text.ends_with('}')) {
            return None;
        }
        let count = self.document.children(node).len() / 2;
        let entries = (0..count).map(|index| self.document.flow_entry(node, index));
        let entries: Vec<_> = entries.collect::<Option<_>>()?;
        let ends = std::iter::once(place.start + 1).chain(entries.iter().map(|entry| entry.end));
        let starts = entries.iter().map(|entry| entry.start).chain([place.end - 1]);
        ends.zip(starts).all(|(end, start)| end <= start).then_some((place, entries))
    }

    /// What becomes of an entry that stands at `range`; none: it goes.
    fn flow_value(
        &mut self,
        node: usize,
        index: usize,
        range: Range<usize>,
        value: &Value,
        shared: bool,
    ) -> Result<Option<String>, YamlEditError> {
        let pair = &self.document.children(node)[index * 2..];
        let (key, child) = (pair[0], pair[1]);
        let edit = match (self.change(child, value, shared)?, value) {
            (Change::Remove, _) => return Ok(None),
            (Change::Within, Value::Object(over)) => {
                self.flow_merged(child, over, shared || self.is_shared(child))?
            }
            (Change::Keep | Change::Within, _) => None,
            (Change::Set(scalar), _) => Some(self.set(child, &scalar)?),
            (Change::Put(value), _) => {
                let key = self.document.token_of(key).ok_or_else(|| unsafe_at(&self.path))?;
                Some((key.end..range.end, format!(": {}", flow(&value))))
            }
        };
        let entry = &self.text[range.clone()];
        let Some((place, replacement)) = edit else { return Ok(Some(entry.to_owned())) };
        if place.start < range.start || place.end > range.end {
            return Err(unsafe_at(&self.path));
        }
        let (before, after) =
            (&self.text[range.start..place.start], &self.text[place.end..range.end]);
        Ok(Some(format!("{before}{replacement}{after}")))
    }
}

/// The mapping of the entries that are left, with what stood before each of them, and of those that are added.
fn joined(
    text: &str,
    place: &Range<usize>,
    entries: &[Range<usize>],
    merged: &[Option<String>],
    added: &[String],
) -> String {
    let first = entries.first().map_or(place.end - 1, |entry| entry.start);
    let opening = &text[place.start..first];
    let mut mapping = opening.to_owned();
    let mut is_first = true;
    let mut end = first;
    for (entry, merged) in entries.iter().zip(merged) {
        if let Some(merged) = merged {
            mapping.push_str(if is_first { "" } else { &text[end..entry.start] });
            mapping.push_str(merged);
            is_first = false;
        }
        end = entry.end;
    }
    for entry in added {
        mapping.push_str(if is_first { "" } else { ", " });
        mapping.push_str(entry);
        is_first = false;
    }
    let closing = &text[end..place.end];
    mapping.push_str(if is_first { closing.trim_start_matches([',', ' ']) } else { closing });
    mapping
}
