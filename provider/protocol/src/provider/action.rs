//! Actions: what is done once, and leaves no state.

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::Context;
use crate::cty::Value;
use crate::diagnostic::Diagnostics;
use crate::schema::Schema;

/// An action. A client may invoke it again at any time, so doing it twice must do no harm.
#[async_trait]
pub trait Action<C: Send + Sync + 'static>: Send + Sync + 'static {
    /// Name as in `action "…"`, with the provider's prefix.
    fn type_name(&self) -> &'static str;

    /// What the `config` block inside its block holds.
    fn schema(&self) -> Schema;

    /// Checks the configuration further than its schema does. No network: values may be unknown.
    async fn validate(&self, cx: &Context<C>, config: &Value, diags: &mut Diagnostics) {
        let _ = (cx, config, diags);
    }

    /// May refuse with an error before anything is applied. Values may be unknown.
    async fn plan(&self, cx: &Context<C>, config: &Value, diags: &mut Diagnostics) {
        let _ = (cx, config, diags);
    }

    /// Does it. The configuration is wholly known, with its defaults and write-only values.
    async fn invoke(
        &self,
        cx: &Context<C>,
        config: &Value,
        progress: &Progress,
        diags: &mut Diagnostics,
    );
}

/// Tells the user how an action goes, while it goes.
#[derive(Debug)]
pub struct Progress(mpsc::Sender<String>);

impl Progress {
    /// What is reported goes to the other end.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<String>) {
        let (messages, reported) = mpsc::channel(1);
        (Self(messages), reported)
    }

    /// One line for the user. A client that listens no more has cancelled the context too.
    pub async fn report(&self, message: impl Into<String> + Send) {
        // Nobody is left to tell that nobody listens.
        drop(self.0.send(message.into()).await);
    }
}
