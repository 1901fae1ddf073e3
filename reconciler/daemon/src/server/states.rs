//! Embedded states: what people see of them, and the backend `http` of OpenTofu and Terraform.
//!
//! The tools' own protocol is plain HTTP: `GET`, `POST` and `DELETE` of a state, and `LOCK` and `UNLOCK`, which are
//! served as `POST` and `DELETE` of its `lock`. A refusal for a lock is the lock itself, as its holder described it.

use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use reconciler_api::problem::{Problem, ProblemCode};
use reconciler_api::v1::{
    EmbeddedState, RestoreState, StateLock, StateQuery, StateVersion, StateWriteQuery, UnlockState,
};
use reconciler_domain::id::{Principal, ProjectName, StageName};
use reconciler_effects::states::{self, StateError, StateName};
use reconciler_store::StateDeed;
use serde_json::{Value, json};

use super::Server;
use super::answer::{Answer, Json, Parameters, Refusal, name};
use super::auth::Caller;
use crate::convert;

/// How often, and how long apart, a state is looked at that a run is writing.
const LOOKS: u32 = 20;
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The segments of `/v1/projects/{project}/stages/{stage}/states/{state}`.
const OF_A_STATE: usize = 7;

/// The path of a state: project, stage, name.
type Of = Path<(String, String, String)>;

/// `LOCK` and `UNLOCK` are other words for what has a path of its own.
pub(super) fn plain_method(mut request: Request) -> Request {
    let method = match request.method().as_str() {
        "LOCK" => Method::POST,
        "UNLOCK" => Method::DELETE,
        _ => return request,
    };
    let path = request.uri().path().trim_end_matches('/');
    // A state may have the name `lock`, so the end of the path says nothing.
    let end = if path.matches('/').count() > OF_A_STATE { "" } else { "/lock" };
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    if let Ok(uri) = format!("{path}{end}{query}").parse::<Uri>() {
        *request.uri_mut() = uri;
        *request.method_mut() = method;
    }
    request
}

pub(super) async fn list(
    State(server): State<Server>,
    Path(project): Path<String>,
) -> Answer<Json<Vec<EmbeddedState>>> {
    let project: ProjectName = name(&project)?;
    if !server.store.is_defined(&project, None).await? {
        return Err(Problem::not_found("project", project.as_str()).into());
    }
    let listed = server.states.work(move |states| states.list(&project)).await;
    let states = listed.map_err(|error| refusal(&error))?;
    Ok(Json(states.iter().map(convert::embedded_state).collect()))
}

