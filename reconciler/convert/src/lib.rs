//! Policies between the wire and the domain.
//!
//! The daemon stores what it reads here; the provider's functions judge it without a daemon. Parsing
//! collects *all* problems, each with the path of its field ([`Fields`]), before it gives up. The
//! other nouns are converted in the daemon, which alone needs them.
//!
//! - `policy`, `inquiry`, `window`: both ways
//! - [`Fields`], [`field_problems`]: problems, for the daemon's other nouns too

mod inquiry;
mod policy;
mod window;

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use reconciler_api::problem::{FieldCode, FieldProblem};
use reconciler_domain::check::{Problem, ProblemKind};
use reconciler_domain::duration;
use reconciler_domain::id::NameError;

pub use policy::{bypass_gate, parse_policy, policy_spec, wire_bypass_gate, wire_mode};
pub use window::{domain_action, parse_windows, window_rule, wire_action};

/// Reads wire fields into domain types and collects what does not parse.
#[derive(Debug, Default)]
pub struct Fields {
    problems: Vec<FieldProblem>,
}

impl Fields {
    /// The result, unless something did not parse.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Vec<FieldProblem>> {
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            Some(_) | None => Err(self.problems),
        }
    }

    /// Adds a problem.
    pub fn add(&mut self, path: &str, code: FieldCode, message: impl Into<String>) {
        self.problems.push(FieldProblem::new(path, code, message));
    }

    /// Parses a text; a problem and `None` if it does not parse.
    pub fn parse<T>(&mut self, path: &str, code: FieldCode, text: &str) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        self.result(path, code, text.parse())
    }

    /// Parses a name.
    pub fn name<T>(&mut self, path: &str, text: &str) -> Option<T>
    where
        T: FromStr<Err = NameError>,
    {
        self.parse(path, FieldCode::BadName, text)
    }

    /// Takes a result; a problem and `None` if it is an error.
    pub fn result<T, E: Display>(
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

    /// Parses a duration.
    pub fn duration(&mut self, path: &str, text: &str) -> Option<Duration> {
        self.result(path, FieldCode::BadDuration, duration::parse(text))
    }

    /// Parses a duration that may be absent; `None` is a problem.
    pub fn optional_duration(
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
    pub fn http_url(&mut self, path: &str, text: &str) {
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
#[must_use]
pub fn field_problems(problems: Vec<Problem>) -> Vec<FieldProblem> {
    problems
        .into_iter()
        .map(|problem| {
            let code = field_code(problem.kind, &problem.path);
            FieldProblem::new(problem.path, code, problem.message)
        })
        .collect()
}

/// What a problem at a field is called on the wire.
#[must_use]
pub fn field_code(kind: ProblemKind, path: &str) -> FieldCode {
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
        ProblemKind::Never => FieldCode::NeverSatisfied,
    }
}

/// What is unknown follows from the field that names it.
fn unknown_code(path: &str) -> FieldCode {
    if path == "stage" || path.starts_with("soak_in.") {
        FieldCode::UnknownStage
    } else if path.contains(".from[") {
        FieldCode::UnknownUpstream
    } else if path.ends_with(".warehouse") {
        FieldCode::UnknownWarehouse
    } else if path.ends_with(".template") {
        FieldCode::UnknownVerification
    } else if path.ends_with(".config.task") {
        FieldCode::UnknownTask
    } else {
        FieldCode::UnknownStep
    }
}
