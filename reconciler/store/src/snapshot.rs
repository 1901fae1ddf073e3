//! What decisions look at, each from one read transaction.

mod commits;
mod endings;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use jiff::Timestamp;
use reconciler_domain::freeze::Freeze;
use reconciler_domain::freight::{Freight, FreightFacts};
use reconciler_domain::hold::Hold;
use reconciler_domain::id::{FreightId, ProjectName, PromotionId, StageName, WarehouseName};
use reconciler_domain::policy::Policy;
use reconciler_domain::promotion::{Ended, Promotion};
use reconciler_domain::snapshot::{
    Defined, PromotionSnapshot, RunningPromotion, StageSnapshot, WarehouseSnapshot,
};
use reconciler_domain::stage::Stage;
use reconciler_domain::step::Step;
use reconciler_domain::task::{Task, task_of};
use reconciler_domain::verification::Verification;
use reconciler_domain::warehouse::Warehouse;

use crate::Store;
use crate::counter::revision;
use crate::definition::{self, Kind, Rows, Stored};
use crate::discovery;
use crate::drift;
use crate::error::{StoreError, Unreadable};
use crate::fold::{self, Folded};
use crate::freeze::Freezes;
use crate::freight;
use crate::hold;
use crate::kept;
use crate::policy::{last_change, policies_for};
use crate::promotion::{rehearsals, running, slot_holder};
use crate::reply;
use crate::sql::{Sql, instant};
use crate::stay;

/// Freight of one warehouse that a stage's decision looks at, besides what is there or moves.
const FREIGHT_MAX: u32 = 100;

/// What something looked like at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot<T> {
    /// The revision of the project at that moment.
    pub revision: u64,
    /// What was there.
    pub value: T,
    /// What could not be read and was left out.
    pub unreadable: Vec<Unreadable>,
}

impl Store {
    /// What the decision about a warehouse looks at.
    ///
    /// # Errors
    /// The warehouse cannot be read, or the database failed.
    pub async fn warehouse_snapshot(
        &self,
        project: &ProjectName,
        warehouse: &WarehouseName,
    ) -> Result<Option<Snapshot<WarehouseSnapshot>>, StoreError> {
        let (project, name) = (project.clone(), warehouse.clone());
        self.read(move |sql| Loader::new(sql, &project).warehouse(&name)).await
    }

    /// What the decision about a stage looks at.
    ///
    /// # Errors
    /// The stage, a policy, a hold or a freeze that might concern it, freight in it, or a promotion to it
    /// cannot be read, or the database failed.
    pub async fn stage_snapshot(
        &self,
        project: &ProjectName,
        stage: &StageName,
    ) -> Result<Option<Snapshot<StageSnapshot>>, StoreError> {
        let (project, name) = (project.clone(), stage.clone());
        self.read(move |sql| Loader::new(sql, &project).stage(&name)).await
    }

    /// What the decisions about several stages look at, all at the same moment; a stage that is not
    /// there is left out. What they look at together is read once.
    ///
    /// # Errors
    /// As [`Store::stage_snapshot`], for any of them.
    pub async fn stage_snapshots(
        &self,
        project: &ProjectName,
        stages: &BTreeSet<StageName>,
    ) -> Result<Snapshot<Vec<StageSnapshot>>, StoreError> {
        let (project, names) = (project.clone(), stages.clone());
        self.read(move |sql| Loader::new(sql, &project).stages(&names)).await
    }

    /// What the decision about a promotion looks at, and the last entry of its log.
    ///
    /// # Errors
    /// The promotion, its freight, its stage, a policy, hold, freeze or template that concerns it, or the
    /// promotion before it cannot be read, or the database failed.
    pub async fn promotion_snapshot(
        &self,
        project: &ProjectName,
        id: &PromotionId,
    ) -> Result<Option<Snapshot<(PromotionSnapshot, u64)>>, StoreError> {
        let (project, id) = (project.clone(), id.clone());
        self.read(move |sql| Loader::new(sql, &project).promotion(&id)).await
    }
}

