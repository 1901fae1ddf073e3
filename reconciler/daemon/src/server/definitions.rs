//! Reading and writing definitions: projects, warehouses, stages, tasks, verifications,
//! policies, holds, freezes, credentials.
//!
//! One set of handlers serves all kinds that live in a project; what differs is in
//! [`Definition`], one implementation per kind. A write is parsed, checked against the rest of the
//! project as one snapshot shows it, and stored only if that snapshot is still the newest.

mod freeze;
mod kinds;
pub(super) mod project;

pub(super) use freeze::freeze_runs;
pub(super) use kinds::stage_conditions;

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use reconciler_api::problem::{FieldProblem, Problem};
use reconciler_api::v1::{
    self, Kind, ListQuery, Meta, Object, PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX, Page, Precondition,
    RenamePolicy, WorldToken,
};
use reconciler_domain::id::{NameError, PolicyName, Principal, ProjectName, WarehouseName};
use reconciler_domain::snapshot::Definitions;
use reconciler_domain::warehouse::Warehouse;
use reconciler_store::{
    Change, DeleteError, Listed, Outcome, Put, PutError, RefreshError, RenameError, Store,
    StoreError, Stored, Subject, Whereabouts,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use super::Server;
use super::answer::{
    Answer, Json, Parameters, busy, delete_refusal, name, precondition, put_refusal,
    store_precondition,
};
use super::auth::Caller;

/// Times that a write is checked again because the project changed in between.
pub(super) const ATTEMPTS_MAX: u32 = 5;

/// A kind of object that lives in a project.
pub(super) trait Definition: Sized + Send + Sync + 'static {
    /// Its name.
    type Name: std::str::FromStr<Err = NameError> + std::fmt::Display + Clone + Send + Sync;
    /// What clients send.
    type Spec: DeserializeOwned + Send + Sync;
    /// What clients get.
    type Wire: Object + Serialize;
    /// Which kind it is on the wire.
    const KIND: Kind;

    /// Reads it, with every problem.
    fn parse(name: Self::Name, spec: &Self::Spec) -> Result<Self, Vec<FieldProblem>>;
    /// Checks it against the rest of its project.
    fn check(&self, definitions: &Definitions) -> Vec<FieldProblem>;
    /// Its name.
    fn name(&self) -> &Self::Name;
    /// What events matter to it: its token is the last of them.
    fn subjects(&self, definitions: &Definitions) -> Vec<Subject>;
    /// Writes it.
    fn put(
        &self,
        store: &Store,
        project: &ProjectName,
        change: &Change,
    ) -> impl Future<Output = Result<Put<Self>, PutError>> + Send;
    /// Reads it.
    fn get(
        store: &Store,
        project: &ProjectName,
        name: &Self::Name,
    ) -> impl Future<Output = Result<Option<Stored<Self>>, StoreError>> + Send;
    /// Reads all of them.
    fn list(
        store: &Store,
        project: &ProjectName,
    ) -> impl Future<Output = Result<Listed<Stored<Self>>, StoreError>> + Send;
    /// Removes it.
    fn delete(
        store: &Store,
        project: &ProjectName,
        name: &Self::Name,
        change: &Change,
    ) -> impl Future<Output = Result<(), DeleteError>> + Send;
    /// Says it on the wire, with its status.
    fn wire(
        answering: &Answering<'_>,
        meta: Meta,
        stored: &Self,
    ) -> impl Future<Output = Answer<Self::Wire>> + Send;
}

pub(super) async fn list<D: Definition>(
    State(server): State<Server>,
    Path(project): Path<String>,
    Parameters(query): Parameters<ListQuery>,
) -> Answer<Json<Page<D::Wire>>> {
    let project: ProjectName = name(&project)?;
    let definitions = definitions(&server, &project).await?;
    let listed = D::list(&server.store, &project).await?;
    let (wanted, next) = page_of(&listed.items, &query, |stored| stored.spec.name().to_string())?;
    let mut items = Vec::with_capacity(wanted.len());
    let answering = Answering::new(&server, &project, &definitions);
    for stored in wanted {
        items.push(answering.object(stored).await?);
    }
    Ok(Json(Page { items, next }))
}

/// The part of a list, which is sorted by name, that is one page: it begins behind the name that
/// the page before ended with, whether or not that is still there.
pub(super) fn page_of<'l, T>(
    listed: &'l [T],
    query: &ListQuery,
    name: impl Fn(&T) -> String,
) -> Answer<(&'l [T], Option<String>)> {
    let limit = query.limit.unwrap_or(PAGE_LIMIT_DEFAULT);
    if limit == 0 {
        return Err(Problem::malformed("limit is at least 1, not 0").into());
    }
    let after = query.page.as_deref();
    let start = after.map_or(0, |after| listed.partition_point(|it| name(it).as_str() <= after));
    let rest = &listed[start..];
    let limit = usize::try_from(limit.min(PAGE_LIMIT_MAX)).unwrap_or(usize::MAX);
    if rest.len() <= limit {
        return Ok((rest, None));
    }
    let page = &rest[..limit];
    Ok((page, page.last().map(name)))
}

