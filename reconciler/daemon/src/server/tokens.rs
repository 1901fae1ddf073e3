//! Tokens and who their bearer is.

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reconciler_api::problem::{FieldCode, FieldProblem, Problem, ProblemCode};
use reconciler_api::v1::{
    AccessToken, CreateAccessToken, CreatedAccessToken, ListQuery, Page, Secret, Whoami,
};
use reconciler_store::{ApiToken, CreateTokenError, NewToken, RevokeTokenError};

use super::Server;
use super::answer::{Answer, Json, Parameters};
use super::auth::{Caller, hash};

/// A new secret: 256 random bits behind a prefix that scanners of leaked secrets can find.
///
/// `None` if the system gives no random numbers.
pub(crate) fn new_secret() -> Option<String> {
    let mut bytes = [0_u8; 32];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(format!("lockstep_{}", URL_SAFE_NO_PAD.encode(bytes)))
}

pub(super) async fn whoami(Extension(Caller(token)): Extension<Caller>) -> Json<Whoami> {
    Json(Whoami {
        name: token.name,
        groups: token.groups.into_iter().collect(),
        admin: token.admin,
    })
}

pub(super) async fn list(
    State(server): State<Server>,
    Parameters(_): Parameters<ListQuery>,
) -> Answer<Json<Page<AccessToken>>> {
    let tokens = server.store.list_tokens().await?;
    Ok(Json(Page { items: tokens.iter().map(access).collect(), next: None }))
}

pub(super) async fn create(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Json(wanted): Json<CreateAccessToken>,
) -> Answer<(StatusCode, Json<CreatedAccessToken>)> {
    if let Some(error) = name_problem(&wanted.name) {
        let detail = "the token has 1 error";
        let problem = Problem { errors: vec![error], ..Problem::new(ProblemCode::Invalid, detail) };
        return Err(problem.into());
    }
    let secret =
        new_secret().ok_or_else(|| Problem::unavailable("the system gives no random numbers"))?;
    let new = NewToken {
        name: wanted.name.clone(),
        groups: wanted.groups.into_iter().collect(),
        admin: wanted.admin,
        hash: hash(&secret),
        expires_at: wanted.expires_at,
    };
    let made = server.store.create_token(&new, &caller.principal(), server.clock.now()).await;
    match made {
        Ok(token) => {
            let created = CreatedAccessToken { access: access(&token), token: Secret::new(secret) };
            Ok((StatusCode::CREATED, Json(created)))
        }
        Err(CreateTokenError::AlreadyExists { .. }) => {
            let detail = format!("there is a token named {} already", wanted.name);
            let hint = "revoke it first, or choose another name";
            Err(Problem::new(ProblemCode::AlreadyExists, detail).with_hint(hint).into())
        }
        Err(CreateTokenError::Store(error)) => Err(error.into()),
    }
}

/// A token's name stands for a person in approvals: it must be readable, and not that of the machine.
fn name_problem(name: &str) -> Option<FieldProblem> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    let message = if name.is_empty() || name.len() > 100 {
        "a name has between 1 and 100 characters"
    } else if !name.chars().all(allowed) {
        "use letters, digits, '-', '_', '.' and '@'"
    } else if name == "automation" {
        "this name stands for what nobody asked for"
    } else {
        return None;
    };
    Some(FieldProblem::new("name", FieldCode::BadName, message))
}

pub(super) async fn revoke(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Answer<StatusCode> {
    match server.store.revoke_token(&name, &caller.principal(), server.clock.now()).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(RevokeTokenError::NotFound { .. }) => Err(Problem::not_found("token", &name).into()),
        Err(RevokeTokenError::Store(error)) => Err(error.into()),
    }
}

fn access(token: &ApiToken) -> AccessToken {
    AccessToken {
        id: token.name.clone(),
        name: token.name.clone(),
        groups: token.groups.iter().cloned().collect(),
        admin: token.admin,
        created_at: token.created_at,
        expires_at: token.expires_at,
    }
}
