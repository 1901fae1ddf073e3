//! A small world to try things in: project `shop`, warehouse `web`, stages `dev` and `prod`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use reconciler_domain::artifact::{Artifact, ImageVersion};
use reconciler_domain::freight::Freight;
use reconciler_domain::id::{
    FreightId, Principal, ProjectName, PromotionId, StageName, WarehouseName,
};
use reconciler_domain::metadata::Metadata;
use reconciler_domain::policy::{Mode, Policy};
use reconciler_domain::promotion::{ChangeSet, Ending, Event, Finish, Frozen};
use reconciler_domain::stage::{Choose, Matching, Request, Stage, VerificationUse};
use reconciler_domain::step::{Step, StepKind};
use reconciler_domain::task::Task;
use reconciler_domain::verification::Verification;
use reconciler_domain::warehouse::{ImageSource, Source, Warehouse};
use reconciler_store::{
    AppendError, Change, Lease, NewPromotion, Precondition, Project, Store, WakeKey,
};
use serde_json::json;

pub(crate) const LEASE: Duration = Duration::from_secs(30);

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Store,
}

/// Seconds after the beginning of the test's time.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub(crate) fn alice() -> Principal {
    Principal::Named("alice".to_owned())
}

pub(crate) fn change(second: i64) -> Change {
    Change::by(&alice(), at(second))
}

pub(crate) fn creating(second: i64) -> Change {
    change(second).precondition(Precondition::MustNotExist)
}

pub(crate) fn shop() -> ProjectName {
    "shop".parse().unwrap()
}

pub(crate) fn web() -> WarehouseName {
    "web".parse().unwrap()
}

pub(crate) fn dev() -> StageName {
    "dev".parse().unwrap()
}

pub(crate) fn prod() -> StageName {
    "prod".parse().unwrap()
}

pub(crate) fn project() -> Project {
    Project {
        name: shop(),
        description: String::new(),
        labels: BTreeMap::new(),
        deletion_protection: false,
    }
}

pub(crate) fn warehouse() -> Warehouse {
    let source = Source::Image(ImageSource {
        repo: "registry.example/web".to_owned(),
        constraint: None,
        strict_semver: false,
        allow_tags: Vec::new(),
        ignore_tags: Vec::new(),
        platform: None,
        insecure: false,
        discovery_limit: 20,
    });
    Warehouse {
        name: web(),
        interval: Duration::from_secs(60),
        subscriptions: IndexMap::from([("api".parse().unwrap(), source)]),
        require: None,
        deletion_protection: false,
    }
}

/// A stage with one step; without upstreams it takes freight straight from the warehouse.
pub(crate) fn stage(name: &StageName, from: &[StageName]) -> Stage {
    let request = Request {
        warehouse: web(),
        direct: from.is_empty(),
        from: from.to_vec(),
        matching: Matching::Any,
    };
    let step = Step::new("call".parse().unwrap(), StepKind::Http, json!({}));
    Stage {
        name: name.clone(),
        labels: BTreeMap::new(),
        vars: [].into(),
        settable_vars: [].into(),
        requests: vec![request],
        steps: vec![step],
        verifications: Vec::new(),
        choose: Choose::Latest,
        deletion_protection: false,
        drift: None,
    }
}

pub(crate) fn using(template: &str, mut stage: Stage) -> Stage {
    let template = template.parse().unwrap();
    let used = VerificationUse { name: "v".to_owned(), template, args: BTreeMap::new() };
    stage.verifications.push(used);
    stage
}

/// A task that uses others.
pub(crate) fn task(name: &str, uses: &[&str]) -> Task {
    let (name, description) = (name.parse().unwrap(), String::new());
    Task { name, description, inputs: IndexMap::new(), steps: steps_using(uses) }
}

/// The stage with steps that use tasks.
pub(crate) fn doing(tasks: &[&str], stage: Stage) -> Stage {
    Stage { steps: steps_using(tasks), ..stage }
}

