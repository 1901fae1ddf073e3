//! `data "lockstep_freight"`.

use async_trait::async_trait;
use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Type, Value};
use provider_protocol::provider::{Context, DataSource, Reader};
use provider_protocol::schema::{Attribute, Block, Nesting, Schema};
use reconciler_api::v1::{
    Artifact, Freight, FreightQuery, FreightStage, GitArtifact, ImageArtifact,
};
use reconciler_domain::id::{StageName, WarehouseName};

use super::{
    by_name, given, metadata, metadata_attribute, project, project_attribute, read, read_only,
};
use crate::attribute::{filled, parsed};
use crate::form::{self, Read as _};
use crate::session::Session;

/// Freight: one by its id, or the newest.
pub(crate) struct FreightData;

pub(super) const ARTIFACT: [(&str, &str); 11] = [
    ("kind", "`git` or `image`."),
    ("repo", "The repository."),
    ("branch", "Of git: the branch."),
    ("commit", "Of git: the full id of the commit."),
    ("subject", "Of git: the first line of the commit's message."),
    ("author", "Of git: who wrote the commit, as `Name <mail>`."),
    ("committed_at", "Of git: when it was committed."),
    ("tag", "Of images: the tag under which it was found."),
    ("digest", "Of images: the digest of its manifest or index."),
    ("ref", "Of images: `repo:tag`."),
    ("created_at", "Of images: when it was built, if it says so."),
];

pub(super) const STAGE: [(&str, &str); 4] = [
    ("entered_at", "When it last came."),
    ("left_at", "When it was replaced; null while it is there."),
    ("verified_at", "When the stage verified it."),
    ("approved_at", "When a person made it available past the stage's upstream."),
];

#[async_trait]
impl DataSource<Session> for FreightData {
    fn type_name(&self) -> &'static str {
        "lockstep_freight"
    }

    fn schema(&self) -> Schema {
        let block = Block::new()
            .describe(
                "An immutable bundle of one version per subscription of a warehouse: one by its \
                 id, the newest of a warehouse, or the newest that is available to a stage.",
            )
            .attribute("project", project_attribute())
            .attribute(
                "id",
                filled().optional_computed().describe(
                    "Its id, a unique beginning of it, or an alias. Give this, or `warehouse` or \
                     `stage`.",
                ),
            )
            .attribute(
                "warehouse",
                parsed::<WarehouseName>()
                    .optional_computed()
                    .describe("The warehouse that made it: the newest of it is read."),
            )
            .attribute(
                "stage",
                parsed::<StageName>()
                    .describe("A stage: the newest freight that is available to it is read."),
            )
            .attribute("full_id", given("Its whole id: the hash of its content."))
            .attribute("short_id", given("The beginning of its id that people read and type."))
            .attribute("created_at", given("When it was made."))
            .attribute(
                "artifacts",
                read_only(Nesting::Map, &ARTIFACT).describe("Its versions, by subscription."),
            )
            .attribute(
                "stages",
                read_only(Nesting::Map, &STAGE).describe("What it went through, by stage."),
            )
            .attribute(
                "aliases",
                Attribute::list(Type::String)
                    .computed()
                    .describe("Its names: each is this freight's alone."),
            )
            .attribute("metadata", metadata_attribute());
        Schema::new(block)
    }

    async fn validate(&self, _: &Context<Session>, config: &Value, diags: &mut Diagnostics) {
        let reader = Reader::root(config);
        let is_set = |name| !reader.get(name).is_null();
        if is_set("id") && (is_set("warehouse") || is_set("stage")) {
            let text = "Freight is read by `id`, or as the newest of a `warehouse` or for a \
                        `stage`, not both.";
            diags.error_at(Path::attribute("id"), "Conflicting settings", text);
        }
        if !is_set("id") && !is_set("warehouse") && !is_set("stage") {
            let text = "Set `id`, `warehouse` or `stage`, so that it is clear which freight is \
                        meant.";
            diags.error("Which freight?", text);
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
        let freight = match reader.text("id") {
            Some(id) => {
                let call = session.api.freight(&project, &id);
                read(cx, &session, &format!("read freight {id}"), call, diags).await
            }
            None => newest(cx, &session, &project, &reader, diags).await,
        }?;
        Some(value(&freight, config))
    }
}

async fn newest(
    cx: &Context<Session>,
    session: &Session,
    project: &str,
    config: &Reader<'_>,
    diags: &mut Diagnostics,
) -> Option<Freight> {
    let query = FreightQuery {
        warehouse: config.text("warehouse"),
        stage: config.text("stage"),
        limit: Some(1),
        ..FreightQuery::default()
    };
    let call = session.api.list_freight(project, &query);
    let page = read(cx, session, "read the newest freight", call, diags).await?;
    let newest = page.items.into_iter().next();
    if newest.is_none() {
        let of = |what, name: Option<String>| name.map(|name| format!(" {what} {name}"));
        let warehouse = of("of warehouse", query.warehouse).unwrap_or_default();
        let stage = of("available to stage", query.stage).unwrap_or_default();
        let text = format!(
            "Project {project} has no freight{warehouse}{stage} yet. `lockstep get warehouses` \
             says what the warehouses have found."
        );
        diags.error("No freight", text);
    }
    newest
}

