//! What running a call leaves behind: the data that later steps and the undo need.

use std::collections::BTreeMap;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ChartsRecord, ImportCall, Kept, OciRecord, PlanCall, PullRequestRecord, RanRecord};
use crate::infra::{PlanDigest, PlanSummary};

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
    /// A tag.
    Tag(TagRecord),
    /// What a call on a registry left behind.
    Oci(OciRecord),
    /// Archives of charts that were fetched.
    Charts(ChartsRecord),
    /// A pull request.
    PullRequest(PullRequestRecord),
    /// A stored plan.
    Plan(Box<PlanRecord>),
    /// An apply.
    Applied(Applied),
    /// The stored plan was refused: the state is not the one that it was made against. Nothing was changed.
    Stale,
    /// What was written into the daemon's own store.
    Kept(Kept),
    /// A program with effects outside that has run.
    Ran(RanRecord),
    /// A request that was sent, and may have been acted on, although its answer was not as wanted.
    Sent,
    /// What the plans of a module are to import.
    Imports(ImportCall),
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
    /// Files and folders by directory, for those of which not all was checked out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paths: BTreeMap<String, Vec<String>>,
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
    /// What it says, without trailers. Empty in logs from before it was written down.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
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
    /// The mark of the commit as it was made: promotion and step. Empty in logs from before it was
    /// written down, and of an undo.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mark: String,
    /// Whether this promotion made the branch for certain.
    #[serde(default)]
    pub created: bool,
}

/// A tag that leads to its commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRecord {
    /// The repository.
    pub repo: String,
    /// The name.
    pub tag: String,
    /// What it is at: the commit, or the annotation that leads to it.
    pub object: String,
    /// Whether this promotion made it for certain. One that was there already may be anybody's.
    pub made: bool,
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
    /// What the tool says of it to people; absent: in logs from before it was kept, and in calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<PlanText>,
    /// Names all that it was made of, but for the state and the world; absent: nobody can tell all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<String>,
}

/// What the tool says of a plan to people, as much of it as is kept. The tool has masked what the module marks as
/// sensitive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanText {
    /// The text, or its beginning up to the end of a line.
    pub text: String,
    /// Bytes of the whole text.
    pub bytes: u64,
}

/// Most bytes of the text of a plan that are kept: it is in the log for ever.
pub const PLAN_TEXT_MAX: usize = 128 * 1024;

impl PlanText {
    /// As much of a text as is kept.
    #[must_use]
    pub fn of(mut text: String) -> Self {
        let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        if text.len() > PLAN_TEXT_MAX {
            let end = (0..=PLAN_TEXT_MAX).rev().find(|at| text.is_char_boundary(*at));
            let end = end.unwrap_or_default();
            text.truncate(text[..end].rfind('\n').map_or(end, |line| line + 1));
        }
        Self { text, bytes }
    }

    /// Whether some of it is left out.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        u64::try_from(self.text.len()).is_ok_and(|kept| kept < self.bytes)
    }
}

impl PlanRecord {
    /// As a call has it that applies it: without what is for people alone.
    #[must_use]
    pub fn to_apply(&self) -> Box<Self> {
        Box::new(Self { text: None, ..self.clone() })
    }
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
        /// How long the other side asks to be left alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<Duration>,
        /// What was changed before it failed.
        record: Record,
        /// Whether it may have had its effect all the same.
        #[serde(default, skip_serializing_if = "Seen::is_unsaid")]
        seen: Seen,
    },
    /// It cannot be known whether it is done.
    Uncertain {
        /// What is not known, and what a person must look at.
        message: String,
    },
    /// It was broken off on order. Whether it is done is not known here; the same call finds out.
    Interrupted {
        /// By what.
        by: Interruption,
    },
}

/// What is known of the effect of a call that failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// Nothing new: it failed before it was sent, or looked for. In logs from before this was written down,
    /// everything that failed did.
    #[default]
    Unsaid,
    /// It has not happened, by no run so far, but for what is on record: it was looked for.
    No,
    /// It was sent, and nobody saw what became of it.
    Perhaps,
}

impl Seen {
    fn is_unsaid(&self) -> bool {
        *self == Self::Unsaid
    }
}

/// What breaks a call off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interruption {
    /// Its time was over.
    Timeout,
    /// A person asked to stop, or the promotion waited for too long.
    Abort,
    /// A step that is carried out beside it failed for good.
    Beside,
}

/// Most bytes that the outputs of one step may have, as JSON: they are in the log for ever, and in
/// every expression after it.
pub const OUTPUTS_MAX: usize = 256 * 1024;

impl StepOutcome {
    /// The outcome, held to what a log takes. A step with larger outputs failed; what it changed is
    /// on record.
    #[must_use]
    pub fn within_limits(self) -> Self {
        match self {
            Self::Done { outputs, record } => {
                let size = serde_json::to_string(&outputs).map_or(0, |text| text.len());
                if size <= OUTPUTS_MAX {
                    return Self::Done { outputs, record };
                }
                let message = format!(
                    "its outputs have {size} bytes, at most {OUTPUTS_MAX} are kept: give out less"
                );
                Self::Failed {
                    message,
                    retry: false,
                    retry_after: None,
                    record,
                    seen: Seen::Unsaid,
                }
            }
            Self::Failed { .. } | Self::Uncertain { .. } | Self::Interrupted { .. } => self,
        }
    }
}

