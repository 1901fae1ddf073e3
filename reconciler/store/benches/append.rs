//! Durable appends to promotion logs per second, with one task and with many.
//!
//! Each append is fenced, folded, written with its ledger event and synchronised to the disk before
//! its task goes on. `cargo bench -p reconciler-store`; the directory is that of `TMPDIR`.
#![expect(clippy::print_stdout, reason = "a bench prints its table")]
#![expect(clippy::unwrap_used, reason = "a bench ends with its first failure")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use jiff::Timestamp;
use reconciler_domain::artifact::{Artifact, ImageVersion};
use reconciler_domain::freight::Freight;
use reconciler_domain::id::{FreightId, Principal, ProjectName, PromotionId, WarehouseName};
use reconciler_domain::metadata::Metadata;
use reconciler_domain::promotion::{Event, Frozen};
use reconciler_domain::stage::{Choose, Stage};
use reconciler_domain::warehouse::Warehouse;
use reconciler_store::{Change, Lease, NewPromotion, Project, Store, WakeKey};

const MEASURED: Duration = Duration::from_secs(5);

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!("{:>6}  {:>10}  {:>10}  {:>10}", "tasks", "appends/s", "p50", "p99");
    for tasks in [1, 64] {
        let mut took = runtime.block_on(measure(tasks));
        took.sort_unstable();
        let at = |share: usize| took[(took.len() * share / 100).min(took.len() - 1)];
        let rate = took.len() as f64 / MEASURED.as_secs_f64();
        println!("{tasks:>6}  {rate:>10.0}  {:>10.1?}  {:>10.1?}", at(50), at(99));
    }
}

async fn measure(tasks: usize) -> Vec<Duration> {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("bench.db")).await.unwrap();
    let now = Timestamp::now();
    let freight = world(&store, tasks, now).await;
    let mut running = Vec::new();
    for n in 0..tasks {
        let (id, lease) = promotion(&store, n, &freight, now).await;
        running.push(tokio::spawn(append(store.clone(), id, lease, begun(n))));
    }
    let mut took = Vec::new();
    for task in running {
        took.extend(task.await.unwrap());
    }
    store.close().await;
    took
}

fn shop() -> ProjectName {
    "shop".parse().unwrap()
}

fn web() -> WarehouseName {
    "web".parse().unwrap()
}

async fn world(store: &Store, stages: usize, now: Timestamp) -> FreightId {
    let by = Change::by(&Principal::Automation, now);
    let project = Project {
        name: shop(),
        description: String::new(),
        labels: BTreeMap::new(),
        deletion_protection: false,
    };
    store.put_project(&project, &by).await.unwrap();
    let warehouse = Warehouse {
        name: web(),
        interval: Duration::from_secs(60),
        subscriptions: IndexMap::new(),
        require: None,
        deletion_protection: false,
    };
    store.put_warehouse(&shop(), &warehouse, &by).await.unwrap();
    for n in 0..stages {
        store.put_stage(&shop(), &stage(n), &by).await.unwrap();
    }
    let image = ImageVersion {
        repo: "registry.example/web".to_owned(),
        tag: "1.0.0".to_owned(),
        digest: "sha256:1".to_owned(),
        created_at: None,
    };
    let artifacts = IndexMap::from([("api".parse().unwrap(), Artifact::Image(image))]);
    let id = Freight::id_of(&web(), &artifacts);
    store.create_freight(&shop(), &web(), &id, &artifacts, now).await.unwrap().unwrap().id
}

fn stage(n: usize) -> Stage {
    Stage {
        name: format!("s{n}").parse().unwrap(),
        labels: BTreeMap::new(),
        vars: [].into(),
        settable_vars: [].into(),
        requests: Vec::new(),
        steps: Vec::new(),
        verifications: Vec::new(),
        choose: Choose::Latest,
        deletion_protection: false,
        drift: None,
    }
}

fn begun(n: usize) -> Event {
    Event::PrepareStarted(Box::new(Frozen {
        attempt: 1,
        project: shop(),
        generation: 1,
        stage: stage(n),
        templates: Vec::new(),
        tasks: Vec::new(),
        collection: IndexMap::new(),
        metadata: Metadata::default(),
        previous: None,
    }))
}

async fn promotion(
    store: &Store,
    n: usize,
    freight: &FreightId,
    now: Timestamp,
) -> (PromotionId, Lease) {
    let new = NewPromotion {
        stage: format!("s{n}").parse().unwrap(),
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
    };
    let id = store.create_promotion(&shop(), &new, now).await.unwrap().id;
    let key = WakeKey::Promotion(shop(), id.clone());
    let lease = Duration::from_secs(3600);
    let leases = store.claim("bench", &[], lease, now, 1000).await.unwrap();
    (id, leases.into_iter().find(|lease| lease.key == key).unwrap())
}

async fn append(store: Store, id: PromotionId, lease: Lease, begun: Event) -> Vec<Duration> {
    store.append(&shop(), &id, Some(&lease), 0, begun, Timestamp::now()).await.unwrap();
    let begin = Instant::now();
    let mut took = Vec::new();
    for seq in 1.. {
        if begin.elapsed() >= MEASURED {
            break;
        }
        let event = Event::PrepareFailed {
            step: None,
            message: "the registry does not answer".to_owned(),
            retry: true,
            retry_after: None,
        };
        let started = Instant::now();
        let now = Timestamp::now();
        store.append(&shop(), &id, Some(&lease), seq, event, now).await.unwrap();
        took.push(started.elapsed());
    }
    took
}
