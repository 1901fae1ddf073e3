//! How much memory our provider takes while a client plans.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use acceptance::process::binary;
use acceptance::{At as _, Outcome};

/// How often the processes are looked at. Each says itself how much it had at most, so that only what
/// it takes in its last moments is missed.
const PAUSE: Duration = Duration::from_millis(5);

/// The resident memory that one process of a program had at most while something was done, in
/// megabytes; beside what came of it.
pub(crate) async fn at_most<T>(
    program: &str,
    work: impl Future<Output = Outcome<T>>,
) -> Outcome<(T, f64)> {
    let program = fs::canonicalize(binary(program)?).at(program)?;
    let over = Arc::new(AtomicBool::new(false));
    let watched = Arc::clone(&over);
    let watch = tokio::task::spawn_blocking(move || {
        let mut most = 0.0_f64;
        while !watched.load(Ordering::Relaxed) {
            most = most.max(now(&program));
            std::thread::sleep(PAUSE);
        }
        most
    });
    let done = work.await;
    over.store(true, Ordering::Relaxed);
    let most = watch.await.at("watching the provider")?;
    Ok((done?, most))
}

/// The most that any process of a program has had so far.
fn now(program: &Path) -> f64 {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ours = processes.map(|entry| entry.path()).filter(|process| runs(process, program));
    ours.filter_map(|process| high_water(&process)).fold(0.0, f64::max)
}

fn runs(process: &Path, program: &Path) -> bool {
    let executable: Option<PathBuf> = fs::read_link(process.join("exe")).ok();
    executable.as_deref() == Some(program)
}

/// What the process had at most, in megabytes. One that has just ended says nothing.
fn high_water(process: &Path) -> Option<f64> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}
