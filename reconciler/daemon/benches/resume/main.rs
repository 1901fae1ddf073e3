//! `make bench ID=resume`: how long `lockstepd` takes to start over a database with many running
//! promotions, and to go on with each of them.
//!
//! All of them have committed and wait for an instant that passes while no daemon runs. After the
//! start each has its next move decided and written down: what it waited for is over, and the next
//! step begins, which waits for long. Measured after a stop and after a `kill -9`, where the database is
//! checked first.
//!
//! ```text
//! resume [PROMOTIONS [STAGES]]     10000 and 100000 if not said
//! ```
#![expect(clippy::print_stdout, reason = "a bench prints its table")]
#![expect(clippy::unwrap_used, reason = "a bench ends with its first failure")]

#[path = "../kit/mod.rs"]
mod kit;

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kit::daemon::Daemon;
use kit::machine::millis;
use kit::pipeline::{self, Pipeline};
use reconciler_domain::promotion::{Entry, Event};

const PROMOTIONS: usize = 10_000;
const STAGES: usize = 100_000;
const PROJECTS: usize = 100;
/// Time to bring so many promotions to where they wait.
const PREPARED_EACH: Duration = Duration::from_millis(3);

#[tokio::main]
async fn main() {
    let numbers: Vec<usize> =
        std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let promotions = numbers.first().copied().unwrap_or(PROMOTIONS);
    let stages = numbers.get(1).copied().unwrap_or(STAGES);
    let scratch = tempfile::tempdir().unwrap();
    println!("{}", kit::machine::calibration(scratch.path()));
    println!("{promotions} running promotions, {stages} stages, {PROJECTS} projects");
    for is_killed in [false, true] {
        measure(promotions / PROJECTS, stages / PROJECTS, is_killed).await;
    }
    println!("{}", kit::machine::calibration(scratch.path()));
}

/// One start, with so many promotions and stages in each project.
async fn measure(promotions: usize, stages: usize, is_killed: bool) {
    let dir = tempfile::tempdir().unwrap();
    let all = u32::try_from(promotions * PROJECTS).unwrap();
    let data = dir.path();
    let begin = Instant::now();
    let store = pipeline::open(data).await;
    // Definitions come first: what is defined takes as long as it takes.
    let until = Timestamp::now().checked_add(defining(stages) + PREPARED_EACH * all).unwrap();
    let far = Timestamp::now().checked_add(Duration::from_secs(3600)).unwrap();
    let steps = vec![pipeline::waits("start", until), pipeline::waits("long", far)];
    let pipeline = Pipeline { projects: PROJECTS, stages, steps };
    pipeline.define(&store).await;
    pipeline.promote(&store, promotions).await;
    store.close().await;
    println!("  made in {:.0} s", begin.elapsed().as_secs_f64());
    let begin = Instant::now();
    let daemon = Daemon::start(data).await;
    daemon.idle().await;
    println!("  prepared and committed in {:.1} s", begin.elapsed().as_secs_f64() - 1.0);
    if is_killed {
        daemon.kill();
    } else {
        daemon.stop();
    }
    let size: u64 =
        ["lockstep.db", "lockstep.db-wal"].map(|name| size(&data.join(name))).iter().sum();
    let left = until.duration_since(Timestamp::now());
    tokio::time::sleep(Duration::try_from(left).expect("it took too long to prepare them")).await;
    let daemon = Daemon::start(data).await;
    daemon.idle().await;
    let (started, ready, peak) = (daemon.started(), daemon.ready(), daemon.peak_mb());
    daemon.kill();
    let logs = pipeline.logs(data, promotions).await;
    let mut resumed: Vec<Duration> = logs.iter().map(|log| resumed(log, started)).collect();
    println!(
        "after a {}: database {} MB, ready in {:.0} ms, all resumed in {:.0} ms (half in {:.0} ms), RSS {peak:.0} MB",
        if is_killed { "kill -9" } else { "stop" },
        size >> 20,
        millis(ready),
        millis(kit::machine::percentile(&mut resumed, 100)),
        millis(kit::machine::percentile(&mut resumed, 50)),
    );
}

/// Time that may be taken to define so many stages of each project.
fn defining(stages: usize) -> Duration {
    Duration::from_secs(5)
        + Duration::from_micros(1_000) * u32::try_from(stages * PROJECTS).unwrap()
}

/// How long after the start the promotion had gone on.
fn resumed(log: &[Entry], started: Timestamp) -> Duration {
    let last = log.last().unwrap();
    assert!(matches!(&last.event, Event::Intent { .. }), "it did not go on: {last:?}");
    Duration::try_from(last.at.duration_since(started)).expect("it went on before the start")
}

fn size(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}
