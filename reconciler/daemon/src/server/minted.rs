//! Tokens that bearers mint from theirs, for a short time.

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reconciler_api::problem::Problem;
use reconciler_api::v1::{
    AccessToken, CreatedAccessToken, Kind, MintToken, Precondition, RenewToken,
};
use reconciler_domain::token::{LIFETIME_DEFAULT, mint as minted, renew as renewed};
use reconciler_store::{Change, NewMinted};

use super::Server;
use super::answer::{Answer, Json, delete_refusal, put_refusal};
use super::auth::Caller;
use super::tokens::{drawn_secret, invalid, refusal, wire};
use crate::convert::{field_problems, wish};

/// Random bytes in the name of a minted token.
const NAME_BYTES: usize = 9;

pub(super) async fn mint(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Json(wanted): Json<MintToken>,
) -> Answer<(StatusCode, Json<CreatedAccessToken>)> {
    let name = new_name(&caller.0.name)?;
    let wish = wish(&wanted).map_err(|errors| invalid(&name, errors))?;
    let now = server.clock.now();
    let granted = minted(&caller.0, &wish, now);
    let granted = granted.map_err(|problems| invalid(&name, field_problems(problems)))?;
    let (secret, kept) = drawn_secret()?;
    let new = NewMinted {
        name: name.clone(),
        parent: caller.0.token.clone(),
        groups: granted.groups,
        admin: granted.admin,
        hash: kept.hash,
        expires_at: granted.expires_at,
    };
    let put = server.store.mint_token(&new, &Change::by(&caller.principal(), now)).await;
    let token = put.map_err(|error| refusal(&name, Precondition::None, error))?;
    let access = wire(&server, &token).await?;
    Ok((StatusCode::CREATED, Json(CreatedAccessToken { access, secret })))
}

pub(super) async fn renew(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Json(wanted): Json<RenewToken>,
) -> Answer<Json<AccessToken>> {
    let lifetime = wish(&MintToken { lifetime: wanted.lifetime, ..MintToken::default() })
        .map_err(|errors| invalid(&name, errors))?
        .lifetime
        .unwrap_or(LIFETIME_DEFAULT);
    let now = server.clock.now();
    let expires_at = renewed(&caller.0, lifetime, now)
        .map_err(|problem| invalid(&name, field_problems(vec![problem])))?;
    let change = Change::by(&caller.principal(), now);
    let renewed = server.store.renew_token(&name, &caller.0.token, expires_at, &change).await;
    let token =
        renewed.map_err(|error| put_refusal(Kind::Token, &name, Precondition::None, error))?;
    Ok(Json(wire(&server, &token).await?))
}

pub(super) async fn end(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Answer<StatusCode> {
    let change = Change::by(&caller.principal(), server.clock.now());
    let ended = server.store.end_token(&name, &caller.0.token, &change).await;
    ended.map_err(|error| delete_refusal(Kind::Token, &name, Precondition::None, error))?;
    Ok(StatusCode::NO_CONTENT)
}

/// The name of a minted token: that of whom it acts as, and what no person writes.
fn new_name(of: &str) -> Answer<String> {
    let mut bytes = [0_u8; NAME_BYTES];
    let drawn = SystemRandom::new().fill(&mut bytes);
    drawn.map_err(|_| Problem::unavailable("the system gives no random numbers"))?;
    Ok(format!("{of}~{}", URL_SAFE_NO_PAD.encode(bytes)))
}
