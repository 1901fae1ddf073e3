//! What people do: promote, approve what they saw some time ago, abort, edit definitions; and what strangers do
//! past Lockstep. At the end of a run a caretaker sees to it that everything can go on.

use std::collections::BTreeMap;

use reconciler_domain::id::{FreightId, Principal, ProjectName, PromotionId, StageName, StepName};
use reconciler_domain::plan::{self, RequestFacts, Requested};
use reconciler_domain::policy::{GateKind, Policy};
use reconciler_domain::promotion::{Approval, BypassRequest, Event, Node, Phase};
use reconciler_domain::stage::Choose;
use reconciler_domain::step::{Answer, AskCall, Said};
use reconciler_store::{AppendError, CreatePromotionError, NewPromotion};
use serde_json::Map;

use crate::bug::Bug;
use crate::pipeline::{self, edited};
use crate::store::{Edit, Saga};
use crate::world::World;

/// Name and groups of everybody.
const PEOPLE: [(&str, &[&str]); 5] = [
    ("ann", &["sre"]),
    ("bob", &["sre"]),
    ("dan", &["sre"]),
    ("eve", &["oncall"]),
    ("carl", &["dev"]),
];

/// Digests that people saw and may approve later, by promotion.
pub(crate) type Screens = BTreeMap<(ProjectName, PromotionId), String>;

fn given(count: u64) -> Said {
    Said::Given(Map::from_iter([("count".to_owned(), count.into())]))
}

impl World {
    /// Somebody does something, in any project or about this stage.
    pub(crate) fn person(&mut self, about: Option<(ProjectName, StageName)>) {
        let of = |(project, _): &(ProjectName, _)| {
            self.pipelines.iter().position(|pipeline| pipeline.project == *project)
        };
        let index = about.as_ref().and_then(of);
        let index = index.unwrap_or_else(|| self.fate.index(self.pipelines.len()));
        let project = self.pipelines[index].project.clone();
        let stage = about.map(|(_, stage)| stage);
        let (who, groups) = *self.fate.one_of(&PEOPLE);
        let edits = self.scenario.editors && self.fate.strikes(0.6);
        match self.fate.number(0..=13) {
            _ if edits => self.edit_something(index, stage.as_ref(), who),
            0..=2 => self.look_at_screens(&project),
            3..=6 => self.approve_something(&project, who, groups),
            7 => self.abort_something(&project, who),
            8 | 9 => self.promote_something(&project, who, groups),
            10 => self.open_something(&project, who),
            11 | 12 => self.answer_something(&project, who, groups),
            _ => self.edit_something(index, stage.as_ref(), who),
        }
        self.after_people();
    }

    /// A process hears of what people did.
    fn after_people(&mut self) {
        if self.store.wakeups.take_told() {
            let index = self.fate.index(self.replicas.len());
            self.tick_at(index, self.now);
        }
    }

    /// People look at what waits, and keep the page open.
    fn look_at_screens(&mut self, project: &ProjectName) {
        for (id, saga) in &self.store.project(project).promotions {
            if let Some(change_set) = &saga.state.change_set {
                let key = (project.clone(), id.clone());
                self.screens.insert(key, change_set.digest.clone());
            }
        }
    }

    fn approve_something(&mut self, project: &ProjectName, who: &str, groups: &[&str]) {
        self.look_at_screens(project);
        let open: Vec<PromotionId> =
            self.store.project(project).promotions.keys().cloned().collect();
        if open.is_empty() {
            return;
        }
        let id = self.fate.one_of(&open).clone();
        let key = (project.clone(), id.clone());
        if let Some(digest) = self.screens.get(&key).cloned() {
            self.approve(project, &id, who, groups, digest);
        }
    }

    fn approve(
        &mut self,
        project: &ProjectName,
        id: &PromotionId,
        who: &str,
        groups: &[&str],
        digest: String,
    ) {
        let Some(saga) = self.store.saga(project, id) else { return };
        let requester = saga.promotion.requester.clone();
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        let mut by = who.to_owned();
        if self.bug == Some(Bug::RequesterCounts) && requester == Principal::Named(by.clone()) {
            by = "somebody".to_owned();
        }
        let approval = Approval { by, groups, digest: digest.clone(), comment: None, signed: None };
        let judged = plan::approve(&saga.promotion, &saga.state, approval);
        match judged {
            Ok(event) => {
                self.trace(|| format!("{project}/{id}: {who} approves {digest}"));
                self.watch.agreed(project, id, who, digest);
                self.say(project, id, &event);
            }
            Err(error) => self.trace(|| format!("{who} is refused: {error}")),
        }
    }

