//! Why something was not written or removed: what exists, what others changed, what is not known.

use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Value};
use reconciler_api::client::ClientError;
use reconciler_api::problem::ProblemCode;

use super::{Definition, Managed, UNCERTAIN};
use crate::failure::{detail, tell};
use crate::session::{Identity, Session};
use crate::words::headline;

/// Longest text that is shown of a value.
const SHOWN_MAX: usize = 60;

/// An attribute that an object has otherwise than a state or a plan.
pub(super) struct Difference {
    name: String,
    /// What the state or plan has, if that is short and no secret.
    pub(super) value: Option<String>,
    /// What the object has.
    pub(super) object: Option<String>,
}

impl Difference {
    /// The attribute, and how it went from one value to another.
    pub(super) fn show(&self, from: &Option<String>, to: &Option<String>) -> String {
        match (from, to) {
            (Some(from), Some(to)) => format!("`{}` ({from} -> {to})", self.name),
            _ => format!("`{}`", self.name),
        }
    }
}

impl<D: Definition> Managed<D> {
    pub(super) fn tell_failure(
        error: &ClientError,
        verb: &str,
        identity: &Identity,
        diags: &mut Diagnostics,
    ) {
        let what = format!("{verb} {} {identity}", identity.kind);
        if error.is_uncertain() {
            let text = format!("{}\n\n{UNCERTAIN}", detail(error));
            return diags.error(format!("Cannot {what}"), text);
        }
        tell(error, &what, &Self::places(), diags);
    }

    pub(super) fn tell_existing(identity: &Identity, diags: &mut Diagnostics) {
        let Identity { kind, name, .. } = identity;
        let label = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let text = format!(
            "There is a {kind} {identity} that this configuration does not manage. Choose another \
             name, or take it over by adding this, with the address of your resource:\n\n\
             import {{\n  to = {}.{label}\n  id = \"{identity}\"\n}}\n\n\
             To take over whatever exists, set the provider's `adopt_existing`.",
            D::TYPE_NAME
        );
        let path = Path::attribute("name");
        diags.error_at(path, format!("{} exists already", headline(kind.as_str())), text);
    }

    /// Tells why a change was refused; of a change made elsewhere, what it was.
    pub(super) async fn tell_refused(
        session: &Session,
        error: &ClientError,
        verb: &str,
        (identity, prior): (&Identity, &Value),
        diags: &mut Diagnostics,
    ) {
        if error.code() != Some(ProblemCode::GenerationConflict) {
            return Self::tell_failure(error, verb, identity, diags);
        }
        let mut lines = vec![detail(error)];
        let Identity { project, name, .. } = identity;
        if let Ok(Some(object)) = session.api.find::<D::Object>(project, name).await {
            let changed: Vec<String> = Self::differences(&object, prior)
                .iter()
                .map(|difference| difference.show(&difference.value, &difference.object))
                .collect();
            if !changed.is_empty() {
                lines.push(format!("What differs from the state: {}.", changed.join(", ")));
            }
        }
        lines.push(
            "Plan again: the plan then shows what is there now, and what would be put back."
                .to_owned(),
        );
        diags.error(
            format!("{} {identity} was changed elsewhere", identity.kind),
            lines.join("\n\n"),
        );
    }

    /// The attributes in which an object differs from a state or a plan.
    pub(super) fn differences(object: &D::Object, value: &Value) -> Vec<Difference> {
        let mut now = Self::state(object, value);
        let block = Self::schema_block();
        provider_protocol::plan::keep_equal_forms(&block, &mut now, value);
        let names = block.attributes.keys().chain(block.blocks.keys());
        let empty = |value: Option<&Value>| match value {
            None => true,
            Some(value) => value.is_null() || value.as_list().is_some_and(<[Value]>::is_empty),
        };
        let differs = |name: &&String| {
            let (now, before) = (now.get(name), value.get(name));
            now != before && !(empty(now) && empty(before))
        };
        let difference = |name: &String| {
            let hidden = block.attributes.get(name).is_none_or(|attribute| attribute.sensitive);
            let shown = |value: &Value| value.get(name).and_then(shown).filter(|_| !hidden);
            Difference { name: name.clone(), value: shown(value), object: shown(&now) }
        };
        names.filter(differs).map(difference).collect()
    }
}

/// A value as it is written in a configuration, if it is short.
fn shown(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("{text:?}"),
        Value::Unknown(_) | Value::List(_) | Value::Map(_) | Value::Dynamic(_) => return None,
    };
    (text.len() <= SHOWN_MAX).then_some(text)
}
