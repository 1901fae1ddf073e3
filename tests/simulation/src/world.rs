//! Everything at one instant, and what happens next.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reconciler_domain::id::Principal;
use reconciler_domain::step::StepKind;
use reconciler_domain::warehouse::{Source, Warehouse};
use reconciler_store::WakeKey;

use crate::agenda::{Agenda, Happening};
use crate::bug::Bug;
use crate::fate::Fate;
use crate::outside::{FlightId, Outside};
use crate::people::Screens;
use crate::pipeline::{self, Pipeline};
use crate::replica::{CONCURRENT_MAX, Flight, JobId, Replica};
use crate::scenario::{Faults, Scenario};
use crate::store::{Edit, Store};
use crate::watch::Watch;

pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) agenda: Agenda,
    pub(crate) fate: Fate,
    pub(crate) scenario: Scenario,
    pub(crate) bug: Option<Bug>,
    pub(crate) store: Store,
    pub(crate) outside: Outside,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) pipelines: Vec<Pipeline>,
    /// Image repositories that get new versions.
    images: Vec<String>,
    pub(crate) screens: Screens,
    pub(crate) watch: Watch,
    pub(crate) flights: BTreeMap<FlightId, Flight>,
    pub(crate) flights_made: u64,
    pub(crate) jobs_made: JobId,
    pub(crate) events: u64,
    pub(crate) traced: bool,
    /// Nothing fails any more, and the caretaker is at work.
    pub(crate) healed: bool,
}

/// How often the caretaker looks.
const CARE_EVERY: Duration = Duration::from_secs(300);

impl World {
    pub(crate) fn new(scenario: &Scenario, bug: Option<Bug>, traced: bool) -> Self {
        let mut fate = Fate::of(scenario.seed);
        let now = "2026-01-01T00:00:00Z".parse().expect("an instant");
        let pipelines: Vec<Pipeline> = (0..scenario.projects)
            .map(|index| {
                if scenario.plain {
                    Pipeline::plain(index)
                } else {
                    Pipeline::drawn(index, &mut fate)
                }
            })
            .collect();
        let mut world = Self {
            now,
            agenda: Agenda::default(),
            bug,
            store: Store::with(bug),
            outside: Outside::with(bug, fate.strikes(0.5)),
            replicas: (0..scenario.replicas).map(Replica::new).collect(),
            pipelines,
            images: Vec::new(),
            screens: Screens::default(),
            watch: Watch::new(scenario.replay_every),
            flights: BTreeMap::new(),
            flights_made: 0,
            jobs_made: 0,
            events: 0,
            traced,
            healed: false,
            scenario: scenario.clone(),
            fate,
        };
        world.define_everything();
        world.put_down_first_events();
        world
    }

    pub(crate) fn faults(&self) -> Faults {
        if self.healed { Faults::default() } else { self.scenario.faults }
    }

    /// Writes every definition as it was at first, where it is another now.
    pub(crate) fn define_everything(&mut self) {
        let edit = Edit { by: Principal::Named("admin".to_owned()), at: self.now };
        for pipeline in self.pipelines.clone() {
            let project = &pipeline.project;
            if !self.store.projects.contains_key(project) {
                self.store.put_project(project);
                self.outside.found_repo(&pipeline::gitops(project), &[("README#text", "gitops")]);
                self.outside.found_repo(&pipeline::infra(project), &[("module#size", "1")]);
                self.store.put_verification(project, pipeline.verification, &edit);
            }
            for warehouse in pipeline.warehouses {
                self.store.put_warehouse(project, warehouse, &edit);
            }
            for stage in pipeline.stages {
                self.store.put_stage(project, stage, &edit);
            }
            for policy in pipeline.policies {
                self.store.put_policy(project, &policy, &edit);
            }
        }
    }

    fn put_down_first_events(&mut self) {
        for pipeline in &self.pipelines {
            let sources = pipeline.warehouses.iter().flat_map(|w| w.subscriptions.values());
            self.images.extend(sources.filter_map(|source| match source {
                Source::Image(image) => Some(image.repo.clone()),
                Source::Git(_) => None,
            }));
        }
        for image in 0..self.images.len() {
            let first = self.fate.millis(1000..=60_000);
            self.agenda.put(self.now + first, Happening::Release(image));
        }
        for replica in 0..self.replicas.len() {
            self.tick_at(replica, self.now);
        }
        self.put_down(self.scenario.people_every, Happening::Person);
        self.put_down(self.scenario.care_every, Happening::Caretaker);
        self.put_down(self.scenario.strangers_every, Happening::Stranger);
        self.put_down(self.scenario.accidents_every, Happening::Accident);
    }

