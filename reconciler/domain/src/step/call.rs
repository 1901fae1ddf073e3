//! The typed form of a fully rendered step.
//!
//! A [`Call`] has no choices left: repositories, directories, commit dates, marks and run keys are
//! all in it, so that the same call, repeated after a crash, has the same effect. What it leaves
//! behind is a [`Record`](super::Record).

use std::collections::BTreeMap;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    ApplyCall, AskCall, ChartCall, FileCall, ImportCall, KeepCall, ModuleOptions, OciCall,
    OutputCall, ParseCall, PlanCall, PullRequestCall, RenderCall, RunCall, WaitCall,
};
use crate::secret::SecretRef;

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
    /// `git_tag`.
    GitTag(TagCall),
    /// `tf_plan`.
    TfPlan(PlanCall),
    /// `tf_apply`.
    TfApply(ApplyCall),
    /// `tf_output`.
    TfOutput(OutputCall),
    /// `tf_import`. It only looks: the plans that follow do it.
    TfImport(ImportCall),
    /// `http`.
    Http(HttpCall),
    /// The undo of a `git_push`.
    GitRevert(RevertCall),
    /// The undo of a `git_tag`.
    GitUntag(UntagCall),
    /// A change of files in the working directory.
    File(FileCall),
    /// `download`.
    Download(DownloadCall),
    /// Values of a file: `yaml_parse` and its like.
    Parse(ParseCall),
    /// A call on a registry: `oci_pull`, `oci_push`, `oci_attach`.
    Oci(OciCall),
    /// Manifests to render: `kustomize_build`, `helm_template`.
    Render(RenderCall),
    /// `helm_update_chart`.
    Chart(ChartCall),
    /// `compose_output`.
    Compose {
        /// Values by output name.
        outputs: Map<String, Value>,
    },
    /// `fail`.
    Fail {
        /// Why.
        message: String,
    },
    /// About a pull request.
    PullRequest(PullRequestCall),
    /// A program to run: `run`, `run_effect`, and the undo of the latter.
    Run(RunCall),
    /// `wait`. It is not carried out: the log says when it began, and when it is over.
    Wait(WaitCall),
    /// Something for the daemon's own store: `set_metadata`, `set_alias`, `audit_event`. It is not carried
    /// out: its outcome says what is written.
    Keep(KeepCall),
    /// A question: `wait_for_approval`, `get_input`. It is not carried out: people answer it.
    Ask(AskCall),
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
    /// Whether the push made the branch: it is deleted if it is still as it was made.
    #[serde(default)]
    pub created: bool,
    /// Whether the branch is that of a pull request: a forge deletes it once it is merged, and what was on it is
    /// taken back where it went. Any other branch that is gone may live on under another name.
    #[serde(default)]
    pub may_be_gone: bool,
    /// Whether it is only looked for.
    #[serde(default, skip_serializing_if = "Asks::is_no")]
    pub asks: Asks,
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
    /// Whether a branch that is not there begins empty, instead of being an error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub create: bool,
    /// Files and folders of the repository to put there; all, if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
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
    /// What was checked out of it; all, if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
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
    /// What is done where others pushed to the branch since.
    #[serde(default, skip_serializing_if = "IfMoved::is_usual")]
    pub if_moved: IfMoved,
    /// The commit that the branch was at when it was checked out: a branch that does not have it any more
    /// was rewritten. Absent: another branch was checked out, or a commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands_on: Option<String>,
    /// Commits of the same checkout that were pushed to the branch before: this one holds what they brought.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub own: Vec<String>,
    /// Whether it is only looked for.
    #[serde(default, skip_serializing_if = "Asks::is_no")]
    pub asks: Asks,
}

/// What a push does where others pushed to the branch since the commit was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfMoved {
    /// Makes the commit again on top of theirs.
    #[default]
    Rebase,
    /// Joins both by a merge commit, so that the commit itself is on the branch.
    Merge,
    /// Does nothing, and fails.
    Fail,
}

impl IfMoved {
    /// The words for them in a step.
    pub const WORDS: &'static [&'static str] = &["rebase", "merge", "fail"];

    /// The one of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "rebase" => Some(Self::Rebase),
            "merge" => Some(Self::Merge),
            "fail" => Some(Self::Fail),
            _ => None,
        }
    }

    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// A tag to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagCall {
    /// The repository.
    pub repo: String,
    /// The name.
    pub tag: String,
    /// The commit.
    pub commit: String,
    /// What it says; absent: it is a lightweight one.
    pub note: Option<TagNote>,
    /// Whether it is only looked for.
    #[serde(default, skip_serializing_if = "Asks::is_no")]
    pub asks: Asks,
}

