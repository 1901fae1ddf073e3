//! The provider and everything it offers.

use std::sync::Arc;

use async_trait::async_trait;
use provider_protocol::Diagnostics;
use provider_protocol::cty::Value;
use provider_protocol::provider::{
    Action, Configure, DataSource, EphemeralResource, Function, ListResource, Provider, Resource,
};
use provider_protocol::schema::Schema;
use reconciler_domain::step::StepKind;

use crate::actions;
use crate::connection;
use crate::data_sources::{
    FreightData, FreightsData, PipelineData, PolicyPreviewData, PromotionData, StageData,
};
use crate::ephemeral;
use crate::functions::{
    EvaluatePolicy, ParseDuration, ParseImage, SemverMatch, StepFunction, WindowOpen,
};
use crate::managed::{Definition, Listing, Managed};
use crate::resources::{
    ApiToken, Credential, Freeze, Hold, InstanceFreeze, Policy, Project, Promotion, Stage, Task,
    Verification, Warehouse,
};
use crate::session::Session;

/// Lockstep's provider.
#[derive(Clone, Copy, Debug)]
pub struct Lockstep;

#[async_trait]
impl Provider for Lockstep {
    type Client = Session;

    fn address(&self) -> &'static str {
        "lockstep/lockstep"
    }

    fn schema(&self) -> Schema {
        connection::schema()
    }

    async fn validate(&self, config: &Value, diags: &mut Diagnostics) {
        connection::validate(config, diags);
    }

    async fn configure(
        &self,
        request: Configure<'_>,
        diags: &mut Diagnostics,
    ) -> Option<Arc<Session>> {
        let environment = |name: &str| std::env::var(name).ok();
        let session = connection::open(request, &environment, diags).await?;
        Some(Arc::new(session))
    }

    fn resources(&self) -> Vec<Arc<dyn Resource<Session>>> {
        let managed = types().into_iter().map(|(resource, _)| resource);
        managed.chain([Arc::new(Promotion) as Arc<dyn Resource<Session>>]).collect()
    }

    fn list_resources(&self) -> Vec<Arc<dyn ListResource<Session>>> {
        types().into_iter().map(|(_, listing)| listing).collect()
    }

    fn data_sources(&self) -> Vec<Arc<dyn DataSource<Session>>> {
        vec![
            Arc::new(FreightData),
            Arc::new(FreightsData),
            Arc::new(PipelineData),
            Arc::new(PolicyPreviewData),
            Arc::new(PromotionData),
            Arc::new(StageData),
        ]
    }

    fn ephemeral_resources(&self) -> Vec<Arc<dyn EphemeralResource<Session>>> {
        vec![Arc::new(ephemeral::Token)]
    }

    fn functions(&self) -> Vec<Arc<dyn Function>> {
        let step = |kind| Arc::new(StepFunction::new(kind)) as Arc<dyn Function>;
        let others: [Arc<dyn Function>; 5] = [
            Arc::new(EvaluatePolicy),
            Arc::new(ParseDuration),
            Arc::new(ParseImage),
            Arc::new(SemverMatch),
            Arc::new(WindowOpen),
        ];
        StepKind::ALL.into_iter().map(step).chain(others).collect()
    }

    fn actions(&self) -> Vec<Arc<dyn Action<Session>>> {
        vec![
            Arc::new(actions::Promote),
            Arc::new(actions::Approve),
            Arc::new(actions::Abort),
            Arc::new(actions::Refresh),
            Arc::new(actions::Reverify),
        ]
    }
}

type Type = (Arc<dyn Resource<Session>>, Arc<dyn ListResource<Session>>);

/// Every type of object: its resource, and the list of all of them.
fn types() -> Vec<Type> {
    fn of<D: Definition>() -> Type {
        (Arc::new(Managed::<D>::new()), Arc::new(Listing::<D>::new()))
    }
    vec![
        of::<Project>(),
        of::<Warehouse>(),
        of::<Stage>(),
        of::<Task>(),
        of::<Verification>(),
        of::<Policy>(),
        of::<Hold>(),
        of::<Freeze>(),
        of::<Credential>(),
        of::<ApiToken>(),
        of::<InstanceFreeze>(),
    ]
}
