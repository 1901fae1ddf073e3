//! `lockstep token`: creates, lists, rotates and revokes tokens, and mints short-lived ones.

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use reconciler_api::v1::{CreateAccessToken, CreatedAccessToken, MintToken, TokenQuery};
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
    List {
        /// Those that bearers minted, instead of those that administrators made
        #[arg(long)]
        minted: bool,
    },
    /// Give a token another secret, which is written to stdout, once; the one before works no longer
    Rotate {
        /// The token's name
        name: String,
    },
    /// Make a token stop working, and with it all that were minted from it
    Revoke {
        /// The token's name
        name: String,
    },
    /// Mint a token that acts as you for a short time; its secret is written to stdout, once
    Mint(Mint),
    /// End a token that you minted
    End {
        /// The token's name, as it was minted
        name: String,
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

#[derive(Args)]
struct Mint {
    /// How long it lasts, such as 30m: between a minute and a day; an hour if left out
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    lifetime: Option<Duration>,
    /// A group of yours that its bearer is in; may be given again. All of yours if left out
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// Its bearer may create and revoke tokens, as you may
    #[arg(long)]
    admin: bool,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    match arguments.action {
        Action::Create(arguments) => create(arguments, session).await,
        Action::List { minted } => list(minted, session).await,
        Action::Rotate { name } => {
            let rotated = session.client.rotate_token(&name).await?;
            show_once(&rotated, session)
        }
        Action::Revoke { name } => {
            session.client.revoke_token(&name).await?;
            session.out.note(format_args!("token {name} works no longer"))
        }
        Action::Mint(arguments) => mint(arguments, session).await,
        Action::End { name } => {
            session.client.end_token(&name).await?;
            session.out.note(format_args!("token {name} works no longer"))
        }
    }
}

async fn create(arguments: Create, session: &Session) -> Result<(), Failure> {
    let Create { name, groups, admin, expires } = arguments;
    let expires_at = expires.map(|after| expiry(session.now, after)).transpose()?;
    let request = CreateAccessToken { name, groups, admin, expires_at };
    let created = session.client.create_token(&request).await?;
    show_once(&created, session)
}

async fn mint(arguments: Mint, session: &Session) -> Result<(), Failure> {
    let Mint { lifetime, groups, admin } = arguments;
    let wish = MintToken {
        lifetime: lifetime.map(duration::print),
        groups: (!groups.is_empty()).then_some(groups),
        admin,
    };
    let minted = session.client.mint_token(&wish).await?;
    show_once(&minted, session)
}

fn show_once(created: &CreatedAccessToken, session: &Session) -> Result<(), Failure> {
    let name = &created.access.meta.name;
    session.out.note(format_args!("token {name}; its secret is shown only now"))?;
    session.out.answer(created, |it| it.secret.expose().to_owned())
}

fn expiry(now: Timestamp, after: Duration) -> Result<Timestamp, Failure> {
    now.checked_add(after).map_err(|_| Failure::ExpiryOutOfRange { after })
}

async fn list(minted: bool, session: &Session) -> Result<(), Failure> {
    let mut query = TokenQuery { minted: Some(minted), ..TokenQuery::default() };
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
