//! A world in memory: definitions, freight, promotions with their logs, slots and holds. It carries
//! out what is decided as the daemon does, and can die at any boundary.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use reconciler_domain::drift::DriftRecord;
use reconciler_domain::freeze::{Freeze, Reach};
use reconciler_domain::freight::{Freight, FreightFacts, Stay};
use reconciler_domain::hold::{AutomaticHold, Hold};
use reconciler_domain::id::{
    Alias, FreightId, Principal, ProjectName, PromotionId, StageName, SubscriptionName, TaskName,
    WarehouseName,
};
use reconciler_domain::inquiry::{Asking, Replies, Reply};
use reconciler_domain::plan::{
    self, Act, Move, RequestFacts, Run, StageAct, WarehouseAct, consequences,
};
use reconciler_domain::policy::Policy;
use reconciler_domain::promotion::{
    Approval, BypassRequest, Ended, Ending, Entry, Event, Finish, Node, Phase, Promotion, State,
};
use reconciler_domain::snapshot::{
    Committed, Defined, Definitions, PromotionSnapshot, RunningPromotion, StageSnapshot,
    WarehouseSnapshot,
};
use reconciler_domain::stage::Stage;
use reconciler_domain::step::{Answer, Interruption, Kept, KeptAt, KeptChange, StepOutcome};
use reconciler_domain::task::{Task, used};
use reconciler_domain::verification::Measured;
use reconciler_domain::warehouse::{Discovery, Warehouse};

use serde_json::{Map, Value};

use super::outside::Outside;
use super::tell;

/// What somebody asks for beside the freight.
#[derive(Default)]
struct Asked {
    bypass: Option<BypassRequest>,
    vars: BTreeMap<String, String>,
    rollback: bool,
    rehearsal: bool,
}

/// The process is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crash;

#[derive(Debug, Clone)]
pub(crate) struct Saga {
    pub(crate) promotion: Promotion,
    pub(crate) log: Vec<Entry>,
    pub(crate) state: State,
}

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) definitions: Definitions,
    /// When a policy was last removed.
    removed_at: Timestamp,
    pub(crate) discovered: BTreeMap<WarehouseName, IndexMap<SubscriptionName, Discovery>>,
    pub(crate) freight: Vec<FreightFacts>,
    pub(crate) sagas: IndexMap<PromotionId, Saga>,
    pub(crate) automatic_holds: BTreeMap<StageName, AutomaticHold>,
    pub(crate) holds: Vec<Defined<Hold>>,
    pub(crate) freezes: Vec<Defined<Freeze>>,
    /// What steps noted about stages.
    pub(crate) noted: BTreeMap<StageName, Map<String, Value>>,
    /// What looks at the infra of stages found.
    pub(crate) drift: BTreeMap<StageName, DriftRecord>,
    /// What those said last whom the gates of promotions asked.
    replies: BTreeMap<PromotionId, Replies>,
    /// What they say, by the name of the ticket or attestation; of others they say nothing.
    pub(crate) sayings: BTreeMap<String, Measured>,
    pub(crate) aliases: BTreeMap<Alias, FreightId>,
    pub(crate) outside: Outside,
    pub(crate) story: Vec<String>,
    /// Boundaries that can still be passed before the process dies.
    pub(crate) fuel: Option<u32>,
}

/// After how long a worker that cannot do its work looks again.
const LOOKS_AGAIN: Duration = Duration::from_secs(60);

