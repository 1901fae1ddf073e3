//! Calls on registries.

use std::collections::BTreeMap;

use super::{Arguments, CallError, WorkdirContext, mark, scalar_text};
use crate::step::oci::{with_digest, with_either, with_tag};
use crate::step::{ArtifactLayer, Asks, OciAttach, OciLook, OciPull, OciPush, OciRecord, Record};

/// Most bytes of a layer that is pulled, where the step does not say otherwise.
const PULL_USUAL: u64 = 64 << 20;
/// Most bytes of any layer that is pulled.
const PULL_MAX: u64 = 256 << 20;
/// Most bytes of a copy that does not say otherwise.
const PUSH_USUAL: u64 = 1 << 30;
/// Most bytes of any copy.
const PUSH_MAX: u64 = 64 << 30;

pub(super) fn pull(arguments: &Arguments<'_>) -> Result<OciPull, CallError> {
    let (repo, at) = named(arguments, "image", with_either)?;
    let layer = match (arguments.optional_text("media_type")?, arguments.optional_text("file")?) {
        (None, None) => ArtifactLayer::Only,
        (Some(media_type), None) => ArtifactLayer::MediaType(media_type),
        (None, Some(file)) => ArtifactLayer::File(file),
        (Some(_), Some(_)) => {
            let message = "give either media_type or file".to_owned();
            return Err(CallError::Reference { path: "media_type".to_owned(), message });
        }
    };
    Ok(OciPull {
        repo,
        at,
        platform: arguments.optional_text("platform")?,
        layer,
        to: arguments.text("to")?,
        max_bytes: arguments.count("max_bytes", PULL_MAX)?.unwrap_or(PULL_USUAL),
    })
}

pub(super) fn look(arguments: &Arguments<'_>) -> Result<OciLook, CallError> {
    let (from, digest) = named(arguments, "from", with_digest)?;
    let (repo, tag) = named(arguments, "to", with_tag)?;
    Ok(OciLook { from, digest, repo, tag, annotations: annotations(arguments)? })
}

pub(super) fn push(
    arguments: &Arguments<'_>,
    context: &WorkdirContext<'_>,
) -> Result<OciPush, CallError> {
    let Some(Record::Oci(OciRecord::Looked(found))) = context.prepared else {
        return Err(CallError::NotLooked);
    };
    Ok(OciPush {
        wanted: look(arguments)?,
        digest: found.digest.clone(),
        before: found.before.clone(),
        max_bytes: arguments.count("max_bytes", PUSH_MAX)?.unwrap_or(PUSH_USUAL),
        asks: Asks::No,
    })
}

pub(super) fn attach(
    arguments: &Arguments<'_>,
    context: &WorkdirContext<'_>,
) -> Result<OciAttach, CallError> {
    let (repo, subject) = named(arguments, "image", with_digest)?;
    let media_type = arguments.optional_text("media_type")?;
    Ok(OciAttach {
        repo,
        subject,
        artifact_type: arguments.text("artifact_type")?,
        path: arguments.text("path")?,
        media_type: media_type.unwrap_or_else(|| "application/octet-stream".to_owned()),
        annotations: annotations(arguments)?,
        mark: mark(context.promotion, context.step),
        asks: Asks::No,
    })
}

fn named<T>(
    arguments: &Arguments<'_>,
    name: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<T, CallError> {
    read(&arguments.text(name)?)
        .map_err(|message| CallError::Reference { path: name.to_owned(), message })
}

fn annotations(arguments: &Arguments<'_>) -> Result<BTreeMap<String, String>, CallError> {
    let text = |(name, value): (&String, &serde_json::Value)| {
        Ok((name.clone(), scalar_text(value, &format!("annotations.{name}"))?))
    };
    arguments.map("annotations")?.map(text).collect()
}
