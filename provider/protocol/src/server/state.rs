//! States that are there already: reading, upgrading, importing, taking over from other types.

use super::Server;
use super::identity::{decode_identity, identify, newer};
use super::registry::Entry;
use crate::cty::json::{self, Extra};
use crate::cty::{Path, Value};
use crate::diagnostic::Diagnostics;
use crate::plan;
use crate::provider::{Context, Move, Provider, Resource, State};
use crate::schema::Schema;
use crate::wire::tfplugin6::{
    RawState, import_resource_state, move_resource_state, read_resource, upgrade_resource_state,
};

impl<P: Provider> Server<P> {
    pub(super) async fn read_resource(
        &self,
        request: read_resource::Request,
        cx: &Context<P::Client>,
        diags: &mut Diagnostics,
    ) -> Option<read_resource::Response> {
        let entry = self.resource(&request.type_name, diags)?;
        let value = entry.typed.decode(request.current_state.as_ref(), diags)?;
        let before = decode_identity(entry, request.current_identity.as_ref(), diags)?;
        let prior = State { value, private: request.private };
        let unchanged = |state: State| read_resource::Response {
            new_state: request.current_state.clone(),
            private: state.private,
            new_identity: request.current_identity.clone(),
            ..read_resource::Response::default()
        };
        if prior.value.is_null() {
            return Some(unchanged(prior));
        }
        let read = entry.item.read(cx, &prior, diags).await;
        if diags.has_errors() {
            return Some(unchanged(prior));
        }
        let state = match read {
            Some(state) => stored(entry, state, &prior.value, diags),
            None => Some(State::default()),
        };
        let Some(state) = state else { return Some(unchanged(prior)) };
        Some(read_resource::Response {
            new_state: entry.typed.encode(&state.value, diags),
            new_identity: identify(entry, cx, &state.value, &before, diags),
            private: state.private,
            ..read_resource::Response::default()
        })
    }

    pub(super) async fn upgrade_state(
        &self,
        request: upgrade_resource_state::Request,
        _: &Context<P::Client>,
        diags: &mut Diagnostics,
    ) -> Option<upgrade_resource_state::Response> {
        let entry = self.resource(&request.type_name, diags)?;
        let text = raw_text(request.raw_state.as_ref(), diags)?;
        let known = entry.typed.schema.version;
        let value = if request.version == known {
            let decoded = json::decode(text, &entry.typed.ty, Extra::Drop);
            diags.take(Path::root(), "Cannot read the state", decoded)?
        } else if request.version > known {
            newer("state", request.version, known, diags);
            return None;
        } else {
            let json = raw_json(text, diags)?;
            entry.item.upgrade(request.version, &json, diags).await?
        };
        let state = stored(entry, State::new(value), &Value::Null, diags)?;
        Some(upgrade_resource_state::Response {
            upgraded_state: entry.typed.encode(&state.value, diags),
            diagnostics: Vec::new(),
        })
    }

    pub(super) async fn import_state(
        &self,
        request: import_resource_state::Request,
        cx: &Context<P::Client>,
        diags: &mut Diagnostics,
    ) -> Option<import_resource_state::Response> {
        let entry = self.resource(&request.type_name, diags)?;
        let identity = decode_identity(entry, request.identity.as_ref(), diags)?;
        let imported = if identity.is_null() {
            entry.item.import(cx, &request.id, diags).await
        } else {
            entry.item.import_identity(cx, &identity, diags).await
        };
        let Some(state) = imported.filter(|_| !diags.has_errors()) else {
            no_reason(diags, "import");
            return None;
        };
        let state = stored(entry, state, &Value::Null, diags)?;
        let imported = import_resource_state::ImportedResource {
            type_name: request.type_name,
            identity: identify(entry, cx, &state.value, &identity, diags),
            state: entry.typed.encode(&state.value, diags),
            private: state.private,
        };
        Some(import_resource_state::Response {
            imported_resources: vec![imported],
            ..import_resource_state::Response::default()
        })
    }

