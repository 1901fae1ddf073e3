//! A policy judged on facts that somebody states: the unit test of a policy.
//!
//! The facts have the form in which people write them ([`StatedFreight`], [`StatedFacts`]); the gates
//! are those of the reconciler ([`gates`]), on a world made of nothing but what is stated. What is not
//! stated is not known: an infra rule without a plan is unknown, not passed.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::artifact::{Artifact, GitCommit, ImageVersion};
use crate::freight::{Freight, FreightFacts, Stay};
use crate::gate::{Facts, Gate, gates};
use crate::hold::AutomaticHold;
use crate::id::{Principal, PromotionId, StageName, StepName, SubscriptionName, WarehouseName};
use crate::infra::{Cost, Plan};
use crate::inquiry::{Context, Reply, Said, Standing, askers, stated};
use crate::policy::{GateKind, Joined, Policy};
use crate::promotion::{
    Approval, BypassRequest, ChangeSet, InfraChange, PlannedStep, Promotion, StepPlan,
};
use crate::snapshot::{Committed, Defined};
use crate::stage::{Choose, Matching, Request, Stage};
use crate::step::StepKind;

/// Freight as it is stated: what `data.lockstep_freight` gives, or as much of it as matters.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StatedFreight {
    /// Its warehouse; any if absent.
    pub warehouse: Option<WarehouseName>,
    /// When it was made; the instant of the facts if absent.
    pub created_at: Option<Timestamp>,
    /// Its versions, by subscription.
    pub artifacts: IndexMap<SubscriptionName, StatedArtifact>,
    /// What it went through, by stage.
    pub stages: BTreeMap<StageName, StatedStay>,
    /// Not looked at.
    pub project: Option<Value>,
    /// Not looked at.
    pub id: Option<Value>,
    /// Not looked at.
    pub full_id: Option<Value>,
    /// Not looked at.
    pub short_id: Option<Value>,
    /// Not looked at.
    pub stage: Option<Value>,
    /// Not looked at: no gate asks for names.
    pub aliases: Option<Value>,
    /// Not looked at: no gate asks for what steps noted.
    pub metadata: Option<Value>,
}

/// One version of freight. Its kind follows from what is stated.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StatedArtifact {
    /// `image` or `git`; if absent, an image has a tag.
    pub kind: Option<String>,
    /// The repository.
    pub repo: String,
    /// Of an image: its tag.
    pub tag: String,
    /// Of an image: its digest.
    pub digest: String,
    /// Of an image: not looked at, it follows from repository and tag.
    pub r#ref: Option<Value>,
    /// Of an image: when it was built.
    pub created_at: Option<Timestamp>,
    /// Of a commit: its branch.
    pub branch: String,
    /// Of a commit: its id.
    pub commit: String,
    /// Of a commit: the first line of its message.
    pub subject: String,
    /// Of a commit: who wrote it.
    pub author: String,
    /// Of a commit: when.
    pub committed_at: Option<Timestamp>,
}

/// What freight went through in one stage.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StatedStay {
    /// When it came.
    pub entered_at: Option<Timestamp>,
    /// When it was replaced.
    pub left_at: Option<Timestamp>,
    /// When the stage verified it.
    pub verified_at: Option<Timestamp>,
    /// When a person made it available to the stage.
    pub approved_at: Option<Timestamp>,
}

