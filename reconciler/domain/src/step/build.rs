//! From rendered arguments to a [`Call`].
//!
//! The arguments were checked against their table as templates; here the rendered values are checked
//! again, because a template may give anything.

mod arguments;
mod ask;
mod git;
mod infra;
mod keep;
mod oci;
mod pull_request;
mod render;
mod run;
mod wait;

use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde_json::Value;

use super::{
    Asks, Call, ConfirmCall, DownloadCall, FileCall, ForgeKind, HttpCall, ImageCall, Language,
    OciCall, ParseCall, Poll, Record, Step, StepKind, UpdateCall,
};
use arguments::{Arguments, scalar_text};

use crate::id::{ProjectName, PromotionId, StepName};

/// What a call needs to know of its surroundings beside its arguments.
#[derive(Debug, Clone)]
pub struct WorkdirContext<'a> {
    /// The project.
    pub project: &'a ProjectName,
    /// The promotion.
    pub promotion: &'a PromotionId,
    /// The step.
    pub step: &'a StepName,
    /// The promotion's start.
    pub started_at: Timestamp,
    /// When the step begins. One that works in the working directory only may be repeated at will,
    /// and has the promotion's start.
    pub begins_at: Timestamp,
    /// All steps, in order, as they are written.
    pub steps: &'a [Step],
    /// Records of the steps before, in order.
    pub records: &'a IndexMap<StepName, Record>,
    /// What the preparation of the step itself left behind.
    pub prepared: Option<&'a Record>,
}

impl WorkdirContext<'_> {
    /// So long after the step's beginning.
    fn after(&self, time: Duration) -> Timestamp {
        self.begins_at.checked_add(time).unwrap_or(Timestamp::MAX)
    }
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
    /// What the templates gave is nothing that the infra tool takes.
    #[error("{path}: {message}")]
    Infra {
        /// The argument.
        path: String,
        /// What is wrong with it, and what would be right.
        message: String,
    },
    /// There is no such plan.
    #[error("plan: no tf_plan step before this one is named {name:?}")]
    NoPlan {
        /// The name.
        name: String,
    },
    /// The plan that is named is that of another module.
    #[error("plan: step {name:?} plans {planned:?}, and `dir` is {dir:?}")]
    OtherModule {
        /// The step.
        name: String,
        /// The directory that it plans.
        planned: String,
        /// The directory that is given.
        dir: String,
    },
    /// An image of which nothing is set.
    #[error("images.{image}: give new_name, tag or digest")]
    NothingToSet {
        /// The image.
        image: String,
    },
    /// A request that is to be asked again changes something.
    #[error("poll: only a GET is asked again, and this is a {method}")]
    NotRepeatable {
        /// The method.
        method: String,
    },
    /// A reference that names no artifact, or not so that it can be used.
    #[error("{path}: {message}")]
    Reference {
        /// The argument.
        path: String,
        /// What is wrong with it, and what would be right.
        message: String,
    },
    /// What a tag was at when the promotion was prepared was not kept.
    #[error("to: the preparation did not look what the tag is at")]
    NotLooked,
    /// A number that is out of range.
    #[error("{path}: expected a whole number from 0 to {max}, found {found}")]
    Range {
        /// The argument.
        path: String,
        /// The largest.
        max: u64,
        /// What was found.
        found: String,
    },
    /// A step that stands for others is still there.
    #[error("task {task:?} was not expanded to its steps")]
    NotExpanded {
        /// The task.
        task: String,
    },
    /// Nobody knows what speaks about the pull requests of a repository.
    #[error(
        "forge: the repository's host is not one that everybody knows: say what it is, {}",
        ForgeKind::WORDS.join(", ")
    )]
    NoForge,
    /// GitLab does not let a request say so.
    #[error("method: GitLab rebases as its project's settings say; give \"merge\" or \"squash\"")]
    NoSuchMethod,
    /// Nobody knows what may be merged.
    #[error(
        "commit: this promotion did not open pull request {number}, or pushed nothing to its branch, so \
         the commit that may be merged must be given"
    )]
    NoHead {
        /// The pull request.
        number: u64,
    },
    /// What may be given to a step is not said so that it can be checked.
    #[error("schema: {message}")]
    Form {
        /// What is wrong with it.
        message: String,
    },
    /// The module was not planned.
    #[error("dir: no tf_plan step before this one plans {dir:?}")]
    NotPlanned {
        /// The directory.
        dir: String,
    },
}

