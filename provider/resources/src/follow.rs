//! Following a promotion until it ends, and telling how it ended.
//!
//! A daemon that restarts meanwhile is waited for: the promotion goes on when it is back.

use std::time::Duration;

use provider_protocol::Diagnostics;
use provider_protocol::cty::Path;
use provider_protocol::provider::Progress;
use reconciler_api::client::ClientError;
use reconciler_api::problem::ProblemCode;
use reconciler_api::v1::{EventsQuery, Phase, Promotion, PromotionEvent};
use reconciler_domain::duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::failure::detail;
use crate::session::Session;
use crate::words::sentence;

/// How long the daemon is asked to wait for an event.
const LONG_POLL: Duration = Duration::from_secs(20);
/// How long a daemon that cannot be reached is waited for.
const OUTAGE_MAX: Duration = Duration::from_secs(60);
/// The pause between attempts to reach it.
const OUTAGE_PAUSE: Duration = Duration::from_secs(1);

/// How long the last look at a promotion may take that nobody waits for.
const LAST_LOOK: Duration = Duration::from_secs(2);

/// How the following ended; with the promotion as it was last seen.
#[derive(Debug)]
pub(crate) enum Followed {
    /// The promotion ended.
    Ended(Promotion),
    /// It goes on, but the time is up.
    TimedOut(Promotion),
    /// It goes on, but the user does not wait for it.
    Interrupted(Promotion),
    /// The daemon could not be asked any more.
    Lost(Promotion, ClientError),
}

/// How long to follow a promotion, and what ends it early.
#[derive(Clone, Copy)]
pub(crate) struct Patience<'p> {
    /// How long.
    pub(crate) timeout: Duration,
    /// Cancelled when the user interrupts.
    pub(crate) cancel: &'p CancellationToken,
    /// Where each event is told, where the client listens.
    pub(crate) progress: Option<&'p Progress>,
}

/// Follows a promotion until it ends, telling each event once.
pub(crate) async fn follow(
    session: &Session,
    begun: Promotion,
    patience: Patience<'_>,
) -> Followed {
    let mut watch = Watch {
        session,
        seen: begun,
        after: None,
        outage: None,
        deadline: Instant::now() + patience.timeout,
    };
    loop {
        let step = tokio::select! {
            step = watch.step(patience.progress) => step,
            () = patience.cancel.cancelled() => {
                watch.look_once_more().await;
                return Followed::Interrupted(watch.seen);
            }
        };
        match step {
            Ok(true) => return Followed::Ended(watch.seen),
            Ok(false) if Instant::now() >= watch.deadline => {
                watch.look_once_more().await;
                return Followed::TimedOut(watch.seen);
            }
            Ok(false) => {}
            Err(error) => return Followed::Lost(watch.seen, error),
        }
    }
}

struct Watch<'s> {
    session: &'s Session,
    seen: Promotion,
    /// The number of the last event that was told.
    after: Option<u64>,
    /// Since when the daemon cannot be reached.
    outage: Option<Instant>,
    deadline: Instant,
}

impl Watch<'_> {
    /// Waits for events, and looks; whether the promotion ended and all was told.
    async fn step(&mut self, progress: Option<&Progress>) -> Result<bool, ClientError> {
        let ended = self.seen.phase.is_finished();
        let left = self.deadline.saturating_duration_since(Instant::now());
        // Whole seconds, and at least one, so that the last stretch is no busy loop.
        let wait = if ended || self.after.is_none() {
            Duration::ZERO
        } else {
            left.clamp(Duration::from_secs(1), LONG_POLL)
        };
        let seconds = u32::try_from(wait.as_secs()).unwrap_or(EventsQuery::WAIT_SECONDS_MAX);
        let query = EventsQuery { after: self.after, wait: Some(seconds) };
        let (project, id) = (self.seen.project.clone(), self.seen.id.clone());
        let events = self.session.api.promotion_events(&project, &id, &query).await;
        let Some(events) = self.reached(events).await? else { return Ok(false) };
        for event in &events {
            report(event, progress).await;
        }
        self.after = Some(events.last().map_or(self.after.unwrap_or(0), |event| event.seq));
        if ended && events.is_empty() {
            return Ok(true);
        }
        let seen = self.session.api.promotion(&project, &id).await;
        if let Some(seen) = self.reached(seen).await? {
            self.seen = seen;
        }
        Ok(false)
    }

    /// Looks at it as it is now, if that is quick: nobody waits any longer.
    async fn look_once_more(&mut self) {
        let (project, id) = (self.seen.project.clone(), self.seen.id.clone());
        let look = self.session.api.promotion(&project, &id);
        if let Ok(Ok(seen)) = tokio::time::timeout(LAST_LOOK, look).await {
            self.seen = seen;
        }
    }

    /// What was answered; none after a pause if the daemon cannot be reached for a while.
    async fn reached<T>(
        &mut self,
        answer: Result<T, ClientError>,
    ) -> Result<Option<T>, ClientError> {
        match answer {
            Ok(answer) => {
                self.outage = None;
                Ok(Some(answer))
            }
            Err(error) if !is_away(&error) => Err(error),
            Err(error) => {
                let since = *self.outage.get_or_insert_with(Instant::now);
                if since.elapsed() > OUTAGE_MAX || Instant::now() >= self.deadline {
                    return Err(error);
                }
                tokio::time::sleep(OUTAGE_PAUSE).await;
                Ok(None)
            }
        }
    }
}

