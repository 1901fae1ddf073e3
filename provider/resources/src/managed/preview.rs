//! What the daemon foresees, told to the user and put into the plan.
//!
//! The answer judges one object against the live world as of a token, so that the same plan comes
//! out again when the client plans once more in apply.

use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Type, Value};
use provider_protocol::schema::Attribute;
use reconciler_api::client::ClientError;
use reconciler_api::problem::ProblemCode;
use reconciler_api::v1::{Effect, EffectKind, Object, Preview, PreviewRequest, WorldToken};

use super::plan::Need;
use super::{Definition, Managed};
use crate::attribute::words;
use crate::failure::{Places, detail};
use crate::form;
use crate::session::{Identity, Session};
use crate::words::{headline, sentence};

impl<D: Definition> Managed<D> {
    /// Asks what a write or a removal would do. None if there are no previews of the kind.
    pub(super) async fn ask(
        session: &Session,
        identity: &Identity,
        spec: <D::Object as Object>::Spec,
        token: Option<WorldToken>,
        remove: bool,
    ) -> Option<Result<Preview, ClientError>> {
        let definition = D::definition(spec)?;
        let request = PreviewRequest { name: identity.name.clone(), definition, token, remove };
        Some(session.api.preview(&identity.project, &request).await)
    }
}

const EFFECT_FIELDS: [(&str, &str); 6] = [
    ("effect", "What happens."),
    ("stage", "The stage that it happens to."),
    ("freight", "The freight that it happens to, if one."),
    ("promotion", "The promotion that it happens to, if one."),
    ("reason", "Why."),
    ("until", "When it ends or begins by time alone, if it does."),
];

/// The attribute that holds the effects.
pub(super) fn impact_attribute() -> Attribute {
    let fields = EFFECT_FIELDS.map(|(name, _)| (name, Type::String));
    let lines = EFFECT_FIELDS.map(|(name, text)| format!("`{name}`: {text}"));
    let effects = words(EffectKind::ALL, EffectKind::as_str).join("`, `");
    Attribute::typed(Type::list(Type::object(fields))).computed().describe(format!(
        "What the last change of this resource does to live freight, judged alone against the \
         world as it was at the refresh before: known in the plan of an update, null after \
         import. {} Effects are `{effects}`.",
        lines.join(" ")
    ))
}

/// The effects as the attribute has them; null if they are not known.
pub(super) fn impact(preview: &Preview) -> Value {
    if !preview.known {
        return Value::Null;
    }
    Value::List(preview.effects.iter().map(effect).collect())
}

fn effect(effect: &Effect) -> Value {
    Value::object([
        ("effect", Value::from(effect.effect.as_str())),
        ("stage", effect.stage.as_str().into()),
        ("freight", effect.freight.as_deref().into()),
        ("promotion", effect.promotion.as_deref().into()),
        ("reason", effect.reason.as_str().into()),
        ("until", form::instant(effect.until)),
    ])
}

/// Tells what the author of the change should know.
pub(super) fn tell_warnings(preview: &Preview, places: &Places, diags: &mut Diagnostics) {
    for warning in &preview.warnings {
        let path = places.path(&warning.path);
        diags.warning_at(path, headline(&warning.summary), sentence(&warning.detail));
    }
}

/// Tells why there is no answer.
pub(super) fn tell_unanswered(
    session: &Session,
    identity: &Identity,
    need: Need,
    error: &ClientError,
    diags: &mut Diagnostics,
) {
    let Identity { kind, project, .. } = identity;
    session.reach.noticed(error);
    let goes_on = match need {
        Need::May => error.is_unreachable() && session.reach.goes_without(diags),
        Need::Must => false,
    };
    if goes_on {
        return;
    }
    if error.code() == Some(ProblemCode::NotFound) {
        let text = format!(
            "There is no project {project:?}. If this configuration creates it, refer to it, so \
             that it is created first: project = lockstep_project.NAME.name."
        );
        return diags.error_at(Path::attribute("project"), "Unknown project", text);
    }
    diags.error(format!("Cannot preview {kind} {identity}"), detail(error));
}
