//! The messages, the server traits and the clients generated from `proto/`.
//!
//! Nothing outside `server` and `plugin` builds these by hand; they are public for the tests
//! that play the client's part.

#![expect(
    missing_docs,
    clippy::allow_attributes,
    clippy::doc_markdown,
    reason = "generated; the names are the documentation"
)]

/// `tfplugin6`: the provider's own service and its messages.
pub mod tfplugin6 {
    tonic::include_proto!("tfplugin6");
}

/// `plugin`: controller, stdio and broker of the plugin host.
pub mod plugin {
    tonic::include_proto!("plugin");
}

/// `grpc.health.v1`: the standard health check.
pub mod health {
    tonic::include_proto!("grpc.health.v1");
}
