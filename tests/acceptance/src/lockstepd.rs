//! The daemon: started, killed, crashed on order, and started again with its data.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use reconciler_api::client::{Client, RetryPolicy};
use reconciler_api::v1::{Freight, FreightQuery, Phase, Promotion, PromotionQuery, Secret};
use rustix::process::{Signal, kill_process};
use tempfile::TempDir;

use crate::cli::Cli;
use crate::process::{self, Process};
use crate::wait::eventually;
use crate::{At as _, Failure, Outcome};

const HEALTHY_WITHIN: Duration = Duration::from_secs(30);
const STOPS_WITHIN: Duration = Duration::from_secs(30);
const USER_AGENT: &str = "lockstep-acceptance";

/// How a daemon is started.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The configuration file's text; none: no file.
    pub config: Option<String>,
    /// Directories of this machine that infra runs may change.
    pub writable: Vec<PathBuf>,
    /// Arguments beside those that the harness needs.
    pub arguments: Vec<String>,
    /// Environment variables beside those of this process.
    pub environment: Vec<(String, String)>,
    /// MiB of a disk of its own for its data, which is gone with the process; none: a directory.
    pub disk: Option<u32>,
}

/// A daemon with its own data and address. Both stay the same when it is started again.
pub struct Lockstepd {
    program: PathBuf,
    settings: Settings,
    port: u16,
    /// None while it is down.
    process: Option<Process>,
    dir: TempDir,
}

impl Lockstepd {
    /// Starts a daemon with empty data and waits until it is healthy.
    ///
    /// # Errors
    /// It is not built, or does not get healthy; with its log.
    pub async fn start() -> Outcome<Self> {
        Self::start_with(Settings::default()).await
    }

    /// The same, with settings.
    ///
    /// # Errors
    /// It is not built, or does not get healthy; with its log.
    pub async fn start_with(settings: Settings) -> Outcome<Self> {
        let program = process::binary("lockstepd")?;
        let dir = process::folder("lockstepd")?;
        let port = process::free_port()?;
        let mut started = Self { program, settings, port, process: None, dir };
        started.restart().await?;
        Ok(started)
    }

    /// Starts it again with the same data and address, and waits until it is healthy. One that
    /// still runs is stopped first.
    ///
    /// # Errors
    /// It does not get healthy; with its log.
    pub async fn restart(&mut self) -> Outcome {
        self.launch(None).await?;
        let client = self.client()?.with_retry(RetryPolicy::NEVER);
        let healthy = eventually(HEALTHY_WITHIN, "lockstepd is healthy", async || {
            Ok(client.health().await.map(drop)?)
        });
        let waited = healthy.await;
        waited.map_err(|failure| failure.with("lockstepd's log", &self.log_tail()))
    }

    /// Starts it again so that it aborts at a boundary, `LOCKSTEP_CRASH`, such as
    /// `after_effect/push`. It may be down before anybody can ask it.
    ///
    /// # Errors
    /// It does not start.
    pub async fn restart_to_crash(&mut self, boundary: &str) -> Outcome {
        self.launch(Some(boundary)).await
    }

    async fn launch(&mut self, crash: Option<&str>) -> Outcome {
        if self.process.is_some() {
            self.stop().await?;
        }
        let mut command = match self.settings.disk {
            None => Command::new(&self.program),
            Some(size) => self.on_a_disk(size)?,
        };
        command.arg("serve").arg("--data-dir").arg(self.data_path());
        command.args(["--listen", &format!("127.0.0.1:{}", self.port), "--allow-private"]);
        let mut config = self.settings.config.clone().unwrap_or_default();
        if !self.settings.writable.is_empty() {
            config.push_str(&format!("\n[sandbox]\nwrite = {:?}\n", self.settings.writable));
        }
        if !config.is_empty() {
            let path = self.dir.path().join("lockstepd.toml");
            fs::write(&path, config).at("the daemon's configuration")?;
            command.arg("--config").arg(path);
        }
        command.args(&self.settings.arguments).current_dir(self.dir.path());
        command.env("NO_COLOR", "1").env_remove("LOCKSTEP_CRASH");
        command.envs(self.settings.environment.iter().map(|(name, value)| (name, value)));
        if let Some(boundary) = crash {
            command.env("LOCKSTEP_CRASH", boundary);
        }
        self.process =
            Some(Process::logged(&command, &self.dir.path().join("lockstepd.log")).await?);
        Ok(())
    }

