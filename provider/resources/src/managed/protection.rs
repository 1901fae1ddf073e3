//! Deletion protection: what is protected is neither destroyed nor replaced.
//!
//! The daemon keeps it with the object and refuses the removal to everybody; here it is told at
//! the plan, before anything else of the run has been done. What counts is the state, which the
//! refresh has just read: a protection that the same run would lift still holds.

use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Value};
use provider_protocol::provider::Plan;
use provider_protocol::schema::Attribute;
use reconciler_api::v1::Kind;

use crate::session::{Identity, Session};
use crate::words::headline;

/// The attribute.
pub(super) const ATTRIBUTE: &str = "deletion_protection";

pub(super) fn attribute() -> Attribute {
    Attribute::bool().optional_computed().stable().describe(
        "Whether the daemon refuses to remove it, to every client. A plan that would destroy or \
         replace it fails. To remove it, set this to `false` and apply, then remove it. Default: \
         the provider's `deletion_protection`; without that, `false` for a new object, and as it \
         is for one that is there.",
    )
}

/// Plans what the configuration leaves to the provider.
pub(super) fn plan(session: Option<&Session>, plan: &mut Plan<'_>) {
    let Some(session) = session.filter(|_| !is_configured(plan.config)) else { return };
    match session.deletion_protection {
        Some(default) => plan.set(ATTRIBUTE, default),
        None if plan.is_create() => plan.set(ATTRIBUTE, false),
        None => {}
    }
}

fn is_configured(config: &Value) -> bool {
    config.get(ATTRIBUTE).is_some_and(|value| !value.is_null())
}

/// Whether somebody said what it is to be, of the object or of all.
pub(super) fn is_said(session: &Session, config: &Value) -> bool {
    is_configured(config) || session.deletion_protection.is_some()
}

/// Refuses to take over what is protected, where nothing says that it is to be so or otherwise.
pub(super) fn refuse_adoption(identity: &Identity, diags: &mut Diagnostics) {
    let Identity { kind, .. } = identity;
    let text = format!(
        "There is a {kind} {identity} that is protected from deletion. The provider's \
         `adopt_existing` would take it over, but nothing says whether it is to stay protected. \
         Write `{ATTRIBUTE} = true` down to keep that, or `{ATTRIBUTE} = false` to lift it."
    );
    diags.error_at(Path::root(), protected(*kind), text);
}

pub(super) fn is_protected(state: &Value) -> bool {
    state.get(ATTRIBUTE).and_then(Value::as_bool) == Some(true)
}

fn id(kind: Kind, state: &Value) -> String {
    Identity::of(kind, state).map(|identity| identity.to_string()).unwrap_or_default()
}

/// Refuses a plan that replaces what is protected.
pub(super) fn refuse_replacement(kind: Kind, plan: &Plan<'_>, diags: &mut Diagnostics) {
    let Some(prior) = plan.prior.filter(|prior| is_protected(prior)) else { return };
    for path in &plan.requires_replace {
        let text = format!(
            "Another `{path}` would replace {kind} {}, and so remove it with what it holds. Set \
             `{ATTRIBUTE} = false` on it and apply that by itself; then plan this again.",
            id(kind, prior)
        );
        diags.error_at(path.clone(), protected(kind), text);
    }
}

/// Refuses a plan that destroys what is protected.
pub(super) fn refuse_removal(kind: Kind, state: &Value, diags: &mut Diagnostics) {
    if !is_protected(state) {
        return;
    }
    let text = format!(
        "This would destroy {kind} {}, whose `{ATTRIBUTE}` is true. If it is really to go, keep \
         the resource for now with `{ATTRIBUTE} = false` and apply; then destroy it. To forget it \
         and leave it where it is, use a `removed` block with `destroy = false`.",
        id(kind, state)
    );
    diags.error_at(Path::root(), protected(kind), text);
}

fn protected(kind: Kind) -> String {
    format!("{} is protected from deletion", headline(kind.as_str()))
}
