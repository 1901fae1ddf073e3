//! Requests under way. A request lives on when whoever sent it dies: it may still arrive, and find that somebody
//! else was faster.

use jiff::Timestamp;
use reconciler_domain::id::{StepName, SubscriptionName};
use reconciler_domain::plan::{self, Base, Run};
use reconciler_domain::promotion::{Event, Node};
use reconciler_domain::step::{Call, StepOutcome};
use reconciler_domain::verification::{FrozenCheck, Measured, Measurement};
use reconciler_domain::warehouse::{Discovery, Source};
use reconciler_store::{Lease, WakeKey};

use super::JobId;
use super::job::{Doing, End, Next, Then};
use crate::agenda::{Happening, Process};
use crate::bug::Bug;
use crate::outside::{Asked, FlightId, Trouble};
use crate::world::World;

/// What is asked of the world outside.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Prepare { step: StepName, call: Box<Call>, rebuild: Vec<(StepName, Call)> },
    Run(Box<Run>),
    Probe { bases: Vec<Base> },
    Measure { check: Box<FrozenCheck> },
    Discover { subscription: SubscriptionName, source: Box<Source>, before: Box<Discovery> },
}

/// What the world outside says.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Ran(Box<StepOutcome>),
    Probed(Result<Vec<String>, String>),
    Measured(Measurement),
    Found(Discovery),
}

#[derive(Debug)]
pub(crate) struct Flight {
    process: Process,
    job: JobId,
    key: WakeKey,
    ask: Ask,
    /// It arrives no earlier.
    not_before: Timestamp,
    /// Absent until it arrived.
    answer: Option<Answer>,
}

impl World {
    pub(super) fn send(&mut self, process: Process, job: JobId, key: &WakeKey, ask: &Ask) {
        self.flights_made += 1;
        let id = self.flights_made;
        let (key, ask) = (key.clone(), ask.clone());
        self.flights
            .insert(id, Flight { process, job, key, ask, not_before: self.now, answer: None });
        let there = self.fate.millis(1..=300);
        self.agenda.put(self.now + there, Happening::Landing(id));
    }

    /// A request arrives.
    pub(crate) fn land(&mut self, id: FlightId) {
        let Some(mut flight) = self.flights.remove(&id) else { return };
        if flight.not_before > self.now {
            self.agenda.put(flight.not_before, Happening::Landing(id));
            self.flights.insert(id, flight);
            return;
        }
        let local = self.local(flight.process.replica);
        let answer = match &flight.ask {
            Ask::Prepare { step, call, rebuild } => {
                let node = Node::Step(step.clone());
                Answer::Ran(Box::new(self.carry_out(&flight.key, &node, call, rebuild)))
            }
            Ask::Run(run) => {
                let Run { node, call, rebuild, .. } = &**run;
                Answer::Ran(Box::new(self.carry_out(&flight.key, node, call, rebuild)))
            }
            Ask::Probe { bases } => Answer::Probed(self.probe(&flight.key, bases)),
            Ask::Measure { check } => {
                let trouble = self.measure_trouble();
                Answer::Measured(self.outside.measure(check, trouble, local))
            }
            Ask::Discover { source, before, .. } => {
                let fails = self.fate.strikes(self.faults().look_fails);
                Answer::Found(self.outside.discover(source, before, fails, local))
            }
        };
        flight.answer = Some(answer);
        self.flights.insert(id, flight);
        let back = if self.fate.strikes(self.faults().slow) {
            self.fate.millis(1000..=120_000)
        } else {
            self.fate.millis(5..=2000)
        };
        self.agenda.put(self.now + back, Happening::Reply(id));
    }

    /// Carries out a call; a request may arrive twice.
    fn carry_out(
        &mut self,
        key: &WakeKey,
        node: &Node,
        call: &Call,
        rebuild: &[(StepName, Call)],
    ) -> StepOutcome {
        let WakeKey::Promotion(project, promotion) = key else {
            unreachable!("only promotions run calls")
        };
        let trouble = self.trouble(call);
        let twice = !at_most_once(call) && self.fate.strikes(self.faults().twice);
        let stage = promotion.as_str().rsplit_once('.').map_or("", |(stage, _)| stage);
        let stage = stage.parse().expect("a promotion's id begins with its stage");
        let asked = Asked { project, stage: &stage, promotion, node };
        let mut outcome = self.outside.run(&asked, call, rebuild, trouble);
        if twice {
            outcome = self.outside.run(&asked, call, rebuild, trouble);
        }
        for happened in self.outside.take_news() {
            self.trace(|| format!("{project}/{promotion} {node:?} happens: {:?}", happened.effect));
            let saga = self.store.saga(project, promotion);
            self.watch.happened(&happened, saga);
        }
        outcome
    }

