//! Reading data sources.

use super::Server;
use super::state::{as_configured, no_reason, unknown_in_state};
use crate::diagnostic::Diagnostics;
use crate::plan;
use crate::provider::{Context, Provider};
use crate::wire::tfplugin6::read_data_source;

impl<P: Provider> Server<P> {
    pub(super) async fn read_data(
        &self,
        request: read_data_source::Request,
        cx: &Context<P::Client>,
        diags: &mut Diagnostics,
    ) -> Option<read_data_source::Response> {
        let entry = self.data_source(&request.type_name, diags)?;
        let config = entry.typed.decode(request.config.as_ref(), diags)?;
        let full = plan::with_defaults(&entry.typed.schema, &config);
        let read = entry.item.read(cx, &full, diags).await;
        let Some(value) = read.filter(|_| !diags.has_errors()) else {
            no_reason(diags, "read");
            return None;
        };
        let block = &entry.typed.schema.block;
        let mut value = entry.typed.conform(value, diags)?;
        plan::keep_equal_forms(block, &mut value, &full);
        if let Some(path) = value.first_unknown() {
            unknown_in_state(path, diags);
        }
        as_configured(&entry.typed.schema, &config, &value, diags);
        Some(read_data_source::Response {
            state: entry.typed.encode(&value, diags),
            ..read_data_source::Response::default()
        })
    }
}
