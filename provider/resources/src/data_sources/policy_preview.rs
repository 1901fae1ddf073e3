//! `data "lockstep_policy_preview"`.

use async_trait::async_trait;
use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Type, Value};
use provider_protocol::provider::{Context, DataSource, Reader};
use provider_protocol::schema::{Attribute, Block, Nesting, Schema};
use reconciler_api::v1::{
    Definition, Effect, Preview, PreviewChange, PreviewSet, PreviewWarning, Replay, Witness,
};
use reconciler_domain::id::PolicyName;
use reconciler_domain::preview::{REPLAY_DEFAULT, REPLAY_MAX};

use super::{project, project_attribute, read, read_only};
use crate::attribute::parsed;
use crate::failure::{detail, is_slow};
use crate::form::{self, Read as _};
use crate::functions::policy_spec;
use crate::session::Session;
use crate::words::sentence;

/// What a policy would do now, and would have done to promotions of the past.
pub(crate) struct PolicyPreviewData;

const EFFECT: [(&str, &str); 6] = [
    ("effect", "What happens, as in `impact` of the resource."),
    ("stage", "The stage that it happens to."),
    ("freight", "The freight that it happens to, if one."),
    ("promotion", "The promotion that it happens to, if one."),
    ("reason", "Why."),
    ("until", "When it ends or begins by time alone, if it does."),
];

const WARNING: [(&str, &str); 3] = [
    ("path", "The field of the policy that causes it."),
    ("summary", "What, in a few words."),
    ("detail", "What and why."),
];

const WITNESS: [(&str, &str); 7] = [
    ("promotion", "The promotion."),
    ("stage", "Its stage."),
    ("freight", "Its freight."),
    ("at", "When it committed: as of then it is judged."),
    ("gate", "The gate; null if none could be judged."),
    ("verdict", "What the gate says: `fail` or `unknown`."),
    ("reason", "Why."),
];

#[async_trait]
impl DataSource<Session> for PolicyPreviewData {
    fn type_name(&self) -> &'static str {
        "lockstep_policy_preview"
    }

    fn schema(&self) -> Schema {
        let block = Block::new()
            .describe(
                "What a policy would do to live freight, and what it would have said of the \
                 promotions of the past, each as of the moment when it committed. Nothing is \
                 changed.",
            )
            .attribute("project", project_attribute())
            .attribute(
                "name",
                parsed::<PolicyName>()
                    .required()
                    .describe("The name of the policy: one that is there is judged as changed."),
            )
            .attribute(
                "policy",
                Attribute::typed(Type::Dynamic).required().describe(
                    "The policy: an object of the same form as the resource \
                     `lockstep_promotion_policy`, or that object as JSON.",
                ),
            )
            .attribute(
                "history",
                Attribute::number().whole().range(0..=i64::from(REPLAY_MAX)).describe(format!(
                    "How many promotions of the past are judged at most, the newest of the stages \
                     that the policy selects. Default: {REPLAY_DEFAULT}."
                )),
            )
            .attribute(
                "effects",
                read_only(Nesting::List, &EFFECT).describe("What would happen at apply."),
            )
            .attribute(
                "warnings",
                read_only(Nesting::List, &WARNING).describe("What its author should know."),
            )
            .attribute("replay", replay().describe("What it would have said of the past."));
        Schema::new(block)
    }

    async fn validate(&self, _: &Context<Session>, config: &Value, diags: &mut Diagnostics) {
        let policy = Reader::root(config).get("policy").clone();
        if policy.is_wholly_known() && !policy.is_null() {
            let _checked = spec(&policy, diags);
        }
    }

    async fn read(
        &self,
        cx: &Context<Session>,
        config: &Value,
        diags: &mut Diagnostics,
    ) -> Option<Value> {
        let session = cx.client(diags)?;
        let reader = Reader::root(config);
        let project = project(&reader, &session, diags)?;
        let spec = spec(reader.get("policy"), diags)?;
        let name = reader.required("name");
        let change = PreviewChange { name, definition: Definition::Policy(spec), remove: false };
        let replay = Some(reader.count("history").unwrap_or(REPLAY_DEFAULT));
        let set = PreviewSet { changes: vec![change], replay };
        let what = format!("preview a policy of {project}");
        let call = async {
            match session.api.preview_set(&project, &set).await {
                // That is no reason to ask the daemon for nothing else.
                Err(error) if is_slow(&error) => Ok(Err(error)),
                answer => answer.map(Ok),
            }
        };
        let preview = match read(cx, &session, &what, call, diags).await? {
            Ok(preview) => preview,
            Err(error) => {
                diags.error(format!("Cannot {what}"), detail(&error));
                return None;
            }
        };
        for problem in &preview.problems {
            let place = problem.path.trim_start_matches("changes[0]");
            let text = format!("{}: {}", place.trim_start_matches('.'), sentence(&problem.message));
            let text = text.trim_start_matches(": ");
            diags.error_at(Path::attribute("policy"), "Invalid policy", text);
        }
        preview.problems.is_empty().then(|| value(&project, &preview, config))
    }
}

