//! What an object refers to, judged with everything that this run plans.
//!
//! The daemon judges one object against the live world. Objects that this run creates or changes
//! first are not there yet, so what it says about them would be false; here they count.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Value};
use reconciler_api::client::ClientError;
use reconciler_api::problem::{FieldCode, FieldProblem, ProblemCode};
use reconciler_api::v1::{Kind, Object, Stage, Task, Verification, Warehouse};
use reconciler_domain::step::StepKind;

use crate::failure::{Places, tell_field};
use crate::session::{Identity, Session};
use crate::words::did_you_mean;

/// An object as this run plans it.
#[derive(Clone, Copy)]
pub(super) struct Run<'r> {
    pub(super) session: &'r Session,
    pub(super) identity: &'r Identity,
    pub(super) planned: &'r Value,
}

/// A name of another object.
struct Reference {
    kind: Kind,
    name: String,
    path: Path,
}

impl<'r> Run<'r> {
    /// Whether there was no answer only because this run creates the project: no freight yet.
    pub(super) fn creates_project(&self, error: &ClientError) -> bool {
        let project = &self.identity.project;
        error.code() == Some(ProblemCode::NotFound)
            && self.session.overlay.has(Kind::Project, project, project)
    }

    /// Tells the problems that stay problems with what this run plans.
    pub(super) fn tell_problems(
        &self,
        problems: &[FieldProblem],
        places: &Places,
        diags: &mut Diagnostics,
    ) {
        let moves = self.refers_to_changes();
        for problem in problems.iter().filter(|problem| !moves && !is_of_graph(problem.code)) {
            tell_field(problem, &format!("Invalid {}", self.identity.kind), places, diags);
        }
    }

    /// Tells names that nothing has, and circles.
    pub(super) async fn tell_graph(&self, diags: &mut Diagnostics) {
        if self.identity.kind == Kind::Stage {
            for kind in [Kind::Warehouse, Kind::Stage, Kind::Task, Kind::Verification] {
                self.tell_unknown(kind, diags).await;
            }
            self.tell_circle(diags).await;
        }
        if self.identity.kind == Kind::Task {
            self.tell_unknown(Kind::Task, diags).await;
            self.tell_own_use(diags);
        }
        if matches!(self.identity.kind, Kind::Hold | Kind::Policy) {
            self.tell_unknown(Kind::Stage, diags).await;
        }
    }

    /// The names of other objects, as far as they are known. One's own name is no reference.
    fn references(&self) -> Vec<Reference> {
        match self.identity.kind {
            Kind::Stage => self.references_of_stage(),
            Kind::Hold => self.references_of_hold(),
            Kind::Policy => self.references_of_policy(),
            Kind::Task => self.used_tasks(),
            Kind::Project
            | Kind::Warehouse
            | Kind::Verification
            | Kind::Freeze
            | Kind::Credential
            | Kind::Token
            | Kind::InstanceFreeze => Vec::new(),
        }
    }

    fn references_of_hold(&self) -> Vec<Reference> {
        let stage = self.planned.get("stage").and_then(Value::as_str).map(str::to_owned);
        let path = Path::attribute("stage");
        stage.map(|name| Reference { kind: Kind::Stage, name, path }).into_iter().collect()
    }

    fn references_of_policy(&self) -> Vec<Reference> {
        let soaks = self.planned.get("soak_in").and_then(Value::as_map);
        let named = soaks.into_iter().flat_map(|soaks| soaks.keys());
        let reference = |name: &String| {
            let path = Path::attribute("soak_in").key(name.clone());
            Reference { kind: Kind::Stage, name: name.clone(), path }
        };
        named.map(reference).collect()
    }

    fn references_of_stage(&self) -> Vec<Reference> {
        let mut found = Vec::new();
        let mut add = |kind, value: Option<&Value>, path| {
            if let Some(name) = value.and_then(Value::as_str) {
                found.push(Reference { kind, name: name.to_owned(), path });
            }
        };
        for (request, path) in blocks(self.planned, "request") {
            add(Kind::Warehouse, request.get("warehouse"), path.field("warehouse"));
            let from = request.get("from").and_then(Value::as_list).unwrap_or_default();
            for (which, from) in from.iter().enumerate() {
                add(Kind::Stage, Some(from), path.field("from").index(which));
            }
        }
        for (used, path) in blocks(self.planned, "verification") {
            add(Kind::Verification, used.get("template"), path.field("template"));
        }
        found.retain(|it| it.kind != Kind::Stage || it.name != self.identity.name);
        found.extend(self.used_tasks());
        found
    }

