//! The example provider under a real client: Terraform, or OpenTofu where that is what there is.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use provider_kit::scenario::{Step, is_destroyed, is_imported, is_settled};
use provider_kit::terraform::{Tool, Workspace};
use serde_json::Value as Json;

const PROVIDER: &str = env!("CARGO_BIN_EXE_terraform-provider-notes");
const NOTE: &str = "notes_note.n";

/// A directory for notes, and one to configure them in.
fn notes(tool: &Tool) -> Workspace {
    let workspace = Workspace::new(tool, "acme/notes", Path::new(PROVIDER));
    std::fs::create_dir(workspace.at("notes")).expect("a directory");
    workspace
}

fn workspace() -> Workspace {
    notes(&Tool::any())
}

/// A configuration with the provider's. The resources begin at line 10.
fn config(workspace: &Workspace, resources: &str) -> String {
    format!("provider \"notes\" {{\n  directory = {:?}\n}}\n\n{resources}", workspace.at("notes"))
}

fn configure(workspace: &Workspace, resources: &str) {
    workspace.configure(&config(workspace, resources));
}

fn apply(workspace: &Workspace) {
    workspace.plan(&[]);
    workspace.apply();
    is_settled(workspace);
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
fn a_note_lives_under_each_tool() {
    for tool in Tool::all() {
        let workspace = notes(&tool);
        let step = |fields: &str| Step::new(config(&workspace, &note(fields)));
        step(FULL)
            .planned(|plan| {
                let change = plan.change(NOTE);
                assert_eq!(change.actions(), "create");
                assert_eq!(change.after("/id"), "shop");
                assert_eq!(change.after("/tag/0/color"), "gray");
                assert_eq!(change.unknown(), [""; 0]);
            })
            .applied(|state| {
                let values = state.values(NOTE);
                assert_eq!(values["weight"].to_string(), "0.1");
                assert_eq!(values["secret"], Json::Null);
                assert_eq!(values["steps"][0]["config"], r#"{"run":"make"}"#);
            })
            .go(&workspace);
        step(&FULL.replace("text", "other text"))
            .planned(|plan| {
                let change = plan.change(NOTE);
                assert_eq!(change.actions(), "update");
                assert_eq!(change.unknown(), ["revision"]);
                assert_eq!(change.changed(), ["body"]);
            })
            .go(&workspace);
        step(&FULL.replace("shop", "store"))
            .planned(|plan| {
                let change = plan.change(NOTE);
                assert_eq!(change.actions(), "delete create");
                assert_eq!(change.replace_paths(), &serde_json::json!([["name"]]));
            })
            .go(&workspace);
        is_imported(&workspace, NOTE, "store", &[]);
        is_destroyed(&workspace);
        let left = std::fs::read_dir(workspace.at("notes")).expect("a directory").count();
        assert_eq!(left, 0);
    }
}

#[test]
fn a_state_of_an_earlier_version_leaves_nothing_to_do() {
    let workspace = workspace();
    let fields = "  name = \"shop\"\n  body = \"of before\"\n  weight = 0.5";
    configure(&workspace, &note(fields));
    apply(&workspace);
    // As the first version of the schema kept it, when the body was a text.
    let state = workspace.at("work/terraform.tfstate");
    let kept = std::fs::read_to_string(&state).expect("a state");
    let older = kept.replacen("\"schema_version\": 1", "\"schema_version\": 0", 1).replacen(
        "\"body\": \"of before\"",
        "\"text\": \"of before\"",
        1,
    );
    assert_eq!(kept.lines().zip(older.lines()).filter(|(now, then)| now != then).count(), 2);
    std::fs::write(&state, older).expect("writable");
    let plan = workspace.run(&["plan", "-refresh=false", "-detailed-exitcode", "-no-color"]);
    assert_eq!(plan.code, 0, "{}", plan.complaint());
}

#[test]
fn a_key_is_open_only_while_a_run_needs_it() {
    let workspace = workspace();
    // The key goes nowhere but into a write-only attribute.
    configure(
        &workspace,
        &format!(
            "ephemeral \"notes_key\" \"k\" {{\n  owner = \"ada\"\n}}\n{}",
            note("  name = \"n\"\n  secret = ephemeral.notes_key.k.text")
        ),
    );
    apply(&workspace);
    assert_eq!(workspace.state().values(NOTE)["secret"], Json::Null);
    let state = std::fs::read_to_string(workspace.at("work/terraform.tfstate")).expect("a state");
    assert!(!state.contains("key of ada"), "{state}");
    assert!(!workspace.at("notes/ada.key").exists());
}

#[test]
fn a_secret_is_in_no_message_and_no_log() {
    let mut workspace = workspace();
    workspace.set("TF_LOG_PROVIDER", "trace");
    configure(&workspace, &note("  name = \"n\"\n  body = \"leak\"\n  secret = \"correct horse\""));
    let run = workspace.run(&["apply", "-auto-approve"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("Error: Bug in the provider"), "{}", run.stderr);
    assert!(run.stderr.contains("the secret is (sensitive)"), "{}", run.stderr);
    assert!(run.stderr.contains("tf_rpc"), "{}", run.stderr);
    assert!(!run.stderr.contains("correct horse"), "{}", run.stderr);
}

#[test]
fn the_layout_of_json_is_no_change() {
    let workspace = workspace();
    configure(&workspace, &note("  name = \"n\"\n  meta = jsonencode({ a = 1 })"));
    apply(&workspace);
    configure(&workspace, &note("  name = \"n\"\n  meta = \"{ \\\"a\\\" : 1 }\""));
    is_settled(&workspace);
    configure(&workspace, &note("  name = \"n\"\n  meta = \"{ \\\"a\\\" : 2 }\""));
    apply(&workspace);
}

#[test]
fn drifts_are_seen() {
    let workspace = workspace();
    configure(&workspace, &note(FULL));
    apply(&workspace);
    let file = workspace.at("notes/shop.json");
    let text = std::fs::read_to_string(&file).expect("a note");
    std::fs::write(&file, text.replace("text", "scribble")).expect("writable");
    let plan = workspace.plan(&[]);
    assert_eq!(plan.change(NOTE).before("/body"), "scribble");
    assert_eq!(plan.change(NOTE).actions(), "update");

    std::fs::remove_file(&file).expect("a note");
    assert_eq!(workspace.plan(&[]).change(NOTE).actions(), "create");
    apply(&workspace);

    let said = workspace.fails(&["import", "notes_note.n", "nowhere"]);
    assert!(said.contains("Resource already managed"), "{said}");
}

#[test]
fn values_that_are_not_known_are_waited_for() {
    let workspace = workspace();
    configure(
        &workspace,
        &format!(
            "resource \"terraform_data\" \"t\" {{}}\n{}\ndata \"notes_count\" \"all\" {{\n  prefix = notes_note.n.id\n}}\noutput \"n\" {{\n  value = data.notes_count.all.count_of\n}}\n",
            note(
                "  name = \"n\"\n  body = \"pre-${terraform_data.t.id}\"\n  dynamic \"tag\" {\n    for_each = toset([terraform_data.t.id])\n    content {\n      name = tag.value\n    }\n  }"
            )
        ),
    );
    workspace.ok(&["validate"]);
    workspace.ok(&["apply", "-auto-approve"]);
    is_settled(&workspace);
    assert_eq!(workspace.ok(&["output", "n"]).stdout.trim(), "1");
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let workspace = workspace();
    configure(
        &workspace,
        &note(
            "  name = \"n\"\n  meta = \"{\"\n  tag {\n    name = \"a\"\n  }\n  tag {\n    name = \"a\"\n  }",
        ),
    );
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
    let workspace = workspace();
    configure(&workspace, &note("  name = \"n\"\n  body = \"panic\""));
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
    let workspace = workspace();
    configure(&workspace, &note("  name = \"n\"\n  body = \"half\""));
    let said = workspace.fails(&["apply", "-auto-approve"]);
    assert!(said.contains("Error: Note is half done"), "{said}");
    assert_eq!(workspace.state().find(NOTE).expect("a note")["tainted"], true);
    assert_eq!(workspace.plan(&[]).change(NOTE).actions(), "delete create");
}

#[test]
fn a_result_that_was_not_planned_names_its_attribute() {
    let workspace = workspace();
    configure(&workspace, &note("  name = \"n\"\n  body = \"lie\""));
    let said = workspace.fails(&["apply", "-auto-approve"]);
    assert!(said.contains("Bug in the provider: result is not what was planned"), "{said}");
    assert!(said.contains("on main.tf line 12"), "{said}");
}

#[test]
fn a_protected_note_is_not_destroyed() {
    let workspace = workspace();
    configure(&workspace, &note("  name = \"n\"\n  protected = true"));
    apply(&workspace);
    let said = workspace.fails(&["plan", "-destroy"]);
    assert!(said.contains("Error: Note is protected"), "{said}");
    configure(&workspace, &note("  name = \"n\""));
    apply(&workspace);
    workspace.ok(&["destroy", "-auto-approve"]);
}

#[test]
fn a_function_tells_which_argument_is_wrong() {
    let workspace = workspace();
    configure(
        &workspace,
        &note("  name = \"n\"\n  steps = [provider::notes::step(\"a\", { rnu = \"make\" })]"),
    );
    let said = workspace.fails(&["validate"]);
    assert!(said.contains("did you mean \"run\"?"), "{said}");
    assert!(said.contains("on main.tf line 12"), "{said}");
    assert!(said.contains("\"config\" parameter"), "{said}");
}

#[test]
fn the_schema_is_one_that_the_client_shows() {
    let workspace = workspace();
    configure(&workspace, "");
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
    let workspace = workspace();
    configure(&workspace, &note("  name = \"n\"\n  body = \"wait\""));
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
    assert_eq!(workspace.state().find(NOTE).expect("a note")["tainted"], true);
}

#[test]
fn a_provider_in_a_debugger_is_attached_to() {
    let workspace = workspace();
    configure(&workspace, &note(FULL));
    let mut provider = Command::new(PROVIDER);
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
