//! Data sources: what the daemon has seen, for other configuration to use.

mod freight;
mod freights;
mod pipeline;
mod policy_preview;
mod promotion;
mod stage;

pub(crate) use freight::FreightData;
pub(crate) use freights::FreightsData;
pub(crate) use pipeline::PipelineData;
pub(crate) use policy_preview::PolicyPreviewData;
pub(crate) use promotion::PromotionData;
pub(crate) use stage::StageData;

use std::collections::BTreeMap;
use std::future::Future;

use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Type, Value};
use provider_protocol::provider::{Context, Reader};
use provider_protocol::schema::{Attribute, Nesting};
use reconciler_api::client::ClientError;
use reconciler_api::v1::Condition;
use reconciler_domain::id::ProjectName;

use crate::attribute::parsed;
use crate::failure::{Places, tell};
use crate::form::Read as _;
use crate::session::Session;

/// The project to read from.
fn project_attribute() -> Attribute {
    parsed::<ProjectName>()
        .optional_computed()
        .describe("The project that owns it. Default: the provider's.")
}

fn project(config: &Reader<'_>, session: &Session, diags: &mut Diagnostics) -> Option<String> {
    let project = config.text("project").or_else(|| session.project.clone());
    if project.is_none() {
        diags.error_at(
            Path::attribute("project"),
            "Missing project",
            "Set `project` here or in the provider's configuration, or the environment variable \
             LOCKSTEP_PROJECT.",
        );
    }
    project
}

/// Objects that only the daemon writes.
fn read_only(nesting: Nesting, fields: &[(&'static str, &str)]) -> Attribute {
    let fields = fields.iter().map(|(name, text)| (*name, given(text)));
    Attribute::nested(nesting, fields).computed()
}

/// A text that only the daemon writes.
fn given(text: &str) -> Attribute {
    Attribute::string().computed().describe(text)
}

/// Asks the daemon, and tells why there is no answer. `what` is what is done: `read stage
/// shop/prod`.
async fn read<T>(
    cx: &Context<Session>,
    session: &Session,
    what: &str,
    call: impl Future<Output = Result<T, ClientError>>,
    diags: &mut Diagnostics,
) -> Option<T> {
    match session.ask(&cx.cancel, what, call, diags).await? {
        Ok(answer) => Some(answer),
        Err(error) => {
            let places = Places { moved: &[], ty: Type::object::<String>([]) };
            tell(&error, what, &places, diags);
            None
        }
    }
}

/// Objects by name; an empty map if there are none.
fn by_name<T>(
    objects: &std::collections::BTreeMap<String, T>,
    value: impl Fn(&T) -> Value,
) -> Value {
    Value::object(objects.iter().map(|(name, object)| (name, value(object))))
}

const CONDITION: [(&str, &str); 4] = [
    ("type", "Which aspect, such as `UpToDate`."),
    ("status", "`true`, `false` or `unknown`."),
    ("reason", "Why, as one word."),
    ("message", "Why, in one sentence."),
];

/// How an object fares, in every aspect that the daemon knows of.
fn conditions_attribute() -> Attribute {
    read_only(Nesting::List, &CONDITION).describe("How it fares, sorted by type.")
}

fn conditions_value(conditions: &[Condition]) -> Value {
    let condition = |Condition { kind, status, reason, message }: &Condition| {
        Value::object([
            ("type", Value::from(kind)),
            ("status", status.as_str().into()),
            ("reason", reason.into()),
            ("message", message.into()),
        ])
    };
    Value::List(conditions.iter().map(condition).collect())
}

/// What steps noted, by key.
fn metadata_attribute() -> Attribute {
    Attribute::map(Type::String).computed().describe(
        "What steps noted about it, by key: texts as they are, anything else as JSON (`jsondecode`).",
    )
}

fn metadata(noted: &BTreeMap<String, serde_json::Value>) -> Value {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let noted = noted.iter().map(|(key, value)| (key.clone(), text(value)));
    noted.collect::<BTreeMap<String, String>>().into()
}
