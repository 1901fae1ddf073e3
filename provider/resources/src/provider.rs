//! The provider and everything it offers.

use std::sync::Arc;

use async_trait::async_trait;
use provider_protocol::Diagnostics;
use provider_protocol::cty::Value;
use provider_protocol::provider::{Configure, DataSource, Function, Provider, Resource};
use provider_protocol::schema::Schema;
use reconciler_domain::step::StepKind;

use crate::connection;
use crate::data_sources::{FreightData, StageData};
use crate::functions::StepFunction;
use crate::managed::Managed;
use crate::resources::{Credential, Hold, Policy, Project, Stage, Verification, Warehouse};
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
        let Configure { config, tool_version, .. } = request;
        let session = connection::open(config, tool_version, &environment, diags).await?;
        Some(Arc::new(session))
    }

    fn resources(&self) -> Vec<Arc<dyn Resource<Session>>> {
        vec![
            Arc::new(Managed::<Project>::new()),
            Arc::new(Managed::<Warehouse>::new()),
            Arc::new(Managed::<Stage>::new()),
            Arc::new(Managed::<Verification>::new()),
            Arc::new(Managed::<Policy>::new()),
            Arc::new(Managed::<Hold>::new()),
            Arc::new(Managed::<Credential>::new()),
        ]
    }

    fn data_sources(&self) -> Vec<Arc<dyn DataSource<Session>>> {
        vec![Arc::new(FreightData), Arc::new(StageData)]
    }

    fn functions(&self) -> Vec<Arc<dyn Function>> {
        let function = |kind| Arc::new(StepFunction::new(kind)) as Arc<dyn Function>;
        StepKind::ALL.into_iter().map(function).collect()
    }
}