    fn probe(&mut self, key: &WakeKey, bases: &[Base]) -> Result<Vec<String>, String> {
        let WakeKey::Promotion(project, promotion) = key else {
            unreachable!("only promotions are probed")
        };
        if self.fate.strikes(self.faults().refused) {
            return Err("503".to_owned());
        }
        let stage = promotion.as_str().rsplit_once('.').map_or("", |(stage, _)| stage);
        let stage = stage.parse().expect("a promotion's id begins with its stage");
        Ok(self.outside.probe(project, &stage, bases))
    }

    fn measure_trouble(&mut self) -> Option<Measured> {
        let faults = self.faults();
        if self.fate.strikes(faults.measures_fail) {
            return Some(Measured::Fail);
        }
        self.fate.strikes(faults.measures_nothing).then_some(Measured::Unknown)
    }

    fn trouble(&mut self, call: &Call) -> Option<Trouble> {
        let faults = self.faults();
        if self.fate.strikes(faults.refused) {
            return Some(Trouble::Refused);
        }
        if self.fate.strikes(faults.reply_lost) {
            return Some(Trouble::ReplyLost);
        }
        let breaks = matches!(call, Call::TfApply(_) | Call::Http(_));
        if breaks && self.fate.strikes(faults.breaks) {
            return Some(Trouble::Breaks);
        }
        (breaks && self.fate.strikes(faults.cut_off)).then_some(Trouble::CutOff)
    }

    /// The answer reaches who asked, if they are still there.
    pub(crate) fn reply(&mut self, id: FlightId) {
        let Some(flight) = self.flights.get(&id) else { return };
        let process = flight.process;
        if !self.is_alive(process) {
            self.flights.remove(&id);
            return;
        }
        if self.replicas[process.replica].stopped {
            self.replicas[process.replica].missed.push(Happening::Reply(id));
            return;
        }
        let Some(flight) = self.flights.remove(&id) else { return };
        if let Some(answer) = flight.answer {
            self.answered(process, flight.job, answer);
        }
    }

    /// Whoever sent these is gone. What was on its way may arrive all the same, until its connection times out.
    pub(super) fn lose_flights(&mut self, replica: usize, job: Option<JobId>) {
        let of_it = self.flights.iter().filter(|(_, flight)| {
            let same = flight.process.replica == replica && job.is_none_or(|job| flight.job == job);
            same && flight.answer.is_none()
        });
        let ids: Vec<FlightId> = of_it.map(|(id, _)| *id).collect();
        for id in ids {
            if self.fate.strikes(0.5) {
                self.flights.remove(&id);
            } else {
                let late = self.fate.millis(0..=LATE_MAX_MS);
                let flight = self.flights.get_mut(&id).expect("listed above");
                flight.not_before = self.now + late;
            }
        }
    }

    /// What the answer means for the job.
    pub(super) fn take_answer(
        &mut self,
        lease: &Lease,
        seq: u64,
        ask: Ask,
        answer: Answer,
    ) -> Next {
        let append = |event| {
            let event = Box::new(event);
            Next::Do(Doing::Append { seq, event, then: Then::Look })
        };
        match (ask, answer) {
            (Ask::Prepare { step, call, .. }, Answer::Ran(outcome)) => {
                match plan::prepared(step, *call, *outcome) {
                    Some(event) => append(event),
                    None => Next::Do(Doing::Look),
                }
            }
            (Ask::Run(run), Answer::Ran(outcome)) => {
                let forgets = self.bug == Some(Bug::DoubtForgotten);
                let run = Run { resumed: run.resumed && !forgets, ..*run };
                append(plan::ended(&run, false, *outcome))
            }
            (Ask::Probe { .. }, Answer::Probed(Ok(moved))) => append(Event::Probed { moved }),
            (Ask::Probe { .. }, Answer::Probed(Err(message))) => {
                Next::Done(Err(End::Failed(message)))
            }
            (Ask::Measure { .. }, Answer::Measured(taken)) => append(Event::Measured(taken)),
            (Ask::Discover { subscription, .. }, Answer::Found(found)) => {
                self.record_discovery(&lease.key, seq, &subscription, found)
            }
            (
                Ask::Prepare { .. }
                | Ask::Run(_)
                | Ask::Probe { .. }
                | Ask::Measure { .. }
                | Ask::Discover { .. },
                Answer::Ran(_) | Answer::Probed(_) | Answer::Measured(_) | Answer::Found(_),
            ) => unreachable!("an answer is to its question"),
        }
    }
}

/// A request whose sender died arrives within this time or never. Shorter than a lease: clients time out.
const LATE_MAX_MS: u64 = 25_000;

pub(super) fn at_most_once(call: &Call) -> bool {
    matches!(call, Call::Http(http) if http.at_most_once)
}
