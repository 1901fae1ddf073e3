//! Problems: how a refusal is said, as RFC 9457 has it (`application/problem+json`).
//!
//! Programs branch on [`ProblemCode`] and [`FieldCode`]; people read `detail`, `hint` and the
//! field problems. A code is never renamed: each has a page under <https://lockstep.dev/errors/>.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod code;

pub use code::{FieldCode, ProblemCode};

use crate::v1::Kind;

/// The media type of a problem.
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// The page that explains the code.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// What kind of problem, for programs.
    pub code: ProblemCode,
    /// What kind of problem, for people; the same for each problem of a code.
    pub title: String,
    /// The HTTP status of the response.
    pub status: u16,
    /// What happened this time, in one sentence.
    pub detail: Option<String>,
    /// What to do about it.
    #[serde(default)]
    pub hint: Option<String>,
    /// The id of the request, as the daemon's log has it.
    #[serde(default)]
    pub instance: Option<String>,
    /// Every field that is wrong.
    #[serde(default)]
    pub errors: Vec<FieldProblem>,
    /// The ids of what stands in the way, sorted.
    #[serde(default)]
    pub blockers: Vec<String>,
    /// The change that came in between, for `generation_conflict`.
    #[serde(default)]
    pub conflict: Option<Conflict>,
}

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldProblem {
    /// Where in the spec: names joined by dots, indices as `[0]`, free keys as `["key"]`, such as
    /// `image[0].constraint`. Empty for the whole.
    pub path: String,
    /// What is wrong, for programs.
    pub code: FieldCode,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to do about it.
    #[serde(default)]
    pub hint: Option<String>,
}

/// The change that made a write refuse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Conflict {
    /// The generation that the object has now.
    pub generation: u64,
    /// Who changed it last.
    pub changed_by: String,
    /// When.
    pub changed_at: Timestamp,
}

impl FieldProblem {
    /// A problem of the field at `path`.
    pub fn new(path: impl Into<String>, code: FieldCode, message: impl Into<String>) -> Self {
        Self { path: path.into(), code, message: message.into(), hint: None }
    }

    /// The same, saying what to do.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for FieldProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(formatter, "{}: ", self.path)?;
        }
        formatter.write_str(&self.message)
    }
}

