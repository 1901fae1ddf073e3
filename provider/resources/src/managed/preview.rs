//! What the daemon foresees, told to the user and put into the plan.
//!
//! The answer judges one object against the live world as of a token, so that the same plan comes
//! out again when the client plans once more in apply.

use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Type, Value};
use provider_protocol::schema::Attribute;
use reconciler_api::client::ClientError;
use reconciler_api::problem::ProblemCode;
use reconciler_api::v1::{
    Definition, Effect, EffectKind, Preview, PreviewRequest, PreviewWarning, WorldToken,
};

use super::plan::Need;
use crate::attribute::words;
use crate::failure::{Places, detail, is_slow};
use crate::form;
use crate::session::{Identity, Session};
use crate::words::{headline, sentence};

/// Asks what a write or a removal would do.
pub(super) async fn ask(
    session: &Session,
    identity: &Identity,
    definition: Definition,
    token: Option<WorldToken>,
    remove: bool,
) -> Result<Preview, ClientError> {
    let request = PreviewRequest { name: identity.name.clone(), definition, token, remove };
    let answer = session.api.preview(&identity.project, &request).await;
    if answer.is_ok() {
        session.reach.answered();
    }
    answer
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
pub(super) fn tell_warnings(
    session: &Session,
    identity: &Identity,
    preview: &Preview,
    places: &Places,
    diags: &mut Diagnostics,
) {
    let is_news = |it: &&PreviewWarning| {
        session.overlay.is_news(identity, (&it.path, &it.summary), &it.detail)
    };
    for warning in preview.warnings.iter().filter(is_news) {
        let path = places.path(&warning.path);
        diags.warning_at(path, headline(&warning.summary), sentence(&warning.detail));
    }
}

/// Tells that a change goes on without the answer.
pub(super) fn tell_unforeseen(identity: &Identity, error: &ClientError, diags: &mut Diagnostics) {
    let text = format!(
        "What this does to live freight is not shown for {} {identity}: {}",
        identity.kind,
        detail(error)
    );
    diags.warning("The effect is not known", text);
}

/// Tells why there is no answer. One that only takes too long is no error while a plan is applied,
/// either: an answer that came in time when it was made is kept by the daemon, and comes at once. So
/// there was none, and the plan left the effect open.
pub(super) fn tell_unanswered(
    session: &Session,
    identity: &Identity,
    need: Need,
    error: &ClientError,
    diags: &mut Diagnostics,
) {
    let Identity { kind, project, .. } = identity;
    if is_slow(error) {
        return tell_unforeseen(identity, error, diags);
    }
    match need {
        Need::May if session.reach.goes_on_without(error, diags) => return,
        Need::May => {}
        Need::Must => {
            session.reach.noticed(error);
        }
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
