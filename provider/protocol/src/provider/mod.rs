//! What the author of a provider writes: the provider, its resources, data sources and functions.
//!
//! All of them speak in [`Value`]s and [`Diagnostics`].
//! What can be decided from the schema alone is decided before they are called and checked after.

mod data_source;
mod function;
mod reader;
mod resource;

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::cty::Value;
use crate::diagnostic::Diagnostics;
use crate::schema::Schema;

pub use data_source::DataSource;
pub use function::{Function, FunctionError, Parameter, Signature};
pub use reader::{Field, Reader, duplicates};
pub use resource::{Change, Destroy, Move, Plan, Resource, State};

/// A provider: its configuration, and everything it offers.
///
/// The client asks for the lists more than once and in processes that do nothing else, so they
/// must be cheap, and the same before and after `configure`.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// What `configure` makes and everything else works with.
    type Client: Send + Sync + 'static;

    /// Namespace and type of the source address: `lockstep/lockstep`.
    fn address(&self) -> &'static str;

    /// What a `provider` block holds.
    fn schema(&self) -> Schema;

    /// Checks the configuration further than its schema does. No network: values may be unknown.
    async fn validate(&self, config: &Value, diags: &mut Diagnostics) {
        let _ = (config, diags);
    }

    /// Takes the configuration into use. Values may be unknown while planning; then give a
    /// warning and none, and the resources plan without a client.
    async fn configure(
        &self,
        request: Configure<'_>,
        diags: &mut Diagnostics,
    ) -> Option<Arc<Self::Client>>;

    /// The resource types.
    fn resources(&self) -> Vec<Arc<dyn Resource<Self::Client>>>;

    /// The data sources.
    fn data_sources(&self) -> Vec<Arc<dyn DataSource<Self::Client>>> {
        Vec::new()
    }

    /// The functions.
    fn functions(&self) -> Vec<Arc<dyn Function>> {
        Vec::new()
    }
}

/// What a provider is configured with.
#[derive(Clone, Copy, Debug)]
pub struct Configure<'a> {
    /// The provider block. Defaults and environment variables are for the provider to apply.
    pub config: &'a Value,
    /// Version of the tool, Terraform or OpenTofu; which of them cannot be told.
    pub tool_version: &'a str,
}

/// What every operation has around it.
#[derive(Debug)]
pub struct Context<C> {
    /// What `configure` made. None while validating, and when the configuration was not known.
    pub client: Option<Arc<C>>,
    /// Cancelled when the user interrupts: stop waiting and return what is true by now.
    pub cancel: CancellationToken,
    /// Names the request in logs and in reports of bugs.
    pub request_id: String,
    /// Whether the client keeps write-only values out of its state.
    pub write_only_allowed: bool,
}

impl<C> Context<C> {
    /// The client, or an error diagnostic that says why there is none.
    pub fn client(&self, diags: &mut Diagnostics) -> Option<Arc<C>> {
        if self.client.is_none() {
            diags.error(
                "Provider is not configured",
                "This needs the provider's configuration, and that is not complete: it was given \
                 values that are known only after apply. Apply what it depends on first, or give \
                 it values that are known.",
            );
        }
        self.client.clone()
    }
}
