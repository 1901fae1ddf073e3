//! Tokens as definitions, and who their bearer is.

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reconciler_api::problem::{FieldCode, FieldProblem, Problem, ProblemCode};
use reconciler_api::v1::{
    AccessToken, CreateAccessToken, CreatedAccessToken, Kind, ListQuery, Page, Precondition,
    Secret, TokenQuery, TokenSpec, Whoami,
};
use reconciler_domain::id::TokenName;
use reconciler_domain::token::{SECRET_PREFIX, SecretOrigin, check_groups};
use reconciler_store::{
    ApiToken, Change, NewSecret, NewToken, Outcome, PutError, PutTokenError, Subject,
};

use super::Server;
use super::answer::{
    Answer, ConfidentialJson, Json, Parameters, Refusal, delete_refusal, name, precondition,
    put_refusal, store_precondition,
};
use super::auth::{Caller, hash};
use super::definitions::page_of;
use crate::convert::{TokenBefore, access_token, field_problems, parse_token};

/// A new secret: 256 random bits behind a prefix that scanners of leaked secrets can find.
///
/// `None` if the system gives no random numbers.
pub(crate) fn new_secret() -> Option<String> {
    let mut bytes = [0_u8; 32];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(format!("{SECRET_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// A new secret for an answer, and what is kept of it.
pub(super) fn drawn_secret() -> Answer<(Secret, NewSecret)> {
    let secret =
        new_secret().ok_or_else(|| Problem::unavailable("the system gives no random numbers"))?;
    let kept = NewSecret { hash: hash(&secret), origin: SecretOrigin::Daemon };
    Ok((Secret::new(secret), kept))
}

pub(super) async fn whoami(Extension(Caller(bearer)): Extension<Caller>) -> Json<Whoami> {
    Json(Whoami {
        name: bearer.name,
        groups: bearer.groups.into_iter().collect(),
        admin: bearer.admin,
    })
}

pub(super) async fn list(
    State(server): State<Server>,
    Parameters(TokenQuery { limit, page, minted }): Parameters<TokenQuery>,
) -> Answer<Json<Page<AccessToken>>> {
    let tokens = server.store.list_tokens(minted.unwrap_or(false)).await?;
    let query = ListQuery { limit, page };
    let (wanted, next) = page_of(&tokens, &query, |token| token.name.clone())?;
    let mut items = Vec::with_capacity(wanted.len());
    for token in wanted {
        items.push(wire(&server, token).await?);
    }
    Ok(Json(Page { items, next }))
}

pub(super) async fn read(
    State(server): State<Server>,
    Path(wanted): Path<String>,
) -> Answer<Json<AccessToken>> {
    match server.store.get_token(&wanted).await? {
        Some(token) => Ok(Json(wire(&server, &token).await?)),
        None => Err(Problem::not_found("token", &wanted).into()),
    }
}

/// Creates a token with a secret of the daemon's.
pub(super) async fn create(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Json(wanted): Json<CreateAccessToken>,
) -> Answer<(StatusCode, Json<CreatedAccessToken>)> {
    let mut problems = field_problems(check_groups(&wanted.groups));
    let name = wanted.name.parse::<TokenName>().map_err(|error| {
        problems.push(FieldProblem::new("name", FieldCode::BadName, error.to_string()));
    });
    let now = server.clock.now();
    if wanted.expires_at.is_some_and(|at| at <= now) {
        let message = "it is over already";
        problems.push(FieldProblem::new("expires_at", FieldCode::Invalid, message));
    }
    let Ok(name) = name else { return Err(invalid(&wanted.name, problems)) };
    if !problems.is_empty() {
        return Err(invalid(&wanted.name, problems));
    }
    let (secret, kept) = drawn_secret()?;
    let new = NewToken {
        name,
        groups: wanted.groups.into_iter().collect(),
        admin: wanted.admin,
        secret: Some(kept),
        expires_at: wanted.expires_at,
    };
    let change = Change::by(&caller.principal(), now)
        .precondition(reconciler_store::Precondition::MustNotExist);
    match server.store.put_token(&new, &change).await {
        Ok((token, _)) => {
            let access = wire(&server, &token).await?;
            Ok((StatusCode::CREATED, Json(CreatedAccessToken { access, secret })))
        }
        Err(PutTokenError::Put(PutError::AlreadyExists { .. })) => {
            let detail = format!("there is a token named {} already", wanted.name);
            let hint = "revoke it first, or choose another name";
            Err(Problem::new(ProblemCode::AlreadyExists, detail).with_hint(hint).into())
        }
        Err(error) => Err(refusal(&wanted.name, Precondition::Absent, error)),
    }
}

/// Defines a token with a secret of the client's.
pub(super) async fn write(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(wanted): Path<String>,
    headers: HeaderMap,
    ConfidentialJson(spec): ConfidentialJson<TokenSpec>,
) -> Answer<(StatusCode, Json<AccessToken>)> {
    let name: TokenName = name(&wanted)?;
    let precondition = precondition(&headers)?;
    let there = server.store.get_token(&wanted).await?;
    let now = server.clock.now();
    let before = TokenBefore { token: there.as_ref(), now };
    let new = parse_token(name, &spec, before).map_err(|errors| invalid(&wanted, errors))?;
    let change =
        Change::by(&caller.principal(), now).precondition(store_precondition(precondition));
    let put = server.store.put_token(&new, &change).await;
    let (token, outcome) = put.map_err(|error| refusal(&wanted, precondition, error))?;
    let status = match outcome {
        Outcome::Created => StatusCode::CREATED,
        Outcome::Changed | Outcome::Unchanged => StatusCode::OK,
    };
    Ok((status, Json(wire(&server, &token).await?)))
}

/// Gives a token another secret of the daemon's.
pub(super) async fn rotate(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(wanted): Path<String>,
) -> Answer<Json<CreatedAccessToken>> {
    let name: TokenName = name(&wanted)?;
    let Some(there) = server.store.get_token(&wanted).await? else {
        return Err(Problem::not_found("token", &wanted).into());
    };
    let (secret, kept) = drawn_secret()?;
    let new = NewToken {
        name,
        groups: there.groups,
        admin: there.admin,
        secret: Some(kept),
        expires_at: there.expires_at,
    };
    // What was read is what is written again but for the secret.
    let precondition = Precondition::Generation(there.generation);
    let change = Change::by(&caller.principal(), server.clock.now())
        .precondition(store_precondition(precondition));
    let put = server.store.put_token(&new, &change).await;
    let (token, _) = put.map_err(|error| refusal(&wanted, precondition, error))?;
    Ok(Json(CreatedAccessToken { access: wire(&server, &token).await?, secret }))
}

pub(super) async fn revoke(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(wanted): Path<String>,
    headers: HeaderMap,
) -> Answer<StatusCode> {
    let precondition = precondition(&headers)?;
    let change = Change::by(&caller.principal(), server.clock.now())
        .precondition(store_precondition(precondition));
    let revoked = server.store.revoke_token(&wanted, &change).await;
    revoked.map_err(|error| delete_refusal(Kind::Token, &wanted, precondition, error))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Why a token was not written.
pub(super) fn refusal(name: &str, precondition: Precondition, error: PutTokenError) -> Refusal {
    match error {
        PutTokenError::SecretTaken => {
            let problem = FieldProblem::new("secret", FieldCode::Invalid, error.to_string());
            invalid(name, vec![problem])
        }
        PutTokenError::Put(error) => put_refusal(Kind::Token, name, precondition, error),
    }
}

pub(super) fn invalid(name: &str, errors: Vec<FieldProblem>) -> Refusal {
    Problem::invalid(Kind::Token, name, errors).into()
}

/// A token as it is told.
pub(super) async fn wire(server: &Server, token: &ApiToken) -> Answer<AccessToken> {
    let subject = Subject::Token(token.name.clone());
    Ok(access_token(token, server.store.instance_token(&subject).await?))
}
