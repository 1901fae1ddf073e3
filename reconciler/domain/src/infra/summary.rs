//! What a plan would do, for people and rules.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Action, Address, Plan,
    mask::{self, Parts},
    plan::{Change, ResourceChange},
};

/// The longest text of one attribute's value, in characters.
const MAX_VALUE: usize = 120;

/// The summary of a plan. It holds no sensitive value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanSummary {
    /// Managed resource instances that are created.
    pub create: u32,
    /// Those changed in place.
    pub update: u32,
    /// Those made anew.
    pub replace: u32,
    /// Those deleted, deposed objects included.
    pub delete: u32,
    /// Those that stay as they are.
    pub no_op: u32,
    /// The addresses by action, sorted.
    pub addresses: BTreeMap<Action, Vec<Address>>,
    /// Every change, by address; instances that stay as they are where they are, are left out.
    pub changes: Vec<PlannedChange>,
    /// The outputs of the root module that change.
    pub outputs: BTreeMap<String, OutputChange>,
    /// What changed in the world since the last apply.
    pub drift: Vec<Drift>,
    /// Whether applying would change anything: resources, outputs, moves, imports, the state.
    pub has_changes: bool,
    /// Nothing was planned, because nothing that a plan is made of has changed: since what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unchanged: Option<String>,
}

/// One change of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedChange {
    /// Where.
    pub address: Address,
    /// What is done.
    pub action: Action,
    /// Why, in the tool's words (`replace_because_cannot_update`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The address before, if it moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_address: Option<Address>,
    /// Whether an existing object is taken into the state.
    #[serde(default)]
    pub importing: bool,
    /// The key of a deposed object: what a replacement left behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deposed: Option<String>,
    /// Whether a replacement creates the new object before it deletes the old one.
    #[serde(default)]
    pub create_first: bool,
    /// The attributes that change, of an update or a replacement.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<AttributeChange>,
}

/// One attribute that changes; its values as JSON, shortened and masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttributeChange {
    /// The attribute.
    pub name: String,
    /// Its value before.
    pub before: String,
    /// Its value after.
    pub after: String,
}

/// The change of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutputChange {
    /// What is done.
    pub action: Action,
    /// Whether its value is known only after the apply.
    pub unknown: bool,
    /// Whether the configuration marks it as sensitive.
    pub sensitive: bool,
}

/// A resource instance that differs from the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drift {
    /// Where.
    pub address: Address,
    /// What was done to it outside: updated or deleted; of what a look found also forgotten, where it is in the
    /// state no longer.
    pub action: Action,
    /// The attributes that are other ones, of an update.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<AttributeChange>,
    /// Whether the configuration says anything of what differs; else only the provider does.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub configured: bool,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_yes(value: &bool) -> bool {
    *value
}

impl Drift {
    /// What happened, in one clause.
    #[must_use]
    pub fn describe(&self) -> String {
        let Self { address, action, attributes, configured } = self;
        match action {
            Action::Delete => format!("`{address}` was deleted outside"),
            Action::Forget => format!("`{address}` is no longer in the state"),
            Action::Update | Action::Create | Action::Replace | Action::NoOp | Action::Read => {
                let names: Vec<&str> = attributes.iter().map(|at| at.name.as_str()).collect();
                let names = match names.as_slice() {
                    [] => String::new(),
                    names => format!(" ({})", names.join(", ")),
                };
                let by = if *configured { "" } else { ", only in what its provider computes" };
                format!("`{address}` was changed outside{names}{by}")
            }
        }
    }
}

impl Plan {
    /// What this plan would do.
    #[must_use]
    pub fn summary(&self) -> PlanSummary {
        let mut summary = PlanSummary::default();
        for resource in &self.0.resource_changes {
            summary.add(resource);
        }
        summary.addresses.values_mut().for_each(|addresses| addresses.sort());
        summary.changes.sort_by(|a, b| (&a.address, &a.deposed).cmp(&(&b.address, &b.deposed)));
        summary.outputs = self.output_changes();
        summary.drift = self.drift();
        let invokes = self.0.action_invocations.as_array().is_some_and(|list| !list.is_empty());
        let acts = |change: &PlannedChange| change.action != Action::Read;
        summary.has_changes = summary.changes.iter().any(acts)
            || !summary.outputs.is_empty()
            || invokes
            || self.0.applyable;
        summary
    }

    fn output_changes(&self) -> BTreeMap<String, OutputChange> {
        let changed = self.0.output_changes.iter();
        let changed = changed.filter(|(_, change)| change.action() != Action::NoOp);
        let summarized = changed.map(|(name, change)| {
            let sensitive =
                mask::any(&change.before_sensitive) || mask::any(&change.after_sensitive);
            let unknown = mask::any(&change.after_unknown);
            (name.clone(), OutputChange { action: change.action(), unknown, sensitive })
        });
        summarized.collect()
    }

    fn drift(&self) -> Vec<Drift> {
        let drifted = self.0.resource_drift.iter();
        let drifted = drifted.filter(|drift| drift.change.action() != Action::NoOp);
        let mut drift: Vec<Drift> = drifted.map(|drifted| self.drift_of(drifted)).collect();
        drift.sort_by(|a, b| a.address.cmp(&b.address));
        drift
    }
}

impl Plan {
    fn drift_of(&self, drifted: &ResourceChange) -> Drift {
        let (address, action) = (drifted.address(), drifted.change.action());
        let compared = action == Action::Update;
        let attributes = if compared { attributes(&drifted.change) } else { Vec::new() };
        let set = self.configured(&address);
        let configured = !compared
            || set.is_none_or(|set| attributes.iter().any(|at| set.contains(at.name.as_str())));
        Drift { address, action, attributes, configured }
    }
}

