//! The typed form of a fully rendered step, and what running it leaves behind.
//!
//! A [`Call`] has no choices left: repositories, directories, commit dates, marks and run keys are
//! all in it, so that the same call, repeated after a crash, has the same effect. What it leaves
//! behind is a [`Record`]: data that later steps and the undo need.

use std::collections::BTreeMap;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::StepKind;
use crate::duration;
use crate::id::{PromotionId, StepName};
use crate::infra::{PlanDigest, PlanSummary};

/// What a step does, with nothing left to decide.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "call")]
pub enum Call {
    /// `git_clone`.
    GitClone(CloneCall),
    /// `yaml_update`.
    YamlUpdate(UpdateCall),
    /// `git_commit`.
    GitCommit(CommitCall),
    /// `git_push`.
    GitPush(PushCall),
    /// `tf_plan`.
    TfPlan(PlanCall),
    /// `tf_apply`.
    TfApply(ApplyCall),
    /// `tf_output`.
    TfOutput(OutputCall),
    /// `http`.
    Http(HttpCall),
    /// The undo of a `git_push`.
    GitRevert(RevertCall),
}

/// A pushed commit to take back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevertCall {
    /// The repository.
    pub repo: String,
    /// The branch.
    pub branch: String,
    /// The commit as it is on the branch.
    pub commit: String,
    /// Name of author and committer.
    pub author_name: String,
    /// E-mail address of author and committer.
    pub author_email: String,
    /// Date of author and committer, so that a repeat has the same id.
    pub date: Timestamp,
    /// Value of the `Lockstep-Undo` trailer: promotion and step.
    pub mark: String,
}

/// Trees to put into the working directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloneCall {
    /// The repository's URL.
    pub repo: String,
    /// What to put where, by directory below the working directory.
    pub checkouts: Vec<Checkout>,
}

/// One tree and its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkout {
    /// Directory below the working directory.
    pub dir: String,
    /// Which tree.
    pub at: CheckoutAt,
}

/// Which tree of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckoutAt {
    /// A commit's.
    Commit(String),
    /// That of a branch's tip.
    Branch(String),
    /// A commit's, which was the branch's tip when it was first looked up: for a rebuild.
    Pinned {
        /// The branch.
        branch: String,
        /// Its tip then.
        commit: String,
    },
}

/// Values to set in a YAML file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdateCall {
    /// The file, below the working directory.
    pub path: String,
    /// Scalars by key.
    pub updates: IndexMap<String, Value>,
}

/// A commit to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitCall {
    /// Directory of the checkout.
    pub dir: String,
    /// The repository it came from.
    pub repo: String,
    /// The commit it was checked out from.
    pub base: String,
    /// The message, without trailers.
    pub message: String,
    /// Name of author and committer.
    pub author_name: String,
    /// E-mail address of author and committer.
    pub author_email: String,
    /// Date of author and committer: the promotion's start, so that a repeat has the same id.
    pub date: Timestamp,
    /// Value of the `Lockstep-Promotion` trailer: promotion and step.
    pub mark: String,
}

/// A commit to push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushCall {
    /// The repository.
    pub repo: String,
    /// The branch.
    pub branch: String,
    /// The commit; absent: there was nothing to commit, so nothing to push.
    pub commit: Option<String>,
    /// Value of the commit's `Lockstep-Promotion` trailer.
    pub mark: String,
}

/// An infra module to plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanCall {
    /// The module's directory below the working directory.
    pub dir: String,
    /// Input variables.
    pub vars: Map<String, Value>,
    /// Variable files, below the module's directory.
    pub var_files: Vec<String>,
    /// Name of the embedded state inside the stage.
    pub state: String,
    /// `tofu` or `terraform`; absent: whichever is there, `tofu` first.
    pub tool: Option<String>,
    /// Time to wait for the state's lock.
    pub lock_timeout: Duration,
    /// Time for the run.
    pub timeout: Duration,
    /// Addresses to destroy instead of planning the module; empty: plan the module.
    pub destroy: Vec<String>,
}

