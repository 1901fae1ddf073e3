//! Previews: what a change would do to live freight.
//!
//! The same question as of the same token is answered with the same bytes, because a client that
//! plans twice (once for people, once inside the apply) refuses an answer that changed. The first
//! answer is therefore kept, under a key made of the question and the token.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reconciler_api::problem::FieldProblem;
use reconciler_api::v1::{Definition as Asked, PAGE_LIMIT_DEFAULT, PreviewRequest};
use reconciler_domain::freight::FreightFilter;
use reconciler_domain::hold::Hold;
use reconciler_domain::id::ProjectName;
use reconciler_domain::policy::Policy;
use reconciler_domain::preview::{Change, Preview, World, preview as judge};
use reconciler_domain::promotion::Phase;
use reconciler_domain::snapshot::{Defined, Definitions, StageSnapshot};
use reconciler_domain::stage::Stage;
use reconciler_domain::warehouse::Warehouse;
use reconciler_store::{Page, Subject};
use sha2::{Digest as _, Sha256};

use super::Server;
use super::answer::{Answer, Json, name};
use super::auth::Caller;
use super::definitions::{Definition, definitions};
use crate::convert;

pub(super) async fn preview(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(project): Path<String>,
    Json(asked): Json<PreviewRequest>,
) -> Answer<Response> {
    let project: ProjectName = name(&project)?;
    let key = key(&project, &asked);
    if let Some(key) = &key
        && let Some(kept) = server.store.preview_get(key).await?
    {
        return Ok(json(kept));
    }
    let answer = answer(&server, &caller, &project, &asked).await?;
    let bytes = serde_json::to_vec(&answer).unwrap_or_default();
    let Some(key) = key else { return Ok(json(bytes)) };
    Ok(json(server.store.preview_put(&key, bytes, server.clock.now()).await?))
}

/// The key of a question; `None` without a token: then the answer is as of now, and not kept.
fn key(project: &ProjectName, asked: &PreviewRequest) -> Option<String> {
    asked.token?;
    let question = serde_json::to_vec(asked).unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update(project.as_str());
    hash.update([0]);
    hash.update(question);
    Some(format!("{project}/{}", URL_SAFE_NO_PAD.encode(hash.finalize())))
}

fn json(bytes: Vec<u8>) -> Response {
    let media_type = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, media_type)], bytes).into_response()
}

async fn answer(
    server: &Server,
    caller: &Caller,
    project: &ProjectName,
    asked: &PreviewRequest,
) -> Answer<reconciler_api::v1::Preview> {
    let definitions = definitions(server, project).await?;
    let (problems, change) = match &asked.definition {
        Asked::Policy(spec) => {
            let (problems, parsed) = parse::<Policy>(asked, spec, &definitions)?;
            (problems, parsed.map(|(name, policy)| Change::Policy(name, policy)))
        }
        Asked::Stage(spec) => {
            let (problems, parsed) = parse::<Stage>(asked, spec, &definitions)?;
            (problems, parsed.map(|(name, stage)| Change::Stage(name, stage)))
        }
        Asked::Hold(spec) => {
            let (problems, parsed) = parse::<Hold>(asked, spec, &definitions)?;
            let put = |spec| Defined {
                spec,
                generation: 0,
                changed_at: server.clock.now(),
                changed_by: caller.principal(),
            };
            (problems, parsed.map(|(name, hold)| Change::Hold(name, hold.map(put))))
        }
        // A warehouse changes what is found, never what found freight may do.
        Asked::Warehouse(spec) => (parse::<Warehouse>(asked, spec, &definitions)?.0, None),
    };
    let token = server.store.token(project, &[Subject::Project]).await?;
    let as_of = asked.token.map_or(token, |token| token.0);
    let judged = match change.filter(|_| problems.is_empty()) {
        Some(change) => {
            let world = world(server, project, Arc::unwrap_or_clone(definitions), &change).await?;
            judge(&world, &change, server.clock.now())
        }
        None => Preview::default(),
    };
    Ok(convert::preview(&judged, problems, as_of))
}

type Parsed<D> = (Vec<FieldProblem>, Option<(<D as Definition>::Name, Option<D>)>);

/// The definition as it would be, and what is wrong with it.
fn parse<D: Definition>(
    asked: &PreviewRequest,
    spec: &D::Spec,
    definitions: &Definitions,
) -> Answer<Parsed<D>> {
    let wanted: D::Name = name(&asked.name)?;
    if asked.remove {
        return Ok((Vec::new(), Some((wanted, None))));
    }
    Ok(match D::parse(wanted.clone(), spec) {
        Ok(definition) => (definition.check(definitions), Some((wanted, Some(definition)))),
        Err(problems) => (problems, None),
    })
}

/// The live world, as far as the change may reach.
async fn world(
    server: &Server,
    project: &ProjectName,
    definitions: Definitions,
    change: &Change,
) -> Answer<World> {
    let held: Vec<Hold> = match change {
        Change::Hold(name, new) => {
            let old = server.store.get_hold(project, name).await?.map(|old| old.spec);
            old.into_iter().chain(new.iter().map(|new| new.spec.clone())).collect()
        }
        Change::Policy(..) | Change::Stage(..) => Vec::new(),
    };
    let concerned = |stage: &Stage| match change {
        Change::Stage(name, _) => stage.name == *name,
        Change::Hold(..) => held.iter().any(|hold| hold.concerns(&stage.name)),
        Change::Policy(name, new) => {
            let old = definitions.policies.iter().find(|policy| policy.spec.name == *name);
            old.map(|old| &old.spec).into_iter().chain(new).any(|p| p.selects(&stage.name))
        }
    };
    let mut stages = Vec::new();
    let mut waiting = Vec::new();
    for stage in definitions.stages.values().filter(|stage| concerned(&stage.spec)) {
        let Some(mut found) = server.store.stage_snapshot(project, &stage.spec.name).await? else {
            continue;
        };
        if let Change::Stage(_, Some(new)) = change {
            newly_requested(server, project, new, &mut found.value).await?;
        }
        let at_gates = found.value.running.iter().filter(|run| run.phase == Phase::Waiting);
        for running in at_gates {
            let snapshot = server.store.promotion_snapshot(project, &running.promotion.id).await?;
            waiting.extend(snapshot.map(|snapshot| snapshot.value.0));
        }
        stages.push(found.value);
    }
    Ok(World { definitions, stages, waiting })
}

/// Adds the freight of warehouses that the stage does not request yet.
async fn newly_requested(
    server: &Server,
    project: &ProjectName,
    new: &Stage,
    snapshot: &mut StageSnapshot,
) -> Answer<()> {
    for request in &new.requests {
        if snapshot.stage.spec.request(&request.warehouse).is_some() {
            continue;
        }
        let newest = Page { after: None, limit: PAGE_LIMIT_DEFAULT };
        let of_warehouse = FreightFilter::of_warehouse(request.warehouse.clone());
        let found = server.store.list_freight(project, &of_warehouse, newest).await?;
        snapshot.freight.extend(found.items);
    }
    snapshot.freight.sort_by_key(|facts| facts.freight.sequence);
    Ok(())
}
