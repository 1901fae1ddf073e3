//! Between the wire and the domain, one file per noun.
//!
//! Wire types change slowly, because others depend on them; domain types change when the domain is
//! better understood. Nothing but this module knows both. Parsing collects *all* problems, each
//! with the path of its field, before it gives up.

mod change_set;
mod credential;
mod explain;
mod freight;
mod hold;
mod policy;
mod preview;
mod promotion;
mod stage;
#[cfg(test)]
mod tests;
mod verification;
mod warehouse;

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use reconciler_api::problem::{FieldCode, FieldProblem};
use reconciler_domain::check::{Problem, ProblemKind};
use reconciler_domain::duration;
use reconciler_domain::id::NameError;

pub(crate) use credential::{credential_outline, credential_status, parse_credential};
pub(crate) use explain::{Explained, active, explain, waiting};
pub(crate) use freight::freight;
pub(crate) use hold::{hold_spec, hold_status, parse_hold, stage_holds};
pub(crate) use policy::{bypass_gate, parse_policy, policy_spec};
pub(crate) use preview::preview;
pub(crate) use promotion::{event, phase, promotion, promotion_row};
pub(crate) use stage::{parse_stage, stage_spec};
pub(crate) use verification::{parse_verification, verification_spec};
pub(crate) use warehouse::{parse_warehouse, warehouse_spec};

/// Reads wire fields into domain types and collects what does not parse.
#[derive(Default)]
pub(crate) struct Fields {
    problems: Vec<FieldProblem>,
}

impl Fields {
    /// The result, unless something did not parse.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Vec<FieldProblem>> {
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            Some(_) | None => Err(self.problems),
        }
    }

    pub(crate) fn add(&mut self, path: &str, code: FieldCode, message: impl Into<String>) {
        self.problems.push(FieldProblem::new(path, code, message));
    }

    /// Parses a text; a problem and `None` if it does not parse.
    pub(crate) fn parse<T>(&mut self, path: &str, code: FieldCode, text: &str) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        self.result(path, code, text.parse())
    }

    /// Parses a name.
    pub(crate) fn name<T>(&mut self, path: &str, text: &str) -> Option<T>
    where
        T: FromStr<Err = NameError>,
    {
        self.parse(path, FieldCode::BadName, text)
    }

    /// Takes a result; a problem and `None` if it is an error.
    pub(crate) fn result<T, E: Display>(
        &mut self,
        path: &str,
        code: FieldCode,
        result: Result<T, E>,
    ) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(path, code, error.to_string());
                None
            }
        }
    }

    pub(crate) fn duration(&mut self, path: &str, text: &str) -> Option<Duration> {
        self.result(path, FieldCode::BadDuration, duration::parse(text))
    }

    pub(crate) fn optional_duration(
        &mut self,
        path: &str,
        text: Option<&str>,
    ) -> Option<Option<Duration>> {
        match text {
            None => Some(None),
            Some(text) => self.duration(path, text).map(Some),
        }
    }

    /// A URL of a scheme that can be asked.
    pub(crate) fn http_url(&mut self, path: &str, text: &str) {
        if text.contains("{{") {
            return;
        }
        match url::Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => {}
            Ok(url) => {
                let message =
                    format!("scheme {:?} is not supported; use http or https", url.scheme());
                self.add(path, FieldCode::BadUrl, message);
            }
            Err(error) => {
                self.add(path, FieldCode::BadUrl, format!("{text:?} is not a URL: {error}"));
            }
        }
    }
}

/// Problems of a check, as they are said on the wire.
pub(crate) fn field_problems(problems: Vec<Problem>) -> Vec<FieldProblem> {
    problems
        .into_iter()
        .map(|problem| {
            let code = field_code(problem.kind, &problem.path);
            FieldProblem::new(problem.path, code, problem.message)
        })
        .collect()
}

fn field_code(kind: ProblemKind, path: &str) -> FieldCode {
    match kind {
        ProblemKind::Missing => FieldCode::Missing,
        ProblemKind::Invalid => FieldCode::Invalid,
        ProblemKind::Duplicate => FieldCode::Duplicate,
        ProblemKind::Unknown => unknown_code(path),
        ProblemKind::Expression => FieldCode::BadExpression,
        ProblemKind::Cycle => FieldCode::Cycle,
        ProblemKind::Argument => FieldCode::UnknownArgument,
        ProblemKind::Duration => FieldCode::BadDuration,
        ProblemKind::Glob => FieldCode::BadGlob,
        ProblemKind::Conflict => FieldCode::Conflicting,
    }
}

/// What is unknown follows from the field that names it.
fn unknown_code(path: &str) -> FieldCode {
    if path == "stage" {
        FieldCode::UnknownStage
    } else if path.contains(".from[") {
        FieldCode::UnknownUpstream
    } else if path.ends_with(".warehouse") {
        FieldCode::UnknownWarehouse
    } else if path.ends_with(".template") {
        FieldCode::UnknownVerification
    } else {
        FieldCode::UnknownStep
    }
}
