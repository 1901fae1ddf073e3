//! What steps ask people.

use std::collections::BTreeSet;

use reconciler_api::v1::{self, QuestionKind};
use reconciler_domain::id::StepName;
use reconciler_domain::promotion::State;
use reconciler_domain::step::AskCall;

/// Says on the wire what a step asks at this moment.
pub(super) fn question(step: &StepName, state: &State) -> Option<v1::Question> {
    let (ask, digest) = state.question(step)?;
    let answered: BTreeSet<String> =
        state.answers_to(&digest).into_iter().map(|answer| answer.by).collect();
    let (kind, groups, schema) = match ask {
        AskCall::Approval(call) => (QuestionKind::Approval, call.groups.clone(), None),
        AskCall::Input(call) => {
            let groups = call.groups.iter().map(|group| (group.clone(), 1)).collect();
            (QuestionKind::Input, groups, Some(call.schema.clone()))
        }
    };
    Some(v1::Question {
        kind,
        digest,
        message: ask.message().to_owned(),
        groups,
        answered: answered.into_iter().collect(),
        schema,
        until: ask.until(),
    })
}
