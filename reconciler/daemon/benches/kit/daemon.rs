//! The real `lockstepd`, as a process of its own: the one that `LOCKSTEPD` names, so that two builds can be
//! held beside each other, or the one that was built with the benchmark.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reconciler_api::client::{Client, RetryPolicy};
use reconciler_api::v1::{PromotionQuery, Secret};

/// So long without work is idle.
const QUIET: Duration = Duration::from_secs(1);

/// A daemon that runs; dropping it kills it.
pub(crate) struct Daemon {
    child: Child,
    port: u16,
    token: Secret,
    started: Timestamp,
    ready: Duration,
}

impl Daemon {
    /// Starts it over this data and waits until it answers.
    pub(crate) async fn start(data: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = File::create(data.join("lockstepd.log")).unwrap();
        let program = std::env::var_os("LOCKSTEPD");
        let program = program.unwrap_or_else(|| env!("CARGO_BIN_EXE_lockstepd").into());
        let mut command = Command::new(program);
        command.arg("serve").arg("--data-dir").arg(data);
        command.args(["--listen", &format!("127.0.0.1:{port}")]);
        command.env("LOCKSTEPD_LOG", "warn").stderr(log);
        let (started, begin) = (Timestamp::now(), Instant::now());
        let child = command.spawn().unwrap();
        let mut daemon =
            Self { child, port, token: Secret::new(""), started, ready: Duration::ZERO };
        while daemon.client().health().await.is_err() {
            if let Some(status) = daemon.child.try_wait().unwrap() {
                let log = fs::read_to_string(data.join("lockstepd.log")).unwrap_or_default();
                panic!("lockstepd ended: {status}\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        daemon.ready = begin.elapsed();
        let token = fs::read_to_string(data.join("admin.token")).unwrap();
        daemon.token = Secret::new(token.trim());
        daemon
    }

    /// When its process was started.
    pub(crate) fn started(&self) -> Timestamp {
        self.started
    }

    /// How long it took from there until it answered.
    pub(crate) fn ready(&self) -> Duration {
        self.ready
    }

    /// Whether a promotion of the project is not over.
    pub(crate) async fn is_busy(&self, project: &str) -> bool {
        let query =
            PromotionQuery { active: Some(true), limit: Some(1), ..PromotionQuery::default() };
        !self.client().list_promotions(project, &query).await.unwrap().items.is_empty()
    }

    /// Most memory that it had at once, in MB.
    pub(crate) fn peak_mb(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }

    /// Seconds of processor time that it has used.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, rest) = stat.rsplit_once(')').unwrap();
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks: f64 = [11, 12].iter().map(|at| fields[*at].parse::<f64>().unwrap()).sum();
        ticks / 100.0
    }

    /// Ends once it has done nothing for a while.
    pub(crate) async fn idle(&self) {
        let mut before = self.cpu_seconds();
        loop {
            tokio::time::sleep(QUIET).await;
            let now = self.cpu_seconds();
            if now - before < QUIET.as_secs_f64() * 0.02 {
                return;
            }
            before = now;
        }
    }

    /// Ends it as an administrator does.
    pub(crate) fn stop(mut self) {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(asked.success(), "lockstepd was not there any more");
        assert!(self.child.wait().unwrap().success(), "lockstepd did not stop well");
    }

    /// `kill -9`: what it left in the database it had said to be there.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    pub(crate) fn client(&self) -> Client {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        let token = (!self.token.expose().is_empty()).then_some(&self.token);
        Client::new(&endpoint, token, "lockstep-bench").unwrap().with_retry(RetryPolicy::NEVER)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}
