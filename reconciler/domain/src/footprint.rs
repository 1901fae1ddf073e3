//! What promotions to a stage write to, as far as its definition tells.
//!
//! It is for warnings, so it leaves out what is not certain: a place that only an output, the promotion or an
//! element names is nobody's. What only freight names stays a template, which is the same place for two
//! stages that promote the same freight.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};

use crate::check::expanded;
use crate::expression::{Reference, Scope};
use crate::id::StepName;
use crate::scope::{conditions, layered};
use crate::stage::Stage;
use crate::step::{Step, StepKind, places, plain_path};
use crate::task::Tasks;
use crate::template::render_partial;

/// What is the same for every stage to which the same freight is promoted.
const SHARED: [&str; 4] = ["freight", "freight_from", "project", "secret"];

/// One thing that a step writes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Print {
    /// The step.
    pub step: StepName,
    /// The place of the step, or of what it was expanded from, among those of the stage.
    pub origin: usize,
    /// What it writes to.
    pub on: Place,
    /// Whether it is on a branch that no other promotion has.
    is_own: bool,
}

/// A place outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file or folder of a branch.
    Tree {
        /// URL of the repository.
        repo: String,
        /// The branch.
        branch: String,
        /// Below the root of the repository; empty: all of it.
        path: String,
        /// Of a file, the key of the only value that is written; absent: all of it.
        key: Option<String>,
    },
    /// A tag of a repository.
    GitTag {
        /// URL of the repository.
        repo: String,
        /// Its name.
        tag: String,
    },
    /// A tag of an image.
    ImageTag(String),
    /// The state of an infra module in a backend that the step sets.
    State {
        /// What the module is called.
        name: String,
        /// The workspace.
        workspace: String,
        /// The settings of the backend.
        backend: Map<String, Value>,
    },
}

impl Place {
    /// Whether writing to one of them changes the other.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let (
            Self::Tree { repo, branch, path, key },
            Self::Tree { repo: of_repo, branch: of_branch, path: of_path, key: of_key },
        ) = (self, other)
        else {
            return self == other;
        };
        let nested = is_within(path, of_path) || is_within(of_path, path);
        let beside = path == of_path && key.is_some() && of_key.is_some() && key != of_key;
        repo == of_repo && branch == of_branch && nested && !beside
    }
}

fn is_within(path: &str, folder: &str) -> bool {
    let below = path.strip_prefix(folder);
    folder.is_empty() || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tree { repo, branch, path, key } => {
                if let Some(key) = key {
                    write!(f, "{key:?} of ")?;
                }
                match path.as_str() {
                    "" => write!(f, "branch {branch} of {repo}"),
                    path => write!(f, "{path:?} on branch {branch} of {repo}"),
                }
            }
            Self::GitTag { repo, tag } => write!(f, "tag {tag:?} of {repo}"),
            Self::ImageTag(image) => write!(f, "image {image:?}"),
            Self::State { name, .. } => write!(f, "the infra state of {name:?}"),
        }
    }
}

/// What promotions to a stage write to, in the order of its steps. Empty where its steps cannot be expanded.
#[must_use]
pub fn footprint(stage: &Stage, tasks: &Tasks<'_>) -> Vec<Print> {
    let mut reader = Reader { scope: known(stage), ..Reader::default() };
    for expanded in expanded(stage, tasks).unwrap_or_default() {
        reader.step(&expanded.step, expanded.origin);
    }
    reader.prints.retain(|print| !print.is_own);
    reader.prints
}

/// What is known of a promotion before there is one.
fn known(stage: &Stage) -> Scope {
    let settable = |name: &String| stage.settable_vars.contains(name);
    let vars = stage.vars.iter().filter(|(name, _)| !settable(name));
    let vars: Map<String, Value> = vars.map(|(name, value)| (name.clone(), json!(value))).collect();
    let mut scope = Scope::new();
    scope.set("vars", Value::Object(vars)).set("stage", json!({ "name": stage.name }));
    scope
}

/// Whether an expression cannot be evaluated because of this.
fn is_unknown(scope: &Scope, reference: &Reference) -> bool {
    let Reference::Path(path) = reference else { return true };
    let Some((root, fields)) = path.split_first() else { return true };
    let Some(mut value) = scope.get(root) else { return true };
    for field in fields {
        let Value::Object(object) = value else { return false };
        match object.get(field) {
            Some(inner) => value = inner,
            None => return true,
        }
    }
    false
}

