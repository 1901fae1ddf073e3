//! A working directory, and the real `terraform` in it with this provider.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use provider_kit::terraform::{Tool, Workspace};
use rustix::process::{Pid, Signal};
use serde_json::Value as Json;

/// The provider's binary, built for these tests.
const BINARY: &str = env!("CARGO_BIN_EXE_terraform-provider-lockstep");

/// What stands before each configuration.
const HEADER: &str = "terraform {\n  required_providers {\n    lockstep = { source = \
                      \"lockstep/lockstep\" }\n  }\n}\n";

/// A working directory.
pub(crate) struct Terraform {
    workspace: Workspace,
}

/// What a run ended with.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) text: String,
}

impl Run {
    fn of(Output { status, stdout, stderr }: Output) -> Self {
        let text = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        Self { code: status.code().unwrap_or(-1), text }
    }
}

/// A command that runs.
pub(crate) struct Running {
    group: Pid,
    end: Receiver<Run>,
}

impl Running {
    /// Interrupts all of it, as Ctrl-C in a terminal does, and waits for its end.
    pub(crate) fn interrupt(self, deadline: Duration) -> Run {
        rustix::process::kill_process_group(self.group, Signal::INT).unwrap();
        self.end.recv_timeout(deadline).expect("it stops soon after an interrupt")
    }
}

impl Terraform {
    /// A directory with this configuration.
    pub(crate) fn new(config: &str) -> Self {
        let workspace = Workspace::new(&Tool::any(), "lockstep/lockstep", Path::new(BINARY));
        let terraform = Self { workspace };
        terraform.write(config);
        terraform
    }

    /// The same, with a daemon at this endpoint.
    pub(crate) fn at(endpoint: &str, config: &str) -> Self {
        let mut terraform = Self::new(config);
        terraform.set("LOCKSTEP_ENDPOINT", endpoint);
        terraform.set("LOCKSTEP_TOKEN", crate::daemon::TOKEN);
        terraform.set("LOCKSTEP_PROJECT", "shop");
        terraform
    }

    /// Sets an environment variable.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.workspace.set(name, value);
    }

    /// Replaces the configuration.
    pub(crate) fn write(&self, config: &str) {
        let header = if config.contains("required_providers") { "" } else { HEADER };
        self.workspace.write("main.tf", &format!("{header}{config}"));
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.workspace.at("work")
    }

    /// Runs a command in it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        Run::of(self.workspace.command(arguments).output().expect("the client runs"))
    }

    /// Starts a command in it, in a group of processes of its own.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.workspace.command(arguments);
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("the client runs");
        let group = Pid::from_child(&child);
        let (ended, end) = channel();
        thread::spawn(move || ended.send(Run::of(child.wait_with_output().unwrap())));
        Running { group, end }
    }

    /// The diagnostics of `validate`, as `SEVERITY LINE_OF_CODE: SUMMARY: DETAIL`.
    pub(crate) fn validate(&self) -> Vec<String> {
        let run = self.run(&["validate", "-json", "-no-color"]);
        let start = run.text.find('{').unwrap();
        let mut values = serde_json::Deserializer::from_str(&run.text[start..]).into_iter::<Json>();
        let answer = values.next().unwrap().unwrap();
        let told = answer["diagnostics"].as_array().unwrap();
        told.iter().filter(|it| it["summary"] != OVERRIDES).map(diagnostic).collect()
    }

    /// Applies; everything must go well.
    #[track_caller]
    pub(crate) fn apply(&self) -> Run {
        let run = self.run(&["apply", "-auto-approve", "-no-color", "-input=false"]);
        assert_eq!(run.code, 0, "{}", run.text);
        run
    }

    /// Applies; it must fail.
    #[track_caller]
    pub(crate) fn apply_fails(&self) -> String {
        let run = self.run(&["apply", "-auto-approve", "-no-color", "-input=false"]);
        assert_eq!(run.code, 1, "{}", run.text);
        unwrapped(&run.text)
    }

    /// Plans, and saves the plan as `plan.out`. 0: nothing to do, 1: errors, 2: changes.
    pub(crate) fn plan(&self, arguments: &[&str]) -> Run {
        let mut all = vec!["plan", "-no-color", "-input=false", "-detailed-exitcode"];
        all.extend(["-out=plan.out"]);
        all.extend(arguments);
        let run = self.run(&all);
        Run { text: unwrapped(&run.text), ..run }
    }

    /// Plans; there must be nothing to do.
    #[track_caller]
    pub(crate) fn plan_is_empty(&self) {
        let run = self.plan(&[]);
        assert_eq!(run.code, 0, "the plan should be empty: {}", run.text);
        // Not by its exit code: with a number in the state Terraform 1.11 exits with 2 though
        // nothing changed.
        let run = self.plan(&["-refresh-only"]);
        assert!(run.text.contains("No changes."), "refresh-only should be empty: {}", run.text);
        let plan = self.show_plan();
        assert_eq!(plan.get("resource_drift"), None, "nothing drifted: {plan}");
    }

    /// The saved plan as JSON.
    pub(crate) fn show_plan(&self) -> Json {
        let run = self.run(&["show", "-json", "plan.out"]);
        assert_eq!(run.code, 0, "{}", run.text);
        let start = run.text.find('{').unwrap();
        serde_json::Deserializer::from_str(&run.text[start..])
            .into_iter::<Json>()
            .next()
            .unwrap()
            .unwrap()
    }

    /// The state file as JSON.
    pub(crate) fn state(&self) -> Json {
        serde_json::from_slice(&fs::read(self.path().join("terraform.tfstate")).unwrap()).unwrap()
    }

    /// The attributes of the only object of a resource in the state.
    pub(crate) fn attributes(&self, resource_type: &str, name: &str) -> Json {
        self.instance(resource_type, name)["attributes"].clone()
    }

    /// The only object of a resource in the state.
    pub(crate) fn instance(&self, resource_type: &str, name: &str) -> Json {
        let state = self.state();
        let resources = state["resources"].as_array().unwrap();
        let found = resources.iter().find(|it| it["type"] == resource_type && it["name"] == name);
        found.unwrap()["instances"][0].clone()
    }
}

const OVERRIDES: &str = "Provider development overrides are in effect";

fn diagnostic(diagnostic: &Json) -> String {
    let text = |value: &Json| value.as_str().unwrap_or_default().trim().to_owned();
    let code = text(&diagnostic["snippet"]["code"]);
    let detail = text(&diagnostic["detail"]).replace('\n', " ");
    let code = code.split_whitespace().collect::<Vec<_>>().join(" ");
    format!(
        "{} at `{code}`: {}: {detail}",
        text(&diagnostic["severity"]),
        text(&diagnostic["summary"])
    )
}

/// The text without the frames and line breaks that depend on the width of the screen.
fn unwrapped(text: &str) -> String {
    let lines = text.lines().map(|line| line.trim_start_matches(['│', '╷', '╵']).trim());
    lines.collect::<Vec<_>>().join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}
