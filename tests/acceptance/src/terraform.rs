//! Terraform and OpenTofu, with our provider put in place of a published one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::lockstepd::Lockstepd;
use crate::process::{self, Run};
use crate::{At as _, Failure, Outcome};

const DEADLINE: Duration = Duration::from_secs(120);
const PROVIDER: &str = "terraform-provider-lockstep";
const PLAN_FILE: &str = "saved.tfplan";

/// One of the two tools.
#[derive(Debug, Clone)]
pub struct Tool {
    /// `tofu` or `terraform`.
    pub name: &'static str,
    program: PathBuf,
}

/// The tools on the `PATH`; the first is the one that is preferred.
///
/// # Errors
/// There is none: nothing can be said about the provider then.
pub fn installed() -> Outcome<Vec<Tool>> {
    let tool = |name| process::find(name).map(|program| Tool { name, program });
    let found: Vec<Tool> = ["tofu", "terraform"].into_iter().filter_map(tool).collect();
    if found.is_empty() {
        let text = "neither tofu nor terraform is on the PATH; install one of them: \
                    https://opentofu.org/docs/intro/install or \
                    https://developer.hashicorp.com/terraform/install";
        return Err(Failure::new(text));
    }
    Ok(found)
}

impl Tool {
    /// The tool that is preferred.
    ///
    /// # Errors
    /// There is none.
    pub fn preferred() -> Outcome<Self> {
        Ok(installed()?.swap_remove(0))
    }

    /// Where it is.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// What it says that it is, in one line.
    ///
    /// # Errors
    /// It does not run.
    pub async fn version(&self) -> Outcome<String> {
        let mut command = Command::new(&self.program);
        command.arg("version").env("CHECKPOINT_DISABLE", "1");
        let run = process::run(&command, DEADLINE).await?.ok()?;
        Ok(run.stdout.lines().next().unwrap_or_default().to_owned())
    }
}

/// A root module, its state, and a tool that uses our provider.
pub struct Workspace {
    tool: Tool,
    dir: TempDir,
    environment: Vec<(String, String)>,
}

/// What a plan says.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whether it changes anything.
    pub changes: bool,
    /// What people read.
    pub text: String,
    /// What programs read.
    pub json: Value,
}

impl Plan {
    /// The change of one resource.
    ///
    /// # Errors
    /// The plan has none at this address.
    pub fn change(&self, address: &str) -> Outcome<&Value> {
        let changes = self.json["resource_changes"].as_array();
        let found = changes.into_iter().flatten().find(|change| change["address"] == address);
        found.map(|change| &change["change"]).ok_or_else(|| {
            Failure::new(format!("nothing is planned for {address}:\n{}", self.text))
        })
    }

    /// The actions for each address that has any, such as `create`.
    #[must_use]
    pub fn actions(&self) -> Vec<(String, String)> {
        let changes = self.json["resource_changes"].as_array();
        let action = |change: &Value| {
            let actions = change["change"]["actions"].as_array()?;
            let words: Vec<&str> = actions.iter().filter_map(Value::as_str).collect();
            (words != ["no-op"]).then(|| {
                (change["address"].as_str().unwrap_or_default().to_owned(), words.join(", "))
            })
        };
        changes.into_iter().flatten().filter_map(action).collect()
    }
}

impl Workspace {
    /// An empty one whose provider finds the daemon, and its first administrator's token, in its
    /// environment.
    ///
    /// # Errors
    /// The provider is not built.
    pub fn new(tool: &Tool, lockstepd: &Lockstepd) -> Outcome<Self> {
        let provider = process::binary(PROVIDER)?;
        let folder = provider.parent().unwrap_or(Path::new("/"));
        let dir = process::folder("terraform")?;
        let overrides = format!(
            "provider_installation {{\n  dev_overrides {{\n    \
             \"registry.terraform.io/lockstep/lockstep\" = {folder:?}\n    \
             \"registry.opentofu.org/lockstep/lockstep\" = {folder:?}\n  }}\n}}\n",
        );
        let settings = dir.path().join("cli.tfrc");
        fs::write(&settings, overrides).at(settings.display())?;
        fs::create_dir(dir.path().join("module")).at("a folder for a root module")?;
        let environment = [
            ("TF_CLI_CONFIG_FILE", settings.display().to_string()),
            ("LOCKSTEP_ENDPOINT", lockstepd.endpoint()),
            ("LOCKSTEP_TOKEN_FILE", lockstepd.token_file().display().to_string()),
            ("CHECKPOINT_DISABLE", "1".to_owned()),
            ("TF_IN_AUTOMATION", "1".to_owned()),
            ("TF_INPUT", "0".to_owned()),
            ("TF_CLI_ARGS", "-no-color".to_owned()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Ok(Self { tool: tool.clone(), dir, environment })
    }

    /// The same with the files of an example, such as `quickstart`.
    ///
    /// # Errors
    /// There is no such example, or the provider is not built.
    pub fn of_example(tool: &Tool, lockstepd: &Lockstepd, example: &str) -> Outcome<Self> {
        let workspace = Self::new(tool, lockstepd)?;
        let source =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/terraform").join(example);
        for entry in fs::read_dir(&source).at(source.display())? {
            let path = entry.at(source.display())?.path();
            if path.is_file() {
                let name = path.file_name().unwrap_or_default();
                fs::copy(&path, workspace.folder().join(name)).at(path.display())?;
            }
        }
        Ok(workspace)
    }

    /// The folder of the root module.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.dir.path().join("module")
    }

    /// What must be in the environment of whoever runs the tool there.
    #[must_use]
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// Puts a variable into the environment of the tool and the provider.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Writes a file of the root module.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Outcome {
        fs::write(self.folder().join(name), text).at(name)
    }