/// Loads one snapshot, or several of one moment.
struct Loader<'a> {
    sql: Sql<'a>,
    project: &'a ProjectName,
    unreadable: Vec<Unreadable>,
    shared: Shared,
}

/// What several snapshots look at, once it was read.
#[derive(Default)]
struct Shared {
    freight: HashMap<FreightId, Arc<FreightFacts>>,
    newest: HashMap<WarehouseName, Vec<Arc<FreightFacts>>>,
    policies: Option<Rc<Rows<Policy>>>,
    holds: Option<Rc<Rows<Hold>>>,
    freezes: Option<Rc<Freezes>>,
    /// By freight: how its last promotion to each stage ended. Read so only where many stages are
    /// looked at: it is as much as there are stages.
    ended: Option<HashMap<FreightId, HashMap<StageName, Ended>>>,
}

impl<'a> Loader<'a> {
    fn new(sql: Sql<'a>, project: &'a ProjectName) -> Self {
        Self { sql, project, unreadable: Vec::new(), shared: Shared::default() }
    }

    fn done<T>(self, value: T) -> Result<Option<Snapshot<T>>, StoreError> {
        let revision = revision(self.sql, self.project)?;
        Ok(Some(Snapshot { revision, value, unreadable: self.unreadable }))
    }

    fn warehouse(
        mut self,
        name: &WarehouseName,
    ) -> Result<Option<Snapshot<WarehouseSnapshot>>, StoreError> {
        let (sql, project) = (self.sql, self.project);
        let found = definition::get::<Warehouse>(sql, project, name.as_str())?;
        let Some(warehouse) = found else { return Ok(None) };
        let snapshot = WarehouseSnapshot {
            project: project.clone(),
            warehouse: warehouse.defined(),
            // A subscription whose row is damaged is looked at anew, which mends it.
            discovered: discovery::load(sql, project, name, &mut self.unreadable)?,
            refresh_asked_at: discovery::refresh_asked_at(sql, project, name)?.map(instant),
            freight: freight::ids_of_warehouse(sql, project, name)?,
        };
        self.done(snapshot)
    }

    fn stage(mut self, name: &StageName) -> Result<Option<Snapshot<StageSnapshot>>, StoreError> {
        match self.one_stage(name)? {
            Some(snapshot) => self.done(snapshot),
            None => Ok(None),
        }
    }

