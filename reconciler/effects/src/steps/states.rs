//! The embedded state that a module works on: looked at before and after each run, and kept as versions.

use std::path::Path;
use std::time::Duration;

use reconciler_domain::id::StepName;
use reconciler_domain::step::PlanCall;
use tokio_util::sync::CancellationToken;

use super::{Halt, RunContext};
use crate::scoped::Scoped;
use crate::states::{Held, Maker, StateError, StateName};

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

/// How often a locked state is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Locks the state for a step, waiting as long as its plan says. `runs` is where its apply runs.
pub(super) async fn hold(
    effects: &Scoped,
    cx: &RunContext,
    step: &StepName,
    call: &PlanCall,
    runs: Option<&Path>,
    interrupt: Option<&CancellationToken>,
) -> Result<Held, Halt> {
    let name = name(cx, call)?;
    let looking = async {
        loop {
            let (name, cx, step) = (name.clone(), cx.clone(), step.clone());
            let runs = runs.map(Path::to_owned);
            let held = effects
                .states()
                .work(move |states| {
                    states.hold(&name, (&cx.promotion, &step), runs.as_deref(), cx.now)
                })
                .await;
            match held {
                Err(StateError::Locked { .. }) => {}
                ended => return ended,
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    let broken_off = async {
        match interrupt {
            Some(interrupt) => interrupt.cancelled().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        held = looking => held.map_err(|error| Halt::of(&error, true)),
        () = broken_off => Err(Halt::Interrupted),
        () = effects.cancel().cancelled() => Err(Halt::Interrupted),
        () = tokio::time::sleep(call.lock_timeout) => {
            let wanted = name.clone();
            Err(match effects.states().work(move |states| states.locked(&wanted)).await {
                Ok(Some(held)) => Halt::later(format_args!(
                    "the state of {name} is locked by {} ({}): {}",
                    held.who, held.operation, held.advice(&name)
                )),
                Ok(None) => Halt::later(format_args!("the state of {name} was locked until just now")),
                Err(error) => Halt::of(&error, true),
            })
        }
    }
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
) -> Result<String, StateError> {
    let by = Maker::Unwritten { promotion: cx.promotion.clone(), step: step.clone() };
    let (wanted, at) = (name.clone(), cx.now);
    let kept = effects
        .states()
        .work(move |states| states.keep_unwritten(&wanted, &state, &by, at))
        .await?;
    Ok(format!(
        "; the tool could not write the state: it is kept as version {} of {name}, and is put back unless \
         something else has written the state since",
        kept.number
    ))
}

fn untold(name: &StateName, error: &StateError) {
    tracing::warn!(%name, %error, "no version of the state is kept");
}