fn value(freight: &Freight, config: &Value) -> Value {
    let Freight { id, short_id, project, warehouse, artifacts, created_at, stages, .. } = freight;
    let asked = config.get("id").filter(|asked| !asked.is_null());
    Value::object([
        ("project", project.into()),
        ("id", asked.cloned().unwrap_or_else(|| id.into())),
        ("warehouse", warehouse.into()),
        ("stage", config.get("stage").cloned().unwrap_or_default()),
        ("full_id", id.into()),
        ("short_id", short_id.into()),
        ("created_at", form::instant(Some(*created_at))),
        ("artifacts", by_name(artifacts, artifact)),
        ("stages", by_name(stages, stage)),
        ("aliases", freight.aliases.clone().into()),
        ("metadata", metadata(&freight.metadata)),
    ])
}

pub(super) fn artifact(artifact: &Artifact) -> Value {
    match artifact {
        Artifact::Git(GitArtifact { repo, branch, commit, subject, author, committed_at }) => {
            Value::object([
                ("kind", Value::from("git")),
                ("repo", repo.into()),
                ("branch", branch.into()),
                ("commit", commit.into()),
                ("subject", subject.into()),
                ("author", author.into()),
                ("committed_at", form::instant(Some(*committed_at))),
            ])
        }
        Artifact::Image(ImageArtifact { repo, tag, digest, created_at }) => Value::object([
            ("kind", Value::from("image")),
            ("repo", repo.into()),
            ("tag", tag.into()),
            ("digest", digest.into()),
            ("ref", format!("{repo}:{tag}").into()),
            ("created_at", form::instant(*created_at)),
        ]),
    }
}

pub(super) fn stage(stage: &FreightStage) -> Value {
    let FreightStage { entered_at, left_at, verified_at, approved_at } = stage;
    Value::object([
        ("entered_at", form::instant(*entered_at)),
        ("left_at", form::instant(*left_at)),
        ("verified_at", form::instant(*verified_at)),
        ("approved_at", form::instant(*approved_at)),
    ])
}

#[cfg(test)]
mod tests {
    use provider_protocol::cty::conform::conform;
    use provider_protocol::provider::Function as _;
    use serde_json::json;

    use super::*;
    use crate::functions::EvaluatePolicy;

    #[test]
    fn what_it_reads_is_judged_as_it_is() {
        let freight: Freight = serde_json::from_value(json!({
            "id": "11988a65630e4ac3b8a6bf96aca80276371b02c5", "short_id": "11988a6",
            "project": "shop", "warehouse": "shop", "created_at": "2026-07-05T07:00:00Z",
            "artifacts": {
                "api": { "kind": "image", "repo": "example.com/api", "tag": "1.4.2",
                    "digest": "sha256:0", "created_at": null },
                "infra": { "kind": "git", "repo": "https://example.com/infra", "branch": "main",
                    "commit": "c0ffee", "subject": "more", "author": "Ada <a@example.com>",
                    "committed_at": "2026-07-05T06:00:00Z" },
            },
            "stages": { "staging": { "entered_at": "2026-07-05T07:10:00Z", "left_at": null,
                "verified_at": "2026-07-05T07:20:00Z", "approved_at": null } },
            "aliases": ["brave-otter"], "metadata": { "build": 7, "by": "ada" },
        }))
        .expect("it is freight");
        let ty = FreightData.schema().block.ty();
        let config = Value::object([("warehouse", Value::from("shop"))]);
        let read = value(&freight, &config);
        let Type::Object(fields) = &ty else { panic!("a block is an object: {ty:?}") };
        for name in fields.keys() {
            assert!(read.get(name).is_some(), "{name} is not read");
        }
        let read = conform(read, &ty).expect("it is as its schema says");
        let policy = json!({
            "mode": "gated", "stages": { "names": ["prod"] }, "soak": "1h",
            "condition": { "name": "released", "when": "freight.api.tag == '1.4.2'" },
        });
        let facts = json!({ "at": "2026-07-05T09:00:00Z", "stage": "prod", "from": ["staging"] });
        let arguments = [Value::from(&policy), read, Value::from(&facts)];
        let judged = EvaluatePolicy.call(&arguments.map(Value::into_dynamic));
        let judged = judged.unwrap_or_else(|error| panic!("{:?}: {}", error.argument, error.text));
        assert_eq!(judged.get("verdict"), Some(&Value::from("pass")), "{judged:?}");
    }
}