async fn report(event: &PromotionEvent, progress: Option<&Progress>) {
    let step = event.step.as_ref().map(|step| format!("{step}: ")).unwrap_or_default();
    let line = format!("{step}{}", event.message);
    tracing::debug!(seq = event.seq, line, "promotion");
    if let Some(progress) = progress {
        progress.report(line).await;
    }
}

/// What to do about a promotion, by whoever follows it.
pub(crate) struct Advice {
    /// How to wait on, in a sentence.
    pub(crate) again: &'static str,
    /// How to have another, as in `mend the cause, then …`.
    pub(crate) another: &'static str,
    /// What to do where other freight took its place, in a sentence.
    pub(crate) superseded: &'static str,
}

/// Tells how the following ended, unless the promotion succeeded.
pub(crate) fn tell(
    followed: &Followed,
    timeout: Duration,
    advice: &Advice,
    diags: &mut Diagnostics,
) {
    let again = advice.again;
    match followed {
        Followed::Ended(ended) => tell_ended(ended, advice, diags),
        Followed::TimedOut(seen) => {
            let summary = format!("Promotion {} is still {}", seen.id, words(seen.phase));
            let mut lines = vec![format!(
                "It did not end within {}. It exists and goes on by itself.",
                duration::print(timeout)
            )];
            lines.extend(why_it_waits(seen));
            lines.push(again.to_owned());
            diags.error(summary, lines.join("\n\n"));
        }
        Followed::Interrupted(seen) => {
            let text = format!(
                "Promotion {} was {} when the wait was interrupted. It goes on by itself; \
                 `lockstep abort {} --reason …` stops it.\n\n{again}",
                seen.id,
                words(seen.phase),
                seen.id
            );
            diags.error("Interrupted while waiting for a promotion", text);
        }
        Followed::Lost(seen, error) => {
            let text = format!(
                "{}\n\nPromotion {} was {} when it was last seen, and goes on by itself.\n\n{again}",
                detail(error),
                seen.id,
                words(seen.phase)
            );
            diags.error(format!("Cannot follow promotion {}", seen.id), text);
        }
    }
}

