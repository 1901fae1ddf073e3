//! What people agreed to, and what it is worth.

use reconciler_api::v1::{Evidence, SignedStatement};
use reconciler_domain::id::FreightId;
use reconciler_domain::promotion::{Signature, Signed, Standing, Stated, Statement};
use reconciler_domain::step::Said;

use super::table;
use crate::commands::Verdict;

/// What people said, as far as it can be read; nobody has checked the signatures.
pub(crate) fn said(evidence: &Evidence) -> String {
    let Evidence { project, promotion, freight, statements, .. } = evidence;
    let head = format!("{project}/{promotion}, freight {}", super::short(freight));
    if statements.is_empty() {
        return format!("{head}\nnobody has agreed to it");
    }
    let lines = statements.iter().map(|statement| match signed(statement).statement() {
        Ok(statement) => in_words(&statement),
        Err(error) => error.to_string(),
    });
    [head].into_iter().chain(lines).collect::<Vec<_>>().join("\n")
}

/// What checking came to.
pub(crate) fn verdict(verdict: &Verdict) -> String {
    let mark = |is_true: bool| if is_true { "true" } else { "NOT TRUE" }.to_owned();
    let change_set = verdict.change_set.iter().map(|set| {
        let what = if set.is_true { "is of this content" } else { "is of another content" };
        vec![mark(set.is_true), format!("the digest {} {what}", set.digest), "-".to_owned()]
    });
    let statements = verdict.statements.iter().map(|statement| {
        let mark = if statement.is_void { "void".to_owned() } else { mark(statement.is_true) };
        let key = statement.key.clone().unwrap_or_else(|| "-".to_owned());
        vec![mark, statement.text.clone(), key]
    });
    let rows: Vec<Vec<String>> = change_set.chain(statements).collect();
    let approved = match verdict.approved_by.as_slice() {
        [] => "nobody is known to have approved what it does".to_owned(),
        people => format!("what it does was approved by {}", people.join(", ")),
    };
    let head = format!("{}: {approved}", verdict.promotion);
    if rows.is_empty() { head } else { format!("{head}\n\n{}", table(&["", "WHAT", "KEY"], rows)) }
}

/// What one statement is worth, in words.
pub(crate) fn standing(standing: &Standing) -> String {
    match standing {
        Standing::Holds { statement, is_void: false, .. } => in_words(statement),
        Standing::Holds { statement, is_void: true, .. } => {
            format!("{}, which is not what it does now", in_words(statement))
        }
        Standing::Unsigned { by } if by.is_empty() => "a statement that nobody signed".to_owned(),
        Standing::Unsigned { by } => {
            format!("a statement that none of the given keys signed; it names {}", by.join(", "))
        }
        Standing::Elsewhere { statement } => {
            let Statement { project, promotion, freight, along, .. } = &**statement;
            let brought = std::iter::once(freight).chain(along).map(FreightId::short);
            let brought = brought.collect::<Vec<_>>().join(" and ");
            format!("a statement about {project}/{promotion} with freight {brought}")
        }
        Standing::Unreadable(error) => format!("no statement: {error}"),
    }
}

fn in_words(statement: &Statement) -> String {
    let Statement { by, groups, at, comment, said, .. } = statement;
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    let who = if groups.is_empty() { by.clone() } else { format!("{by} ({})", groups.join(", ")) };
    let what = match said {
        Stated::Approved { change_set } => format!("approved change set {change_set}"),
        Stated::Answered { step, answer, .. } => match answer {
            Said::Approved => format!("approved step {step}"),
            Said::Refused => format!("refused step {step}"),
            Said::Given(_) => format!("gave the values of step {step}"),
        },
    };
    let comment = comment.as_ref().map(|text| format!(", saying {text:?}")).unwrap_or_default();
    format!("{who} {what} at {at}{comment}")
}

fn signed(statement: &SignedStatement) -> Signed {
    let SignedStatement { payload_type, payload, signatures } = statement;
    let signature = |it: &reconciler_api::v1::StatementSignature| Signature {
        keyid: it.keyid.clone(),
        sig: it.sig.clone(),
    };
    Signed {
        payload_type: payload_type.clone(),
        payload: payload.clone(),
        signatures: signatures.iter().map(signature).collect(),
    }
}
