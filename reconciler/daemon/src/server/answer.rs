//! Answers and refusals.

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reconciler_api::problem::{Conflict, PROBLEM_MEDIA_TYPE, Problem, ProblemCode};
use reconciler_api::v1::{Kind, PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX, Precondition};
use reconciler_domain::id::{NameError, PromotionId};
use reconciler_store::{DeleteError, Page, PutError, StoreError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest problem that is given an id: all that handlers make are smaller.
const PROBLEM_BYTES_MAX: usize = 1024 * 1024;

/// After how many seconds a request that could not be served just now may fare better.
const RETRY_AFTER: &str = "1";

/// What a handler gives.
pub(super) type Answer<T> = Result<T, Refusal>;

/// A refused request.
pub(super) struct Refusal(Box<Problem>);

impl Refusal {
    /// What it says, for an answer that holds several.
    pub(super) fn into_problem(self) -> Problem {
        *self.0
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<Box<Problem>> for Refusal {
    fn from(problem: Box<Problem>) -> Self {
        Self(problem)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        match error {
            StoreError::Unreadable(unreadable) => {
                Problem::new(ProblemCode::Internal, unreadable.to_string()).into()
            }
            StoreError::Closed => Problem::unavailable("the daemon is stopping").into(),
            // It may have been written, so this is not for clients to send again by themselves.
            StoreError::Interrupted => {
                Problem::new(ProblemCode::Internal, error.to_string()).into()
            }
            StoreError::NotCommitted { .. } => Problem::unavailable("nothing was written").into(),
            StoreError::Database { .. } => Problem::internal().into(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        problem(&self.0)
    }
}

/// A problem as an answer.
pub(super) fn problem(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(problem).unwrap_or_default();
    let media_type = HeaderValue::from_static(PROBLEM_MEDIA_TYPE);
    let mut response = (status, [(header::CONTENT_TYPE, media_type)], body).into_response();
    if problem.code == ProblemCode::Unavailable {
        let pause = HeaderValue::from_static(RETRY_AFTER);
        response.headers_mut().insert(header::RETRY_AFTER, pause);
    }
    response
}

/// A new id for a request: unlikely enough to repeat for finding it in a log.
pub(super) fn request_id() -> String {
    let mut bytes = [0_u8; 9];
    // Without random numbers requests share an id; nothing depends on it.
    let _unfilled = SystemRandom::new().fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Puts the request's id into an answer that is a problem.
pub(super) async fn name_instance(response: Response, id: &str) -> Response {
    let is_problem = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|media_type| media_type.as_bytes() == PROBLEM_MEDIA_TYPE.as_bytes());
    if !is_problem {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, PROBLEM_BYTES_MAX).await.unwrap_or_default();
    let body = match serde_json::from_slice::<Problem>(&bytes) {
        Ok(problem) => serde_json::to_vec(&problem.with_instance(id)).unwrap_or_default().into(),
        Err(_) => bytes,
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, body.into())
}

/// JSON in and out; what does not parse is a problem that names its place.
pub(super) struct Json<T>(pub(super) T);

/// JSON that holds secrets: what does not parse is told by its place only, because the parser's
/// words repeat what they stumbled over.
pub(super) struct ConfidentialJson<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for ConfidentialJson<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let Json(bytes) = Json::<Box<serde_json::value::RawValue>>::from_request(request, state)
            .await
            .map_err(|_| Problem::malformed("the body is not valid JSON"))?;
        let value = serde_json::from_str(bytes.get()).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Problem::malformed(format!(
                "the body does not fit at line {line}, column {column}; what is there may be \
                 secret and is not repeated"
            ))
        })?;
        Ok(Self(value))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let bytes = Bytes::from_request(request, state).await.map_err(unread)?;
        let parsed = serde_json::from_slice(&bytes);
        let value = parsed
            .map_err(|error| Problem::malformed(format!("the body is not valid: {error}")))?;
        Ok(Self(value))
    }
}

/// Why a body could not be read.
pub(super) fn unread(error: BytesRejection) -> Refusal {
    match error {
        BytesRejection::FailedToBufferBody(error) => {
            Refusal::from(Problem::new(ProblemCode::TooLarge, error.to_string()))
        }
        error => Refusal::from(Problem::malformed(error.to_string())),
    }
}

/// Query parameters.
pub(super) struct Parameters<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let found: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        let Query(value) = found.map_err(|error| Problem::malformed(error.body_text()))?;
        Ok(Self(value))
    }
}

/// A name in a path.
pub(super) fn name<T>(text: &str) -> Answer<T>
where
    T: std::str::FromStr<Err = NameError>,
{
    text.parse().map_err(|error: NameError| Problem::malformed(error.to_string()).into())
}