/// The policy that is given, in the form of the API.
fn spec(policy: &Value, diags: &mut Diagnostics) -> Option<reconciler_api::v1::PolicySpec> {
    match policy_spec(policy) {
        Ok(spec) => Some(spec),
        Err(text) => {
            diags.error_at(Path::attribute("policy"), "Invalid policy", text);
            None
        }
    }
}

fn replay() -> Attribute {
    let count = |text: &str| Attribute::number().computed().describe(text);
    let fields = [
        ("judged", count("How many promotions were judged.")),
        ("passed", count("How many would have passed every gate.")),
        ("blocked", count("How many a gate would have stopped at that time.")),
        ("unknown", count("How many cannot be judged, because something was not recorded.")),
        (
            "complete",
            Attribute::bool()
                .computed()
                .describe("Whether that is every promotion that ever committed."),
        ),
        (
            "witnesses",
            read_only(Nesting::List, &WITNESS)
                .describe("Each gate that would not have let a promotion pass, newest first."),
        ),
    ];
    Attribute::nested(Nesting::Single, fields).computed()
}

fn value(project: &str, preview: &Preview, config: &Value) -> Value {
    let asked = ["name", "policy", "history"];
    let asked = asked.map(|name| (name, config.get(name).cloned().unwrap_or_default()));
    let warning = |warning: &PreviewWarning| {
        let path = warning.path.trim_start_matches("changes[0]").trim_start_matches('.');
        Value::object([
            ("path", Value::from(path)),
            ("summary", warning.summary.as_str().into()),
            ("detail", warning.detail.as_str().into()),
        ])
    };
    let answered = [
        ("project", Value::from(project)),
        ("effects", Value::List(preview.effects.iter().map(effect).collect())),
        ("warnings", Value::List(preview.warnings.iter().map(warning).collect())),
        ("replay", preview.replay.as_ref().map(replay_value).into()),
    ];
    Value::object(asked.into_iter().chain(answered))
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

fn replay_value(replay: &Replay) -> Value {
    let Replay { judged, passed, blocked, unknown, complete, witnesses } = replay;
    Value::object([
        ("judged", Value::from(*judged)),
        ("passed", (*passed).into()),
        ("blocked", (*blocked).into()),
        ("unknown", (*unknown).into()),
        ("complete", (*complete).into()),
        ("witnesses", Value::List(witnesses.iter().map(witness).collect())),
    ])
}

fn witness(witness: &Witness) -> Value {
    Value::object([
        ("promotion", Value::from(witness.promotion.as_str())),
        ("stage", witness.stage.as_str().into()),
        ("freight", witness.freight.as_str().into()),
        ("at", form::instant(Some(witness.at))),
        ("gate", witness.gate.map(reconciler_api::v1::GateKind::as_str).into()),
        ("verdict", witness.verdict.as_str().into()),
        ("reason", witness.reason.as_str().into()),
    ])
}
