//! The embedded state that a module works on: looked at before and after each run, and kept as versions.

use reconciler_domain::id::StepName;
use reconciler_domain::step::PlanCall;

use super::{Halt, RunContext};
use crate::scoped::Scoped;
use crate::states::{Maker, StateError, StateName};

/// The embedded state of a module.
pub(super) fn name(cx: &RunContext, call: &PlanCall) -> Result<StateName, Halt> {
    let workspace = call.options.workspace.as_deref();
    StateName::new(&cx.project, &cx.stage, &call.state, workspace).ok_or_else(|| {
        Halt::never(format_args!(
            "state name {:?} is empty or too long; give the step a short `state`",
            call.state
        ))
    })
}

/// What an apply makes.
pub(super) fn run(cx: &RunContext, step: &StepName) -> Maker {
    Maker::Run { promotion: cx.promotion.clone(), step: step.clone() }
}

/// Looks at the state before it is planned against.
pub(super) async fn look(effects: &Scoped, cx: &RunContext, name: &StateName) -> Result<(), Halt> {
    let (wanted, at) = (name.clone(), cx.now);
    let kept = effects.states().work(move |states| states.keep(&wanted, &Maker::Found, at)).await;
    match kept {
        Ok(_) => Ok(()),
        Err(error @ StateError::Gone { .. }) => Err(Halt::never(error)),
        Err(error) => {
            untold(name, &error);
            Ok(())
        }
    }
}

/// Keeps the state that a run has left. Where that fails the run counts all the same, and the next look keeps it.
pub(super) async fn keep(effects: &Scoped, cx: &RunContext, name: &StateName, by: &Maker) {
    let (wanted, by, at) = (name.clone(), by.clone(), cx.now);
    let kept = effects.states().work(move |states| states.keep(&wanted, &by, at)).await;
    if let Err(error) = kept {
        untold(name, &error);
    }
}

/// Keeps the state that a run could not write, and says so for people.
pub(super) async fn keep_unwritten(
    effects: &Scoped,
    cx: &RunContext,
    step: &StepName,
    name: &StateName,
    state: Vec<u8>,
) -> String {
    let by = Maker::Unwritten { promotion: cx.promotion.clone(), step: step.clone() };
    let (wanted, at) = (name.clone(), cx.now);
    let kept =
        effects.states().work(move |states| states.keep_unwritten(&wanted, &state, &by, at)).await;
    match kept {
        Ok(version) => format!(
            "; the tool could not write the state: it is kept as version {} of {name}, and is put back unless \
             something else has written the state since",
            version.number
        ),
        Err(error) => format!("; the tool could not write the state, and {error}"),
    }
}

fn untold(name: &StateName, error: &StateError) {
    tracing::warn!(%name, %error, "no version of the state is kept");
}
