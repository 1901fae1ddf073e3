//! Calls that ask people.

use std::collections::{BTreeMap, BTreeSet};

use super::arguments::Arguments;
use super::wait::at_timeout;
use super::{CallError, WorkdirContext};
use crate::policy::Excluded;
use crate::step::{ApprovalCall, AskCall, Form, InputCall, StepKind};

/// Most people of one group that a step may ask for.
const PEOPLE_MAX: u64 = 100;

pub(super) fn approval(
    arguments: &Arguments<'_>,
    context: &WorkdirContext<'_>,
) -> Result<AskCall, CallError> {
    let mut groups = BTreeMap::new();
    for (group, count) in arguments.map("groups")? {
        let path = format!("groups.{group}");
        let people = count.as_u64().filter(|count| (1..=PEOPLE_MAX).contains(count));
        let people = people.and_then(|count| u32::try_from(count).ok());
        let wrong = || CallError::Range { path, max: PEOPLE_MAX, found: count.to_string() };
        groups.insert(group.clone(), people.ok_or_else(wrong)?);
    }
    Ok(AskCall::Approval(ApprovalCall {
        message: arguments.text("message")?,
        groups,
        exclude: excluded(arguments)?,
        until: context.after(arguments.duration("timeout")?.unwrap_or_default()),
        at_timeout: at_timeout(arguments, StepKind::WaitForApproval)?,
    }))
}

pub(super) fn input(
    arguments: &Arguments<'_>,
    context: &WorkdirContext<'_>,
) -> Result<AskCall, CallError> {
    let schema = arguments.given("schema").cloned().unwrap_or_default();
    if let Err(misfits) = Form::parse(&schema) {
        let message: Vec<String> = misfits.iter().map(ToString::to_string).collect();
        return Err(CallError::Form { message: message.join("; ") });
    }
    Ok(AskCall::Input(InputCall {
        message: arguments.text("message")?,
        schema,
        groups: arguments.texts("groups")?.into_iter().collect(),
        until: context.after(arguments.duration("timeout")?.unwrap_or_default()),
        at_timeout: at_timeout(arguments, StepKind::GetInput)?,
    }))
}

fn excluded(arguments: &Arguments<'_>) -> Result<BTreeSet<Excluded>, CallError> {
    let excluded = arguments.texts("exclude")?.into_iter().map(|word| match word.as_str() {
        "requester" => Ok(Excluded::Requester),
        "commit_author" => Ok(Excluded::CommitAuthor),
        _ => Err(CallError::Type {
            path: "exclude".to_owned(),
            expected: "requester or commit_author",
            found: word,
        }),
    });
    excluded.collect()
}
