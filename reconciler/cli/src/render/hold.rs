//! Holds.

use jiff::Timestamp;
use reconciler_api::v1::{ArtifactSelector, HeldFreight, Hold, HoldSpec};

use super::age::{age, instant};
use super::objects::definition;
use super::{Show, joined, list, or_dash, section, short};

impl Show for Hold {
    const HEADER: &'static [&'static str] =
        &["NAME", "STOPS", "ACTIVE", "BY", "UNTIL", "AGE", "WHY"];

    fn row(&self, now: Timestamp) -> Vec<String> {
        let Self { meta, spec, status } = self;
        vec![
            meta.name.clone(),
            target(spec),
            if status.active { "yes" } else { "no: it has ended" }.to_owned(),
            meta.changed_by.clone(),
            or_dash(spec.expires.map(instant)),
            age(meta.created_at, now),
            spec.reason.clone(),
        ]
    }

    fn details(&self, now: Timestamp) -> Vec<String> {
        let running = |it: &HeldFreight| vec![it.stage.clone(), short(&it.freight).to_owned()];
        vec![
            section(
                "is already in",
                &["STAGE", "FREIGHT"],
                self.status.running.iter().map(running).collect(),
            ),
            list("keeps from committing", &self.status.waiting),
            definition(&self.meta, now),
        ]
    }
}

/// What it stops, in a few words.
fn target(spec: &HoldSpec) -> String {
    let HoldSpec { stage, freight, artifacts, .. } = spec;
    let stage = stage.iter().map(|stage| format!("stage {stage}"));
    let freight = freight.iter().map(|freight| format!("freight {}", short(freight)));
    let artifacts = artifacts.iter().map(selector);
    joined(stage.chain(freight).chain(artifacts))
}

fn selector(artifacts: &ArtifactSelector) -> String {
    let ArtifactSelector {
        subscription,
        repo,
        digest,
        version,
        commit,
        committed_from,
        committed_until,
    } = artifacts;
    let word =
        |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name} {value}"));
    let parts = [
        word("subscription", subscription),
        word("repository", repo),
        word("digest", digest),
        word("version", version),
        word("commit", commit),
        committed_from.map(|from| format!("committed from {}", instant(from))),
        committed_until.map(|until| format!("committed until {}", instant(until))),
    ];
    joined(parts.into_iter().flatten())
}
