//! The host's own services on the same connection: ending, output, brokered connections, health.

use std::pin::Pin;

use futures::{Stream, StreamExt as _, stream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming, async_trait};

use crate::wire::health::health_check_response::ServingStatus;
use crate::wire::health::{HealthCheckRequest, HealthCheckResponse, health_server};
use crate::wire::plugin::grpc_broker_server::GrpcBroker;
use crate::wire::plugin::grpc_controller_server::GrpcController;
use crate::wire::plugin::grpc_stdio_server::GrpcStdio;
use crate::wire::plugin::{ConnInfo, Empty, StdioData};

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Ends the process when the host says so.
pub(super) struct Controller {
    end: CancellationToken,
}

impl Controller {
    pub(super) fn new(end: CancellationToken) -> Self {
        Self { end }
    }
}

#[async_trait]
impl GrpcController for Controller {
    async fn shutdown(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        self.end.cancel();
        Ok(Response::new(Empty {}))
    }
}

/// Streams that stay open and silent until the end: whatever came over them, the host would log
/// as unexpected. They must not keep the server from ending.
pub(super) struct Streams {
    end: CancellationToken,
}

impl Streams {
    pub(super) fn new(end: CancellationToken) -> Self {
        Self { end }
    }

    fn silent<T: Send + 'static>(&self) -> Response<Answers<T>> {
        let silence = stream::pending().take_until(self.end.clone().cancelled_owned());
        Response::new(Box::pin(silence))
    }
}

#[async_trait]
impl GrpcStdio for Streams {
    async fn stream_stdio(&self, _: Request<()>) -> Result<Response<Answers<StdioData>>, Status> {
        Ok(self.silent())
    }
}

#[async_trait]
impl GrpcBroker for Streams {
    async fn start_stream(
        &self,
        _: Request<Streaming<ConnInfo>>,
    ) -> Result<Response<Answers<ConnInfo>>, Status> {
        Ok(self.silent())
    }
}

/// Serving, as long as anything answers.
pub(super) struct Health;

#[async_trait]
impl health_server::Health for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match request.into_inner().service.as_str() {
            "" | "plugin" | "tfplugin6.Provider" => {
                Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
            }
            other => Err(Status::not_found(format!("no service {other}"))),
        }
    }
}