    /// Reads a file of the root module.
    ///
    /// # Errors
    /// There is none.
    pub fn read(&self, name: &str) -> Outcome<String> {
        fs::read_to_string(self.folder().join(name)).at(name)
    }

    /// Sets the input variables of the root module.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn set_variables(&self, variables: &Map<String, Value>) -> Outcome {
        let text = serde_json::to_string_pretty(variables).at("the variables")?;
        self.write("harness.auto.tfvars.json", &text)
    }

    /// Runs the tool, whatever its exit code.
    ///
    /// # Errors
    /// It does not end.
    pub async fn run(&self, arguments: &[&str]) -> Outcome<Run> {
        let mut command = Command::new(&self.tool.program);
        command.args(arguments).current_dir(self.folder());
        command.env_remove("TF_LOG").env_remove("LOCKSTEP_TOKEN").env_remove("LOCKSTEP_PROJECT");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        process::run(&command, DEADLINE).await
    }

    /// Checks the root module without a daemon.
    ///
    /// # Errors
    /// It is not valid; with what the tool says.
    pub async fn validate(&self) -> Outcome<Run> {
        self.run(&["validate"]).await?.ok()
    }

    /// What the tool says on stderr about something that it refuses, without the frame that it
    /// draws round it.
    ///
    /// # Errors
    /// It does not refuse.
    pub async fn refused(&self, arguments: &[&str]) -> Outcome<String> {
        let run = self.run(arguments).await?.ended_with(1)?;
        let lines = run.stderr.lines().map(|line| line.trim_start_matches(['│', '╷', '╵']).trim());
        Ok(lines.collect::<Vec<_>>().join("\n"))
    }

    /// Plans, and keeps the plan for [`Self::apply_saved`].
    ///
    /// # Errors
    /// There is no plan; with what the tool says.
    pub async fn plan(&self, arguments: &[&str]) -> Outcome<Plan> {
        let out = format!("-out={PLAN_FILE}");
        let all: Vec<&str> =
            ["plan", "-detailed-exitcode", &out].iter().chain(arguments).copied().collect();
        let run = self.run(&all).await?;
        let changes = run.code == Some(2);
        let text = if changes { run.said() } else { run.ok()?.said() };
        Ok(Plan { changes, text, json: self.json(&["show", "-json", PLAN_FILE]).await? })
    }

    /// Makes sure that there is nothing to do.
    ///
    /// # Errors
    /// There is; with the plan.
    pub async fn unchanged(&self) -> Outcome {
        let plan = self.plan(&[]).await?;
        if plan.changes {
            return Err(Failure::new("the plan is not empty").with("plan", &plan.text));
        }
        Ok(())
    }

    /// Plans and applies.
    ///
    /// # Errors
    /// It fails; with what the tool says.
    pub async fn apply(&self) -> Outcome<Run> {
        self.run(&["apply", "-auto-approve"]).await?.ok()
    }

    /// Applies the plan that was kept.
    ///
    /// # Errors
    /// It fails; with what the tool says.
    pub async fn apply_saved(&self) -> Outcome<Run> {
        self.run(&["apply", PLAN_FILE]).await?.ok()
    }

    /// Takes an object that exists into the state.
    ///
    /// # Errors
    /// It fails; with what the tool says.
    pub async fn import(&self, address: &str, id: &str) -> Outcome<Run> {
        self.run(&["import", address, id]).await?.ok()
    }

    /// Destroys everything.
    ///
    /// # Errors
    /// It fails; with what the tool says.
    pub async fn destroy(&self) -> Outcome<Run> {
        self.run(&["destroy", "-auto-approve"]).await?.ok()
    }

    /// The state as JSON.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn state(&self) -> Outcome<Value> {
        self.json(&["show", "-json"]).await
    }

    /// The outputs in a state file that is somewhere else, by name.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn outputs_of(&self, state: &Path) -> Outcome<Map<String, Value>> {
        let state = format!("-state={}", state.display());
        match self.json(&["output", "-json", &state]).await? {
            Value::Object(outputs) => Ok(outputs
                .into_iter()
                .map(|(name, mut output)| (name, output["value"].take()))
                .collect()),
            other => Err(Failure::new(format!("the outputs are {other}"))),
        }
    }

    async fn json(&self, arguments: &[&str]) -> Outcome<Value> {
        let run = self.run(arguments).await?.ok()?;
        serde_json::from_str(&run.stdout).at(format_args!("`{}`", run.command))
    }
}