/// Tells how a promotion ended that did not succeed: why, what is left, what to do.
fn tell_ended(ended: &Promotion, advice: &Advice, diags: &mut Diagnostics) {
    let id = &ended.id;
    let Advice { another, superseded, .. } = advice;
    let what_to_do = match ended.phase {
        Phase::Succeeded
        | Phase::Preparing
        | Phase::Waiting
        | Phase::Committing
        | Phase::Verifying
        | Phase::Unwinding => return,
        Phase::Failed => format!(
            "What was done stays. `lockstep get promotions {id}` shows each step; mend the cause, \
             then {another}."
        ),
        Phase::RolledBack => format!(
            "All that has an undo was undone. `lockstep get promotions {id}` shows each step; mend \
             the cause, then {another}."
        ),
        Phase::Stuck => format!(
            "A person must look: `lockstep get promotions {id}` shows what is left. Automation on \
             the stage is held until `lockstep hold lift --stage {} --reason …`.",
            ended.stage
        ),
        Phase::Aborted => sentence(another),
        Phase::Superseded => {
            format!("Other freight took its place before it committed. {superseded}")
        }
        Phase::Expired => format!(
            "It waited for longer than its policies let it, and changed nothing. See to what it \
             waited for, then {another}."
        ),
        Phase::Rehearsed => {
            format!("It was a rehearsal, which brings nothing. {}", sentence(another))
        }
        Phase::Inconclusive => format!(
            "The freight is in stage {}, but nothing proves that it works. Mend the verification, \
             then {another}.",
            ended.stage
        ),
    };
    let mut lines: Vec<String> = ended.error.iter().map(|error| sentence(error)).collect();
    let steps = ended.steps.iter().filter_map(|step| {
        let error = step.error.as_ref()?;
        Some(format!("Step {} ({}): {error}", step.name, step.state))
    });
    // The message of the promotion often is that of its step.
    let said = ended.error.clone().unwrap_or_default();
    lines.extend(steps.filter(|step| !said.contains(step.split(": ").nth(1).unwrap_or(step))));
    if !ended.remaining.is_empty() {
        lines.push(format!("What is left: {}.", ended.remaining.join("; ")));
    }
    lines.push(what_to_do);
    diags.error_at(
        Path::root(),
        format!("Promotion {id} did not succeed: {}", words(ended.phase)),
        lines.join("\n\n"),
    );
}

/// Whether the daemon may be back soon.
fn is_away(error: &ClientError) -> bool {
    error.is_unreachable() || error.code() == Some(ProblemCode::Unavailable)
}

/// Why a promotion waits, and what people can do about it.
fn why_it_waits(seen: &Promotion) -> Vec<String> {
    if seen.waiting.is_empty() {
        return Vec::new();
    }
    let reasons = seen.waiting.iter().map(|waiting| {
        let until = waiting.until.map(|until| format!(", until {until}")).unwrap_or_default();
        format!("  - {}{until}", waiting.message)
    });
    let mut lines = vec![format!("It waits:\n{}", reasons.collect::<Vec<_>>().join("\n"))];
    if seen.waiting.iter().any(|waiting| waiting.reason == "ApprovalsMissing") {
        lines.push(format!(
            "`lockstep diff {0}` shows what is to be approved, `lockstep approve {0}` approves it.",
            seen.id
        ));
    }
    lines
}

fn words(phase: Phase) -> String {
    phase.as_str().replace('_', " ")
}

impl Followed {
    /// The promotion as it was last seen.
    pub(crate) fn promotion(self) -> Promotion {
        match self {
            Self::Ended(seen)
            | Self::TimedOut(seen)
            | Self::Interrupted(seen)
            | Self::Lost(seen, _) => seen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADVICE: Advice =
        Advice { again: "Wait on.", another: "do it over", superseded: "Take that." };

    /// What is told of a promotion that ended in this phase.
    fn told(phase: Phase) -> String {
        let ended = serde_json::from_value(serde_json::json!({
            "id": "dev.1", "project": "shop", "stage": "dev", "freight": "abcd", "collection": {},
            "phase": phase.as_str(), "requester": "ada", "reason": null, "bypass": null,
            "change_set": null, "gates": [], "approvals": [], "steps": [], "measurements": [],
            "waiting": [], "error": null, "remaining": [], "token": "1",
            "created_at": "2026-01-02T03:04:05Z", "committed_at": null, "finished_at": null,
        }));
        let followed = Followed::Ended(ended.expect("it is a promotion"));
        let mut diags = Diagnostics::new();
        tell(&followed, Duration::ZERO, &ADVICE, &mut diags);
        diags.iter().map(|it| it.detail.clone()).collect()
    }

    #[test]
    fn what_to_do_is_said_by_whoever_follows() {
        for (phase, part) in [
            (Phase::Failed, "then do it over."),
            (Phase::RolledBack, "then do it over."),
            (Phase::Aborted, "Do it over."),
            (Phase::Superseded, "Take that."),
            (Phase::Expired, "then do it over."),
            (Phase::Rehearsed, "Do it over."),
            (Phase::Inconclusive, "then do it over."),
        ] {
            let told = told(phase);
            assert!(told.contains(part) && !told.contains("pply again"), "{phase:?}: {told}");
        }
        assert_eq!(told(Phase::Succeeded), "");
    }
}