    /// The daemon in a mount namespace of its own, where its data are on a small file system in memory.
    fn on_a_disk(&self, size: u32) -> Outcome<Command> {
        let data = self.data_path();
        fs::create_dir_all(&data).at(data.display())?;
        let mut command = Command::new(process::program("unshare")?);
        let mount = format!("mount -t tmpfs -o size={size}m,mode=700 data \"$0\" && exec \"$@\"");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &mount]);
        command.arg(data).arg(&self.program);
        Ok(command)
    }

    /// Stops it as it stands (SIGSTOP), or lets it go on (SIGCONT).
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, signal: Signal) -> Outcome {
        let process = self.process.as_ref().ok_or_else(down)?;
        kill_process(process.id(), signal).at("a signal to lockstepd")
    }

    /// `kill -9` of the daemon alone: what it started lives or dies as it arranged.
    ///
    /// # Errors
    /// It does not run.
    pub async fn kill(&mut self) -> Outcome {
        let mut process = self.process.take().ok_or_else(down)?;
        process.kill().await.map(drop)?;
        process.forget();
        Ok(())
    }

    /// SIGTERM, and waits until it has ended well.
    ///
    /// # Errors
    /// It does not run, does not end in time, or ends with an error.
    pub async fn stop(&mut self) -> Outcome {
        let mut process = self.process.take().ok_or_else(down)?;
        let status = process.terminate(STOPS_WITHIN).await?;
        let log = process.log_tail();
        process.forget();
        if status.success() {
            return Ok(());
        }
        Err(Failure::new(format!("lockstepd ended: {status}")).with("lockstepd's log", &log))
    }

    /// Seals what it keeps under a new key.
    ///
    /// # Errors
    /// It refuses, as it does while the daemon runs.
    pub async fn rotate_key(&self) -> Outcome {
        self.alone("rotate-key").await
    }

    /// Walks its ledger.
    ///
    /// # Errors
    /// An event of it is not what it was, or the daemon runs.
    pub async fn verify_ledger(&self) -> Outcome {
        self.alone("verify-ledger").await
    }

    /// Runs a command that is for when no daemon runs.
    async fn alone(&self, command: &str) -> Outcome {
        let mut run = Command::new(&self.program);
        run.arg(command).arg("--data-dir").arg(self.data_dir());
        process::run(&run, STOPS_WITHIN).await?.ok().map(drop)
    }

    /// Waits until it ends by itself, as it does at an ordered crash.
    ///
    /// # Errors
    /// It does not within `deadline`; with its log.
    pub async fn ended(&mut self, deadline: Duration) -> Outcome<ExitStatus> {
        let mut process = self.process.take().ok_or_else(down)?;
        let ended = process.ended(deadline).await;
        if ended.is_ok() {
            process.forget();
        }
        ended
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.check_running().is_ok())
    }

    /// Where its API is.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where it keeps everything.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        let path = self.data_path();
        match (&self.process, self.settings.disk) {
            // Its disk is seen through its own eyes only.
            (Some(process), Some(_)) => {
                let root = format!("/proc/{}/root", process.id().as_raw_nonzero());
                Path::new(&root).join(path.strip_prefix("/").unwrap_or(&path))
            }
            (Some(_) | None, _) => path,
        }
    }

    /// What it is told to keep everything in.
    fn data_path(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The file with the first administrator's token.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.data_dir().join("admin.token")
    }

    /// The state file of an infra module that has no backend of its own: `state` is the step's
    /// `state`, or its `dir`, with everything but letters, digits, `-` and `_` as `%` and two
    /// hexadecimal digits.
    #[must_use]
    pub fn state_file(&self, project: &str, stage: &str, state: &str) -> PathBuf {
        let states = self.data_dir().join("states").join(project).join(stage);
        states.join(state.replace('/', "%2f")).join("terraform.tfstate")
    }

    /// A client with the first administrator's token, or without one before there is one.
    ///
    /// # Errors
    /// The token cannot be used.
    pub fn client(&self) -> Outcome<Client> {
        let token = fs::read_to_string(self.token_file()).ok();
        let token = token.map(|text| Secret::new(text.trim()));
        Ok(Client::new(&self.endpoint(), token.as_ref(), USER_AGENT)?)
    }

    /// A client with another token.
    ///
    /// # Errors
    /// The token cannot be used.
    pub fn client_with(&self, token: &Secret) -> Outcome<Client> {
        Ok(Client::new(&self.endpoint(), Some(token), USER_AGENT)?)
    }

    /// The command line with the first administrator's token.
    ///
    /// # Errors
    /// It is not built.
    pub fn cli(&self, project: &str) -> Outcome<Cli> {
        Cli::new(&self.endpoint(), &self.token_file(), project)
    }

    /// Makes a token for a person by the command line and writes it to a file of their own.
    ///
    /// # Errors
    /// The daemon refuses.
    pub async fn token(&self, project: &str, name: &str, groups: &[&str]) -> Outcome<PathBuf> {
        let mut arguments = vec!["token", "create", "--as", name];
        arguments.extend(groups.iter().flat_map(|&group| ["--group", group]));
        let secret = self.cli(project)?.ok(&arguments).await?;
        let path = self.dir.path().join(format!("{name}.token"));
        fs::write(&path, secret).at(path.display())?;
        Ok(path)
    }

    /// Its log so far, of all its runs.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(self.dir.path().join("lockstepd.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The end of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        process::tail(&self.log())
    }

    /// As [`eventually`], with the end of the daemon's log where it fails.
    ///
    /// # Errors
    /// `probe` does not answer in time.
    pub async fn eventually<T>(
        &self,
        deadline: Duration,
        what: &str,
        probe: impl AsyncFnMut() -> Outcome<T>,
    ) -> Outcome<T> {
        let waited = eventually(deadline, what, probe).await;
        waited.map_err(|failure| failure.with("lockstepd's log", &self.log_tail()))
    }

    /// Waits until a promotion, such as `prod.1`, is in one of these phases.
    ///
    /// # Errors
    /// It does not get there in time, or ends otherwise; with all that is known of it.
    pub async fn promotion(
        &self,
        deadline: Duration,
        project: &str,
        id: &str,
        phases: &[Phase],
    ) -> Outcome<Promotion> {
        let client = self.client()?;
        let what = format!("promotion {id} is {}", words(phases));
        let ended = self.eventually(deadline, &what, async || {
            let promotion = client.promotion(project, id).await?;
            if phases.contains(&promotion.phase) || promotion.phase.is_finished() {
                return Ok(promotion);
            }
            Err(Failure::new(describe(&promotion)))
        });
        let promotion = ended.await?;
        if phases.contains(&promotion.phase) {
            return Ok(promotion);
        }
        let text = format!("not so: {what}\n{}", describe(&promotion));
        Err(Failure::new(text).with("lockstepd's log", &self.log_tail()))
    }

    /// Waits until there is a promotion of this freight to a stage; answers with its id.
    ///
    /// # Errors
    /// There is none in time; with those that there are.
    pub async fn promotion_of(
        &self,
        deadline: Duration,
        project: &str,
        stage: &str,
        freight: &str,
    ) -> Outcome<String> {
        let client = self.client()?;
        let what = format!("freight {freight} is promoted to {stage}");
        let query = PromotionQuery { stage: Some(stage.to_owned()), ..PromotionQuery::default() };
        self.eventually(deadline, &what, async || {
            let page = client.list_promotions(project, &query).await?;
            let found = page.items.iter().find(|promotion| promotion.freight == freight);
            found.map(|promotion| promotion.id.clone()).ok_or_else(|| {
                let there: Vec<String> = page.items.iter().map(describe).collect();
                Failure::new(format!("there is: {}", there.join("; ")))
            })
        })
        .await
    }

    /// Waits for freight that fits.
    ///
    /// # Errors
    /// None does in time; with what there is.
    pub async fn freight(
        &self,
        deadline: Duration,
        project: &str,
        what: &str,
        fits: impl Fn(&Freight) -> bool,
    ) -> Outcome<Freight> {
        let client = self.client()?;
        self.eventually(deadline, what, async || {
            let page = client.list_freight(project, &FreightQuery::default()).await?;
            let found = page.items.iter().find(|freight| fits(freight)).cloned();
            found.ok_or_else(|| Failure::new(format!("there is: {:#?}", page.items)))
        })
        .await
    }
}

