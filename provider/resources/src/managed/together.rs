//! What changes of one run do together.
//!
//! The daemon judges an object alone against the live world first. Where this run changes what the
//! object is about as well, it is asked once more with all of that: only together a new stage and a
//! new policy promote freight. The answer is told and enters no plan, because which objects were
//! planned before this one is partly chance.

use std::collections::BTreeMap;
use std::sync::Arc;

use provider_protocol::Diagnostics;
use reconciler_api::client::ClientError;
use reconciler_api::problem::{FieldProblem, ProblemCode};
use reconciler_api::v1::{
    Definition, HoldSpec, Kind, PolicySpec, Preview, PreviewChange, PreviewSet, PreviewWarning,
    StageSpec, Step,
};
use reconciler_domain::glob::matches_name;
use reconciler_domain::step::StepKind;

use super::graph::Run;
use super::plan::Need;
use super::preview;
use crate::failure::Places;
use crate::overlay::Overlay;
use crate::session::Identity;
use crate::words::{headline, sentence};

/// More changes are judged by `lockstep preview`, once for the whole plan and not for each object.
const TOGETHER_MAX: usize = 100;

/// Changes by kind and name.
type Changes = BTreeMap<(Kind, String), Arc<Definition>>;

impl Run<'_> {
    /// Asks what the object does together with what this run changes of that which it is about, and
    /// warns of it. The problems that it then has; none if there is nothing of that kind, or no answer.
    pub(super) async fn judge_together(
        &self,
        seen: &Identity,
        own: Definition,
        places: &Places,
        diags: &mut Diagnostics,
    ) -> Option<Vec<FieldProblem>> {
        let Identity { project, name, .. } = self.identity;
        let others = about(&self.session.overlay, project, (own.kind(), name), &own)?;
        if others.is_empty() || others.len() >= TOGETHER_MAX {
            return None;
        }
        let change = |name: &str, definition: &Definition| PreviewChange {
            name: name.to_owned(),
            definition: definition.clone(),
            remove: false,
        };
        let mut changes: Vec<PreviewChange> =
            others.iter().map(|((_, name), definition)| change(name, definition)).collect();
        changes.push(change(&seen.name, &own));
        let set = PreviewSet { changes, replay: Some(0) };
        match self.session.api.preview_set(project, &set).await {
            Ok(answer) => {
                self.warn_together(&answer, &set, places, diags);
                Some(own_problems(answer, set.changes.len() - 1))
            }
            Err(error) => {
                self.tell_unjudged(&error, diags);
                None
            }
        }
    }

    /// Tells the warnings that nobody told before, at the object that completes what causes them.
    fn warn_together(
        &self,
        answer: &Preview,
        set: &PreviewSet,
        places: &Places,
        diags: &mut Diagnostics,
    ) {
        for (at, change) in set.changes.iter().enumerate() {
            let is_own = at + 1 == set.changes.len();
            let (kind, name) = (change.definition.kind(), change.name.clone());
            // A renamed one is asked about under its old name, and told of under its new one.
            let of = if is_own {
                self.identity.clone()
            } else {
                Identity { kind, project: self.identity.project.clone(), name }
            };
            for warning in &answer.warnings {
                let Some(field) = field_of(&warning.path, at) else { continue };
                let warning = PreviewWarning { path: field.to_owned(), ..warning.clone() };
                let said = (warning.path.as_str(), warning.summary.as_str());
                if !self.session.overlay.is_news(&of, said, &warning.detail) {
                    continue;
                }
                let detail = sentence(&warning.detail);
                let (path, detail) = if is_own {
                    (places.path(&warning.path), detail)
                } else {
                    let with =
                        format!("So it is together with {kind} {of}, which this run changes.");
                    (places.path(""), format!("{detail}\n\n{with}"))
                };
                diags.warning_at(path, headline(&warning.summary), detail);
            }
        }
    }

    /// Nothing that is planned depends on this answer, so that its failure alone is no error.
    fn tell_unjudged(&self, error: &ClientError, diags: &mut Diagnostics) {
        if error.code() == Some(ProblemCode::NotFound) {
            return;
        }
        let Run { session, identity, .. } = *self;
        if error.is_unreachable() || error.is_foreign() {
            preview::tell_unanswered(session, identity, Need::May, error, diags);
        } else {
            preview::tell_unforeseen(identity, error, diags);
        }
    }
}

