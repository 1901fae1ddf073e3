//! Infra modules: how they are planned, what is applied, and which state they work on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::run::{is_secret, no_variable};
use super::{PlanRecord, SkipUnchanged, StepProblem};
use crate::check::ProblemKind;
use crate::infra::{Address, Envelope};
use crate::secret::SecretRef;
use crate::version::{Constraint, ConstraintError, Version};

/// What is wrong with a variable by which a module's files could choose the programs of `init`.
const STEERS: &str = "can name programs that the tool starts while it fetches providers, so no step sets it; \
                      whoever runs lockstepd may, in `infra_env`";
/// What is wrong with an input variable that only the apply would have.
pub(super) const INPUT_OF_PLAN: &str =
    "a plan holds the input variables that it was made with: set it in `secrets`";
/// The workspace of a module that names none.
const DEFAULT_WORKSPACE: &str = "default";

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
    /// What else is said about it.
    #[serde(default, skip_serializing_if = "ModuleOptions::is_usual")]
    pub options: ModuleOptions,
}

/// What may be said about the plan of a module beside what nearly every one says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModuleOptions {
    /// The versions of the tool that may run it; absent: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The workspace; absent: the default one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// Settings of the backend that the module declares, with words for secrets.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub backend_config: Map<String, Value>,
    /// The secrets whose words are in the settings of the backend.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backend_secrets: Vec<SecretRef>,
    /// Environment of the tool beside the daemon's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Variables of the environment that hold secrets of the project: which, as `CREDENTIAL/KEY`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// The same for the apply alone; of one name, the apply has this one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub apply_secrets: BTreeMap<String, String>,
    /// Addresses to which the plan is limited; all if empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    /// Addresses that are made anew.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replace: Vec<String>,
    /// What is done with the file that pins providers.
    #[serde(skip_serializing_if = "LockFile::is_usual")]
    pub lock_file: LockFile,
    /// Towards what it is planned.
    #[serde(skip_serializing_if = "PlanGoal::is_usual")]
    pub goal: PlanGoal,
    /// Objects that are taken into the state: their ids by address.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub imports: BTreeMap<String, String>,
    /// Whether the run is left out where nothing has changed.
    #[serde(skip_serializing_if = "SkipUnchanged::is_usual")]
    pub skip_unchanged: SkipUnchanged,
}

/// Towards what a module is planned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanGoal {
    /// What its files say.
    #[default]
    Configuration,
    /// That nothing of it, or of its targets, is left.
    Destruction,
}

impl PlanGoal {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// Objects that the plans of a module are to take into its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportCall {
    /// The module's directory below the working directory.
    pub dir: String,
    /// Their ids by address.
    pub imports: BTreeMap<String, String>,
}

/// What a run may do with the file that pins the versions of providers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockFile {
    /// Add to it what is missing.
    #[default]
    Update,
    /// Nothing: a provider that is not in it is a failure.
    Readonly,
}

impl LockFile {
    /// The words for them in a step.
    pub const WORDS: &'static [&'static str] = &["update", "readonly"];

    /// The one of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "update" => Some(Self::Update),
            "readonly" => Some(Self::Readonly),
            _ => None,
        }
    }

    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
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
    /// How the module was planned: directory, state, tool, options.
    pub plan: PlanCall,
}

/// Which state a module works on, as far as its step tells: two with the same one must not run side by side.
///
/// Where the module declares its backend, nobody knows before it is checked out; its directory (or the name
/// that the step gives as `state`), its workspace and the settings of its backend stand for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateKey {
    name: String,
    workspace: String,
    backend: Map<String, Value>,
}

impl StateKey {
    /// Its name inside the stage.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its workspace.
    #[must_use]
    pub fn workspace(&self) -> &str {
        &self.workspace
    }

    /// It, for people, without quotes.
    #[must_use]
    pub fn shown(&self) -> String {
        match self.workspace.as_str() {
            DEFAULT_WORKSPACE => self.name.clone(),
            workspace => format!("{} (workspace {workspace})", self.name),
        }
    }

    /// That of a step with these arguments, rendered as far as they can be.
    #[must_use]
    pub fn of_config(config: &Value) -> Self {
        let text = |name: &str| match config.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        Self {
            name: text("state").or_else(|| text("dir")).unwrap_or_default(),
            workspace: text("workspace").unwrap_or_else(|| DEFAULT_WORKSPACE.to_owned()),
            backend: config
                .get("backend_config")
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default(),
        }
    }
}

impl fmt::Display for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.name)?;
        if self.workspace != DEFAULT_WORKSPACE {
            write!(f, " in workspace {:?}", self.workspace)?;
        }
        Ok(())
    }
}