/// Everything else that gates look at.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedFacts {
    /// The instant at which is judged.
    pub at: Timestamp,
    /// The stage that the freight would go to.
    pub stage: StageName,
    /// The stage's variables.
    #[serde(default)]
    pub vars: BTreeMap<String, String>,
    /// The stages that the freight has to come from; without any, it comes straight from its
    /// warehouse.
    #[serde(default)]
    pub from: Vec<StageName>,
    /// Whether all of them have to vouch for it; else any.
    #[serde(default)]
    pub match_all: bool,
    /// How many of them have to, if it is neither one nor all.
    #[serde(default)]
    pub at_least: Option<u32>,
    /// Who asks for the promotion; automation if absent.
    #[serde(default)]
    pub requester: Option<String>,
    /// Their groups.
    #[serde(default)]
    pub groups: BTreeSet<String>,
    /// The gates that they ask to skip.
    #[serde(default)]
    pub bypass: BTreeSet<GateKind>,
    /// Who approved the change set.
    #[serde(default)]
    pub approvals: Vec<StatedApproval>,
    /// Who changed the policy last.
    #[serde(default)]
    pub policy_author: Option<String>,
    /// Whether the promotion is prepared, so that what it will do is known.
    #[serde(default = "yes")]
    pub prepared: bool,
    /// What those answer who are asked about tickets, by name: `status`, `headers`, `body`, `json`.
    #[serde(default)]
    pub tickets: BTreeMap<String, Value>,
    /// What attestations say, by name.
    #[serde(default)]
    pub attestations: BTreeMap<String, Value>,
    /// Its infra plans as JSON (`terraform show -json`), by directory.
    #[serde(default)]
    pub plans: BTreeMap<String, Value>,
    /// What their estimates say, by directory.
    #[serde(default)]
    pub costs: BTreeMap<String, Cost>,
    /// Promotions that committed before.
    #[serde(default)]
    pub commits: Vec<StatedCommit>,
    /// Why automation is held on the stage, if it is.
    #[serde(default)]
    pub hold: Option<String>,
}

fn yes() -> bool {
    true
}

/// Somebody's approval.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedApproval {
    /// Who.
    pub by: String,
    /// Their groups.
    #[serde(default)]
    pub groups: BTreeSet<String>,
}

/// A promotion that committed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedCommit {
    /// When.
    pub at: Timestamp,
    /// Where to; the stage of the facts if absent.
    #[serde(default)]
    pub stage: Option<StageName>,
    /// Whether it is over.
    #[serde(default = "yes")]
    pub over: bool,
}

/// Why facts cannot be judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvaluateError {
    /// The policy is about other stages.
    #[error("the policy does not select stage {stage}: it selects {}", .patterns.join(", "))]
    NotSelected {
        /// The stage of the facts.
        stage: StageName,
        /// What the policy selects.
        patterns: Vec<String>,
    },
    /// A plan cannot be read.
    #[error("plans[{dir:?}] is no plan as JSON: {reason}")]
    Plan {
        /// The directory.
        dir: String,
        /// Why.
        reason: String,
    },
}

/// Judges every gate of the policy.
///
/// # Errors
/// The policy does not select the stage, or a plan cannot be read.
pub fn evaluate(
    policy: &Policy,
    freight: &StatedFreight,
    facts: &StatedFacts,
) -> Result<Vec<Gate>, EvaluateError> {
    if !policy.selects(&facts.stage) {
        let (stage, patterns) = (facts.stage.clone(), policy.stages.clone());
        return Err(EvaluateError::NotSelected { stage, patterns });
    }
    let freight = stated_freight(freight, facts);
    let policies = [policy.clone()];
    let joined = Joined::of(&policies, &facts.stage);
    let change_set = change_set(facts, &freight.freight)?;
    let digest = change_set.as_ref().map(|set| set.digest.clone()).unwrap_or_default();
    let author = facts.policy_author.clone().map_or(Principal::Automation, Principal::Named);
    let defined =
        [Defined { spec: policy.clone(), generation: 1, changed_at: facts.at, changed_by: author }];
    let hold = facts.hold.as_ref().map(|reason| AutomaticHold {
        reason: reason.clone(),
        by: Principal::Automation,
        at: facts.at,
    });
    let approvals: Vec<Approval> = facts.approvals.iter().map(|a| approval(a, &digest)).collect();
    let promotion = promotion(facts, &freight.freight);
    let said = said(policy, facts, &freight.freight, promotion.as_ref());
    let judged = Facts {
        stage: &stage(facts, &freight.freight.warehouse),
        joined: &joined,
        policies: &defined,
        freight: &freight,
        along: &[],
        promotion: promotion.as_ref(),
        change_set: change_set.as_ref(),
        approvals: &approvals,
        automatic_hold: hold.as_ref(),
        holds: &[],
        freezes: &[],
        brings: &[],
        companions: &BTreeMap::new(),
        commits: &commits(facts),
        drift: None,
        said: &said,
        prepared_at: None,
    };
    Ok(gates(&judged, facts.at))
}

