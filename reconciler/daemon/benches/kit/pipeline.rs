//! A database full of promotions, written through the real store.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use indexmap::IndexMap;
use jiff::Timestamp;
use reconciler_domain::artifact::{Artifact, ImageVersion};
use reconciler_domain::freight::Freight;
use reconciler_domain::id::{
    FreightId, Principal, ProjectName, PromotionId, StageName, WarehouseName,
};
use reconciler_domain::promotion::Entry;
use reconciler_domain::stage::{Choose, Matching, Request, Stage};
use reconciler_domain::step::{Step, StepKind};
use reconciler_domain::warehouse::Warehouse;
use reconciler_store::{Change, NewPromotion, Project, Store};
use serde_json::json;

/// Writes that wait for the disk together.
pub(crate) const AT_ONCE: usize = 200;

/// What there is to do.
pub(crate) struct Pipeline {
    pub(crate) projects: usize,
    /// Stages of each project.
    pub(crate) stages: usize,
    /// Steps of each stage.
    pub(crate) steps: Vec<Step>,
}

/// A step that waits.
pub(crate) fn waits(name: &str, until: Timestamp) -> Step {
    step(name, StepKind::Wait, json!({ "until": until.to_string() }))
}

/// Steps that do nothing. They give out what is known only after the step `start`, so that each is
/// carried out after the commit, in a bracket of its own.
pub(crate) fn idles(count: usize) -> impl Iterator<Item = Step> {
    (0..count).map(|number| {
        let outputs = json!({ "held": "{{ steps.start.held }}", "number": number });
        step(&format!("s{number}"), StepKind::ComposeOutput, json!({ "outputs": outputs }))
    })
}

impl Pipeline {
    /// Writes projects, stages and freight.
    pub(crate) async fn define(&self, store: &Store) {
        let by = Change::by(&Principal::Automation, defined_at());
        for number in 0..self.projects {
            let project = project(number);
            store.put_project(&described(&project), &by).await.unwrap();
            store.put_warehouse(&project, &warehouse(), &by).await.unwrap();
            let (id, artifacts) = freight();
            let made = store.create_freight(&project, &web(), &id, &artifacts, defined_at()).await;
            made.unwrap().unwrap();
            let stages: Vec<usize> = (0..self.stages).collect();
            for some in stages.chunks(AT_ONCE) {
                let put = some.iter().map(|stage| {
                    let (project, stage, by) = (&project, self.stage(*stage), &by);
                    async move { store.put_stage(project, &stage, by).await.map(drop).unwrap() }
                });
                join_all(put).await;
            }
        }
    }

    /// Asks for one promotion to each of the first stages of each project.
    pub(crate) async fn promote(&self, store: &Store, stages: usize) {
        for number in 0..self.projects {
            let asked = (0..stages).map(|stage| async move {
                let (new, now) = (promotion(stage_name(stage)), Timestamp::now());
                store.create_promotion(&project(number), &new, now).await.map(drop).unwrap();
            });
            join_all(asked).await;
        }
    }

    fn stage(&self, number: usize) -> Stage {
        Stage {
            name: stage_name(number),
            labels: BTreeMap::new(),
            vars: [].into(),
            settable_vars: Vec::new(),
            requests: vec![Request {
                warehouse: web(),
                direct: true,
                from: Vec::new(),
                matching: Matching::default(),
            }],
            steps: self.steps.clone(),
            verifications: Vec::new(),
            choose: Choose::Latest,
            deletion_protection: false,
            drift: None,
        }
    }

    /// The log of the promotion to each of the first stages of each project.
    pub(crate) async fn logs(&self, data: &Path, stages: usize) -> Vec<Vec<Entry>> {
        let store = open(data).await;
        let mut logs = Vec::new();
        for number in 0..self.projects {
            for stage in 0..stages {
                let id = PromotionId::new(&stage_name(stage), 1);
                let (_, log) = store.promotion(&project(number), &id).await.unwrap().unwrap();
                logs.push(log);
            }
        }
        store.close().await;
        logs
    }
}

/// The database of a daemon with this data directory.
pub(crate) async fn open(data: &Path) -> Store {
    Store::open(data.join("lockstep.db")).await.unwrap()
}

/// So long ago that nothing waits for definitions to rest.
fn defined_at() -> Timestamp {
    Timestamp::now().checked_sub(Duration::from_secs(24 * 3600)).unwrap()
}

pub(crate) fn project(number: usize) -> ProjectName {
    format!("p{number}").parse().unwrap()
}

pub(crate) fn stage_name(number: usize) -> StageName {
    format!("s{number}").parse().unwrap()
}

fn web() -> WarehouseName {
    "web".parse().unwrap()
}

fn described(name: &ProjectName) -> Project {
    Project {
        name: name.clone(),
        description: String::new(),
        labels: BTreeMap::new(),
        deletion_protection: false,
    }
}

fn warehouse() -> Warehouse {
    Warehouse {
        name: web(),
        interval: Duration::from_secs(3600),
        subscriptions: IndexMap::new(),
        require: None,
        deletion_protection: false,
    }
}

fn freight() -> (FreightId, IndexMap<reconciler_domain::id::SubscriptionName, Artifact>) {
    let image = ImageVersion {
        repo: "registry.example/web".to_owned(),
        tag: "1.0.0".to_owned(),
        digest: "sha256:1".to_owned(),
        created_at: None,
    };
    let artifacts = IndexMap::from([("api".parse().unwrap(), Artifact::Image(image))]);
    (Freight::id_of(&web(), &artifacts), artifacts)
}

fn step(name: &str, uses: StepKind, config: serde_json::Value) -> Step {
    Step::new(name.parse().unwrap(), uses, config)
}

pub(crate) fn promotion(stage: StageName) -> NewPromotion {
    NewPromotion {
        stage,
        freight: freight().0,
        warehouse: web(),
        along: [].into(),
        requester: Principal::Named("bench".to_owned()),
        groups: [].into(),
        reason: None,
        vars: [].into(),
        bypass: None,
        rollback: false,
        rehearsal: false,
        supersedes: Vec::new(),
        hold: None,
        release_hold: false,
        revision: None,
    }
}
