//! What the provider offers: schemas, functions, capabilities. The same in every process,
//! configured or not.

use std::collections::HashMap;

use super::Server;
use super::registry::Entries;
use crate::diagnostic::Diagnostics;
use crate::provider::{Context, Function, Parameter, Provider};
use crate::schema::Schema;
use crate::wire::tfplugin6 as wire;
use crate::wire::tfplugin6::get_metadata as metadata;

macro_rules! names {
    ($entries:expr, $metadata:ident) => {{
        let names = $entries.keys();
        names.map(|name| metadata::$metadata { type_name: (*name).to_owned() }).collect()
    }};
}

impl<P: Provider> Server<P> {
    pub(super) async fn metadata(
        &self,
        _: metadata::Request,
        _: &Context<P::Client>,
        _: &mut Diagnostics,
    ) -> Option<metadata::Response> {
        let offer = self.offer();
        Some(metadata::Response {
            server_capabilities: Some(capabilities()),
            resources: names!(offer.resources, ResourceMetadata),
            data_sources: names!(offer.data_sources, DataSourceMetadata),
            functions: offer.functions.keys().map(|name| function_name(name)).collect(),
            ephemeral_resources: names!(offer.ephemerals, EphemeralMetadata),
            list_resources: names!(offer.lists, ListResourceMetadata),
            actions: names!(offer.actions, ActionMetadata),
            ..metadata::Response::default()
        })
    }

    pub(super) async fn provider_schema(
        &self,
        _: wire::get_provider_schema::Request,
        _: &Context<P::Client>,
        _: &mut Diagnostics,
    ) -> Option<wire::get_provider_schema::Response> {
        let offer = self.offer();
        Some(wire::get_provider_schema::Response {
            provider: Some(offer.provider.schema.to_wire_config()),
            resource_schemas: schemas(&offer.resources, Schema::to_wire),
            data_source_schemas: schemas(&offer.data_sources, Schema::to_wire),
            functions: self.wire_functions(),
            ephemeral_resource_schemas: schemas(&offer.ephemerals, Schema::to_wire),
            list_resource_schemas: schemas(&offer.lists, Schema::to_wire_config),
            action_schemas: schemas(&offer.actions, |schema| wire::ActionSchema {
                schema: Some(schema.to_wire_config()),
            }),
            server_capabilities: Some(capabilities()),
            ..wire::get_provider_schema::Response::default()
        })
    }

    pub(super) async fn functions(
        &self,
        _: wire::get_functions::Request,
        _: &Context<P::Client>,
        _: &mut Diagnostics,
    ) -> Option<wire::get_functions::Response> {
        let functions = self.wire_functions();
        Some(wire::get_functions::Response { functions, diagnostics: Vec::new() })
    }

    fn wire_functions(&self) -> HashMap<String, wire::Function> {
        let functions = self.offer().functions.iter();
        functions.map(|(name, item)| ((*name).to_owned(), function(item.as_ref()))).collect()
    }
}

/// A destroy is planned here too; one process may use the schema that another gave.
fn capabilities() -> wire::ServerCapabilities {
    wire::ServerCapabilities {
        plan_destroy: true,
        get_provider_schema_optional: true,
        move_resource_state: true,
        generate_resource_config: true,
    }
}

fn schemas<T: ?Sized, S>(
    entries: &Entries<T>,
    to_wire: impl Fn(&Schema) -> S,
) -> HashMap<String, S> {
    let entries = entries.iter();
    entries.map(|(name, entry)| ((*name).to_owned(), to_wire(&entry.typed.schema))).collect()
}

fn function_name(name: &str) -> metadata::FunctionMetadata {
    metadata::FunctionMetadata { name: name.to_owned() }
}

fn function(function: &dyn Function) -> wire::Function {
    let signature = function.signature();
    wire::Function {
        parameters: signature.parameters.iter().map(parameter).collect(),
        variadic_parameter: signature.variadic.as_ref().map(parameter),
        r#return: Some(wire::function::Return { r#type: signature.result.to_wire() }),
        summary: signature.summary,
        description: signature.description,
        description_kind: wire::StringKind::Markdown.into(),
        deprecation_message: String::new(),
    }
}

fn parameter(parameter: &Parameter) -> wire::function::Parameter {
    wire::function::Parameter {
        name: parameter.name.clone(),
        r#type: parameter.ty.to_wire(),
        allow_null_value: parameter.allow_null,
        allow_unknown_values: parameter.allow_unknown,
        description: parameter.description.clone(),
        description_kind: wire::StringKind::Markdown.into(),
    }
}