    fn answer_something(&mut self, project: &ProjectName, who: &str, groups: &[&str]) {
        let asked = self.questions(project);
        if asked.is_empty() {
            return;
        }
        let (id, step, is_approval) = self.fate.one_of(&asked).clone();
        let said = match is_approval {
            true if self.fate.strikes(0.2) => Said::Refused,
            true => Said::Approved,
            false => given(self.fate.number(1..=9)),
        };
        self.answer(project, &id, &step, (who, groups), &said);
    }

    /// Promotions whose steps ask now, and whether for an approval.
    fn questions(&self, project: &ProjectName) -> Vec<(PromotionId, StepName, bool)> {
        let open = self.store.project(project).promotions.iter();
        let asked = open.flat_map(|(id, saga)| {
            let steps = saga.state.nodes.keys().filter_map(|node| match node {
                Node::Step(step) | Node::Excess(step) => Some(step),
                Node::Replan(_) | Node::Undo(_) | Node::UndoPlan(_) => None,
            });
            steps.filter_map(move |step| {
                let (ask, _) = saga.state.question(step)?;
                Some((id.clone(), step.clone(), matches!(ask, AskCall::Approval(_))))
            })
        });
        asked.collect()
    }

    fn answer(
        &mut self,
        project: &ProjectName,
        id: &PromotionId,
        step: &StepName,
        (who, groups): (&str, &[&str]),
        said: &Said,
    ) {
        let question = self.store.saga(project, id).and_then(|saga| saga.state.question(step));
        let Some((_, question)) = question else { return };
        let claimed = if self.bug == Some(Bug::OutsiderAnswers) { &["sre"] } else { groups };
        let answer = Answer {
            step: step.clone(),
            question,
            by: who.to_owned(),
            groups: claimed.iter().map(|group| (*group).to_owned()).collect(),
            said: said.clone(),
            comment: None,
            signed: None,
        };
        let judged = self.store.look_at_promotion(project, id, |seen| plan::answer(seen, answer));
        match judged.map(|judged| judged.value) {
            Some(Ok(event)) => {
                self.trace(|| format!("{project}/{id}: {who} answers {step}: {said:?}"));
                if *said == Said::Approved {
                    self.watch.answered(project, id, step, groups.contains(&"sre"));
                }
                self.say(project, id, &event);
            }
            Some(Err(error)) => self.trace(|| format!("{who} is refused: {error}")),
            None => {}
        }
    }

    fn abort_something(&mut self, project: &ProjectName, who: &str) {
        let open: Vec<PromotionId> =
            self.store.project(project).promotions.keys().cloned().collect();
        if open.is_empty() {
            return;
        }
        let id = self.fate.one_of(&open).clone();
        let saga = self.store.saga(project, &id).expect("listed above");
        let by = Principal::Named(who.to_owned());
        let wish = plan::abort(&saga.promotion, &saga.state, by, "not now".to_owned());
        if let Ok(event) = wish {
            self.say(project, &id, &event);
        }
    }

    /// Appends what a person's wish amounts to.
    fn say(&mut self, project: &ProjectName, id: &PromotionId, event: &Event) {
        let seq = self.store.saga(project, id).map_or(0, Saga::last_seq);
        match self.store.append(project, id, None, seq, event.clone(), self.now) {
            Ok(written) => self.accepted(None, project, id, event, written),
            Err(AppendError::Illegal(error)) => {
                let message = format!("what the domain granted is refused by the log: {error}");
                self.watch.fail("the domain contradicts itself", message);
            }
            Err(error) => self.trace(|| format!("{project}/{id}: {error}")),
        }
    }