/// What an annotated tag says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagNote {
    /// The message, without trailers.
    pub message: String,
    /// Name of the tagger.
    pub author_name: String,
    /// E-mail address of the tagger.
    pub author_email: String,
    /// Date of the tag: the promotion's start, so that a repeat has the same id.
    pub date: Timestamp,
    /// Value of the `Lockstep-Promotion` trailer: promotion and step.
    pub mark: String,
}

/// A tag to take away, if it is still what was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UntagCall {
    /// The repository.
    pub repo: String,
    /// The name.
    pub tag: String,
    /// What it is at: the commit, or the annotation that leads to it.
    pub object: String,
    /// Whether it is only looked for.
    #[serde(default, skip_serializing_if = "Asks::is_no")]
    pub asks: Asks,
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
    /// CEL over `response` that must not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// How it is asked again until `success` holds; absent: it is sent once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll: Option<Poll>,
    /// CEL over `response` by output name.
    pub outputs: BTreeMap<String, String>,
    /// Whether it may be sent again when it is not known whether it was.
    pub at_most_once: bool,
    /// How to find out whether it was; absent: nobody can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<Box<ConfirmCall>>,
    /// Whether that is to be found out.
    #[serde(default, skip_serializing_if = "Asks::is_no")]
    pub asks: Asks,
    /// The secrets whose words are in headers and body.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretRef>,
}

/// Whether it is asked about a call that may have had its effect, instead of carrying it out or before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asks {
    /// It was not sent before.
    #[default]
    No,
    /// It may have been sent before: it is sent only if it has not happened. Requests alone say so; everything else
    /// is looked for in any case.
    First,
    /// It is not sent any more, only looked for: it ends as done where it is there, and as failed where it is not.
    Only,
}

impl Asks {
    pub(super) fn is_no(&self) -> bool {
        *self == Self::No
    }
}

/// A request that tells whether another one has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmCall {
    /// Where.
    pub url: String,
    /// The method.
    pub method: String,
    /// The headers.
    pub headers: BTreeMap<String, String>,
    /// CEL over `response`: it has.
    pub success: String,
    /// CEL over `response`: it has not.
    pub failure: String,
}

/// A file to fetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownloadCall {
    /// Where it is.
    pub url: String,
    /// Where it goes, below the working directory.
    pub to: String,
    /// The SHA-256 that it must have: 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// The headers.
    pub headers: BTreeMap<String, String>,
    /// Most bytes that are taken.
    pub max_bytes: u64,
    /// Time for the whole exchange.
    pub timeout: Duration,
    /// The secrets whose words are in the headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretRef>,
}

/// How a request is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poll {
    /// Pause between an answer and the next request.
    pub interval: Duration,
    /// Time for all of it.
    pub timeout: Duration,
    /// When this time is over. A call that was written down before calls told it has its end from
    /// [`Call::begun`].
    #[serde(default = "no_end")]
    pub until: Timestamp,
}

fn no_end() -> Timestamp {
    Timestamp::MAX
}

/// What may have happened outside when nobody saw the end of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unseen {
    /// Nothing.
    Nothing,
    /// Something that does no harm by having happened, or not: it is told.
    Tolerable,
    /// Something that a person must look for.
    Unknown,
}

