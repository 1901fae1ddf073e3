//! 64 promotions of `lockstepd`.

use std::time::Duration;

use jiff::Timestamp;
use reconciler_domain::promotion::{Ending, Entry, Event, Finish};

use crate::Figures;
use crate::kit::daemon::Daemon;
use crate::kit::machine::{millis, percentile};
use crate::kit::pipeline::{self, Pipeline};

const PROJECTS: usize = 8;
const STAGES: usize = 8;
const STEPS: usize = 20;
/// Time to bring all promotions to where they wait.
const PREPARED_WITHIN: Duration = Duration::from_secs(6);
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(crate) async fn measure() -> Figures {
    let dir = tempfile::tempdir().unwrap();
    let until = Timestamp::now().checked_add(PREPARED_WITHIN).unwrap();
    let steps = std::iter::once(pipeline::waits("start", until)).chain(pipeline::idles(STEPS));
    let pipeline = Pipeline { projects: PROJECTS, stages: STAGES, steps: steps.collect() };
    let store = pipeline::open(dir.path()).await;
    pipeline.define(&store).await;
    pipeline.promote(&store, STAGES).await;
    store.close().await;
    let daemon = Daemon::start(dir.path()).await;
    let left = until.duration_since(Timestamp::now());
    tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
    let before = daemon.cpu_seconds();
    for number in 0..PROJECTS {
        while daemon.is_busy(pipeline::project(number).as_str()).await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    let (peak_mb, cpu) = (daemon.peak_mb(), daemon.cpu_seconds() - before);
    daemon.kill();
    figures(&pipeline.logs(dir.path(), STAGES).await, until, peak_mb, cpu)
}

fn figures(logs: &[Vec<Entry>], until: Timestamp, peak_mb: f64, cpu: f64) -> Figures {
    let mut took = Vec::new();
    let (mut first, mut last) = (Timestamp::MAX, Timestamp::MIN);
    for log in logs {
        let Some(Event::Finished(Finish { ending: Ending::Succeeded, .. })) =
            log.last().map(|entry| &entry.event)
        else {
            panic!("a promotion did not succeed: {:?}", log.last());
        };
        let mut begun = None;
        for entry in log {
            match &entry.event {
                Event::Committed { .. } => {
                    assert!(entry.at < until, "the promotions came too late");
                }
                Event::Intent { call, .. } if call.is_carried_out() => begun = Some(entry.at),
                Event::Outcome { .. } => {
                    let Some(begun) = begun.take() else { continue };
                    // The entry says when it was sent, not when it was on the disk: the time between
                    // two is that of the first on its way to the disk.
                    took.push(Duration::try_from(entry.at.duration_since(begun)).unwrap());
                    first = first.min(begun);
                    last = last.max(entry.at);
                }
                _ => {}
            }
        }
    }
    let seconds = last.duration_since(first).as_secs_f64();
    Figures {
        name: "lockstepd".to_owned(),
        steps: took.len(),
        per_second: took.len() as f64 / seconds,
        p50_ms: millis(percentile(&mut took, 50)),
        p99_ms: millis(percentile(&mut took, 99)),
        peak_mb,
        note: format!(
            "2 rows a step, SQLite FULL, {:.0} µs CPU a step",
            cpu * 1e6 / took.len() as f64
        ),
    }
}