/// A stored plan to apply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApplyCall {
    /// The plan as it was made.
    pub plan: Box<PlanRecord>,
    /// Names the one run of this plan: the same key never runs twice.
    pub run: String,
}

/// An infra module whose outputs to read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputCall {
    /// How the module was planned: directory, state, tool.
    pub plan: PlanCall,
}

/// An HTTP request to send.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpCall {
    /// Where.
    pub url: String,
    /// The method.
    pub method: String,
    /// The headers, `Idempotency-Key` included.
    pub headers: BTreeMap<String, String>,
    /// The body; absent: none.
    pub body: Option<Value>,
    /// Time for the whole exchange.
    pub timeout: Duration,
    /// CEL over `response` that must hold.
    pub success: String,
    /// CEL over `response` by output name.
    pub outputs: BTreeMap<String, String>,
    /// Whether it may be sent again when it is not known whether it was.
    pub at_most_once: bool,
}

/// What a step left behind that later steps or the undo need.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "record")]
pub enum Record {
    /// Nothing.
    None,
    /// Trees and the commits they are of.
    Clone(CloneRecord),
    /// A commit, or that there was nothing to commit.
    Commit(CommitRecord),
    /// A push.
    Push(PushRecord),
    /// A stored plan.
    Plan(Box<PlanRecord>),
    /// An apply.
    Applied(Applied),
}

/// Which commit each directory holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloneRecord {
    /// The repository.
    pub repo: String,
    /// Commit by directory.
    pub commits: IndexMap<String, String>,
    /// Branch by directory, for those checked out from a branch.
    pub branches: IndexMap<String, String>,
}

/// A commit that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitRecord {
    /// The checkout's directory.
    pub dir: String,
    /// The repository.
    pub repo: String,
    /// The commit's parent.
    pub base: String,
    /// The commit; absent: nothing had changed.
    pub commit: Option<String>,
    /// Files that it changes.
    pub files: Vec<FileChange>,
}

/// One changed file of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Path in the repository.
    pub path: String,
    /// Object id before; absent: the file is new.
    pub old_blob: Option<String>,
    /// Object id after; absent: the file is gone.
    pub new_blob: Option<String>,
    /// The difference as text, capped.
    pub patch: String,
}

/// A commit that is on its branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushRecord {
    /// The repository.
    pub repo: String,
    /// The branch.
    pub branch: String,
    /// The commit as it is there; differs from the prepared one where others had pushed before.
    pub commit: Option<String>,
}

/// A stored plan of an infra module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanRecord {
    /// How it was planned.
    pub call: PlanCall,
    /// SHA-256 of the stored plan file: what an apply must present.
    pub file_digest: String,
    /// Where the plan file is kept, a name inside the daemon's storage.
    pub file: String,
    /// What it would do.
    pub summary: PlanSummary,
    /// Digest of what it would do, the same for an identical re-plan.
    pub semantic_digest: PlanDigest,
    /// Outputs after the apply, as far as the plan knows them.
    pub outputs: BTreeMap<String, PlannedOutput>,
    /// Lineage and serial of the state that it was made against; absent: there was none.
    pub state: Option<(String, u64)>,
}

/// An output as the plan knows it. Sensitive values are never kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlannedOutput {
    /// Its value after the apply.
    Known(Value),
    /// Not known before the apply.
    Unknown,
    /// Sensitive: read from the state when a step needs it.
    Sensitive,
}

/// An apply that ended well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Addresses that it created.
    pub created: Vec<String>,
}

