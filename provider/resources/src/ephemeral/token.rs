//! `lockstep_token`.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Value};
use provider_protocol::provider::{Context, EphemeralResource, Opened, Reader, Renewed};
use provider_protocol::schema::{Attribute, Block, Schema};
use reconciler_api::problem::ProblemCode;
use reconciler_api::v1::{AccessToken, MintToken, Object as _, RenewToken};
use reconciler_domain::duration;
use reconciler_domain::token::{LIFETIME_DEFAULT, check_lifetime};
use serde::{Deserialize, Serialize};

use crate::attribute::{filled_list, span};
use crate::failure::{Places, detail, tell};
use crate::form::Read as _;
use crate::session::Session;
use crate::stop::or_late;
use crate::words::sentence;

/// A token that lasts for less is not renewed.
const RENEWED_FROM: SignedDuration = SignedDuration::from_secs(20);

/// Of a token without an answer.
const UNSURE: &str = "A token that was minted nevertheless ends by itself.";

/// A token for the length of a run: minted from the provider's, ended when the run is over.
pub(crate) struct Token;

/// What renewing and ending need to know.
#[derive(Serialize, Deserialize)]
struct Minted {
    name: String,
    lifetime: String,
}

impl Minted {
    fn read(private: &[u8], diags: &mut Diagnostics) -> Option<Self> {
        let read = serde_json::from_slice(private);
        diags.take(Path::root(), "Bug in the client: another token's memory came back", read)
    }
}

#[async_trait]
impl EphemeralResource<Session> for Token {
    fn type_name(&self) -> &'static str {
        "lockstep_token"
    }

    fn schema(&self) -> Schema {
        Schema::new(block())
    }

    async fn open(
        &self,
        cx: &Context<Session>,
        config: &Value,
        diags: &mut Diagnostics,
    ) -> Option<Opened> {
        let session = cx.client(diags)?;
        let reader = Reader::root(config);
        let lifetime = reader.text("lifetime").unwrap_or_else(|| duration::print(LIFETIME_DEFAULT));
        let wish = MintToken {
            lifetime: Some(lifetime.clone()),
            groups: (!reader.get("groups").is_null()).then(|| reader.texts("groups")),
            admin: reader.flag("admin"),
        };
        let asked = Timestamp::now();
        let what = "mint a token";
        let call = session.api.mint_token(&wish);
        let minted = match session.order(&cx.cancel, (what, UNSURE), call, diags).await? {
            Ok(minted) => minted,
            Err(error) => {
                let places = Places { moved: &[], ty: block().ty() };
                tell(&error, what, &places, diags);
                return None;
            }
        };
        let name = minted.access.meta().name.clone();
        let expires_at = minted.access.spec.expires_at;
        let value = config
            .clone()
            .with("name", name.as_str())
            .with("expires_at", expires_at.map(|at| at.to_string()))
            .with("token", minted.secret.expose());
        let kept = serde_json::to_vec(&Minted { name, lifetime: lifetime.clone() });
        let kept = diags.take(Path::root(), "Cannot remember the token", kept)?;
        let opened = Opened::new(value).private(kept);
        let granted = granted(&minted.access);
        Some(match renew_at(asked, granted) {
            Some(at) => opened.renew_at(at),
            None => opened,
        })
    }

    async fn renew(
        &self,
        cx: &Context<Session>,
        private: &[u8],
        diags: &mut Diagnostics,
    ) -> Option<Renewed> {
        let session = cx.client(diags)?;
        let Minted { name, lifetime } = Minted::read(private, diags)?;
        let renew = RenewToken { lifetime: Some(lifetime.clone()) };
        let asked = Timestamp::now();
        let what = format!("renew token {name}");
        let call = session.api.renew_token(&name, &renew);
        match session.ask(&cx.cancel, &what, call, diags).await? {
            Ok(renewed) => {
                let renew_at = renew_at(asked, granted(&renewed));
                Some(Renewed { private: private.to_vec(), renew_at })
            }
            Err(error) => {
                diags.error(format!("Cannot {what}"), detail(&error));
                None
            }
        }
    }

    async fn close(&self, cx: &Context<Session>, private: &[u8], diags: &mut Diagnostics) {
        let Some(session) = cx.client(diags) else { return };
        let Some(Minted { name, .. }) = Minted::read(private, diags) else { return };
        let why = match or_late(&cx.cancel, session.api.end_token(&name)).await {
            Ok(Ok(())) => return,
            // It is over already.
            Ok(Err(error)) if error.code() == Some(ProblemCode::NotFound) => return,
            Ok(Err(error)) => detail(&error),
            Err(_) => "The daemon had not answered when the run was interrupted.".to_owned(),
        };
        let text = format!("{why}\n\nIt ends by itself.");
        diags.warning(format!("Token {name} was not ended"), text);
    }
}

fn block() -> Block {
    let lifetime = span().validate(|value| {
        let lifetime = value.as_str().and_then(|text| duration::parse(text).ok());
        let problem = lifetime.and_then(check_lifetime);
        problem.map_or(Ok(()), |problem| Err(sentence(&problem.message)))
    });
    Block::new()
        .describe(
            "A token for the length of a run, minted from the provider's and ended when the run is \
             over: for another configuration of the provider, or for a program that a \
             provisioner starts. It acts as the provider's token, so its approvals are the same \
             person's, and has no more rights; it ends with that token at the latest. While it is \
             needed, the client renews it. Needs Terraform 1.10 or OpenTofu 1.11.",
        )
        .attribute(
            "lifetime",
            lifetime.describe(
                "How long it lasts if nobody ends or renews it, between `1m` and `24h`. Default: \
                 `1h`.",
            ),
        )
        .attribute(
            "groups",
            filled_list().describe(
                "The groups that its bearer is in, of those that the provider's token has. \
                 Default: all of them.",
            ),
        )
        .attribute(
            "admin",
            Attribute::bool().default(false).describe(
                "Whether its bearer may manage tokens; only if the provider's token may.",
            ),
        )
        .attribute("name", Attribute::string().computed().describe("Its name."))
        .attribute(
            "expires_at",
            Attribute::string().computed().describe("When it ends if it is not renewed."),
        )
        .attribute("token", Attribute::string().computed().sensitive().describe("Its secret."))
}

/// When half of the time that was granted is over, which may be less than was asked for; the other
/// half is for attempts. None where too little is left to be worth another.
fn renew_at(asked: Timestamp, granted: Option<SignedDuration>) -> Option<Timestamp> {
    let granted = granted.filter(|granted| *granted >= RENEWED_FROM)?;
    asked.checked_add(granted / 2).ok()
}

/// How long the token lasts, by the daemon's clock: ours may be another.
fn granted(token: &AccessToken) -> Option<SignedDuration> {
    Some(token.spec.expires_at?.duration_since(token.meta().changed_at))
}
