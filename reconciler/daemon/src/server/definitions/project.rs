//! Projects, which live in none.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use reconciler_api::problem::Problem;
use reconciler_api::v1::{self, Kind, ListQuery, Meta, Page, ProjectSpec, WorldToken};
use reconciler_domain::id::ProjectName;
use reconciler_store::{Change, Outcome, Project, Stored, Subject};

use super::super::Server;
use super::super::answer::{
    Answer, Json, Parameters, delete_refusal, name, precondition, put_refusal, store_precondition,
};
use super::super::auth::Caller;
use super::page_of;

pub(in crate::server) async fn list(
    State(server): State<Server>,
    Parameters(query): Parameters<ListQuery>,
) -> Answer<Json<Page<v1::Project>>> {
    let listed = server.store.list_projects().await?;
    let (wanted, next) = page_of(&listed.items, &query, |stored| stored.spec.name.to_string())?;
    let mut items = Vec::with_capacity(wanted.len());
    for stored in wanted {
        items.push(wire(&server, stored).await?);
    }
    Ok(Json(Page { items, next }))
}

pub(in crate::server) async fn read(
    State(server): State<Server>,
    Path(project): Path<String>,
) -> Answer<Json<v1::Project>> {
    let project: ProjectName = name(&project)?;
    match server.store.get_project(&project).await? {
        Some(stored) => Ok(Json(wire(&server, &stored).await?)),
        None => Err(Problem::not_found(Kind::Project.as_str(), project.as_str()).into()),
    }
}

pub(in crate::server) async fn write(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(project): Path<String>,
    headers: HeaderMap,
    Json(spec): Json<ProjectSpec>,
) -> Answer<(StatusCode, Json<v1::Project>)> {
    let project: ProjectName = name(&project)?;
    let precondition = precondition(&headers)?;
    let by = caller.principal();
    let change = Change::by(&by, server.clock.now()).precondition(store_precondition(precondition));
    let ProjectSpec { description, labels, deletion_protection } = spec;
    let wanted = Project { name: project.clone(), description, labels, deletion_protection };
    let put = server.store.put_project(&wanted, &change).await;
    let put =
        put.map_err(|error| put_refusal(Kind::Project, project.as_str(), precondition, error))?;
    let status = match put.outcome {
        Outcome::Created => StatusCode::CREATED,
        Outcome::Changed | Outcome::Unchanged => StatusCode::OK,
    };
    Ok((status, Json(wire(&server, &put.stored).await?)))
}

pub(in crate::server) async fn remove(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(project): Path<String>,
    headers: HeaderMap,
) -> Answer<StatusCode> {
    let project: ProjectName = name(&project)?;
    let precondition = precondition(&headers)?;
    let by = caller.principal();
    let change = Change::by(&by, server.clock.now()).precondition(store_precondition(precondition));
    let removed = server.store.delete_project(&project, &change).await;
    removed
        .map_err(|error| delete_refusal(Kind::Project, project.as_str(), precondition, error))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn wire(server: &Server, stored: &Stored<Project>) -> Answer<v1::Project> {
    let project = &stored.spec;
    let token = server.store.token(&project.name, &[Subject::Project]).await?;
    Ok(v1::Project {
        meta: Meta {
            project: project.name.to_string(),
            name: project.name.to_string(),
            id: project.name.to_string(),
            generation: stored.generation,
            token: WorldToken(token),
            conditions: Vec::new(),
            created_at: stored.created_at,
            changed_at: stored.changed_at,
            changed_by: stored.changed_by.to_string(),
        },
        spec: ProjectSpec {
            description: project.description.clone(),
            labels: project.labels.clone(),
            deletion_protection: project.deletion_protection,
        },
    })
}
