//! Calls about infra modules.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Arguments, CallError, WorkdirContext, mark};
use crate::step::infra::{INPUT_OF_PLAN, is_input, no_variable_of_infra, plain_path, wrong};
use crate::step::run::is_secret;
use crate::step::{
    ApplyCall, ImportCall, LockFile, ModuleOptions, OutputCall, PlanCall, PlanGoal, PlanRecord,
    Record, SkipUnchanged, StepKind,
};

/// Time to wait for a state's lock, where the step says nothing else.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);
/// Time for a plan, and for an apply, where the step says nothing else.
const TIMEOUT: Duration = Duration::from_secs(3600);

pub(super) fn plan(
    kind: StepKind,
    arguments: &Arguments<'_>,
    context: &WorkdirContext<'_>,
) -> Result<PlanCall, CallError> {
    let dir = arguments.text("dir")?;
    let mut options = options(kind, arguments)?;
    match kind {
        StepKind::TfDestroy => options.goal = PlanGoal::Destruction,
        _ => {
            options.imports = imports(&dir, context)?;
            let word = arguments.word(kind, "skip_unchanged")?;
            let skip = word.and_then(|word| SkipUnchanged::from_word(&word));
            options.skip_unchanged = skip.unwrap_or_default();
        }
    }
    let state = arguments.optional_text("state")?.unwrap_or_else(|| dir.clone());
    Ok(PlanCall {
        vars: arguments.values("vars")?,
        var_files: arguments.texts("var_files")?,
        state,
        tool: arguments.word(kind, "tool")?,
        lock_timeout: arguments.duration("lock_timeout")?.unwrap_or(LOCK_TIMEOUT),
        timeout: arguments.duration("timeout")?.unwrap_or(TIMEOUT),
        destroy: Vec::new(),
        options,
        dir,
    })
}

fn options(kind: StepKind, arguments: &Arguments<'_>) -> Result<ModuleOptions, CallError> {
    let (env, secrets) = (arguments.expressions("env")?, secrets(arguments, "secrets")?);
    let apply_secrets = self::secrets(arguments, "apply_secrets")?;
    // The names may be known only now.
    for (map, named) in [("env", &env), ("secrets", &secrets), ("apply_secrets", &apply_secrets)] {
        for name in named.keys() {
            let late = (map == "apply_secrets" && is_input(name)).then_some(INPUT_OF_PLAN);
            if let Some(message) = no_variable_of_infra(name).or(late) {
                let (path, message) = (format!("{map}.{name}"), message.to_owned());
                return Err(CallError::Infra { path, message });
            }
        }
    }
    let lock_file = arguments.word(kind, "lock_file")?;
    Ok(ModuleOptions {
        version: held(arguments, "version")?,
        workspace: held(arguments, "workspace")?,
        backend_config: arguments.values("backend_config")?,
        backend_secrets: Vec::new(),
        env,
        secrets,
        apply_secrets,
        targets: all_held(arguments, "targets")?,
        replace: all_held(arguments, "replace")?,
        lock_file: lock_file.and_then(|word| LockFile::from_word(&word)).unwrap_or_default(),
        goal: PlanGoal::Configuration,
        imports: BTreeMap::new(),
        skip_unchanged: SkipUnchanged::default(),
    })
}

/// Variables that hold secrets.
fn secrets(arguments: &Arguments<'_>, map: &str) -> Result<BTreeMap<String, String>, CallError> {
    let secrets = arguments.expressions(map)?;
    match secrets.iter().find(|(_, reference)| !is_secret(reference)) {
        None => Ok(secrets),
        Some((name, reference)) => {
            let (path, expected) = (format!("{map}.{name}"), "CREDENTIAL/KEY");
            Err(CallError::Type { path, expected, found: reference.clone() })
        }
    }
}

/// What the steps before have the plans of a module import.
fn imports(dir: &str, context: &WorkdirContext<'_>) -> Result<BTreeMap<String, String>, CallError> {
    let mut imports = BTreeMap::new();
    let wanted = context.records.values().filter_map(Record::as_imports);
    for (address, id) in
        wanted.filter(|wanted| plain_path(&wanted.dir) == plain_path(dir)).flat_map(|w| &w.imports)
    {
        let other = imports.insert(address.clone(), id.clone());
        if let Some(other) = other.filter(|other| other != id) {
            let message =
                format!("steps before this one import {address} both as {other:?} and as {id:?}");
            return Err(CallError::Infra { path: "dir".to_owned(), message });
        }
    }
    Ok(imports)
}

pub(super) fn import(arguments: &Arguments<'_>) -> Result<ImportCall, CallError> {
    let imports = arguments.expressions("imports")?;
    let misfit = imports.keys().find_map(|address| Some((address, wrong("imports", address)?)));
    if let Some((address, message)) = misfit {
        return Err(CallError::Infra { path: format!("imports.{address}"), message });
    }
    Ok(ImportCall { dir: arguments.text("dir")?, imports })
}

/// A text that the tool takes for what it is meant to be.
fn held(arguments: &Arguments<'_>, name: &str) -> Result<Option<String>, CallError> {
    let Some(text) = arguments.optional_text(name)? else { return Ok(None) };
    match wrong(name, &text) {
        Some(message) => Err(CallError::Infra { path: name.to_owned(), message }),
        None => Ok(Some(text)),
    }
}

fn all_held(arguments: &Arguments<'_>, name: &str) -> Result<Vec<String>, CallError> {
    let texts = arguments.texts(name)?;
    let first = texts.iter().enumerate().find_map(|(at, text)| Some((at, wrong(name, text)?)));
    match first {
        Some((at, message)) => Err(CallError::Infra { path: format!("{name}[{at}]"), message }),
        None => Ok(texts),
    }
}

pub(super) fn apply(
    arguments: &Arguments<'_>,
    context: &WorkdirContext<'_>,
) -> Result<ApplyCall, CallError> {
    let plan = named(arguments.text("plan")?, context)?;
    let run = mark(context.promotion, context.step).replace('/', "-");
    Ok(ApplyCall { plan: plan.to_apply(), run })
}

pub(super) fn output(
    arguments: &Arguments<'_>,
    context: &WorkdirContext<'_>,
) -> Result<OutputCall, CallError> {
    let dir = arguments.text("dir")?;
    if let Some(name) = arguments.optional_text("plan")? {
        let plan = named(name.clone(), context)?;
        if plan.call.dir != dir {
            return Err(CallError::OtherModule { name, planned: plan.call.dir.clone(), dir });
        }
        return Ok(OutputCall { plan: plan.call.clone() });
    }
    let planned = |plan: &&PlanRecord| plan.call.dir == dir;
    let record = context.records.values().rev().filter_map(Record::as_plan).find(planned);
    match record {
        Some(plan) => Ok(OutputCall { plan: plan.call.clone() }),
        None => Err(CallError::NotPlanned { dir }),
    }
}

fn named<'a>(name: String, context: &'a WorkdirContext<'_>) -> Result<&'a PlanRecord, CallError> {
    let plan = context.records.get(name.as_str()).and_then(Record::as_plan);
    plan.ok_or(CallError::NoPlan { name })
}
