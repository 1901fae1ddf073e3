//! Calls that run programs.

use std::time::Duration;

use super::{Arguments, CallError, WorkdirContext, mark};
use crate::step::run::is_secret;
use crate::step::{RunCall, RunEffect, RunNetwork, StepKind};

/// Time of a program that has none given.
const TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// Memory and disk of one that has none given, in MiB.
const USUAL_MIB: u64 = 1024;
/// Most memory or disk that may be asked for, in MiB.
const MOST_MIB: u64 = 1 << 20;
/// Processes of one that has none given.
const PROCESSES: u64 = 256;
/// Most processes that may be asked for.
const PROCESSES_MAX: u64 = 32_768;

pub(super) fn local(
    arguments: &Arguments<'_>,
    context: &WorkdirContext<'_>,
) -> Result<RunCall, CallError> {
    let writes = arguments.texts("writes")?;
    Ok(RunCall { writes, ..call(StepKind::Run, arguments, context)? })
}

pub(super) fn effect(
    arguments: &Arguments<'_>,
    context: &WorkdirContext<'_>,
) -> Result<RunCall, CallError> {
    let delivery = arguments.word(StepKind::RunEffect, "delivery")?;
    let effect = RunEffect {
        // Not given, which is checked before, it is the safer one.
        at_most_once: delivery.as_deref() != Some("at_least_once"),
        undo: arguments.texts("undo")?,
    };
    let call = call(StepKind::RunEffect, arguments, context)?;
    Ok(RunCall { effect: Some(effect), ..call })
}

fn call(
    kind: StepKind,
    arguments: &Arguments<'_>,
    context: &WorkdirContext<'_>,
) -> Result<RunCall, CallError> {
    let network = match arguments.word(kind, "network")?.as_deref() {
        Some("egress") => RunNetwork::Egress,
        Some("host") => RunNetwork::Host,
        Some(_) | None => RunNetwork::None,
    };
    let command = arguments.texts("command")?;
    if command.first().is_none_or(String::is_empty) {
        let (path, expected) = ("command".to_owned(), "a program and its arguments");
        return Err(CallError::Type { path, expected, found: "nothing".to_owned() });
    }
    let secrets = arguments.expressions("secrets")?;
    if let Some((name, reference)) = secrets.iter().find(|(_, reference)| !is_secret(reference)) {
        let (path, expected) = (format!("secrets.{name}"), "CREDENTIAL/KEY");
        return Err(CallError::Type { path, expected, found: reference.clone() });
    }
    Ok(RunCall {
        command,
        dir: arguments.optional_text("dir")?,
        reads: arguments.texts("reads")?,
        writes: Vec::new(),
        env: arguments.expressions("env")?,
        secrets,
        network,
        memory_mib: arguments.count("memory_mib", MOST_MIB)?.unwrap_or(USUAL_MIB),
        disk_mib: arguments.count("disk_mib", MOST_MIB)?.unwrap_or(USUAL_MIB),
        processes: arguments.count("processes", PROCESSES_MAX)?.unwrap_or(PROCESSES),
        timeout: arguments.duration("timeout")?.unwrap_or(TIMEOUT),
        outputs: arguments.optional_text("outputs")?,
        // Promotion ids repeat across projects.
        key: format!("{}/{}", context.project, mark(context.promotion, context.step)),
        effect: None,
    })
}
