//! Identities: their schemas, and beside each state the identity of its object.
//!
//! Clients say nowhere whether they know of identities. Those that do not never ask for the
//! schemas, send none and drop those that they get; so one goes with every state whose type has
//! a schema. Those that do replace what they have by what they get, so it must always go along.

use super::Server;
use super::registry::{Entry, decode, encode};
use super::state::{raw_json, raw_text};
use crate::cty::conform::conform;
use crate::cty::json::{self, Extra};
use crate::cty::{Path, Value};
use crate::diagnostic::Diagnostics;
use crate::provider::{Context, Provider, Resource};
use crate::wire::tfplugin6::{
    ResourceIdentityData, get_resource_identity_schemas as schemas, upgrade_resource_identity,
};

impl<P: Provider> Server<P> {
    pub(super) async fn identity_schemas(
        &self,
        _: schemas::Request,
        _: &Context<P::Client>,
        _: &mut Diagnostics,
    ) -> Option<schemas::Response> {
        let resources = self.offer().resources.iter();
        let identities = resources.filter_map(|(name, entry)| {
            Some(((*name).to_owned(), entry.identity.as_ref()?.schema.to_wire()))
        });
        Some(schemas::Response { identity_schemas: identities.collect(), diagnostics: Vec::new() })
    }

    pub(super) async fn upgrade_identity(
        &self,
        request: upgrade_resource_identity::Request,
        _: &Context<P::Client>,
        diags: &mut Diagnostics,
    ) -> Option<upgrade_resource_identity::Response> {
        let entry = self.resource(&request.type_name, diags)?;
        let Some(identity) = &entry.identity else {
            diags.error(
                "No identity",
                format!("This version of the provider has no identity for {}.", request.type_name),
            );
            return None;
        };
        let text = raw_text(request.raw_identity.as_ref(), diags)?;
        let value = if request.version == identity.schema.version {
            let decoded = json::decode(text, &identity.ty, Extra::Drop);
            diags.take(Path::root(), "Cannot read the identity", decoded)?
        } else if request.version > identity.schema.version {
            newer("identity", request.version, identity.schema.version, diags);
            return None;
        } else {
            let json = raw_json(text, diags)?;
            entry.item.upgrade_identity(request.version, &json, diags).await?
        };
        Some(upgrade_resource_identity::Response {
            upgraded_identity: encode_identity(entry, value, diags),
            diagnostics: Vec::new(),
        })
    }
}

/// Something that a newer version of the provider wrote.
pub(super) fn newer(what: &str, version: i64, known: i64, diags: &mut Diagnostics) {
    let detail = format!(
        "The {what} has version {version}, and this version of the provider knows it up to \
         {known}: it was written by a newer version of the provider. Use that version, or a \
         later one."
    );
    diags.error(format!("The {what} is of a newer version"), detail);
}

/// The identity that the client sent; null when it sent none.
pub(super) fn decode_identity<C>(
    entry: &Entry<dyn Resource<C>>,
    identity: Option<&ResourceIdentityData>,
    diags: &mut Diagnostics,
) -> Option<Value> {
    match (&entry.identity, identity) {
        (Some(typed), Some(data)) => decode(data.identity_data.as_ref(), &typed.ty, diags),
        (Some(_), None) | (None, _) => Some(Value::Null),
    }
}

/// The identity of an object by its state, or the one it had where the state does not say it.
pub(super) fn identify<C: Send + Sync + 'static>(
    entry: &Entry<dyn Resource<C>>,
    cx: &Context<C>,
    state: &Value,
    before: &Value,
    diags: &mut Diagnostics,
) -> Option<ResourceIdentityData> {
    let typed = entry.identity.as_ref()?;
    if state.is_null() {
        return None;
    }
    let identity = entry.item.identify(cx, &typed.schema, state);
    let is_said = typed.schema.is_complete(&identity);
    encode_identity(entry, if is_said { identity } else { before.clone() }, diags)
}

/// An identity for the client; none for one that is not complete.
pub(super) fn encode_identity<C>(
    entry: &Entry<dyn Resource<C>>,
    identity: Value,
    diags: &mut Diagnostics,
) -> Option<ResourceIdentityData> {
    let typed = entry.identity.as_ref()?;
    if identity.is_null() || !typed.schema.is_complete(&identity) {
        return None;
    }
    match conform(identity, &typed.ty) {
        Ok(identity) => {
            let identity_data = encode(&identity, &typed.ty, diags);
            Some(ResourceIdentityData { identity_data })
        }
        Err(error) => {
            let detail = format!(
                "An identity that the provider made does not fit its own schema, {error}. Please report this."
            );
            diags.error("Bug in the provider: identity of another form", detail);
            None
        }
    }
}
