//! The JSON form of a plan, as far as it is used.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{Address, mask};

/// What is done to one resource instance or output.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is made.
    Create,
    /// It is changed in place.
    Update,
    /// It is made anew, and the old one is deleted or forgotten.
    Replace,
    /// It is deleted.
    Delete,
    /// Nothing, or only its place in the state changes.
    NoOp,
    /// A data source is read during the apply.
    Read,
    /// It leaves the state and stays in the world.
    Forget,
}

/// A plan cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The text is not the JSON form of a plan. The text itself is not printed: it may hold
    /// secrets.
    #[error("the plan is not valid JSON of a plan (line {line}, column {column})")]
    Json {
        /// Line, from 1; 0 if unknown.
        line: usize,
        /// Column, from 1; 0 if unknown.
        column: usize,
    },
    /// Another major version of the format.
    #[error("the plan has format version `{version}`, versions 1.x are understood")]
    Format {
        /// The version it says.
        version: String,
    },
    /// A combination of actions that is not known, so it cannot be judged.
    #[error("`{address}` has the actions {actions:?}, which are not understood")]
    Actions {
        /// Where.
        address: String,
        /// The actions as written.
        actions: Vec<String>,
    },
    /// Planning failed half-way, so the plan cannot be applied.
    #[error("the plan is marked as errored and cannot be applied: see the plan's own log")]
    Errored,
}

/// A plan that was read and whose actions are all understood.
#[derive(Clone)]
pub struct Plan(pub(super) Document);

impl fmt::Debug for Plan {
    /// Addresses only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.0.resource_changes.iter().map(|change| &change.address);
        f.debug_tuple("Plan").field(&addresses.collect::<Vec<_>>()).finish()
    }
}

/// The value an output will have. Printing it for debugging does not show a sensitive one.
#[derive(Clone, PartialEq, Eq)]
pub struct PlannedOutput {
    /// The value; `None` if it, or a part of it, is known only after the apply.
    pub value: Option<Value>,
    /// Whether the configuration marks it as sensitive.
    pub sensitive: bool,
}

impl fmt::Debug for PlannedOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(_) if self.sensitive => f.write_str("PlannedOutput(sensitive)"),
            Some(value) => write!(f, "PlannedOutput({value})"),
            None => f.write_str("PlannedOutput(unknown)"),
        }
    }
}

impl Plan {
    /// Reads the JSON form of a plan.
    ///
    /// # Errors
    ///
    /// [`PlanError`]; a plan with actions that are not understood is refused, not half read.
    pub fn parse(json: &[u8]) -> Result<Self, PlanError> {
        Self::checked(serde_json::from_slice(json))
    }

    /// Reads a plan from a JSON value.
    ///
    /// # Errors
    ///
    /// As for [`Plan::parse`].
    pub fn from_value(value: &Value) -> Result<Self, PlanError> {
        Self::checked(Document::deserialize(value))
    }

    fn checked(document: serde_json::Result<Document>) -> Result<Self, PlanError> {
        let document = document
            .map_err(|error| PlanError::Json { line: error.line(), column: error.column() })?;
        if !document.format_version.starts_with("1.") {
            return Err(PlanError::Format { version: document.format_version });
        }
        if document.errored {
            return Err(PlanError::Errored);
        }
        let resources = document.resource_changes.iter().chain(&document.resource_drift);
        let resources = resources.map(|resource| (&resource.address, &resource.change));
        for (address, change) in resources.chain(&document.output_changes) {
            if action(&change.actions).is_none() {
                let (address, actions) = (address.clone(), change.actions.clone());
                return Err(PlanError::Actions { address, actions });
            }
        }
        Ok(Self(document))
    }

    /// Every output of the root module and what is known of its value.
    #[must_use]
    pub fn outputs(&self) -> BTreeMap<String, PlannedOutput> {
        let mut outputs = BTreeMap::new();
        for (name, change) in &self.0.output_changes {
            if change.action() == Action::Delete {
                continue;
            }
            let known = !mask::any(&change.after_unknown);
            let value = known.then(|| change.after.clone());
            let sensitive = mask::any(&change.after_sensitive);
            outputs.insert(name.clone(), PlannedOutput { value, sensitive });
        }
        for (name, planned) in &self.0.planned_values.outputs {
            let output = outputs.entry(name.clone()).or_insert_with(|| PlannedOutput {
                value: planned.value.clone(),
                sensitive: planned.sensitive,
            });
            output.sensitive |= planned.sensitive;
        }
        outputs
    }
}

impl Plan {
    /// The resource instances that were in the state, refreshed; absent: there was no state, or an empty one.
    #[must_use]
    pub fn known_before(&self) -> Option<BTreeSet<Address>> {
        let values = self.0.prior_state.get("values").filter(|values| values.is_object())?;
        let mut found = BTreeSet::new();
        let mut open: Vec<&Value> = values.get("root_module").into_iter().collect();
        while let Some(module) = open.pop() {
            let addresses = list(module, "resources").filter_map(|it| it.get("address")?.as_str());
            found.extend(addresses.map(Address::new));
            open.extend(list(module, "child_modules"));
        }
        Some(found)
    }