impl Problem {
    /// A problem of a code, with what happened this time.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            type_uri: code.type_uri(),
            code,
            title: code.title().to_owned(),
            status: code.status(),
            detail: Some(detail.into()),
            hint: None,
            instance: None,
            errors: Vec::new(),
            blockers: Vec::new(),
            conflict: None,
        }
    }

    /// The same, saying what to do.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same, with the id of the request.
    #[must_use]
    pub fn with_instance(self, request_id: impl Into<String>) -> Self {
        Self { instance: Some(request_id.into()), ..self }
    }

    /// The request cannot be read: not JSON, an unknown field, a wrong type, a bad header.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(ProblemCode::Malformed, detail)
    }

    /// The definition can be read, and cannot stand; `errors` says where and why.
    #[must_use]
    pub fn invalid(kind: Kind, name: &str, errors: Vec<FieldProblem>) -> Self {
        let count = errors.len();
        let noun = if count == 1 { "error" } else { "errors" };
        Self {
            errors,
            ..Self::new(ProblemCode::Invalid, format!("{kind} {name} has {count} {noun}"))
        }
    }

    /// No token, or one that is not known, revoked or expired.
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(ProblemCode::Unauthenticated, detail)
            .with_hint("send a token of this daemon as `Authorization: Bearer TOKEN`")
    }

    /// The bearer may not do this.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(ProblemCode::Forbidden, detail)
    }

    /// There is no such object. `what` is a noun of the contract, such as `stage` or `freight`.
    #[must_use]
    pub fn not_found(what: &str, id: &str) -> Self {
        Self::new(ProblemCode::NotFound, format!("there is no {what} {id}"))
    }

    /// No operation of the contract has this path.
    #[must_use]
    pub fn no_route(path: &str) -> Self {
        Self::new(ProblemCode::NotFound, format!("no operation has the path {path}"))
            .with_hint("GET /v1/openapi.json lists every operation")
    }

    /// The path exists, with other methods.
    #[must_use]
    pub fn method_not_allowed(method: &str, path: &str) -> Self {
        Self::new(ProblemCode::MethodNotAllowed, format!("{path} takes no {method}"))
    }

    /// A create found the object there.
    #[must_use]
    pub fn already_exists(kind: Kind, id: &str) -> Self {
        Self::new(ProblemCode::AlreadyExists, format!("{kind} {id} exists already"))
            .with_hint("import it, or choose another name")
    }

    /// An update or removal found another generation than the caller had seen.
    #[must_use]
    pub fn generation_conflict(kind: Kind, id: &str, seen: u64, conflict: Conflict) -> Self {
        let Conflict { generation, changed_by, changed_at } = &conflict;
        let detail = format!(
            "{kind} {id} is at generation {generation}, not {seen}: \
             {changed_by} changed it at {changed_at}"
        );
        Self { conflict: Some(conflict), ..Self::new(ProblemCode::GenerationConflict, detail) }
            .with_hint("read it again, and repeat the change on what is there now")
    }

    /// A removal found other objects that need this one.
    #[must_use]
    pub fn in_use(kind: Kind, id: &str, mut by: Vec<String>) -> Self {
        by.sort();
        let detail = format!("{kind} {id} is used by {}", by.join(", "));
        Self { blockers: by, ..Self::new(ProblemCode::InUse, detail) }
            .with_hint("remove or change those first")
    }

    /// A removal found an object that is protected from it.
    #[must_use]
    pub fn deletion_protected(kind: Kind, id: &str, changed_by: &str, at: Timestamp) -> Self {
        let detail = format!(
            "{kind} {id} is protected from deletion, as {changed_by} last defined it at {at}"
        );
        Self::new(ProblemCode::DeletionProtected, detail).with_hint(
            "if it is really to go, define it with `deletion_protection` false first, then remove \
             it",
        )
    }

    /// A removal found promotions on their way.
    #[must_use]
    pub fn promotion_running(kind: Kind, id: &str, mut promotions: Vec<String>) -> Self {
        promotions.sort();
        let detail = format!("{kind} {id} has promotions on their way: {}", promotions.join(", "));
        Self { blockers: promotions, ..Self::new(ProblemCode::PromotionRunning, detail) }
            .with_hint("wait until they end, or abort them")
    }

    /// An approval named another change set than the one that is there now.
    #[must_use]
    pub fn digest_mismatch(promotion: &str, current: &str) -> Self {
        let detail =
            format!("what promotion {promotion} will do has changed; its digest is now {current}");
        Self::new(ProblemCode::DigestMismatch, detail)
            .with_hint("look at the new change set, then approve its digest")
    }

    /// The promotion is not in a phase that allows this.
    #[must_use]
    pub fn wrong_phase(promotion: &str, phase: crate::v1::Phase, wish: &str) -> Self {
        let phase = phase.as_str().replace('_', " ");
        let detail = format!("promotion {promotion} is {phase} and cannot be {wish}");
        Self::new(ProblemCode::WrongPhase, detail)
    }

    /// The freight is not available to the stage.
    #[must_use]
    pub fn freight_unavailable(freight: &str, stage: &str, why: &str) -> Self {
        let detail = format!("freight {freight} is not available to stage {stage}: {why}");
        Self::new(ProblemCode::FreightUnavailable, detail).with_hint(format!(
            "wait for its upstream, or approve it past the upstream: \
             lockstep freight approve {freight} --stage {stage} --reason …"
        ))
    }

    /// Holds keep the freight from the stage; the detail names them.
    pub fn held(detail: impl Into<String>) -> Self {
        Self::new(ProblemCode::Held, detail)
            .with_hint("`lockstep hold show NAME` says more, `lockstep hold lift NAME` ends it")
    }

    /// A beginning of an id fits several freights.
    #[must_use]
    pub fn ambiguous_freight(prefix: &str, mut matches: Vec<String>) -> Self {
        matches.sort();
        let detail = format!("{} freights begin with {prefix}", matches.len());
        Self { blockers: matches, ..Self::new(ProblemCode::AmbiguousFreight, detail) }
            .with_hint("write more of the id")
    }

    /// The answer as of a token is no longer kept.
    #[must_use]
    pub fn preview_expired() -> Self {
        let detail = "the state of the world that this plan was made against is no longer kept";
        Self::new(ProblemCode::PreviewExpired, detail).with_hint("plan again")
    }

    /// The daemon cannot serve just now, and wrote nothing: clients send the same again.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(ProblemCode::Unavailable, detail).with_hint("try again in a few seconds")
    }

    /// The daemon is at fault. The cause is in its log, under the id of the request.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(ProblemCode::Internal, "the daemon failed at this request")
            .with_hint("its log has the cause under the request's id")
    }
}

impl fmt::Display for Problem {
    /// What happened, without the hint.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.detail.as_deref().unwrap_or(&self.title))?;
        for error in &self.errors {
            write!(formatter, "; {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests;