    pub(super) async fn move_state(
        &self,
        request: move_resource_state::Request,
        cx: &Context<P::Client>,
        diags: &mut Diagnostics,
    ) -> Option<move_resource_state::Response> {
        let entry = self.resource(&request.target_type_name, diags)?;
        let json = raw_json(raw_text(request.source_state.as_ref(), diags)?, diags)?;
        let identity = match &request.source_identity {
            Some(raw) if !raw.json.is_empty() => {
                Some(raw_json(raw_text(Some(raw), diags)?, diags)?)
            }
            Some(_) | None => None,
        };
        let source = Move {
            provider: &request.source_provider_address,
            type_name: &request.source_type_name,
            version: request.source_schema_version,
            state: &json,
            private: &request.source_private,
            identity: identity
                .as_ref()
                .map(|identity| (request.source_identity_schema_version, identity)),
        };
        let moved = entry.item.move_from(source, diags).await;
        let Some(state) = moved.filter(|_| !diags.has_errors()) else {
            no_reason(diags, "move");
            return None;
        };
        let state = stored(entry, state, &Value::Null, diags)?;
        Some(move_resource_state::Response {
            target_identity: identify(entry, cx, &state.value, &Value::Null, diags),
            target_state: entry.typed.encode(&state.value, diags),
            target_private: state.private,
            ..move_resource_state::Response::default()
        })
    }
}

/// A state in the form in which it is kept: as it was before where it means the same, without
/// write-only values, wholly known.
fn stored<C>(
    entry: &Entry<dyn Resource<C>>,
    state: State,
    prior: &Value,
    diags: &mut Diagnostics,
) -> Option<State> {
    let block = &entry.typed.schema.block;
    let mut value = entry.typed.conform(state.value, diags)?;
    plan::keep_equal_forms(block, &mut value, prior);
    plan::strip_write_only(block, &mut value);
    if let Some(path) = value.first_unknown() {
        unknown_in_state(path, diags);
        return None;
    }
    Some(State { value, private: state.private })
}

/// Checks that what was read or opened has every configured value as it is; the provider fills
/// in only the rest.
pub(super) fn as_configured(
    schema: &Schema,
    config: &Value,
    value: &Value,
    diags: &mut Diagnostics,
) {
    for violation in plan::plan_violations(&schema.block, &Value::Null, config, value) {
        let detail = format!("{}: {}. Please report this.", violation.path, violation.problem);
        diags.error_at(violation.path, "Bug in the provider: invalid data", detail);
    }
}

pub(super) fn unknown_in_state(path: Path, diags: &mut Diagnostics) {
    let detail = format!(
        "The provider left {path} unknown where every value must be known. Please report this."
    );
    diags.error_at(path, "Bug in the provider: unknown value in a state", detail);
}

/// An operation that gave neither a result nor a reason.
pub(super) fn no_reason(diags: &mut Diagnostics, operation: &str) {
    if !diags.has_errors() {
        diags.error(
            "Bug in the provider: no result",
            format!("The {operation} gave neither a state nor an error. Please report this."),
        );
    }
}

/// A state, or an identity, as the client keeps it.
pub(super) fn raw_text<'r>(raw: Option<&'r RawState>, diags: &mut Diagnostics) -> Option<&'r str> {
    let Some(raw) = raw.filter(|raw| !raw.json.is_empty()) else {
        diags.error(
            "State is too old",
            "The state is in a form from before Terraform 0.12. Refresh it with a version of \
             that time first.",
        );
        return None;
    };
    let text = str::from_utf8(&raw.json);
    diags.take(Path::root(), "Cannot read the state", text)
}

pub(super) fn raw_json(text: &str, diags: &mut Diagnostics) -> Option<serde_json::Value> {
    diags.take(Path::root(), "Cannot read the state", json::read_plain(text))
}
