//! The peers: programs of node, which start what they need and print one line of JSON.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::Figures;

/// A durable workflow engine.
pub(crate) struct Peer {
    script: PathBuf,
    name: &'static str,
}

#[derive(Deserialize)]
struct Said {
    version: String,
    steps: usize,
    seconds: f64,
    p50_ms: f64,
    p99_ms: f64,
    peak_mb: f64,
    note: String,
}

impl Peer {
    /// Those that are installed in this directory.
    pub(crate) fn all(dir: &Path) -> Vec<Self> {
        [("Restate", "restate.mjs"), ("DBOS", "dbos.mjs")]
            .map(|(name, script)| Self { script: dir.join(script), name })
            .into()
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Runs it once.
    pub(crate) fn measure(&self) -> Result<Figures, String> {
        let ran = Command::new("node")
            .arg(&self.script)
            .env("RESTATE_LOGGING", "ERROR")
            .output()
            .map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&ran.stdout);
        let Some(said) = said.lines().last().filter(|_| ran.status.success()) else {
            let errors = String::from_utf8_lossy(&ran.stderr);
            let last = errors.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("");
            return Err(format!("{}: {last}", ran.status));
        };
        let said: Said = serde_json::from_str(said).map_err(|error| format!("{error}: {said}"))?;
        Ok(Figures {
            name: format!("{} {}", self.name, said.version),
            steps: said.steps,
            per_second: said.steps as f64 / said.seconds,
            p50_ms: said.p50_ms,
            p99_ms: said.p99_ms,
            peak_mb: said.peak_mb,
            note: said.note,
        })
    }
}
