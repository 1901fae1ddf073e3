//! Plans: what an apply would do, kept in a file that can be applied later.

use std::path::PathBuf;

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::module::sha256;
use super::{Diagnostic, InfraError, Module, Severity, StateId, read_file};

const SHOW_LIMIT_DEFAULT_BYTES: usize = 64 << 20;

/// What to plan.
#[derive(Debug, Clone)]
pub struct PlanOptions {
    /// Towards what.
    pub mode: PlanMode,
    /// Values of variables by name, typed. They travel in a file, never in arguments.
    pub variables: Map<String, Value>,
    /// Further variable files, applied before `variables`.
    pub var_files: Vec<PathBuf>,
    /// Addresses to which the plan is limited; all if empty.
    pub targets: Vec<String>,
    /// Addresses to replace.
    pub replace: Vec<String>,
    /// Where to write the plan.
    pub out: PathBuf,
    /// The largest JSON form that is accepted, in bytes.
    pub show_limit: usize,
}

/// Towards what to plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanMode {
    /// Towards the configuration.
    Normal,
    /// Towards agreement of the state with the world: what drifted.
    RefreshOnly,
    /// Away with the targets. Refused without targets.
    Destroy,
    /// Away with everything.
    DestroyAll,
}

/// A plan. The file and the JSON hold secrets in clear text.
#[derive(Clone)]
pub struct Plan {
    /// The file that an apply takes.
    pub file: PathBuf,
    /// Its SHA-256, in hexadecimal.
    pub digest: String,
    /// The plan in the tool's JSON form (`show -json`).
    pub json: String,
    /// The plan as the tool shows it to people, without colours and with what is sensitive masked.
    pub text: String,
    /// Whether it would change anything, outputs included.
    pub changes: bool,
    /// The state it was made against; `None` if there was none.
    pub state: Option<StateId>,
    /// SHA-256 of the dependency lock file.
    pub lock_hash: Option<String>,
    /// What the tool warned of.
    pub warnings: Vec<Diagnostic>,
}

impl PlanOptions {
    /// A normal plan without variables, written to `out`.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        Self {
            mode: PlanMode::Normal,
            variables: Map::new(),
            var_files: Vec::new(),
            targets: Vec::new(),
            replace: Vec::new(),
            out: out.into(),
            show_limit: SHOW_LIMIT_DEFAULT_BYTES,
        }
    }

    fn arguments(&self) -> Result<Vec<std::ffi::OsString>, InfraError> {
        let mut arguments: Vec<std::ffi::OsString> = Vec::new();
        match self.mode {
            PlanMode::Normal => {}
            PlanMode::RefreshOnly => arguments.push("-refresh-only".into()),
            PlanMode::Destroy if self.targets.is_empty() => {
                return Err(InfraError::Refused {
                    operation: "plan",
                    reason: "a plan to destroy names no targets, which would destroy everything",
                });
            }
            PlanMode::Destroy | PlanMode::DestroyAll => arguments.push("-destroy".into()),
        }
        let flagged = |flag: &str, value: &std::ffi::OsStr| {
            let mut argument = std::ffi::OsString::from(flag);
            argument.push(value);
            argument
        };
        arguments.extend(self.targets.iter().map(|at| flagged("-target=", at.as_ref())));
        arguments.extend(self.replace.iter().map(|at| flagged("-replace=", at.as_ref())));
        arguments.extend(self.var_files.iter().map(|file| flagged("-var-file=", file.as_os_str())));
        arguments.push(flagged("-out=", self.out.as_os_str()));
        Ok(arguments)
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan")
            .field("file", &self.file)
            .field("digest", &self.digest)
            .field("changes", &self.changes)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Module {
    /// Plans, and reads the plan back as JSON. Writes nothing but the plan file, so it may be repeated.
    ///
    /// # Errors
    /// [`InfraError::StateMoved`] if somebody wrote the state meanwhile; others as they are.
    pub async fn plan(
        &self,
        options: &PlanOptions,
        cancel: &CancellationToken,
    ) -> Result<Plan, InfraError> {
        let variables = self.private_json("variables.tfvars", &options.variables)?;
        let command = self
            .command("plan")?
            .args(["-input=false", "-json", "-detailed-exitcode"])
            .arg(self.lock_argument())
            .args(options.arguments()?)
            .arg(variables.as_argument("-var-file="));
        let before = self.state(cancel).await?;
        let output = self.run_any("plan", command, cancel).await?;
        // With `-detailed-exitcode`: 0 nothing to do, 2 something to do, 1 failed.
        let changes = match output.status.code {
            Some(0) => false,
            Some(2) => true,
            Some(_) | None => return Err(InfraError::of("plan", self.dir.clone(), &output)),
        };
        // The plan is bound to the state that it read. Equal before and after, it read this one.
        if self.state(cancel).await? != before {
            return Err(InfraError::StateMoved { dir: self.dir.clone() });
        }
        let bytes = read_file(&options.out).map_err(InfraError::io("read", &options.out))?;
        let bytes = bytes.ok_or(InfraError::Refused {
            operation: "plan",
            reason: "the tool left no plan where it was told to",
        })?;
        let warnings = super::log::diagnostics(&output.stdout.bytes)
            .into_iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Warning)
            .collect();
        Ok(Plan {
            file: options.out.clone(),
            digest: sha256(&bytes),
            json: self.show(options, &["-json", "-no-color"], cancel).await?,
            text: self.show(options, &["-no-color"], cancel).await?,
            changes,
            state: before,
            lock_hash: self.lock_hash()?,
            warnings,
        })
    }

    async fn show(
        &self,
        options: &PlanOptions,
        form: &[&str],
        cancel: &CancellationToken,
    ) -> Result<String, InfraError> {
        let command =
            self.command("show")?.args(form).arg(&options.out).output_limit(options.show_limit);
        let output = self.run("show", command, cancel).await?;
        // The tool prints UTF-8.
        Ok(String::from_utf8_lossy(&output.stdout.bytes).into_owned())
    }
}
