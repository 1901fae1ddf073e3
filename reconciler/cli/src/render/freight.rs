//! Freight and its artifacts.

use jiff::Timestamp;
use reconciler_api::v1::{Artifact, Freight, FreightStage};

use super::age::{age, age_or_dash};
use super::{Show, joined, section};

/// How many characters of a commit's id people read.
const COMMIT_LENGTH: usize = 10;

impl Show for Freight {
    const HEADER: &'static [&'static str] = &["FREIGHT", "WAREHOUSE", "ARTIFACTS", "STAGES", "AGE"];

    fn row(&self, now: Timestamp) -> Vec<String> {
        let artifacts = self.artifacts.iter();
        let stages =
            self.stages.iter().filter_map(|(name, it)| Some(format!("{name}{}", mark(it)?)));
        vec![
            self.short_id.clone(),
            self.warehouse.clone(),
            joined(artifacts.map(|(name, it)| format!("{name} {}", version(it)))),
            joined(stages),
            age(self.created_at, now),
        ]
    }

    fn details(&self, now: Timestamp) -> Vec<String> {
        let artifacts = self.artifacts.iter().map(|(name, it)| artifact(name, it)).collect();
        let stages = self.stages.iter().map(|(name, it)| stage(name, it, now)).collect();
        let stage_header = ["STAGE", "CAME", "LEFT", "VERIFIED", "APPROVED"];
        vec![
            format!("id {}", self.id),
            section("artifacts", &["NAME", "KIND", "VERSION", "SOURCE", "WHAT"], artifacts),
            section("stages", &stage_header, stages),
        ]
    }
}

/// What a freight is to a stage, in a word; none if it never was there.
fn mark(stage: &FreightStage) -> Option<&'static str> {
    match stage {
        FreightStage { entered_at: None, approved_at: None, .. } => None,
        FreightStage { entered_at: None, .. } => Some(" (approved)"),
        FreightStage { left_at: Some(_), .. } => Some(" (left)"),
        FreightStage { verified_at: Some(_), .. } => Some(" (verified)"),
        FreightStage { .. } => Some(""),
    }
}

fn version(artifact: &Artifact) -> String {
    match artifact {
        Artifact::Git(it) => format!("{}@{}", it.branch, beginning(&it.commit)),
        Artifact::Image(it) => it.tag.clone(),
    }
}

fn beginning(commit: &str) -> &str {
    commit.get(..COMMIT_LENGTH).unwrap_or(commit)
}

fn artifact(name: &str, artifact: &Artifact) -> Vec<String> {
    let (kind, source, what) = match artifact {
        Artifact::Git(it) => ("git", &it.repo, format!("{} ({})", it.subject, it.author)),
        Artifact::Image(it) => ("image", &it.repo, it.digest.clone()),
    };
    vec![name.to_owned(), kind.to_owned(), version(artifact), source.clone(), what]
}

fn stage(name: &str, stage: &FreightStage, now: Timestamp) -> Vec<String> {
    let FreightStage { entered_at, left_at, verified_at, approved_at } = stage;
    let times = [entered_at, left_at, verified_at, approved_at];
    let ages = times.into_iter().map(|it| age_or_dash(*it, now));
    std::iter::once(name.to_owned()).chain(ages).collect()
}
