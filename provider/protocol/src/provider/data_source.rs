//! Data sources.

use async_trait::async_trait;

use super::Context;
use crate::cty::Value;
use crate::diagnostic::Diagnostics;
use crate::schema::Schema;

/// A data source: reads, and keeps nothing.
#[async_trait]
pub trait DataSource<C: Send + Sync + 'static>: Send + Sync + 'static {
    /// Name as in `data "…"`, with the provider's prefix.
    fn type_name(&self) -> &'static str;

    /// What its block holds.
    fn schema(&self) -> Schema;

    /// Checks the configuration further than its schema does. No network: values may be unknown.
    async fn validate(&self, cx: &Context<C>, config: &Value, diags: &mut Diagnostics) {
        let _ = (cx, config, diags);
    }

    /// Reads. The configuration is wholly known. The result holds every attribute, those of the
    /// configuration unchanged; those left out are null. None needs an error diagnostic.
    async fn read(&self, cx: &Context<C>, config: &Value, diags: &mut Diagnostics)
    -> Option<Value>;
}
