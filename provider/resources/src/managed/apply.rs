//! Writing and removing objects.

use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Value};
use provider_protocol::provider::{Change, Destroy, State};
use reconciler_api::client::ClientError;
use reconciler_api::problem::ProblemCode;
use reconciler_api::v1::{Object, Policy, Precondition};

use super::kept::Kept;
use super::{Definition, Managed, preview, protection};
use crate::failure::is_slow;
use crate::session::{Identity, Session};
use crate::words::headline;

/// What is sent to define an object.
type Spec<D> = <<D as Definition>::Object as Object>::Spec;

impl<D: Definition> Managed<D> {
    pub(super) async fn create_object(
        session: &Session,
        change: Change<'_>,
        diags: &mut Diagnostics,
    ) -> Option<State> {
        let identity = Self::known(change.planned, diags)?;
        if session.reach.refuses(&format!("create {} {identity}", identity.kind), diags) {
            return None;
        }
        let mut spec = Self::known_spec(change.planned, diags)?;
        D::confide(&mut spec, &change);
        let config = change.config;
        let planned = Self::with_impact(session, &identity, change, diags).await?;
        match Self::put(session, &identity, (&planned, &spec), Precondition::Absent).await {
            Ok(object) => Some(Self::written(planned, &object)),
            Err(error) if error.code() == Some(ProblemCode::AlreadyExists) => {
                if session.adopt_existing {
                    return Self::adopt(session, &identity, config, (planned, &spec), diags).await;
                }
                Self::tell_existing(&identity, diags);
                None
            }
            Err(error) => {
                Self::tell_failure(&error, "create", &identity, diags);
                None
            }
        }
    }

    /// Takes over an object that is there: says whose it was, and brings it to the configuration.
    async fn adopt(
        session: &Session,
        identity: &Identity,
        config: &Value,
        (planned, spec): (Value, &Spec<D>),
        diags: &mut Diagnostics,
    ) -> Option<State> {
        let Identity { kind, project, name } = identity;
        let found = match session.api.get::<D::Object>(project, name).await {
            Ok(found) => found,
            Err(error) => {
                Self::tell_failure(&error, "adopt", identity, diags);
                return None;
            }
        };
        if D::PROTECTED
            && !protection::is_said(session, config)
            && protection::is_protected(&D::value(&found))
        {
            protection::refuse_adoption(identity, diags);
            return None;
        }
        let meta = found.meta();
        let condition = Precondition::Generation(meta.generation);
        match Self::put(session, identity, (&planned, spec), condition).await {
            Ok(object) => {
                let changed: Vec<String> = Self::differences(&found, &planned)
                    .iter()
                    .map(|difference| difference.show(&difference.object, &difference.value))
                    .collect();
                let changed = match changed.as_slice() {
                    [] => "It was as the configuration has it.".to_owned(),
                    changed => format!("Changed for that: {}.", changed.join(", ")),
                };
                diags.warning(
                    format!("{} {identity} existed and is adopted", headline(kind.as_str())),
                    format!(
                        "{} defined it last at {} (generation {}). From now on this configuration \
                         manages it, because the provider's `adopt_existing` is true. {changed}",
                        meta.changed_by, meta.changed_at, meta.generation
                    ),
                );
                Some(Self::written(planned, &object))
            }
            Err(error) => {
                let of = (identity, &planned);
                Self::tell_refused(session, &error, "adopt", of, diags).await;
                None
            }
        }
    }

    /// Defines an object. Where the answer was lost, it is looked whether the object is there now
    /// as it was to be, by this principal: then it was this write.
    async fn put(
        session: &Session,
        identity: &Identity,
        (planned, spec): (&Value, &Spec<D>),
        condition: Precondition,
    ) -> Result<D::Object, ClientError> {
        let Identity { project, name, .. } = identity;
        session.reads.writes(identity);
        let put = session.api.put::<D::Object>(project, name, spec, condition).await;
        session.reads.writes(identity);
        let Err(error) = put else {
            session.reach.answered();
            return put;
        };
        if !matches!(error, ClientError::Lost { .. }) {
            session.reach.noticed(&error);
            return Err(error);
        }
        match session.api.find::<D::Object>(project, name).await {
            Ok(Some(found))
                if session.principal.as_ref() == Some(&found.meta().changed_by)
                    && Self::differences(&found, planned).is_empty() =>
            {
                return Ok(found);
            }
            Ok(_) => {}
            Err(away) => {
                session.reach.noticed(&away);
            }
        }
        Err(error)
    }

