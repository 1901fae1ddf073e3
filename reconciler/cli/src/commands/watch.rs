//! `lockstep watch`: follows a promotion until it ends.
//!
//! A daemon that restarts in the middle is waited for: the promotion goes on when it is back.

use std::time::Duration;

use clap::Args;
use reconciler_api::client::ClientError;
use reconciler_api::v1::{EventsQuery, Phase, Promotion, PromotionEvent};
use reconciler_domain::duration;
use tokio::time::Instant;

use crate::failure::Failure;
use crate::render::promotion;
use crate::session::Session;

/// Arguments of `lockstep watch`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The promotion, such as prod.12
    promotion: String,
    #[command(flatten)]
    patience: Patience,
}

/// How long to watch.
#[derive(Args, Clone, Copy)]
pub(crate) struct Patience {
    /// How long to follow the promotion, such as 30m; it goes on after that
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    timeout: Option<Duration>,
}

/// How long the daemon is asked to wait for an event.
const LONG_POLL: Duration = Duration::from_secs(20);

/// How long a daemon that cannot be reached is waited for.
const OUTAGE_MAX: Duration = Duration::from_secs(60);

/// The pause between attempts to reach it.
const OUTAGE_PAUSE: Duration = Duration::from_secs(1);

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    let project = session.project()?;
    follow(session, &project, &arguments.promotion, arguments.patience).await
}

/// Writes what happens to a promotion until it ends; fails unless it succeeds.
pub(crate) async fn follow(
    session: &Session,
    project: &str,
    id: &str,
    patience: Patience,
) -> Result<(), Failure> {
    let mut watch = Watch::new(session, project, id, patience);
    let ended = loop {
        let promotion = watch.look().await?;
        // An end is looked at before its last events are read, so that none is missed.
        let ended = promotion.phase.is_finished();
        let caught_up = watch.catch_up(&promotion).await?;
        if ended && caught_up {
            break promotion;
        }
    };
    session.out.item(&ended, promotion::verdict)?;
    if ended.phase == Phase::Succeeded {
        return Ok(());
    }
    Err(Failure::NotSucceeded { promotion: ended.id, error: ended.error })
}

struct Watch<'a> {
    session: &'a Session,
    project: &'a str,
    id: &'a str,
    patience: Patience,
    began: Instant,
    /// The number of the last event that was written.
    after: Option<u64>,
    /// What was last said about why it waits.
    waiting: Vec<String>,
    /// Since when the daemon cannot be reached.
    outage: Option<Instant>,
}

impl<'a> Watch<'a> {
    fn new(session: &'a Session, project: &'a str, id: &'a str, patience: Patience) -> Self {
        let began = Instant::now();
        let waiting = Vec::new();
        Self { session, project, id, patience, began, after: None, waiting, outage: None }
    }

    async fn look(&mut self) -> Result<Promotion, Failure> {
        loop {
            let answer = self.session.client.promotion(self.project, self.id).await;
            if let Some(promotion) = self.reached(answer).await? {
                return Ok(promotion);
            }
        }
    }

    /// Writes the events since the last time; waits for one if the promotion goes on. False if the
    /// daemon could not be reached.
    async fn catch_up(&mut self, promotion: &Promotion) -> Result<bool, Failure> {
        let wait = match self.wait(promotion)? {
            // The promotion ended, or its events are being read for the first time.
            None => Duration::ZERO,
            Some(_) if self.after.is_none() => Duration::ZERO,
            Some(wait) => wait,
        };
        let seconds = u32::try_from(wait.as_secs()).unwrap_or(EventsQuery::WAIT_SECONDS_MAX);
        let query = EventsQuery { after: self.after, wait: Some(seconds) };
        let client = &self.session.client;
        let answer = client.promotion_events(self.project, self.id, &query).await;
        let Some(events) = self.reached(answer).await? else { return Ok(false) };
        self.after = Some(events.last().map_or(self.after.unwrap_or(0), |it| it.seq));
        self.write(&events)?;
        self.say_why_it_waits(promotion)?;
        Ok(true)
    }

    /// How long to wait for an event; none if the promotion ended.
    fn wait(&self, promotion: &Promotion) -> Result<Option<Duration>, Failure> {
        if promotion.phase.is_finished() {
            return Ok(None);
        }
        let Some(timeout) = self.patience.timeout else { return Ok(Some(LONG_POLL)) };
        match timeout.checked_sub(self.began.elapsed()) {
            // Whole seconds, and at least one, so that the last stretch is no busy loop.
            Some(left) => Ok(Some(left.clamp(Duration::from_secs(1), LONG_POLL))),
            None => Err(Failure::Unfinished {
                promotion: promotion.id.clone(),
                phase: promotion.phase,
                after: timeout,
            }),
        }
    }

    fn write(&self, events: &[PromotionEvent]) -> Result<(), Failure> {
        events.iter().try_for_each(|event| self.session.out.item(event, promotion::event))
    }

    fn say_why_it_waits(&mut self, promotion: &Promotion) -> Result<(), Failure> {
        let waiting: Vec<String> = promotion.waiting.iter().map(|it| it.message.clone()).collect();
        if promotion.phase.is_finished() || waiting == self.waiting {
            return Ok(());
        }
        waiting.iter().try_for_each(|it| self.session.out.note(format_args!("waiting: {it}")))?;
        self.waiting = waiting;
        Ok(())
    }

    /// What was answered; none after a pause if the daemon cannot be reached for a while.
    async fn reached<T>(&mut self, answer: Result<T, ClientError>) -> Result<Option<T>, Failure> {
        let error = match answer {
            Ok(answer) => {
                self.outage = None;
                return Ok(Some(answer));
            }
            Err(error) => error,
        };
        let since = match self.outage {
            // A daemon that never answered is no daemon that restarts.
            None if self.after.is_none() => return Err(error.into()),
            None if error.is_unreachable() => {
                self.session.out.note(format_args!("{error}; waiting for it"))?;
                *self.outage.insert(Instant::now())
            }
            Some(since) if error.is_unreachable() => since,
            None | Some(_) => return Err(error.into()),
        };
        if since.elapsed() > self.outage_max() {
            return Err(error.into());
        }
        tokio::time::sleep(OUTAGE_PAUSE).await;
        Ok(None)
    }

    fn outage_max(&self) -> Duration {
        let left = self.patience.timeout.map(|it| it.saturating_sub(self.began.elapsed()));
        left.map_or(OUTAGE_MAX, |it| it.min(OUTAGE_MAX))
    }
}