    fn stages(
        mut self,
        names: &BTreeSet<StageName>,
    ) -> Result<Snapshot<Vec<StageSnapshot>>, StoreError> {
        if names.len() > 1 {
            self.shared.ended = Some(HashMap::new());
        }
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            found.extend(self.one_stage(name)?);
        }
        let revision = revision(self.sql, self.project)?;
        Ok(Snapshot { revision, value: found, unreadable: self.unreadable })
    }

    fn one_stage(&mut self, name: &StageName) -> Result<Option<StageSnapshot>, StoreError> {
        let (sql, project) = (self.sql, self.project);
        let found = definition::get::<Stage>(sql, project, name.as_str())?;
        let Some(stage) = found else { return Ok(None) };
        let policies = self.policies(name)?;
        let current = stay::current(sql, project, name)?;
        let mut under_way = Vec::new();
        for id in running(sql, project, name)? {
            under_way.extend(fold::load(sql, project, &id)?);
        }
        let coming = under_way.iter().flat_map(|f| f.promotion.promoted().map(|(_, id)| id));
        let needed = current.values().chain(coming);
        let mut freight = self.freight_for(&stage.spec, needed)?;
        let passing = self.passing_on(&stage.spec)?;
        if !passing.is_empty() {
            for facts in &mut freight {
                pass_on(Arc::make_mut(facts), &passing);
            }
        }
        let selecting = policies.iter().filter(|policy| policy.spec.selects(name));
        let specs: Vec<Policy> = selecting.map(|policy| policy.spec.clone()).collect();
        let commits = commits::counted(sql, project, name, &specs)?;
        let snapshot = StageSnapshot {
            project: project.clone(),
            commits,
            definitions_changed_at: self.definitions_changed_at(&stage, &policies)?,
            ended: self.ended(name, &freight)?,
            automatic_hold: hold::automatic(sql, project, name)?,
            holds: self.holds(name)?,
            freezes: self.freezes(name)?,
            stage: stage.defined(),
            policies: specs,
            freight,
            current,
            rehearsals: rehearsals(sql, project, name)?,
            running: under_way
                .into_iter()
                .map(|folded| RunningPromotion {
                    phase: folded.state.phase(),
                    promotion: folded.promotion,
                })
                .collect(),
        };
        Ok(Some(snapshot))
    }

    fn policies(&mut self, stage: &StageName) -> Result<Vec<Stored<Policy>>, StoreError> {
        let rows = match &self.shared.policies {
            Some(rows) => Rc::clone(rows),
            None => Rc::new(Rows::read(self.sql, self.project)?),
        };
        self.shared.policies = Some(Rc::clone(&rows));
        Ok(policies_for(&rows, stage, &mut self.unreadable)?)
    }

    fn holds(&mut self, stage: &StageName) -> Result<Vec<Defined<Hold>>, StoreError> {
        let rows = match &self.shared.holds {
            Some(rows) => Rc::clone(rows),
            None => Rc::new(Rows::read(self.sql, self.project)?),
        };
        self.shared.holds = Some(Rc::clone(&rows));
        Ok(hold::holds_for(&rows, stage, &mut self.unreadable)?)
    }

    fn freezes(&mut self, stage: &StageName) -> Result<Vec<Defined<Freeze>>, StoreError> {
        let freezes = match &self.shared.freezes {
            Some(freezes) => Rc::clone(freezes),
            None => Rc::new(Freezes::read(self.sql, self.project)?),
        };
        self.shared.freezes = Some(Rc::clone(&freezes));
        Ok(freezes.about(self.project, stage)?)
    }

    fn promotion(
        mut self,
        id: &PromotionId,
    ) -> Result<Option<Snapshot<(PromotionSnapshot, u64)>>, StoreError> {
        let (sql, project) = (self.sql, self.project);
        let Some(Folded { promotion, state, last_seq }) = fold::load(sql, project, id)? else {
            return Ok(None);
        };
        let stage = definition::get::<Stage>(sql, project, promotion.stage.as_str())?;
        let succeeded = self.last_succeeded(&promotion.stage, None)?;
        let mut facts = known_facts(sql, project, &promotion.freight)?;
        let along = promotion.along.values().map(|id| known_facts(sql, project, id));
        let mut along: Vec<FreightFacts> = along.collect::<Result<_, _>>()?;
        if let Some(stage) = &stage {
            let passing = self.passing_on(&stage.spec)?;
            for facts in std::iter::once(&mut facts).chain(&mut along) {
                pass_on(facts, &passing);
            }
        }
        let there = stay::current(sql, project, &promotion.stage)?;
        let policies: Vec<Defined<Policy>> =
            self.policies(&promotion.stage)?.into_iter().map(Stored::defined).collect();
        let specs: Vec<Policy> = policies.iter().map(|policy| policy.spec.clone()).collect();
        let aliases = kept::named(sql, project, state.aliases())?;
        let snapshot = PromotionSnapshot {
            project: project.clone(),
            state,
            templates: self.templates(stage.as_ref().map(|stage| &stage.spec))?,
            tasks: match &stage {
                Some(stage) => self.tasks(&stage.spec)?.into_iter().map(|task| task.spec).collect(),
                None => Vec::new(),
            },
            stage: stage.map(Stored::defined),
            commits: commits::counted(sql, project, &promotion.stage, &specs)?,
            policies_changed_at: last_change(sql, project, &promotion.stage)?.map(instant),
            policies,
            current: self.companions(&promotion, succeeded.as_ref())?,
            facts,
            along,
            previous: self.previous(&there, &promotion.stage, succeeded)?,
            there,
            automatic_hold: hold::automatic(sql, project, &promotion.stage)?,
            holds: self.holds(&promotion.stage)?,
            freezes: self.freezes(&promotion.stage)?,
            stage_metadata: kept::of_stage(sql, project, &promotion.stage)?,
            aliases,
            drift: drift::record(sql, project, &promotion.stage)?,
            replies: reply::of_promotion(sql, project, &promotion.id)?,
            slot: slot_holder(sql, project, &promotion.stage)?,
            promotion,
        };
        self.done((snapshot, last_seq))
    }

    /// The control-flow stages that freight may come through on its way to the stage. One that
    /// cannot be read lets nothing through.
    fn passing_on(&mut self, stage: &Stage) -> Result<BTreeMap<StageName, Stage>, StoreError> {
        let mut passing = BTreeMap::new();
        let mut names: Vec<StageName> = stage.upstreams().into_iter().cloned().collect();
        while let Some(name) = names.pop() {
            if passing.contains_key(&name) {
                continue;
            }
            let found = match definition::get::<Stage>(self.sql, self.project, name.as_str()) {
                Ok(found) => found.map(|found| found.spec).filter(Stage::is_control_flow),
                Err(StoreError::Unreadable(error)) => {
                    self.unreadable.push(error);
                    None
                }
                Err(error) => return Err(error),
            };
            if let Some(upstream) = found {
                names.extend(upstream.upstreams().into_iter().cloned());
                passing.insert(name, upstream);
            }
        }
        Ok(passing)
    }

    /// Freight that goes with what is promoted: of the last succeeded promotion; where that has none
    /// of another warehouse, of the newest promotion to the stage that is not over.
    fn companions(
        &self,
        promotion: &Promotion,
        succeeded: Option<&Folded>,
    ) -> Result<BTreeMap<WarehouseName, Freight>, StoreError> {
        let mut current = succeeded.map(collection).unwrap_or_default();
        let mut others = running(self.sql, self.project, &promotion.stage)?;
        others.sort_by_key(|id| std::cmp::Reverse(id.number()));
        for id in others.iter().filter(|id| **id != promotion.id) {
            let Some(other) = fold::load(self.sql, self.project, id)? else { continue };
            for (warehouse, id) in other.promotion.promoted() {
                if promotion.brings_of(warehouse) || current.contains_key(warehouse) {
                    continue;
                }
                let facts = freight::facts(self.sql, self.project, id)?;
                current.extend(facts.map(|facts| (warehouse.clone(), facts.freight)));
            }
        }
        Ok(current)
    }

    /// The newest freight of each requested warehouse and what is needed besides, oldest first.
    fn freight_for<'f>(
        &mut self,
        stage: &Stage,
        needed: impl Iterator<Item = &'f FreightId>,
    ) -> Result<Vec<Arc<FreightFacts>>, StoreError> {
        let mut by_age: BTreeMap<i64, Arc<FreightFacts>> = BTreeMap::new();
        for request in &stage.requests {
            let newest = self.newest(&request.warehouse)?;
            by_age.extend(newest.iter().map(|facts| (facts.freight.sequence, Arc::clone(facts))));
        }
        for id in needed {
            // An error here is one of the stage: not to know what is in it is not to know that
            // nothing is.
            let facts = match self.shared.freight.get(id) {
                Some(facts) => Some(Arc::clone(facts)),
                None => freight::facts(self.sql, self.project, id)?.map(Arc::new),
            };
            if let Some(facts) = facts {
                self.shared.freight.insert(id.clone(), Arc::clone(&facts));
                by_age.insert(facts.freight.sequence, facts);
            }
        }
        Ok(by_age.into_values().collect())
    }

    /// The newest freight of a warehouse.
    fn newest(&mut self, warehouse: &WarehouseName) -> Result<&[Arc<FreightFacts>], StoreError> {
        if !self.shared.newest.contains_key(warehouse) {
            let (sql, project) = (self.sql, self.project);
            let mut newest = Vec::new();
            for row in freight::of_warehouse(sql, project, warehouse, i64::MAX, FREIGHT_MAX)? {
                match row.facts(sql, project) {
                    Ok(facts) => newest.push(Arc::new(facts)),
                    Err(StoreError::Unreadable(error)) => self.unreadable.push(error),
                    Err(error) => return Err(error),
                }
            }
            let by_id = newest.iter().map(|facts| (facts.freight.id.clone(), Arc::clone(facts)));
            self.shared.freight.extend(by_id);
            self.shared.newest.insert(warehouse.clone(), newest);
        }
        Ok(self.shared.newest.get(warehouse).map_or(&[], Vec::as_slice))
    }

    fn definitions_changed_at(
        &self,
        stage: &Stored<Stage>,
        policies: &[Stored<Policy>],
    ) -> Result<Timestamp, StoreError> {
        let (sql, project, name) = (self.sql, self.project, &stage.spec.name);
        let selecting = policies.iter().filter(|policy| policy.spec.selects(name));
        let mut latest =
            selecting.map(|policy| policy.changed_at).fold(stage.changed_at, Timestamp::max);
        latest = latest.max(last_change(sql, project, name)?.map_or(latest, instant));
        let warehouses =
            stage.spec.requests.iter().map(|r| (Kind::Warehouse, r.warehouse.as_str()));
        let upstreams = stage.spec.upstreams().into_iter().map(|s| (Kind::Stage, s.as_str()));
        for (kind, name) in warehouses.chain(upstreams) {
            let row = definition::row(sql, project, kind, name)?;
            latest = latest.max(row.map_or(latest, |row| row.changed_at()));
        }
        let tasks = self.tasks(&stage.spec)?;
        Ok(tasks.iter().map(|task| task.changed_at).fold(latest, Timestamp::max))
    }

    /// The templates that the stage uses. One that is gone is absent.
    fn templates(&self, stage: Option<&Stage>) -> Result<Vec<Verification>, StoreError> {
        let used = stage.into_iter().flat_map(|stage| &stage.verifications);
        let mut names: Vec<_> = used.map(|used| &used.template).collect();
        names.sort();
        names.dedup();
        let mut templates = Vec::with_capacity(names.len());
        for name in names {
            let found = definition::get::<Verification>(self.sql, self.project, name.as_str())?;
            templates.extend(found.map(|template| template.spec));
        }
        Ok(templates)
    }

    /// The tasks that the stage uses, by itself or through another task, by name. One that is gone is
    /// absent.
    fn tasks(&self, stage: &Stage) -> Result<Vec<Stored<Task>>, StoreError> {
        let mut found: BTreeMap<String, Stored<Task>> = BTreeMap::new();
        let named = |steps: &[Step]| -> Vec<String> {
            steps.iter().filter_map(task_of).map(str::to_owned).collect()
        };
        let mut open = named(&stage.steps);
        while let Some(name) = open.pop() {
            if found.contains_key(&name) {
                continue;
            }
            if let Some(task) = definition::get::<Task>(self.sql, self.project, &name)? {
                open.extend(named(&task.spec.steps));
                found.insert(name, task);
            }
        }
        Ok(found.into_values().collect())
    }
}

fn known_facts(
    sql: Sql<'_>,
    project: &ProjectName,
    id: &FreightId,
) -> Result<FreightFacts, StoreError> {
    let missing = || Unreadable::new(format!("freight {id}"), "it is missing");
    Ok(freight::facts(sql, project, id)?.ok_or_else(missing)?)
}

/// Notes through which control-flow stages the freight may come.
fn pass_on(facts: &mut FreightFacts, passing: &BTreeMap<StageName, Stage>) {
    for (name, stage) in passing {
        if let Some(request) = stage.request(&facts.freight.warehouse) {
            facts.passed_on.insert(name.clone(), request.clone());
        }
    }
}

/// The freight of a promotion and of what went with it.
fn collection(folded: &Folded) -> BTreeMap<WarehouseName, Freight> {
    let frozen = folded.state.frozen.iter().flat_map(|frozen| &frozen.collection);
    frozen.map(|(warehouse, freight)| (warehouse.clone(), freight.clone())).collect()
}