    fn promote_something(&mut self, project: &ProjectName, who: &str, groups: &[&str]) {
        let stages: Vec<StageName> =
            self.store.project(project).definitions.stages.keys().cloned().collect();
        let stage = self.fate.one_of(&stages).clone();
        let request = &self.store.project(project).definitions.stages[&stage].spec.requests;
        let warehouse = self.fate.one_of(request).warehouse.clone();
        let Some(shelf) = self.store.project(project).warehouses.get(&warehouse) else { return };
        let back = shelf.freight.len().min(4);
        if back == 0 {
            return;
        }
        let at = shelf.freight.len() - 1 - self.fate.index(back);
        let mut freight = vec![shelf.freight[at].freight.id.clone()];
        if request.len() > 1 && self.fate.strikes(0.5) {
            let shelves = &self.store.project(project).warehouses;
            let others = request.iter().filter(|other| other.warehouse != warehouse);
            let newest = others.filter_map(|other| shelves.get(&other.warehouse)?.freight.last());
            freight.extend(newest.map(|facts| facts.freight.id.clone()));
        }
        let bypass = self.fate.strikes(0.3).then(|| BypassRequest {
            gates: [*self.fate.one_of(&[GateKind::Soak, GateKind::Approvals, GateKind::Upstream])]
                .into(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            reason: "it burns".to_owned(),
            expires: None,
        });
        self.promote(project, &stage, &freight, who, bypass);
    }

    fn promote(
        &mut self,
        project: &ProjectName,
        stage: &StageName,
        wanted: &[FreightId],
        who: &str,
        bypass: Option<BypassRequest>,
    ) {
        let Some((freight, along)) = wanted.split_first() else { return };
        let now = self.now;
        let asked = bypass.clone();
        let look = |snapshot: &_| {
            let facts = RequestFacts {
                stage: snapshot,
                freight,
                along,
                requester: who,
                vars: &[].into(),
                bypass: asked.as_ref(),
            };
            plan::request(&facts, now)
        };
        let Some(seen) = self.store.look_at_stage(project, stage, look) else { return };
        let Requested { supersedes, hold, release_hold } = match seen.value {
            Ok(granted) => granted,
            Err(error) => return self.trace(|| format!("{who} is refused: {error}")),
        };
        let of_warehouse = |id: &FreightId| {
            let facts = self.store.project(project).facts(id).expect("it was looked at");
            (facts.freight.warehouse.clone(), id.clone())
        };
        let new = NewPromotion {
            stage: stage.clone(),
            freight: freight.clone(),
            warehouse: of_warehouse(freight).0,
            along: along.iter().map(of_warehouse).collect(),
            requester: Principal::Named(who.to_owned()),
            groups: bypass.iter().flat_map(|bypass| bypass.groups.clone()).collect(),
            reason: None,
            vars: [].into(),
            bypass,
            rollback: false,
            rehearsal: false,
            supersedes,
            hold,
            release_hold,
            revision: Some(seen.revision),
        };
        if let Err(error) = self.create_promotion(project, &new, now) {
            self.trace(|| format!("{who} is refused: {error}"));
        }
    }

    /// Makes a promotion and checks what that did.
    pub(crate) fn create_promotion(
        &mut self,
        project: &ProjectName,
        new: &NewPromotion,
        now: jiff::Timestamp,
    ) -> Result<(), CreatePromotionError> {
        let created = self.store.create_promotion(project, new, now)?;
        let id = &created.promotion.id;
        self.trace(|| {
            let by = &new.requester;
            let what = created.promotion.brings_in_short();
            format!("{project}/{id}: starts freight {what} for {by}")
        });
        let known = |(_, id)| self.store.project(project).facts(id).is_some();
        let all_known = created.promotion.promoted().all(known);
        self.watch.created(project, &created.promotion, all_known);
        for over in created.superseded {
            self.trace(|| format!("{project}/{} is superseded", over.promotion.id));
            self.watch.over(project, &over);
        }
        Ok(())
    }

    fn open_something(&mut self, project: &ProjectName, who: &str) {
        let stages: Vec<StageName> =
            self.store.project(project).definitions.stages.keys().cloned().collect();
        let stage = self.fate.one_of(&stages).clone();
        let shelves: Vec<_> = self.store.project(project).warehouses.values().collect();
        if shelves.is_empty() {
            return;
        }
        let shelf = shelves[self.fate.index(shelves.len())];
        let Some(newest) = shelf.freight.last().map(|facts| facts.freight.id.clone()) else {
            return;
        };
        self.trace(|| format!("{project}: {who} opens {stage} for {}", newest.short()));
        self.store.approve_freight(project, &newest, &stage, self.now);
        self.watch.changed();
    }

    fn edit_something(&mut self, index: usize, about: Option<&StageName>, who: &str) {
        let pipeline = &self.pipelines[index];
        let project = pipeline.project.clone();
        let edit = Edit { by: Principal::Named(who.to_owned()), at: self.now };
        let of_it = pipeline.stages.iter().find(|stage| Some(&stage.name) == about);
        let mut stage = of_it.unwrap_or_else(|| self.fate.one_of(&pipeline.stages)).clone();
        let own = |policy: &&Policy| policy.stages.iter().any(|name| name == stage.name.as_str());
        let own = pipeline.policies.iter().find(own);
        let policy = own.unwrap_or_else(|| self.fate.one_of(&pipeline.policies)).clone();
        let choice = self.fate.number(0..=4);
        self.trace(|| format!("{project}: {who} edits (choice {choice})"));
        match choice {
            0 => {
                let policy = edited(&policy, &mut self.fate);
                self.store.put_policy(&project, &policy, &edit);
            }
            1 => self.store.delete_policy(&project, &policy.name, &edit),
            2 => self.store.put_policy(&project, &policy, &edit),
            3 => {
                let note = format!("note {}", self.fate.number(0..=1000));
                stage.vars.insert("note".to_owned(), note);
                stage.choose = *self.fate.one_of(&[Choose::Latest, Choose::Queue]);
                self.store.put_stage(&project, stage, &edit);
            }
            _ => {
                let warehouse = self.fate.one_of(&pipeline.warehouses).name.clone();
                self.store.ask_refresh(&project, &warehouse, self.now);
            }
        }
        self.watch.changed();
    }

    /// Somebody changes a branch or a state past Lockstep.
    pub(crate) fn stranger(&mut self) {
        let index = self.fate.index(self.pipelines.len());
        let project = self.pipelines[index].project.clone();
        let stage = self.fate.one_of(&self.pipelines[index].stages).name.clone();
        let number = self.fate.number(0..=9);
        let value = format!("by hand {number}");
        self.trace(|| format!("{project}: a stranger changes something of {stage}"));
        let gitops = pipeline::gitops(&project);
        match self.fate.number(0..=4) {
            0 | 1 => self.outside.push_by_hand(&gitops, "README#text", &value),
            2 => self.outside.push_by_hand(&gitops, &format!("{stage}.yaml#tag"), &value),
            3 => self.outside.push_by_hand(&pipeline::infra(&project), "module#size", &value),
            _ => {
                let which = self.fate.index(64);
                self.outside.drift(which, (number < 5).then_some(&value));
            }
        }
    }

    /// The caretaker puts the definitions back, approves what waits, and promotes the newest freight where it is not.
    pub(crate) fn take_care(&mut self) {
        self.define_everything();
        for index in 0..self.pipelines.len() {
            let project = self.pipelines[index].project.clone();
            let waiting: Vec<(PromotionId, String)> = self
                .store
                .project(&project)
                .promotions
                .iter()
                .filter(|(_, saga)| saga.state.phase() == Phase::Waiting)
                .filter_map(|(id, saga)| {
                    Some((id.clone(), saga.state.change_set.as_ref()?.digest.clone()))
                })
                .collect();
            for (id, digest) in waiting {
                for (who, groups) in &PEOPLE[..3] {
                    self.approve(&project, &id, who, groups, digest.clone());
                }
            }
            for (id, step, is_approval) in self.questions(&project) {
                let said = if is_approval { Said::Approved } else { given(3) };
                self.answer(&project, &id, &step, PEOPLE[0], &said);
            }
            for (stage, freight) in self.missing(&project) {
                self.promote(&project, &stage, &[freight], "carl", None);
            }
        }
        self.after_people();
    }

    /// The newest freight of each warehouse, for the stages that do not have it.
    pub(crate) fn missing(&self, project: &ProjectName) -> Vec<(StageName, FreightId)> {
        let found = self.store.project(project);
        let mut missing = Vec::new();
        for (name, stage) in &found.definitions.stages {
            for request in &stage.spec.requests {
                let shelf = found.warehouses.get(&request.warehouse);
                let Some(newest) = shelf.and_then(|shelf| shelf.freight.last()) else { continue };
                let is_there = if stage.spec.is_control_flow() {
                    newest.verified_in.contains_key(name)
                } else {
                    newest.is_in(name) && newest.verified_in.contains_key(name)
                };
                if !is_there {
                    missing.push((name.clone(), newest.freight.id.clone()));
                }
            }
        }
        missing
    }
}