    /// The tasks that steps use, at the steps: of a place further inside the client shows only the
    /// resource.
    fn used_tasks(&self) -> Vec<Reference> {
        let named = |step: &Value| {
            let uses = step.get("uses").and_then(Value::as_str)?;
            let config = step.get("config").and_then(Value::as_str)?;
            let config: serde_json::Value = serde_json::from_str(config).ok()?;
            let name = config.get("task")?.as_str()?.to_owned();
            (uses == StepKind::Task.name()).then_some(name)
        };
        let steps = blocks(self.planned, "steps").into_iter();
        let named = steps.filter_map(|(step, path)| Some((named(step)?, path)));
        named.map(|(name, path)| Reference { kind: Kind::Task, name, path }).collect()
    }

    /// Whether something that the object refers to is created or changed by this run.
    fn refers_to_changes(&self) -> bool {
        let project = &self.identity.project;
        self.references().iter().any(|reference| {
            let planned = self.session.overlay.of(reference.kind, project);
            planned.get(&reference.name).is_some_and(|planned| planned.changes)
        })
    }

    /// Tells a task that uses itself; longer circles are the daemon's to tell, which knows all tasks.
    fn tell_own_use(&self, diags: &mut Diagnostics) {
        let name = &self.identity.name;
        for own in self.used_tasks().into_iter().filter(|used| used.name == *name) {
            let text = format!("Task {name:?} uses itself, so its steps would have no end.");
            diags.error_at(own.path, "Circle of tasks", text);
        }
    }

