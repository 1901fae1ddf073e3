//! The example provider under a real client: Terraform, or OpenTofu where that is what there is.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;

/// The client, as `LOCKSTEP_TF` names it or as it is in the path. Without one there is no test.
fn tool() -> PathBuf {
    if let Some(named) = std::env::var_os("LOCKSTEP_TF") {
        return PathBuf::from(named);
    }
    let path = std::env::var_os("PATH").expect("a path");
    let places = std::env::split_paths(&path)
        .flat_map(|directory| ["terraform", "tofu"].map(|name| directory.join(name)));
    places
        .into_iter()
        .find(|tool| tool.is_file())
        .expect("terraform or tofu in the path: these tests run a real client")
}

/// A directory with a configuration, a state, and notes.
struct Workspace {
    directory: tempfile::TempDir,
}

/// What a run said.
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Workspace {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        for name in ["notes", "plugins", "work"] {
            std::fs::create_dir(at(name)).expect("a directory");
        }
        let plugin = at("plugins").join("terraform-provider-notes");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_terraform-provider-notes"), plugin)
            .expect("a link");
        let overrides = format!(
            "provider_installation {{\n dev_overrides {{\n \"acme/notes\" = {:?}\n }}\n}}\n",
            at("plugins")
        );
        std::fs::write(at("cli.rc"), overrides).expect("writable");
        Self { directory }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces the configuration. The resources begin at line 10.
    fn configure(&self, resources: &str) {
        let config = format!(
            "terraform {{\n  required_providers {{\n    notes = {{ source = \"acme/notes\" }}\n  }}\n}}\n\
             provider \"notes\" {{\n  directory = {:?}\n}}\n\n{resources}\n",
            self.at("notes")
        );
        std::fs::write(self.at("work/main.tf"), config).expect("writable");
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let Output { status, stdout, stderr } =
            self.command(arguments).output().expect("the client runs");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Run { code: status.code().expect("an end"), stdout: text(stdout), stderr: text(stderr) }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(tool());
        command
            .args(arguments)
            .current_dir(self.at("work"))
            .env("TF_CLI_CONFIG_FILE", self.at("cli.rc"))
            .envs([("CHECKPOINT_DISABLE", "1"), ("TF_INPUT", "0"), ("TF_IN_AUTOMATION", "1")])
            .env("NO_COLOR", "1")
            .env("TF_CLI_ARGS", "-no-color");
        command
    }

    fn ok(&self, arguments: &[&str]) -> Run {
        let run = self.run(arguments);
        assert_eq!(run.code, 0, "{arguments:?}\n{}\n{}", run.stdout, run.stderr);
        run
    }

    fn apply(&self) {
        self.ok(&["apply", "-auto-approve"]);
        self.unchanged();
    }

    fn unchanged(&self) {
        let run = self.run(&["plan", "-detailed-exitcode"]);
        assert_eq!(run.code, 0, "not empty:\n{}\n{}", run.stdout, run.stderr);
    }

    /// The planned change of the first resource.
    fn plan(&self) -> Json {
        self.ok(&["plan", "-out=plan"]);
        let shown = self.ok(&["show", "-json", "plan"]).stdout;
        let plan: Json = serde_json::from_str(&shown).expect("JSON");
        let changes = plan["resource_changes"].as_array().expect("changes").iter();
        let mut notes = changes.filter(|change| change["type"] == "notes_note");
        notes.next().expect("a note")["change"].clone()
    }

    fn state(&self) -> Json {
        let shown = self.ok(&["show", "-json"]).stdout;
        let state: Json = serde_json::from_str(&shown).expect("JSON");
        state["values"]["root_module"]["resources"][0].clone()
    }

    /// Runs something that fails; what it said, with the frame of its messages taken off.
    fn fails(&self, arguments: &[&str]) -> String {
        let run = self.run(arguments);
        assert_eq!(run.code, 1, "{arguments:?}\n{}\n{}", run.stdout, run.stderr);
        let lines: Vec<&str> = run
            .stderr
            .lines()
            .map(|line| line.trim_start_matches(['│', '╷', '╵']).trim())
            .collect();
        lines.join("\n")
    }
}

fn note(fields: &str) -> String {
    format!("resource \"notes_note\" \"n\" {{\n{fields}\n}}\n")
}

const FULL: &str = r#"
  name   = "shop"
  body   = "text"
  weight = 0.1
  meta   = jsonencode({ b = 1, a = [true, null] })
  labels = { team = "web" }
  steps  = [provider::notes::step("build", { run = "make" })]
  secret = "never kept"
  tag { name = "one" }
  tag {
    name  = "two"
    color = "red"
  }
"#;

