//! The provider's service: every RPC of the protocol that this crate answers.
//!
//! `rpc` is the service itself, one line for each RPC; `call` is what all of them have around
//! them; the other modules do the work, one for each family. What is not built yet (identity,
//! lists, ephemeral resources, actions, state stores) answers `Unimplemented`, which is what a
//! client expects of a provider that offers none.

mod call;
mod change;
mod configure;
mod data;
mod describe;
mod function;
mod registry;
mod rpc;
mod state;
mod validate;

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio_util::sync::CancellationToken;

use crate::provider::{Context, Provider};
use registry::Registry;

/// A provider as a service.
pub(crate) struct Server<P: Provider> {
    provider: P,
    registry: Registry<P::Client>,
    client: RwLock<Option<Arc<P::Client>>>,
    stop: Mutex<CancellationToken>,
}

impl<P: Provider> Server<P> {
    pub(crate) fn new(provider: P) -> Self {
        Self {
            provider,
            registry: Registry::default(),
            client: RwLock::default(),
            stop: Mutex::default(),
        }
    }

    fn context(&self, request_id: String) -> Context<P::Client> {
        Context {
            client: self.client.read().unwrap_or_else(PoisonError::into_inner).clone(),
            cancel: self.stop.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            request_id,
            write_only_allowed: false,
        }
    }
}