pub(super) async fn read<D: Definition>(
    State(server): State<Server>,
    Path((project, wanted)): Path<(String, String)>,
) -> Answer<Json<D::Wire>> {
    let (project, wanted): (ProjectName, D::Name) = (name(&project)?, name(&wanted)?);
    let definitions = definitions(&server, &project).await?;
    let Some(stored) = D::get(&server.store, &project, &wanted).await? else {
        let id = format!("{project}/{wanted}");
        return Err(Problem::not_found(D::KIND.as_str(), &id).into());
    };
    Ok(Json(Answering::new(&server, &project, &definitions).object(&stored).await?))
}

pub(super) async fn write<D: Definition>(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path((project, wanted)): Path<(String, String)>,
    headers: HeaderMap,
    Json(spec): Json<D::Spec>,
) -> Answer<(StatusCode, Json<D::Wire>)> {
    let (project, wanted): (ProjectName, D::Name) = (name(&project)?, name(&wanted)?);
    let precondition = precondition(&headers)?;
    let invalid = |errors| Problem::invalid(D::KIND, &wanted.to_string(), errors);
    let definition = D::parse(wanted.clone(), &spec).map_err(invalid)?;
    let put =
        put_checked(&server, &project, &definition, precondition, &caller.principal()).await?;
    let status = match put.outcome {
        Outcome::Created => StatusCode::CREATED,
        Outcome::Changed | Outcome::Unchanged => StatusCode::OK,
    };
    let definitions = definitions(&server, &project).await?;
    let answering = Answering::new(&server, &project, &definitions);
    Ok((status, Json(answering.object(&put.stored).await?)))
}

/// Checks against one snapshot and writes only if it is still the newest.
async fn put_checked<D: Definition>(
    server: &Server,
    project: &ProjectName,
    definition: &D,
    precondition: Precondition,
    by: &Principal,
) -> Answer<Put<D>> {
    let _turn = server.turns.take(project).await;
    for _ in 0..ATTEMPTS_MAX {
        let Some(snapshot) = server.store.definitions(project).await? else {
            return Err(Problem::not_found("project", project.as_str()).into());
        };
        let problems = definition.check(&snapshot.value);
        if !problems.is_empty() {
            let wanted = definition.name().to_string();
            return Err(Problem::invalid(D::KIND, &wanted, problems).into());
        }
        let change = Change::by(by, server.clock.now())
            .precondition(store_precondition(precondition))
            .revision(snapshot.revision);
        match definition.put(&server.store, project, &change).await {
            Ok(put) => return Ok(put),
            Err(PutError::Moved { .. }) => {}
            Err(error) => {
                let id = format!("{project}/{}", definition.name());
                return Err(put_refusal(D::KIND, &id, precondition, error));
            }
        }
    }
    Err(busy())
}

pub(super) async fn remove<D: Definition>(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path((project, wanted)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer<StatusCode> {
    let (project, wanted): (ProjectName, D::Name) = (name(&project)?, name(&wanted)?);
    let precondition = precondition(&headers)?;
    let by = caller.principal();
    let change = Change::by(&by, server.clock.now()).precondition(store_precondition(precondition));
    match D::delete(&server.store, &project, &wanted, &change).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => {
            Err(delete_refusal(D::KIND, &format!("{project}/{wanted}"), precondition, error))
        }
    }
}

/// One answer about objects of a project, with what it reads once for all of them.
pub(super) struct Answering<'a> {
    server: &'a Server,
    project: &'a ProjectName,
    definitions: &'a Definitions,
    whereabouts: OnceCell<Whereabouts>,
}

impl<'a> Answering<'a> {
    pub(super) fn new(
        server: &'a Server,
        project: &'a ProjectName,
        definitions: &'a Definitions,
    ) -> Self {
        Self { server, project, definitions, whereabouts: OnceCell::new() }
    }

    /// Where the freight of the project is.
    async fn whereabouts(&self) -> Result<&Whereabouts, StoreError> {
        self.whereabouts.get_or_try_init(|| self.server.store.whereabouts(self.project)).await
    }

    /// An object as clients get it.
    pub(super) async fn object<D: Definition>(&self, stored: &Stored<D>) -> Answer<D::Wire> {
        let Self { server, project, definitions, .. } = *self;
        let subjects = stored.spec.subjects(definitions);
        let token = server.store.token(project, &subjects).await?;
        let meta = Meta {
            project: project.to_string(),
            name: stored.spec.name().to_string(),
            id: format!("{project}/{}", stored.spec.name()),
            generation: stored.generation,
            token: WorldToken(token),
            conditions: Vec::new(),
            created_at: stored.created_at,
            changed_at: stored.changed_at,
            changed_by: stored.changed_by.to_string(),
        };
        D::wire(self, meta, &stored.spec).await
    }
}

