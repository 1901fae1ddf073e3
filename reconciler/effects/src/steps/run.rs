//! Programs of steps, contained: one that makes files, and one with effects outside.
//!
//! A program sees the directories that its step names, under their own paths, and an empty home. What it prints is
//! kept in part, and without secrets. One that was stopped half-way, by its time or by a limit, may have done
//! anything: if it must not be run twice, a person is asked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reconciler_domain::id::StepName;
use reconciler_domain::step::{OUTPUTS_MAX, RanRecord, Record, RunCall, RunNetwork, Seen};
use serde_json::{Map, Value, json};

use super::workspace::{Workspace, rel_path};
use super::{Done, Halt, RunContext, blocking};
use crate::layout::{make_private_dir, remove_tree};
use crate::process::{Captured, Command, Output, ProcessError};
use crate::sandbox::{Access, Beyond, Bounds, Limits, Network, SandboxError, Share};
use crate::scoped::Scoped;
use crate::workdir::WorkDir;

/// Where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Output kept of each stream.
const OUTPUT_MAX_BYTES: usize = 1 << 20;
/// Bytes of the end of what it prints that are told.
const TOLD_BYTES: usize = 2048;
/// Open files of one process.
const OPEN_FILES: u64 = 4096;
/// How long a program gets to end after each of two interrupts.
const GRACE: Duration = Duration::from_secs(1);
/// By this a program says that another attempt may help: `EX_TEMPFAIL`, see `sysexits(3)`.
const MAY_PASS: i32 = 75;

/// Runs a program over files.
pub(super) async fn files(
    effects: &Scoped,
    cx: &RunContext,
    step: &StepName,
    dir: &WorkDir,
    workspace: &Workspace<'_>,
    call: &RunCall,
) -> Result<Done, Halt> {
    let room = Room::make(workspace.scratch("run"), Some(dir), call).await?;
    let ran = room.run(effects, cx, step, call).await?;
    room.leave().await;
    let output = ran.map_err(|error| halt(&error))?;
    let told = Told::of(effects, &output);
    if !output.status.success() {
        let may_pass = output.status.code == Some(MAY_PASS);
        return Err(Halt::failed(told.failure(call, &output), may_pass));
    }
    Ok(Done { outputs: outputs(dir, call, &output, &told).await?, record: Record::None })
}

/// Runs a program with effects outside.
pub(super) async fn act(
    effects: &Scoped,
    cx: &RunContext,
    step: &StepName,
    workspace: &Workspace<'_>,
    call: &RunCall,
) -> Result<Done, Halt> {
    let needs_files = call.dir.is_some() || !call.reads.is_empty();
    let dir = if needs_files { Some(workspace.take().await?) } else { None };
    let room = Room::make(workspace.scratch("run"), dir.as_ref(), call).await?;
    let ran = room.run(effects, cx, step, call).await?;
    room.leave().await;
    let output = match ran {
        Ok(output) => output,
        Err(error) => return Err(cut_short(call, &error)),
    };
    let told = Told::of(effects, &output);
    let record =
        Record::Ran(RanRecord { ended: output.status.to_string(), output: told.both.clone() });
    let failed = |message: String, retry: bool| Halt::Failed {
        message,
        retry: retry && !call.is_at_most_once(),
        retry_after: None,
        record: Box::new(record.clone()),
        seen: Seen::Unsaid,
    };
    if output.status.code.is_none() && call.is_at_most_once() {
        return Err(uncertain(call, &told.failure(call, &output)));
    }
    if !output.status.success() {
        let may_pass = output.status.code.is_none_or(|code| code == MAY_PASS);
        return Err(failed(told.failure(call, &output), may_pass));
    }
    let outputs = match &dir {
        Some(dir) => outputs(dir, call, &output, &told).await,
        None => printed(call, &output, &told),
    };
    match outputs {
        Ok(outputs) => Ok(Done { outputs, record }),
        Err(Halt::Failed { message, .. }) => Err(failed(message, false)),
        Err(halt) => Err(halt),
    }
}

/// The directories of one run.
struct Room {
    scratch: PathBuf,
    dir: PathBuf,
    shares: Vec<Share>,
}

