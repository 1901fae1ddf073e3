//! The live world, as far as changes may reach.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use reconciler_api::problem::{Problem, ProblemCode};
use reconciler_api::v1::PAGE_LIMIT_DEFAULT;
use reconciler_domain::freeze::Freeze;
use reconciler_domain::freight::{FreightFacts, FreightFilter};
use reconciler_domain::hold::Hold;
use reconciler_domain::id::{ProjectName, StageName, WarehouseName};
use reconciler_domain::preview::{Change, Changes, People, World};
use reconciler_domain::promotion::Phase;
use reconciler_domain::snapshot::{Defined, Definitions, StageSnapshot};
use reconciler_domain::stage::Stage;
use reconciler_store::{Page, Stored};

use super::Server;
use crate::server::answer::Answer;

/// Reads it.
pub(super) async fn load(
    server: &Server,
    project: &ProjectName,
    definitions: Arc<Definitions>,
    changes: &Changes,
) -> Answer<World> {
    let held = changed_holds(server, project, changes).await?;
    let reached = changes.reach(&definitions, &held);
    let mut stages = server.store.stage_snapshots(project, &reached).await?.value;
    let mut newest = Newest { server, project, found: BTreeMap::new() };
    for change in &changes.all {
        let Change::Stage(name, Some(new)) = change else { continue };
        let mut snapshots = stages.iter_mut();
        if let Some(snapshot) = snapshots.find(|snapshot| snapshot.stage.spec.name == *name) {
            newest.requested_newly(new, snapshot).await?;
        }
    }
    let created = created(server, &definitions, changes, &reached, &mut newest).await?;
    let mut waiting = Vec::new();
    let running = stages.iter().flat_map(|stage| &stage.running);
    for running in running.filter(|run| run.phase == Phase::Waiting) {
        let snapshot = server.store.promotion_snapshot(project, &running.promotion.id).await?;
        waiting.extend(snapshot.map(|snapshot| snapshot.value.0));
    }
    let definitions = Arc::unwrap_or_clone(definitions);
    let people = Some(people(server).await?);
    Ok(World { definitions, stages, created, waiting, people })
}

/// Who has a token that is good now.
async fn people(server: &Server) -> Answer<People> {
    let now = server.clock.now();
    let mut people = People::default();
    for token in server.store.list_tokens(false).await? {
        if token.expires_at.is_none_or(|end| end > now) {
            people.add(&token.name, &token.groups);
        }
    }
    Ok(people)
}

/// The holds that change, as they are.
async fn changed_holds(
    server: &Server,
    project: &ProjectName,
    changes: &Changes,
) -> Answer<Vec<Hold>> {
    let mut held = Vec::new();
    for change in &changes.all {
        if let Change::Hold(name, _) = change {
            held.extend(server.store.get_hold(project, name).await?.map(|old| old.spec));
        }
    }
    Ok(held)
}

/// The stages that the changes make, as they would first be looked at.
async fn created(
    server: &Server,
    definitions: &Definitions,
    changes: &Changes,
    reached: &BTreeSet<StageName>,
    newest: &mut Newest<'_>,
) -> Answer<Vec<StageSnapshot>> {
    let mut created = Vec::new();
    let mut stops: Option<Stops> = None;
    for change in &changes.all {
        let Change::Stage(name, Some(new)) = change else { continue };
        if definitions.stages.contains_key(name) || !reached.contains(name) {
            continue;
        }
        let stopping = match &stops {
            Some(stops) => stops.clone(),
            None => Stops::of(server, newest.project).await?,
        };
        let mut snapshot = first_look(newest.project, new, stopping.clone(), server.clock.now());
        stops = Some(stopping);
        for request in &new.requests {
            snapshot.freight.extend(newest.of(&request.warehouse).await?);
        }
        snapshot.freight.sort_by_key(|facts| facts.freight.sequence);
        created.push(snapshot);
    }
    Ok(created)
}

/// What may stop promotions to a stage that is made.
#[derive(Clone)]
struct Stops {
    holds: Vec<Defined<Hold>>,
    freezes: Vec<Defined<Freeze>>,
}

impl Stops {
    async fn of(server: &Server, project: &ProjectName) -> Answer<Self> {
        let holds = server.store.list_holds(project).await?.items;
        let freezes = server.store.list_freezes(project).await?.items;
        let instance = server.store.list_instance_freezes().await?;
        // What stops everything must not be left out because nobody can read it.
        if let Some(unreadable) = instance.unreadable.first() {
            return Err(Problem::new(ProblemCode::Internal, unreadable.to_string()).into());
        }
        let instance = instance.items.into_iter();
        let instance = instance.filter(|freeze| freeze.spec.concerns_project(project));
        Ok(Self {
            holds: holds.into_iter().map(Stored::defined).collect(),
            freezes: freezes.into_iter().chain(instance).map(Stored::defined).collect(),
        })
    }
}

/// A stage to which nothing has happened.
fn first_look(project: &ProjectName, stage: &Stage, stops: Stops, now: Timestamp) -> StageSnapshot {
    StageSnapshot {
        project: project.clone(),
        stage: Defined {
            spec: stage.clone(),
            generation: 0,
            changed_at: now,
            changed_by: reconciler_domain::id::Principal::Automation,
        },
        policies: Vec::new(),
        definitions_changed_at: now,
        freight: Vec::new(),
        current: BTreeMap::new(),
        running: Vec::new(),
        rehearsals: 0,
        ended: BTreeMap::new(),
        automatic_hold: None,
        holds: stops.holds,
        freezes: stops.freezes,
        commits: Vec::new(),
    }
}

/// The newest freight of warehouses, each read once.
struct Newest<'a> {
    server: &'a Server,
    project: &'a ProjectName,
    found: BTreeMap<WarehouseName, Vec<Arc<FreightFacts>>>,
}

impl Newest<'_> {
    async fn of(&mut self, warehouse: &WarehouseName) -> Answer<Vec<Arc<FreightFacts>>> {
        if let Some(found) = self.found.get(warehouse) {
            return Ok(found.clone());
        }
        let page = Page { after: None, limit: PAGE_LIMIT_DEFAULT };
        let own = FreightFilter::of_warehouse(warehouse.clone());
        let found = self.server.store.list_freight(self.project, &own, page).await?;
        let found: Vec<Arc<FreightFacts>> = found.items.into_iter().map(Arc::new).collect();
        self.found.insert(warehouse.clone(), found.clone());
        Ok(found)
    }

    /// Adds the freight of warehouses that the stage does not request yet.
    async fn requested_newly(&mut self, new: &Stage, snapshot: &mut StageSnapshot) -> Answer<()> {
        for request in &new.requests {
            if snapshot.stage.spec.request(&request.warehouse).is_none() {
                snapshot.freight.extend(self.of(&request.warehouse).await?);
            }
        }
        snapshot.freight.sort_by_key(|facts| facts.freight.sequence);
        Ok(())
    }
}
