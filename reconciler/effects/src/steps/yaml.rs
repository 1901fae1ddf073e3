//! Setting values in a YAML file of the working directory.

use reconciler_domain::step::{Record, UpdateCall};
use serde_json::Value;

use super::workspace::rel_path;
use super::{Done, Halt, blocking};
use crate::edit::yaml::{self, KeyPath, Scalar};
use crate::workdir::WorkDir;

/// Larger files are refused; the editor has the same limit.
const FILE_MAX_BYTES: u64 = 8 << 20;

pub(super) async fn update(dir: &WorkDir, call: &UpdateCall) -> Result<Done, Halt> {
    let path = rel_path(&call.path)?;
    let updates = updates(call)?;
    let (dir, name) = (dir.clone(), call.path.clone());
    let changed = blocking(move || {
        let refused = |error: &dyn std::fmt::Display| Halt::never(format_args!("{name}: {error}"));
        let text = dir.read_to_string(&path, FILE_MAX_BYTES).map_err(|error| refused(&error))?;
        let edited = yaml::update(&text, &updates).map_err(|error| refused(&error))?;
        if edited == text {
            return Ok(false);
        }
        match dir.write(&path, edited.as_bytes()) {
            Ok(()) => Ok(true),
            Err(error) => Err(Halt::of(&error, true)),
        }
    });
    Ok(Done::new([("changed", Value::Bool(changed.await?))], Record::None))
}

fn updates(call: &UpdateCall) -> Result<Vec<(KeyPath, Scalar)>, Halt> {
    let file = &call.path;
    let update = |(key, value): (&String, &Value)| {
        let path: KeyPath =
            key.parse().map_err(|error| Halt::never(format_args!("{file}: {error}")))?;
        let scalar = Scalar::try_from(value).map_err(|error| {
            Halt::never(format_args!("{file}: the value for key `{key}` cannot be set: {error}"))
        })?;
        Ok((path, scalar))
    };
    call.updates.iter().map(update).collect()
}
