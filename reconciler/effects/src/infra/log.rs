//! The tools' machine-readable log: what an apply began, finished and complained about.
//!
//! Reference: "Machine-readable UI" in Terraform's documentation. Lines of unknown types are skipped; a last
//! line that was cut off is too.

use std::collections::BTreeMap;
use std::io::{BufReader, Read as _};
use std::path::Path;

use serde::Deserialize;

use super::{Diagnostic, OutputValue, Severity, record};

/// A log is read up to here.
const LOG_MAX_BYTES: u64 = 256 << 20;

/// An address with the action on it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Touched {
    /// The resource's address.
    pub address: String,
    /// `create`, `update`, `delete` or another action as the tool names it.
    pub action: String,
}

/// What a log says about an apply.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ApplyLog {
    /// Actions that ended well, in order.
    pub completed: Vec<Touched>,
    /// Actions that ended badly, in order. Their objects may exist, and the state may not know.
    pub errored: Vec<Touched>,
    /// Actions that began and have no end in the log.
    pub unfinished: Vec<Touched>,
    /// Errors and warnings.
    pub diagnostics: Vec<Diagnostic>,
    /// Outputs after the apply. Values that the module marks as secret are left out by the tool.
    pub outputs: BTreeMap<String, OutputValue>,
}

impl ApplyLog {
    /// Addresses that may name objects which no state knows: begun to be created and never reported back.
    #[must_use]
    pub fn maybe_created(&self) -> Vec<&str> {
        self.unfinished
            .iter()
            .filter(|touched| touched.action == "create")
            .map(|touched| touched.address.as_str())
            .collect()
    }

    /// The errors among the diagnostics.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

/// Reads the log of a run; an empty one if there is none yet.
///
/// # Errors
/// If the file cannot be read.
pub fn read(run_dir: &Path) -> std::io::Result<ApplyLog> {
    match std::fs::File::open(run_dir.join(record::STDOUT)) {
        Ok(file) => collect(BufReader::new(file.take(LOG_MAX_BYTES))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(ApplyLog::default()),
        Err(error) => Err(error),
    }
}

/// The diagnostics in captured output.
pub(super) fn diagnostics(output: &[u8]) -> Vec<Diagnostic> {
    collect(output).map(|log| log.diagnostics).unwrap_or_default()
}

fn collect(mut lines: impl std::io::BufRead) -> std::io::Result<ApplyLog> {
    let mut log = ApplyLog::default();
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        if let Ok(entry) = serde_json::from_slice(&line) {
            log.take(entry);
        }
        line.clear();
    }
    Ok(log)
}

impl ApplyLog {
    fn take(&mut self, line: Line) {
        match line {
            Line::ApplyStart { hook } => self.unfinished.push(hook.touched()),
            Line::ApplyComplete { hook } => {
                let touched = self.finish(hook);
                self.completed.push(touched);
            }
            Line::ApplyErrored { hook } => {
                let touched = self.finish(hook);
                self.errored.push(touched);
            }
            Line::Diagnostic { diagnostic } => self.diagnostics.push(diagnostic),
            Line::Outputs { outputs } => {
                let known = outputs.into_iter().filter_map(|(name, output)| {
                    let value = OutputValue { value: output.value?, sensitive: output.sensitive };
                    Some((name, value))
                });
                self.outputs.extend(known);
            }
            Line::Other => {}
        }
    }

    fn finish(&mut self, hook: Hook) -> Touched {
        let touched = hook.touched();
        if let Some(index) = self.unfinished.iter().position(|started| *started == touched) {
            self.unfinished.remove(index);
        }
        touched
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    ApplyStart {
        hook: Hook,
    },
    ApplyComplete {
        hook: Hook,
    },
    ApplyErrored {
        hook: Hook,
    },
    Diagnostic {
        diagnostic: Diagnostic,
    },
    Outputs {
        outputs: BTreeMap<String, LoggedOutput>,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Hook {
    resource: Resource,
    action: String,
}

#[derive(Deserialize)]
struct Resource {
    addr: String,
}

/// A plan's log names outputs without values.
#[derive(Deserialize)]
struct LoggedOutput {
    value: Option<serde_json::Value>,
    #[serde(default)]
    sensitive: bool,
}

impl Hook {
    fn touched(self) -> Touched {
        Touched { address: self.resource.addr, action: self.action }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_began_and_never_ended_may_exist() {
        let line = |kind: &str, address: &str, action: &str| {
            format!(
                r#"{{"type":"{kind}","hook":{{"resource":{{"addr":"{address}"}},"action":"{action}"}}}}"#
            )
        };
        let text = [
            line("apply_start", "a.x", "create"),
            line("apply_start", "a.y", "create"),
            line("apply_start", "a.z", "delete"),
            line("apply_start", "a.w", "create"),
            line("apply_progress", "a.y", "create"),
            line("apply_complete", "a.x", "create"),
            line("apply_errored", "a.w", "create"),
            r#"{"type":"diagnostic","diagnostic":{"severity":"error","summary":"no","detail":"","address":"a.w"}}"#.to_owned(),
            "not json".to_owned(),
            r#"{"type":"apply_start","hook":{"reso"#.to_owned(),
        ]
        .join("\n");
        let log = collect(text.as_bytes()).unwrap();
        assert_eq!(log.maybe_created(), ["a.y"]);
        assert_eq!(log.completed.len(), 1);
        assert_eq!(log.errored[0].address, "a.w");
        assert_eq!(log.errors().count(), 1);
    }
}