impl Record {
    /// The trees, if that is what was left behind.
    #[must_use]
    pub fn as_clone(&self) -> Option<&CloneRecord> {
        match self {
            Self::Clone(clone) => Some(clone),
            Self::None
            | Self::Commit(_)
            | Self::Push(_)
            | Self::Tag(_)
            | Self::Oci(_)
            | Self::Charts(_)
            | Self::PullRequest(_)
            | Self::Plan(_)
            | Self::Applied(_)
            | Self::Kept(_)
            | Self::Stale
            | Self::Imports(_)
            | Self::Ran(_)
            | Self::Sent => None,
        }
    }

    /// The commit, if that is what was left behind.
    #[must_use]
    pub fn as_commit(&self) -> Option<&CommitRecord> {
        match self {
            Self::Commit(commit) => Some(commit),
            Self::None
            | Self::Clone(_)
            | Self::Push(_)
            | Self::Tag(_)
            | Self::Oci(_)
            | Self::Charts(_)
            | Self::PullRequest(_)
            | Self::Plan(_)
            | Self::Applied(_)
            | Self::Kept(_)
            | Self::Stale
            | Self::Imports(_)
            | Self::Ran(_)
            | Self::Sent => None,
        }
    }

    /// The push, if that is what was left behind.
    #[must_use]
    pub fn as_push(&self) -> Option<&PushRecord> {
        match self {
            Self::Push(push) => Some(push),
            Self::None
            | Self::Clone(_)
            | Self::Commit(_)
            | Self::Tag(_)
            | Self::Oci(_)
            | Self::Charts(_)
            | Self::PullRequest(_)
            | Self::Plan(_)
            | Self::Applied(_)
            | Self::Kept(_)
            | Self::Stale
            | Self::Imports(_)
            | Self::Ran(_)
            | Self::Sent => None,
        }
    }

    /// What a call about a pull request left behind, if it was one.
    #[must_use]
    pub fn as_pull_request(&self) -> Option<&PullRequestRecord> {
        match self {
            Self::PullRequest(record) => Some(record),
            Self::None
            | Self::Clone(_)
            | Self::Commit(_)
            | Self::Push(_)
            | Self::Tag(_)
            | Self::Oci(_)
            | Self::Charts(_)
            | Self::Plan(_)
            | Self::Applied(_)
            | Self::Kept(_)
            | Self::Stale
            | Self::Imports(_)
            | Self::Ran(_)
            | Self::Sent => None,
        }
    }

    /// What a call on a registry left behind, if it was one.
    #[must_use]
    pub fn as_oci(&self) -> Option<&OciRecord> {
        match self {
            Self::Oci(oci) => Some(oci),
            Self::None
            | Self::Clone(_)
            | Self::Commit(_)
            | Self::Push(_)
            | Self::Tag(_)
            | Self::Charts(_)
            | Self::PullRequest(_)
            | Self::Plan(_)
            | Self::Applied(_)
            | Self::Kept(_)
            | Self::Stale
            | Self::Imports(_)
            | Self::Ran(_)
            | Self::Sent => None,
        }
    }

    /// What plans are to import, if that is what was left behind.
    #[must_use]
    pub fn as_imports(&self) -> Option<&ImportCall> {
        if let Self::Imports(imports) = self { Some(imports) } else { None }
    }

    /// The plan, if that is what was left behind.
    #[must_use]
    pub fn as_plan(&self) -> Option<&PlanRecord> {
        match self {
            Self::Plan(plan) => Some(plan),
            Self::None
            | Self::Clone(_)
            | Self::Commit(_)
            | Self::Push(_)
            | Self::Tag(_)
            | Self::Oci(_)
            | Self::Charts(_)
            | Self::PullRequest(_)
            | Self::Applied(_)
            | Self::Kept(_)
            | Self::Stale
            | Self::Imports(_)
            | Self::Ran(_)
            | Self::Sent => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, kept: usize, is_cut: bool) {
        let made = PlanText::of(text.to_owned());
        assert_eq!((made.text.len(), made.is_cut()), (kept, is_cut));
        assert!(text.starts_with(&made.text));
        assert_eq!(made.bytes, u64::try_from(text.len()).expect("it fits"));
    }

    #[test]
    fn a_long_text_is_kept_up_to_the_end_of_a_line() {
        check("", 0, false);
        check("+ a.b\n", 6, false);
        check(&"+ a.b\n".repeat(PLAN_TEXT_MAX / 6), PLAN_TEXT_MAX / 6 * 6, false);
        check(&"+ a.b\n".repeat(PLAN_TEXT_MAX), PLAN_TEXT_MAX / 6 * 6, true);
        check(&"\u{e4}".repeat(PLAN_TEXT_MAX), PLAN_TEXT_MAX, true);
        check(&format!("x{}", "\u{e4}".repeat(PLAN_TEXT_MAX)), PLAN_TEXT_MAX - 1, true);
    }
}