/// What is stated of the tickets and attestations of the policy; of the others nobody was asked.
fn said(
    policy: &Policy,
    facts: &StatedFacts,
    freight: &Freight,
    promotion: Option<&Promotion>,
) -> Vec<Said> {
    let requester = promotion.map_or(Principal::Automation, |it| it.requester.clone());
    let values = [
        ("freight", freight.scope()),
        ("vars", json!(facts.vars)),
        ("stage", json!({ "name": facts.stage })),
        ("promotion", json!({ "requester": requester.to_string() })),
    ];
    let context = Context {
        values: values.map(|(name, value)| (name.to_owned(), value)).into(),
        freight: BTreeMap::from([(freight.warehouse.to_string(), freight.scope())]),
    };
    let judge = |conditions, name, answer: Option<&Value>| {
        let Some(answer) = answer else { return Standing::Unasked };
        let (measured, detail) = stated(conditions, &context, name, answer.clone());
        let reply = Reply { inquiry: String::new(), at: facts.at, measured, detail };
        Standing::Fresh { reply, again: None }
    };
    let tickets = policy.tickets.iter().map(|it| {
        let conditions = (&it.success, it.failure.as_ref());
        judge(conditions, "response", facts.tickets.get(&it.name))
    });
    let attestations = policy
        .attestations
        .iter()
        .map(|it| judge((&it.success, None), "payload", facts.attestations.get(&it.name)));
    let standings = tickets.chain(attestations);
    askers(policy).zip(standings).map(|(asker, standing)| Said { asker, standing }).collect()
}

fn stated_freight(stated: &StatedFreight, facts: &StatedFacts) -> FreightFacts {
    let warehouse =
        stated.warehouse.clone().unwrap_or_else(|| "warehouse".parse().expect("a word is a name"));
    let artifacts: IndexMap<SubscriptionName, Artifact> = stated
        .artifacts
        .iter()
        .map(|(name, artifact)| (name.clone(), stated_artifact(artifact, facts.at)))
        .collect();
    let mut freight = FreightFacts::new(Freight {
        id: Freight::id_of(&warehouse, &artifacts),
        warehouse,
        artifacts,
        created_at: stated.created_at.unwrap_or(facts.at),
        sequence: 1,
    });
    for (stage, stay) in &stated.stages {
        freight.verified_in.extend(stay.verified_at.map(|at| (stage.clone(), at)));
        freight.approved_for.extend(stay.approved_at.map(|at| (stage.clone(), at)));
        // Who says only that a stage vouches for it says that it is there since then.
        if let Some(entered_at) = stay.entered_at.or(stay.verified_at) {
            freight.stays.insert(stage.clone(), vec![Stay { entered_at, left_at: stay.left_at }]);
        }
    }
    freight
}

fn stated_artifact(stated: &StatedArtifact, at: Timestamp) -> Artifact {
    let is_image = stated.kind.as_deref().map_or(!stated.tag.is_empty(), |kind| kind == "image");
    if is_image {
        return Artifact::Image(ImageVersion {
            repo: stated.repo.clone(),
            tag: stated.tag.clone(),
            digest: stated.digest.clone(),
            created_at: stated.created_at,
        });
    }
    Artifact::Git(GitCommit {
        repo: stated.repo.clone(),
        branch: stated.branch.clone(),
        commit: stated.commit.clone(),
        subject: stated.subject.clone(),
        author: stated.author.clone(),
        committed_at: stated.committed_at.unwrap_or(at),
    })
}

