//! `data "lockstep_stage"`.

use async_trait::async_trait;
use provider_protocol::Diagnostics;
use provider_protocol::cty::{Type, Value};
use provider_protocol::provider::{Context, DataSource, Reader};
use provider_protocol::schema::{Attribute, Block, Nesting, Schema};
use reconciler_api::v1::{self, ActivePromotion, CurrentFreight, StageHold, StageStatus, Waiting};
use reconciler_domain::id::StageName;

use super::{
    by_name, conditions_attribute, conditions_value, given, metadata, metadata_attribute, project,
    project_attribute, read, read_only,
};
use crate::attribute::parsed;
use crate::form::{self, Read as _};
use crate::session::Session;

/// What a stage holds, and why nothing moves.
pub(crate) struct StageData;

pub(super) const CURRENT: [(&str, &str); 4] = [
    ("freight", "The id of the freight."),
    ("promotion", "The promotion that brought it; null in a stage without steps."),
    ("entered_at", "Since when it is here."),
    ("verified_at", "When this stage verified it; null while it has not."),
];

pub(super) const PROMOTION: [(&str, &str); 3] = [
    ("id", "Its id, such as `prod.12`."),
    ("freight", "The freight that it brings."),
    ("phase", "How far it is."),
];

const HOLD: [(&str, &str); 5] = [
    ("name", "The name of the hold; null for the automatic one, which stops no person."),
    ("reason", "Why."),
    ("author", "Who put it."),
    ("since", "Since when."),
    ("until", "When it ends by itself; null if a person must lift it."),
];

const WAITING: [(&str, &str); 4] = [
    ("subject", "What waits, such as `promotion/prod.12`."),
    ("reason", "Why, as one word."),
    ("message", "Why, in one sentence."),
    ("until", "Until when at the latest, if time alone ends it."),
];

#[async_trait]
impl DataSource<Session> for StageData {
    fn type_name(&self) -> &'static str {
        "lockstep_stage"
    }

    fn schema(&self) -> Schema {
        let block = Block::new()
            .describe(
                "What a stage holds now, how it fares, what is on its way there, and what does not \
                 move and why.",
            )
            .attribute("project", project_attribute())
            .attribute("name", parsed::<StageName>().required().describe("The stage."))
            .attribute("id", given("`PROJECT/NAME`."))
            .attribute(
                "labels",
                Attribute::map(Type::String).computed().describe("Its free names and values."),
            )
            .attribute(
                "current",
                read_only(Nesting::Map, &CURRENT)
                    .describe("The freight that it holds, by warehouse."),
            )
            .attribute(
                "promotion",
                read_only(Nesting::Single, &PROMOTION)
                    .describe("The promotion that is on its way; null if there is none."),
            )
            .attribute(
                "holds",
                read_only(Nesting::List, &HOLD)
                    .describe("What stops promotions here, whatever the freight."),
            )
            .attribute(
                "waiting",
                read_only(Nesting::List, &WAITING)
                    .describe("What does not move, why, and until when."),
            )
            .attribute(
                "downstream",
                Attribute::list(Type::String)
                    .computed()
                    .describe("The stages that take freight from this one."),
            )
            .attribute("conditions", conditions_attribute())
            .attribute("metadata", metadata_attribute());
        Schema::new(block)
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
        let name = reader.required("name");
        let what = format!("read stage {project}/{name}");
        let call = session.api.get::<v1::Stage>(&project, &name);
        read(cx, &session, &what, call, diags).await.map(|stage| value(&stage))
    }
}

fn value(stage: &v1::Stage) -> Value {
    let v1::Stage { meta, spec, status } = stage;
    let StageStatus { current, promotion, holds, waiting, downstream, metadata: noted, drift: _ } =
        status;
    Value::object([
        ("project", Value::from(&meta.project)),
        ("name", Value::from(&meta.name)),
        ("id", Value::from(&meta.id)),
        ("labels", spec.labels.clone().into()),
        ("current", by_name(current, current_value)),
        ("promotion", promotion.as_ref().map(promotion_value).into()),
        ("holds", Value::List(holds.iter().map(hold_value).collect())),
        ("waiting", Value::List(waiting.iter().map(waiting_value).collect())),
        ("downstream", downstream.clone().into()),
        ("conditions", conditions_value(&meta.conditions)),
        ("metadata", metadata(noted)),
    ])
}

pub(super) fn current_value(current: &CurrentFreight) -> Value {
    let CurrentFreight { freight, promotion, entered_at, verified_at } = current;
    Value::object([
        ("freight", freight.into()),
        ("promotion", promotion.clone().into()),
        ("entered_at", form::instant(Some(*entered_at))),
        ("verified_at", form::instant(*verified_at)),
    ])
}

pub(super) fn promotion_value(promotion: &ActivePromotion) -> Value {
    // What comes along, the promotion itself says.
    let ActivePromotion { id, freight, along: _, phase } = promotion;
    Value::object([
        ("id", Value::from(id)),
        ("freight", freight.into()),
        ("phase", phase.as_str().into()),
    ])
}

fn hold_value(hold: &StageHold) -> Value {
    let StageHold { name, reason, author, since, until } = hold;
    Value::object([
        ("name", Value::from(name.clone())),
        ("reason", reason.into()),
        ("author", author.into()),
        ("since", form::instant(Some(*since))),
        ("until", form::instant(*until)),
    ])
}

fn waiting_value(waiting: &Waiting) -> Value {
    let Waiting { subject, reason, message, until } = waiting;
    Value::object([
        ("subject", Value::from(subject)),
        ("reason", reason.into()),
        ("message", message.into()),
        ("until", form::instant(*until)),
    ])
}