    /// Updates an object. `done` is the state of what is done so far, for whoever does not wait for
    /// the rest.
    pub(super) async fn update_object(
        session: &Session,
        change: Change<'_>,
        done: &mut Option<State>,
        diags: &mut Diagnostics,
    ) -> Option<State> {
        let prior = change.prior?;
        let seen = Self::known(prior, diags)?;
        let identity = Self::known(change.planned, diags)?;
        if session.reach.refuses(&format!("update {} {seen}", seen.kind), diags) {
            return None;
        }
        let mut spec = Self::known_spec(change.planned, diags)?;
        D::confide(&mut spec, &change);
        let planned = Self::with_impact(session, &seen, change, diags).await?;
        let mut generation = Self::generation(change.private, &seen, diags)?;
        if identity.name != seen.name {
            let state = Self::rename(session, &seen, &identity, (prior, generation), diags).await?;
            generation = Kept::from_bytes(&state.private)?.generation;
            *done = Some(state);
        }
        let condition = Precondition::Generation(generation);
        match Self::put(session, &identity, (&planned, &spec), condition).await {
            Ok(object) => Some(Self::written(planned, &object)),
            Err(error) => {
                Self::tell_refused(session, &error, "update", (&identity, prior), diags).await;
                done.take()
            }
        }
    }

    /// Renames a policy. The state that comes back is true even if nothing else can be changed.
    async fn rename(
        session: &Session,
        seen: &Identity,
        wanted: &Identity,
        (prior, generation): (&Value, u64),
        diags: &mut Diagnostics,
    ) -> Option<State> {
        let condition = Precondition::Generation(generation);
        let call = session.api.rename_policy(&seen.project, &seen.name, &wanted.name, condition);
        let mut renamed = call.await;
        session.reads.writes(seen);
        session.reads.writes(wanted);
        if let Err(error) = &renamed
            && error.is_uncertain()
            && let Some(policy) = Self::renamed_after_all(session, seen, wanted, generation).await
        {
            renamed = Ok(policy);
        }
        match renamed {
            Ok(policy) => {
                let value =
                    prior.clone().with("name", wanted.name.as_str()).with("id", wanted.to_string());
                let meta = policy.meta();
                let kept = Kept::new(meta.generation, Some(meta.token));
                Some(State::new(value).private(kept.to_bytes()))
            }
            Err(error) if error.code() == Some(ProblemCode::AlreadyExists) => {
                let text = format!(
                    "There is a {} {wanted} already, so {seen} cannot take that name.",
                    wanted.kind
                );
                let path = Path::attribute("name");
                diags.error_at(path, format!("Cannot rename {} {seen}", seen.kind), text);
                None
            }
            Err(error) => {
                Self::tell_refused(session, &error, "rename", (seen, prior), diags).await;
                None
            }
        }
    }

    /// The policy under its new name, where the answer was lost: it was this rename if there is none
    /// under the old name any more, and it is of a later generation, by this principal. A name that was
    /// used before goes on from the generation that it had then, so that it may be more than the next.
    async fn renamed_after_all(
        session: &Session,
        seen: &Identity,
        wanted: &Identity,
        generation: u64,
    ) -> Option<Policy> {
        let found = session.api.find::<Policy>(&wanted.project, &wanted.name).await.ok()??;
        let meta = found.meta();
        let is_ours = session.principal.as_ref() == Some(&meta.changed_by);
        let is_later = meta.generation > generation;
        (is_ours && is_later && Self::is_gone(session, seen).await).then_some(found)
    }