    fn put_down(&mut self, every: Option<Duration>, what: Happening) {
        if let Some(every) = every {
            let next = self.fate.next_after(every);
            self.agenda.put(self.now + next, what);
        }
    }

    /// Lets the next thing happen; `false`: nothing will.
    pub(crate) fn advance(&mut self) -> bool {
        let Some((at, happening)) = self.agenda.next() else { return false };
        self.now = self.now.max(at);
        self.events += 1;
        match happening {
            Happening::Tick(process)
            | Happening::Step(process, _)
            | Happening::Renew(process, _)
                if !self.is_alive(process) => {}
            Happening::Tick(process)
            | Happening::Step(process, _)
            | Happening::Renew(process, _)
                if self.replicas[process.replica].stopped =>
            {
                self.replicas[process.replica].missed.push(happening);
            }
            Happening::Tick(process) => self.tick(process),
            Happening::Step(process, job) => self.step(process, job),
            Happening::Renew(process, job) => self.renew(process, job),
            Happening::Landing(flight) => self.land(flight),
            Happening::Reply(flight) => self.reply(flight),
            Happening::Start(replica) => self.start(replica),
            Happening::Resume(process) if self.is_alive(process) => self.resume(process),
            Happening::Resume(_) => {}
            Happening::Accident => self.accident(),
            Happening::Release(image) => self.release(image),
            Happening::Person => {
                if !self.healed {
                    self.person(None);
                    self.put_down(self.scenario.people_every, Happening::Person);
                }
            }
            Happening::Stranger => {
                if !self.healed {
                    self.stranger();
                    self.put_down(self.scenario.strangers_every, Happening::Stranger);
                }
            }
            Happening::Caretaker => {
                self.take_care();
                if self.healed {
                    self.agenda.put(self.now + CARE_EVERY, Happening::Caretaker);
                } else {
                    self.put_down(self.scenario.care_every, Happening::Caretaker);
                }
            }
        }
        if self.events.is_multiple_of(256) {
            self.check_bounds();
        }
        true
    }

    /// A process dies, stops, or has its clock set.
    fn accident(&mut self) {
        if self.healed {
            return;
        }
        let index = self.fate.index(self.replicas.len());
        let up = self.replicas[index].up && !self.replicas[index].stopped;
        match self.fate.number(0..=9) {
            0..=3 if up => self.crash(index),
            4..=7 if up => {
                let pause = self.fate.millis(1000..=120_000);
                self.stop(index, pause);
            }
            _ => {
                let millis = self.fate.number(0..=3_600_000);
                let millis = i64::try_from(millis).unwrap_or(0) - 1_800_000;
                let offset = if self.fate.strikes(0.5) { 0 } else { millis };
                self.trace(|| format!("the clock of replica-{index} is off by {offset} ms"));
                self.replicas[index].offset = SignedDuration::from_millis(offset);
            }
        }
        self.put_down(self.scenario.accidents_every, Happening::Accident);
    }

    fn release(&mut self, image: usize) {
        if self.healed {
            return;
        }
        let bad = self.fate.strikes(self.scenario.faults.bad_release);
        let tag = self.outside.release(&self.images[image], bad);
        self.trace(|| format!("{} {tag} is released", self.images[image]));
        let next = self.fate.next_after(self.scenario.release_every);
        self.agenda.put(self.now + next, Happening::Release(image));
    }

    /// From now on nothing fails: every process runs, every clock is right, every definition is as it was, and
    /// every source has a new, good version.
    pub(crate) fn heal(&mut self) {
        self.trace(|| "-- nothing fails from here on".to_owned());
        self.healed = true;
        for index in 0..self.replicas.len() {
            let process = self.process(index);
            self.replicas[index].offset = SignedDuration::ZERO;
            if self.replicas[index].stopped {
                self.resume(process);
            } else if !self.replicas[index].up {
                self.start(index);
            }
        }
        self.define_everything();
        for image in &self.images {
            self.outside.release(image, false);
        }
        for pipeline in &self.pipelines {
            for warehouse in &pipeline.warehouses {
                self.store.ask_refresh(&pipeline.project, &warehouse.name, self.now);
            }
        }
        for index in 0..self.replicas.len() {
            self.tick_at(index, self.now);
        }
        self.agenda.put(self.now + CARE_EVERY, Happening::Caretaker);
    }