    /// The attributes and blocks that the configuration of a resource sets; absent: it is not in the plan.
    pub(super) fn configured(&self, address: &Address) -> Option<BTreeSet<&str>> {
        let (calls, resource) = address.declared()?;
        let mut module = self.0.configuration.get("root_module")?;
        for call in calls {
            module = module.get("module_calls")?.get(call)?.get("module")?;
        }
        let named = |it: &&Value| it.get("address").and_then(Value::as_str) == Some(&resource);
        let declared = list(module, "resources").find(named)?;
        let set = declared.get("expressions").and_then(Value::as_object);
        Some(set.into_iter().flat_map(|set| set.keys().map(String::as_str)).collect())
    }
}

fn list<'a>(of: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    of.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// A plan's JSON; fields that are not used are ignored, as the format demands.
#[derive(Clone, Deserialize)]
pub(super) struct Document {
    format_version: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) resource_changes: Vec<ResourceChange>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) resource_drift: Vec<ResourceChange>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) output_changes: BTreeMap<String, Change>,
    #[serde(default, deserialize_with = "or_default")]
    planned_values: PlannedValues,
    /// Changes that wait for a later plan (Terraform 1.8 and later).
    #[serde(default)]
    pub(super) deferred_changes: Value,
    /// The state that it was made against, refreshed; absent: there was none.
    #[serde(default)]
    prior_state: Value,
    /// The module, as it is written.
    #[serde(default)]
    configuration: Value,
    /// Actions that providers are asked to run (Terraform 1.14 and later).
    #[serde(default)]
    pub(super) action_invocations: Value,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) applyable: bool,
    #[serde(default, deserialize_with = "or_default")]
    errored: bool,
}

#[derive(Clone, Deserialize)]
pub(super) struct ResourceChange {
    pub(super) address: String,
    #[serde(default)]
    pub(super) previous_address: Option<String>,
    #[serde(default)]
    pub(super) mode: Mode,
    #[serde(default)]
    pub(super) provider_name: String,
    #[serde(default)]
    pub(super) deposed: Option<String>,
    #[serde(default)]
    pub(super) action_reason: Option<String>,
    pub(super) change: Change,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    #[default]
    Managed,
    Data,
    #[serde(other)]
    Other,
}

#[derive(Clone, Deserialize)]
pub(super) struct Change {
    pub(super) actions: Vec<String>,
    #[serde(default)]
    pub(super) before: Value,
    #[serde(default)]
    pub(super) after: Value,
    #[serde(default)]
    pub(super) after_unknown: Value,
    #[serde(default)]
    pub(super) before_sensitive: Value,
    #[serde(default)]
    pub(super) after_sensitive: Value,
    #[serde(default)]
    pub(super) replace_paths: Value,
    #[serde(default)]
    pub(super) importing: Option<Value>,
    #[serde(default)]
    pub(super) generated_config: Value,
}

#[derive(Clone, Default, Deserialize)]
struct PlannedValues {
    #[serde(default, deserialize_with = "or_default")]
    outputs: BTreeMap<String, PlannedValue>,
}

#[derive(Clone, Deserialize)]
struct PlannedValue {
    #[serde(default)]
    sensitive: bool,
    #[serde(default)]
    value: Option<Value>,
}

impl ResourceChange {
    pub(super) fn address(&self) -> Address {
        Address::new(self.address.as_str())
    }

    pub(super) fn is_managed(&self) -> bool {
        self.mode == Mode::Managed
    }

    /// Whether applying does nothing to it, not even to its place in the state.
    pub(super) fn is_idle(&self) -> bool {
        self.change.action() == Action::NoOp && !self.is_moved() && self.change.importing.is_none()
    }

    fn is_moved(&self) -> bool {
        self.previous_address.as_ref().is_some_and(|previous| *previous != self.address)
    }

    pub(super) fn moved_from(&self) -> Option<Address> {
        self.previous_address.as_deref().filter(|_| self.is_moved()).map(Address::new)
    }
}

impl Change {
    pub(super) fn action(&self) -> Action {
        action(&self.actions).expect("the actions were checked when the plan was read")
    }
}

fn action(actions: &[String]) -> Option<Action> {
    let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
    Some(match actions.as_slice() {
        ["no-op"] => Action::NoOp,
        ["create"] => Action::Create,
        ["read"] => Action::Read,
        ["update"] => Action::Update,
        ["delete"] => Action::Delete,
        ["forget"] => Action::Forget,
        ["delete" | "forget", "create"] | ["create", "delete" | "forget"] => Action::Replace,
        _ => return None,
    })
}

/// The format writes `null` for what is empty.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