fn stage(facts: &StatedFacts, warehouse: &WarehouseName) -> Stage {
    let request = Request {
        warehouse: warehouse.clone(),
        direct: facts.from.is_empty(),
        from: facts.from.clone(),
        matching: match facts.at_least {
            Some(count) => Matching::AtLeast(count),
            None if facts.match_all => Matching::All,
            None => Matching::Any,
        },
    };
    Stage {
        name: facts.stage.clone(),
        labels: BTreeMap::new(),
        vars: facts.vars.clone(),
        settable_vars: Vec::new(),
        requests: vec![request],
        steps: Vec::new(),
        verifications: Vec::new(),
        drift: None,
        choose: Choose::Latest,
        deletion_protection: false,
    }
}

fn promotion(facts: &StatedFacts, freight: &Freight) -> Option<Promotion> {
    let requester = facts.requester.clone()?;
    let bypass = (!facts.bypass.is_empty()).then(|| BypassRequest {
        gates: facts.bypass.clone(),
        groups: facts.groups.clone(),
        reason: "stated".to_owned(),
        expires: None,
    });
    Some(Promotion {
        rehearsal: false,
        id: PromotionId::new(&facts.stage, u64::MAX),
        stage: facts.stage.clone(),
        freight: freight.id.clone(),
        warehouse: freight.warehouse.clone(),
        along: BTreeMap::new(),
        requester: Principal::Named(requester),
        groups: facts.groups.clone(),
        reason: None,
        vars: BTreeMap::new(),
        bypass,
        rollback: false,
        created_at: facts.at,
    })
}

fn change_set(facts: &StatedFacts, freight: &Freight) -> Result<Option<ChangeSet>, EvaluateError> {
    if !facts.prepared {
        return Ok(None);
    }
    let (mut infra, mut steps) = (Vec::new(), Vec::new());
    for (dir, plan) in &facts.plans {
        let read = Plan::from_value(plan)
            .map_err(|error| EvaluateError::Plan { dir: dir.clone(), reason: error.to_string() })?;
        let step: StepName = format!("plan{}", infra.len()).parse().expect("a word is a name");
        steps.extend(facts.costs.get(dir).map(|cost| applied(&step, *cost)));
        let (summary, digest) = (read.summary(), read.semantic_digest(&[]));
        infra.push(InfraChange { step, dir: dir.clone(), summary, digest });
    }
    let collection = IndexMap::from([(freight.warehouse.clone(), freight.id.clone())]);
    Ok(Some(ChangeSet::new(collection, steps, Vec::new(), infra, Vec::new())))
}

/// The apply of a plan, with what is estimated of it.
fn applied(plan: &StepName, cost: Cost) -> PlannedStep {
    PlannedStep {
        name: format!("{plan}-apply").parse().expect("a word is a name"),
        uses: StepKind::TfApply,
        config: serde_json::json!({ "plan": plan, "cost": cost }),
        plan: StepPlan::Effect,
        when: None,
        within: Vec::new(),
        lane: None,
    }
}

fn approval(stated: &StatedApproval, digest: &str) -> Approval {
    Approval {
        by: stated.by.clone(),
        groups: stated.groups.clone(),
        digest: digest.to_owned(),
        comment: None,
        signed: None,
    }
}

fn commits(facts: &StatedFacts) -> Vec<Committed> {
    let commit = |(number, stated): (u64, &StatedCommit)| {
        let stage = stated.stage.as_ref().unwrap_or(&facts.stage);
        Committed {
            promotion: PromotionId::new(stage, number),
            stage: stage.clone(),
            at: stated.at,
            over: stated.over,
        }
    };
    (1..).zip(&facts.commits).map(commit).collect()
}
