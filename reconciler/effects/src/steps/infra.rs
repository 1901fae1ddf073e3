//! Planning a module and reading its outputs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use reconciler_domain::id::StepName;
use reconciler_domain::infra;
use reconciler_domain::step::{
    ImportCall, LockFile, ModuleOptions, PlanCall, PlanGoal, PlanRecord, PlanText, PlannedOutput,
    Record, allows_version,
};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::revealed::Revealed;
use super::workspace::{Workspace, rel_path};
use super::{Done, Halt, RunContext, states, unchanged, vault};
use crate::infra::backend::{self, Backend};
use crate::infra::imports;
use crate::infra::{
    Containment, InfraError, Module, Plan, PlanMode, PlanOptions, State, StateId, Tool,
};
use crate::layout::{make_private_dir, plain};
use crate::sandbox::{Network, Reach};
use crate::scoped::Scoped;
use crate::workdir::WorkDir;

/// What a plan is called before it is stored, in the tool's private directory.
const DRAFT: &str = "draft.tfplan";

/// What a change says of values: they, and what says of the same keys that they are secret or unknown.
const VALUES: [&str; 5] =
    ["before", "after", "before_sensitive", "after_sensitive", "after_unknown"];

pub(super) async fn plan(
    effects: &Scoped,
    cx: &RunContext,
    workspace: &Workspace<'_>,
    step: &StepName,
    call: &PlanCall,
) -> Result<Done, Halt> {
    let dir = workspace.take().await?;
    let module = module(effects, cx, workspace, &dir, call).await?;
    // What the apply cannot open is told before anybody is asked.
    reveal(effects, "apply_secrets", &call.options.apply_secrets, &mut BTreeMap::new())?;
    // Before anything is written beside its files.
    let inputs = unchanged::inputs(effects, &dir, &module, call).await;
    let held = if module.state == State::Declared {
        None
    } else {
        let held = states::hold(effects, cx, step, call, None, None).await?;
        states::look(effects, cx, &states::name(cx, call)?, &held).await?;
        Some(held)
    };
    if let Some(record) = unchanged::found(effects, cx, call, inputs.as_deref()).await? {
        return Ok(planned(record));
    }
    imports::write(&module.dir, &call.options.imports).map_err(|error| halt(&error))?;
    init(effects, &module).await?;
    let options = PlanOptions {
        variables: call.vars.clone(),
        var_files: var_files(&dir, call)?,
        ..towards(call, module.scratch.join(DRAFT))
    };
    let made = module.plan(&options, effects.cancel()).await.map_err(|error| halt(&error))?;
    let file = vault::store(effects, cx, step, &made, &module.dir).await?;
    let unread = |error| Halt::never(format_args!("plan of {}: {error}", call.dir));
    let read = infra::Plan::parse(made.json.as_bytes()).map_err(unread)?;
    let record = PlanRecord {
        call: call.clone(),
        file_digest: made.digest.clone(),
        file,
        summary: told(effects, &made).map_err(unread)?,
        semantic_digest: read.semantic_digest(effects.hash_key()),
        outputs: read.outputs().into_iter().map(|(name, value)| (name, known(value))).collect(),
        state: state_of(&made),
        text: Some(PlanText::of(effects.clean(made.text.trim_start_matches('\n')))),
        inputs,
    };
    if held.is_some() && !record.summary.has_changes {
        let (name, inputs) = (states::name(cx, call)?, record.inputs.as_deref());
        unchanged::note(effects, cx, step, &name, inputs, held.as_ref()).await;
    }
    Ok(planned(record))
}

fn planned(record: PlanRecord) -> Done {
    let summary = &record.summary;
    let outputs = [
        ("create", json!(summary.create)),
        ("update", json!(summary.update)),
        ("replace", json!(summary.replace)),
        ("delete", json!(summary.delete)),
        ("has_changes", json!(summary.has_changes)),
        ("digest", json!(record.semantic_digest)),
        ("unchanged", json!(summary.unchanged.is_some())),
    ];
    Done::new(outputs, Record::Plan(Box::new(record)))
}

/// Looks whether a module can be told what to import: the plans that follow do it.
pub(super) fn import(dir: &WorkDir, call: &ImportCall) -> Result<Done, Halt> {
    let module = dir
        .resolve(&rel_path(&call.dir)?)
        .map_err(|error| Halt::never(format_args!("module directory {:?}: {error}", call.dir)))?;
    imports::has_none(&module).map_err(|error| halt(&error))?;
    Ok(Done::new([], Record::Imports(call.clone())))
}

/// What the plan would do, for people and rules. Secrets are taken out before values are shortened: a part of
/// one would not be known for one. What rules read, such as addresses and actions, stays: a secret that looks like it
/// must not hide a change.
fn told(effects: &Scoped, made: &Plan) -> Result<infra::PlanSummary, infra::PlanError> {
    Ok(infra::Plan::from_value(&clean_values(effects, made))?.summary())
}

