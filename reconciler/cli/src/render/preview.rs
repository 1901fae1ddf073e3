//! What changes would do, and would have done.

use reconciler_api::problem::FieldProblem;
use reconciler_api::v1::{Effect, PreviewWarning, Replay, Witness};

use super::age::instant;
use super::{joined, list, or_dash, section, short};
use crate::commands::Judged;

/// Everything that is said of each project.
pub(crate) fn text(judged: &[Judged]) -> String {
    if judged.iter().all(|it| it.changes.is_empty() && it.left_out.is_empty()) {
        return "the plan changes nothing that is previewed".to_owned();
    }
    let texts: Vec<String> = judged.iter().map(one).collect();
    texts.join("\n\n")
}

fn one(judged: &Judged) -> String {
    let Judged { project, changes, left_out, preview } = judged;
    let count = match changes.len() {
        1 => "1 change".to_owned(),
        count => format!("{count} changes"),
    };
    let mut sections = vec![format!("{count} of project {project}")];
    sections.push(list("not judged", left_out));
    let problems = preview.problems.iter().map(|it| problem(it, changes)).collect::<Vec<_>>();
    sections.push(list("cannot stand", &problems));
    let header = ["STAGE", "EFFECT", "FREIGHT", "PROMOTION", "UNTIL", "WHY"];
    sections.push(section("effects", &header, preview.effects.iter().map(effect).collect()));
    let warnings = preview.warnings.iter().map(|it| warning(it, changes)).collect::<Vec<_>>();
    sections.push(list("warnings", &warnings));
    sections.extend(preview.replay.as_ref().map(replay));
    if problems.is_empty() && preview.effects.is_empty() && preview.warnings.is_empty() {
        sections.insert(1, "no live freight is touched".to_owned());
    }
    sections.retain(|section| !section.is_empty());
    sections.join("\n\n")
}

/// `changes[2].soak` as the address of the change and the field.
fn place(path: &str, changes: &[String]) -> String {
    let (number, field) = match path.strip_prefix("changes[").and_then(|rest| rest.split_once(']'))
    {
        Some((number, field)) => (number.parse::<usize>().ok(), field.trim_start_matches('.')),
        None => (None, path),
    };
    match (number.and_then(|number| changes.get(number)), field) {
        (Some(address), "") => address.clone(),
        (Some(address), field) => format!("{address}: {field}"),
        (None, field) => field.to_owned(),
    }
}

fn problem(problem: &FieldProblem, changes: &[String]) -> String {
    let hint = problem.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{}: {}{hint}", place(&problem.path, changes), problem.message)
}

fn warning(warning: &PreviewWarning, changes: &[String]) -> String {
    format!("{}: {}: {}", place(&warning.path, changes), warning.summary, warning.detail)
}

fn effect(effect: &Effect) -> Vec<String> {
    vec![
        effect.stage.clone(),
        effect.effect.to_string(),
        or_dash(effect.freight.as_deref().map(short)),
        or_dash(effect.promotion.clone()),
        or_dash(effect.until.map(instant)),
        effect.reason.clone(),
    ]
}

fn replay(replay: &Replay) -> String {
    let Replay { judged, passed, blocked, unknown, complete, witnesses } = replay;
    if *judged == 0 {
        return "no promotion to these stages has ever committed".to_owned();
    }
    let which = if *complete { "all" } else { "the newest" };
    let line = format!(
        "of {which} {judged} promotions of the past, {passed} would have passed, {blocked} would \
         have been blocked, {unknown} cannot be judged"
    );
    let header = ["PROMOTION", "COMMITTED", "GATE", "VERDICT", "POLICY", "WHY"];
    let found = section("witnesses", &header, witnesses.iter().map(witness).collect());
    if found.is_empty() { line } else { format!("{line}\n\n{found}") }
}

fn witness(witness: &Witness) -> Vec<String> {
    vec![
        witness.promotion.clone(),
        instant(witness.at),
        or_dash(witness.gate.map(|gate| gate.to_string())),
        witness.verdict.to_string(),
        joined(witness.policies.iter().cloned()),
        witness.reason.clone(),
    ]
}
