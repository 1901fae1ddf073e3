//! `lockstep token`: creates, lists and revokes tokens.

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use reconciler_api::v1::{CreateAccessToken, ListQuery};
use reconciler_domain::duration;

use crate::failure::Failure;
use crate::render::table_of;
use crate::session::Session;

/// Arguments of `lockstep token`.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Create a token; its secret is written to stdout, once
    Create(Create),
    /// List the tokens, without their secrets
    List,
    /// Make a token stop working
    Revoke {
        /// The token's id, as the list shows it
        id: String,
    },
}

#[derive(Args)]
struct Create {
    /// Who its bearer is; approvals count people by this name
    #[arg(long = "as", value_name = "NAME")]
    name: String,
    /// A group that its bearer is in; may be given again
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// Its bearer may create and revoke tokens
    #[arg(long)]
    admin: bool,
    /// After which time it stops working, such as 30d
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    expires: Option<Duration>,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    match arguments.action {
        Action::Create(arguments) => create(arguments, session).await,
        Action::List => list(session).await,
        Action::Revoke { id } => revoke(&id, session).await,
    }
}

async fn create(arguments: Create, session: &Session) -> Result<(), Failure> {
    let Create { name, groups, admin, expires } = arguments;
    let expires_at = expires.map(|after| expiry(session.now, after)).transpose()?;
    let request = CreateAccessToken { name, groups, admin, expires_at };
    let created = session.client.create_token(&request).await?;
    session.out.note(format_args!(
        "token {} for {}; its secret is shown only now",
        created.access.id, created.access.name
    ))?;
    session.out.answer(&created, |it| it.token.expose().to_owned())
}

fn expiry(now: Timestamp, after: Duration) -> Result<Timestamp, Failure> {
    now.checked_add(after).map_err(|_| Failure::ExpiryOutOfRange { after })
}

async fn list(session: &Session) -> Result<(), Failure> {
    let mut query = ListQuery::default();
    let mut tokens = Vec::new();
    loop {
        let page = session.client.list_tokens(&query).await?;
        tokens.extend(page.items);
        match page.next {
            Some(next) => query.page = Some(next),
            None => break,
        }
    }
    session.out.answer(&tokens, |tokens| table_of(tokens, session.now))
}

async fn revoke(id: &str, session: &Session) -> Result<(), Failure> {
    session.client.revoke_token(id).await?;
    session.out.note(format_args!("token {id} works no longer"))
}