/// A plan as JSON, the values of its changes without secrets.
pub(super) fn clean_values(effects: &Scoped, made: &Plan) -> Value {
    let mut document: Value = serde_json::from_str(&made.json).unwrap_or_default();
    for list in ["resource_changes", "resource_drift"] {
        let changes = document.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for change in changes.filter_map(|resource| resource.get_mut("change")) {
            for part in VALUES {
                // Attributes have names of the provider's; only below them are there keys of the module's.
                let attributes = change.get_mut(part).and_then(Value::as_object_mut);
                for value in attributes.into_iter().flat_map(Map::values_mut) {
                    *value = effects.clean_json(value.take());
                }
            }
        }
    }
    document
}

/// What is planned, and where the plan goes.
fn towards(call: &PlanCall, out: PathBuf) -> PlanOptions {
    if !call.destroy.is_empty() {
        let targets = call.destroy.clone();
        return PlanOptions { mode: PlanMode::Destroy, targets, ..PlanOptions::new(out) };
    }
    let ModuleOptions { targets, replace, goal, .. } = call.options.clone();
    let mode = match goal {
        PlanGoal::Configuration => PlanMode::Normal,
        PlanGoal::Destruction => PlanMode::DestroyAll,
    };
    PlanOptions { mode, targets, replace, ..PlanOptions::new(out) }
}

fn state_of(plan: &Plan) -> Option<(String, u64)> {
    plan.state.as_ref().map(|StateId { lineage, serial }| (lineage.clone(), *serial))
}

fn known(output: infra::PlannedOutput) -> PlannedOutput {
    match output {
        infra::PlannedOutput { sensitive: true, .. } => PlannedOutput::Sensitive,
        infra::PlannedOutput { value: Some(value), .. } => PlannedOutput::Known(value),
        infra::PlannedOutput { value: None, .. } => PlannedOutput::Unknown,
    }
}

pub(super) fn var_files(dir: &WorkDir, call: &PlanCall) -> Result<Vec<PathBuf>, Halt> {
    let below = |file: &String| {
        // Alone first: joined, an absolute path would replace the module's.
        rel_path(file)?;
        let path = rel_path(&format!("{}/{file}", call.dir))?;
        dir.resolve(&path)
            .map_err(|error| Halt::never(format_args!("variable file {file:?}: {error}")))
    };
    call.var_files.iter().map(below).collect()
}

/// The outputs of a module's state. Sensitive ones are left out: outputs of steps are recorded.
pub(super) async fn output(
    effects: &Scoped,
    cx: &RunContext,
    workspace: &Workspace<'_>,
    call: &PlanCall,
) -> Result<Done, Halt> {
    let dir = workspace.take().await?;
    let module = module(effects, cx, workspace, &dir, call).await?;
    init(effects, &module).await?;
    let values = module.output(effects.cancel()).await.map_err(|error| halt(&error))?;
    let open = values.into_iter().filter(|(_, output)| !output.sensitive);
    let outputs: Map<String, Value> = open.map(|(name, output)| (name, output.value)).collect();
    Ok(Done { outputs, record: Record::None })
}

/// The module of a call, ready for [`init`].
pub(super) async fn module(
    effects: &Scoped,
    cx: &RunContext,
    workspace: &Workspace<'_>,
    dir: &WorkDir,
    call: &PlanCall,
) -> Result<Module, Halt> {
    let path = dir
        .resolve(&rel_path(&call.dir)?)
        .map_err(|error| Halt::never(format_args!("module directory {:?}: {error}", call.dir)))?;
    let options = &call.options;
    let state = match backend::of_module(&path).map_err(|error| Halt::of(&error, false))? {
        Backend::None if options.backend_config.is_empty() => {
            State::Embedded(embedded(effects, cx, call)?)
        }
        Backend::None => {
            return Err(Halt::never(format_args!(
                "backend_config: module {:?} declares no backend, so there is nothing to set: declare \
                 one in it, such as `terraform {{ backend \"s3\" {{}} }}`, or leave this away",
                call.dir
            )));
        }
        Backend::Declared(_) | Backend::Cloud => State::Declared,
    };
    let tool = effects.tool(call.tool.as_deref()).await.map_err(|error| Halt::of(&error, false))?;
    allowed(&tool, options.version.as_deref())?;
    Ok(Module {
        env: environment(effects, options)?,
        state,
        workspace: options.workspace.clone(),
        backend_config: backend_config(effects, options)?,
        containment: Some(containment(effects, dir)),
        plugin_cache: plugin_cache(effects, cx)?,
        providers: effects.providers().cloned(),
        lock_file_readonly: options.lock_file == LockFile::Readonly,
        lock_timeout: call.lock_timeout,
        deadline: call.timeout,
        ..Module::new(tool, path, workspace.scratch(&scratch_name(call)?))
    })
}