fn steps_using(tasks: &[&str]) -> Vec<Step> {
    let step =
        |task: &&str| Step::new(task.parse().unwrap(), StepKind::Task, json!({ "task": task }));
    tasks.iter().map(step).collect()
}

pub(crate) fn verification(name: &str) -> Verification {
    Verification {
        name: name.parse().unwrap(),
        description: String::new(),
        initial_delay: Duration::ZERO,
        interval: Duration::from_secs(5),
        count: 1,
        failure_limit: 0,
        deadline: Duration::from_secs(60),
        checks: IndexMap::new(),
    }
}

pub(crate) fn policy(name: &str, stages: &[&str]) -> Policy {
    let stages = stages.iter().map(ToString::to_string).collect();
    Policy::new(name.parse().unwrap(), Mode::Gated, stages)
}

pub(crate) fn artifacts(tag: &str) -> IndexMap<reconciler_domain::id::SubscriptionName, Artifact> {
    let image = ImageVersion {
        repo: "registry.example/web".to_owned(),
        tag: tag.to_owned(),
        digest: format!("sha256:{tag}"),
        created_at: None,
    };
    IndexMap::from([("api".parse().unwrap(), Artifact::Image(image))])
}

impl World {
    /// An empty store.
    pub(crate) async fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("lockstep.db")).await.unwrap();
        Self { dir, store }
    }

    /// The project with its warehouse and `dev` feeding `prod`, nothing due.
    pub(crate) async fn new() -> Self {
        let world = Self::empty().await;
        let store = &world.store;
        store.put_project(&project(), &creating(0)).await.unwrap();
        store.put_warehouse(&shop(), &warehouse(), &creating(0)).await.unwrap();
        store.put_stage(&shop(), &stage(&dev(), &[]), &creating(0)).await.unwrap();
        store.put_stage(&shop(), &stage(&prod(), &[dev()]), &creating(0)).await.unwrap();
        world.quiet(1).await;
        world
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("lockstep.db")
    }

    /// A second hand on the file, for looking and for damage.
    pub(crate) fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }

    /// Keys that are due by then, taken and given back.
    pub(crate) async fn due(&self, second: i64) -> Vec<String> {
        let leases = self.store.claim("test", &[], LEASE, at(second), 1000).await.unwrap();
        for lease in &leases {
            self.store.release(lease, None).await.unwrap();
        }
        let mut keys: Vec<String> = leases.iter().map(|lease| lease.key.to_string()).collect();
        keys.sort();
        keys
    }

    pub(crate) async fn quiet(&self, second: i64) {
        self.due(second).await;
        assert_eq!(self.due(second).await, [""; 0]);
    }

    pub(crate) async fn freight(&self, tag: &str, second: i64) -> Freight {
        let artifacts = artifacts(tag);
        let id = Freight::id_of(&web(), &artifacts);
        let made = self.store.create_freight(&shop(), &web(), &id, &artifacts, at(second)).await;
        made.unwrap().unwrap()
    }

    pub(crate) async fn promote(
        &self,
        stage: &StageName,
        freight: &Freight,
        second: i64,
    ) -> PromotionId {
        let new = new_promotion(stage, &freight.id);
        self.store.create_promotion(&shop(), &new, at(second)).await.unwrap().id
    }

    /// The lease of a promotion, taken as a worker takes it.
    pub(crate) async fn lease(&self, id: &PromotionId, second: i64) -> Lease {
        let key = WakeKey::Promotion(shop(), id.clone());
        self.store.wake(&key, at(second)).await.unwrap();
        let leases = self.store.claim("worker", &[], LEASE, at(second), 1000).await.unwrap();
        let mut found = None;
        for lease in leases {
            if lease.key == key {
                found = Some(lease);
            } else {
                self.store.release(&lease, None).await.unwrap();
            }
        }
        found.expect("the promotion was due")
    }

    pub(crate) async fn last_seq(&self, id: &PromotionId) -> u64 {
        let (_, log) = self.store.promotion(&shop(), id).await.unwrap().unwrap();
        log.last().map_or(0, |entry| entry.seq)
    }

    /// Appends at the end, as a person does. A snapshot that says what it is after the entry has to say
    /// what another read shows.
    pub(crate) async fn append(
        &self,
        id: &PromotionId,
        event: Event,
        second: i64,
    ) -> Result<(), AppendError> {
        let seq = self.last_seq(id).await;
        let before = self.store.promotion_snapshot(&shop(), id).await.ok().flatten();
        let done = self.store.append(&shop(), id, None, seq, event, at(second)).await?;
        let before = before.filter(|before| before.revision == done.revision);
        if let Some(after) = before.and_then(|before| before.value.0.followed_by(&done.entry)) {
            let read = self.store.promotion_snapshot(&shop(), id).await.unwrap().unwrap();
            assert_eq!(format!("{after:#?}"), format!("{:#?}", read.value.0), "{:?}", done.entry);
        }
        Ok(())
    }

    /// Takes a new promotion to where it waits at its gates.
    pub(crate) async fn prepare(&self, id: &PromotionId, freight: &Freight, second: i64) {
        let stage = stage(&id_stage(id), &[]);
        self.append(id, prepare_started(stage, freight), second).await.unwrap();
        self.append(id, prepared(freight), second).await.unwrap();
    }

    /// Commits a promotion that waits.
    pub(crate) async fn commit(&self, id: &PromotionId, second: i64) -> Result<(), AppendError> {
        let lease = self.lease(id, second).await;
        let seq = self.last_seq(id).await;
        let revision = self.store.revision(&shop()).await.unwrap();
        let committed = self
            .store
            .commit_promotion(&shop(), id, &lease, seq, revision, Vec::new(), at(second))
            .await;
        self.store.release(&lease, None).await.unwrap();
        committed.map(drop)
    }

    /// Promotes freight all the way.
    pub(crate) async fn succeed(
        &self,
        stage: &StageName,
        freight: &Freight,
        second: i64,
    ) -> PromotionId {
        let id = self.promote(stage, freight, second).await;
        self.prepare(&id, freight, second).await;
        self.commit(&id, second).await.unwrap();
        self.append(
            &id,
            Event::Verifying { checks: Vec::new(), replaced: None, unusable: None },
            second,
        )
        .await
        .unwrap();
        self.append(&id, finished(Ending::Succeeded), second).await.unwrap();
        id
    }
}

