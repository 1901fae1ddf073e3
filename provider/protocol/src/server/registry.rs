//! What the provider offers, by name, with its schemas and their types.
//!
//! Built at the first RPC that needs it: the handshake waits for none of it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::cty::conform::conform;
use crate::cty::json::{self, Extra};
use crate::cty::{Type, Value, msgpack};
use crate::diagnostic::Diagnostics;
use crate::provider::{DataSource, Function, Provider, Resource};
use crate::schema::Schema;
use crate::wire::tfplugin6::DynamicValue;

/// A schema with the type it implies.
pub(super) struct Typed {
    pub(super) schema: Schema,
    pub(super) ty: Type,
}

impl Typed {
    fn new(schema: Schema) -> Self {
        let ty = schema.ty();
        Self { schema, ty }
    }

    /// A value from the client; null when it sent none.
    pub(super) fn decode(
        &self,
        value: Option<&DynamicValue>,
        diags: &mut Diagnostics,
    ) -> Option<Value> {
        decode(value, &self.ty, diags)
    }

    /// A value that the provider made, brought into form; a diagnostic when it has another.
    pub(super) fn conform(&self, mut value: Value, diags: &mut Diagnostics) -> Option<Value> {
        self.schema.block.fill_blocks(&mut value);
        match conform(value, &self.ty) {
            Ok(value) => Some(value),
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
    diags.take(crate::cty::Path::root(), "Cannot read a value", told)
}

pub(super) fn encode(value: &Value, ty: &Type, diags: &mut Diagnostics) -> Option<DynamicValue> {
    let encoded = msgpack::encode(value, ty);
    let msgpack = diags.take(crate::cty::Path::root(), "Cannot send a value", encoded)?;
    Some(DynamicValue { msgpack, json: Vec::new() })
}

/// Something the provider offers, with its schema.
pub(super) struct Entry<T: ?Sized> {
    pub(super) item: Arc<T>,
    pub(super) typed: Typed,
}

type Entries<T> = BTreeMap<&'static str, Entry<T>>;

pub(super) struct Offer<C> {
    pub(super) provider: Typed,
    pub(super) resources: Entries<dyn Resource<C>>,
    pub(super) data_sources: Entries<dyn DataSource<C>>,
    pub(super) functions: BTreeMap<&'static str, Arc<dyn Function>>,
}

pub(super) struct Registry<C>(OnceLock<Offer<C>>);

impl<C> Default for Registry<C> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<C: Send + Sync + 'static> Registry<C> {
    fn get<P: Provider<Client = C>>(&self, provider: &P) -> &Offer<C> {
        self.0.get_or_init(|| {
            let resources = provider.resources().into_iter().map(|item| {
                let typed = Typed::new(item.schema());
                (item.type_name(), Entry { item, typed })
            });
            let data_sources = provider.data_sources().into_iter().map(|item| {
                let typed = Typed::new(item.schema());
                (item.type_name(), Entry { item, typed })
            });
            let functions = provider.functions().into_iter().map(|item| (item.name(), item));
            Offer {
                provider: Typed::new(provider.schema()),
                resources: resources.collect(),
                data_sources: data_sources.collect(),
                functions: functions.collect(),
            }
        })
    }
}

impl<P: Provider> super::Server<P> {
    pub(super) fn offer(&self) -> &Offer<P::Client> {
        self.registry.get(&self.provider)
    }

    pub(super) fn resource(
        &self,
        type_name: &str,
        diags: &mut Diagnostics,
    ) -> Option<&Entry<dyn Resource<P::Client>>> {
        let found = self.offer().resources.get(type_name);
        found.or_else(|| missing("resource", type_name, diags))
    }

    pub(super) fn data_source(
        &self,
        type_name: &str,
        diags: &mut Diagnostics,
    ) -> Option<&Entry<dyn DataSource<P::Client>>> {
        let found = self.offer().data_sources.get(type_name);
        found.or_else(|| missing("data source", type_name, diags))
    }
}

fn missing<T>(what: &str, name: &str, diags: &mut Diagnostics) -> Option<T> {
    let detail = format!("This version of the provider has no {what} {name}. Another version may.");
    diags.error(format!("No such {what}"), detail);
    None
}