impl PlanSummary {
    fn add(&mut self, resource: &ResourceChange) {
        let action = resource.change.action();
        if resource.is_managed() {
            let count = match action {
                Action::Create => Some(&mut self.create),
                Action::Update => Some(&mut self.update),
                Action::Replace => Some(&mut self.replace),
                Action::Delete => Some(&mut self.delete),
                Action::NoOp => Some(&mut self.no_op),
                Action::Read | Action::Forget => None,
            };
            if let Some(count) = count {
                *count += 1;
            }
        }
        if resource.is_managed() || action != Action::NoOp {
            self.addresses.entry(action).or_default().push(resource.address());
        }
        if !resource.is_idle() {
            self.changes.push(PlannedChange::of(resource));
        }
    }

    /// How many changes there are: everything but reading, moving and importing.
    #[must_use]
    pub fn total(&self) -> u32 {
        let forgotten = self.addresses.get(&Action::Forget).map_or(0, Vec::len);
        let forgotten = u32::try_from(forgotten).unwrap_or(u32::MAX);
        [self.create, self.update, self.replace, self.delete, forgotten]
            .into_iter()
            .fold(0, u32::saturating_add)
    }

    /// One line for each change and each changed attribute, for people. Sensitive values are
    /// masked.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let unchanged = self.unchanged.iter().map(|since| format!("unchanged: {since}"));
        let resources = self.changes.iter().flat_map(PlannedChange::lines);
        let outputs = self.outputs.iter().map(|(name, change)| {
            let note = match (change.sensitive, change.unknown) {
                (true, _) => " (sensitive)",
                (false, true) => " (known after apply)",
                (false, false) => "",
            };
            format!("{} output.{name}{note}", mark(change.action, false))
        });
        unchanged.chain(resources).chain(outputs).collect()
    }
}

impl PlannedChange {
    fn of(resource: &ResourceChange) -> Self {
        let change = &resource.change;
        let action = change.action();
        let compared = matches!(action, Action::Update | Action::Replace);
        Self {
            address: resource.address(),
            action,
            reason: resource.action_reason.clone(),
            previous_address: resource.moved_from(),
            importing: change.importing.is_some(),
            deposed: resource.deposed.clone(),
            create_first: action == Action::Replace
                && change.actions.first().is_some_and(|first| first == "create"),
            attributes: if compared { attributes(change) } else { Vec::new() },
        }
    }

    fn lines(&self) -> Vec<String> {
        let mut line = format!("{} {}", mark(self.action, self.create_first), self.address);
        if let Some(previous) = &self.previous_address {
            line.push_str(&format!(" (moved from {previous})"));
        }
        if self.importing {
            line.push_str(" (imported)");
        }
        if let Some(deposed) = &self.deposed {
            line.push_str(&format!(" (deposed object {deposed})"));
        }
        if let Some(reason) = &self.reason {
            line.push_str(&format!(" ({})", reason.replace('_', " ")));
        }
        let attributes = self.attributes.iter().map(|attribute| {
            let AttributeChange { name, before, after } = attribute;
            format!("    {name}: {before} -> {after}")
        });
        std::iter::once(line).chain(attributes).collect()
    }
}

fn mark(action: Action, create_first: bool) -> &'static str {
    match action {
        Action::Create => "+",
        Action::Update => "~",
        Action::Replace if create_first => "+/-",
        Action::Replace => "-/+",
        Action::Delete => "-",
        Action::NoOp => ">",
        Action::Read => "<=",
        Action::Forget => ".",
    }
}

/// The top-level attributes that differ or become unknown.
fn attributes(change: &Change) -> Vec<AttributeChange> {
    let nothing = &Value::Null;
    let fields = mask::parts(&change.after, nothing, &change.after_unknown);
    let Parts::Fields(after) = fields else { return Vec::new() };
    let mut names: Vec<&str> = after.into_iter().map(|(name, _)| name).collect();
    let before = change.before.as_object();
    names.extend(before.into_iter().flat_map(|fields| fields.keys().map(String::as_str)));
    names.sort_unstable();
    names.dedup();
    names.into_iter().filter_map(|name| attribute(change, name)).collect()
}

fn attribute(change: &Change, name: &str) -> Option<AttributeChange> {
    let (before, after) = (mask::field(&change.before, name), mask::field(&change.after, name));
    let unknown = mask::field(&change.after_unknown, name);
    if before == after && !mask::any(unknown) {
        return None;
    }
    // What is sensitive on one side stays masked on the other.
    let sensitive = [&change.before_sensitive, &change.after_sensitive];
    let sensitive = sensitive.map(|marks| mask::field(marks, name));
    Some(AttributeChange {
        name: name.to_owned(),
        before: shown(before, sensitive, &Value::Null),
        after: shown(after, sensitive, unknown),
    })
}

fn shown(value: &Value, sensitive: [&Value; 2], unknown: &Value) -> String {
    if mask::whole(unknown) {
        return "(known after apply)".to_owned();
    }
    if sensitive.into_iter().any(mask::whole) {
        return "(sensitive)".to_owned();
    }
    let [before, after] = sensitive;
    let masked = mask::masked(&mask::masked(value, before, unknown), after, &Value::Null);
    let text = masked.to_string();
    match text.char_indices().nth(MAX_VALUE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
