//! Names of other objects in a configuration: whether there is anything behind them, live or planned
//! by this run.

use std::collections::BTreeSet;
use std::sync::Arc;

use provider_protocol::Diagnostics;
use provider_protocol::cty::Path;
use reconciler_api::client::ClientError;
use reconciler_api::v1::{Kind, Object, Stage, Task, Verification, Warehouse};
use reconciler_domain::glob::matches_name;

use crate::failure::detail;
use crate::session::{Identity, Session};
use crate::words::did_you_mean;

/// A name of another object, or a pattern of names, and where it stands.
pub(crate) struct Reference {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) path: Path,
}

/// Tells the names of a kind that nothing has.
pub(crate) async fn tell_unknown(
    session: &Session,
    project: &str,
    kind: Kind,
    mut references: Vec<Reference>,
    diags: &mut Diagnostics,
) {
    let mut known = session.overlay.names(kind, project);
    references.retain(|it| it.kind == kind && !known.contains(&it.name));
    if references.is_empty() {
        return;
    }
    let Some(live) = live(session, project, kind, diags).await else { return };
    known.extend(live.iter().cloned());
    for Reference { name, path, .. } in references {
        if known.contains(&name) {
            continue;
        }
        let type_name = if kind == Kind::Task {
            "lockstep_promotion_task".to_owned()
        } else {
            format!("lockstep_{kind}")
        };
        let text = format!(
            "There is no {kind} {name:?} in project {project:?}. {}\n\nIf this configuration \
             creates it, refer to it, so that it is created first: {type_name}.NAME.name.",
            did_you_mean(&name, known.iter().map(String::as_str))
        );
        diags.error_at(path, format!("Unknown {kind}"), text);
    }
}

/// Warns of patterns of an object that no stage matches. A stage may come later, so it is no error; in
/// a project that has none yet, those that a wildcard means are all still to come.
pub(crate) async fn tell_idle(
    session: &Session,
    identity: &Identity,
    mut patterns: Vec<Reference>,
    diags: &mut Diagnostics,
) {
    let project = &identity.project;
    let mut known = session.overlay.names(Kind::Stage, project);
    let is_idle = |pattern: &Reference, known: &BTreeSet<String>| {
        !known.iter().any(|stage| matches_name(&pattern.name, stage))
    };
    patterns.retain(|pattern| is_idle(pattern, &known));
    if patterns.is_empty() {
        return;
    }
    let Some(live) = live(session, project, Kind::Stage, diags).await else { return };
    if live.is_empty() {
        patterns.retain(|pattern| !has_wildcard(&pattern.name));
    }
    known.extend(live.iter().cloned());
    let summary = "Selects no stage";
    for pattern in patterns.into_iter().filter(|pattern| is_idle(pattern, &known)) {
        let Reference { name, path, .. } = pattern;
        if !session.overlay.is_news(identity, (&path.to_string(), summary), &name) {
            continue;
        }
        let text = format!(
            "No stage of project {project:?} matches {name:?}. {}\n\nIf this configuration creates \
             one, refer to it, so that it is there first: lockstep_stage.NAME.name, or `depends_on` \
             where it is a pattern.",
            did_you_mean(&name, known.iter().map(String::as_str))
        );
        diags.warning_at(path, summary, text);
    }
}

/// Whether a pattern can mean more than one name.
fn has_wildcard(pattern: &str) -> bool {
    pattern.contains(['*', '?', '[', '{'])
}

/// The names of the live objects of a kind; none if they cannot be read.
async fn live(
    session: &Session,
    project: &str,
    kind: Kind,
    diags: &mut Diagnostics,
) -> Option<Arc<BTreeSet<String>>> {
    match kind {
        Kind::Warehouse => names::<Warehouse>(session, project, diags).await,
        Kind::Stage => names::<Stage>(session, project, diags).await,
        Kind::Verification => names::<Verification>(session, project, diags).await,
        Kind::Task => names::<Task>(session, project, diags).await,
        Kind::Project
        | Kind::Policy
        | Kind::Hold
        | Kind::Freeze
        | Kind::Credential
        | Kind::Token
        | Kind::InstanceFreeze => Some(Arc::default()),
    }
}

async fn names<T: Object>(
    session: &Session,
    project: &str,
    diags: &mut Diagnostics,
) -> Option<Arc<BTreeSet<String>>> {
    match session.reads.names::<T>(&session.api, project).await {
        Ok(names) => names,
        Err(error) => {
            let is_news = session.reach.noticed(&error);
            let what = || format!("Cannot list {} of {project}", T::KIND.collection());
            if error.is_foreign() && is_news {
                diags.error(what(), detail(&error));
            } else if matches!(error, ClientError::Unreadable { .. }) {
                // Nothing that is planned depends on it.
                diags.warning(what(), detail(&error));
            }
            None
        }
    }
}
