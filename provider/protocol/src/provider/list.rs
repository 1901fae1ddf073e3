//! Listing what is there, for `terraform query`.

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::Context;
use crate::cty::Value;
use crate::diagnostic::Diagnostics;
use crate::schema::Schema;

/// Finds the objects of a resource type, whoever made them.
#[async_trait]
pub trait ListResource<C: Send + Sync + 'static>: Send + Sync + 'static {
    /// Name of the resource type that is listed. It must have an
    /// [identity](super::Resource::identity).
    fn type_name(&self) -> &'static str;

    /// What the `config` block inside the `list` block holds: how to search.
    fn schema(&self) -> Schema;

    /// Checks the configuration further than its schema does. No network: values may be unknown.
    async fn validate(&self, cx: &Context<C>, config: &Value, diags: &mut Diagnostics) {
        let _ = (cx, config, diags);
    }

    /// Sends each object as it is found. What `diags` gets is told at the end, and is about the
    /// search as a whole; what is wrong with one object goes with it.
    async fn list(
        &self,
        cx: &Context<C>,
        query: Query<'_>,
        found: &mut Found,
        diags: &mut Diagnostics,
    );
}

/// What is searched for.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The configuration, with its defaults.
    pub config: &'a Value,
    /// Whether the client wants the attributes of each object too: leave them out when it does
    /// not and they cost a request.
    pub include_object: bool,
    /// The client takes no more than these; none when it takes all.
    pub limit: Option<u64>,
}

/// An object that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// What identifies it, by the identity schema of its type.
    pub identity: Value,
    /// What people call it.
    pub display_name: String,
    /// Its attributes, by the schema of its type.
    pub object: Option<Value>,
    /// What is to be said about it.
    pub diags: Diagnostics,
}

impl Listed {
    /// An object of which no more is known than which it is.
    #[must_use]
    pub fn new(identity: Value, display_name: impl Into<String>) -> Self {
        Self { identity, display_name: display_name.into(), ..Self::default() }
    }

    /// With its attributes.
    #[must_use]
    pub fn object(self, object: Value) -> Self {
        Self { object: Some(object), ..self }
    }
}

/// Takes what is found, one at a time, while the client reads it.
#[derive(Debug)]
pub struct Found {
    results: mpsc::Sender<Listed>,
    /// How many more the client takes; none for all.
    left: Option<u64>,
}

impl Found {
    /// What is found goes to the other end, as far as the limit allows.
    #[must_use]
    pub fn new(limit: Option<u64>) -> (Self, mpsc::Receiver<Listed>) {
        let (results, listed) = mpsc::channel(1);
        (Self { results, left: limit }, listed)
    }

    /// Whether the client has all that it wants: then stop searching.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.left == Some(0) || self.results.is_closed()
    }

    /// Sends an object; waits while the client is busy with those before. False when the client
    /// wants no more: then stop searching.
    pub async fn send(&mut self, listed: Listed) -> bool {
        if self.is_done() || self.results.send(listed).await.is_err() {
            return false;
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        !self.is_done()
    }
}
