//! Freight.

use std::collections::{BTreeMap, BTreeSet};

use reconciler_api::v1;
use reconciler_domain::artifact::Artifact;
use reconciler_domain::freight::FreightFacts;
use reconciler_domain::id::{ProjectName, StageName};

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
