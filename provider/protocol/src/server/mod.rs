//! The provider's service: every RPC of the protocol that this crate answers.
//!
//! `rpc` is the service itself, one line for each RPC; `call` is what all of them have around
//! them, `message` what their messages have in common; the other modules do the work, one for
//! each family. Deferred answers are never given, and state stores are refused.

mod action;
mod call;
mod change;
mod configure;
mod data;
mod describe;
mod ephemeral;
mod function;
mod generate;
mod identity;
mod list;
mod message;
mod registry;
mod rpc;
mod state;
mod store;
mod validate;

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio_util::sync::CancellationToken;

use crate::provider::{Capabilities, Context, Provider};
use registry::Registry;
pub use rpc::Service;

/// A provider, and what it was told.
pub(super) struct Server<P: Provider> {
    provider: P,
    registry: Registry<P::Client>,
    configured: RwLock<Configured<P::Client>>,
    stop: Mutex<CancellationToken>,
}

/// What the last configuration made.
struct Configured<C> {
    client: Option<Arc<C>>,
    capabilities: Capabilities,
}

impl<P: Provider> Server<P> {
    fn new(provider: P) -> Self {
        Self {
            provider,
            registry: Registry::default(),
            configured: RwLock::new(Configured {
                client: None,
                capabilities: Capabilities::default(),
            }),
            stop: Mutex::default(),
        }
    }

    fn context(&self, request_id: String, said: Option<Capabilities>) -> Context<P::Client> {
        let configured = self.configured.read().unwrap_or_else(PoisonError::into_inner);
        Context {
            client: configured.client.clone(),
            cancel: self.stop.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            request_id,
            capabilities: said.unwrap_or(configured.capabilities),
        }
    }
}