/// The problems of one of several changes, at its own fields.
fn own_problems(answer: Preview, at: usize) -> Vec<FieldProblem> {
    let problems = answer.problems.into_iter();
    let own = |problem: FieldProblem| {
        let path = field_of(&problem.path, at)?.to_owned();
        Some(FieldProblem { path, ..problem })
    };
    problems.filter_map(own).collect()
}

/// The field of a change that a place in a set names: of `changes[2].soak`, for the third, `soak`.
fn field_of(path: &str, at: usize) -> Option<&str> {
    let rest = path.strip_prefix(&format!("changes[{at}]"))?;
    Some(rest.strip_prefix('.').unwrap_or(rest))
}

/// What this run changes of that which a definition is about: what it refers to, further and further;
/// the stages that a policy selects; the policies that select these stages. None if something of it
/// is not wholly known.
fn about(
    overlay: &Overlay,
    project: &str,
    (kind, name): (Kind, &str),
    own: &Definition,
) -> Option<Changes> {
    let mut found = Changes::new();
    let mut open = referred(own);
    if let Definition::Policy(policy) = own {
        let changed = overlay.changed(Kind::Stage, project).into_iter();
        let selected = changed.filter(|(stage, _)| selects(policy, stage));
        open.extend(selected.map(|(stage, _)| (Kind::Stage, stage)));
    }
    if kind == Kind::Stage {
        open.extend(policies_of(overlay, project, name));
    }
    while let Some(key) = open.pop() {
        if found.contains_key(&key) || (key.0 == kind && key.1 == name) {
            continue;
        }
        let planned = overlay.get(key.0, project, &key.1).filter(|planned| planned.changes);
        let Some(planned) = planned else { continue };
        let definition = planned.definition?;
        open.extend(referred(&definition));
        if key.0 == Kind::Stage {
            open.extend(policies_of(overlay, project, &key.1));
        }
        found.insert(key, definition);
    }
    Some(found)
}

/// The changed policies that select a stage, as far as they are known.
fn policies_of(overlay: &Overlay, project: &str, stage: &str) -> Vec<(Kind, String)> {
    let selects = |definition: &Definition| match definition {
        Definition::Policy(policy) => selects(policy, stage),
        Definition::Stage(_)
        | Definition::Warehouse(_)
        | Definition::Hold(_)
        | Definition::Freeze(_)
        | Definition::InstanceFreeze(_)
        | Definition::Verification(_)
        | Definition::Task(_) => false,
    };
    let policies = overlay.changed(Kind::Policy, project).into_iter();
    let selecting = policies.filter(|(_, it)| it.as_deref().is_some_and(selects));
    selecting.map(|(name, _)| (Kind::Policy, name)).collect()
}

fn selects(policy: &PolicySpec, stage: &str) -> bool {
    policy.stages.names.iter().any(|pattern| matches_name(pattern, stage))
}

/// The objects that a definition names.
fn referred(definition: &Definition) -> Vec<(Kind, String)> {
    let named = |kind: Kind, name: &String| (kind, name.clone());
    match definition {
        Definition::Stage(StageSpec { requests, verifications, steps, .. }) => {
            let warehouses = requests.iter().map(|it| named(Kind::Warehouse, &it.warehouse));
            let upstreams = requests.iter().flat_map(|it| &it.from);
            let checks = verifications.iter().map(|it| named(Kind::Verification, &it.template));
            let upstreams = upstreams.map(|it| named(Kind::Stage, it));
            warehouses.chain(upstreams).chain(checks).chain(tasks(steps)).collect()
        }
        Definition::Task(task) => tasks(&task.steps).collect(),
        Definition::Policy(policy) => {
            policy.soak_in.keys().map(|stage| named(Kind::Stage, stage)).collect()
        }
        Definition::Hold(HoldSpec { stage, .. }) => {
            stage.iter().map(|stage| named(Kind::Stage, stage)).collect()
        }
        Definition::Warehouse(_)
        | Definition::Freeze(_)
        | Definition::InstanceFreeze(_)
        | Definition::Verification(_) => Vec::new(),
    }
}