impl CallError {
    /// The same of an argument that stands within another one.
    fn below(mut self, argument: &str) -> Self {
        if let Self::Type { path, .. } = &mut self {
            *path = format!("{argument}.{path}");
        }
        self
    }
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
            StepKind::GitClone => git::clone(&arguments).map(Self::GitClone),
            StepKind::YamlUpdate => update(&arguments).map(Self::YamlUpdate),
            StepKind::GitCommit => git::commit(&arguments, context).map(Self::GitCommit),
            StepKind::GitPush => git::push(&arguments, context).map(Self::GitPush),
            StepKind::TfPlan | StepKind::TfDestroy => {
                infra::plan(kind, &arguments, context).map(Self::TfPlan)
            }
            StepKind::TfImport => infra::import(&arguments).map(Self::TfImport),
            StepKind::TfApply => infra::apply(&arguments, context).map(Self::TfApply),
            StepKind::TfOutput => infra::output(&arguments, context).map(Self::TfOutput),
            StepKind::Http => http(&arguments, context).map(Self::Http),
            StepKind::GitClear => Ok(Self::File(FileCall::Clear { dir: arguments.text("dir")? })),
            StepKind::GitTag => git::tag(&arguments, context).map(Self::GitTag),
            StepKind::Tar => tar(&arguments).map(Self::File),
            StepKind::Untar => Ok(Self::File(FileCall::Untar {
                from: arguments.text("from")?,
                to: arguments.text("to")?,
                strip: usize::try_from(arguments.count("strip", 100)?.unwrap_or(0))
                    .unwrap_or(usize::MAX),
            })),
            StepKind::Download => download(&arguments).map(Self::Download),
            StepKind::Copy => Ok(Self::File(FileCall::Copy {
                from: arguments.text("from")?,
                to: arguments.text("to")?,
            })),
            StepKind::Delete => Ok(Self::File(FileCall::Delete {
                paths: arguments.texts("paths")?,
                strict: arguments.flag("strict")?,
            })),
            StepKind::Write => Ok(Self::File(FileCall::Write {
                path: arguments.text("path")?,
                text: arguments.text("text")?,
                overwrite: arguments.flag("overwrite")?,
            })),
            StepKind::Template => Ok(Self::File(FileCall::Template {
                path: arguments.text("path")?,
                to: arguments.text("to")?,
                values: arguments.values("values")?,
            })),
            StepKind::YamlMerge => Ok(Self::File(FileCall::Merge {
                from: arguments.texts("from")?,
                to: arguments.text("to")?,
                ignore_missing: arguments.flag("ignore_missing")?,
            })),
            StepKind::JsonUpdate => file_update(&arguments, Language::Json),
            StepKind::TomlUpdate => file_update(&arguments, Language::Toml),
            StepKind::HclUpdate => file_update(&arguments, Language::Hcl),
            StepKind::YamlParse => parse(&arguments, Language::Yaml),
            StepKind::JsonParse => parse(&arguments, Language::Json),
            StepKind::TomlParse => parse(&arguments, Language::Toml),
            StepKind::HclParse => parse(&arguments, Language::Hcl),
            StepKind::KustomizeSetImage => images(&arguments).map(Self::File),
            StepKind::OciPull => oci::pull(&arguments).map(OciCall::Pull).map(Self::Oci),
            StepKind::OciPush => oci::push(&arguments, context).map(OciCall::Push).map(Self::Oci),
            StepKind::OciAttach => {
                oci::attach(&arguments, context).map(OciCall::Attach).map(Self::Oci)
            }
            StepKind::KustomizeBuild => render::kustomize(&arguments).map(Self::Render),
            StepKind::HelmTemplate => render::helm(&arguments).map(Self::Render),
            StepKind::HelmUpdateChart => render::chart(&arguments).map(Self::Chart),
            StepKind::ComposeOutput => {
                arguments.values("outputs").map(|outputs| Self::Compose { outputs })
            }
            StepKind::Fail => {
                let message = arguments.optional_text("message")?;
                let message = message.unwrap_or_else(|| "the step says so".to_owned());
                Ok(Self::Fail { message })
            }
            StepKind::Wait => wait::wait(&arguments, context).map(Self::Wait),
            StepKind::Run => run::local(&arguments, context).map(Self::Run),
            StepKind::RunEffect => run::effect(&arguments, context).map(Self::Run),
            StepKind::Task => Err(CallError::NotExpanded { task: arguments.text("task")? }),
            StepKind::GitOpenPr => pull_request::open(&arguments, context).map(Self::PullRequest),
            StepKind::GitWaitForPr => {
                pull_request::wait(&arguments, context).map(Self::PullRequest)
            }
            StepKind::GitMergePr => pull_request::merge(&arguments, context).map(Self::PullRequest),
            StepKind::GitClosePr => pull_request::close(&arguments).map(Self::PullRequest),
            StepKind::GitCommentPr => {
                pull_request::comment(&arguments, context).map(Self::PullRequest)
            }
            StepKind::WaitForApproval => ask::approval(&arguments, context).map(Self::Ask),
            StepKind::GetInput => ask::input(&arguments, context).map(Self::Ask),
            StepKind::SetMetadata => keep::metadata(&arguments).map(Self::Keep),
            StepKind::SetAlias => keep::alias(&arguments).map(Self::Keep),
            StepKind::AuditEvent => keep::audit(&arguments).map(Self::Keep),
        }
    }
}

