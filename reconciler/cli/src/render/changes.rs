//! What a promotion will do.

use reconciler_api::v1::{ChangeSet, DeferredStep, FileChange, FullPlan, InfraPlan, PlannedCall};

use super::{indent, list};

/// Without the patches of files: what an approver is asked about.
pub(crate) fn summary(change_set: &ChangeSet) -> String {
    let files: Vec<String> = change_set.files.iter().map(file).collect();
    sections(change_set, list("files", &files))
}

/// With the patches of files.
pub(crate) fn full(change_set: &ChangeSet) -> String {
    let patches = change_set.files.iter().map(|it| match &it.patch {
        Some(patch) => format!("{}\n{}", file(it), indent(patch)),
        None => file(it),
    });
    sections(change_set, list("files", &patches.collect::<Vec<_>>()))
}

/// A plan as its tool shows it.
pub(crate) fn plan_text(plan: &FullPlan) -> String {
    let FullPlan { step, dir, workspace, text, text_bytes, cut, .. } = plan;
    let place = match workspace {
        Some(workspace) => format!("{step} in {dir}, workspace {workspace}"),
        None => format!("{step} in {dir}"),
    };
    let Some(text) = text else {
        return format!("{place}: its text was not kept");
    };
    let shown = format!("{place}\n{}", indent(text.trim_end()));
    if !cut {
        return shown;
    }
    format!("{shown}\n  … cut here: {} of {text_bytes} bytes are kept", text.len())
}

fn sections(change_set: &ChangeSet, files: String) -> String {
    let ChangeSet { digest, infra, calls, deferred, undo, .. } = change_set;
    let infra: Vec<String> = infra.iter().map(plan).collect();
    let calls: Vec<String> = calls.iter().map(call).collect();
    let deferred: Vec<String> = deferred.iter().map(deferral).collect();
    let undo = undo.iter().map(|it| {
        let mark = if it.possible { "" } else { "cannot be undone: " };
        format!("{}: {mark}{}", it.step, it.description)
    });
    let sections = [
        files,
        list("infrastructure", &infra),
        list("calls", &calls),
        list("known only while it happens", &deferred),
        list("undo would", &undo.collect::<Vec<_>>()),
        format!("digest {digest}"),
    ];
    let there: Vec<String> = sections.into_iter().filter(|it| !it.is_empty()).collect();
    there.join("\n")
}

fn file(file: &FileChange) -> String {
    let FileChange { repo, branch, path, old_blob, new_blob, .. } = file;
    let verb = match (old_blob, new_blob) {
        (None, _) => "new",
        (Some(_), None) => "removed",
        (Some(_), Some(_)) => "changed",
    };
    format!("{verb} {path} on {branch} of {repo}")
}

fn plan(plan: &InfraPlan) -> String {
    let InfraPlan { step, dir, create, update, replace, delete, lines, .. } = plan;
    let mut text = format!(
        "{step} in {dir}: {create} to create, {update} to update, \
         {replace} to replace, {delete} to delete"
    );
    for line in lines {
        text.push('\n');
        text.push_str(&indent(line));
    }
    text
}

fn call(call: &PlannedCall) -> String {
    format!("{}: {} {}", call.step, call.method, call.url)
}

fn deferral(deferred: &DeferredStep) -> String {
    let DeferredStep { step, uses, arguments, expressions } = deferred;
    let mut text = format!("{step} ({uses}) waits for {}", expressions.join(", "));
    for argument in arguments {
        text.push('\n');
        text.push_str(&indent(argument));
    }
    text
}
