//! What is written into the daemon's own store: decided from the snapshot. The store writes it in the
//! transaction of the outcome, and only where what was there is still there.

use serde_json::{Map, Value};

use crate::metadata::TOTAL_MAX;
use crate::snapshot::PromotionSnapshot;
use crate::step::{KeepCall, Kept, KeptAt, KeptChange, MetadataCall};

/// What carrying the call out comes to, and its outputs.
///
/// # Errors
/// Why it cannot be kept.
pub(super) fn kept(
    snapshot: &PromotionSnapshot,
    call: &KeepCall,
) -> Result<(Kept, Map<String, Value>), String> {
    match call {
        KeepCall::Metadata(call) => {
            let changes = set(snapshot, call)?;
            Ok((Kept { changes, audit: None }, Map::new()))
        }
        KeepCall::Alias { alias } => {
            let at = KeptAt::Alias(alias.clone());
            let own = Value::from(snapshot.promotion.freight.as_str());
            let before = present(snapshot, &at);
            let outputs =
                Map::from_iter([("before".to_owned(), before.clone().unwrap_or_default())]);
            let change = change(snapshot, at, Some(own));
            Ok((Kept { changes: change.into_iter().collect(), audit: None }, outputs))
        }
        KeepCall::Audit(call) => {
            Ok((Kept { changes: Vec::new(), audit: Some(call.clone()) }, Map::new()))
        }
        KeepCall::PutBack { changes } => {
            // What others set since is newer than what was there before.
            let ours = |change: &&KeptChange| present(snapshot, &change.at) == change.after;
            let back = changes.iter().rev().filter(ours);
            let back = back.filter_map(|it| change(snapshot, it.at.clone(), it.before.clone()));
            Ok((Kept { changes: back.collect(), audit: None }, Map::new()))
        }
    }
}

fn set(snapshot: &PromotionSnapshot, call: &MetadataCall) -> Result<Vec<KeptChange>, String> {
    let mut changes = Vec::new();
    let wished = [
        (&call.stage, &snapshot.stage_metadata, "stage", KeptAt::Stage as fn(String) -> KeptAt),
        (&call.freight, &snapshot.facts.metadata, "freight", KeptAt::Freight),
    ];
    for (values, before, what, at) in wished {
        let mut after = before.clone();
        for (key, value) in values {
            let value = Some(value.clone()).filter(|value| !value.is_null());
            match &value {
                Some(value) => drop(after.insert(key.clone(), value.clone())),
                None => drop(after.shift_remove(key)),
            }
            changes.extend(change(snapshot, at(key.clone()), value));
        }
        let size = Value::Object(after).to_string().len();
        if size > TOTAL_MAX {
            return Err(format!(
                "the metadata of the {what} would have {size} bytes, at most {TOTAL_MAX} are kept: take \
                 something away by setting it to null"
            ));
        }
    }
    Ok(changes)
}

/// The change to a value; absent: it is there already.
fn change(snapshot: &PromotionSnapshot, at: KeptAt, after: Option<Value>) -> Option<KeptChange> {
    let before = present(snapshot, &at);
    (before != after).then_some(KeptChange { at, before, after })
}

fn present(snapshot: &PromotionSnapshot, at: &KeptAt) -> Option<Value> {
    match at {
        KeptAt::Stage(key) => snapshot.stage_metadata.get(key).cloned(),
        KeptAt::Freight(key) => snapshot.facts.metadata.get(key).cloned(),
        KeptAt::Alias(alias) => {
            snapshot.aliases.get(alias).map(|freight| Value::from(freight.as_str()))
        }
    }
}
