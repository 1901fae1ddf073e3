//! How long a host waits for the handshake line, from the start of the process.
//!
//! A plan starts the provider three to five times, so this is paid as often. The argument after
//! `--` names a provider's binary; without one the example of this crate is started.

#![expect(clippy::print_stdout, reason = "the table is the result")]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P521_SHA512};

const STARTS: usize = 30;
const COOKIE: (&str, &str) =
    ("TF_PLUGIN_MAGIC_COOKIE", "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2");

fn main() {
    let named = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let provider =
        named.unwrap_or_else(|| env!("CARGO_BIN_EXE_terraform-provider-notes").to_owned());
    let key = KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512).expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate").pem();
    println!("{provider}\n");
    println!("| handshake, {STARTS} starts | min ms | median ms | max ms |");
    println!("|---|---|---|---|");
    for (name, certificate) in [("mutual TLS", Some(certificate.as_str())), ("plain", None)] {
        let mut times: Vec<Duration> =
            (0..STARTS).map(|_| handshake(&provider, certificate)).collect();
        times.sort();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (min, median, max) = (times[0], times[STARTS / 2], times[STARTS - 1]);
        println!("| {name} | {:.2} | {:.2} | {:.2} |", ms(min), ms(median), ms(max));
    }
}

/// From the start of the process to its line. The process is then ended.
fn handshake(provider: &str, certificate: Option<&str>) -> Duration {
    let mut command = Command::new(provider);
    command.env(COOKIE.0, COOKIE.1).env("PLUGIN_PROTOCOL_VERSIONS", "6");
    command.envs(certificate.map(|pem| ("PLUGIN_CLIENT_CERT", pem)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let started = Instant::now();
    let mut child = command.spawn().expect("the provider starts");
    let stdout = child.stdout.take().expect("a pipe");
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).expect("readable");
    let taken = started.elapsed();
    assert!(line.starts_with("1|6|"), "not a handshake: {line:?}");
    child.kill().expect("running");
    child.wait().expect("an end");
    taken
}
