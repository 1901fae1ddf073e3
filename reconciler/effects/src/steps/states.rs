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
    let broken_off = async {
        match interrupt {
            Some(interrupt) => interrupt.cancelled().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        held = taken(effects, cx, step, &name, call.lock_timeout, runs) => held,
        () = broken_off => Err(Halt::Interrupted),
        () = effects.cancel().cancelled() => Err(Halt::Interrupted),
    }
}

/// Looks at least once, however short the patience is.
async fn taken(
    effects: &Scoped,
    cx: &RunContext,
    step: &StepName,
    name: &StateName,
    patience: Duration,
    runs: Option<&Path>,
) -> Result<Held, Halt> {
    let until = tokio::time::Instant::now() + patience;
    loop {
        let (wanted, cx, step) = (name.clone(), cx.clone(), step.clone());
        let runs = runs.map(Path::to_owned);
        let held = effects.states().work(move |states| {
            states.hold(&wanted, (&cx.promotion, &step), runs.as_deref(), cx.now)
        });
        let now = tokio::time::Instant::now();
        match held.await {
            Err(error @ StateError::Locked { .. }) if now >= until => {
                return Err(Halt::of(&error, true));
            }
            Err(StateError::Locked { .. }) => {}
            ended => return ended.map_err(|error| Halt::of(&error, true)),
        }
        tokio::time::sleep_until(until.min(now + LOOK_AGAIN)).await;
    }
}

/// Looks at the state before it is planned against. What is wrong with its versions is logged; where there is no
/// state, nothing is planned until it is known that there was none.
pub(super) async fn look(
    effects: &Scoped,
    cx: &RunContext,
    name: &StateName,
    held: &Held,
) -> Result<(), Halt> {
    let (wanted, own, at) = (name.clone(), held.id().to_owned(), cx.now);
    let looked = effects.states().work(move |states| {
        let kept = states.keep_under(Some(&own), &wanted, &Maker::Found, at);
        kept.map(drop).map_err(|error| (error, states.is_there(&wanted)))
    });
    match looked.await {
        Ok(()) => Ok(()),
        Err((error, true)) => {
            untold(name, &error);
            Ok(())
        }
        Err((error, false)) => Err(Halt::of(&error, matches!(error, StateError::Files(_)))),
    }
}

/// Keeps the state that a run has left. Where that fails the run counts all the same, and the next look keeps it.
pub(super) async fn keep(
    effects: &Scoped,
    cx: &RunContext,
    name: &StateName,
    by: &Maker,
    held: Option<&Held>,
) {
    let (wanted, by, at) = (name.clone(), by.clone(), cx.now);
    let own = held.map(|held| held.id().to_owned());
    let kept = effects
        .states()
        .work(move |states| states.keep_under(own.as_deref(), &wanted, &by, at))
        .await;
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
