//! The public contract: wire types with JSON Schema, problems, the OpenAPI document, the client.
