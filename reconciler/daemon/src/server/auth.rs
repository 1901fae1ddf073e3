//! Who asks: bearer tokens, kept as SHA-256 only. What a bearer may is what the token has, and every
//! token that it was minted from, at the time of the request.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{FromRequest as _, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reconciler_api::problem::Problem;
use reconciler_domain::id::Principal;
use reconciler_domain::token::{Bearer, Token, bearer};
use reconciler_store::ApiToken;
use sha2::{Digest as _, Sha256};

use super::Server;
use super::answer::{Answer, Refusal, unread};

/// How long a request may take to send its body.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// Whoever sent the request, as an extension of it.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub(super) Bearer);

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

/// Lets requests with a valid token pass. What counts is the token when the whole request is there:
/// one that sends its body slowly would otherwise still act when its token is long revoked.
pub(super) async fn require_token(
    State(server): State<Server>,
    mut request: Request,
    next: Next,
) -> Answer<Response> {
    let secret = hash(&sent(&request)?);
    let mut caller = known(&server, &secret).await?;
    if !request.body().is_end_stream() {
        request = arrived(request).await?;
        caller = known(&server, &secret).await?;
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Who sends a token of this hash now.
async fn known(server: &Server, secret: &[u8; 32]) -> Answer<Caller> {
    let now = server.clock.now();
    let Some(sent) = server.store.find_token(secret).await? else {
        return Err(Problem::unauthenticated("the token is not known").into());
    };
    let behind: Vec<Token> = sent.behind.iter().map(ApiToken::rights).collect();
    let bearer = bearer(&sent.token.rights(), &behind, now)
        .map_err(|expired| Problem::unauthenticated(expired.to_string()))?;
    server.store.token_used(&sent.token, now).await?;
    Ok(Caller(bearer))
}

/// The same request, with all of its body.
async fn arrived(request: Request) -> Answer<Request> {
    let (parts, body) = request.into_parts();
    let reading = Bytes::from_request(Request::from_parts(parts.clone(), body), &());
    let read = tokio::time::timeout(BODY_WITHIN, reading).await.map_err(|_| {
        Problem::malformed(format!("the body did not arrive within {} s", BODY_WITHIN.as_secs()))
    })?;
    Ok(Request::from_parts(parts, Body::from(read.map_err(unread)?)))
}

/// Lets those pass whom the configuration lets at states: what is in one is secret.
pub(super) async fn require_states(
    State(server): State<Server>,
    request: Request,
    next: Next,
) -> Answer<Response> {
    let caller = request.extensions().get::<Caller>();
    match caller {
        Some(Caller(bearer))
            if bearer.admin || !bearer.groups.is_disjoint(&server.state_groups) =>
        {
            Ok(next.run(request).await)
        }
        Some(Caller(bearer)) => {
            let detail = format!(
                "{} may not read or write what is in states: it is neither an administrator nor in a group of \
                 `groups` in [states] of the daemon's configuration",
                bearer.token
            );
            Err(Refusal::from(Problem::forbidden(detail)))
        }
        None => Err(Refusal::from(Problem::unauthenticated("no token was sent"))),
    }
}

/// Lets administrators pass.
pub(super) async fn require_admin(request: Request, next: Next) -> Answer<Response> {
    let caller = request.extensions().get::<Caller>();
    match caller {
        Some(Caller(bearer)) if bearer.admin => Ok(next.run(request).await),
        Some(Caller(bearer)) => {
            let detail = format!("{} is not an administrator", bearer.token);
            Err(Refusal::from(Problem::forbidden(detail)))
        }
        None => Err(Refusal::from(Problem::unauthenticated("no token was sent"))),
    }
}

/// The token as a request has it: as a bearer, or, as the backends of the infra tools send it, as a password.
fn sent(request: &Request) -> Answer<String> {
    let Some(value) = request.headers().get(header::AUTHORIZATION) else {
        return Err(Problem::unauthenticated("no token was sent").into());
    };
    let text = value.to_str().unwrap_or("");
    match text.split_once(' ') {
        Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") => {
            Ok(secret.trim().to_owned())
        }
        Some((scheme, pair)) if scheme.eq_ignore_ascii_case("basic") => {
            let pair = STANDARD.decode(pair.trim()).ok().and_then(|it| String::from_utf8(it).ok());
            let password = pair.as_deref().and_then(|pair| pair.split_once(':'));
            let malformed = "the Authorization header is no basic authentication";
            let (_, password) = password.ok_or_else(|| Problem::unauthenticated(malformed))?;
            Ok(password.to_owned())
        }
        Some(_) | None => {
            Err(Problem::unauthenticated("the Authorization header has no bearer token").into())
        }
    }
}
