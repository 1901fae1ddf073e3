//! What the provider offers, by name, with its schemas and their types.
//!
//! Built at the first RPC that needs it: the handshake waits for none of it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::cty::conform::conform;
use crate::cty::json::{self, Extra};
use crate::cty::{Path, Type, Value, msgpack};
use crate::diagnostic::Diagnostics;
use crate::provider::{
    Action, DataSource, EphemeralResource, Function, ListResource, Provider, Resource,
};
use crate::schema::{Identity, Schema};
use crate::secret::hide_in;
use crate::wire::tfplugin6::DynamicValue;

/// A schema with the type it implies.
pub(super) struct Typed {
    pub(super) schema: Schema,
    pub(super) ty: Type,
    /// Whether there is something in it that must not be shown.
    has_secrets: bool,
}

impl Typed {
    fn new(schema: Schema) -> Self {
        let ty = schema.ty();
        let mut has_secrets = false;
        schema.block.each_attribute(&Path::root(), &mut |attribute, _| {
            has_secrets |= attribute.sensitive || attribute.write_only;
        });
        Self { schema, ty, has_secrets }
    }

    fn hide(&self, value: &Value) {
        if self.has_secrets {
            hide_in(&self.schema, value);
        }
    }

    /// A value from the client; null when it sent none.
    pub(super) fn decode(
        &self,
        value: Option<&DynamicValue>,
        diags: &mut Diagnostics,
    ) -> Option<Value> {
        let value = decode(value, &self.ty, diags)?;
        self.hide(&value);
        Some(value)
    }

    /// A value that the provider made, brought into form; a diagnostic when it has another.
    pub(super) fn conform(&self, mut value: Value, diags: &mut Diagnostics) -> Option<Value> {
        self.schema.block.fill_blocks(&mut value);
        match conform(value, &self.ty) {
            Ok(value) => {
                self.hide(&value);
                Some(value)
            }
            Err(error) => {
                diags.error_at(
                    error.path.clone(),
                    "Bug in the provider: value of another form",
                    format!("A value that the provider made does not fit its own schema, {error}. Please report this."),
                );
                None
            }
        }
    }

    /// A value for the client.
    pub(super) fn encode(&self, value: &Value, diags: &mut Diagnostics) -> Option<DynamicValue> {
        encode(value, &self.ty, diags)
    }
}

pub(super) fn decode(
    value: Option<&DynamicValue>,
    ty: &Type,
    diags: &mut Diagnostics,
) -> Option<Value> {
    let decoded = match value {
        Some(value) if !value.msgpack.is_empty() => {
            msgpack::decode(&value.msgpack, ty).map_err(|error| error.to_string())
        }
        Some(value) if !value.json.is_empty() => {
            str::from_utf8(&value.json).map_err(|error| error.to_string()).and_then(|text| {
                json::decode(text, ty, Extra::Refuse).map_err(|error| error.to_string())
            })
        }
        Some(_) | None => Ok(Value::Null),
    };
    let told = decoded.map_err(|error| {
        format!("{error}. The value came from Terraform or OpenTofu and does not fit the schema that this version of the provider has.")
    });
    diags.take(Path::root(), "Cannot read a value", told)
}

pub(super) fn encode(value: &Value, ty: &Type, diags: &mut Diagnostics) -> Option<DynamicValue> {
    let encoded = msgpack::encode(value, ty);
    let msgpack = diags.take(Path::root(), "Cannot send a value", encoded)?;
    Some(DynamicValue { msgpack, json: Vec::new() })
}

/// An identity's schema with the type it implies.
pub(super) struct TypedIdentity {
    pub(super) schema: Identity,
    pub(super) ty: Type,
}

/// Something the provider offers, with its schema.
pub(super) struct Entry<T: ?Sized> {
    pub(super) item: Arc<T>,
    pub(super) typed: Typed,
    /// Of a resource that has one.
    pub(super) identity: Option<TypedIdentity>,
}

impl<T: ?Sized> Entry<T> {
    fn new(item: Arc<T>, schema: Schema) -> Self {
        Self { item, typed: Typed::new(schema), identity: None }
    }

    fn identity(self, identity: Option<Identity>) -> Self {
        let identity = identity.map(|schema| TypedIdentity { ty: schema.ty(), schema });
        Self { identity, ..self }
    }
}

pub(super) type Entries<T> = BTreeMap<&'static str, Entry<T>>;

pub(super) struct Offer<C> {
    pub(super) provider: Typed,
    pub(super) resources: Entries<dyn Resource<C>>,
    pub(super) data_sources: Entries<dyn DataSource<C>>,
    pub(super) functions: BTreeMap<&'static str, Arc<dyn Function>>,
    pub(super) ephemerals: Entries<dyn EphemeralResource<C>>,
    pub(super) lists: Entries<dyn ListResource<C>>,
    pub(super) actions: Entries<dyn Action<C>>,
}

pub(super) struct Registry<C>(OnceLock<Offer<C>>);

impl<C> Default for Registry<C> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

/// What makes an entry, under its name, of anything with a name and a schema.
macro_rules! entry {
    () => {
        |item| {
            let (name, schema) = (item.type_name(), item.schema());
            (name, Entry::new(item, schema))
        }
    };
}

impl<C: Send + Sync + 'static> Registry<C> {
    fn get<P: Provider<Client = C>>(&self, provider: &P) -> &Offer<C> {
        self.0.get_or_init(|| {
            let resources = provider.resources().into_iter().map(|item| {
                let (name, schema, identity) = (item.type_name(), item.schema(), item.identity());
                (name, Entry::new(item, schema).identity(identity))
            });
            let data_sources = provider.data_sources().into_iter();
            let ephemerals = provider.ephemeral_resources().into_iter();
            let lists = provider.list_resources().into_iter();
            let actions = provider.actions().into_iter();
            Offer {
                provider: Typed::new(provider.schema()),
                resources: resources.collect(),
                data_sources: data_sources.map(entry!()).collect(),
                functions: provider
                    .functions()
                    .into_iter()
                    .map(|item| (item.name(), item))
                    .collect(),
                ephemerals: ephemerals.map(entry!()).collect(),
                lists: lists.map(entry!()).collect(),
                actions: actions.map(entry!()).collect(),
            }
        })
    }
}

macro_rules! find {
    ($($method:ident: $kind:ident in $entries:ident, $what:literal;)+) => {$(
        pub(super) fn $method(
            &self,
            type_name: &str,
            diags: &mut Diagnostics,
        ) -> Option<&Entry<dyn $kind<P::Client>>> {
            let found = self.offer().$entries.get(type_name);
            found.or_else(|| missing($what, type_name, diags))
        }
    )+};
}

impl<P: Provider> super::Server<P> {
    pub(super) fn offer(&self) -> &Offer<P::Client> {
        self.registry.get(&self.provider)
    }

    find! {
        resource: Resource in resources, "resource";
        data_source: DataSource in data_sources, "data source";
        ephemeral: EphemeralResource in ephemerals, "ephemeral resource";
        list_resource: ListResource in lists, "list resource";
        action: Action in actions, "action";
    }
}

fn missing<T>(what: &str, name: &str, diags: &mut Diagnostics) -> Option<T> {
    let detail = format!("This version of the provider has no {what} {name}. Another version may.");
    diags.error(format!("No such {what}"), detail);
    None
}
