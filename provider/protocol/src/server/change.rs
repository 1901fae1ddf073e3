//! Planning and applying changes of managed resources.

use super::Server;
use super::identity::{decode_identity, identify};
use super::registry::Entry;
use super::state::{no_reason, unknown_in_state};
use crate::cty::{Path, Value};
use crate::diagnostic::Diagnostics;
use crate::plan::{self, Violation};
use crate::provider::{Change, Context, Destroy, Plan, Provider, Resource, State};
use crate::wire::tfplugin6::{apply_resource_change, plan_resource_change};

impl<P: Provider> Server<P> {
    pub(super) async fn plan_change(
        &self,
        request: plan_resource_change::Request,
        cx: &Context<P::Client>,
        diags: &mut Diagnostics,
    ) -> Option<plan_resource_change::Response> {
        let entry = self.resource(&request.type_name, diags)?;
        let prior = entry.typed.decode(request.prior_state.as_ref(), diags)?;
        let proposed = entry.typed.decode(request.proposed_new_state.as_ref(), diags)?;
        let config = entry.typed.decode(request.config.as_ref(), diags)?;
        let identity = decode_identity(entry, request.prior_identity.as_ref(), diags)?;
        let private = request.prior_private;
        if proposed.is_null() {
            let destroy = Destroy { state: &prior, private: &private };
            entry.item.plan_destroy(cx, destroy, diags).await;
            return Some(plan_resource_change::Response {
                planned_state: entry.typed.encode(&Value::Null, diags),
                planned_private: private,
                planned_identity: request.prior_identity,
                ..plan_resource_change::Response::default()
            });
        }
        let made = plan::plan(&entry.typed.schema, &prior, proposed, &config);
        let made =
            diags.take(Path::root(), "Bug in the provider: default of another type", made)?;
        let mut plan = Plan {
            prior: Some(&prior).filter(|prior| !prior.is_null()),
            config: &config,
            planned: made.value,
            private,
            kept: Some(request.planned_private.as_slice()).filter(|kept| !kept.is_empty()),
            requires_replace: made.requires_replace,
        };
        entry.item.plan(cx, &mut plan, diags).await;
        let Plan { planned: value, private, requires_replace, .. } = plan;
        let mut value = entry.typed.conform(value, diags)?;
        plan::strip_write_only(&entry.typed.schema.block, &mut value);
        let found = plan::plan_violations(&entry.typed.schema.block, &prior, &config, &value);
        broken("Bug in the provider: invalid plan", found, diags);
        let paths = replaced(entry, &value, &prior, requires_replace);
        // A new object may get another identity than the one that is replaced.
        let before = if prior.is_null() { &Value::Null } else { &identity };
        Some(plan_resource_change::Response {
            planned_state: entry.typed.encode(&value, diags),
            requires_replace: paths.iter().map(Path::to_wire).collect(),
            planned_private: private,
            planned_identity: identify(entry, cx, &value, before, diags),
            ..plan_resource_change::Response::default()
        })
    }

    pub(super) async fn apply_change(
        &self,
        request: apply_resource_change::Request,
        cx: &Context<P::Client>,
        diags: &mut Diagnostics,
    ) -> Option<apply_resource_change::Response> {
        let entry = self.resource(&request.type_name, diags)?;
        let prior = entry.typed.decode(request.prior_state.as_ref(), diags)?;
        let planned = entry.typed.decode(request.planned_state.as_ref(), diags)?;
        let config = entry.typed.decode(request.config.as_ref(), diags)?;
        let identity = decode_identity(entry, request.planned_identity.as_ref(), diags)?;
        // Of an object that was only planned, nobody knows yet which it is.
        let identity = if identity.is_wholly_known() { identity } else { Value::Null };
        let private = request.planned_private;
        let state = if planned.is_null() {
            let destroy = Destroy { state: &prior, private: &private };
            entry.item.delete(cx, destroy, diags).await;
            // What could not be deleted is still there.
            if diags.has_errors() { State { value: prior, private } } else { State::default() }
        } else {
            let existing = Some(&prior).filter(|prior| !prior.is_null());
            let change =
                Change { prior: existing, planned: &planned, config: &config, private: &private };
            let state = match existing {
                None => entry.item.create(cx, change, diags).await,
                Some(_) => entry.item.update(cx, change, diags).await,
            };
            match state {
                Some(state) => applied(entry, state, &planned, diags),
                None => {
                    no_reason(diags, "apply");
                    State { value: prior, private }
                }
            }
        };
        Some(apply_resource_change::Response {
            new_state: entry.typed.encode(&state.value, diags),
            new_identity: identify(entry, cx, &state.value, &identity, diags),
            private: state.private,
            ..apply_resource_change::Response::default()
        })
    }
}

/// The paths that the schema and the resource name, as far as something changes there. The
/// client refuses paths to nothing.
fn replaced<C>(
    entry: &Entry<dyn Resource<C>>,
    planned: &Value,
    prior: &Value,
    named: Vec<Path>,
) -> Vec<Path> {
    if prior.is_null() {
        return Vec::new();
    }
    let block = &entry.typed.schema.block;
    let mut paths = plan::replace_paths(block, planned, prior);
    let write_only =
        |path: &Path| entry.typed.schema.attribute_at(path).is_some_and(|found| found.write_only);
    let named = named.into_iter();
    paths.extend(named.filter(|path| prior.at(path) != planned.at(path) || write_only(path)));
    paths.sort();
    paths.dedup();
    paths
}

/// The state after a create or an update, checked against what was planned. A state that comes
/// with errors is what is true, not what was promised: it is only made known.
fn applied<C>(
    entry: &Entry<dyn Resource<C>>,
    state: State,
    planned: &Value,
    diags: &mut Diagnostics,
) -> State {
    let block = &entry.typed.schema.block;
    let State { value, private } = state;
    let Some(mut value) = entry.typed.conform(value, diags) else {
        return State { value: known(planned.clone()), private };
    };
    plan::keep_equal_forms(block, &mut value, planned);
    plan::strip_write_only(block, &mut value);
    if !diags.has_errors() {
        if let Some(path) = value.first_unknown() {
            unknown_in_state(path, diags);
        }
        let found = plan::apply_violations(block, planned, &value);
        broken("Bug in the provider: result is not what was planned", found, diags);
    }
    State { value: known(value), private }
}

fn broken(summary: &str, found: Vec<Violation>, diags: &mut Diagnostics) {
    for Violation { path, problem } in found {
        let place = if path.is_root() { "the object".to_owned() } else { path.to_string() };
        let detail = format!("{place}: {problem}. Please report this.");
        diags.error_at(path, summary, detail);
    }
}

/// The value with null for whatever is unknown: a state has no unknowns.
fn known(value: Value) -> Value {
    match value {
        Value::Unknown(_) => Value::Null,
        Value::List(elements) => Value::List(elements.into_iter().map(known).collect()),
        Value::Map(elements) => {
            Value::Map(elements.into_iter().map(|(name, value)| (name, known(value))).collect())
        }
        Value::Dynamic(mut dynamic) => {
            dynamic.value = known(dynamic.value);
            Value::Dynamic(dynamic)
        }
        value @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => value,
    }
}