    pub(super) async fn delete_object(
        session: &Session,
        destroy: Destroy<'_>,
        diags: &mut Diagnostics,
    ) {
        let Some(identity) = Self::known(destroy.state, diags) else { return };
        let Some(generation) = Self::generation(destroy.private, &identity, diags) else { return };
        if session.reach.refuses(&format!("delete {} {identity}", identity.kind), diags) {
            return;
        }
        let Identity { project, name, .. } = &identity;
        let condition = Precondition::Generation(generation);
        session.reads.writes(&identity);
        let deleted = session.api.delete(Self::KIND, project, name, condition).await;
        session.reads.writes(&identity);
        match deleted {
            Ok(()) => {}
            // Somebody was faster.
            Err(error) if error.code() == Some(ProblemCode::NotFound) => {}
            Err(ClientError::Lost { .. }) if Self::is_gone(session, &identity).await => {}
            Err(error) => {
                session.reach.noticed_of_write(&error);
                let of = (&identity, destroy.state);
                Self::tell_refused(session, &error, "delete", of, diags).await;
            }
        }
    }

    /// Whether an object is gone, where the answer to its removal or to its rename was lost.
    async fn is_gone(session: &Session, identity: &Identity) -> bool {
        let Identity { project, name, .. } = identity;
        matches!(session.api.find::<D::Object>(project, name).await, Ok(None))
    }

    /// What was planned, with the effect that the daemon foresees where that is not known yet.
    async fn with_impact(
        session: &Session,
        identity: &Identity,
        change: Change<'_>,
        diags: &mut Diagnostics,
    ) -> Option<Value> {
        let mut planned = change.planned.clone();
        if !Self::HAS_IMPACT || !planned.get("impact").is_some_and(Value::is_unknown) {
            return Some(planned);
        }
        let token = Kept::from_bytes(change.private).and_then(|kept| kept.token);
        let mut spec = Self::known_spec(change.planned, diags)?;
        D::confide(&mut spec, &change);
        let Some(definition) = D::definition(spec) else {
            return Some(planned.with("impact", Value::Null));
        };
        match preview::ask(session, identity, definition, token, false).await {
            Ok(preview) => planned.set("impact", preview::impact(&preview)),
            // It is no reason not to make it, or not to change it where the plan could not say more:
            // the state may leave the effect open.
            Err(error) if change.prior.is_none() || is_slow(&error) => {
                preview::tell_unforeseen(identity, &error, diags);
                planned.set("impact", Value::Null);
            }
            Err(error) => {
                session.reach.noticed(&error);
                Self::tell_failure(&error, "preview", identity, diags);
                return None;
            }
        }
        Some(planned)
    }

    /// The state after a write: what was planned, and who and what it is now.
    fn written(mut planned: Value, object: &D::Object) -> State {
        planned.set("id", object.meta().id.as_str());
        if Self::HAS_PROJECT {
            planned.set("project", object.meta().project.as_str());
        }
        let now = D::value(object);
        for name in D::OBSERVED {
            planned.set(*name, now.get(name).cloned().unwrap_or_default());
        }
        State::new(planned).private(Self::kept(object))
    }

    /// Which object; when it is written, that is known.
    fn known(value: &Value, diags: &mut Diagnostics) -> Option<Identity> {
        let identity = Identity::of(Self::KIND, value);
        if identity.is_none() {
            diags.error_at(Path::attribute("project"), "Missing project", super::plan::NO_PROJECT);
        }
        identity
    }

    fn known_spec(value: &Value, diags: &mut Diagnostics) -> Option<Spec<D>> {
        let spec = Self::spec(value);
        if spec.is_none() {
            diags
                .error("Bug in the provider: unknown value", "A value to be written is not known.");
        }
        spec
    }

    fn generation(private: &[u8], identity: &Identity, diags: &mut Diagnostics) -> Option<u64> {
        let kept = Kept::from_bytes(private);
        if kept.is_none() {
            diags.error(
                format!("Cannot tell what changed in {} {identity}", identity.kind),
                "The state does not say which generation of the object it shows, so a change made \
                 elsewhere could be lost. Plan again with a refresh, without -refresh=false.",
            );
        }
        kept.map(|kept| kept.generation)
    }
}
