//! The HTTP API: parse, authorise, call the store or a decision, answer.
//!
//! The router is made from [`reconciler_api::operation::OPERATIONS`]: what is not in that table is
//! not served, and who may call an operation is said there and nowhere else. No rule about freight, stages or policy is here: handlers ask `domain` and write to `store`.

mod answer;
mod answers;
mod auth;
mod credentials;
mod definitions;
mod drift;
mod evidence;
mod forecasts;
mod freight;
mod instance_freezes;
mod minted;
mod plans;
mod previews;
mod promotions;
mod reverify;
mod routes;
mod stages;
mod start;
mod states;
mod tokens;
mod turns;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use reconciler_api::operation::{Auth, OPERATIONS};
use reconciler_api::problem::Problem;
use reconciler_api::v1::{Health, HealthStatus, ServerVersion};
use reconciler_api::{VERSION, VERSION_HEADER};
use reconciler_effects::states::States;
use reconciler_store::Store;
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower::util::MapRequestLayer;
use tracing::Instrument as _;

use crate::clock::Clock;
use crate::secrets::{Safe, Signer};
use answer::{Answer, Json};
pub(crate) use auth::hash;
pub(crate) use tokens::new_secret;
pub(crate) use turns::Turns;

/// Largest request body: a stage with a hundred steps takes a tenth of it.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What handlers work with.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) store: Store,
    pub(crate) safe: Arc<Safe>,
    pub(crate) signer: Arc<Signer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) turns: Arc<Turns>,
    pub(crate) states: States,
    /// Whose members may read and write what is in states, beside administrators.
    pub(crate) state_groups: Arc<BTreeSet<String>>,
    pub(crate) shutdown: CancellationToken,
}

/// The router of the whole API: one route per operation of the contract, guarded as it says.
pub(crate) fn router(server: Server) -> Router {
    let mut router = Router::new();
    for operation in OPERATIONS {
        let route = routes::handler(operation.id)
            .expect("every operation has a handler: a test walks the table");
        router = router.route(operation.path, guarded(route, operation.auth, &server));
    }
    let router = router
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(envelope))
        .with_state(server);
    // Before a route is chosen: the infra tools have methods of their own.
    let named =
        ServiceBuilder::new().layer(MapRequestLayer::new(states::plain_method)).service(router);
    Router::new().fallback_service(named)
}

fn guarded(route: MethodRouter<Server>, auth: Auth, server: &Server) -> MethodRouter<Server> {
    let token = middleware::from_fn_with_state(server.clone(), auth::require_token);
    match auth {
        Auth::Public => route,
        Auth::Bearer => route.route_layer(token),
        Auth::Admin => {
            route.route_layer(middleware::from_fn(auth::require_admin)).route_layer(token)
        }
        Auth::States => {
            let states = middleware::from_fn_with_state(server.clone(), auth::require_states);
            let most = usize::try_from(server.states.state_limit()).unwrap_or(usize::MAX);
            route.route_layer(states).route_layer(token).layer(DefaultBodyLimit::max(most))
        }
    }
}

/// What every request has: an id in the log; and every answer: the version of the contract, and the
/// id where it is a problem.
async fn envelope(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let id = answer::request_id();
    let span = tracing::info_span!("request", id);
    let response = next.run(request).instrument(span.clone()).await;
    let status = response.status();
    span.in_scope(|| {
        if status.is_server_error() {
            tracing::error!(%method, path, %status, "answered");
        } else {
            tracing::debug!(%method, path, %status, "answered");
        }
    });
    let mut response = answer::name_instance(response, &id).await;
    response.headers_mut().insert(VERSION_HEADER, HeaderValue::from_static(VERSION));
    response
}

async fn health(State(server): State<Server>) -> Answer<Json<Health>> {
    server.store.next_due(server.clock.now()).await?;
    Ok(Json(Health { status: HealthStatus::Ok }))
}

async fn version() -> Json<ServerVersion> {
    Json(ServerVersion {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        api: vec!["v1".to_owned()],
    })
}

async fn step_schema() -> Json<serde_json::Value> {
    Json(reconciler_domain::step::schema())
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
