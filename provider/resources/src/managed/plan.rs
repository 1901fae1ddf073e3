//! Planning: identity, what this run planned before, and what the daemon foresees.

use std::sync::Arc;

use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Value};
use provider_protocol::provider::{Context, Plan};
use reconciler_api::v1;

use super::graph::{Run, upstreams};
use super::kept::Kept;
use super::{Definition, Managed, preview, protection};
use crate::failure::is_slow;
use crate::overlay::Planned;
use crate::session::{Identity, Session};
use crate::stop::or_now;

pub(super) const NO_PROJECT: &str = "Set `project` here or in the provider's configuration, or \
    the environment variable LOCKSTEP_PROJECT. To create the project in the same configuration, \
    refer to it: project = lockstep_project.NAME.name.";

/// Whether a plan can do without the daemon's answer.
#[derive(Clone, Copy)]
pub(super) enum Need {
    /// It can: it then says less.
    May,
    /// It would contradict the plan that is being applied.
    Must,
}

impl<D: Definition> Managed<D> {
    pub(super) async fn plan_change(
        cx: &Context<Session>,
        plan: &mut Plan<'_>,
        diags: &mut Diagnostics,
    ) {
        let session = cx.client.as_deref();
        Self::plan_identity(session, plan, diags);
        if D::PROTECTED {
            protection::plan(session, plan);
            protection::refuse_replacement(Self::KIND, plan, diags);
        }
        D::foretell(plan);
        let (Some(session), Some(identity)) = (session, Identity::of(Self::KIND, &plan.planned))
        else {
            return;
        };
        let definition = Self::spec(&plan.planned).and_then(D::definition);
        session.overlay.add(
            Self::KIND,
            &identity,
            Planned {
                changes: !plan.is_noop(),
                upstreams: upstreams(&plan.planned),
                definition: definition.clone().map(Arc::new),
            },
        );
        if plan.is_noop() {
            return;
        }
        let need = Self::need(cx, session, plan);
        let what = format!("preview {} {identity}", Self::KIND);
        let goes_without = match need {
            Need::Must => session.reach.refuses(&what, diags),
            Need::May => session.reach.goes_without(diags),
        };
        if goes_without {
            return;
        }
        let foreseen =
            or_now(&cx.cancel, Self::foresee(session, &identity, (need, definition), plan, diags));
        match (foreseen.await, need) {
            (Ok(()), _) | (Err(_), Need::May) => {}
            (Err(stopped), Need::Must) => stopped.tell(&what, "", diags),
        }
    }

    /// Whether the plan can do without the daemon's answer. What it foresaw of an update is in the
    /// plan that is being applied, which the client holds against the one that it makes then: there
    /// it cannot be missing.
    fn need(cx: &Context<Session>, session: &Session, plan: &Plan<'_>) -> Need {
        let seen = plan.prior.and_then(|prior| Identity::of(Self::KIND, prior));
        let Some(seen) = seen.filter(|_| Self::HAS_IMPACT) else { return Need::May };
        let applies = if cx.capabilities.planned_private {
            plan.kept.is_some()
        } else {
            // Such a client does not say what it is doing. An update that was planned without a
            // refresh looks the same.
            !session.reads.has_refreshed(&seen)
        };
        if applies { Need::Must } else { Need::May }
    }

    /// Sets project and id, as far as they are known.
    fn plan_identity(session: Option<&Session>, plan: &mut Plan<'_>, diags: &mut Diagnostics) {
        let configured = plan.config.get("project").is_some_and(|project| !project.is_null());
        if Self::HAS_PROJECT
            && !configured
            && let Some(session) = session
        {
            match &session.project {
                Some(project) => plan.set("project", project),
                None => diags.error_at(Path::attribute("project"), "Missing project", NO_PROJECT),
            }
            if plan.prior.is_some() && plan.changes("project") {
                plan.requires_replace.push(Path::attribute("project"));
            }
        }
        match Identity::of(Self::KIND, &plan.planned) {
            Some(identity) => plan.set("id", identity.to_string()),
            None => plan.set("id", Value::unknown()),
        }
    }

    /// Asks the daemon what the change would do, alone and together with others of this run, tells
    /// it, and plans the impact.
    async fn foresee(
        session: &Session,
        identity: &Identity,
        (need, definition): (Need, Option<v1::Definition>),
        plan: &mut Plan<'_>,
        diags: &mut Diagnostics,
    ) {
        if Self::spec(&plan.planned).is_none() {
            return;
        }
        let run = Run { session, identity, planned: &plan.planned };
        let Some(definition) = definition else { return run.tell_graph(diags).await };
        // A renamed policy is still the one that is there under its old name.
        let seen = plan.prior.and_then(|prior| Identity::of(Self::KIND, prior));
        let seen = seen.filter(|seen| seen.project == identity.project);
        let token = Kept::from_bytes(&plan.private).and_then(|kept| kept.token);
        let token = token.filter(|_| !plan.is_create());
        let subject = seen.as_ref().unwrap_or(identity);
        let places = Self::places();
        match preview::ask(session, subject, definition.clone(), token, false).await {
            Ok(answer) => {
                preview::tell_warnings(session, identity, &answer, &places, diags);
                let together = run.judge_together(subject, definition, &places, diags).await;
                run.tell_problems(&answer.problems, together.as_deref(), &places, diags);
                run.tell_graph(diags).await;
                if Self::HAS_IMPACT && !plan.is_create() && answer.known {
                    plan.set("impact", preview::impact(&answer));
                }
            }
            Err(error) if run.creates_project(&error) => run.tell_graph(diags).await,
            Err(error) => {
                preview::tell_unanswered(session, identity, need, &error, diags);
                if is_slow(&error) {
                    run.tell_graph(diags).await;
                }
            }
        }
    }

    /// Tells what a removal would do. It is not refused here: whether other objects still need
    /// this one is known only when those of this run are gone.
    pub(super) async fn plan_removal(
        cx: &Context<Session>,
        state: &Value,
        diags: &mut Diagnostics,
    ) {
        let Some(session) = cx.client.as_deref() else { return };
        if session.reach.goes_without(diags) {
            return;
        }
        let definition = Self::spec(state).and_then(D::definition);
        let (Some(identity), Some(definition)) = (Identity::of(Self::KIND, state), definition)
        else {
            return;
        };
        let asked = preview::ask(session, &identity, definition, None, true);
        if let Ok(Ok(answer)) = or_now(&cx.cancel, asked).await {
            preview::tell_warnings(session, &identity, &answer, &Self::places(), diags);
        }
    }
}

#[cfg(test)]
mod tests {
    use provider_protocol::cty::Value;

    use crate::managed::{Definition, Managed};
    use crate::resources::{Credential, Policy};

    /// Whether a state with this word has a spec.
    fn has_spec<D: Definition>(name: &str, word: &str) -> bool {
        let block = Managed::<D>::schema_block();
        let attributes = block.attributes.into_keys().map(|name| (name, Value::Null));
        let blocks = block.blocks.into_iter().map(|(name, nested)| (name, nested.empty_value()));
        let state = Value::object(attributes.chain(blocks));
        Managed::<D>::spec(&state.with(name, word)).is_some()
    }

    #[test]
    fn a_state_of_a_newer_version_has_no_spec() {
        assert!(has_spec::<Policy>("mode", "manual"));
        assert!(!has_spec::<Policy>("mode", "clairvoyant"));
        assert!(has_spec::<Credential>("kind", "git"));
        assert!(!has_spec::<Credential>("kind", "telepathy"));
    }
}