/// The id of a promotion in a path.
pub(super) fn promotion_id(text: &str) -> Answer<PromotionId> {
    name(text)
}

/// A page of a listing.
pub(super) fn page(limit: Option<u32>, after: Option<&str>) -> Answer<Page> {
    let limit = limit.unwrap_or(PAGE_LIMIT_DEFAULT);
    if !(1..=PAGE_LIMIT_MAX).contains(&limit) {
        let detail = format!("limit is between 1 and {PAGE_LIMIT_MAX}, not {limit}");
        return Err(Problem::malformed(detail).into());
    }
    let after = after.map(str::parse).transpose();
    let after = after.map_err(|_| Problem::malformed("page is the `next` of another page"))?;
    Ok(Page { after, limit })
}

/// What the caller knows of the object, from `If-Match` and `If-None-Match`.
pub(super) fn precondition(headers: &HeaderMap) -> Answer<Precondition> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    Ok(Precondition::from_headers(text(header::IF_MATCH), text(header::IF_NONE_MATCH))?)
}

/// The store's form of a precondition.
pub(super) fn store_precondition(precondition: Precondition) -> reconciler_store::Precondition {
    match precondition {
        Precondition::None => reconciler_store::Precondition::Any,
        Precondition::Absent => reconciler_store::Precondition::MustNotExist,
        Precondition::Generation(generation) => {
            reconciler_store::Precondition::Generation(generation)
        }
    }
}

fn seen(precondition: Precondition) -> u64 {
    match precondition {
        Precondition::Generation(generation) => generation,
        Precondition::None | Precondition::Absent => 0,
    }
}

/// Why an object was not written.
pub(super) fn put_refusal(
    kind: Kind,
    id: &str,
    precondition: Precondition,
    error: PutError,
) -> Refusal {
    match error {
        PutError::NoProject { .. } => {
            let project = id.split('/').next().unwrap_or(id);
            Problem::not_found("project", project).into()
        }
        PutError::NotFound { .. } => Problem::not_found(kind.as_str(), id).into(),
        PutError::AlreadyExists { .. } => Problem::already_exists(kind, id).into(),
        PutError::Conflict { generation, changed_by, changed_at, .. } => {
            let changed_by = changed_by.to_string();
            let conflict = Conflict { generation, changed_by, changed_at };
            Problem::generation_conflict(kind, id, seen(precondition), conflict).into()
        }
        PutError::Moved { .. } => busy(),
        PutError::Store(error) => error.into(),
    }
}

/// Why an object was not removed.
pub(super) fn delete_refusal(
    kind: Kind,
    id: &str,
    precondition: Precondition,
    error: DeleteError,
) -> Refusal {
    match error {
        DeleteError::NotFound { .. } => Problem::not_found(kind.as_str(), id).into(),
        DeleteError::Conflict { generation, changed_by, changed_at, .. } => {
            let changed_by = changed_by.to_string();
            let conflict = Conflict { generation, changed_by, changed_at };
            Problem::generation_conflict(kind, id, seen(precondition), conflict).into()
        }
        DeleteError::Protected { changed_by, changed_at, .. } => {
            Problem::deletion_protected(kind, id, &changed_by.to_string(), changed_at).into()
        }
        DeleteError::InUse { by, .. } => {
            let (promotions, others): (Vec<String>, Vec<String>) =
                by.into_iter().partition(|user| user.starts_with("promotion "));
            if others.is_empty() {
                return Problem::promotion_running(kind, id, promotions).into();
            }
            Problem::in_use(kind, id, others).into()
        }
        DeleteError::Moved { .. } => busy(),
        DeleteError::Store(error) => error.into(),
    }
}

/// Other writers were faster too often.
pub(super) fn busy() -> Refusal {
    Problem::unavailable("others change this project at the same time").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status of an answer, and when to ask again.
    fn answered(refusal: Refusal) -> (u16, Option<HeaderValue>) {
        let response = refusal.into_response();
        (response.status().as_u16(), response.headers().get(header::RETRY_AFTER).cloned())
    }

    #[test]
    fn only_what_surely_was_not_written_is_to_be_sent_again() {
        let soon = Some(HeaderValue::from_static(RETRY_AFTER));
        assert_eq!(answered(busy()), (503, soon.clone()));
        assert_eq!(answered(StoreError::Closed.into()), (503, soon.clone()));
        let not_committed = StoreError::NotCommitted { reason: "the disk is full".to_owned() };
        assert_eq!(answered(not_committed.into()), (503, soon));
        assert_eq!(answered(StoreError::Interrupted.into()), (500, None));
        assert_eq!(answered(Problem::not_found("stage", "shop/prod").into()), (404, None));
    }
}
