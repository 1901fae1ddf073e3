//! Who asks: bearer tokens, kept as SHA-256 only.

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use reconciler_api::problem::Problem;
use reconciler_domain::id::Principal;
use reconciler_store::ApiToken;
use sha2::{Digest as _, Sha256};

use super::Server;
use super::answer::{Answer, Refusal};

/// Whoever sent the request, as an extension of it.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub(super) ApiToken);

impl Caller {
    /// The name under which the caller's deeds are recorded.
    pub(super) fn principal(&self) -> Principal {
        Principal::Named(self.0.name.clone())
    }
}

/// The hash under which a token's secret is kept.
pub(crate) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Lets requests with a valid token pass.
pub(super) async fn require_token(
    State(server): State<Server>,
    mut request: Request,
    next: Next,
) -> Answer<Response> {
    let secret = bearer(&request)?;
    let now = server.clock.now();
    let token = match server.store.find_token(&hash(secret)).await? {
        Some(token) if token.is_expired(now) => {
            let detail = format!("the token {} has expired", token.name);
            return Err(Problem::unauthenticated(detail).into());
        }
        Some(token) => token,
        None => return Err(Problem::unauthenticated("the token is not known").into()),
    };
    server.store.token_used(&token, now).await?;
    request.extensions_mut().insert(Caller(token));
    Ok(next.run(request).await)
}

/// Lets administrators pass.
pub(super) async fn require_admin(request: Request, next: Next) -> Answer<Response> {
    let caller = request.extensions().get::<Caller>();
    match caller {
        Some(Caller(token)) if token.admin => Ok(next.run(request).await),
        Some(Caller(token)) => {
            let detail = format!("{} is not an administrator", token.name);
            Err(Refusal::from(Problem::forbidden(detail)))
        }
        None => Err(Refusal::from(Problem::unauthenticated("no token was sent"))),
    }
}

fn bearer(request: &Request) -> Answer<&str> {
    let Some(value) = request.headers().get(header::AUTHORIZATION) else {
        return Err(Problem::unauthenticated("no token was sent").into());
    };
    let text = value.to_str().unwrap_or("");
    match text.split_once(' ') {
        Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") => Ok(secret.trim()),
        Some(_) | None => {
            Err(Problem::unauthenticated("the Authorization header has no bearer token").into())
        }
    }
}
