//! Opening, renewing and closing ephemeral resources.

use jiff::Timestamp;
use prost_types::Timestamp as WireTimestamp;

use super::Server;
use super::state::{as_configured, no_reason, unknown_in_state};
use crate::diagnostic::Diagnostics;
use crate::plan;
use crate::provider::{Context, Provider};
use crate::wire::tfplugin6::{
    close_ephemeral_resource, open_ephemeral_resource, renew_ephemeral_resource,
};

impl<P: Provider> Server<P> {
    pub(super) async fn open(
        &self,
        request: open_ephemeral_resource::Request,
        cx: &Context<P::Client>,
        diags: &mut Diagnostics,
    ) -> Option<open_ephemeral_resource::Response> {
        let entry = self.ephemeral(&request.type_name, diags)?;
        let config = entry.typed.decode(request.config.as_ref(), diags)?;
        let full = plan::with_defaults(&entry.typed.schema, &config);
        let opened = entry.item.open(cx, &full, diags).await;
        let Some(opened) = opened.filter(|_| !diags.has_errors()) else {
            no_reason(diags, "open");
            return None;
        };
        let mut value = entry.typed.conform(opened.value, diags)?;
        plan::keep_equal_forms(&entry.typed.schema.block, &mut value, &full);
        if let Some(path) = value.first_unknown() {
            unknown_in_state(path, diags);
        }
        as_configured(&entry.typed.schema, &config, &value, diags);
        Some(open_ephemeral_resource::Response {
            result: entry.typed.encode(&value, diags),
            private: Some(opened.private),
            renew_at: opened.renew_at.map(timestamp),
            ..open_ephemeral_resource::Response::default()
        })
    }

    pub(super) async fn renew(
        &self,
        request: renew_ephemeral_resource::Request,
        cx: &Context<P::Client>,
        diags: &mut Diagnostics,
    ) -> Option<renew_ephemeral_resource::Response> {
        let entry = self.ephemeral(&request.type_name, diags)?;
        let private = request.private.unwrap_or_default();
        let Some(renewed) = entry.item.renew(cx, &private, diags).await else {
            no_reason(diags, "renewal");
            // What is open still has to be closed, with what was kept for that.
            return Some(renew_ephemeral_resource::Response {
                private: Some(private),
                ..renew_ephemeral_resource::Response::default()
            });
        };
        Some(renew_ephemeral_resource::Response {
            private: Some(renewed.private),
            renew_at: renewed.renew_at.map(timestamp),
            diagnostics: Vec::new(),
        })
    }

    pub(super) async fn close(
        &self,
        request: close_ephemeral_resource::Request,
        cx: &Context<P::Client>,
        diags: &mut Diagnostics,
    ) -> Option<close_ephemeral_resource::Response> {
        let entry = self.ephemeral(&request.type_name, diags)?;
        entry.item.close(cx, request.private.as_deref().unwrap_or_default(), diags).await;
        Some(close_ephemeral_resource::Response::default())
    }
}

fn timestamp(at: Timestamp) -> WireTimestamp {
    // The wire counts nanoseconds forward from the second, before 1970 too.
    let nanos = at.as_nanosecond().rem_euclid(1_000_000_000);
    let seconds = at.as_nanosecond().div_euclid(1_000_000_000);
    WireTimestamp {
        seconds: i64::try_from(seconds).expect("a time of jiff's is below the year 10,000"),
        nanos: i32::try_from(nanos).expect("less than a second"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_count_forward() {
        let check = |text: &str, seconds, nanos| {
            let at: Timestamp = text.parse().expect("a time");
            assert_eq!(timestamp(at), WireTimestamp { seconds, nanos }, "{text}");
        };
        check("1970-01-01T00:00:01.5Z", 1, 500_000_000);
        check("1969-12-31T23:59:58.5Z", -2, 500_000_000);
    }
}