impl PlanCall {
    /// The state that it works on.
    #[must_use]
    pub fn state_key(&self) -> StateKey {
        let workspace = self.options.workspace.clone();
        StateKey {
            name: self.state.clone(),
            workspace: workspace.unwrap_or_else(|| DEFAULT_WORKSPACE.to_owned()),
            backend: self.options.backend_config.clone(),
        }
    }

    /// Destroys these addresses of the module's state, and does nothing else.
    #[must_use]
    pub fn destroying(&self, addresses: &[String]) -> Self {
        let mut undo = Self { destroy: addresses.to_vec(), ..self.undoing(self, &BTreeSet::new()) };
        undo.options.imports.clear();
        undo
    }

    /// Plans this module, of an earlier promotion, so that it takes back what `applied` did to the same state:
    /// all of that and no more, by the tool that wrote the state last. What was deleted is made anew: there is
    /// nothing left of it to import.
    #[must_use]
    pub fn undoing(&self, applied: &Self, deleted: &BTreeSet<Address>) -> Self {
        let mut undo = self.clone();
        undo.tool.clone_from(&applied.tool);
        undo.options.version.clone_from(&applied.options.version);
        undo.options.targets.clone_from(&applied.options.targets);
        // What it made anew then is not to be made anew once more.
        undo.options.replace.clear();
        undo.options.skip_unchanged = SkipUnchanged::default();
        undo.options.imports.retain(|address, _| !deleted.contains(&Address::new(address)));
        undo
    }
}

impl ModuleOptions {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// The versions of a tool that a text allows, as the tools themselves read it: `~> 1.6` is every 1.x from 1.6.
///
/// # Errors
/// The text is no range.
pub fn tool_versions(text: &str) -> Result<Constraint, ConstraintError> {
    let mut parts = text.split("~>");
    let mut written = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let part = part.trim_start();
        let end = part.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(part.len());
        let (operand, rest) = part.split_at(end);
        match operand.split_once('.') {
            Some((major, minor)) if !minor.contains('.') && !rest.starts_with('-') => {
                let next = major.parse::<u64>().ok().and_then(|major| major.checked_add(1));
                let next = next.map_or_else(|| major.to_owned(), |next| next.to_string());
                written = format!("{written}>={operand},<{next}{rest}");
            }
            Some(_) | None => written = format!("{written}~{part}"),
        }
    }
    written
        .parse()
        .map_err(|error: ConstraintError| ConstraintError { text: text.to_owned(), ..error })
}

/// Whether a version of a tool is one of those that a text allows; absent: it cannot be told.
#[must_use]
pub fn allows_version(wanted: &str, found: &str) -> Option<bool> {
    Some(tool_versions(wanted).ok()?.matches(&Version::strict(found).ok()?))
}

/// Why a text names no variable of the environment that a step may set for the tool; absent: it does.
pub(super) fn no_variable_of_infra(name: &str) -> Option<&'static str> {
    no_variable(name).or_else(|| reserved(name))
}

/// Whether a variable of the environment is the daemon's to set, with what says it instead.
fn reserved(name: &str) -> Option<&'static str> {
    match name {
        "TF_WORKSPACE" => Some("is set by `workspace`"),
        "TF_DATA_DIR"
        | "TF_PLUGIN_CACHE_DIR"
        | "TF_INPUT"
        | "TF_IN_AUTOMATION"
        | "HOME"
        | "PATH"
        | "CHECKPOINT_DISABLE" => Some("is set by lockstepd itself"),
        "TF_REATTACH_PROVIDERS" => Some("would have a provider that nobody allowed"),
        name if name.starts_with("TF_CLI_ARGS") => {
            Some("would change what the step says; use the step's own arguments")
        }
        "TF_CLI_CONFIG_FILE" | "TERRAFORM_CONFIG" | "HGRCPATH" | "BASH_ENV" => Some(STEERS),
        name if ["GIT_", "SSH_", "XDG_"].iter().any(|start| name.starts_with(start)) => {
            Some(STEERS)
        }
        _ => None,
    }
}

/// Whether the name of a workspace is one that every backend takes.
fn is_workspace(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.len() <= 90 && name.chars().all(plain) && !name.starts_with(['-', '.'])
}

/// Whether a text is the address of a resource or a module: names with dots between them, each perhaps with an
/// index, and nothing else. It stands in arguments, and in files of the tools' language.
fn is_address(text: &str) -> bool {
    let (mut rest, mut parts) = (text, 0);
    loop {
        let name = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'));
        let (name, after) = rest.split_at(name.unwrap_or(rest.len()));
        if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return false;
        }
        parts += 1;
        let after = match after.strip_prefix('[').map(index_end) {
            Some(Some(end)) => &after[1 + end..],
            Some(None) => return false,
            None => after,
        };
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None => return after.is_empty() && parts >= 2,
        }
    }
}

