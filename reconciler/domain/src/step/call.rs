//! The typed form of a fully rendered step.
//!
//! A [`Call`] has no choices left: repositories, directories, commit dates, marks and run keys are
//! all in it, so that the same call, repeated after a crash, has the same effect. What it leaves
//! behind is a [`Record`](super::Record).

mod git;

use std::collections::BTreeMap;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::git::{
    Checkout, CheckoutAt, CloneCall, CommitCall, IfMoved, PushCall, RevertCall, TagCall, TagNote,
    UntagCall,
};
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

/// Values to set in a YAML file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdateCall {
    /// The file, below the working directory.
    pub path: String,
    /// Scalars by key.
    pub updates: IndexMap<String, Value>,
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
