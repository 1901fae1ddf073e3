//! Holds.

use jiff::Timestamp;
use reconciler_api::problem::{FieldCode, FieldProblem};
use reconciler_api::v1::{self, HoldSpec, HoldStatus};
use reconciler_domain::hold::{ArtifactMatch, Hold, Target, closing};
use reconciler_domain::id::HoldName;
use reconciler_domain::snapshot::StageSnapshot;
use reconciler_domain::version::Constraint;
use reconciler_store::Whereabouts;

use super::Fields;

/// Reads a hold.
pub(crate) fn parse_hold(name: HoldName, spec: &HoldSpec) -> Result<Hold, Vec<FieldProblem>> {
    let mut fields = Fields::default();
    let target = parse_target(&mut fields, spec);
    let hold = target.map(|target| Hold {
        name,
        target,
        reason: spec.reason.clone(),
        expires: spec.expires,
    });
    fields.finish(hold)
}

fn parse_target(fields: &mut Fields, spec: &HoldSpec) -> Option<Target> {
    match (&spec.stage, &spec.freight, &spec.artifacts) {
        (Some(stage), None, None) => fields.name("stage", stage).map(Target::Stage),
        (None, Some(freight), None) => fields.name("freight", freight).map(Target::Freight),
        (None, None, Some(artifacts)) => {
            parse_artifacts(fields, "artifacts.", artifacts).map(Target::Artifacts)
        }
        (None, None, None) => {
            let message = "say what it stops: `stage`, `freight` or `artifacts`";
            fields.add("", FieldCode::Missing, message);
            None
        }
        (Some(_), _, _) | (_, Some(_), _) => {
            let message = "a hold stops one of `stage`, `freight` and `artifacts`; put several";
            fields.add("", FieldCode::Conflicting, message);
            None
        }
    }
}

/// Reads which artifacts are meant; `base` stands before the names of the fields in problems.
pub(super) fn parse_artifacts(
    fields: &mut Fields,
    base: &str,
    given: &v1::ArtifactSelector,
) -> Option<ArtifactMatch> {
    let subscription = given.subscription.as_ref();
    let subscription = subscription.map(|name| fields.name(&format!("{base}subscription"), name));
    let version = given.version.as_ref().map(|range| {
        let path = format!("{base}version");
        fields.parse::<Constraint>(&path, FieldCode::BadConstraint, range)
    });
    let commit = given.commit.as_ref().map(|id| fields.name(&format!("{base}commit"), id));
    Some(ArtifactMatch {
        subscription: transposed(subscription)?,
        repo: given.repo.clone(),
        digest: given.digest.clone(),
        version: transposed(version)?,
        commit: transposed(commit)?,
        committed_from: given.committed_from,
        committed_until: given.committed_until,
    })
}

/// What was not given is fine, what did not parse is not.
pub(super) fn transposed<T>(parsed: Option<Option<T>>) -> Option<Option<T>> {
    match parsed {
        None => Some(None),
        Some(parsed) => parsed.map(Some),
    }
}

/// Says a hold on the wire.
pub(crate) fn hold_spec(hold: &Hold) -> HoldSpec {
    let mut spec =
        HoldSpec { reason: hold.reason.clone(), expires: hold.expires, ..HoldSpec::default() };
    match &hold.target {
        Target::Stage(stage) => spec.stage = Some(stage.to_string()),
        Target::Freight(freight) => spec.freight = Some(freight.to_string()),
        Target::Artifacts(artifacts) => spec.artifacts = Some(artifact_selector(artifacts)),
    }
    spec
}

fn artifact_selector(artifacts: &ArtifactMatch) -> v1::ArtifactSelector {
    v1::ArtifactSelector {
        subscription: artifacts.subscription.as_ref().map(ToString::to_string),
        repo: artifacts.repo.clone(),
        digest: artifacts.digest.clone(),
        version: artifacts.version.as_ref().map(ToString::to_string),
        commit: artifacts.commit.as_ref().map(ToString::to_string),
        committed_from: artifacts.committed_from,
        committed_until: artifacts.committed_until,
    }
}

/// Says what a hold stops, and where that is already.
pub(crate) fn hold_status(hold: &Hold, found: &Whereabouts, now: Timestamp) -> HoldStatus {
    let there = found.there.iter().filter(|(stage, freight)| hold.stops(stage, freight));
    let coming =
        found.coming.iter().filter(|coming| hold.stops(&coming.promotion.stage, &coming.freight));
    let active = !hold.is_over(now);
    HoldStatus {
        active,
        running: there
            .map(|(stage, freight)| v1::HeldFreight {
                stage: stage.to_string(),
                freight: freight.id.to_string(),
            })
            .collect(),
        waiting: coming
            .filter(|coming| active && !coming.committed)
            .map(|coming| coming.promotion.id.to_string())
            .collect(),
    }
}

/// Says what stops promotions to a stage, whatever the freight.
pub(crate) fn stage_holds(snapshot: &StageSnapshot, now: Timestamp) -> Vec<v1::StageHold> {
    let automatic = snapshot.automatic_hold.iter().map(|hold| v1::StageHold {
        name: None,
        reason: hold.reason.clone(),
        author: hold.by.to_string(),
        since: hold.at,
        until: None,
    });
    let named = closing(&snapshot.holds, &snapshot.stage.spec.name, now);
    let named = named.map(|hold| v1::StageHold {
        name: Some(hold.spec.name.to_string()),
        reason: hold.spec.reason.clone(),
        author: hold.changed_by.to_string(),
        since: hold.changed_at,
        until: hold.spec.expires,
    });
    automatic.chain(named).collect()
}