/// Where an index ends, with its bracket: a number, or a text in quotes that stands for itself.
fn index_end(index: &str) -> Option<usize> {
    if let Some(text) = index.strip_prefix('"') {
        let (mut escaped, mut end) = (false, None);
        for (at, c) in text.char_indices() {
            match c {
                _ if c.is_control() => return None,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => {
                    end = Some(at);
                    break;
                }
                _ => {}
            }
        }
        let end = end?;
        let plain = !text[..end].contains("${") && !text[..end].contains("%{");
        return (plain && text[end..].starts_with("\"]")).then_some(end + 3);
    }
    let end = index.find(']')?;
    (end > 0 && index[..end].bytes().all(|byte| byte.is_ascii_digit())).then_some(end + 1)
}

/// A path below the working directory as everybody may write it: without `.` and empty parts.
#[must_use]
pub fn plain_path(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

/// What is wrong with a rendered or literal argument; absent: nothing. Also used once templates are rendered.
pub(super) fn wrong(argument: &str, value: &str) -> Option<String> {
    match argument {
        "workspace" if !is_workspace(value) => Some(format!(
            "{value:?} is no name of a workspace: letters, digits, `-`, `_` and `.`, at most 90, and a letter, \
             digit or `_` first"
        )),
        "targets" | "replace" | "imports" if !is_address(value) => Some(format!(
            "{value:?} is no address of a resource or module, such as `aws_instance.web[0]` or `module.net`"
        )),
        "version" => tool_versions(value).err().map(|error| error.to_string()),
        _ => None,
    }
}

/// The texts that [`wrong`] knows something about, each with where it is.
fn checked_texts(config: &Value) -> Vec<(String, &'static str, &str)> {
    let mut texts = Vec::new();
    for argument in ["version", "workspace", "targets", "replace"] {
        match config.get(argument) {
            Some(Value::String(text)) => texts.push((argument.to_owned(), argument, text.as_str())),
            Some(Value::Array(items)) => {
                let items = items.iter().enumerate();
                let named = items.filter_map(|(at, item)| {
                    Some((format!("{argument}[{at}]"), argument, item.as_str()?))
                });
                texts.extend(named);
            }
            Some(_) | None => {}
        }
    }
    let imports = config.get("imports").and_then(Value::as_object).into_iter().flatten();
    texts.extend(
        imports.map(|(address, _)| (format!("imports.{address}"), "imports", address.as_str())),
    );
    texts
}

/// What the table of the kind cannot say.
pub(super) fn check(config: &Value, problems: &mut Vec<StepProblem>) {
    let told = problems.iter().any(|problem| problem.path.starts_with("envelope"));
    let mut problem = |path: String, kind, message: String| {
        problems.push(StepProblem { path, kind, message });
    };
    for (path, argument, text) in checked_texts(config) {
        if !text.contains("{{")
            && let Some(message) = wrong(argument, text)
        {
            problem(path, ProblemKind::Invalid, message);
        }
    }
    // What is computed is looked at where it is.
    if !told
        && !config["envelope"].to_string().contains("{{")
        && let Err((at, message)) = Envelope::of_config(config)
    {
        problem(format!("envelope.{at}"), ProblemKind::Invalid, message);
    }
    for map in ["env", "secrets", "apply_secrets"] {
        let holds_secrets = map != "env";
        for (name, value) in config[map].as_object().into_iter().flatten() {
            let path = format!("{map}.{name}");
            if let Some(why) = no_variable_of_infra(name) {
                problem(path.clone(), ProblemKind::Invalid, why.to_owned());
            }
            if map == "apply_secrets" && is_input(name) {
                problem(path.clone(), ProblemKind::Invalid, INPUT_OF_PLAN.to_owned());
            }
            if holds_secrets && !value.as_str().is_some_and(is_secret) {
                let message = "expected a secret of the project, as CREDENTIAL/KEY";
                problem(path.clone(), ProblemKind::Invalid, message.to_owned());
            }
            if holds_secrets && config["env"].get(name).is_some() {
                problem(path, ProblemKind::Conflict, "is in `env`, too".to_owned());
            }
        }
    }
}

/// Whether a variable of the environment is an input variable of the module.
pub(super) fn is_input(name: &str) -> bool {
    name.starts_with("TF_VAR_")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn version(wanted: &str, found: &str, expected: Option<bool>) {
        assert_eq!(allows_version(wanted, found), expected, "{wanted} on {found}");
    }

    #[test]
    fn versions_are_read_as_the_tools_read_them() {
        version(">= 1.8, < 2", "1.11.4", Some(true));
        version(">= 1.8, < 1.11", "1.11.4", Some(false));
        version("~> 1.8", "1.11.4", Some(true));
        version("~> 1.8", "2.0.0", Some(false));
        version("~> 1.12", "1.11.4", Some(false));
        version("~> 1.11.2", "1.11.4", Some(true));
        version("~> 1.11.2", "1.12.0", Some(false));
        version("~>1.8, != 1.11.4", "1.11.4", Some(false));
        version("= 1.11.4", "1.11.4", Some(true));
        version("1.11.4", "1.11.5", Some(false));
        version("~> 1.8", "1.12.0-beta1", Some(false));
        version("newest", "1.11.4", None);
        version("~> 1.8", "not a version", None);
    }

    fn plan(config: &Value) -> PlanCall {
        let options = config.get("options").cloned().unwrap_or_else(|| json!({}));
        PlanCall {
            dir: "infra".to_owned(),
            vars: Map::new(),
            var_files: Vec::new(),
            state: "infra".to_owned(),
            tool: config.get("tool").map(|tool| tool.as_str().unwrap().to_owned()),
            lock_timeout: Duration::ZERO,
            timeout: Duration::ZERO,
            destroy: Vec::new(),
            options: serde_json::from_value(options).unwrap(),
        }
    }

    #[test]
    fn a_state_is_that_of_a_workspace_and_a_backend() {
        let key = |config| StateKey::of_config(&config);
        let usual = key(json!({ "dir": "infra" }));
        assert_eq!(usual, key(json!({ "dir": "infra", "workspace": "default" })));
        assert_eq!(usual, key(json!({ "dir": "elsewhere", "state": "infra", "targets": ["a.b"] })));
        assert_eq!(usual, plan(&json!({})).state_key());
        let blue = key(json!({ "dir": "infra", "workspace": "blue" }));
        assert_ne!(usual, blue);
        assert_eq!(blue, plan(&json!({ "options": { "workspace": "blue" } })).state_key());
        let config = json!({ "bucket": "states" });
        let there = key(json!({ "dir": "infra", "backend_config": config }));
        assert_ne!(usual, there);
        assert_eq!(there, plan(&json!({ "options": { "backend_config": config } })).state_key());
        assert_eq!(format!("{usual}, {blue}"), r#""infra", "infra" in workspace "blue""#);
    }

    #[test]
    fn an_undo_is_planned_by_what_wrote_the_state_and_takes_back_as_much_as_was_done() {
        let before = plan(&json!({ "tool": "terraform", "options": {
            "version": "~> 1.8", "targets": ["a.old"], "replace": ["a.b"], "workspace": "blue",
            "imports": { "a.gone": "1", "a.forgotten": "2" },
        }}));
        let applied = plan(&json!({ "tool": "tofu", "options": {
            "version": "~> 1.9", "targets": ["a.new"], "workspace": "blue",
        }}));
        let undo = before.undoing(&applied, &BTreeSet::from([Address::new("a.gone")]));
        assert_eq!(
            undo,
            plan(&json!({ "tool": "tofu", "options": {
                "version": "~> 1.9", "targets": ["a.new"], "workspace": "blue",
                "imports": { "a.forgotten": "2" },
            }}))
        );
        let destroy = before.destroying(&["a.b".to_owned()]);
        assert_eq!(
            (destroy.destroy, destroy.options.replace),
            (vec!["a.b".to_owned()], Vec::new())
        );
    }

    #[test]
    fn an_address_is_nothing_else() {
        let good =
            ["a.b", "module.net", "a.b[0]", r#"module.m["x.y"].data.a-b.c_d["\"]"]"#, "_a.b"];
        let bad = [
            "",
            "a",
            "a.",
            ".a",
            "a..b",
            "a.b c",
            "a.b[",
            "a.b[x]",
            "a.b[-1]",
            "a.b[]",
            "-a.b",
            "a.b\n}",
            "a.b }",
            r#"a.b["${x}"]"#,
            r#"a.b["x"#,
            r#"a.b["x"y]"#,
            "a.b[0]c",
            "a.0",
        ];
        for (text, expected) in
            good.map(|text| (text, true)).into_iter().chain(bad.map(|text| (text, false)))
        {
            assert_eq!(is_address(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_plan_of_an_older_log_is_read() {
        let written = serde_json::to_value(plan(&json!({}))).unwrap();
        assert!(written.get("options").is_none(), "{written}");
        assert_eq!(serde_json::from_value::<PlanCall>(written).unwrap(), plan(&json!({})));
    }
}