/// How running a call ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum StepOutcome {
    /// It is done.
    Done {
        /// What later steps see as `steps.<name>`.
        outputs: Map<String, Value>,
        /// What the undo needs.
        record: Record,
    },
    /// It is not done, and nothing outside was changed or what was changed is in `record`.
    Failed {
        /// What happened, where, and what to do.
        message: String,
        /// Whether the same call may succeed later.
        retry: bool,
        /// What was changed before it failed.
        record: Record,
    },
    /// It cannot be known whether it is done.
    Uncertain {
        /// What is not known, and what a person must look at.
        message: String,
    },
}

/// What a call needs to know of its surroundings beside its arguments.
#[derive(Debug, Clone)]
pub struct WorkdirContext<'a> {
    /// The promotion.
    pub promotion: &'a PromotionId,
    /// The step.
    pub step: &'a StepName,
    /// The promotion's start.
    pub started_at: Timestamp,
    /// Records of the steps before, in order.
    pub records: &'a IndexMap<StepName, Record>,
}

/// Why a rendered step is not a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// A rendered value has another type than the argument takes.
    #[error("{path}: expected {expected}, but the templates gave {found}")]
    Type {
        /// The argument.
        path: String,
        /// What it takes.
        expected: &'static str,
        /// What was rendered.
        found: String,
    },
    /// The directory holds no checkout.
    #[error("dir: no git_clone step before this one checks out into {dir:?}")]
    NoCheckout {
        /// The directory.
        dir: String,
    },
    /// There is no branch to push to.
    #[error(
        "branch: {dir:?} was checked out from a commit, so the branch to push to must be given"
    )]
    NoBranch {
        /// The directory.
        dir: String,
    },
    /// Nothing was committed there.
    #[error("dir: no git_commit step before this one commits {dir:?}")]
    NoCommit {
        /// The directory.
        dir: String,
    },
    /// There is no such plan.
    #[error("plan: no tf_plan step before this one is named {name:?}")]
    NoPlan {
        /// The name.
        name: String,
    },
    /// The module was not planned.
    #[error("dir: no tf_plan step before this one plans {dir:?}")]
    NotPlanned {
        /// The directory.
        dir: String,
    },
}

impl Call {
    /// Makes the call of a step from its rendered arguments.
    ///
    /// # Errors
    /// A rendered value of the wrong type, or a reference to a step that left nothing usable.
    pub fn new(
        kind: StepKind,
        config: &Value,
        context: &WorkdirContext<'_>,
    ) -> Result<Self, CallError> {
        let arguments = Arguments(config);
        match kind {
            StepKind::GitClone => clone(&arguments).map(Self::GitClone),
            StepKind::YamlUpdate => update(&arguments).map(Self::YamlUpdate),
            StepKind::GitCommit => commit(&arguments, context).map(Self::GitCommit),
            StepKind::GitPush => push(&arguments, context).map(Self::GitPush),
            StepKind::TfPlan => plan(&arguments).map(Self::TfPlan),
            StepKind::TfApply => apply(&arguments, context).map(Self::TfApply),
            StepKind::TfOutput => output(&arguments, context).map(Self::TfOutput),
            StepKind::Http => http(&arguments, context).map(Self::Http),
        }
    }
}

fn clone(arguments: &Arguments<'_>) -> Result<CloneCall, CallError> {
    let mut checkouts = Vec::new();
    for (dir, checkout) in arguments.map("checkout")? {
        let checkout = Arguments(checkout);
        let at = match checkout.optional_text("commit")? {
            Some(commit) => CheckoutAt::Commit(commit),
            None => CheckoutAt::Branch(checkout.text("branch")?),
        };
        checkouts.push(Checkout { dir: dir.clone(), at });
    }
    Ok(CloneCall { repo: arguments.text("repo")?, checkouts })
}

fn update(arguments: &Arguments<'_>) -> Result<UpdateCall, CallError> {
    let updates = arguments.map("updates")?;
    Ok(UpdateCall {
        path: arguments.text("path")?,
        updates: updates.map(|(key, value)| (key.clone(), value.clone())).collect(),
    })
}

