//! Whether a plan may be applied.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Action, Address, AddressGlob, PlanRule, PlanSummary, PlannedChange};

/// What a policy allows an infrastructure plan to do. The default allows everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InfraRules {
    /// Actions that no resource may have. A replacement deletes too, so it is refused where
    /// deleting is.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub forbid: BTreeSet<ForbiddenAction>,
    /// Addresses that must not be deleted, replaced or forgotten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protect: Vec<AddressGlob>,
    /// The most changes one plan may make; reads, moves and imports do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_changes: Option<u32>,
    /// The most resources one plan may delete, also to make them anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_deletes: Option<u32>,
    /// The most that what one plan leaves may cost in a month, in the currency of the estimate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_monthly_cost: Option<u32>,
    /// The most by which one plan may raise that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost_increase: Option<u32>,
    /// What must hold of each plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<PlanRule>,
    /// Which drift holds a promotion back; absent: what [`OnDrift::default`] says, on stages that are looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_drift: Option<OnDrift>,
}

/// Which drift of a stage holds promotions to it back. Later is stricter.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OnDrift {
    /// None.
    Ignore,
    /// That which the promotion's plans touch.
    #[default]
    Intersecting,
    /// Any, in any state of the stage.
    Any,
}

/// An action that a policy can forbid.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ForbiddenAction {
    /// Making a new resource.
    Create,
    /// Changing one in place.
    Update,
    /// Making one anew.
    Replace,
    /// Deleting one, also to make it anew.
    Delete,
}

/// Which rule a plan breaks.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The action is forbidden.
    Forbidden,
    /// The address is protected.
    Protected,
    /// The plan makes too many changes.
    TooMany,
    /// The plan deletes too much.
    TooManyDeletes,
    /// It costs too much.
    TooCostly,
    /// A condition does not hold.
    Condition,
    /// A condition cannot be judged.
    Unjudged,
}

/// One way in which a plan breaks the rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// Where; `None` for the plan as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// What the plan would do there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// The violation as a sentence for people.
    pub reason: String,
}

impl InfraRules {
    /// Whether everything is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether no plan can break them, and no drift holds anything back.
    #[must_use]
    pub fn allow_everything(&self) -> bool {
        let on_drift = self.on_drift.filter(|on_drift| *on_drift != OnDrift::Ignore);
        Self { on_drift, ..self.clone() }.is_empty()
    }

    /// Both rules at once: what either forbids, protects or wants to hold, and the smaller maxima.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        let mut protect = self.protect.clone();
        protect.extend(other.protect.iter().cloned());
        protect.sort();
        protect.dedup();
        let smaller = |a: Option<u32>, b: Option<u32>| a.into_iter().chain(b).min();
        let mut rules = self.rules.clone();
        rules.extend(other.rules.iter().filter(|rule| !self.rules.contains(rule)).cloned());
        Self {
            forbid: self.forbid.union(&other.forbid).copied().collect(),
            protect,
            max_changes: smaller(self.max_changes, other.max_changes),
            max_deletes: smaller(self.max_deletes, other.max_deletes),
            max_monthly_cost: smaller(self.max_monthly_cost, other.max_monthly_cost),
            max_cost_increase: smaller(self.max_cost_increase, other.max_cost_increase),
            rules,
            on_drift: self.on_drift.max(other.on_drift),
        }
    }
}

/// The ways in which a plan breaks the rules, by address; none means that it may be applied.
#[must_use]
pub fn judge(summary: &PlanSummary, rules: &InfraRules) -> Vec<Violation> {
    judge_undo(summary, rules, &BTreeSet::new())
}

/// Judges the plan of an undo: deleting what the promotion that is undone created is allowed and
/// not counted, unless the address is protected.
#[must_use]
pub fn judge_undo(
    summary: &PlanSummary,
    rules: &InfraRules,
    created_by_this: &BTreeSet<Address>,
) -> Vec<Violation> {
    let undoes = |change: &PlannedChange| {
        change.action == Action::Delete && created_by_this.contains(&change.address)
    };
    let mut violations = Vec::new();
    for change in &summary.changes {
        if !undoes(change) {
            violations.extend(forbidden(change, rules));
        }
        violations.extend(protected(change, rules));
    }
    let judged = without(summary, undoes);
    let total = judged.total();
    if let Some(most) = rules.max_changes
        && total > most
    {
        let reason = format!("the plan makes {total} changes, at most {most} are allowed");
        violations.push(Violation { rule: Rule::TooMany, address: None, action: None, reason });
    }
    let deletes = judged.delete.saturating_add(judged.replace);
    if let Some(most) = rules.max_deletes
        && deletes > most
    {
        let reason = format!(
            "the plan deletes {deletes} resources, those that it replaces included; at most {most} are \
             allowed"
        );
        let rule = Rule::TooManyDeletes;
        violations.push(Violation { rule, address: None, action: None, reason });
    }
    violations.extend(rules.rules.iter().filter_map(|rule| rule.judge(&judged)));
    violations
}

/// What a plan would do beside the deletions that take back what was done.
fn without(summary: &PlanSummary, undoes: impl Fn(&PlannedChange) -> bool) -> PlanSummary {
    let mut judged = summary.clone();
    judged.changes.retain(|change| !undoes(change));
    let undone = summary.changes.len() - judged.changes.len();
    judged.delete = judged.delete.saturating_sub(u32::try_from(undone).unwrap_or(u32::MAX));
    judged
}

fn forbidden(change: &PlannedChange, rules: &InfraRules) -> Option<Violation> {
    let forbids = |action| rules.forbid.contains(&action);
    let address = &change.address;
    let reason = match change.action {
        Action::Create if forbids(ForbiddenAction::Create) => {
            format!("`{address}` would be created, and creating is forbidden")
        }
        Action::Update if forbids(ForbiddenAction::Update) => {
            format!("`{address}` would be updated, and updating is forbidden")
        }
        Action::Replace if forbids(ForbiddenAction::Replace) => {
            format!("`{address}` would be replaced, and replacing is forbidden")
        }
        Action::Replace if forbids(ForbiddenAction::Delete) => {
            format!("`{address}` would be replaced, which deletes it, and deleting is forbidden")
        }
        Action::Delete if forbids(ForbiddenAction::Delete) => {
            format!("`{address}` would be deleted, and deleting is forbidden")
        }
        Action::Create
        | Action::Update
        | Action::Replace
        | Action::Delete
        | Action::NoOp
        | Action::Read
        | Action::Forget => return None,
    };
    Some(violation(Rule::Forbidden, change, reason))
}

fn protected(change: &PlannedChange, rules: &InfraRules) -> Option<Violation> {
    let fate = match change.action {
        Action::Replace => "replaced",
        Action::Delete => "deleted",
        Action::Forget => "forgotten",
        Action::Create | Action::Update | Action::NoOp | Action::Read => return None,
    };
    // A move must not take an address out of its protection.
    let addresses = [Some(&change.address), change.previous_address.as_ref()];
    let covers = |glob: &&AddressGlob| addresses.iter().flatten().any(|at| glob.matches(at));
    let glob = rules.protect.iter().find(covers)?;
    let reason = format!("`{}` would be {fate}, and `{glob}` protects it", change.address);
    Some(violation(Rule::Protected, change, reason))
}

fn violation(rule: Rule, change: &PlannedChange, reason: String) -> Violation {
    Violation { rule, address: Some(change.address.clone()), action: Some(change.action), reason }
}
