//! `data "lockstep_promotion"`.

use async_trait::async_trait;
use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Type, Value};
use provider_protocol::provider::{Context, DataSource, Reader};
use provider_protocol::schema::{Attribute, Block, Nesting, Schema};
use reconciler_api::v1::{Gate, Promotion, PromotionQuery, StepRun, Waiting};
use reconciler_domain::id::{PromotionId, StageName};

use super::{given, project, project_attribute, read, read_only};
use crate::attribute::parsed;
use crate::form::{self, Read as _};
use crate::session::Session;

/// A promotion: how far it is, and why it does not go further.
pub(crate) struct PromotionData;

const STEP: [(&str, &str); 6] = [
    ("name", "Its name."),
    ("uses", "Its kind."),
    ("state", "How far it is, such as `succeeded`."),
    ("started_at", "When it last began."),
    ("finished_at", "When it last ended."),
    ("error", "What went wrong, if anything."),
];

const GATE: [(&str, &str); 5] = [
    ("gate", "Which."),
    ("policy", "The policy that asks for it; null for gates that need no policy."),
    ("verdict", "`pass`, `fail` or `unknown`; unknown never promotes."),
    ("message", "Why, in one sentence."),
    ("until", "When the verdict changes by time alone, if it does."),
];

const WAITING: [(&str, &str); 3] = [
    ("reason", "Why, as one word."),
    ("message", "Why, in one sentence."),
    ("until", "Until when at the latest, if time alone ends it."),
];

#[async_trait]
impl DataSource<Session> for PromotionData {
    fn type_name(&self) -> &'static str {
        "lockstep_promotion"
    }

    fn schema(&self) -> Schema {
        let block = Block::new()
            .describe("How far a promotion is: its steps, what each gate says, why it waits.")
            .attribute("project", project_attribute())
            .attribute(
                "name",
                parsed::<PromotionId>()
                    .optional_computed()
                    .describe("The promotion, such as `prod.12`. Give this or `stage`."),
            )
            .attribute(
                "stage",
                parsed::<StageName>()
                    .optional_computed()
                    .describe("Where it goes; alone, the newest promotion of this stage is read."),
            )
            .attribute("id", given("`PROJECT/PROMOTION`."))
            .attribute("freight", given("The id of the freight that it brings."))
            .attribute(
                "along",
                Attribute::list(Type::String)
                    .computed()
                    .describe("Freight of other warehouses that it brings along, as one unit."),
            )
            .attribute("phase", given("How far it is, such as `waiting` or `succeeded`."))
            .attribute("requester", given("Who asked for it; `automation` if nobody did."))
            .attribute("reason", given("Why, if that was said."))
            .attribute(
                "digest",
                given("Names what it will do: what an approval binds to. Null until prepared."),
            )
            .attribute("created_at", given("When it was asked for."))
            .attribute("committed_at", given("When it began its effects."))
            .attribute("finished_at", given("When it ended."))
            .attribute("error", given("What went wrong, if anything."))
            .attribute(
                "remaining",
                Attribute::list(Type::String)
                    .computed()
                    .describe("What was done and is left, where it was not undone."),
            )
            .attribute("steps", read_only(Nesting::List, &STEP).describe("Its steps, in order."))
            .attribute("gates", read_only(Nesting::List, &GATE).describe("What each gate says."))
            .attribute(
                "waiting",
                read_only(Nesting::List, &WAITING).describe("Why it waits, if it does."),
            );
        Schema::new(block)
    }

    async fn validate(&self, _: &Context<Session>, config: &Value, diags: &mut Diagnostics) {
        let config = Reader::root(config);
        let (name, stage) = (config.get("name"), config.get("stage"));
        if name.is_null() && stage.is_null() {
            let text = "Set `name` to a promotion, or `stage` for the newest one of a stage.";
            diags.error("Missing name", text);
        } else if !name.is_null() && !stage.is_null() {
            let text = "Leave out `name` or `stage`: a promotion's name says its stage.";
            diags.error_at(Path::attribute("stage"), "Conflicting settings", text);
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
        let name = match reader.text("name") {
            Some(name) => name,
            None => newest(cx, &session, &project, reader.required("stage"), diags).await?,
        };
        let what = format!("read promotion {project}/{name}");
        let call = session.api.promotion(&project, &name);
        read(cx, &session, &what, call, diags).await.map(|promotion| value(&promotion))
    }
}

/// The newest promotion of a stage.
async fn newest(
    cx: &Context<Session>,
    session: &Session,
    project: &str,
    stage: String,
    diags: &mut Diagnostics,
) -> Option<String> {
    let text = format!("No promotion to stage {project}/{stage} was ever asked for.");
    let query = PromotionQuery {
        stage: Some(stage),
        rehearsal: Some(false),
        limit: Some(1),
        ..PromotionQuery::default()
    };
    let what = format!("list promotions of {project}");
    let call = session.api.list_promotions(project, &query);
    let page = read(cx, session, &what, call, diags).await?;
    let newest = page.items.into_iter().next().map(|promotion| promotion.id);
    if newest.is_none() {
        diags.error_at(Path::attribute("stage"), "No promotion", text);
    }
    newest
}

fn value(promotion: &Promotion) -> Value {
    let digest = promotion.change_set.as_ref().map(|set| set.digest.clone());
    Value::object([
        ("project", Value::from(&promotion.project)),
        ("name", (&promotion.id).into()),
        ("stage", (&promotion.stage).into()),
        ("id", format!("{}/{}", promotion.project, promotion.id).into()),
        ("freight", (&promotion.freight).into()),
        ("along", Value::list(promotion.along.iter().map(String::as_str))),
        ("phase", promotion.phase.as_str().into()),
        ("requester", (&promotion.requester).into()),
        ("reason", promotion.reason.clone().into()),
        ("digest", digest.into()),
        ("created_at", form::instant(Some(promotion.created_at))),
        ("committed_at", form::instant(promotion.committed_at)),
        ("finished_at", form::instant(promotion.finished_at)),
        ("error", promotion.error.clone().into()),
        ("remaining", Value::list(promotion.remaining.iter().map(String::as_str))),
        ("steps", Value::list(promotion.steps.iter().map(step))),
        ("gates", Value::list(promotion.gates.iter().map(gate))),
        ("waiting", Value::list(promotion.waiting.iter().map(waiting))),
    ])
}

fn step(step: &StepRun) -> Value {
    Value::object([
        ("name", Value::from(&step.name)),
        ("uses", (&step.uses).into()),
        ("state", step.state.as_str().into()),
        ("started_at", form::instant(step.started_at)),
        ("finished_at", form::instant(step.finished_at)),
        ("error", step.error.clone().into()),
    ])
}

fn gate(gate: &Gate) -> Value {
    Value::object([
        ("gate", Value::from(gate.gate.as_str())),
        ("policy", gate.policy.clone().into()),
        ("verdict", gate.verdict.as_str().into()),
        ("message", (&gate.message).into()),
        ("until", form::instant(gate.until)),
    ])
}

fn waiting(waiting: &Waiting) -> Value {
    Value::object([
        ("reason", Value::from(&waiting.reason)),
        ("message", (&waiting.message).into()),
        ("until", form::instant(waiting.until)),
    ])
}
