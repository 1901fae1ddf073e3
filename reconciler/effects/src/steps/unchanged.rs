//! Plans that need not be made: everything that they are made of, and the state, are as they were left.

use std::collections::BTreeMap;

use reconciler_domain::id::StepName;
use reconciler_domain::infra::{PlanDigest, PlanSummary};
use reconciler_domain::step::{PlanCall, PlanRecord, PlanText, PlannedOutput, SkipUnchanged};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Halt, RunContext, blocking, states};
use crate::infra::inputs::{self, Inputs, Said};
use crate::infra::{Module, State};
use crate::scoped::Scoped;
use crate::states::{By, Document, Held, Known, StateName};
use crate::workdir::WorkDir;

/// The name of all that a plan of this module is made of; absent: not all of it can be named, or its state is not
/// the daemon's to know.
pub(super) async fn inputs(
    effects: &Scoped,
    dir: &WorkDir,
    module: &Module,
    call: &PlanCall,
) -> Option<String> {
    if module.state == State::Declared {
        return None;
    }
    let PlanCall { vars, var_files, dir: below, destroy, options, .. } = call;
    let said: Said = BTreeMap::from([
        ("vars", json!(vars.iter().collect::<BTreeMap<_, _>>())),
        ("var_files", json!(var_files)),
        ("dir", json!(below)),
        ("destroy", json!(destroy)),
        ("targets", json!(options.targets)),
        ("replace", json!(options.replace)),
        ("goal", json!(options.goal)),
        ("imports", json!(options.imports)),
        ("lock_file", json!(options.lock_file)),
    ]);
    let (module, tree, key) = (module.clone(), dir.path().to_owned(), effects.hash_key().to_vec());
    let told = blocking(move || inputs::inputs(&module, &tree, &said, &key)).await;
    match told {
        Ok(Inputs::Known(name)) => Some(name),
        Ok(Inputs::Unknown(why)) => {
            tracing::debug!(dir = call.dir, why, "what the plan is made of cannot all be named");
            None
        }
        // Whoever made the files may have made some that the daemon cannot read; the tool has its own say.
        Err(error) => {
            tracing::debug!(dir = call.dir, %error, "what the plan is made of cannot be read");
            None
        }
    }
}

/// What takes the place of a plan that is not made; absent: it has to be.
pub(super) async fn found(
    effects: &Scoped,
    cx: &RunContext,
    call: &PlanCall,
    inputs: Option<&str>,
) -> Result<Option<PlanRecord>, Halt> {
    let (SkipUnchanged::Always, Some(inputs)) = (call.options.skip_unchanged, inputs) else {
        return Ok(None);
    };
    let name = states::name(cx, call)?;
    let known = effects.states().work(move |states| states.known(&name)).await;
    let known = known.unwrap_or_else(|error| {
        tracing::warn!(%error, "it is not known what the state is the result of, so it is planned");
        None
    });
    let record = known
        .filter(|(known, _)| known.inputs == inputs)
        .and_then(|(known, state)| record(effects, call, &known, &state));
    Ok(record)
}

/// The outputs that a state holds.
#[derive(Deserialize)]
struct Outputs {
    #[serde(default)]
    outputs: BTreeMap<String, Output>,
}

#[derive(Deserialize)]
struct Output {
    value: Value,
    #[serde(default)]
    sensitive: bool,
}

fn record(effects: &Scoped, call: &PlanCall, known: &Known, state: &[u8]) -> Option<PlanRecord> {
    // Nobody reads what the tool encrypted.
    let document = Document::parse(state).ok().filter(|document| !document.encrypted)?;
    let outputs = serde_json::from_slice::<Outputs>(state).ok()?.outputs;
    let planned = |output: Output| {
        if output.sensitive { PlannedOutput::Sensitive } else { PlannedOutput::Known(output.value) }
    };
    let Known { promotion, step, at, inputs, .. } = known;
    let since = format!(
        "not planned, because its inputs and its state are those that step {step} of promotion {promotion} left \
         at {at}"
    );
    Some(PlanRecord {
        call: call.clone(),
        // There is no file: what has no changes needs none.
        file_digest: String::new(),
        file: String::new(),
        text: Some(PlanText::of(format!("Unchanged: {since}.\n"))),
        summary: PlanSummary {
            no_op: u32::try_from(document.resources).unwrap_or(u32::MAX),
            unchanged: Some(since),
            ..PlanSummary::default()
        },
        semantic_digest: PlanDigest::of_nothing(effects.hash_key()),
        outputs: outputs.into_iter().map(|(name, output)| (name, planned(output))).collect(),
        state: Some((document.lineage, document.serial)),
        inputs: Some(inputs.clone()),
    })
}

/// Forgets what the state is the result of, before an apply starts: it may end half-way, or never be heard of again.
pub(super) async fn forget(effects: &Scoped, name: &StateName, held: &Held) -> Result<(), Halt> {
    let (name, own) = (name.clone(), held.id().to_owned());
    let forgotten = effects.states().work(move |states| states.forget(&own, &name));
    forgotten.await.map_err(|error| Halt::of(&error, true))
}

/// Notes what the state that is there is the result of. Without that the next plan is made, and nothing is lost.
pub(super) async fn note(
    effects: &Scoped,
    cx: &RunContext,
    step: &StepName,
    name: &StateName,
    inputs: Option<&str>,
    held: Option<&Held>,
) {
    let (Some(inputs), Some(held)) = (inputs, held) else { return };
    let (name, inputs, own) = (name.clone(), inputs.to_owned(), held.id().to_owned());
    let (cx, step) = (cx.clone(), step.clone());
    let noted = effects.states().work(move |states| {
        let by = By { inputs: &inputs, promotion: &cx.promotion, step: &step, at: cx.now };
        states.note(&own, &name, &by)
    });
    if let Err(error) = noted.await {
        tracing::warn!(%error, "it is not noted what the state is the result of");
    }
}
