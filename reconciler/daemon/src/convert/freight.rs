//! Freight.

use std::collections::{BTreeMap, BTreeSet};

use reconciler_api::problem::FieldProblem;
use reconciler_api::v1::{self, ArtifactSelector, FreightQuery};
use reconciler_domain::artifact::Artifact;
use reconciler_domain::freight::{FreightFacts, FreightFilter};
use reconciler_domain::id::{ProjectName, StageName};

use super::Fields;
use super::hold::{parse_artifacts, transposed};

/// Reads which freight to list; not to which stage it is available.
pub(crate) fn freight_filter(query: &FreightQuery) -> Result<FreightFilter, Vec<FieldProblem>> {
    let mut fields = Fields::default();
    let filter = parse_filter(&mut fields, query);
    fields.finish(filter)
}

fn parse_filter(fields: &mut Fields, query: &FreightQuery) -> Option<FreightFilter> {
    let artifacts = ArtifactSelector {
        subscription: query.subscription.clone(),
        repo: query.repo.clone(),
        digest: query.digest.clone(),
        version: query.version.clone(),
        commit: query.commit.clone(),
        committed_from: None,
        committed_until: None,
    };
    let warehouse = query.warehouse.as_ref().map(|name| fields.name("warehouse", name));
    let verified_in = query.verified_in.as_ref().map(|name| fields.name("verified_in", name));
    let current_in = query.current_in.as_ref().map(|name| fields.name("current_in", name));
    Some(FreightFilter {
        artifacts: parse_artifacts(fields, "", &artifacts)?,
        warehouse: transposed(warehouse)?,
        verified_in: transposed(verified_in)?,
        current_in: transposed(current_in)?,
        created_from: query.created_from,
        created_until: query.created_until,
    })
}

/// Says freight and what happened to it on the wire.
pub(crate) fn freight(project: &ProjectName, facts: &FreightFacts) -> v1::Freight {
    let freight = &facts.freight;
    v1::Freight {
        id: freight.id.to_string(),
        short_id: freight.id.short().to_owned(),
        project: project.to_string(),
        warehouse: freight.warehouse.to_string(),
        artifacts: freight
            .artifacts
            .iter()
            .map(|(name, found)| (name.to_string(), artifact(found)))
            .collect(),
        created_at: freight.created_at,
        stages: stages(facts),
        aliases: facts.aliases.iter().map(ToString::to_string).collect(),
        metadata: facts.metadata.clone().into_iter().collect(),
    }
}

fn artifact(artifact: &Artifact) -> v1::Artifact {
    match artifact {
        Artifact::Git(git) => v1::Artifact::Git(v1::GitArtifact {
            repo: git.repo.clone(),
            branch: git.branch.clone(),
            commit: git.commit.clone(),
            subject: git.subject.clone(),
            author: git.author.clone(),
            committed_at: git.committed_at,
        }),
        Artifact::Image(image) => v1::Artifact::Image(v1::ImageArtifact {
            repo: image.repo.clone(),
            tag: image.tag.clone(),
            digest: image.digest.clone(),
            created_at: image.created_at,
        }),
    }
}

fn stages(facts: &FreightFacts) -> BTreeMap<String, v1::FreightStage> {
    let names: BTreeSet<&StageName> = facts
        .stays
        .keys()
        .chain(facts.verified_in.keys())
        .chain(facts.approved_for.keys())
        .collect();
    names
        .into_iter()
        .map(|name| {
            let last = facts.stays.get(name).and_then(|stays| stays.last());
            let stage = v1::FreightStage {
                entered_at: last.map(|stay| stay.entered_at),
                left_at: last.and_then(|stay| stay.left_at),
                verified_at: facts.verified_in.get(name).copied(),
                approved_at: facts.approved_for.get(name).copied(),
            };
            (name.to_string(), stage)
        })
        .collect()
}
