//! `lockstep get`: objects as tables, or one object in full.

use clap::{Args, Subcommand};
use reconciler_api::v1::{
    Freeze, Freight, FreightQuery, Hold, Object, Policy, Project, Promotion, PromotionQuery, Stage,
    Task, Verification, Warehouse,
};
use serde::Serialize;

use crate::failure::Failure;
use crate::render::{Show, one, table_of};
use crate::session::Session;

/// Arguments of `lockstep get`.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Tenants
    #[command(visible_alias = "project")]
    Projects(Name),
    /// Sets of subscriptions to artifact sources
    #[command(visible_alias = "warehouse")]
    Warehouses(Name),
    /// Bundles of artifacts, newest first
    Freight(FreightFilter),
    /// Places where freight is promoted to
    #[command(visible_alias = "stage")]
    Stages(Name),
    /// Runs of a stage's steps, newest first
    #[command(visible_alias = "promotion")]
    Promotions(PromotionFilter),
    /// Whether and when stages are promoted to
    #[command(visible_aliases = ["policy"])]
    Policies(Name),
    /// Durable stops
    #[command(visible_alias = "hold")]
    Holds(Name),
    /// Times in which nothing happens
    #[command(visible_alias = "freeze")]
    Freezes(Name),
    /// Steps that several stages share
    #[command(visible_alias = "task")]
    Tasks(Name),
    /// Templates of measurements
    #[command(visible_alias = "verification")]
    Verifications(Name),
}

#[derive(Args)]
struct Name {
    /// Show this one in full
    name: Option<String>,
}

#[derive(Args)]
struct FreightFilter {
    /// Show this one in full; a unique beginning of the id is enough
    #[arg(conflicts_with_all = [
        "warehouse", "stage", "verified_in", "current_in", "version", "commit", "digest",
    ])]
    freight: Option<String>,
    /// Only freight of this warehouse
    #[arg(long)]
    warehouse: Option<String>,
    /// Only freight that is available to this stage
    #[arg(long)]
    stage: Option<String>,
    /// Only freight that this stage vouches for
    #[arg(long, value_name = "STAGE")]
    verified_in: Option<String>,
    /// Only freight that is in this stage now
    #[arg(long, value_name = "STAGE")]
    current_in: Option<String>,
    /// Only freight with a version in this range, such as '^1.4'
    #[arg(long, value_name = "RANGE")]
    version: Option<String>,
    /// Only freight with a commit whose id begins so
    #[arg(long)]
    commit: Option<String>,
    /// Only freight with an image of this digest
    #[arg(long)]
    digest: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
}

#[derive(Args)]
struct PromotionFilter {
    /// Show this one in full
    #[arg(conflicts_with_all = ["stage", "active"])]
    promotion: Option<String>,
    /// Only promotions of this stage
    #[arg(long)]
    stage: Option<String>,
    /// Only promotions that have not ended
    #[arg(long)]
    active: bool,
    /// How many at most
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    match arguments.what {
        What::Projects(Name { name }) => projects(name, session).await,
        What::Warehouses(Name { name }) => defined::<Warehouse>(name, session).await,
        What::Freight(filter) => freight(filter, session).await,
        What::Stages(Name { name }) => defined::<Stage>(name, session).await,
        What::Promotions(filter) => promotions(filter, session).await,
        What::Policies(Name { name }) => defined::<Policy>(name, session).await,
        What::Holds(Name { name }) => defined::<Hold>(name, session).await,
        What::Freezes(Name { name }) => defined::<Freeze>(name, session).await,
        What::Tasks(Name { name }) => defined::<Task>(name, session).await,
        What::Verifications(Name { name }) => defined::<Verification>(name, session).await,
    }
}

async fn projects(name: Option<String>, session: &Session) -> Result<(), Failure> {
    match name {
        Some(name) => show(&session.client.get::<Project>(&name, &name).await?, session),
        None => list(&session.client.list_all::<Project>("").await?, session),
    }
}

async fn defined<T>(name: Option<String>, session: &Session) -> Result<(), Failure>
where
    T: Object + Show + Serialize,
{
    let project = session.project()?;
    match name {
        Some(name) => show(&session.client.get::<T>(&project, &name).await?, session),
        None => list(&session.client.list_all::<T>(&project).await?, session),
    }
}

async fn freight(filter: FreightFilter, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    if let Some(freight) = filter.freight {
        return show::<Freight>(&session.client.freight(&project, &freight).await?, session);
    }
    let FreightFilter { limit, .. } = filter;
    let mut query = FreightQuery {
        warehouse: filter.warehouse,
        stage: filter.stage,
        verified_in: filter.verified_in,
        current_in: filter.current_in,
        version: filter.version,
        commit: filter.commit,
        digest: filter.digest,
        limit: Some(limit),
        ..FreightQuery::default()
    };
    let (mut found, most) = (Vec::new(), usize::try_from(limit).unwrap_or(usize::MAX));
    loop {
        let page = session.client.list_freight(&project, &query).await?;
        found.extend(page.items);
        query.page = page.next;
        if query.page.is_none() || found.len() >= most {
            break;
        }
    }
    let more = query.page.is_some() || found.len() > most;
    found.truncate(most);
    list(&found, session)?;
    say_if_more(more, limit, session)
}

async fn promotions(filter: PromotionFilter, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    if let Some(promotion) = filter.promotion {
        return show::<Promotion>(&session.client.promotion(&project, &promotion).await?, session);
    }
    let PromotionFilter { stage, active, limit, .. } = filter;
    let active = active.then_some(true);
    let query = PromotionQuery { stage, active, rehearsal: None, limit: Some(limit), page: None };
    let page = session.client.list_promotions(&project, &query).await?;
    list(&page.items, session)?;
    say_if_more(page.next.is_some(), limit, session)
}

fn say_if_more(more: bool, limit: u32, session: &Session) -> Result<(), Failure> {
    if more {
        session.out.note(format_args!("the newest {limit} are shown; --limit shows more"))?;
    }
    Ok(())
}

fn show<T: Show + Serialize>(object: &T, session: &Session) -> Result<(), Failure> {
    session.out.answer(object, |object| one(object, session.now))
}

fn list<T: Show + Serialize>(objects: &[T], session: &Session) -> Result<(), Failure> {
    session.out.answer(&objects, |objects| table_of(objects, session.now))
}
