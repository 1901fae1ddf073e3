//! What an object refers to, judged with everything that this run plans.
//!
//! The daemon judges one object against the live world. Objects that this run creates or changes
//! first are not there yet, so what it says about them would be false; here they count.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Value};
use reconciler_api::client::ClientError;
use reconciler_api::problem::{FieldCode, FieldProblem, ProblemCode};
use reconciler_api::v1::Kind;
use reconciler_domain::step::StepKind;

use crate::failure::{Places, tell_field};
use crate::references::{Reference, tell_idle, tell_unknown};
use crate::session::{Identity, Session};

/// An object as this run plans it.
#[derive(Clone, Copy)]
pub(super) struct Run<'r> {
    pub(super) session: &'r Session,
    pub(super) identity: &'r Identity,
    pub(super) planned: &'r Value,
}

impl<'r> Run<'r> {
    /// Whether there was no answer only because this run creates the project: no freight yet.
    pub(super) fn creates_project(&self, error: &ClientError) -> bool {
        let project = &self.identity.project;
        error.code() == Some(ProblemCode::NotFound)
            && self.session.overlay.has(Kind::Project, project, project)
    }

    /// Tells the problems that stay problems with what this run plans: those that the object has
    /// together with its changes, if the daemon was asked about that.
    pub(super) fn tell_problems(
        &self,
        alone: &[FieldProblem],
        together: Option<&[FieldProblem]>,
        places: &Places,
        diags: &mut Diagnostics,
    ) {
        // What it refers to is otherwise by then, so alone it is judged against what will not be.
        let problems = match together {
            Some(together) => together,
            None if self.refers_to_changes() => &[],
            None => alone,
        };
        for problem in problems.iter().filter(|problem| !is_of_graph(problem.code)) {
            tell_field(problem, &format!("Invalid {}", self.identity.kind), places, diags);
        }
    }

    /// Tells names that nothing has, and circles.
    pub(super) async fn tell_graph(&self, diags: &mut Diagnostics) {
        if self.identity.kind == Kind::Task {
            self.tell_own_use(diags);
        }
        let project = &self.identity.project;
        for kind in [Kind::Warehouse, Kind::Stage, Kind::Task, Kind::Verification] {
            tell_unknown(self.session, project, kind, self.references(), diags).await;
        }
        tell_idle(self.session, self.identity, self.patterns(), diags).await;
        if self.identity.kind == Kind::Stage {
            self.tell_circle(diags).await;
        }
    }

    /// The patterns of stages' names, as far as they are known.
    fn patterns(&self) -> Vec<Reference> {
        let (block, attribute) = match self.identity.kind {
            Kind::Policy => ("stages", "names"),
            Kind::Freeze => ("except", "stages"),
            Kind::Project
            | Kind::Warehouse
            | Kind::Stage
            | Kind::Verification
            | Kind::Task
            | Kind::Hold
            | Kind::Credential
            | Kind::Token
            | Kind::InstanceFreeze => return Vec::new(),
        };
        let mut found = Vec::new();
        for (block, path) in blocks(self.planned, block) {
            let patterns = block.get(attribute).and_then(Value::as_list).unwrap_or_default();
            for (at, pattern) in patterns.iter().enumerate() {
                let Some(name) = pattern.as_str().map(str::to_owned) else { continue };
                let path = path.field(attribute).index(at);
                found.push(Reference { kind: Kind::Stage, name, path });
            }
        }
        found
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
            let planned = self.session.overlay.get(reference.kind, project, &reference.name);
            planned.is_some_and(|planned| planned.changes)
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

    /// Tells a circle of stages that the planned one closes.
    async fn tell_circle(&self, diags: &mut Diagnostics) {
        let Identity { project, name, .. } = self.identity;
        let wanted = upstreams(self.planned);
        if wanted.is_empty() {
            return;
        }
        let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let live = self.session.reads.pipeline(&self.session.api, project).await;
        for edge in live.iter().flatten().flat_map(|pipeline| &pipeline.edges) {
            if let Some(from) = &edge.from {
                graph.entry(edge.to.clone()).or_default().insert(from.clone());
            }
        }
        graph.extend(self.session.overlay.upstreams(project));
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