impl Room {
    async fn make(scratch: PathBuf, files: Option<&WorkDir>, call: &RunCall) -> Result<Self, Halt> {
        let (files, call) = (files.cloned(), call.clone());
        blocking(move || {
            fresh(&scratch).map_err(|error| {
                Halt::later(format_args!("cannot make {}: {error}", scratch.display()))
            })?;
            let mut shares = vec![
                Share::write(scratch.join("home")),
                Share::write(scratch.join("tmp")).at("/tmp"),
            ];
            let mut dir = scratch.join("home");
            if let Some(files) = &files {
                if let Some(named) = &call.dir {
                    dir = there(files, named)?;
                    let is_writable = call.writes.is_empty();
                    shares.push(if is_writable { Share::write(&dir) } else { Share::read(&dir) });
                }
                for path in &call.reads {
                    shares.push(Share::read(there(files, path)?));
                }
                for path in &call.writes {
                    shares.push(Share::write(writable(files, path)?));
                }
            }
            Ok(Self { scratch, dir, shares })
        })
        .await
    }

    /// Runs it to its end.
    async fn run(
        &self,
        effects: &Scoped,
        cx: &RunContext,
        step: &StepName,
        call: &RunCall,
    ) -> Result<Result<Output, SandboxError>, Halt> {
        let settings = effects.sandbox_settings();
        let network = match call.network {
            RunNetwork::None => Network::None,
            RunNetwork::Egress => Network::Egress(effects.egress().clone()),
            RunNetwork::Host if settings.host_network => Network::Host,
            RunNetwork::Host => {
                return Err(Halt::never(
                    "network: this daemon lets no step use the network of its machine; use \"egress\", or \
                     have `host_network = true` set in `[sandbox]` of its configuration",
                ));
            }
        };
        let mut shares: Vec<Share> =
            settings.read.iter().map(|path| Share::foreign(path, Access::Read)).collect();
        shares.extend(self.shares.iter().cloned());
        let bounds = Bounds {
            shares,
            network,
            limits: Limits {
                processes: call.processes,
                memory: call.memory_mib << 20,
                disk: call.disk_mib << 20,
                open_files: OPEN_FILES,
                beyond: Beyond::End,
            },
            notes: self.scratch.join("notes"),
        };
        let mut command = Command::new(call.program())
            .args(call.command.iter().skip(1))
            .current_dir(&self.dir)
            .deadline(call.timeout)
            .grace(GRACE)
            .output_limit(OUTPUT_MAX_BYTES)
            .env("PATH", PATH)
            .env("HOME", self.scratch.join("home"))
            .env("TMPDIR", self.scratch.join("tmp"))
            .env("LANG", "C.UTF-8")
            .envs(&call.env)
            .env("LOCKSTEP_PROJECT", cx.project.as_str())
            .env("LOCKSTEP_STAGE", cx.stage.as_str())
            .env("LOCKSTEP_PROMOTION", cx.promotion.as_str())
            .env("LOCKSTEP_STEP", step.as_str())
            .env("LOCKSTEP_EFFECT_KEY", &call.key);
        for (name, reference) in &call.secrets {
            let secret = effects.secret(reference).map_err(Halt::never)?;
            command = command.env(name, secret.expose());
        }
        let contained = match effects.sandbox().contain(command, &bounds) {
            Ok(contained) => contained,
            Err(error) => return Ok(Err(error)),
        };
        match contained.run(effects.cancel()).await {
            Err(SandboxError::Process(ProcessError::Cancelled { .. })) => Err(Halt::Interrupted),
            ended => Ok(ended),
        }
    }

    /// Nobody misses it if it stays.
    async fn leave(self) {
        blocking(move || std::fs::remove_dir_all(&self.scratch).ok()).await;
    }
}

/// A file or directory that has to be there.
fn there(files: &WorkDir, path: &str) -> Result<PathBuf, Halt> {
    let relative = rel_path(path)?;
    let refused = |error: crate::workdir::WorkdirError| Halt::of(&error, false);
    if !files.exists(&relative).map_err(refused)? {
        return Err(Halt::never(format_args!("{path:?} is not in the working directory")));
    }
    files.resolve(&relative).map_err(refused)
}

/// A file that is there, or a directory.
fn writable(files: &WorkDir, path: &str) -> Result<PathBuf, Halt> {
    let relative = rel_path(path)?;
    let refused = |error: crate::workdir::WorkdirError| Halt::of(&error, false);
    if files.exists(&relative).map_err(refused)? {
        return files.resolve(&relative).map_err(refused);
    }
    files.create_dir(&relative).map_err(refused)
}