impl Call {
    /// The look that the preparation of an effect takes, which changes nothing; absent: it takes none.
    ///
    /// # Errors
    /// As of [`Call::new`].
    pub fn look(kind: StepKind, config: &Value) -> Result<Option<Self>, CallError> {
        if !kind.is_foreseen() {
            return Ok(None);
        }
        oci::look(&Arguments(config)).map(OciCall::Look).map(Self::Oci).map(Some)
    }
}

fn file_update(arguments: &Arguments<'_>, language: Language) -> Result<Call, CallError> {
    let UpdateCall { path, updates } = update(arguments)?;
    Ok(Call::File(FileCall::Update { language, path, updates }))
}

fn images(arguments: &Arguments<'_>) -> Result<FileCall, CallError> {
    let mut images = IndexMap::new();
    for (name, image) in arguments.map("images")? {
        let image = Arguments(image);
        let image = ImageCall {
            new_name: image.optional_text("new_name")?,
            tag: image.optional_text("tag")?,
            digest: image.optional_text("digest")?,
        };
        if image == ImageCall::default() {
            return Err(CallError::NothingToSet { image: name.clone() });
        }
        images.insert(name.clone(), image);
    }
    Ok(FileCall::Images { path: arguments.text("path")?, images })
}

fn tar(arguments: &Arguments<'_>) -> Result<FileCall, CallError> {
    let to = arguments.text("to")?;
    let gzip = match arguments.given("gzip") {
        Some(_) => arguments.flag("gzip")?,
        None => to.ends_with(".gz") || to.ends_with(".tgz"),
    };
    Ok(FileCall::Tar { from: arguments.text("from")?, to, gzip })
}

fn download(arguments: &Arguments<'_>) -> Result<DownloadCall, CallError> {
    let checksum = arguments.text("checksum")?;
    let sha256 = checksum.strip_prefix("sha256:").map(str::to_ascii_lowercase);
    let is_hash = |hash: &String| hash.len() == 64 && hash.chars().all(|c| c.is_ascii_hexdigit());
    let Some(sha256) = sha256.filter(is_hash) else {
        let (path, expected) = ("checksum".to_owned(), "`sha256:` and 64 hexadecimal digits");
        return Err(CallError::Type { path, expected, found: checksum });
    };
    Ok(DownloadCall {
        url: arguments.text("url")?,
        to: arguments.text("to")?,
        sha256,
        headers: arguments.headers()?,
        max_bytes: arguments.count("max_bytes", DOWNLOAD_MAX)?.unwrap_or(DOWNLOAD_USUAL),
        timeout: arguments.duration("timeout")?.unwrap_or(Duration::from_secs(5 * 60)),
        secrets: Vec::new(),
    })
}

fn parse(arguments: &Arguments<'_>, language: Language) -> Result<Call, CallError> {
    let (path, outputs) = (arguments.text("path")?, arguments.expressions("outputs")?);
    Ok(Call::Parse(ParseCall { language, path, outputs }))
}

