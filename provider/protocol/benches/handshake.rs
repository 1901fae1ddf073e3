//! How long a host waits for the handshake line, from the start of the process, and how much
//! memory the provider then has, once it has told what it offers.
//!
//! A plan starts the provider three to five times, so this is paid as often. The argument after
//! `--` names a provider's binary; without one the example of this crate is started.

#![expect(clippy::print_stdout, reason = "the table is the result")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use provider_kit::client::Client;
use provider_kit::host::{Identity, Started, start};

const STARTS: usize = 30;

fn main() {
    let named = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let provider = PathBuf::from(
        named.unwrap_or_else(|| env!("CARGO_BIN_EXE_terraform-provider-notes").to_owned()),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    println!("{}\n", provider.display());
    println!("| handshake, {STARTS} starts | min ms | median ms | max ms |");
    println!("|---|---|---|---|");
    let identity = Identity::new();
    for (name, identity) in [("mutual TLS", Some(&identity)), ("plain", None)] {
        let mut times: Vec<Duration> =
            (0..STARTS).map(|_| runtime.block_on(handshake(&provider, identity))).collect();
        times.sort();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (min, median, max) = (times[0], times[STARTS / 2], times[STARTS - 1]);
        println!("| {name} | {:.2} | {:.2} | {:.2} |", ms(min), ms(median), ms(max));
    }
    println!("\n| resident | now MB | at most MB |");
    println!("|---|---|---|");
    for (name, now, most) in runtime.block_on(memory(&provider, &identity)) {
        println!("| {name} | {now:.1} | {most:.1} |");
    }
}

/// From the start of the process to its line. The process is then ended.
async fn handshake(provider: &Path, identity: Option<&Identity>) -> Duration {
    let started_at = Instant::now();
    let mut started = start(provider, identity, &[]).await;
    let taken = started_at.elapsed();
    assert_eq!(started.fields[..2], ["1", "6"], "not a handshake: {:?}", started.fields);
    started.child.kill().await.expect("running");
    taken
}

/// The memory after the handshake, and once the schemas are told.
async fn memory(provider: &Path, identity: &Identity) -> [(&'static str, f64, f64); 2] {
    let started = start(provider, Some(identity), &[]).await;
    let (now, most) = resident(&started);
    let first = ("after the handshake", now, most);
    let channel = started.connect(Some(identity)).await.expect("a connection");
    let _client = Client::over(channel).await;
    let (now, most) = resident(&started);
    [first, ("after the schemas", now, most)]
}

/// Resident memory now and at most, in megabytes.
fn resident(started: &Started) -> (f64, f64) {
    let id = started.child.id().expect("running");
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a process");
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        let kib: f64 = line.trim_end_matches("kB").trim().parse().expect("a number");
        kib * 1024.0 / 1e6
    };
    (of("VmRSS:"), of("VmHWM:"))
}