fn fresh(scratch: &Path) -> std::io::Result<()> {
    remove_tree(scratch)?;
    for name in ["home", "tmp", "notes"] {
        make_private_dir(&scratch.join(name))?;
    }
    Ok(())
}

/// What a program printed, as it may be told: the end of it, without secrets.
struct Told {
    stdout: String,
    both: String,
}

impl Told {
    fn of(effects: &Scoped, output: &Output) -> Self {
        let stdout = end_of(effects, &output.stdout);
        let stderr = end_of(effects, &output.stderr);
        let parts = [stdout.as_str(), stderr.as_str()];
        let both = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n");
        Self { stdout, both }
    }

    fn failure(&self, call: &RunCall, output: &Output) -> String {
        let said = if self.both.is_empty() { "it said nothing" } else { &self.both };
        format!("`{}` ended with {}: {said}", call.program(), output.status)
    }
}

/// Secrets are taken out before it is cut: half of one would not be found.
fn end_of(effects: &Scoped, stream: &Captured) -> String {
    let clean = effects.clean(&stream.end());
    let clean = clean.trim();
    let mut from = clean.len().saturating_sub(TOLD_BYTES);
    while !clean.is_char_boundary(from) {
        from += 1;
    }
    clean[from..].to_owned()
}

async fn outputs(
    dir: &WorkDir,
    call: &RunCall,
    output: &Output,
    told: &Told,
) -> Result<Map<String, Value>, Halt> {
    let (Some(file), Some(below)) = (&call.outputs, &call.dir) else {
        return printed(call, output, told);
    };
    if file == "stdout" {
        return printed(call, output, told);
    }
    // Alone first: joined, an absolute path would replace the directory's.
    rel_path(file)?;
    let path = rel_path(&format!("{below}/{file}"))?;
    let dir = dir.clone();
    let limit = u64::try_from(OUTPUTS_MAX).unwrap_or(u64::MAX);
    let read = blocking(move || dir.read(&path, limit)).await;
    let text = read.map_err(|error| Halt::never(format_args!("outputs: {error}")))?;
    object(file, &text)
}

fn printed(call: &RunCall, output: &Output, told: &Told) -> Result<Map<String, Value>, Halt> {
    match &call.outputs {
        Some(_) if output.stdout.bytes.len() > OUTPUTS_MAX => Err(Halt::never(format_args!(
            "outputs: it printed more than the {OUTPUTS_MAX} bytes that are kept: give out less"
        ))),
        Some(from) => object(from, &output.stdout.bytes),
        None => Ok(Map::from_iter([("stdout".to_owned(), json!(told.stdout))])),
    }
}

fn object(from: &str, text: &[u8]) -> Result<Map<String, Value>, Halt> {
    serde_json::from_slice(text).map_err(|error| {
        // The error says where, and nothing of what is there.
        let place = format!("line {}, column {}", error.line(), error.column());
        Halt::never(format_args!("outputs: {from} holds no JSON object ({place})"))
    })
}

/// A program that makes files did not come to its own end.
pub(super) fn halt(error: &SandboxError) -> Halt {
    let may_pass = match error {
        SandboxError::Process(
            ProcessError::DeadlineExceeded { .. } | ProcessError::Wait { .. },
        ) => true,
        SandboxError::NotMade { .. } | SandboxError::Lost { .. } => true,
        SandboxError::Unavailable(_)
        | SandboxError::Exceeded { .. }
        | SandboxError::NotStarted { .. }
        | SandboxError::Process(
            ProcessError::NotFound { .. }
            | ProcessError::Spawn { .. }
            | ProcessError::Cancelled { .. },
        ) => false,
    };
    Halt::of(error, may_pass)
}

/// A program with effects outside did not come to its own end.
fn cut_short(call: &RunCall, error: &SandboxError) -> Halt {
    if error.is_before_the_start() {
        return halt(error);
    }
    if call.is_at_most_once() {
        return uncertain(call, &crate::explain(error));
    }
    Halt::Failed {
        message: crate::explain(error),
        retry: true,
        retry_after: None,
        record: Box::new(Record::Ran(RanRecord {
            ended: "cut short".to_owned(),
            output: String::new(),
        })),
        seen: Seen::Unsaid,
    }
}

fn uncertain(call: &RunCall, what: &str) -> Halt {
    Halt::Uncertain {
        message: format!(
            "{what}; it is not known what `{}` had done by then, and the step is marked to be run at most once: \
             look there",
            call.program(),
        ),
    }
}