pub(super) async fn read(
    State(server): State<Server>,
    Path(of): Of,
    Parameters(StateQuery { workspace }): Parameters<StateQuery>,
) -> Answer<Response> {
    let of = find(&server, &of, workspace.as_deref()).await?;
    for look in 1.. {
        let wanted = of.clone();
        match server.states.work(move |states| states.read_current(&wanted)).await {
            Ok(Some(bytes)) => return Ok(state(bytes)),
            Ok(None) => return Err(Problem::not_found("state", &of.to_string()).into()),
            Err(StateError::NoState { .. } | StateError::Unsettled { .. }) if look < LOOKS => {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            Err(error) => return Err(refusal(&error)),
        }
    }
    unreachable!("the loop ends by its last look")
}

pub(super) async fn write(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(of): Of,
    Parameters(StateWriteQuery { workspace, id }): Parameters<StateWriteQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Response> {
    let of = find(&server, &of, workspace.as_deref()).await?;
    arrived_whole(&headers, &body)?;
    let (who, at, wanted) = (caller.principal(), server.clock.now(), of.clone());
    let by = who.clone();
    let written = server
        .states
        .work(move |states| states.receive(&wanted, &body, id.as_deref(), &by, at))
        .await;
    let version = match written {
        Err(StateError::Locked { held, .. }) => return Ok(locked(&held)),
        written => written.map_err(|error| refusal(&error))?,
    };
    let (number, serial) = (version.number, version.serial);
    let summary = format!("{who} wrote the state of {of}: version {number}, serial {serial}");
    let body = json!({ "version": number, "serial": serial, "sha256": version.sha256 });
    tell(&server, &of, "state.written", &who, summary, body).await?;
    Ok(Json(convert::state_version(&version)).into_response())
}

pub(super) async fn remove(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(of): Of,
    Parameters(StateWriteQuery { workspace, id }): Parameters<StateWriteQuery>,
) -> Answer<Response> {
    let of = find(&server, &of, workspace.as_deref()).await?;
    let (at, wanted) = (server.clock.now(), of.clone());
    let who = caller.principal();
    let by = who.clone();
    let removed =
        server.states.work(move |states| states.remove(&wanted, id.as_deref(), &by, at)).await;
    let kept = match removed {
        Err(StateError::Locked { held, .. }) => return Ok(locked(&held)),
        removed => removed.map_err(|error| refusal(&error))?.map(|kept| kept.number),
    };
    let summary = format!("{who} removed the state of {of}");
    tell(&server, &of, "state.removed", &who, summary, json!({ "kept": kept })).await?;
    Ok(StatusCode::OK.into_response())
}

pub(super) async fn lock(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(of): Of,
    Parameters(StateQuery { workspace }): Parameters<StateQuery>,
    body: Bytes,
) -> Answer<Response> {
    let of = find(&server, &of, workspace.as_deref()).await?;
    let lock = states::StateLock::of_client(&body, &caller.principal(), server.clock.now());
    let lock = lock.map_err(Problem::malformed)?;
    match server.states.work(move |states| states.lock(&of, &lock)).await {
        Ok(()) => Ok(StatusCode::OK.into_response()),
        Err(StateError::Locked { held, .. }) => Ok(locked(&held)),
        Err(error) => Err(refusal(&error)),
    }
}

/// Without a body it is `force-unlock`, which tells no id.
pub(super) async fn end_lock(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(of): Of,
    Parameters(StateQuery { workspace }): Parameters<StateQuery>,
    body: Bytes,
) -> Answer<Response> {
    let of = find(&server, &of, workspace.as_deref()).await?;
    let who = caller.principal();
    let id = if body.trim_ascii().is_empty() {
        None
    } else {
        let lock = states::StateLock::of_client(&body, &who, server.clock.now());
        Some(lock.map_err(Problem::malformed)?.id)
    };
    let held = holder(&server, &of).await?;
    if let Some(held) = &held
        && let Some(reason) = without_a_reason(held, id.as_deref(), &who)
    {
        taken_away(&server, &of, &who, held, reason).await?;
    }
    // The one that was recorded, and no other that came since.
    let id = id.or_else(|| held.map(|held| held.id));
    match server.states.work(move |states| states.unlock(&of, id.as_deref())).await {
        Ok(_) => Ok(StatusCode::OK.into_response()),
        Err(StateError::Locked { held, .. }) => Ok(locked(&held)),
        Err(error) => Err(refusal(&error)),
    }
}

pub(super) async fn unlock(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(of): Of,
    Parameters(StateQuery { workspace }): Parameters<StateQuery>,
    Json(UnlockState { id, reason }): Json<UnlockState>,
) -> Answer<Json<StateLock>> {
    let of = find(&server, &of, workspace.as_deref()).await?;
    given(&reason, "taking a lock away")?;
    let held = holder(&server, &of).await?;
    if let Some(held) = held.filter(|held| held.id == id && held.may_be_taken_away()) {
        taken_away(&server, &of, &caller.principal(), &held, &reason).await?;
    }
    let gone = server.states.work(move |states| states.unlock(&of, Some(&id))).await;
    Ok(Json(convert::state_lock(&gone.map_err(|error| refusal(&error))?)))
}

pub(super) async fn versions(
    State(server): State<Server>,
    Path(of): Of,
    Parameters(StateQuery { workspace }): Parameters<StateQuery>,
) -> Answer<Json<Vec<StateVersion>>> {
    let of = find(&server, &of, workspace.as_deref()).await?;
    let versions = server.states.work(move |states| states.versions(&of)).await;
    Ok(Json(
        versions.map_err(|error| refusal(&error))?.iter().map(convert::state_version).collect(),
    ))
}

pub(super) async fn read_version(
    State(server): State<Server>,
    Path((project, stage, name, number)): Path<(String, String, String, u64)>,
    Parameters(StateQuery { workspace }): Parameters<StateQuery>,
) -> Answer<Response> {
    let of = find(&server, &(project, stage, name), workspace.as_deref()).await?;
    let content = server.states.work(move |states| states.content(&of, number)).await;
    Ok(state(content.map_err(|error| refusal(&error))?))
}

pub(super) async fn restore(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(of): Of,
    Parameters(StateQuery { workspace }): Parameters<StateQuery>,
    Json(RestoreState { version, reason }): Json<RestoreState>,
) -> Answer<Json<StateVersion>> {
    let of = find(&server, &of, workspace.as_deref()).await?;
    given(&reason, "restoring a state")?;
    let (who, at, wanted) = (caller.principal(), server.clock.now(), of.clone());
    let by = who.clone();
    let why = reason.clone();
    let restored = server
        .states
        .work(move |states| states.restore(&wanted, version, &by, &why, at))
        .await
        .map_err(|error| refusal(&error))?;
    let number = restored.number;
    let summary =
        format!("{who} restored version {version} of the state of {of} as {number}: {reason}");
    let body =
        json!({ "from": version, "version": number, "serial": restored.serial, "reason": reason });
    tell(&server, &of, "state.restored", &who, summary, body).await?;
    Ok(Json(convert::state_version(&restored)))
}

/// The state of a stage that is defined, by project, stage and name.
async fn find(
    server: &Server,
    (project, stage, state): &(String, String, String),
    workspace: Option<&str>,
) -> Answer<StateName> {
    let (project, stage): (ProjectName, StageName) = (name(project)?, name(stage)?);
    if !server.store.is_defined(&project, Some(&stage)).await? {
        return Err(Problem::not_found("stage", &format!("{project}/{stage}")).into());
    }
    StateName::new(&project, &stage, state, workspace).ok_or_else(|| {
        let detail = "a state has a name of at most 200 bytes, and a workspace of letters, digits, `-`, `_` and `.`";
        Refusal::from(Problem::malformed(detail))
    })
}

/// The lock of a state, if somebody has it.
async fn holder(server: &Server, of: &StateName) -> Answer<Option<states::StateLock>> {
    let of = of.clone();
    let held = server.states.work(move |states| states.locked(&of)).await;
    held.map_err(|error| refusal(&error))
}

fn given(reason: &str, deed: &str) -> Answer<()> {
    if reason.trim().is_empty() {
        let detail = format!("{deed} needs a reason");
        return Err(Problem::new(ProblemCode::Invalid, detail).into());
    }
    Ok(())
}

/// What is recorded of a lock that is taken away in the tools' own words; absent: it is the caller's own, or it is
/// not taken away.
fn without_a_reason(
    held: &states::StateLock,
    id: Option<&str>,
    who: &Principal,
) -> Option<&'static str> {
    if !held.may_be_taken_away() {
        return None;
    }
    match id {
        None => Some("by force-unlock of the tool"),
        Some(id) if id == held.id && !held.is_of(who) => Some("by its id, with the tool"),
        Some(_) => None,
    }
}

/// Records that a lock is taken away, before it is.
async fn taken_away(
    server: &Server,
    of: &StateName,
    who: &Principal,
    held: &states::StateLock,
    reason: &str,
) -> Answer<()> {
    let summary = format!("{who} unlocked the state of {of}, held by {}: {reason}", held.who);
    let body = json!({ "lock": held.id, "held_by": held.who, "reason": reason });
    tell(server, of, "state.unlocked", who, summary, body).await
}

async fn tell(
    server: &Server,
    of: &StateName,
    kind: &'static str,
    by: &Principal,
    summary: String,
    mut body: Value,
) -> Answer<()> {
    body["state"] = json!({ "name": of.name(), "workspace": of.workspace() });
    let (project, stage) = (of.project.clone(), of.stage.clone());
    let (by, at) = (by.clone(), server.clock.now());
    let deed = StateDeed { project, stage, kind, by, summary, body, at };
    Ok(server.store.record_state_deed(deed).await?)
}

/// Compares what arrived with what the sender says of it.
fn arrived_whole(headers: &HeaderMap, body: &[u8]) -> Answer<()> {
    let Some(said) = headers.get("content-md5") else { return Ok(()) };
    let found = STANDARD.encode(Md5::digest(body));
    if said.as_bytes() == found.as_bytes() {
        return Ok(());
    }
    Err(Problem::malformed("the state did not arrive as it was sent: its Content-MD5 differs")
        .into())
}

/// A state as an answer, for nobody else to keep.
fn state(bytes: Vec<u8>) -> Response {
    let json = HeaderValue::from_static("application/json");
    let never = HeaderValue::from_static("no-store");
    ([(header::CONTENT_TYPE, json), (header::CACHE_CONTROL, never)], bytes).into_response()
}

/// The lock of another, in the words of the infra tools.
fn locked(held: &states::StateLock) -> Response {
    (StatusCode::LOCKED, axum::Json(held.info())).into_response()
}

fn refusal(error: &StateError) -> Refusal {
    let code = match error {
        StateError::Locked { .. } | StateError::Unsettled { .. } => ProblemCode::StateLocked,
        StateError::Gone { .. }
        | StateError::NotLocked { .. }
        | StateError::LockLost { .. }
        | StateError::NoSuccessor { .. } => ProblemCode::StateConflict,
        StateError::NoVersion { .. } => ProblemCode::NotFound,
        StateError::TooLarge { .. } => ProblemCode::TooLarge,
        StateError::NoState { .. } => ProblemCode::Invalid,
        StateError::Files(_)
        | StateError::Damaged { .. }
        | StateError::Closed { .. }
        | StateError::Unsealed { .. } => {
            tracing::error!(%error, "a state cannot be served");
            ProblemCode::Internal
        }
    };
    Refusal::from(Problem::new(code, error.to_string()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use axum::body::Body;

    use super::*;

    fn check(method: &str, uri: &str, expect: (&str, &str)) {
        let request = Request::builder().method(method).uri(uri).body(Body::empty()).unwrap();
        let plain = plain_method(request);
        assert_eq!((plain.method().as_str(), plain.uri().to_string().as_str()), expect);
    }

    #[test]
    fn methods_of_the_tools_are_other_words() {
        let of = |rest: &str| format!("/v1/projects/shop/stages/prod/states/{rest}");
        check("LOCK", &of("db?workspace=a"), ("POST", &of("db/lock?workspace=a")));
        check("UNLOCK", &of("a%2Fb/lock"), ("DELETE", &of("a%2Fb/lock")));
        check("LOCK", &format!("http://host{}", of("db/")), ("POST", &of("db/lock")));
        check("POST", &of("db?ID=1"), ("POST", &of("db?ID=1")));
        check("LOCK", &of("lock"), ("POST", &of("lock/lock")));
        check("UNLOCK", &of("lock/lock?workspace=a"), ("DELETE", &of("lock/lock?workspace=a")));
    }

    #[test]
    fn a_lock_of_another_is_not_taken_away_unrecorded() {
        let named = |name: &str| Principal::Named(name.to_owned());
        let held = states::StateLock::of_client(
            br#"{"ID":"1"}"#,
            &named("ada"),
            jiff::Timestamp::UNIX_EPOCH,
        );
        let held = held.unwrap();
        let recorded = |id, who| without_a_reason(&held, id, &named(who)).is_some();
        assert!(!recorded(Some("1"), "ada"), "she ends her own");
        assert!(recorded(Some("1"), "bob"));
        assert!(!recorded(Some("2"), "bob"), "it is refused");
        assert!(recorded(None, "ada") && recorded(None, "bob"));
    }

    #[test]
    fn a_body_that_was_cut_is_told_by_its_sum() {
        let headers = HeaderMap::from_iter([(
            header::HeaderName::from_static("content-md5"),
            HeaderValue::from_static("mZFLkyvTelC5g8XnyQrpOw=="),
        )]);
        assert!(arrived_whole(&headers, b"{}").is_ok());
        assert!(arrived_whole(&headers, b"{").is_err());
        assert!(arrived_whole(&HeaderMap::new(), b"{").is_ok());
    }
}
