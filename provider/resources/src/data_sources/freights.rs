//! `data "lockstep_freights"`.

use async_trait::async_trait;
use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Value};
use provider_protocol::provider::{Context, DataSource, Reader};
use provider_protocol::schema::{Attribute, Block, NestedBlock, Nesting, Schema};
use reconciler_api::v1::{Freight, FreightQuery, PAGE_LIMIT_MAX};
use reconciler_domain::id::{CommitPrefix, StageName, SubscriptionName, WarehouseName};

use super::freight::{ARTIFACT, STAGE, artifact, stage};
use super::{by_name, given, project, project_attribute, read, read_only};
use crate::attribute::{filled, instant, parsed, version_range};
use crate::form::{self, Read as _};
use crate::session::Session;

/// Freight that fulfils all of what is asked, newest first.
pub(crate) struct FreightsData;

/// How many are read where nothing is said.
const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 5_000;

const CRITERIA: [&str; 5] = ["subscription", "repo", "version", "digest", "commit"];

#[async_trait]
impl DataSource<Session> for FreightsData {
    fn type_name(&self) -> &'static str {
        "lockstep_freights"
    }

    fn schema(&self) -> Schema {
        let block = Block::new()
            .describe(
                "Freight of a project, newest first: what fulfils all of what is asked. Nothing \
                 asked: all of it.",
            )
            .attribute("project", project_attribute())
            .attribute(
                "warehouse",
                parsed::<WarehouseName>().describe("Only freight that this warehouse made."),
            )
            .attribute(
                "stage",
                parsed::<StageName>().describe(
                    "Only freight that is available to this stage; the newest 100 of each \
                     warehouse are looked at.",
                ),
            )
            .attribute(
                "verified_in",
                parsed::<StageName>().describe("Only freight that this stage vouches for."),
            )
            .attribute(
                "current_in",
                parsed::<StageName>().describe("Only freight that is in this stage now."),
            )
            .attribute(
                "created_from",
                instant().describe("Only freight that was made at this instant or later."),
            )
            .attribute(
                "created_until",
                instant().describe("Only freight that was made at this instant or earlier."),
            )
            .attribute(
                "limit",
                Attribute::number().whole().range(1..=i64::from(LIMIT_MAX)).describe(format!(
                    "How many at most, from 1 to {LIMIT_MAX}. Default: {LIMIT_DEFAULT}."
                )),
            )
            .block("artifact", NestedBlock::list(criteria()).max(1))
            .attribute("freight", freight().describe("The freight, newest first."));
        Schema::new(block)
    }

    async fn validate(&self, _: &Context<Session>, config: &Value, diags: &mut Diagnostics) {
        let config = Reader::root(config);
        let at = |name| config.text(name).and_then(|text| text.parse::<jiff::Timestamp>().ok());
        if let (Some(from), Some(until)) = (at("created_from"), at("created_until"))
            && from > until
        {
            let path = Path::attribute("created_until");
            diags.error_at(path, "No freight can match", "It is before `created_from`.");
        }
        for artifact in config.blocks("artifact") {
            if CRITERIA.iter().all(|name| artifact.get(name).is_null()) {
                let text = "Say which artifacts; without the block, all of them are meant.";
                diags.error_at(artifact.path().clone(), "No artifacts are named", text);
            }
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
        let most = reader.count("limit").unwrap_or(LIMIT_DEFAULT);
        let what = format!("list the freight of {project}");
        let call = list(&session, &project, query(&reader), most);
        let found = read(cx, &session, &what, call, diags).await?;
        Some(value(&project, &found, config))
    }
}

fn criteria() -> Block {
    Block::new()
        .describe("Only freight with an artifact that fulfils all of this.")
        .attribute(
            "subscription",
            parsed::<SubscriptionName>().describe("Found by the subscription of this name."),
        )
        .attribute("repo", filled().describe("Of this repository."))
        .attribute(
            "version",
            version_range().describe("A version in this range, such as `^1.4` or `>=1.4.0 <2`."),
        )
        .attribute("digest", filled().describe("An image of this digest, such as `sha256:…`."))
        .attribute(
            "commit",
            parsed::<CommitPrefix>().describe("A commit whose id begins so: 7 digits or more."),
        )
}

fn freight() -> Attribute {
    let fields = [
        ("id", given("Its id: the hash of its content.")),
        ("short_id", given("The beginning of its id that people read and type.")),
        ("warehouse", given("The warehouse that made it.")),
        ("created_at", given("When it was made.")),
        (
            "artifacts",
            read_only(Nesting::Map, &ARTIFACT).describe("Its versions, by subscription."),
        ),
        ("stages", read_only(Nesting::Map, &STAGE).describe("What it went through, by stage.")),
    ];
    Attribute::nested(Nesting::List, fields).computed()
}

fn query(config: &Reader<'_>) -> FreightQuery {
    let artifact = config.block("artifact");
    let asked = |name: &str| artifact.as_ref().and_then(|artifact| artifact.text(name));
    let at = |name: &str| config.text(name).and_then(|text| text.parse().ok());
    FreightQuery {
        warehouse: config.text("warehouse"),
        stage: config.text("stage"),
        verified_in: config.text("verified_in"),
        current_in: config.text("current_in"),
        subscription: asked("subscription"),
        repo: asked("repo"),
        version: asked("version"),
        digest: asked("digest"),
        commit: asked("commit"),
        created_from: at("created_from"),
        created_until: at("created_until"),
        limit: None,
        page: None,
    }
}

/// Page by page, until there is enough.
async fn list(
    session: &Session,
    project: &str,
    mut query: FreightQuery,
    most: u32,
) -> Result<Vec<Freight>, reconciler_api::client::ClientError> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut found: Vec<Freight> = Vec::new();
    loop {
        let left = u32::try_from(most - found.len()).unwrap_or(PAGE_LIMIT_MAX);
        query.limit = Some(left.min(PAGE_LIMIT_MAX));
        let page = session.api.list_freight(project, &query).await?;
        found.extend(page.items);
        query.page = page.next;
        if query.page.is_none() || found.len() >= most {
            found.truncate(most);
            return Ok(found);
        }
    }
}

fn value(project: &str, found: &[Freight], config: &Value) -> Value {
    let asked = [
        "warehouse",
        "stage",
        "verified_in",
        "current_in",
        "created_from",
        "created_until",
        "limit",
        "artifact",
    ];
    let asked = asked.map(|name| (name, config.get(name).cloned().unwrap_or_default()));
    let answered = [
        ("project", Value::from(project)),
        ("freight", Value::List(found.iter().map(one).collect())),
    ];
    Value::object(asked.into_iter().chain(answered))
}

fn one(freight: &Freight) -> Value {
    let Freight { id, short_id, warehouse, artifacts, created_at, stages, .. } = freight;
    Value::object([
        ("id", Value::from(id)),
        ("short_id", short_id.into()),
        ("warehouse", warehouse.into()),
        ("created_at", form::instant(Some(*created_at))),
        ("artifacts", by_name(artifacts, artifact)),
        ("stages", by_name(stages, stage)),
    ])
}
