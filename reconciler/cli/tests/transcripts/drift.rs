//! Drift of the stand-in.

use jiff::{SignedDuration, Timestamp};
use reconciler_api::v1::{
    DriftAction, DriftStanding, DriftedAttribute, DriftedResource, StageDrift, StateDrift,
};

fn state(name: &str, standing: DriftStanding) -> StateDrift {
    StateDrift {
        state: name.into(),
        workspace: "default".into(),
        dir: name.into(),
        promotion: "prod.12".into(),
        step: "apply".into(),
        standing,
        why: None,
        resources: Vec::new(),
        outputs: Vec::new(),
    }
}

fn resource(address: &str, action: DriftAction) -> DriftedResource {
    DriftedResource { address: address.into(), action, attributes: Vec::new(), configured: true }
}

fn drifted() -> StateDrift {
    let attribute = |name: &str, before: &str, after: &str| DriftedAttribute {
        name: name.into(),
        before: before.into(),
        after: after.into(),
    };
    let main = DriftedResource {
        attributes: vec![
            attribute("password", "(sensitive)", "(sensitive)"),
            attribute("size", "10", "20"),
        ],
        ..resource("aws_db_instance.main", DriftAction::Changed)
    };
    let bucket = resource("aws_s3_bucket.logs", DriftAction::Deleted);
    let computed = DriftedResource {
        configured: false,
        ..resource("aws_sqs_queue.jobs", DriftAction::Changed)
    };
    StateDrift {
        resources: vec![main, bucket, computed, resource("aws_x.y", DriftAction::Lost)],
        outputs: vec!["url".into()],
        ..state("modules/db", DriftStanding::Drifted)
    }
}

/// What is known of each stage.
pub(crate) fn all(now: Timestamp) -> Vec<StageDrift> {
    let failed = StateDrift {
        why: Some("no way there".into()),
        ..state("modules/net", DriftStanding::Unknown)
    };
    let prod = StageDrift {
        stage: "prod".into(),
        every: Some("6h".into()),
        standing: DriftStanding::Drifted,
        message: "modules/db: `aws_db_instance.main` was changed outside (password, size)".into(),
        looked_at: Some(now - SignedDuration::from_hours(2)),
        next_look_at: None,
        asked: false,
        waits_for: None,
        states: vec![drifted(), failed],
    };
    let dev = StageDrift {
        stage: "dev".into(),
        every: None,
        standing: DriftStanding::Unseen,
        message: "nobody looked yet".into(),
        looked_at: None,
        asked: true,
        waits_for: Some("dev.7".into()),
        states: vec![state("modules/db", DriftStanding::Unseen)],
        ..prod.clone()
    };
    vec![dev, prod]
}

/// One stage of them.
pub(crate) fn of(now: Timestamp, stage: &str) -> StageDrift {
    all(now).into_iter().find(|it| it.stage == stage).unwrap()
}
