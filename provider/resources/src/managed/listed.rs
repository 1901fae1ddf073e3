//! Finding what is there: the identity of an object, and `terraform query`.

use std::marker::PhantomData;

use async_trait::async_trait;
use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Type, Value};
use provider_protocol::provider::{Context, Found, ListResource, Listed, Query, Reader, State};
use provider_protocol::schema::{self, Block, Schema};
use reconciler_api::v1::Object as _;
use reconciler_domain::id::ProjectName;

use super::plan::NO_PROJECT;
use super::{Definition, Managed};
use crate::attribute::parsed;
use crate::failure::tell;
use crate::form::Read as _;
use crate::session::{Identity, Session};

impl<D: Definition> Managed<D> {
    /// What tells an object from every other of its type: the parts of its id.
    pub(super) fn identity_schema() -> schema::Identity {
        let identity = schema::Identity::new();
        let identity = if Self::HAS_PROJECT {
            let text = "The project that owns it. Default: the provider's.";
            identity.optional("project", Type::String, text)
        } else {
            identity
        };
        identity.required("name", Type::String, "Its name.")
    }

    /// The start of a state for the object of an identity.
    pub(super) fn start_of(
        cx: &Context<Session>,
        identity: &Value,
        diags: &mut Diagnostics,
    ) -> Option<State> {
        let mut value = identity.clone();
        let unnamed = value.get("project").is_none_or(Value::is_null);
        if Self::HAS_PROJECT && unnamed {
            let session = cx.client(diags)?;
            let Some(project) = &session.project else {
                diags.error_at(Path::attribute("project"), "Missing project", NO_PROJECT);
                return None;
            };
            value.set("project", project);
        }
        let id = Identity::of(Self::KIND, &value)?.to_string();
        Some(State::new(value.with("id", id)))
    }
}

/// Lists the objects of a type.
pub(crate) struct Listing<D> {
    definition: PhantomData<D>,
}

impl<D: Definition> Listing<D> {
    /// The list of all objects of the type.
    pub(crate) const fn new() -> Self {
        Self { definition: PhantomData }
    }
}

#[async_trait]
impl<D: Definition> ListResource<Session> for Listing<D> {
    fn type_name(&self) -> &'static str {
        D::TYPE_NAME
    }

    fn schema(&self) -> Schema {
        let kind = Managed::<D>::KIND.as_str().replace('_', " ");
        let block = Block::new().describe(format!("Every {kind} that there is."));
        if !Managed::<D>::HAS_PROJECT {
            return Schema::new(block);
        }
        let project = parsed::<ProjectName>()
            .describe("The project whose objects are listed. Default: the provider's.");
        Schema::new(block.attribute("project", project))
    }

    async fn list(
        &self,
        cx: &Context<Session>,
        query: Query<'_>,
        found: &mut Found,
        diags: &mut Diagnostics,
    ) {
        let Some(session) = cx.client(diags) else { return };
        let mut project = String::new();
        if Managed::<D>::HAS_PROJECT {
            let named = Reader::root(query.config).text("project");
            let Some(name) = named.or_else(|| session.project.clone()) else {
                return diags.error_at(Path::attribute("project"), "Missing project", NO_PROJECT);
            };
            project = name;
        }
        let what = format!("list {}", Managed::<D>::KIND.collection());
        let call = session.api.list_all::<D::Object>(&project);
        let Some(listed) = session.ask(&cx.cancel, &what, call, diags).await else { return };
        match listed {
            Ok(objects) => {
                for object in &objects {
                    if !found.send(Self::listed(object, query.include_object)).await {
                        return;
                    }
                }
            }
            Err(error) => {
                tell(&error, &what, &Managed::<D>::places(), diags);
            }
        }
    }
}

impl<D: Definition> Listing<D> {
    fn listed(object: &D::Object, include_object: bool) -> Listed {
        let nothing = Value::object::<&str>([]);
        let state = Managed::<D>::state(object, &nothing);
        let identity = Managed::<D>::identity_schema().in_state(&state);
        let listed = Listed::new(identity, object.meta().id.clone());
        if include_object { listed.object(state) } else { listed }
    }
}