/// A call that nobody carries out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Inside<'a> {
    /// It waits for a time or a condition.
    Wait(&'a WaitCall),
    /// It asks people.
    Ask(&'a AskCall),
    /// It is written with its outcome.
    Keep(&'a KeepCall),
}

impl Call {
    /// What it means that nobody saw the end of the call.
    #[must_use]
    pub fn unseen(&self) -> Unseen {
        match self {
            Self::GitPush(_) | Self::GitRevert(_) | Self::GitTag(_) | Self::GitUntag(_) => {
                Unseen::Unknown
            }
            Self::Oci(OciCall::Push(_) | OciCall::PutBack(_)) => Unseen::Unknown,
            Self::Oci(OciCall::Attach(_) | OciCall::Detach(_)) => Unseen::Unknown,
            Self::Oci(OciCall::Pull(_) | OciCall::Look(_)) => Unseen::Nothing,
            // RFC 9110, section 9.2.1: it changes nothing.
            Self::Http(http) if http.poll.is_some() => Unseen::Nothing,
            Self::Http(http) if http.at_most_once => Unseen::Unknown,
            Self::Http(http) if matches!(http.method.as_str(), "GET" | "HEAD") => Unseen::Nothing,
            Self::Http(_) => Unseen::Tolerable,
            Self::PullRequest(call) => call.unseen(),
            Self::Run(call) => call.unseen(),
            // An apply that began is waited for, whoever breaks it off, and has an end of its own.
            Self::TfApply(_)
            | Self::GitClone(_)
            | Self::YamlUpdate(_)
            | Self::GitCommit(_)
            | Self::TfPlan(_)
            | Self::TfOutput(_)
            | Self::TfImport(_)
            | Self::File(_)
            | Self::Download(_)
            | Self::Render(_)
            | Self::Chart(_)
            | Self::Parse(_)
            | Self::Compose { .. }
            | Self::Fail { .. }
            | Self::Ask(_)
            | Self::Keep(_)
            | Self::Wait(_) => Unseen::Nothing,
        }
    }

    /// The call as it is made when one before it may have had its effect, where asking tells; others as they are.
    /// All but requests look first in any case.
    #[must_use]
    pub fn asking(&self, asks: Asks) -> Self {
        let mut call = self.clone();
        let is_request = matches!(call, Self::Http(_));
        if let Some(present) = call.asks_mut() {
            *present = match asks {
                Asks::First if !is_request => Asks::No,
                Asks::No | Asks::First | Asks::Only => asks,
            };
        }
        call
    }

    /// The call of an attempt that began at this time: what asks again and again has its end from there.
    #[must_use]
    pub fn begun(mut self, at: Timestamp) -> Self {
        if let Self::Http(HttpCall { poll: Some(poll), .. }) = &mut self {
            poll.until = at.checked_add(poll.timeout).unwrap_or(Timestamp::MAX);
        }
        self
    }

    /// What it looks for again and again until it is so, in words, and until when. Nobody works on it between two
    /// looks, and a look changes nothing.
    #[must_use]
    pub fn waits_for(&self) -> Option<(String, Timestamp)> {
        match self {
            Self::PullRequest(call) => call.waits_for(),
            Self::Http(HttpCall { poll: Some(poll), method, url, .. }) => {
                let url = url.split(['?', '#']).next().unwrap_or(url);
                Some((format!("{method} {url} to answer as wanted"), poll.until))
            }
            Self::Http(_)
            | Self::GitClone(_)
            | Self::YamlUpdate(_)
            | Self::GitCommit(_)
            | Self::GitPush(_)
            | Self::GitRevert(_)
            | Self::GitTag(_)
            | Self::GitUntag(_)
            | Self::TfPlan(_)
            | Self::TfApply(_)
            | Self::TfOutput(_)
            | Self::TfImport(_)
            | Self::File(_)
            | Self::Download(_)
            | Self::Oci(_)
            | Self::Render(_)
            | Self::Chart(_)
            | Self::Parse(_)
            | Self::Run(_)
            | Self::Compose { .. }
            | Self::Fail { .. }
            | Self::Ask(_)
            | Self::Keep(_)
            | Self::Wait(_) => None,
        }
    }

    /// Whether looking for it tells if it has happened.
    #[must_use]
    pub fn can_be_asked_about(&self) -> bool {
        self.asks().is_some()
    }

    /// Whether it was only asked about, or looked for.
    #[must_use]
    pub fn only_asks(&self) -> bool {
        self.asks() == Some(Asks::Only)
    }

    /// Whether what ends as failed, and does not say what is known of its effect, has had none: it asked before it
    /// ended.
    #[must_use]
    pub fn fails_undone(&self) -> bool {
        matches!(self, Self::Http(http) if http.confirm.is_some())
    }

    /// Whether it is asked about, or looked for; absent: that tells nothing.
    fn asks(&self) -> Option<Asks> {
        match self {
            Self::Http(http) => http.confirm.is_some().then_some(http.asks),
            Self::GitPush(call) => Some(call.asks),
            Self::GitRevert(call) => Some(call.asks),
            Self::GitTag(call) => Some(call.asks),
            Self::GitUntag(call) => Some(call.asks),
            Self::Oci(call) => call.asks(),
            Self::PullRequest(call) => call.asks(),
            Self::GitClone(_)
            | Self::YamlUpdate(_)
            | Self::GitCommit(_)
            | Self::TfPlan(_)
            | Self::TfApply(_)
            | Self::TfOutput(_)
            | Self::TfImport(_)
            | Self::File(_)
            | Self::Download(_)
            | Self::Render(_)
            | Self::Chart(_)
            | Self::Parse(_)
            | Self::Run(_)
            | Self::Compose { .. }
            | Self::Fail { .. }
            | Self::Ask(_)
            | Self::Keep(_)
            | Self::Wait(_) => None,
        }
    }

    fn asks_mut(&mut self) -> Option<&mut Asks> {
        match self {
            Self::Http(http) => http.confirm.is_some().then_some(&mut http.asks),
            Self::GitPush(call) => Some(&mut call.asks),
            Self::GitRevert(call) => Some(&mut call.asks),
            Self::GitTag(call) => Some(&mut call.asks),
            Self::GitUntag(call) => Some(&mut call.asks),
            Self::Oci(call) => call.asks_mut(),
            Self::PullRequest(call) => call.asks_mut(),
            Self::GitClone(_)
            | Self::YamlUpdate(_)
            | Self::GitCommit(_)
            | Self::TfPlan(_)
            | Self::TfApply(_)
            | Self::TfOutput(_)
            | Self::TfImport(_)
            | Self::File(_)
            | Self::Download(_)
            | Self::Render(_)
            | Self::Chart(_)
            | Self::Parse(_)
            | Self::Run(_)
            | Self::Compose { .. }
            | Self::Fail { .. }
            | Self::Ask(_)
            | Self::Keep(_)
            | Self::Wait(_) => None,
        }
    }

    /// Whether nobody knows what it did, where carrying it out broke down in the middle by a fault of ours. An
    /// apply goes on by itself, and nobody waits for it any more.
    #[must_use]
    pub fn is_unknown_after_a_fault(&self) -> bool {
        matches!(self, Self::TfApply(_)) || self.unseen() == Unseen::Unknown
    }

    /// The call with the secrets that its arguments name. Only what sends requests, and the backend of an
    /// infra module, may name any.
    #[must_use]
    pub fn with_secrets(mut self, secrets: Vec<SecretRef>) -> Self {
        if let Self::Http(HttpCall { secrets: own, .. })
        | Self::Download(DownloadCall { secrets: own, .. })
        | Self::TfPlan(PlanCall {
            options: ModuleOptions { backend_secrets: own, .. }, ..
        }) = &mut self
        {
            *own = secrets;
        }
        self
    }

    /// Whether effects carry it out.
    #[must_use]
    pub fn is_carried_out(&self) -> bool {
        self.inside().is_none()
    }

    /// What nobody carries out: it is decided from the log and the rest of the snapshot, and nobody
    /// works on it while it waits.
    #[must_use]
    pub fn inside(&self) -> Option<Inside<'_>> {
        match self {
            Self::Wait(wait) => Some(Inside::Wait(wait)),
            Self::Ask(ask) => Some(Inside::Ask(ask)),
            Self::Keep(keep) => Some(Inside::Keep(keep)),
            Self::GitClone(_)
            | Self::YamlUpdate(_)
            | Self::GitCommit(_)
            | Self::GitPush(_)
            | Self::GitRevert(_)
            | Self::GitTag(_)
            | Self::GitUntag(_)
            | Self::TfPlan(_)
            | Self::TfApply(_)
            | Self::TfOutput(_)
            | Self::TfImport(_)
            | Self::Http(_)
            | Self::File(_)
            | Self::Download(_)
            | Self::Oci(_)
            | Self::Render(_)
            | Self::Chart(_)
            | Self::Parse(_)
            | Self::PullRequest(_)
            | Self::Run(_)
            | Self::Compose { .. }
            | Self::Fail { .. } => None,
        }
    }

    /// The commit to make, if it makes one.
    #[must_use]
    pub fn as_commit(&self) -> Option<&CommitCall> {
        if let Self::GitCommit(commit) = self { Some(commit) } else { None }
    }

    /// The module to plan, if it plans one.
    #[must_use]
    pub fn as_plan(&self) -> Option<&PlanCall> {
        if let Self::TfPlan(plan) = self { Some(plan) } else { None }
    }

    /// The program to run, if it runs one.
    #[must_use]
    pub fn as_run(&self) -> Option<&RunCall> {
        if let Self::Run(run) = self { Some(run) } else { None }
    }

    /// What it does about a pull request, if it is about one.
    #[must_use]
    pub fn as_pull_request(&self) -> Option<&PullRequestCall> {
        if let Self::PullRequest(call) = self { Some(call) } else { None }
    }

    /// What it asks, if it asks something.
    #[must_use]
    pub fn as_ask(&self) -> Option<&AskCall> {
        if let Self::Ask(ask) = self { Some(ask) } else { None }
    }

    /// What it writes, if it is for the daemon's own store.
    #[must_use]
    pub fn as_keep(&self) -> Option<&KeepCall> {
        if let Self::Keep(keep) = self { Some(keep) } else { None }
    }

    /// The plan to apply, if it applies one.
    #[must_use]
    pub fn as_apply(&self) -> Option<&ApplyCall> {
        if let Self::TfApply(apply) = self { Some(apply) } else { None }
    }
}