impl Drop for Lockstepd {
    fn drop(&mut self) {
        drop(self.process.take());
        // An apply outlives its daemon on purpose; here it ends with it.
        process::kill_in_folder(self.dir.path());
    }
}

fn down() -> Failure {
    Failure::new("lockstepd does not run")
}

fn words(phases: &[Phase]) -> String {
    phases.iter().map(|phase| phase.as_str()).collect::<Vec<_>>().join(" or ")
}

/// What is known of a promotion that is not where it should be.
fn describe(promotion: &Promotion) -> String {
    let mut lines = vec![format!("promotion {} is {}", promotion.id, promotion.phase)];
    lines.extend(promotion.error.iter().map(|error| format!("error: {error}")));
    lines.extend(promotion.remaining.iter().map(|left| format!("remains: {left}")));
    for step in &promotion.steps {
        let error = step.error.as_deref().unwrap_or_default();
        lines.push(format!("step {} is {} {error}", step.name, step.state));
    }
    for gate in &promotion.gates {
        lines.push(format!("gate {} says {}: {}", gate.gate, gate.verdict, gate.message));
    }
    for seen in &promotion.measurements {
        lines.push(format!("check {} says {}: {}", seen.check, seen.verdict, seen.message));
    }
    lines.extend(promotion.waiting.iter().map(|it| format!("waits: {}", it.message)));
    lines.join("\n")
}
