//! Whether a person may answer the question of a step so.

use serde_json::json;

use crate::artifact::Artifact;
use crate::gate::is_author;
use crate::id::{Principal, PromotionId, StepName};
use crate::policy::Excluded;
use crate::promotion::Event;
use crate::snapshot::PromotionSnapshot;
use crate::step::{Answer, ApprovalCall, AskCall, Form, InputCall, Said};

/// Most bytes of a comment: it becomes an output of the step, and those are bounded.
const COMMENT_MAX: usize = 2048;
/// Most bytes of the values that a person gives, as JSON, for the same reason.
const VALUES_MAX: usize = 64 << 10;

/// Why an answer is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The step asks nothing now.
    #[error("step {step} of promotion {promotion} asks nothing at this moment")]
    NotAsked {
        /// The promotion.
        promotion: PromotionId,
        /// The step.
        step: StepName,
    },
    /// The answer is to another question than the present one.
    #[error("step {step} asks something else by now: look at it and answer {present}")]
    OtherQuestion {
        /// The step.
        step: StepName,
        /// Digest of the question.
        present: String,
    },
    /// Values for an approval, or the other way round.
    #[error("step {step} asks for {wanted}")]
    OtherKind {
        /// The step.
        step: StepName,
        /// What it asks for.
        wanted: &'static str,
    },
    /// Whoever answers is not asked.
    #[error("step {step} is for people of {groups}")]
    NotInGroup {
        /// The step.
        step: StepName,
        /// The groups.
        groups: String,
    },
    /// Whoever answers is excluded.
    #[error("{by} may not approve step {step}: {why}")]
    Excluded {
        /// Who.
        by: String,
        /// The step.
        step: StepName,
        /// Why.
        why: &'static str,
    },
    /// The same person approved before.
    #[error("{by} has approved step {step} already")]
    Again {
        /// Who.
        by: String,
        /// The step.
        step: StepName,
    },
    /// There is too much of it.
    #[error("the {what} for step {step} may have {max} bytes, as JSON")]
    TooLong {
        /// The step.
        step: StepName,
        /// What is too long.
        what: &'static str,
        /// The limit, in bytes.
        max: usize,
    },
    /// The values are not what the step asks for.
    #[error("the values are not what step {step} asks for: {}", .misfits.join("; "))]
    Misfit {
        /// The step.
        step: StepName,
        /// What is wrong with them, each with its place.
        misfits: Vec<String>,
    },
}

/// A person's answer to the question of a step. Values are kept with the defaults of what was not given.
///
/// # Errors
/// The step does not ask this, or not them, or not for this.
pub fn answer(snapshot: &PromotionSnapshot, mut answer: Answer) -> Result<Event, AnswerError> {
    let step = || answer.step.clone();
    let Some((ask, present)) = snapshot.state.question(&answer.step) else {
        let promotion = snapshot.promotion.id.clone();
        return Err(AnswerError::NotAsked { promotion, step: step() });
    };
    if present != answer.question {
        return Err(AnswerError::OtherQuestion { step: step(), present });
    }
    if !ask.may_answer(&answer.groups) {
        let groups: Vec<&str> = ask.groups().into_iter().collect();
        return Err(AnswerError::NotInGroup { step: step(), groups: groups.join(", ") });
    }
    check_length(&answer)?;
    match (ask, &answer.said) {
        (AskCall::Approval(call), Said::Approved) => approves(snapshot, call, &answer)?,
        // No needs no quorum, and everybody who may say yes may say it.
        (AskCall::Approval(_), Said::Refused) => {}
        (AskCall::Input(call), Said::Given(given)) => {
            answer.said = Said::Given(filled(call, &answer.step, given)?);
        }
        (AskCall::Approval(_), Said::Given(_)) => {
            return Err(AnswerError::OtherKind { step: step(), wanted: "an approval" });
        }
        (AskCall::Input(_), Said::Approved | Said::Refused) => {
            return Err(AnswerError::OtherKind { step: step(), wanted: "values" });
        }
    }
    Ok(Event::Answered(Box::new(answer)))
}

fn check_length(answer: &Answer) -> Result<(), AnswerError> {
    let long = |what, max| AnswerError::TooLong { step: answer.step.clone(), what, max };
    if answer.comment.as_ref().is_some_and(|comment| comment.len() > COMMENT_MAX) {
        return Err(long("comment", COMMENT_MAX));
    }
    match &answer.said {
        Said::Given(values) if json!(values).to_string().len() > VALUES_MAX => {
            Err(long("values", VALUES_MAX))
        }
        Said::Given(_) | Said::Approved | Said::Refused => Ok(()),
    }
}

fn approves(
    snapshot: &PromotionSnapshot,
    call: &ApprovalCall,
    answer: &Answer,
) -> Result<(), AnswerError> {
    let (by, step) = (|| answer.by.clone(), || answer.step.clone());
    for excluded in &call.exclude {
        if let Some(why) = is_excluded(snapshot, *excluded, &answer.by) {
            return Err(AnswerError::Excluded { by: by(), step: step(), why });
        }
    }
    // The same person in more groups says more: a token with fewer of them may have approved before.
    let given = |other: &Answer| {
        other.by == answer.by
            && other.said == Said::Approved
            && answer.groups.is_subset(&other.groups)
    };
    if snapshot.state.answers_to(&answer.question).iter().any(given) {
        return Err(AnswerError::Again { by: by(), step: step() });
    }
    Ok(())
}

fn is_excluded(
    snapshot: &PromotionSnapshot,
    excluded: Excluded,
    who: &str,
) -> Option<&'static str> {
    match excluded {
        Excluded::Requester => {
            let asked = snapshot.promotion.requester == Principal::Named(who.to_owned());
            asked.then_some("they asked for the promotion")
        }
        Excluded::CommitAuthor => {
            let artifacts = snapshot.promoted().flat_map(|facts| facts.freight.artifacts.values());
            let mut authors = artifacts.filter_map(Artifact::author);
            authors
                .any(|author| is_author(who, author))
                .then_some("they wrote a commit of the freight")
        }
        // A step has no policy; what a plan does beyond its envelope is asked for the policies.
        Excluded::PolicyAuthor => {
            let who = Principal::Named(who.to_owned());
            let policies = snapshot.policies.iter().filter(|policy| {
                policy.spec.selects(&snapshot.promotion.stage) && !policy.spec.approvals.is_empty()
            });
            let mut authors = policies.map(|policy| &policy.changed_by);
            authors.any(|author| *author == who).then_some("they wrote a policy that asks")
        }
    }
}

fn filled(
    call: &InputCall,
    step: &StepName,
    given: &serde_json::Map<String, serde_json::Value>,
) -> Result<serde_json::Map<String, serde_json::Value>, AnswerError> {
    let values = Form::parse(&call.schema).and_then(|form| form.fill(given));
    values.map_err(|misfits| AnswerError::Misfit {
        step: step.clone(),
        misfits: misfits.iter().map(ToString::to_string).collect(),
    })
}