pub(crate) fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("an instant")
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            now: start(),
            definitions: Definitions::default(),
            removed_at: Timestamp::MIN,
            discovered: BTreeMap::new(),
            freight: Vec::new(),
            sagas: IndexMap::new(),
            automatic_holds: BTreeMap::new(),
            holds: Vec::new(),
            freezes: Vec::new(),
            noted: BTreeMap::new(),
            drift: BTreeMap::new(),
            replies: BTreeMap::new(),
            sayings: BTreeMap::new(),
            aliases: BTreeMap::new(),
            outside: Outside::default(),
            story: Vec::new(),
            fuel: None,
        }
    }

    fn boundary(&mut self) -> Result<(), Crash> {
        match &mut self.fuel {
            Some(0) => Err(Crash),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub(crate) fn defined<T>(&self, spec: T, before: Option<u64>) -> Defined<T> {
        let changed_by = Principal::Named("admin".to_owned());
        Defined { spec, generation: before.unwrap_or(0) + 1, changed_at: self.now, changed_by }
    }

    pub(crate) fn set_policy(&mut self, policy: Policy) {
        let before = self.definitions.policies.iter().position(|p| p.spec.name == policy.name);
        let generation = before.map(|at| self.definitions.policies.remove(at).generation);
        let policy = self.defined(policy, generation);
        self.definitions.policies.push(policy);
    }

    pub(crate) fn drop_policy(&mut self, name: &str) {
        self.definitions.policies.retain(|policy| policy.spec.name.as_str() != name);
        self.removed_at = self.now;
    }

    // Snapshots, as the store makes them.

    pub(crate) fn warehouse_snapshot(&self, name: &WarehouseName) -> WarehouseSnapshot {
        let of_it = self.freight.iter().filter(|facts| facts.freight.warehouse == *name);
        WarehouseSnapshot {
            project: project(),
            warehouse: self.definitions.warehouses[name].clone(),
            discovered: self.discovered.get(name).cloned().unwrap_or_default(),
            refresh_asked_at: None,
            freight: of_it.map(|facts| facts.freight.id.clone()).collect(),
        }
    }

    pub(crate) fn facts(&self, facts: &FreightFacts) -> FreightFacts {
        let mut facts = facts.clone();
        for (name, stage) in &self.definitions.stages {
            let request = stage.spec.request(&facts.freight.warehouse);
            if let Some(request) = request.filter(|_| stage.spec.is_control_flow()) {
                facts.passed_on.insert(name.clone(), request.clone());
            }
        }
        facts
    }

    fn last_succeeded(&self, stage: &StageName) -> Option<&Saga> {
        self.sagas.values().rev().find(|saga| saga.promotion.stage == *stage && saga.state.stands())
    }

    pub(crate) fn in_stage(&self, stage: &StageName) -> BTreeMap<WarehouseName, FreightId> {
        let there = self.freight.iter().filter(|facts| facts.is_in(stage));
        there.map(|facts| (facts.freight.warehouse.clone(), facts.freight.id.clone())).collect()
    }

    pub(crate) fn stage_snapshot(&self, name: &StageName) -> StageSnapshot {
        let stage = self.definitions.stages[name].clone();
        let selecting = self.definitions.policies.iter().filter(|p| p.spec.selects(name));
        let upstreams = stage.spec.upstreams().into_iter();
        let changes = selecting
            .map(|policy| policy.changed_at)
            .chain(upstreams.filter_map(|up| Some(self.definitions.stages.get(up)?.changed_at)))
            .chain(self.tasks_of(Some(&stage)).map(|task| task.changed_at))
            .chain([stage.changed_at, self.removed_at]);
        let requested =
            |facts: &&FreightFacts| stage.spec.request(&facts.freight.warehouse).is_some();
        let mut ended = BTreeMap::new();
        for saga in self.sagas.values().filter(|saga| saga.promotion.stage == *name) {
            if let Phase::Ended(ending) = saga.state.phase()
                && !saga.promotion.rehearsal
            {
                ended.extend(Ended::of(&saga.promotion, ending));
            }
        }
        let open = self.sagas.values().filter(|saga| {
            saga.promotion.stage == *name && !matches!(saga.state.phase(), Phase::Ended(_))
        });
        let (rehearsals, running): (Vec<&Saga>, Vec<&Saga>) =
            open.partition(|saga| saga.promotion.rehearsal);
        StageSnapshot {
            project: project(),
            policies: self.definitions.policy_specs(),
            definitions_changed_at: changes.max().unwrap_or(Timestamp::MIN),
            freight: {
                let freight = self.freight.iter().filter(requested);
                freight.map(|facts| Arc::new(self.facts(facts))).collect()
            },
            current: self.in_stage(name),
            rehearsals: rehearsals.len(),
            running: running
                .into_iter()
                .map(|saga| RunningPromotion {
                    promotion: saga.promotion.clone(),
                    phase: saga.state.phase(),
                })
                .collect(),
            ended,
            automatic_hold: self.automatic_holds.get(name).cloned(),
            holds: self.holds.clone(),
            freezes: self.freezes(),
            commits: self.commits(),
            stage,
        }
    }

    /// The tasks that a stage uses, by itself or through another task, by name.
    fn tasks_of(&self, stage: Option<&Defined<Stage>>) -> impl Iterator<Item = &Defined<Task>> {
        let tasks = &self.definitions.tasks;
        let steps = stage.map_or(&[][..], |stage| &stage.spec.steps);
        let found = used(steps, |name| tasks.get(name).map(|task| &task.spec));
        let names: Vec<TaskName> = found.into_iter().map(|task| task.name.clone()).collect();
        names.into_iter().map(move |name| &tasks[&name])
    }

    pub(crate) fn slot(&self, stage: &StageName) -> Option<PromotionId> {
        let holds =
            |saga: &&Saga| saga.promotion.stage == *stage && saga.state.phase().holds_slot();
        let mut holders = self.sagas.values().filter(holds);
        let holder = holders.next().map(|saga| saga.promotion.id.clone());
        assert!(holders.next().is_none(), "two promotions hold the slot of {stage}");
        holder
    }

    pub(crate) fn promotion_snapshot(&self, id: &PromotionId) -> PromotionSnapshot {
        let saga = &self.sagas[id];
        let stage = self.definitions.stages.get(&saga.promotion.stage).cloned();
        let used = stage.iter().flat_map(|stage| &stage.spec.verifications);
        let templates = used.filter_map(|used| self.definitions.verifications.get(&used.template));
        let last = self.last_succeeded(&saga.promotion.stage);
        let collection = last.and_then(|last| last.state.frozen.as_ref());
        let collection = collection.into_iter().flat_map(|frozen| frozen.collection.clone());
        let mut current: BTreeMap<WarehouseName, Freight> = collection.collect();
        for other in self.sagas.values().rev().map(|saga| (&saga.promotion, saga.state.phase())) {
            let (other, phase) = other;
            if other.stage != saga.promotion.stage || matches!(phase, Phase::Ended(_)) {
                continue;
            }
            for (warehouse, id) in other.promoted() {
                if !saga.promotion.brings_of(warehouse) && !current.contains_key(warehouse) {
                    let facts = self.freight.iter().find(|f| f.freight.id == *id);
                    let freight = facts.expect("its freight is there").freight.clone();
                    current.insert(warehouse.clone(), freight);
                }
            }
        }
        let facts = |id: &FreightId| {
            let known = self.freight.iter().find(|f| f.freight.id == *id);
            self.facts(known.expect("its freight is there"))
        };
        PromotionSnapshot {
            project: project(),
            promotion: saga.promotion.clone(),
            state: saga.state.clone(),
            templates: templates.map(|template| template.spec.clone()).collect(),
            tasks: self.tasks_of(stage.as_ref()).map(|task| task.spec.clone()).collect(),
            stage,
            policies: self.definitions.policies.clone(),
            policies_changed_at: Some(self.removed_at),
            facts: facts(&saga.promotion.freight),
            along: saga.promotion.along.values().map(facts).collect(),
            current,
            there: self.in_stage(&saga.promotion.stage),
            previous: last.and_then(|last| last.state.as_previous(&last.promotion)),
            automatic_hold: self.automatic_holds.get(&saga.promotion.stage).cloned(),
            holds: self.holds.clone(),
            freezes: self.freezes(),
            stage_metadata: self.noted.get(&saga.promotion.stage).cloned().unwrap_or_default(),
            aliases: self.aliases.clone(),
            drift: self.drift.get(&saga.promotion.stage).cloned(),
            replies: self.replies.get(&saga.promotion.id).cloned().unwrap_or_default(),
            slot: self.slot(&saga.promotion.stage),
            commits: self.commits(),
        }
    }

    fn commits(&self) -> Vec<Committed> {
        let committed = self.sagas.values().filter_map(|saga| {
            let at = saga.state.committed_at?;
            Some(Committed {
                promotion: saga.promotion.id.clone(),
                stage: saga.promotion.stage.clone(),
                at,
                over: matches!(saga.state.phase(), Phase::Ended(_)),
            })
        });
        committed.collect()
    }

    // Carrying out.

    /// Makes every move that can be made now. Gives the next instant at which something can move by
    /// itself.
    pub(crate) fn settle(&mut self) -> Result<Option<Timestamp>, Crash> {
        for _ in 0..1000 {
            let mut wakes = Vec::new();
            let mut moved = false;
            for name in self.definitions.warehouses.keys().cloned().collect::<Vec<_>>() {
                let planned = plan::warehouse(&self.warehouse_snapshot(&name), self.now);
                for act in planned.acts {
                    self.warehouse_act(&name, act)?;
                    moved = true;
                }
            }
            for name in self.definitions.stages.keys().cloned().collect::<Vec<_>>() {
                let planned = plan::stage(&self.stage_snapshot(&name), self.now);
                wakes.extend(planned.wake_at);
                if let Some(act) = planned.acts.into_iter().next() {
                    self.stage_act(&name, act)?;
                    moved = true;
                }
            }
            let running = |saga: &&Saga| !matches!(saga.state.phase(), Phase::Ended(_));
            let running = self.sagas.values().filter(running);
            for id in running.map(|saga| saga.promotion.id.clone()).collect::<Vec<_>>() {
                let next = plan::promotion(&self.promotion_snapshot(&id), self.now);
                self.check_reason(&id, &next);
                wakes.extend(next.wake_at);
                let mut act = next.act;
                // A worker carries one promotion on as far as it goes.
                while let Some(next) = act {
                    self.act(&id, next)?;
                    moved = true;
                    act = plan::promotion(&self.promotion_snapshot(&id), self.now).act;
                }
            }
            if !moved {
                return Ok(wakes.into_iter().min());
            }
        }
        panic!("the world does not come to rest:\n{}", self.story.join("\n"));
    }

    /// What does not move says why.
    fn check_reason(&self, id: &PromotionId, next: &Move) {
        let over = matches!(self.sagas[id].state.phase(), Phase::Ended(_));
        let says = next.act.is_some() || !next.waiting.is_empty();
        assert!(over || says, "promotion {id} does not move and does not say why");
    }

    /// Lets time pass, waking at each instant that a decision named.
    pub(crate) fn wait_until(&mut self, until: Timestamp) -> Result<(), Crash> {
        while let Some(wake) = self.settle()?.filter(|wake| *wake <= until) {
            assert!(wake > self.now, "a wake-up lies in the past: {wake}");
            self.now = wake;
        }
        self.now = until;
        self.settle().map(drop)
    }

    fn warehouse_act(&mut self, name: &WarehouseName, act: WarehouseAct) -> Result<(), Crash> {
        self.boundary()?;
        match act {
            WarehouseAct::Discover { subscription, .. } => {
                let found = self.discovered.entry(name.clone()).or_default();
                found.entry(subscription).or_default().looked_at = Some(self.now);
            }
            WarehouseAct::CreateFreight { id, artifacts } => {
                let sequence = i64::try_from(self.freight.len()).expect("few") + 1;
                let warehouse = name.clone();
                let freight = Freight { id, warehouse, artifacts, created_at: self.now, sequence };
                let summary = freight.summary();
                self.freight.push(FreightFacts::new(freight));
                self.tell(format!("f{sequence} is made: {summary}"));
            }
        }
        Ok(())
    }

    fn stage_act(&mut self, stage: &StageName, act: StageAct) -> Result<(), Crash> {
        self.boundary()?;
        match act {
            StageAct::Pass { freight } => {
                let now = self.now;
                self.facts_mut(&freight).verified_in.insert(stage.clone(), now);
                self.tell(format!("{freight} passes {stage}"));
            }
            StageAct::Promote { freight, along, supersedes } => {
                let wanted: Vec<FreightId> =
                    [freight].into_iter().chain(along.into_values()).collect();
                for freight in &wanted {
                    self.check_not_older(stage, freight);
                }
                let asked = Asked::default();
                self.create(stage, &wanted, Principal::Automation, asked, &supersedes);
            }
        }
        Ok(())
    }

    /// Automation never goes back to older freight.
    fn check_not_older(&self, stage: &StageName, freight: &FreightId) {
        let of = |id: &FreightId| self.freight.iter().find(|f| f.freight.id == *id).expect("known");
        let wanted = &of(freight).freight;
        let there = self.in_stage(stage).remove(&wanted.warehouse);
        let older = there.is_some_and(|there| of(&there).freight.sequence >= wanted.sequence);
        assert!(!older, "automation promotes older freight over newer to {stage}");
    }

    fn create(
        &mut self,
        stage: &StageName,
        freight: &[FreightId],
        requester: Principal,
        Asked { bypass, vars, rollback, rehearsal }: Asked,
        supersedes: &[PromotionId],
    ) -> PromotionId {
        let number = self.sagas.values().filter(|saga| saga.promotion.stage == *stage).count() + 1;
        let id = PromotionId::new(stage, u64::try_from(number).expect("few"));
        let starts = if rehearsal { "is rehearsed" } else { "starts" };
        let names: Vec<&str> = freight.iter().map(FreightId::as_str).collect();
        self.tell(format!("{id} {starts}: {}, by {requester}", names.join(" and ")));
        for superseded in supersedes {
            let message = format!("promotion {id} takes its place");
            let finish = Finish::new(Ending::Superseded, message, Vec::new());
            self.append(superseded, Event::Finished(finish));
        }
        let mut promoted: Vec<(WarehouseName, FreightId)> = freight
            .iter()
            .map(|freight| (self.facts_mut(freight).freight.warehouse.clone(), freight.clone()))
            .collect();
        let (warehouse, freight) = promoted.remove(0);
        let promotion = Promotion {
            id: id.clone(),
            stage: stage.clone(),
            freight,
            warehouse,
            along: promoted.into_iter().collect(),
            groups: bypass.iter().flat_map(|bypass| bypass.groups.clone()).collect(),
            requester,
            reason: None,
            vars,
            bypass,
            rollback,
            rehearsal,
            created_at: self.now,
        };
        let saga = Saga { promotion, log: Vec::new(), state: State::default() };
        self.sagas.insert(id.clone(), saga);
        id
    }

    fn act(&mut self, id: &PromotionId, act: Act) -> Result<(), Crash> {
        match act {
            Act::Append(event) => self.append_own(id, *event),
            Act::Prepare { step, call, rebuild, ends } => {
                self.boundary()?;
                let node = Node::Step(step.clone());
                let outcome = if self.outside.hangs(&node).is_some() {
                    let (at, by) = ends.expect("what hangs is broken off");
                    self.now = at;
                    self.tell(format!("{id}'s preparation is broken off"));
                    StepOutcome::Interrupted { by }
                } else {
                    self.outside.run(&node, &call, &rebuild)
                };
                if let Some(event) = plan::prepared(step, *call, outcome) {
                    self.append_own(id, event)?;
                }
                self.outside.recorded(&node);
                Ok(())
            }
            Act::Probe { bases, last } => {
                let looked = match self.outside.unreachable.clone() {
                    Some(why) => Err(why),
                    None => Ok(self.outside.probe(&bases)),
                };
                match plan::probed(looked, last) {
                    Ok(event) => self.append_own(id, event),
                    // As a worker that cannot do its work, which looks again later.
                    Err(why) => {
                        self.tell(format!("{id} is looked at again: {why}"));
                        self.now += LOOKS_AGAIN;
                        Ok(())
                    }
                }
            }
            Act::Ask(asking) => {
                self.boundary()?;
                for asking in asking {
                    self.hear(id, asking);
                }
                Ok(())
            }
            Act::Commit { skipped } => {
                assert_eq!(self.slot(&self.sagas[id].promotion.stage), None, "the slot is free");
                self.append_own(id, Event::Committed { skipped })
            }
            Act::Run(runs) => {
                if let Some(given_up) = runs.iter().find_map(plan::given_up) {
                    return self.append_own(id, given_up);
                }
                // Side by side: all have begun before one ends, and the last one ends first.
                for run in runs.iter().filter(|run| !run.resumed) {
                    let (node, call) = (run.node.clone(), run.call.clone());
                    self.append_own(id, Event::Intent { node, call, epoch: None })?;
                }
                self.boundary()?;
                runs.iter().rev().try_for_each(|run| self.run(id, run))
            }
            Act::Measure(check) => {
                self.boundary()?;
                let taken = self.outside.measure(&check, self.now);
                self.append_own(id, Event::Measured(taken))?;
                self.outside.measured(&check.name);
                Ok(())
            }
        }
    }

    fn hear(&mut self, id: &PromotionId, Asking { asker, inquiry }: Asking) {
        let said = self.sayings.get(&asker.name).copied();
        let measured = said.unwrap_or(Measured::Unknown);
        let detail = format!("{} says {measured:?}", inquiry.source.describe());
        self.tell(format!("{id} asks for {}: {measured:?}", asker.describe()));
        let reply = Reply { inquiry: inquiry.digest(), at: self.now, measured, detail };
        self.replies.entry(id.clone()).or_default().insert(asker, reply);
    }

    fn run(&mut self, id: &PromotionId, run: &Run) -> Result<(), Crash> {
        let outcome = match self.outside.hangs(&run.node) {
            Some(person) => self.break_off(id, run, person),
            None => self.outside.run(&run.node, &run.call, &run.rebuild),
        };
        self.append_own(id, plan::ended(run, false, outcome))?;
        self.outside.recorded(&run.node);
        Ok(())
    }

    /// What hangs ends when its time is over, or when somebody asks for it.
    fn break_off(&mut self, id: &PromotionId, run: &Run, person: Option<String>) -> StepOutcome {
        let Some(person) = person else {
            self.now = run.deadline.expect("what hangs has a timeout").max(self.now);
            return StepOutcome::Interrupted { by: Interruption::Timeout };
        };
        self.abort(id, &person);
        let last = &self.sagas[id].log.last().expect("an abort was asked for").event;
        assert!(plan::breaks_off(Some((&run.node, &run.call)), last, false));
        StepOutcome::Interrupted { by: Interruption::Abort }
    }

    fn append_own(&mut self, id: &PromotionId, event: Event) -> Result<(), Crash> {
        self.boundary()?;
        self.append(id, event);
        Ok(())
    }

    /// Appends an event and writes what follows from it, at once.
    pub(crate) fn append(&mut self, id: &PromotionId, event: Event) {
        let now = self.now;
        let saga = self.sagas.get_mut(id).expect("it is there");
        let after = consequences(&saga.promotion, &saga.state, &event);
        let seq = u64::try_from(saga.log.len()).expect("few") + 1;
        let entry = Entry { seq, at: now, event };
        saga.state.apply(&entry).expect("a decision appends only what can happen");
        saga.log.push(entry.clone());
        let (stage, freight) = (saga.promotion.stage.clone(), saga.promotion.freight.clone());
        let lines = tell::event(saga, &entry.event);
        for line in lines {
            self.tell(format!("{id} {line}"));
        }
        if let Some(kept) = after.keep {
            self.keep(&stage, &freight, kept);
        }
        if let Some(entered) = after.enter {
            self.enter(&stage, &entered);
        }
        for freight in after.verify {
            self.facts_mut(&freight).verified_in.entry(stage.clone()).or_insert(now);
        }
        for freight in after.withdraw {
            if self.facts_mut(&freight).verified_in.remove(&stage).is_some() {
                self.tell(format!("{stage} vouches for {freight} no longer"));
            }
        }
        if let Some(reason) = after.hold {
            self.hold(&stage, reason, Principal::Automation);
        }
        let holds = self.slot(&stage).as_ref() == Some(id);
        if let Some(taken) = after.slot {
            assert_eq!(holds, taken, "the slot of {stage} goes with the phase");
        }
    }

    fn hold(&mut self, stage: &StageName, reason: String, by: Principal) {
        self.tell(format!("{stage} is held by {by}: {reason}"));
        let hold = AutomaticHold { reason, by, at: self.now };
        self.automatic_holds.insert(stage.clone(), hold);
    }

    fn enter(&mut self, stage: &StageName, entered: &[FreightId]) {
        let now = self.now;
        for facts in &mut self.freight {
            let stays = facts.stays.entry(stage.clone()).or_default();
            let open = stays.iter_mut().find(|stay| stay.left_at.is_none());
            match (open, entered.contains(&facts.freight.id)) {
                (Some(_), true) | (None, false) => {}
                (Some(stay), false) => stay.left_at = Some(now),
                (None, true) => stays.push(Stay { entered_at: now, left_at: None }),
            }
        }
    }

    pub(crate) fn facts_mut(&mut self, id: &FreightId) -> &mut FreightFacts {
        self.freight.iter_mut().find(|facts| facts.freight.id == *id).expect("known freight")
    }

    // What people do.

    pub(crate) fn request(
        &mut self,
        stage: &StageName,
        freight: &[FreightId],
        who: &str,
        bypass: Option<BypassRequest>,
        vars: BTreeMap<String, String>,
    ) {
        self.ask(stage, freight, who, Asked { bypass, vars, ..Asked::default() });
    }

    pub(crate) fn rehearse(&mut self, stage: &StageName, wanted: &[FreightId], who: &str) {
        let (snapshot, vars) = (self.stage_snapshot(stage), [].into());
        let (freight, along) = (&wanted[0], &wanted[1..]);
        let (vars, bypass) = (&vars, None);
        let facts = RequestFacts { stage: &snapshot, freight, along, requester: who, vars, bypass };
        match plan::rehearse(&facts, self.now) {
            Err(error) => self.tell(format!("refused: {error}")),
            Ok(()) => {
                let asked = Asked { rehearsal: true, ..Asked::default() };
                self.create(stage, wanted, Principal::Named(who.to_owned()), asked, &[]);
            }
        }
    }

    pub(crate) fn roll_back(&mut self, stage: &StageName, who: &str) {
        let snapshot = self.stage_snapshot(stage);
        let ids = |back: Vec<&FreightFacts>| -> Vec<FreightId> {
            back.iter().map(|facts| facts.freight.id.clone()).collect()
        };
        match plan::previous(&snapshot, self.now).map(ids) {
            Ok(freight) => {
                self.ask(stage, &freight, who, Asked { rollback: true, ..Asked::default() });
            }
            Err(error) => self.tell(format!("refused: {error}")),
        }
    }

    fn ask(&mut self, stage: &StageName, wanted: &[FreightId], who: &str, asked: Asked) {
        let snapshot = self.stage_snapshot(stage);
        let (vars, bypass) = (&asked.vars, asked.bypass.as_ref());
        let (freight, along) = (&wanted[0], &wanted[1..]);
        let facts = RequestFacts { stage: &snapshot, freight, along, requester: who, vars, bypass };
        match plan::request(&facts, self.now) {
            Err(error) => self.tell(format!("refused: {error}")),
            Ok(granted) => {
                let who = Principal::Named(who.to_owned());
                self.create(stage, wanted, who.clone(), asked, &granted.supersedes);
                if let Some(reason) = granted.hold {
                    self.hold(stage, reason, who);
                } else if granted.release_hold && self.automatic_holds.remove(stage).is_some() {
                    self.tell(format!("{stage} is held no longer"));
                }
            }
        }
    }

    pub(crate) fn end_freeze(&mut self, reach: Reach, name: &str) {
        self.freezes.retain(|it| it.spec.reach != reach || it.spec.name.as_str() != name);
    }

    /// The freezes that concern the project, as the store loads them.
    fn freezes(&self) -> Vec<Defined<Freeze>> {
        let concerning = self.freezes.iter().filter(|it| it.spec.concerns_project(&project()));
        concerning.cloned().collect()
    }

    pub(crate) fn put_freeze(&mut self, freeze: Freeze) {
        self.freezes
            .retain(|other| other.spec.reach != freeze.reach || other.spec.name != freeze.name);
        let freeze = self.defined(freeze, None);
        self.freezes.push(freeze);
    }

    pub(crate) fn put_hold(&mut self, hold: Hold) {
        self.holds.retain(|other| other.spec.name != hold.name);
        let hold = self.defined(hold, None);
        self.holds.push(hold);
    }

    pub(crate) fn approve(&mut self, id: &PromotionId, approval: Approval) {
        let saga = &self.sagas[id];
        match plan::approve(&saga.promotion, &saga.state, approval) {
            Ok(event) => self.append(id, event),
            Err(error) => self.tell(format!("refused: {error}")),
        }
    }

    /// Writes what a step keeps, as the store does.
    fn keep(&mut self, stage: &StageName, freight: &FreightId, kept: Kept) {
        for KeptChange { at, before, after } in kept.changes {
            let found = match &at {
                KeptAt::Stage(key) => {
                    swap(self.noted.entry(stage.clone()).or_default(), key, after)
                }
                KeptAt::Freight(key) => swap(&mut self.facts_mut(freight).metadata, key, after),
                KeptAt::Alias(alias) => {
                    let found = self.aliases.remove(alias);
                    let given = after.and_then(|id| id.as_str()?.parse().ok());
                    self.aliases.extend(given.map(|id| (alias.clone(), id)));
                    found.map(|id| Value::from(id.as_str()))
                }
            };
            assert_eq!(found, before, "{at:?} is as it was when its change was decided");
        }
        if let Some(audit) = kept.audit {
            self.tell(format!("ledger: {} {}", audit.message, Value::Object(audit.fields)));
        }
    }

    pub(crate) fn answer(&mut self, id: &PromotionId, answer: Answer) {
        match plan::answer(&self.promotion_snapshot(id), answer) {
            Ok(event) => self.append(id, event),
            Err(error) => self.tell(format!("refused: {error}")),
        }
    }

    pub(crate) fn abort(&mut self, id: &PromotionId, by: &str) {
        let saga = &self.sagas[id];
        let by = Principal::Named(by.to_owned());
        match plan::abort(&saga.promotion, &saga.state, by, "not now".to_owned()) {
            Ok(event) => self.append(id, event),
            Err(error) => self.tell(format!("refused: {error}")),
        }
    }

    pub(crate) fn reverify(&mut self, id: &PromotionId, by: &str) {
        let by = Principal::Named(by.to_owned());
        let stage = &self.sagas[id].promotion.stage;
        let of_stage = self.sagas.values().filter(|saga| saga.promotion.stage == *stage);
        let others: Vec<plan::Other> = of_stage
            .map(|saga| plan::Other {
                promotion: saga.promotion.id.clone(),
                phase: saga.state.phase(),
                committed: saga.state.committed_at.is_some(),
            })
            .collect();
        match plan::reverify(&self.promotion_snapshot(id), &others, by, None) {
            Ok(event) => self.append(id, event),
            Err(error) => self.tell(format!("refused: {error}")),
        }
    }

    /// Adds a line to the story, with short names for ids.
    pub(crate) fn tell(&mut self, line: impl AsRef<str>) {
        let line = self.named(line.as_ref());
        self.story.push(line);
    }

    pub(crate) fn named(&self, text: &str) -> String {
        let freight = self.freight.iter().map(|facts| &facts.freight);
        freight.fold(text.to_owned(), |text, freight| {
            let name = format!("f{}", freight.sequence);
            text.replace(freight.id.as_str(), &name).replace(freight.id.short(), &name)
        })
    }

    pub(crate) fn stage(&self, name: &str) -> &Stage {
        &self.definitions.stages[name].spec
    }

    pub(crate) fn warehouse(&self, name: &str) -> &Warehouse {
        &self.definitions.warehouses[name].spec
    }
}

pub(crate) fn project() -> ProjectName {
    "shop".parse().expect("a project's name")
}

fn swap(noted: &mut Map<String, Value>, key: &str, after: Option<Value>) -> Option<Value> {
    match after {
        Some(value) => noted.insert(key.to_owned(), value),
        None => noted.shift_remove(key),
    }
}