    async fn tell_unknown(&self, kind: Kind, diags: &mut Diagnostics) {
        let project = &self.identity.project;
        let mut known: BTreeSet<String> =
            self.session.overlay.of(kind, project).into_keys().collect();
        let mut unknown = self.references();
        unknown.retain(|it| it.kind == kind && !known.contains(&it.name));
        if unknown.is_empty() {
            return;
        }
        let Some(live) = self.live(kind).await else { return };
        known.extend(live);
        for Reference { name, path, .. } in unknown {
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

    /// The names of the live objects of a kind; none if they cannot be read.
    async fn live(&self, kind: Kind) -> Option<Vec<String>> {
        match kind {
            Kind::Warehouse => self.names::<Warehouse>().await,
            Kind::Stage => self.names::<Stage>().await,
            Kind::Verification => self.names::<Verification>().await,
            Kind::Task => self.names::<Task>().await,
            Kind::Project
            | Kind::Policy
            | Kind::Hold
            | Kind::Freeze
            | Kind::Credential
            | Kind::Token
            | Kind::InstanceFreeze => Some(Vec::new()),
        }
    }

    async fn names<T: Object>(&self) -> Option<Vec<String>> {
        match self.session.api.list_all::<T>(&self.identity.project).await {
            Ok(objects) => Some(objects.iter().map(|object| object.meta().name.clone()).collect()),
            // In a project that is still to be made there is nothing.
            Err(error) if error.code() == Some(ProblemCode::NotFound) => Some(Vec::new()),
            Err(error) => {
                self.session.reach.noticed(&error);
                None
            }
        }
    }

    /// Tells a circle of stages that the planned one closes.
    async fn tell_circle(&self, diags: &mut Diagnostics) {
        let Identity { project, name, .. } = self.identity;
        let wanted = upstreams(self.planned);
        if wanted.is_empty() {
            return;
        }
        let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let live = self.session.reads.pipeline(&self.session.api, project).await;
        for edge in live.iter().flat_map(|pipeline| &pipeline.edges) {
            if let Some(from) = &edge.from {
                graph.entry(edge.to.clone()).or_default().insert(from.clone());
            }
        }
        for (stage, planned) in self.session.overlay.of(Kind::Stage, project) {
            graph.insert(stage, planned.upstreams);
        }
        graph.insert(name.clone(), wanted);
        let Some(circle) = circle(&graph, name) else { return };
        let text = format!(
            "The stages would wait for each other in a circle: {}. No freight could ever reach \
             them.",
            circle.join(" -> ")
        );
        let next = circle.get(1).copied().unwrap_or_default();
        diags.error_at(upstream_path(self.planned, next), "Circle of stages", text);
    }
}

/// Whether a problem is about what else there is, which is judged here.
fn is_of_graph(code: FieldCode) -> bool {
    match code {
        FieldCode::UnknownStage
        | FieldCode::UnknownUpstream
        | FieldCode::UnknownWarehouse
        | FieldCode::UnknownVerification
        | FieldCode::UnknownTask
        | FieldCode::Cycle => true,
        FieldCode::Missing
        | FieldCode::Invalid
        | FieldCode::Duplicate
        | FieldCode::OutOfBounds
        | FieldCode::Conflicting
        | FieldCode::BadName
        | FieldCode::BadDuration
        | FieldCode::BadConstraint
        | FieldCode::BadRegex
        | FieldCode::BadGlob
        | FieldCode::BadUrl
        | FieldCode::BadPlatform
        | FieldCode::BadRecurrence
        | FieldCode::BadTimezone
        | FieldCode::BadExpression
        | FieldCode::UnknownStep
        | FieldCode::UnknownArgument
        | FieldCode::NeverSatisfied
        | FieldCode::Unknown => false,
    }
}

fn blocks<'v>(value: &'v Value, name: &str) -> Vec<(&'v Value, Path)> {
    let elements = value.get(name).and_then(Value::as_list).unwrap_or_default();
    let path = Path::attribute(name);
    elements.iter().enumerate().map(|(at, element)| (element, path.index(at))).collect()
}

/// The upstream stages that a stage names, as far as they are known. Empty for anything else.
pub(super) fn upstreams(value: &Value) -> BTreeSet<String> {
    let requests = value.get("request").and_then(Value::as_list).unwrap_or_default();
    let from = requests.iter().filter_map(|request| request.get("from")?.as_list());
    from.flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Where a stage names an upstream.
fn upstream_path(value: &Value, upstream: &str) -> Path {
    let found = blocks(value, "request").into_iter().find_map(|(request, path)| {
        let from = request.get("from")?.as_list()?;
        let which = from.iter().position(|from| from.as_str() == Some(upstream))?;
        Some(path.field("from").index(which))
    });
    found.unwrap_or_else(|| Path::attribute("request"))
}

/// The way from a stage through its upstreams back to itself, if there is one.
fn circle<'g>(
    graph: &'g BTreeMap<String, BTreeSet<String>>,
    start: &'g str,
) -> Option<Vec<&'g str>> {
    let mut path = vec![start];
    walk(graph, &mut path, &mut HashSet::new()).then_some(path)
}

fn walk<'g>(
    graph: &'g BTreeMap<String, BTreeSet<String>>,
    path: &mut Vec<&'g str>,
    seen: &mut HashSet<&'g str>,
) -> bool {
    let at = path[path.len() - 1];
    for upstream in graph.get(at).into_iter().flatten() {
        path.push(upstream);
        let closed = upstream.as_str() == path[0];
        if closed || (seen.insert(upstream) && walk(graph, path, seen)) {
            return true;
        }
        path.pop();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(edges: &[(&str, &str)], expected: Option<&str>) {
        let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (to, from) in edges {
            graph.entry((*to).to_owned()).or_default().insert((*from).to_owned());
        }
        let found = circle(&graph, "prod").map(|circle| circle.join(" -> "));
        assert_eq!(found.as_deref(), expected, "{edges:?}");
    }

    #[test]
    fn circles_are_spelled_out() {
        check(&[("prod", "staging"), ("staging", "dev")], None);
        check(&[("prod", "prod")], Some("prod -> prod"));
        check(
            &[("prod", "staging"), ("staging", "dev"), ("dev", "prod")],
            Some("prod -> staging -> dev -> prod"),
        );
        // A circle that the stage is not part of is not its mistake.
        check(&[("prod", "a"), ("a", "b"), ("b", "a")], None);
    }
}
