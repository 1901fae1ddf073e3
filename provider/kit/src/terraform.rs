//! A directory in which a real client runs a real provider.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value as Json;
use tempfile::TempDir;

/// Names the programs to test with, as `PATH` names directories.
pub const TOOLS: &str = "TF_TOOLS";

/// A Terraform or an OpenTofu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool(PathBuf);

impl Tool {
    /// Those that [`TOOLS`] names, else those in the path.
    ///
    /// # Panics
    ///
    /// When there is none: these tests run a real client.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let named = std::env::var_os(TOOLS).map(|named| std::env::split_paths(&named).collect());
        let tools: Vec<PathBuf> = named.unwrap_or_else(|| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let find = |name: &str| {
                let mut places = std::env::split_paths(&path).map(|place| place.join(name));
                places.find(|place| place.is_file())
            };
            ["terraform", "tofu"].into_iter().filter_map(find).collect()
        });
        assert!(!tools.is_empty(), "terraform or tofu must be in the path, or named by {TOOLS}");
        tools.into_iter().map(Self).collect()
    }

    /// The first of [all](Self::all).
    #[must_use]
    pub fn any() -> Self {
        Self::all().swap_remove(0)
    }
}

/// A working directory whose runs find the provider and nothing of the machine's own settings.
#[derive(Debug)]
pub struct Workspace {
    directory: TempDir,
    tool: Tool,
    source: String,
    variables: Vec<(String, OsString)>,
}

/// What a run said, and how it ended.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained.
    pub stderr: String,
}

impl Run {
    /// The complaint without the frame and the line breaks, which depend on the screen.
    #[must_use]
    pub fn complaint(&self) -> String {
        let lines = self.stderr.lines().map(|line| line.trim_start_matches(['│', '╷', '╵']).trim());
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Workspace {
    /// A directory for the provider of this source address (`acme/notes`), whose program is
    /// named `terraform-provider-…`.
    #[must_use]
    pub fn new(tool: &Tool, source: &str, program: &Path) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let workspace = Self {
            directory,
            tool: tool.clone(),
            source: source.to_owned(),
            variables: Vec::new(),
        };
        for name in ["plugins", "work"] {
            std::fs::create_dir(workspace.at(name)).expect("a directory");
        }
        let name = program.file_name().expect("a program has a name");
        let link = workspace.at("plugins").join(name);
        std::os::unix::fs::symlink(program, link).expect("a link");
        let overrides =
            format!("dev_overrides {{\n {source:?} = {:?}\n }}", workspace.at("plugins"));
        let config = format!("provider_installation {{\n {overrides}\n direct {{}}\n}}\n");
        std::fs::write(workspace.at("cli.rc"), config).expect("writable");
        workspace
    }

    /// A place beside the working directory (`work`).
    #[must_use]
    pub fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Sets a variable of all runs.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.variables.push((name.to_owned(), value.into()));
    }

    /// Replaces the configuration: `main.tf`, after what names the provider.
    pub fn configure(&self, config: &str) {
        let name = self.source.rsplit('/').next().unwrap_or_default();
        let required = format!("{name} = {{ source = {:?} }}", self.source);
        let header = format!("terraform {{\n  required_providers {{\n    {required}\n  }}\n}}\n");
        self.write("main.tf", &format!("{header}{config}\n"));
    }

    /// Writes a file of the working directory.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.at("work").join(name), text).expect("writable");
    }

    /// Removes a file of the working directory.
    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.at("work").join(name)).expect("a file");
    }

    /// A run that is to be started.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.tool.0);
        command
            .args(arguments)
            .current_dir(self.at("work"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.directory.path())
            .env("TF_CLI_CONFIG_FILE", self.at("cli.rc"))
            .envs([("CHECKPOINT_DISABLE", "1"), ("TF_INPUT", "0"), ("TF_IN_AUTOMATION", "1")])
            .env("TF_CLI_ARGS", "-no-color")
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs to the end, however it ends.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Run {
        let Output { status, stdout, stderr } =
            self.command(arguments).output().expect("the client runs");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Run { code: status.code().unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) }
    }

    /// Runs to a good end.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> Run {
        let run = self.run(arguments);
        assert_eq!(run.code, 0, "{arguments:?}\n{}\n{}", run.stdout, run.stderr);
        run
    }

    /// Runs something that fails; its complaint.
    #[track_caller]
    pub fn fails(&self, arguments: &[&str]) -> String {
        let run = self.run(arguments);
        assert_eq!(run.code, 1, "{arguments:?}\n{}\n{}", run.stdout, run.stderr);
        run.complaint()
    }

    /// Plans, and keeps the plan for [`apply`](Self::apply).
    #[track_caller]
    pub fn plan(&self, arguments: &[&str]) -> Plan {
        self.ok(&[&["plan", "-out=kept.plan"], arguments].concat());
        Plan(self.json(&["show", "-json", "kept.plan"]))
    }

    /// Applies the plan that was kept.
    #[track_caller]
    pub fn apply(&self) {
        self.ok(&["apply", "kept.plan"]);
    }

    /// The state.
    #[track_caller]
    pub fn state(&self) -> State {
        State(self.json(&["show", "-json"]))
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Json {
        serde_json::from_str(&self.ok(arguments).stdout).expect("JSON")
    }
}