/// The tasks that steps use.
fn tasks(steps: &[Step]) -> impl Iterator<Item = (Kind, String)> {
    let used = steps.iter().filter(|step| step.uses == StepKind::Task.name());
    used.filter_map(|step| Some((Kind::Task, step.config.get("task")?.as_str()?.to_owned())))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use reconciler_api::v1::{Mode, StageSelector, WarehouseSpec};
    use serde_json::json;

    use super::*;
    use crate::overlay::Planned;

    fn stage(spec: serde_json::Value) -> Definition {
        Definition::Stage(serde_json::from_value(spec).expect("a stage"))
    }

    fn policy(names: &[&str]) -> Definition {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let stages = StageSelector { names };
        let spec = json!({ "mode": Mode::Gated, "stages": stages });
        Definition::Policy(serde_json::from_value(spec).expect("a policy"))
    }

    fn add(overlay: &Overlay, name: &str, changes: bool, definition: Option<&Definition>) {
        let kind = definition.map_or(Kind::Stage, Definition::kind);
        let identity = Identity { kind, project: "shop".to_owned(), name: name.to_owned() };
        let definition = definition.cloned().map(Arc::new);
        let planned = Planned { changes, upstreams: BTreeSet::new(), definition };
        overlay.add(kind, &identity, planned);
    }

    #[track_caller]
    fn check(overlay: &Overlay, name: &str, own: &Definition, expected: Option<&[&str]>) {
        let found = about(overlay, "shop", (own.kind(), name), own);
        let found: Option<Vec<String>> =
            found.map(|found| found.keys().map(|(kind, name)| format!("{kind} {name}")).collect());
        let expected: Option<Vec<String>> =
            expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(found, expected, "{name}");
    }

    #[test]
    fn a_definition_is_about_what_it_names_and_what_speaks_of_it() {
        let overlay = Overlay::default();
        let warehouse: WarehouseSpec =
            serde_json::from_value(json!({ "interval": "1m" })).expect("a warehouse");
        let request = |from: &[&str]| json!([{ "warehouse": "wares", "from": from }]);
        let dev = stage(json!({ "requests": request(&[]) }));
        let qa = stage(json!({ "requests": request(&["dev", "live"]) }));
        add(&overlay, "wares", true, Some(&Definition::Warehouse(warehouse)));
        add(&overlay, "dev", true, Some(&dev));
        add(&overlay, "live", false, Some(&dev));
        // What does not change is as the daemon has it.
        check(&overlay, "qa", &qa, Some(&["warehouse wares", "stage dev"]));
        add(&overlay, "qa", true, Some(&qa));
        add(&overlay, "all", true, Some(&policy(&["*"])));
        add(&overlay, "other", true, Some(&policy(&["prod"])));
        // Of the stages that the other policy selects, only its own are judged.
        let whole: &[&str] = &["warehouse wares", "stage dev", "stage qa", "policy all"];
        check(&overlay, "new", &policy(&["qa"]), Some(whole));
        let alone: &[&str] = &["warehouse wares", "policy all"];
        check(&overlay, "dev", &dev, Some(alone));
        check(&overlay, "new", &policy(&["prod"]), Some(&[]));
        // What is not known cannot be asked about.
        add(&overlay, "late", true, None);
        check(&overlay, "new", &policy(&["late"]), None);
    }

    #[test]
    fn a_place_in_a_set_is_one_of_a_change() {
        for (path, at, field) in [
            ("changes[2].stages.names[0]", 2, Some("stages.names[0]")),
            ("changes[2]", 2, Some("")),
            ("changes[12].soak", 1, None),
            ("soak", 0, None),
        ] {
            assert_eq!(field_of(path, at), field, "{path}");
        }
    }
}
