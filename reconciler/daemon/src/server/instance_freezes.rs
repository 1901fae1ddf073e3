//! Freezes of every project. Everybody may read them: everybody is stopped by them. Administrators put and
//! end them, and are told which promotions of which projects wait.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use reconciler_api::problem::Problem;
use reconciler_api::v1::{
    InstanceFreeze, InstanceFreezeSpec, Kind, ListQuery, Meta, Page, WorldToken,
};
use reconciler_domain::check::check_freeze;
use reconciler_domain::freeze::Freeze;
use reconciler_domain::id::FreezeName;
use reconciler_store::{Change, Outcome, Stored, Subject, WaitingAnywhere};

use super::Server;
use super::answer::{
    Answer, Json, Parameters, delete_refusal, name, precondition, put_refusal, store_precondition,
};
use super::auth::Caller;
use super::definitions::{freeze_runs, page_of};
use crate::convert::{
    field_problems, instance_freeze_spec, instance_freeze_status, parse_instance_freeze,
};

pub(super) async fn list(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Parameters(query): Parameters<ListQuery>,
) -> Answer<Json<Page<InstanceFreeze>>> {
    let listed = server.store.list_instance_freezes().await?;
    let (wanted, next) = page_of(&listed.items, &query, |stored| stored.spec.name.to_string())?;
    let answering = Answering::new(&server, &caller).await?;
    let mut items = Vec::with_capacity(wanted.len());
    for stored in wanted {
        items.push(answering.object(stored).await?);
    }
    Ok(Json(Page { items, next }))
}

pub(super) async fn read(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(wanted): Path<String>,
) -> Answer<Json<InstanceFreeze>> {
    let wanted: FreezeName = name(&wanted)?;
    let Some(stored) = server.store.get_instance_freeze(&wanted).await? else {
        return Err(Problem::not_found(Kind::InstanceFreeze.as_str(), wanted.as_str()).into());
    };
    Ok(Json(Answering::new(&server, &caller).await?.object(&stored).await?))
}

pub(super) async fn write(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(wanted): Path<String>,
    headers: HeaderMap,
    Json(spec): Json<InstanceFreezeSpec>,
) -> Answer<(StatusCode, Json<InstanceFreeze>)> {
    let wanted: FreezeName = name(&wanted)?;
    let precondition = precondition(&headers)?;
    let invalid = |errors| Problem::invalid(Kind::InstanceFreeze, wanted.as_str(), errors);
    let freeze = parse_instance_freeze(wanted.clone(), &spec).map_err(invalid)?;
    let problems = field_problems(check_freeze(&freeze));
    if !problems.is_empty() {
        return Err(invalid(problems).into());
    }
    let change = Change::by(&caller.principal(), server.clock.now())
        .precondition(store_precondition(precondition));
    let put = server.store.put_instance_freeze(&freeze, &change).await;
    let put = put
        .map_err(|error| put_refusal(Kind::InstanceFreeze, wanted.as_str(), precondition, error))?;
    let status = match put.outcome {
        Outcome::Created => StatusCode::CREATED,
        Outcome::Changed | Outcome::Unchanged => StatusCode::OK,
    };
    Ok((status, Json(Answering::new(&server, &caller).await?.object(&put.stored).await?)))
}

pub(super) async fn remove(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(wanted): Path<String>,
    headers: HeaderMap,
) -> Answer<StatusCode> {
    let wanted: FreezeName = name(&wanted)?;
    let precondition = precondition(&headers)?;
    let change = Change::by(&caller.principal(), server.clock.now())
        .precondition(store_precondition(precondition));
    let ended = server.store.delete_instance_freeze(&wanted, &change).await;
    ended.map_err(|error| {
        delete_refusal(Kind::InstanceFreeze, wanted.as_str(), precondition, error)
    })?;
    Ok(StatusCode::NO_CONTENT)
}

/// One answer, with what it reads once for all that it tells.
struct Answering<'a> {
    server: &'a Server,
    is_admin: bool,
    waiting: Vec<WaitingAnywhere>,
}

impl<'a> Answering<'a> {
    async fn new(server: &'a Server, caller: &Caller) -> Answer<Self> {
        let waiting = server.store.waiting_anywhere().await?;
        Ok(Self { server, is_admin: caller.0.admin, waiting })
    }

    async fn object(&self, stored: &Stored<Freeze>) -> Answer<InstanceFreeze> {
        let freeze = &stored.spec;
        let subject = Subject::InstanceFreeze(freeze.name.clone());
        let token = self.server.store.instance_token(&subject).await?;
        let now = self.server.clock.now();
        let status = instance_freeze_status(freeze, &self.waiting, self.is_admin, now);
        let meta = Meta {
            project: String::new(),
            name: freeze.name.to_string(),
            id: freeze.name.to_string(),
            generation: stored.generation,
            token: WorldToken(token),
            conditions: vec![freeze_runs(status.active, status.begins_at)],
            created_at: stored.created_at,
            changed_at: stored.changed_at,
            changed_by: stored.changed_by.to_string(),
        };
        Ok(InstanceFreeze { meta, spec: instance_freeze_spec(freeze), status })
    }
}