/// The definitions of a project that exists.
pub(super) async fn definitions(
    server: &Server,
    project: &ProjectName,
) -> Answer<Arc<Definitions>> {
    match server.store.definitions(project).await? {
        Some(known) => Ok(Arc::clone(&known.value)),
        None => Err(Problem::not_found("project", project.as_str()).into()),
    }
}

pub(super) async fn refresh(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path((project, wanted)): Path<(String, String)>,
) -> Answer<(StatusCode, Json<v1::Warehouse>)> {
    let (parsed, warehouse): (ProjectName, WarehouseName) = (name(&project)?, name(&wanted)?);
    let by = caller.principal();
    match server.store.ask_refresh(&parsed, &warehouse, &by, server.clock.now()).await {
        Ok(()) => {}
        Err(RefreshError::NotFound { .. }) => {
            let id = format!("{parsed}/{warehouse}");
            return Err(Problem::not_found(Kind::Warehouse.as_str(), &id).into());
        }
        Err(RefreshError::Store(error)) => return Err(error.into()),
    }
    let answer = read::<Warehouse>(State(server), Path((project, wanted))).await?;
    Ok((StatusCode::ACCEPTED, answer))
}

pub(super) async fn rename(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path((project, from)): Path<(String, String)>,
    headers: HeaderMap,
    Json(RenamePolicy { to }): Json<RenamePolicy>,
) -> Answer<Json<v1::Policy>> {
    let project: ProjectName = name(&project)?;
    let (from, to): (PolicyName, PolicyName) = (name(&from)?, name(&to)?);
    let precondition = precondition(&headers)?;
    let by = caller.principal();
    let change = Change::by(&by, server.clock.now()).precondition(store_precondition(precondition));
    let id = format!("{project}/{from}");
    let stored = match server.store.rename_policy(&project, &from, &to, &change).await {
        Ok(stored) => stored,
        Err(RenameError::NotFound { .. }) => {
            return Err(Problem::not_found(Kind::Policy.as_str(), &id).into());
        }
        Err(RenameError::AlreadyExists { .. }) => {
            return Err(Problem::already_exists(Kind::Policy, &format!("{project}/{to}")).into());
        }
        Err(RenameError::Conflict { what, name, generation, changed_by, changed_at }) => {
            let conflict = PutError::Conflict { what, name, generation, changed_by, changed_at };
            return Err(put_refusal(Kind::Policy, &id, precondition, conflict));
        }
        Err(RenameError::Moved { .. }) => return Err(busy()),
        Err(RenameError::Store(error)) => return Err(error.into()),
    };
    let definitions = definitions(&server, &project).await?;
    Ok(Json(Answering::new(&server, &project, &definitions).object(&stored).await?))
}

#[cfg(test)]
mod tests {
    use reconciler_api::v1::{ListQuery, PAGE_LIMIT_MAX};

    use super::page_of;

    /// The pages of so many objects, as first and last name, with these limits.
    fn pages(count: u32, limit: Option<u32>) -> Vec<(usize, Option<String>)> {
        let names: Vec<String> = (0..count).map(|n| format!("n{n:04}")).collect();
        let mut query = ListQuery { limit, page: None };
        let mut pages = Vec::new();
        let mut seen = Vec::new();
        loop {
            let Ok((page, next)) = page_of(&names, &query, String::clone) else { return pages };
            seen.extend_from_slice(page);
            pages.push((page.len(), next.clone()));
            query.page = next;
            if query.page.is_none() {
                assert_eq!(seen, names, "each once");
                return pages;
            }
        }
    }

    #[test]
    fn a_list_comes_in_pages() {
        let end = |count| (count, None);
        let next = |count, name: &str| (count, Some(name.to_owned()));
        assert_eq!(pages(0, None), [end(0)]);
        assert_eq!(pages(100, None), [end(100)], "no empty page at the end");
        assert_eq!(pages(101, None), [next(100, "n0099"), end(1)]);
        assert_eq!(pages(3, Some(2)), [next(2, "n0001"), end(1)]);
        assert_eq!(pages(PAGE_LIMIT_MAX + 1, Some(u32::MAX)).len(), 2, "a larger wish is cut");
        assert_eq!(pages(1, Some(0)), []);
    }

    #[test]
    fn a_page_begins_behind_a_name_that_is_gone() {
        let names = ["a", "c"].map(str::to_owned);
        let query = ListQuery { limit: None, page: Some("b".to_owned()) };
        let page = page_of(&names, &query, String::clone).ok().map(|(page, _)| page.to_vec());
        assert_eq!(page, Some(vec!["c".to_owned()]));
    }
}