/// Refuses a tool whose version is none of those that the step allows.
fn allowed(tool: &Tool, wanted: Option<&str>) -> Result<(), Halt> {
    let Some(wanted) = wanted else { return Ok(()) };
    if allows_version(wanted, &tool.version.to_string()) == Some(true) {
        return Ok(());
    }
    Err(Halt::never(format_args!(
        "version: the step wants {} {wanted}, and {} is {}: nothing was run; install another one, or change \
         the step",
        tool.kind,
        tool.path.display(),
        tool.version,
    )))
}

/// The module with what its apply may have beside what its plan has.
pub(super) fn to_apply(effects: &Scoped, module: Module, call: &PlanCall) -> Result<Module, Halt> {
    let mut env = module.env;
    reveal(effects, "apply_secrets", &call.options.apply_secrets, &mut env)?;
    Ok(Module { env, ..module })
}

/// The daemon's environment for infra runs, the step's, and its secrets.
fn environment(
    effects: &Scoped,
    options: &ModuleOptions,
) -> Result<BTreeMap<String, String>, Halt> {
    let mut env = effects.infra_env().clone();
    env.extend(options.env.clone());
    reveal(effects, "secrets", &options.secrets, &mut env)?;
    Ok(env)
}

fn reveal(
    effects: &Scoped,
    argument: &'static str,
    secrets: &BTreeMap<String, String>,
    env: &mut BTreeMap<String, String>,
) -> Result<(), Halt> {
    for (name, reference) in secrets {
        let secret = effects
            .secret(reference)
            .map_err(|error| Halt::never(format_args!("{argument}.{name}: {error}")))?;
        env.insert(name.clone(), secret.expose().to_owned());
    }
    Ok(())
}

/// The settings of the backend, with their secrets.
fn backend_config(effects: &Scoped, options: &ModuleOptions) -> Result<Map<String, Value>, Halt> {
    let revealed = Revealed::open_own(effects, &options.backend_secrets)?;
    let settings = options.backend_config.iter();
    Ok(settings.map(|(name, value)| (name.clone(), revealed.json(value))).collect())
}

fn containment(effects: &Scoped, dir: &WorkDir) -> Containment {
    let settings = effects.sandbox_settings();
    Containment {
        sandbox: effects.sandbox().clone(),
        tree: dir.path().to_owned(),
        read: settings.read.clone(),
        write: settings.write.clone(),
        limits: Containment::LIMITS,
        network: match settings.infra_network {
            Reach::None => Network::None,
            Reach::Egress => Network::Egress(effects.egress().clone()),
            Reach::Host => Network::Host,
        },
    }
}

/// The providers that infra runs of the project share; another project's code must not reach them.
fn plugin_cache(effects: &Scoped, cx: &RunContext) -> Result<Option<PathBuf>, Halt> {
    let Some(cache) = effects.plugin_cache() else { return Ok(None) };
    let own = cache.join(cx.project.as_str());
    make_private_dir(&own).map_err(|error| {
        Halt::later(format_args!("plugin cache {} cannot be made: {error}", own.display()))
    })?;
    Ok(Some(own))
}

/// The file of the embedded state.
pub(super) fn embedded(
    effects: &Scoped,
    cx: &RunContext,
    call: &PlanCall,
) -> Result<PathBuf, Halt> {
    effects.layout().state(&cx.project, &cx.stage, &call.state).ok_or_else(|| {
        Halt::never(format_args!(
            "state name {:?} is empty or too long; give the step a short `state`",
            call.state
        ))
    })
}

/// What the tool keeps of a module is kept for each state alone: it remembers its backend and workspace.
fn scratch_name(call: &PlanCall) -> Result<String, Halt> {
    let ModuleOptions { workspace, backend_config, .. } = &call.options;
    let mut name = plain(&call.dir)
        .ok_or_else(|| Halt::never(format_args!("module directory {:?} is too long", call.dir)))?;
    if workspace.is_some() || !backend_config.is_empty() || call.state != call.dir {
        let said = json!([workspace, backend_config, call.state]).to_string();
        name = format!("{name}@{}", &vault::hex(&Sha256::digest(said))[..16]);
    }
    Ok(name)
}

/// Prepares a module. What fails here is mostly the way to a registry, so it may pass.
pub(super) async fn init(effects: &Scoped, module: &Module) -> Result<(), Halt> {
    match module.init(effects.cancel()).await {
        Ok(_) => Ok(()),
        Err(error @ InfraError::Failed { .. }) => match &module.providers {
            Some(providers) if error.misses_a_provider() => {
                Err(Halt::never(format_args!("{}; {}", crate::explain(&error), providers.told())))
            }
            Some(_) | None => Err(Halt::of(&error, true)),
        },
        Err(error) => Err(halt(&error)),
    }
}

pub(super) fn halt(error: &InfraError) -> Halt {
    Halt::of(error, error.is_retryable())
}