fn update(arguments: &Arguments<'_>) -> Result<UpdateCall, CallError> {
    let updates = arguments.map("updates")?;
    Ok(UpdateCall {
        path: arguments.text("path")?,
        updates: updates.map(|(key, value)| (key.clone(), value.clone())).collect(),
    })
}

fn http(arguments: &Arguments<'_>, context: &WorkdirContext<'_>) -> Result<HttpCall, CallError> {
    let method = arguments.word(StepKind::Http, "method")?.unwrap_or_else(|| "GET".to_owned());
    let mut headers = arguments.headers()?;
    if !headers.keys().any(|name| name.eq_ignore_ascii_case(IDEMPOTENCY_KEY)) {
        // Promotion ids repeat across projects, and two projects may call one receiver.
        let key = format!("{}/{}", context.project, mark(context.promotion, context.step));
        headers.insert(IDEMPOTENCY_KEY.to_owned(), key);
    }
    let outputs = arguments.expressions("outputs")?;
    let repeatable = matches!(method.as_str(), "GET" | "PUT" | "DELETE");
    let at_most_once = match arguments.word(StepKind::Http, "delivery")?.as_deref() {
        Some("at_most_once") => true,
        Some(_) => false,
        None => !repeatable,
    };
    Ok(HttpCall {
        url: arguments.text("url")?,
        failure: arguments.optional_text("failure")?,
        poll: poll(arguments, &method, context.begins_at)?,
        headers,
        body: arguments.0.get("body").filter(|body| !body.is_null()).cloned(),
        timeout: arguments.duration("timeout")?.unwrap_or(Duration::from_secs(30)),
        success: arguments
            .optional_text("success")?
            .unwrap_or_else(|| "response.status >= 200 && response.status < 300".to_owned()),
        outputs,
        at_most_once,
        confirm: confirm(arguments)?.map(Box::new),
        asks: Asks::No,
        secrets: Vec::new(),
        method,
    })
}

fn confirm(arguments: &Arguments<'_>) -> Result<Option<ConfirmCall>, CallError> {
    let Some(given) = arguments.given("confirm").map(Arguments) else { return Ok(None) };
    confirm_call(&given).map(Some).map_err(|error| error.below("confirm"))
}

fn confirm_call(given: &Arguments<'_>) -> Result<ConfirmCall, CallError> {
    let text_or = |name, usual: &str| -> Result<String, CallError> {
        Ok(given.optional_text(name)?.unwrap_or_else(|| usual.to_owned()))
    };
    let method = text_or("method", "GET")?;
    if !matches!(method.as_str(), "GET" | "HEAD" | "POST") {
        let (path, expected) = ("method".to_owned(), "GET, HEAD or POST");
        return Err(CallError::Type { path, expected, found: method });
    }
    Ok(ConfirmCall {
        url: given.text("url")?,
        method,
        headers: given.headers()?,
        success: text_or("success", "response.status >= 200 && response.status < 300")?,
        failure: given.text("failure")?,
    })
}

fn poll(
    arguments: &Arguments<'_>,
    method: &str,
    begins_at: Timestamp,
) -> Result<Option<Poll>, CallError> {
    let Some(given) = arguments.given("poll").map(Arguments) else { return Ok(None) };
    if method != "GET" {
        return Err(CallError::NotRepeatable { method: method.to_owned() });
    }
    let interval = given.duration("interval")?.unwrap_or(POLL_INTERVAL);
    let timeout = given.duration("timeout")?.unwrap_or_default();
    let until = begins_at.checked_add(timeout).unwrap_or(Timestamp::MAX);
    Ok(Some(Poll { interval: interval.max(POLL_INTERVAL_MIN), timeout, until }))
}

/// Pause of a poll that does not say otherwise.
const POLL_INTERVAL: Duration = Duration::from_secs(10);
/// Shortest pause of a poll.
const POLL_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// Most bytes of a download that does not say otherwise.
const DOWNLOAD_USUAL: u64 = 64 << 20;
/// Most bytes of any download.
const DOWNLOAD_MAX: u64 = 256 << 20;

/// The header that tells a receiver that it has seen a request before.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// What marks an effect of a step outside: in commit trailers, headers and run names.
#[must_use]
pub fn mark(promotion: &PromotionId, step: &StepName) -> String {
    format!("{promotion}/{step}")
}
