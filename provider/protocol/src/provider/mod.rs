//! What the author of a provider writes: the provider and everything it offers, one trait each.
//!
//! All of them speak in [`Value`]s and [`Diagnostics`].
//! What can be decided from the schema alone is decided before they are called and checked after.

mod action;
mod check;
mod data_source;
mod ephemeral;
mod function;
mod list;
mod reader;
mod resource;

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::cty::Value;
use crate::diagnostic::Diagnostics;
use crate::schema::Schema;

pub use action::{Action, Progress};
pub use check::check;
pub use data_source::DataSource;
pub use ephemeral::{EphemeralResource, Opened, Renewed};
pub use function::{Function, FunctionError, Parameter, Signature};
pub use list::{Found, ListResource, Listed, Query};
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

    /// The ephemeral resource types.
    fn ephemeral_resources(&self) -> Vec<Arc<dyn EphemeralResource<Self::Client>>> {
        Vec::new()
    }

    /// The resource types whose objects can be listed.
    fn list_resources(&self) -> Vec<Arc<dyn ListResource<Self::Client>>> {
        Vec::new()
    }

    /// The actions.
    fn actions(&self) -> Vec<Arc<dyn Action<Self::Client>>> {
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
    /// What the client can do.
    pub capabilities: Capabilities,
    /// Cancelled when the user interrupts: stop waiting, and say so in an error.
    pub cancel: &'a CancellationToken,
}

/// What the client says it can do; what it says nothing about, it cannot. Whether it knows of a
/// whole kind (functions, identities, lists, actions) it never says: it asks for what it knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// It keeps write-only values out of its state.
    pub write_only: bool,
    /// What a plan kept it gives back when it plans once more while applying.
    pub planned_private: bool,
}

/// What every operation has around it.
#[derive(Debug)]
pub struct Context<C> {
    /// What `configure` made. None while validating, and when the configuration was not known.
    pub client: Option<Arc<C>>,
    /// Cancelled when the user interrupts, or nobody waits for the answer any more: stop waiting
    /// and return what is true by now.
    pub cancel: CancellationToken,
    /// Names the request in logs and in reports of bugs.
    pub request_id: String,
    /// What the client can do, as it said with this request; where a request has no place for
    /// it, as it said when it configured the provider.
    pub capabilities: Capabilities,
}

// Not derived: what is behind the pointer need not be `Clone`.
impl<C> Clone for Context<C> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            cancel: self.cancel.clone(),
            request_id: self.request_id.clone(),
            capabilities: self.capabilities,
        }
    }
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