    /// After healing everything is looked at in time.
    pub(crate) fn check_waits(&mut self) {
        for pipeline in &self.pipelines {
            let found = self.store.project(&pipeline.project);
            for saga in found.promotions.values() {
                self.watch.in_time(saga, &found.definitions.policies, self.now);
            }
        }
    }

    /// What has not come to rest, after healing.
    pub(crate) fn unsettled(&self) -> Vec<String> {
        let mut left = Vec::new();
        for pipeline in &self.pipelines {
            let project = &pipeline.project;
            let found = self.store.project(project);
            for (id, saga) in &found.promotions {
                left.push(format!("{project}/{id} is {}", saga.state.phase().label()));
            }
            for (stage, freight) in self.missing(project) {
                left.push(format!("{project}/{stage} does not have freight {}", freight.short()));
            }
            left.extend(self.outdated(pipeline));
            for warehouse in &pipeline.warehouses {
                let shelf = found.warehouses.get(&warehouse.name);
                let newest = shelf.and_then(|shelf| shelf.freight.last());
                let summary = newest.map(|facts| facts.freight.summary()).unwrap_or_default();
                for image in self.images_of(warehouse) {
                    let tag = self.outside.newest_image(image).unwrap_or_default();
                    if !summary.contains(tag) {
                        left.push(format!("{project}/{} has no freight of {tag}", warehouse.name));
                    }
                }
            }
        }
        left
    }

    /// Branches that do not say what the stage is said to have.
    fn outdated(&self, pipeline: &Pipeline) -> Vec<String> {
        let gitops = pipeline::gitops(&pipeline.project);
        let found = self.store.project(&pipeline.project);
        let pushing = pipeline
            .stages
            .iter()
            .filter(|stage| stage.steps.iter().any(|step| step.uses == StepKind::GitPush));
        let outdated = pushing.filter_map(|stage| {
            let shelf = found.warehouses.get(&stage.requests[0].warehouse)?;
            let newest = shelf.freight.last()?.freight.artifacts.values().next()?.summary();
            let said = self.outside.value(&gitops, &format!("{}.yaml#tag", stage.name));
            (said != Some(newest.as_str()))
                .then(|| format!("the branch says {said:?} of {}, not {newest}", stage.name))
        });
        outdated.collect()
    }

    fn images_of<'a>(&self, warehouse: &'a Warehouse) -> impl Iterator<Item = &'a str> + use<'a> {
        warehouse.subscriptions.values().filter_map(|source| match source {
            Source::Image(image) => Some(image.repo.as_str()),
            Source::Git(_) => None,
        })
    }

    /// Queues are bounded, and so is the work.
    fn check_bounds(&mut self) {
        let objects: usize = self
            .store
            .projects
            .values()
            .map(|project| {
                let definitions = &project.definitions;
                definitions.stages.len() + definitions.warehouses.len() + project.promotions.len()
            })
            .sum();
        // What is over is forgotten at the next look at it.
        let keys = self.store.wakeups.len();
        if keys > 4 * objects + 64 {
            let message = format!("{keys} wake-ups for {objects} objects");
            self.watch.fail("I9, queues are bounded", message);
        }
        let jobs = self.replicas.iter().map(|replica| replica.jobs.len()).max().unwrap_or(0);
        if jobs > CONCURRENT_MAX {
            self.watch.fail("I9, queues are bounded", format!("{jobs} jobs in one process"));
        }
        let agenda = self.agenda.len();
        if agenda > 64 * (objects + 16) {
            self.watch.fail("I9, queues are bounded", format!("{agenda} events are to come"));
        }
        if self.events.is_multiple_of(1 << 16) {
            let store = &self.store;
            self.watch.prune(|key| match key {
                WakeKey::Promotion(project, id) => store.saga(project, id).is_some(),
                WakeKey::Stage(..) | WakeKey::Warehouse(..) | WakeKey::Drift(..) => true,
            });
            let (screens, store) = (&mut self.screens, &self.store);
            screens.retain(|(project, id), _| store.saga(project, id).is_some());
        }
    }
}