fn commit(
    arguments: &Arguments<'_>,
    context: &WorkdirContext<'_>,
) -> Result<CommitCall, CallError> {
    let dir = arguments.text("dir")?;
    let (clone, base) =
        checkout_of(context, &dir).ok_or_else(|| CallError::NoCheckout { dir: dir.clone() })?;
    Ok(CommitCall {
        repo: clone.repo.clone(),
        base: base.clone(),
        message: arguments.text("message")?,
        author_name: arguments.optional_text("author_name")?.unwrap_or_else(|| "Lockstep".into()),
        author_email: arguments
            .optional_text("author_email")?
            .unwrap_or_else(|| "lockstep@localhost".into()),
        date: context.started_at,
        mark: mark(context.promotion, context.step),
        dir,
    })
}

fn push(arguments: &Arguments<'_>, context: &WorkdirContext<'_>) -> Result<PushCall, CallError> {
    let dir = arguments.text("dir")?;
    let (committer, record) = context
        .records
        .iter()
        .rev()
        .find_map(|(step, record)| match record {
            Record::Commit(commit) if commit.dir == dir => Some((step, commit)),
            _ => None,
        })
        .ok_or_else(|| CallError::NoCommit { dir: dir.clone() })?;
    let from_checkout =
        || checkout_of(context, &dir).and_then(|(clone, _)| clone.branches.get(&dir)).cloned();
    let Some(branch) = arguments.optional_text("branch")?.or_else(from_checkout) else {
        return Err(CallError::NoBranch { dir });
    };
    Ok(PushCall {
        repo: record.repo.clone(),
        branch,
        commit: record.commit.clone(),
        mark: mark(context.promotion, committer),
    })
}

fn plan(arguments: &Arguments<'_>) -> Result<PlanCall, CallError> {
    let dir = arguments.text("dir")?;
    let vars = arguments.optional_map("vars")?;
    Ok(PlanCall {
        vars: vars.map(|(name, value)| (name.clone(), value.clone())).collect(),
        var_files: arguments.texts("var_files")?,
        state: arguments.optional_text("state")?.unwrap_or_else(|| dir.clone()),
        tool: arguments.optional_text("tool")?,
        lock_timeout: arguments.duration("lock_timeout")?.unwrap_or(Duration::from_secs(60)),
        timeout: arguments.duration("timeout")?.unwrap_or(Duration::from_secs(3600)),
        destroy: Vec::new(),
        dir,
    })
}

fn apply(arguments: &Arguments<'_>, context: &WorkdirContext<'_>) -> Result<ApplyCall, CallError> {
    let name = arguments.text("plan")?;
    let record = context.records.iter().find_map(|(step, record)| match record {
        Record::Plan(plan) if step.as_str() == name => Some(plan),
        _ => None,
    });
    let Some(plan) = record else { return Err(CallError::NoPlan { name }) };
    let run = mark(context.promotion, context.step).replace('/', "-");
    Ok(ApplyCall { plan: plan.clone(), run })
}

fn output(
    arguments: &Arguments<'_>,
    context: &WorkdirContext<'_>,
) -> Result<OutputCall, CallError> {
    let dir = arguments.text("dir")?;
    let record = context.records.values().rev().find_map(|record| match record {
        Record::Plan(plan) if plan.call.dir == dir => Some(plan),
        _ => None,
    });
    match record {
        Some(plan) => Ok(OutputCall { plan: plan.call.clone() }),
        None => Err(CallError::NotPlanned { dir }),
    }
}

