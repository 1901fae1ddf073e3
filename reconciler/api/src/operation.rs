//! One table of every operation of the contract.
//!
//! The `OpenAPI` document is generated from it, and the daemon's router serves exactly it: an
//! operation that is not here does not exist, and who may call it is said beside its path.

use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};

mod table;

pub use table::OPERATIONS;

/// One operation.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// The HTTP method.
    pub method: Method,
    /// The path, with its parameters in braces: `/v1/projects/{project}`.
    pub path: &'static str,
    /// Its name in the document and in logs, in camelCase.
    pub id: &'static str,
    /// The noun that it belongs to.
    pub tag: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Who may call it.
    pub auth: Auth,
    /// Whether it takes `If-Match` and `If-None-Match`.
    pub conditional: bool,
    /// The schema of its query, whose properties are the parameters.
    pub query: Option<SchemaOf>,
    /// The schema of its request's body.
    pub request: Option<SchemaOf>,
    /// The status of its good answer.
    pub status: u16,
    /// The schema of its good answer's body; none if it is empty.
    pub response: Option<SchemaOf>,
}

/// Makes a schema, registering the schemas that it refers to.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

wire_enum! {
    /// An HTTP method.
    Method {
        /// Reads.
        Get = "GET",
        /// Writes under a name.
        Put = "PUT",
        /// Does something.
        Post = "POST",
        /// Removes.
        Delete = "DELETE",
    }
}

wire_enum! {
    /// Who may call an operation.
    Auth {
        /// Anyone who reaches the daemon.
        Public = "public",
        /// The bearer of any token.
        Bearer = "bearer",
        /// The bearer of an admin token.
        Admin = "admin",
        /// The bearer of an admin token, or of one in a group that the daemon's configuration lets at states. Sent as a
        /// bearer token, or as the password of basic authentication.
        States = "states",
    }
}

impl Operation {
    const fn new(
        method: Method,
        path: &'static str,
        id: &'static str,
        tag: &'static str,
        summary: &'static str,
    ) -> Self {
        Self {
            method,
            path,
            id,
            tag,
            summary,
            auth: Auth::Bearer,
            conditional: false,
            query: None,
            request: None,
            status: 204,
            response: None,
        }
    }

    const fn auth(self, auth: Auth) -> Self {
        Self { auth, ..self }
    }

    const fn conditional(self) -> Self {
        Self { conditional: true, ..self }
    }

    const fn query<T: JsonSchema>(self) -> Self {
        Self { query: Some(T::json_schema), ..self }
    }

    const fn takes<T: JsonSchema>(self) -> Self {
        Self { request: Some(schema_of::<T>), ..self }
    }

    const fn answers<T: JsonSchema>(self, status: u16) -> Self {
        Self { status, response: Some(schema_of::<T>), ..self }
    }

    /// The names of the path's parameters, in order.
    pub fn path_parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}