/// The text that a template gives, with what only freight tells left as it is written; none: that is not
/// certain, or not the same for two stages.
fn text(value: &Value, scope: &Scope) -> Option<String> {
    let partial = render_partial(value, scope, &|reference| is_unknown(scope, reference)).ok()?;
    let shared = |reference: &Reference| SHARED.contains(&reference.root());
    match (partial.deferred.as_slice(), partial.value) {
        ([], Value::String(text)) => Some(text),
        ([], Value::Number(number)) => Some(number.to_string()),
        ([waits], _) if waits.references.iter().all(shared) => Some(waits.preview.clone()),
        _ => None,
    }
}

/// A change of a file or folder that is not pushed yet.
struct Edit {
    step: StepName,
    origin: usize,
    path: String,
    key: Option<String>,
}

#[derive(Default)]
struct Checkout {
    repo: String,
    /// Absent: a commit, which only a branch that the push names can follow.
    branch: Option<String>,
    edits: Vec<Edit>,
}

/// The steps so far.
#[derive(Default)]
struct Reader {
    scope: Scope,
    checkouts: BTreeMap<String, Checkout>,
    prints: Vec<Print>,
}

impl Reader {
    fn step(&mut self, step: &Step, origin: usize) {
        let Ok(scope) = layered(&self.scope, &step.within) else { return };
        if !self.is_carried_out(step) {
            return;
        }
        let given = |name: &str| text(step.config.get(name)?, &scope);
        match step.uses {
            StepKind::GitClone => self.clone_into(step, &scope),
            StepKind::GitPush => self.push(given("dir"), given("branch"), step),
            StepKind::GitOpenPr => self.open(given("repo"), given("source"), given("target"), step),
            // A tag that freight names is of that freight, whoever sets it.
            StepKind::GitTag => {
                let named = given("repo").zip(given("tag").filter(|tag| !tag.contains("{{")));
                self.print(step, origin, named.map(|(repo, tag)| Place::GitTag { repo, tag }));
            }
            StepKind::OciPush => {
                let named = given("to").filter(|to| !to.contains("{{"));
                self.print(step, origin, named.map(Place::ImageTag));
            }
            StepKind::TfPlan | StepKind::TfDestroy => {
                self.print(step, origin, state(step, &scope));
            }
            // What these write to, if anything, is in a checkout, by their tables of arguments.
            StepKind::YamlUpdate
            | StepKind::GitCommit
            | StepKind::TfApply
            | StepKind::TfOutput
            | StepKind::Http
            | StepKind::GitClear
            | StepKind::Copy
            | StepKind::Delete
            | StepKind::Write
            | StepKind::Template
            | StepKind::Tar
            | StepKind::Untar
            | StepKind::Download
            | StepKind::YamlMerge
            | StepKind::YamlParse
            | StepKind::JsonUpdate
            | StepKind::JsonParse
            | StepKind::TomlUpdate
            | StepKind::TomlParse
            | StepKind::HclUpdate
            | StepKind::HclParse
            | StepKind::KustomizeSetImage
            | StepKind::OciPull
            | StepKind::OciAttach
            | StepKind::KustomizeBuild
            | StepKind::HelmTemplate
            | StepKind::HelmUpdateChart
            | StepKind::ComposeOutput
            | StepKind::Fail
            | StepKind::Wait
            | StepKind::Task
            | StepKind::GitWaitForPr
            | StepKind::GitMergePr
            | StepKind::GitClosePr
            | StepKind::GitCommentPr
            | StepKind::WaitForApproval
            | StepKind::GetInput
            | StepKind::SetMetadata
            | StepKind::SetAlias
            | StepKind::AuditEvent
            | StepKind::Run
            | StepKind::RunEffect
            | StepKind::TfImport => self.edit(step, origin, &scope),
        }
    }

    /// Whether a step is carried out for each freight, or for all that one thing or another is true of: a
    /// condition over what differs between stages is not certain.
    fn is_carried_out(&self, step: &Step) -> bool {
        conditions(step).all(|(when, within)| {
            let Ok(scope) = layered(&self.scope, within) else { return false };
            let mut unknown =
                when.references().iter().filter(|it| is_unknown(&scope, it)).peekable();
            match unknown.peek() {
                None => when.holds(&scope).unwrap_or(false),
                Some(_) => unknown.all(|reference| SHARED.contains(&reference.root())),
            }
        })
    }

    fn print(&mut self, step: &Step, origin: usize, on: Option<Place>) {
        let print = |on| Print { step: step.name.clone(), origin, on, is_own: false };
        self.prints.extend(on.map(print));
    }

    fn clone_into(&mut self, step: &Step, scope: &Scope) {
        let dirs = step.config.get("checkout").and_then(Value::as_object).into_iter().flatten();
        for (dir, checkout) in dirs {
            let dir = below_root(dir);
            self.checkouts.remove(&dir);
            let Some(repo) = step.config.get("repo").and_then(|repo| text(repo, scope)) else {
                continue;
            };
            let branch = checkout.get("branch").and_then(|branch| text(branch, scope));
            self.checkouts.insert(dir, Checkout { repo, branch, edits: Vec::new() });
        }
    }

