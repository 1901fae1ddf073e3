//! What the machine does at this minute: without it no figure of another can be read.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

const MEASURED: Duration = Duration::from_secs(1);

/// One line: processors, load, and how often a second 4 KiB can be appended and synchronised here.
pub(crate) fn calibration(dir: &Path) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split(' ').take(3).collect();
    let (rate, p99) = syncs(dir);
    format!(
        "machine: {cores} cores, load {}, {rate:.0} fsyncs/s (p99 {:.1} ms)",
        load.join(" "),
        millis(p99)
    )
}

fn syncs(dir: &Path) -> (f64, Duration) {
    let path = dir.join("calibration");
    let mut file = File::create(&path).unwrap();
    let mut took = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < MEASURED {
        let started = Instant::now();
        file.write_all(&[7; 4096]).unwrap();
        file.sync_data().unwrap();
        took.push(started.elapsed());
    }
    let rate = took.len() as f64 / begin.elapsed().as_secs_f64();
    fs::remove_file(path).unwrap();
    (rate, percentile(&mut took, 99))
}

/// The least that so many of a hundred do not exceed.
pub(crate) fn percentile(took: &mut [Duration], share: usize) -> Duration {
    took.sort_unstable();
    took.get((took.len() * share / 100).min(took.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