#[test]
fn a_note_is_created_updated_replaced_and_destroyed() {
    let workspace = Workspace::new();
    workspace.configure(&note(FULL));
    workspace.ok(&["validate"]);
    let created = workspace.plan();
    assert_eq!(created["actions"], serde_json::json!(["create"]));
    assert_eq!(created["after"]["id"], "shop");
    assert_eq!(created["after"]["tag"][0]["color"], "gray");
    assert_eq!(created["after_unknown"]["id"], Json::Null, "{created}");
    workspace.apply();
    let state = workspace.state();
    assert_eq!(state["values"]["weight"].to_string(), "0.1");
    assert_eq!(state["values"]["secret"], Json::Null);
    assert_eq!(state["values"]["steps"][0]["config"], r#"{"run":"make"}"#);

    workspace.configure(&note(&FULL.replace("text", "other text")));
    let updated = workspace.plan();
    assert_eq!(updated["actions"], serde_json::json!(["update"]));
    assert_eq!(updated["after"]["id"], "shop");
    let unknown = updated["after_unknown"].as_object().expect("an object");
    let unknown: Vec<&String> =
        unknown.iter().filter(|(_, is)| **is == true).map(|(name, _)| name).collect();
    assert_eq!(unknown, ["revision"]);
    workspace.apply();

    workspace.configure(&note(&FULL.replace("shop", "store")));
    let replaced = workspace.plan();
    assert_eq!(replaced["actions"], serde_json::json!(["delete", "create"]));
    assert_eq!(replaced["replace_paths"], serde_json::json!([["name"]]));
    workspace.apply();

    workspace.ok(&["destroy", "-auto-approve"]);
    assert_eq!(std::fs::read_dir(workspace.at("notes")).expect("a directory").count(), 0);
}

#[test]
fn the_layout_of_json_is_no_change() {
    let workspace = Workspace::new();
    workspace.configure(&note("  name = \"n\"\n  meta = jsonencode({ a = 1 })"));
    workspace.apply();
    workspace.configure(&note("  name = \"n\"\n  meta = \"{ \\\"a\\\" : 1 }\""));
    workspace.unchanged();
    workspace.configure(&note("  name = \"n\"\n  meta = \"{ \\\"a\\\" : 2 }\""));
    workspace.apply();
}

#[test]
fn a_note_is_imported_and_drifts_are_seen() {
    let workspace = Workspace::new();
    workspace.configure(&note(FULL));
    workspace.apply();
    workspace.ok(&["state", "rm", "notes_note.n"]);
    workspace.ok(&["import", "notes_note.n", "shop"]);
    workspace.unchanged();

    let file = workspace.at("notes/shop.json");
    let text = std::fs::read_to_string(&file).expect("a note");
    std::fs::write(&file, text.replace("text", "scribble")).expect("writable");
    let drift = workspace.plan();
    assert_eq!(drift["before"]["body"], "scribble");
    assert_eq!(drift["actions"], serde_json::json!(["update"]));

    std::fs::remove_file(&file).expect("a note");
    assert_eq!(workspace.plan()["actions"], serde_json::json!(["create"]));
    workspace.apply();

    let said = workspace.fails(&["import", "notes_note.n", "nowhere"]);
    assert!(said.contains("Resource already managed"), "{said}");
}

#[test]
fn values_that_are_not_known_are_waited_for() {
    let workspace = Workspace::new();
    workspace.configure(&format!(
        "resource \"terraform_data\" \"t\" {{}}\n{}\ndata \"notes_count\" \"all\" {{\n  prefix = notes_note.n.id\n}}\noutput \"n\" {{\n  value = data.notes_count.all.count_of\n}}\n",
        note(
            "  name = \"n\"\n  body = \"pre-${terraform_data.t.id}\"\n  dynamic \"tag\" {\n    for_each = toset([terraform_data.t.id])\n    content {\n      name = tag.value\n    }\n  }"
        )
    ));
    workspace.ok(&["validate"]);
    workspace.ok(&["apply", "-auto-approve"]);
    workspace.unchanged();
    assert_eq!(workspace.ok(&["output", "n"]).stdout.trim(), "1");
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let workspace = Workspace::new();
    workspace.configure(&note(
        "  name = \"n\"\n  meta = \"{\"\n  tag {\n    name = \"a\"\n  }\n  tag {\n    name = \"a\"\n  }",
    ));
    let said = workspace.fails(&["validate"]);
    assert!(said.contains("Error: Invalid value"), "{said}");
    assert!(
        said.contains("on main.tf line 12, in resource \"notes_note\" \"n\":\n12:   meta"),
        "{said}"
    );
    assert!(said.contains("Error: Duplicate name"), "{said}");
    assert!(
        said.contains("on main.tf line 17, in resource \"notes_note\" \"n\":\n17:     name"),
        "{said}"
    );
}

#[test]
fn a_panic_is_a_message_and_no_crash() {
    let workspace = Workspace::new();
    workspace.configure(&note("  name = \"n\"\n  body = \"panic\""));
    let said = workspace.fails(&["apply", "-auto-approve"]);
    assert!(said.contains("Error: Bug in the provider"), "{said}");
    assert!(said.contains("asked to"), "{said}");
    assert!(said.contains("with notes_note.n"), "{said}");
    for crash in ["crashed", "Stack trace", "stack backtrace", "Request cancelled"] {
        assert!(!said.contains(crash), "{said}");
    }
}

#[test]
fn what_is_half_done_is_tainted() {
    let workspace = Workspace::new();
    workspace.configure(&note("  name = \"n\"\n  body = \"half\""));
    let said = workspace.fails(&["apply", "-auto-approve"]);
    assert!(said.contains("Error: Note is half done"), "{said}");
    assert_eq!(workspace.state()["tainted"], true);
    assert_eq!(workspace.plan()["actions"], serde_json::json!(["delete", "create"]));
}

#[test]
fn a_result_that_was_not_planned_names_its_attribute() {
    let workspace = Workspace::new();
    workspace.configure(&note("  name = \"n\"\n  body = \"lie\""));
    let said = workspace.fails(&["apply", "-auto-approve"]);
    assert!(said.contains("Bug in the provider: result is not what was planned"), "{said}");
    assert!(said.contains("on main.tf line 12"), "{said}");
}

#[test]
fn a_protected_note_is_not_destroyed() {
    let workspace = Workspace::new();
    workspace.configure(&note("  name = \"n\"\n  protected = true"));
    workspace.apply();
    let said = workspace.fails(&["plan", "-destroy"]);
    assert!(said.contains("Error: Note is protected"), "{said}");
    workspace.configure(&note("  name = \"n\""));
    workspace.apply();
    workspace.ok(&["destroy", "-auto-approve"]);
}

#[test]
fn a_function_tells_which_argument_is_wrong() {
    let workspace = Workspace::new();
    workspace.configure(&note(
        "  name = \"n\"\n  steps = [provider::notes::step(\"a\", { rnu = \"make\" })]",
    ));
    let said = workspace.fails(&["validate"]);
    assert!(said.contains("did you mean \"run\"?"), "{said}");
    assert!(said.contains("on main.tf line 12"), "{said}");
    assert!(said.contains("\"config\" parameter"), "{said}");
}

#[test]
fn the_schema_is_one_that_the_client_shows() {
    let workspace = Workspace::new();
    workspace.configure("");
    let shown = workspace.ok(&["providers", "schema", "-json"]).stdout;
    let shown: Json = serde_json::from_str(&shown).expect("JSON");
    let providers = shown["provider_schemas"].as_object().expect("providers");
    let (_, provider) =
        providers.iter().find(|(name, _)| name.ends_with("acme/notes")).expect("ours");
    let note = &provider["resource_schemas"]["notes_note"]["block"];
    assert_eq!(note["attributes"]["id"]["computed"], true);
    assert_eq!(note["block_types"]["tag"]["max_items"], 5);
    assert_eq!(note["description_kind"], "markdown");
    assert!(provider["functions"]["step"]["return_type"].is_array());
}

#[test]
fn an_interrupt_keeps_what_is_there() {
    let workspace = Workspace::new();
    workspace.configure(&note("  name = \"n\"\n  body = \"wait\""));
    let mut command = workspace.command(&["apply", "-auto-approve"]);
    let mut client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a run");
    let mut lines = BufReader::new(client.stdout.take().expect("a pipe")).lines();
    let creating = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("Creating...")));
    assert!(creating.is_some());
    let id = client.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill").success());
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    let output = client.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(1), "{rest:?}");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(said.contains("Error: Interrupted"), "{said}");
    assert_eq!(workspace.state()["tainted"], true);
}

#[test]
fn a_provider_in_a_debugger_is_attached_to() {
    let workspace = Workspace::new();
    workspace.configure(&note(FULL));
    let mut provider = Command::new(env!("CARGO_BIN_EXE_terraform-provider-notes"));
    let mut provider = provider.arg("-debug").stdout(Stdio::piped()).spawn().expect("a provider");
    let mut line = String::new();
    let mut stdout = BufReader::new(provider.stdout.take().expect("a pipe"));
    stdout.read_line(&mut line).expect("readable");
    let (name, quoted) = line.trim().split_once('=').expect("a variable");
    let value = quoted.trim_matches('\'');
    std::fs::write(workspace.at("cli.rc"), "").expect("writable");
    for arguments in [["init", "-input=false"].as_slice(), &["apply", "-auto-approve"], &["plan"]] {
        let run = workspace.command(arguments).env(name, value).output().expect("a run");
        let said = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{arguments:?}\n{said}");
    }
    let id = provider.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill").success());
    assert!(provider.wait().expect("an end").success());
}
