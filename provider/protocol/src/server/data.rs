//! Reading data sources.

use super::Server;
use super::state::{no_reason, unknown_in_state};
use crate::cty::Value;
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
        let read = entry.item.read(cx, &config, diags).await;
        let Some(value) = read.filter(|_| !diags.has_errors()) else {
            no_reason(diags, "read");
            return None;
        };
        let block = &entry.typed.schema.block;
        let mut value = entry.typed.conform(value, diags)?;
        plan::keep_equal_forms(block, &mut value, &config);
        if let Some(path) = value.first_unknown() {
            unknown_in_state(path, diags);
        }
        // A configured value comes back as it is; the provider fills in only the rest.
        for violation in plan::plan_violations(block, &Value::Null, &config, &value) {
            let detail = format!("{}: {}. Please report this.", violation.path, violation.problem);
            diags.error_at(violation.path, "Bug in the provider: invalid data", detail);
        }
        Some(read_data_source::Response {
            state: entry.typed.encode(&value, diags),
            ..read_data_source::Response::default()
        })
    }
}
