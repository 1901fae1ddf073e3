//! The HTTP API: parse, authorise, call the store or a decision, answer.
//!
//! The router serves exactly [`reconciler_api::operation::OPERATIONS`]; a test holds them together.
//! No rule about freight, stages or policy is here: handlers ask `domain` and write to `store`.

mod answer;
mod auth;
mod definitions;
mod freight;
mod previews;
mod promotions;
mod stages;
mod tokens;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use reconciler_api::problem::Problem;
use reconciler_api::v1::{Health, HealthStatus, ServerVersion};
use reconciler_api::{VERSION, VERSION_HEADER};
use reconciler_store::Store;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use answer::{Answer, Json};
pub(crate) use auth::hash;
pub(crate) use tokens::new_secret;

/// Largest request body: a stage with a hundred steps takes a tenth of it.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What handlers work with.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shutdown: CancellationToken,
}

/// The router of the whole API.
pub(crate) fn router(server: Server) -> Router {
    let open = Router::new()
        .route("/healthz", get(health))
        .route("/v1/version", get(version))
        .route("/v1/openapi.json", get(openapi));
    let guarded = Router::new()
        .merge(tokens::routes())
        .merge(definitions::routes())
        .merge(stages::routes())
        .merge(freight::routes())
        .merge(promotions::routes())
        .route("/v1/projects/{project}/preview", post(previews::preview))
        .route_layer(middleware::from_fn_with_state(server.clone(), auth::require_token));
    open.merge(guarded)
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(envelope))
        .with_state(server)
}

/// What every answer has: the version of the contract; and every request: a trace.
async fn envelope(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    response.headers_mut().insert(VERSION_HEADER, HeaderValue::from_static(VERSION));
    let status = response.status();
    if status.is_server_error() {
        tracing::error!(%method, path, %status, "answered");
    } else {
        tracing::debug!(%method, path, %status, "answered");
    }
    response
}

async fn health(State(server): State<Server>) -> Answer<Json<Health>> {
    server.store.next_due().await?;
    Ok(Json(Health { status: HealthStatus::Ok }))
}

async fn version() -> Json<ServerVersion> {
    Json(ServerVersion {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        api: vec!["v1".to_owned()],
    })
}

async fn openapi() -> Json<serde_json::Value> {
    Json(reconciler_api::openapi::document())
}

async fn no_route(request: Request) -> Response {
    answer::problem(&Problem::no_route(request.uri().path()))
}

async fn wrong_method(request: Request) -> Response {
    let problem = Problem::method_not_allowed(request.method().as_str(), request.uri().path());
    (StatusCode::METHOD_NOT_ALLOWED, answer::problem(&problem)).into_response()
}

/// A route whose operation needs an administrator.
fn admin(route: axum::routing::MethodRouter<Server>) -> axum::routing::MethodRouter<Server> {
    route.route_layer(middleware::from_fn(auth::require_admin))
}

/// `DELETE` for administrators.
fn admin_delete<H, T>(handler: H) -> axum::routing::MethodRouter<Server>
where
    H: axum::handler::Handler<T, Server>,
    T: 'static,
{
    admin(delete(handler))
}
