//! Failed calls as diagnostics.

use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Type};
use reconciler_api::client::ClientError;
use reconciler_api::problem::{FieldProblem, Problem, ProblemCode};

use crate::place::{Moved, attribute_path};
use crate::words::sentence;

/// Where the fields of a kind are in the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) moved: Moved,
    pub(crate) ty: Type,
}

impl Places {
    /// The attribute or block of a field of the API.
    pub(crate) fn path(&self, field: &str) -> Path {
        attribute_path(field, self.moved, &self.ty)
    }
}

/// Tells why a call failed. `what` is what was to be done: `create stage shop/prod`.
pub(crate) fn tell(error: &ClientError, what: &str, places: &Places, diags: &mut Diagnostics) {
    match error.problem() {
        Some(problem) if !problem.errors.is_empty() => {
            let summary = format!("Cannot {what}");
            for field in &problem.errors {
                tell_field(field, &summary, places, diags);
            }
        }
        _ => diags.error(format!("Cannot {what}"), detail(error)),
    }
}

/// Tells what is wrong with one field.
pub(crate) fn tell_field(
    field: &FieldProblem,
    summary: &str,
    places: &Places,
    diags: &mut Diagnostics,
) {
    let path = places.path(&field.path);
    let mut detail = sentence(&field.message);
    // What is inside a JSON text has no place that the client could show.
    if let Some(inside) = field.path.split_once(".config.").map(|(_, inside)| inside) {
        detail = format!("{inside}: {detail}");
    }
    if let Some(hint) = &field.hint {
        detail = format!("{detail}\n\n{}", sentence(hint));
    }
    diags.error_at(path, summary, detail);
}

/// Tells that an object was never read, and cannot be: the configuration of the provider is not known.
/// `what` is what was to be done: `import stage shop/prod`.
pub(crate) fn tell_unreadable(what: &str, diags: &mut Diagnostics) {
    diags.error(
        format!("Cannot {what}"),
        "The provider's configuration is known only after apply, so that nothing can be read, and an \
         import is made of what is read. Apply what the configuration depends on first, such as \
         with -target, or give it values that are known; then import.",
    );
}

/// Of a preview, whether only this answer did not come in time, or not now: a preview of much takes
/// long, and the daemon says so itself and answers everything else meanwhile. One that says nothing
/// for longer than it may judge does not answer at all.
pub(crate) fn is_slow(error: &ClientError) -> bool {
    error.code() == Some(ProblemCode::Unavailable)
}

/// What happened, what to do, and the name of the request in the daemon's log.
pub(crate) fn detail(error: &ClientError) -> String {
    let mut lines = vec![sentence(&error.to_string())];
    if let Some(problem) = error.problem()
        && !problem.blockers.is_empty()
        && !problem.blockers.iter().all(|it| lines[0].contains(it.as_str()))
    {
        lines.push(format!("In the way: {}.", problem.blockers.join(", ")));
    }
    lines.extend(error.hint().map(|hint| sentence(&hint)));
    lines.extend(error.problem().and_then(fault));
    lines.join("\n\n")
}

/// Of a failure of the daemon itself, where its log has more.
fn fault(problem: &Problem) -> Option<String> {
    let internal = matches!(problem.code, ProblemCode::Internal | ProblemCode::Unknown);
    let request = problem.instance.as_ref().filter(|_| internal)?;
    Some(format!("The request is {request}."))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_the_daemon_says_itself_is_slow_and_silence_is_not() {
        let busy = Problem::unavailable("the preview took longer than 60 seconds");
        assert!(is_slow(&ClientError::Problem(Box::new(busy))));
        let endpoint = "http://127.0.0.1:1".to_owned();
        let silent = ClientError::Timeout { endpoint, after: Duration::from_secs(90) };
        assert!(!is_slow(&silent) && silent.is_unreachable());
    }
}