pub(crate) fn new_promotion(stage: &StageName, freight: &FreightId) -> NewPromotion {
    NewPromotion {
        stage: stage.clone(),
        freight: freight.clone(),
        warehouse: web(),
        along: [].into(),
        requester: Principal::Automation,
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

fn id_stage(id: &PromotionId) -> StageName {
    id.as_str().rsplit_once('.').unwrap().0.parse().unwrap()
}

pub(crate) fn prepare_started(stage: Stage, freight: &Freight) -> Event {
    Event::PrepareStarted(Box::new(Frozen {
        attempt: 1,
        project: shop(),
        generation: 1,
        stage,
        templates: Vec::new(),
        tasks: Vec::new(),
        collection: IndexMap::from([(web(), freight.clone())]),
        metadata: Metadata::default(),
        previous: None,
    }))
}

pub(crate) fn prepared(freight: &Freight) -> Event {
    Event::Prepared(Box::new(ChangeSet {
        digest: "d1".to_owned(),
        collection: IndexMap::from([(web(), freight.id.clone())]),
        steps: Vec::new(),
        files: Vec::new(),
        infra: Vec::new(),
        undo: Vec::new(),
    }))
}

pub(crate) fn finished(ending: Ending) -> Event {
    Event::Finished(Finish::new(ending, "done".to_owned(), Vec::new()))
}
