//! Previews: what a change, or several together, would do to live freight.
//!
//! The same question about one change as of the same token is answered with the same bytes, because a client that
//! plans twice (once for people, once inside the apply) refuses an answer that changed. The first
//! answer is therefore kept, under a key made of the question and the token.

mod set;
mod world;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reconciler_api::problem::Problem;
use reconciler_api::v1::{PREVIEW_TIME_MAX, PreviewQuestion, PreviewRequest};
use reconciler_domain::id::ProjectName;
use reconciler_domain::preview::{Changes, Preview, preview as judge};
use reconciler_store::Subject;
use sha2::{Digest as _, Sha256};

use super::Server;
use super::answer::{Answer, Json, name};
use super::auth::Caller;
use super::definitions::definitions;
use crate::convert;

pub(super) async fn preview(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(project): Path<String>,
    Json(asked): Json<PreviewQuestion>,
) -> Answer<Response> {
    let project: ProjectName = name(&project)?;
    let asked = match asked {
        PreviewQuestion::One(asked) => asked,
        PreviewQuestion::Set(set) => {
            let answer = set::answer(&server, &caller, &project, &set).await?;
            return Ok(json(serde_json::to_vec(&answer).unwrap_or_default()));
        }
    };
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

/// Judges on a thread of its own: the world of many stages takes a while, in which others are answered.
async fn aside<T: Send + 'static>(judge: impl FnOnce() -> T + Send + 'static) -> Answer<T> {
    let judging = tokio::task::spawn_blocking(judge);
    match tokio::time::timeout(PREVIEW_TIME_MAX, judging).await {
        Ok(Ok(judged)) => Ok(judged),
        Ok(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Ok(Err(_)) => Err(Problem::unavailable("lockstepd is about to stop").into()),
        Err(_) => {
            let seconds = PREVIEW_TIME_MAX.as_secs();
            let detail =
                format!("the preview took longer than {seconds} seconds; ask for fewer changes");
            Err(Problem::unavailable(detail).into())
        }
    }
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
    let parsed = set::parse(&asked.name, &asked.definition, asked.remove)?;
    let (problems, change) = match parsed {
        Ok(change) => (set::check(&change, &definitions), Some(change)),
        Err(problems) => (problems, None),
    };
    let token = server.store.token(project, &[Subject::Project]).await?;
    let as_of = asked.token.map_or(token, |token| token.0);
    let judged = match change.filter(|_| problems.is_empty()) {
        Some(change) => {
            let changes = Changes::new(caller.principal(), vec![change]);
            let now = server.clock.now();
            let world = world::load(server, project, definitions, &changes).await?;
            aside(move || judge(&world, &changes, now)).await?
        }
        None => Preview::default(),
    };
    Ok(convert::preview(&judged, problems, as_of))
}