/// A plan as JSON.
#[derive(Clone, Debug)]
pub struct Plan(pub Json);

impl Plan {
    /// What happens to the resource of this address.
    #[must_use]
    #[track_caller]
    pub fn change(&self, address: &str) -> Change<'_> {
        let changes = self.0["resource_changes"].as_array().into_iter().flatten();
        let mut changes = changes.filter(|change| change["address"] == address);
        Change(changes.next().unwrap_or_else(|| panic!("{address} is not in the plan: {}", self.0)))
    }

    /// What the plan would do, and what changed meanwhile; nothing of an empty one.
    #[must_use]
    pub fn effects(&self) -> Vec<String> {
        let actions = |change: &Json| change["change"]["actions"] != serde_json::json!(["no-op"]);
        let in_list = |name: &str| {
            let list = self.0[name].as_array().into_iter().flatten();
            list.filter(|change| actions(change)).map(ToString::to_string).collect::<Vec<_>>()
        };
        let outputs = self.0["output_changes"].as_object().into_iter().flatten();
        let outputs =
            outputs.filter(|(_, change)| change["actions"] != serde_json::json!(["no-op"]));
        let mut found = in_list("resource_changes");
        found.extend(in_list("resource_drift"));
        found.extend(outputs.map(|(name, change)| format!("output {name}: {change}")));
        found
    }
}

/// What a plan does to one resource.
#[derive(Clone, Copy, Debug)]
pub struct Change<'p>(&'p Json);

impl Change<'_> {
    /// `create`, `update`, `delete create`, `no-op`, …
    #[must_use]
    pub fn actions(&self) -> String {
        let actions = self.0["change"]["actions"].as_array().into_iter().flatten();
        actions.filter_map(Json::as_str).collect::<Vec<_>>().join(" ")
    }

    /// The planned value at a JSON pointer (`/tag/0/color`); null where there is none.
    #[must_use]
    pub fn after(&self, pointer: &str) -> Json {
        self.0["change"]["after"].pointer(pointer).cloned().unwrap_or_default()
    }

    /// The value before.
    #[must_use]
    pub fn before(&self, pointer: &str) -> Json {
        self.0["change"]["before"].pointer(pointer).cloned().unwrap_or_default()
    }

    /// The attributes at the root that are known only after the apply.
    #[must_use]
    pub fn unknown(&self) -> Vec<&str> {
        self.marked("after_unknown")
    }

    /// The attributes at the root whose planned value is not shown.
    #[must_use]
    pub fn sensitive(&self) -> Vec<&str> {
        self.marked("after_sensitive")
    }

    fn marked(&self, what: &str) -> Vec<&str> {
        let marks = self.0["change"][what].as_object().into_iter().flatten();
        marks.filter(|(_, mark)| **mark == true).map(|(name, _)| name.as_str()).collect()
    }

    /// The attributes at the root that differ.
    #[must_use]
    pub fn changed(&self) -> Vec<&str> {
        let (before, after) = (&self.0["change"]["before"], &self.0["change"]["after"]);
        let names = after.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        names.filter(|name| before[name] != after[name]).collect()
    }

    /// Which changes replace it.
    #[must_use]
    pub fn replace_paths(&self) -> &Json {
        &self.0["change"]["replace_paths"]
    }
}

/// A state as JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct State(pub Json);

impl State {
    /// The resource of this address; none when it is not there.
    #[must_use]
    pub fn find(&self, address: &str) -> Option<&Json> {
        let resources = self.0["values"]["root_module"]["resources"].as_array();
        resources.into_iter().flatten().find(|resource| resource["address"] == address)
    }

    /// The attributes of the resource of this address.
    #[must_use]
    #[track_caller]
    pub fn values(&self, address: &str) -> &Json {
        let found = self.find(address);
        &found.unwrap_or_else(|| panic!("{address} is not in the state: {}", self.0))["values"]
    }
}
