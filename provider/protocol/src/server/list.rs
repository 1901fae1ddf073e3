//! Listing the objects of a resource type, one event each.

use futures::future::join;

use super::Server;
use super::call::Outlet;
use super::identity::encode_identity;
use crate::diagnostic::Diagnostics;
use crate::plan;
use crate::provider::{Context, Found, Listed, Provider, Query};
use crate::wire::tfplugin6::list_resource;

impl<P: Provider> Server<P> {
    pub(super) async fn list(
        &self,
        request: list_resource::Request,
        cx: &Context<P::Client>,
        outlet: &Outlet<list_resource::Event>,
        diags: &mut Diagnostics,
    ) {
        let Some(entry) = self.list_resource(&request.type_name, diags) else { return };
        let Some(config) = entry.typed.decode(request.config.as_ref(), diags) else { return };
        let config = plan::with_defaults(&entry.typed.schema, &config);
        let query = Query {
            config: &config,
            include_object: request.include_resource_object,
            limit: u64::try_from(request.limit).ok().filter(|limit| *limit > 0),
        };
        let (mut found, mut listed) = Found::new(query.limit);
        let search = async move {
            entry.item.list(cx, query, &mut found, diags).await;
        };
        let send = async {
            while let Some(one) = listed.recv().await {
                let event = self.event(&request.type_name, one, query.include_object);
                if outlet.send(Ok(event)).await.is_err() {
                    break;
                }
            }
            // The search hears of it at its next result.
            listed.close();
        };
        join(search, send).await;
    }

    fn event(&self, type_name: &str, listed: Listed, include_object: bool) -> list_resource::Event {
        let Listed { identity, display_name, object, mut diags } = listed;
        let mut event = list_resource::Event { display_name, ..list_resource::Event::default() };
        if let Some(entry) = self.resource(type_name, &mut diags) {
            event.identity = encode_identity(entry, identity, &mut diags);
            if event.identity.is_none() && !diags.has_errors() {
                diags.error(
                    "Bug in the provider: incomplete identity",
                    format!(
                        "{} was found without its identity. Please report this.",
                        event.display_name
                    ),
                );
            }
            let object = object.filter(|_| include_object);
            let object = object.and_then(|object| entry.typed.conform(object, &mut diags));
            event.resource_object = object.and_then(|mut object| {
                plan::strip_write_only(&entry.typed.schema.block, &mut object);
                entry.typed.encode(&object, &mut diags)
            });
        }
        event.diagnostic = diags.to_wire();
        event
    }
}
