//! Embedded states.

use jiff::Timestamp;
use reconciler_api::v1::{EmbeddedState, StateVersion, VersionMaker};

use super::age::age;
use super::{or_dash, table};

/// The states of a project.
pub(crate) fn embedded_states(states: &[EmbeddedState], now: Timestamp) -> String {
    let header = &["STAGE", "NAME", "WORKSPACE", "SERIAL", "RESOURCES", "VERSION", "AGE", "LOCK"];
    let row = |state: &EmbeddedState| {
        vec![
            state.stage.clone(),
            state.name.clone(),
            state.workspace.clone(),
            or_dash(state.serial.map(|serial| serial.to_string())),
            or_dash(state.resources.map(|resources| resources.to_string())),
            or_dash(state.version.map(|version| version.to_string())),
            or_dash(state.updated_at.map(|at| age(at, now))),
            or_dash(state.lock.as_ref().map(|lock| format!("{} of {}", lock.id, lock.who))),
        ]
    };
    if states.is_empty() {
        return "none".to_owned();
    }
    let mut text = vec![table(header, states.iter().map(row))];
    text.extend(states.iter().filter_map(unwritten));
    text.join("\n")
}

/// What to do about a version that its run could not write.
fn unwritten(state: &EmbeddedState) -> Option<String> {
    let EmbeddedState { stage, name, workspace, .. } = state;
    let version = state.unwritten?;
    let flag =
        if workspace == "default" { String::new() } else { format!(" --workspace {workspace}") };
    Some(format!(
        "{stage}/{name}: version {version} could not be written by its run, and does not carry on what is there; look \
         at both, and if it is the right one: lockstep state restore {stage} {name} {version}{flag} --reason …"
    ))
}

/// What was kept of a state.
pub(crate) fn state_versions(versions: &[StateVersion], now: Timestamp) -> String {
    let header = &["VERSION", "SERIAL", "RESOURCES", "SIZE", "SHA-256", "AGE", "BY"];
    let row = |version: &StateVersion| {
        vec![
            version.version.to_string(),
            version.serial.to_string(),
            version.resources.to_string(),
            version.size.to_string(),
            version.sha256.chars().take(12).collect(),
            age(version.at, now),
            made_by(version),
        ]
    };
    if versions.is_empty() {
        return "none".to_owned();
    }
    table(header, versions.iter().map(row))
}

fn made_by(version: &StateVersion) -> String {
    let StateVersion { promotion, step, principal, restored, reason, .. } = version;
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    match version.by {
        VersionMaker::Apply => format!("promotion {}, step {}", text(promotion), text(step)),
        VersionMaker::Unwritten => {
            format!("promotion {}, step {}, which could not write it", text(promotion), text(step))
        }
        VersionMaker::Found => "found".to_owned(),
        VersionMaker::Client => text(principal),
        VersionMaker::Restore => {
            let from = restored.map(|from| from.to_string()).unwrap_or_default();
            format!("{} restored version {from}: {}", text(principal), text(reason))
        }
        VersionMaker::Unknown => "something that this command line does not know".to_owned(),
    }
}

/// The backend block of a module whose state it is. The token comes from the environment.
pub(crate) fn backend(address: &str) -> String {
    let lock = match address.split_once('?') {
        Some((path, query)) => format!("{path}/lock?{query}"),
        None => format!("{address}/lock"),
    };
    format!(
        "# TF_HTTP_PASSWORD is a token of Lockstep\nterraform {{\n  backend \"http\" {{\n    address        = {address:?}\n    \
         lock_address   = {lock:?}\n    unlock_address = {lock:?}\n    username       = \"lockstep\"\n  }}\n}}"
    )
}