fn http(arguments: &Arguments<'_>, context: &WorkdirContext<'_>) -> Result<HttpCall, CallError> {
    let method = arguments.optional_text("method")?.unwrap_or_else(|| "GET".to_owned());
    let mut headers = BTreeMap::new();
    for (name, value) in arguments.optional_map("headers")? {
        headers.insert(name.clone(), scalar_text(value, &format!("headers.{name}"))?);
    }
    let key = mark(context.promotion, context.step);
    headers.entry("Idempotency-Key".to_owned()).or_insert(key);
    let mut outputs = BTreeMap::new();
    for (name, value) in arguments.optional_map("outputs")? {
        outputs.insert(name.clone(), scalar_text(value, &format!("outputs.{name}"))?);
    }
    let repeatable = matches!(method.as_str(), "GET" | "PUT" | "DELETE");
    let at_most_once = match arguments.optional_text("delivery")?.as_deref() {
        Some("at_most_once") => true,
        Some(_) => false,
        None => !repeatable,
    };
    Ok(HttpCall {
        url: arguments.text("url")?,
        headers,
        body: arguments.0.get("body").filter(|body| !body.is_null()).cloned(),
        timeout: arguments.duration("timeout")?.unwrap_or(Duration::from_secs(30)),
        success: arguments
            .optional_text("success")?
            .unwrap_or_else(|| "response.status >= 200 && response.status < 300".to_owned()),
        outputs,
        at_most_once,
        method,
    })
}

/// What marks an effect of a step outside: in commit trailers, headers and run names.
#[must_use]
pub fn mark(promotion: &PromotionId, step: &StepName) -> String {
    format!("{promotion}/{step}")
}

fn checkout_of<'a>(
    context: &'a WorkdirContext<'_>,
    dir: &str,
) -> Option<(&'a CloneRecord, &'a String)> {
    context.records.values().rev().find_map(|record| match record {
        Record::Clone(clone) => clone.commits.get(dir).map(|commit| (clone, commit)),
        Record::None
        | Record::Commit(_)
        | Record::Push(_)
        | Record::Plan(_)
        | Record::Applied(_) => None,
    })
}

fn scalar_text(value: &Value, path: &str) -> Result<String, CallError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(value) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(CallError::Type {
            path: path.to_owned(),
            expected: "text",
            found: value.to_string(),
        }),
    }
}

/// Typed reading of rendered arguments.
struct Arguments<'a>(&'a Value);

impl<'a> Arguments<'a> {
    fn given(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn optional_text(&self, name: &str) -> Result<Option<String>, CallError> {
        self.given(name).map(|value| scalar_text(value, name)).transpose()
    }

    fn text(&self, name: &str) -> Result<String, CallError> {
        scalar_text(self.0.get(name).unwrap_or(&Value::Null), name)
    }

    fn texts(&self, name: &str) -> Result<Vec<String>, CallError> {
        let Some(value) = self.given(name) else { return Ok(Vec::new()) };
        let items = value.as_array().ok_or_else(|| CallError::Type {
            path: name.to_owned(),
            expected: "a list",
            found: value.to_string(),
        })?;
        items
            .iter()
            .enumerate()
            .map(|(at, item)| scalar_text(item, &format!("{name}[{at}]")))
            .collect()
    }

    fn duration(&self, name: &str) -> Result<Option<Duration>, CallError> {
        let Some(text) = self.optional_text(name)? else { return Ok(None) };
        let parsed = duration::parse(&text);
        parsed.map(Some).map_err(|_| CallError::Type {
            path: name.to_owned(),
            expected: "a duration such as \"30s\"",
            found: text,
        })
    }

    fn optional_map(
        &self,
        name: &str,
    ) -> Result<impl Iterator<Item = (&'a String, &'a Value)> + use<'a>, CallError> {
        let entries = match self.given(name) {
            None => None,
            Some(Value::Object(entries)) => Some(entries),
            Some(other) => {
                return Err(CallError::Type {
                    path: name.to_owned(),
                    expected: "a map",
                    found: other.to_string(),
                });
            }
        };
        Ok(entries.into_iter().flatten())
    }

    fn map(
        &self,
        name: &str,
    ) -> Result<impl Iterator<Item = (&'a String, &'a Value)> + use<'a>, CallError> {
        self.optional_map(name)
    }
}