    /// A file that the step changes in a checkout.
    fn edit(&mut self, step: &Step, origin: usize, scope: &Scope) {
        let changed =
            places(step.uses, &step.config).into_iter().filter(|place| place.touch.changes());
        for place in changed.filter(|place| !is_only_read(step, &place.argument)) {
            let Some(path) = text(&json!(place.path), scope).map(|path| below_root(&path)) else {
                continue;
            };
            // Of checkouts inside of each other the innermost comes last.
            let inside = self.checkouts.iter_mut().rev().find(|(dir, _)| is_within(&path, dir));
            let Some((dir, checkout)) = inside else { continue };
            let below = path[dir.len()..].trim_start_matches('/');
            let edit = |key: Option<&String>| Edit {
                step: step.name.clone(),
                origin,
                path: below.to_owned(),
                key: key.cloned(),
            };
            let keys =
                ["updates", "images"].iter().find_map(|name| step.config.get(name)?.as_object());
            match keys {
                Some(keys) => checkout.edits.extend(keys.keys().map(|key| edit(Some(key)))),
                None => checkout.edits.push(edit(None)),
            }
        }
    }

    /// What was changed in a checkout goes up. A branch that is given but not known is not the usual one.
    fn push(&mut self, dir: Option<String>, branch: Option<String>, step: &Step) {
        let is_given = step.config.get("branch").is_some_and(|branch| !branch.is_null());
        let Some(checkout) = dir.and_then(|dir| self.checkouts.get(&below_root(&dir))) else {
            return;
        };
        let usual = checkout.branch.clone().filter(|_| !is_given);
        let known = branch.or(usual);
        let is_own = known.is_none();
        // A branch of the promotion's own is kept by its template: a pull request may name it.
        let own = || step.config.get("branch").and_then(Value::as_str).map(str::to_owned);
        let Some(branch) = known.or_else(own) else { return };
        self.prints.extend(checkout.edits.iter().map(|edit| Print {
            step: edit.step.clone(),
            origin: edit.origin,
            on: Place::Tree {
                repo: checkout.repo.clone(),
                branch: branch.clone(),
                path: edit.path.clone(),
                key: edit.key.clone(),
            },
            is_own,
        }));
    }

    /// What went to the source of a pull request is for its target.
    fn open(
        &mut self,
        repo: Option<String>,
        source: Option<String>,
        target: Option<String>,
        step: &Step,
    ) {
        let own = || step.config.get("source").and_then(Value::as_str).map(str::to_owned);
        let (Some(of), Some(source), Some(target)) = (repo, source.or_else(own), target) else {
            return;
        };
        for print in &mut self.prints {
            match &mut print.on {
                Place::Tree { repo, branch, .. } if *repo == of && *branch == source => {
                    branch.clone_from(&target);
                    print.is_own = false;
                }
                Place::Tree { .. }
                | Place::GitTag { .. }
                | Place::ImageTag(_)
                | Place::State { .. } => {}
            }
        }
    }
}

/// Whether what a table says is changed is only there for order: what a program reads, where it says what it
/// writes, and the module whose plan will import something.
fn is_only_read(step: &Step, argument: &str) -> bool {
    let says = step.config.get("writes").is_some_and(|writes| !writes.is_null());
    step.uses == StepKind::TfImport || step.uses == StepKind::Run && argument == "dir" && says
}

/// A path without what means nothing; that of the working directory itself is empty.
fn below_root(path: &str) -> String {
    let path = plain_path(path);
    if path == "." { String::new() } else { path }
}

/// The state that a step plans, where it is not the stage's own.
fn state(step: &Step, scope: &Scope) -> Option<Place> {
    let backend = step.config.get("backend_config")?.as_object().filter(|it| !it.is_empty())?;
    let setting = |(name, value): (&String, &Value)| {
        let value = if value.is_string() { json!(text(value, scope)?) } else { value.clone() };
        Some((name.clone(), value))
    };
    let backend = backend.iter().map(setting).collect::<Option<Map<String, Value>>>()?;
    let name = ["state", "dir"]
        .iter()
        .find_map(|name| step.config.get(name).filter(|it| !it.is_null()))?;
    let workspace = match step.config.get("workspace").filter(|it| !it.is_null()) {
        Some(workspace) => text(workspace, scope)?,
        None => "default".to_owned(),
    };
    Some(Place::State { name: text(name, scope)?, workspace, backend })
}
