//! Drift: infra that is changed outside of promotions, seen by looks and by gates. The provider of the notes keeps each
//! in a file, which anybody can change.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use acceptance::lockstepd::Settings;
use acceptance::process;
use acceptance::{At as _, Failure, Outcome};
use reconciler_api::v1::{ConditionStatus, DriftStanding, Gate, GateKind, Phase, Stage, Verdict};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::pipeline::{apply, clone_infra, direct, step};
use crate::site::{PROJECT, SOON, Site};

const STATE: &str = "infra/modules/shop";

/// Two notes: one says always the same, the other which release it is of.
fn notes_module(more: &str) -> String {
    format!(
        r#"terraform {{
  required_providers {{
    notes = {{ source = "example.test/acme/notes" }}
  }}
}}

variable "notes" {{ type = string }}
variable "release" {{ type = string }}

provider "notes" {{
  directory = var.notes
}}

resource "notes_note" "shop" {{
  name = "shop"
  body = "open"
{more}}}

resource "notes_note" "release" {{
  name = "release"
  body = var.release
}}
"#
    )
}

/// A site whose infra runs have the provider of the notes, with a folder for them.
struct Shelf {
    site: Site,
    folder: TempDir,
}

impl Shelf {
    async fn open() -> Outcome<Self> {
        let folder = process::open_folder("notes")?;
        let notes = folder.path().join("notes");
        fs::create_dir(&notes).at("the notes")?;
        open_to_all(&notes)?;
        let settings = Settings {
            config: Some(format!("[infra_env]\nTF_CLI_CONFIG_FILE = {:?}\n", install(&folder)?)),
            writable: vec![folder.path().to_owned()],
            ..Settings::default()
        };
        let site = Site::start_with(settings, &[]).await?;
        let shelf = Self { site, folder };
        shelf.stage(&json!([])).await?;
        let manual = json!({ "mode": "manual", "stages": { "names": ["dev"] } });
        shelf.site.policy("dev", &manual).await?;
        Ok(shelf)
    }

    /// The stage `dev`, looked at by itself, its plans limited to these addresses.
    async fn stage(&self, targets: &Value) -> Outcome {
        let vars = json!({
            "notes": self.folder.path().join("notes").display().to_string(),
            "release": "{{ freight.infra.commit }}",
        });
        let config = json!({ "dir": STATE, "vars": vars, "targets": targets });
        let steps = [clone_infra(&self.site), step("plan", "tf_plan", &config), apply()];
        let spec = json!({ "requests": direct(), "steps": steps, "drift": { "every": "6h" } });
        self.site.stage("dev", &spec).await.map(drop)
    }

    fn note(&self, name: &str) -> PathBuf {
        self.folder.path().join("notes").join(format!("{name}.json"))
    }

    /// Writes over a field of a note, as somebody does who knows nothing of us.
    fn rewrite(&self, name: &str, field: &str, value: &Value) -> Outcome {
        let text = fs::read_to_string(self.note(name)).at("the note")?;
        let mut note: Value = serde_json::from_str(&text).at("the note")?;
        note[field] = value.clone();
        fs::write(self.note(name), note.to_string()).at("the note")
    }

    /// Looks now; answers with what was found. The command line ends with this code.
    async fn look(&self, code: i32) -> Outcome<Value> {
        let run = self.site.cli()?.run(&["drift", "dev", "--look", "-o", "json"]).await?;
        let run = run.ended_with(code)?;
        serde_json::from_str(&run.stdout).at(run.stdout)
    }

    async fn condition(&self) -> Outcome<(ConditionStatus, String)> {
        let stage: Stage = self.site.client()?.get(PROJECT, "dev").await?;
        let found = stage.meta.conditions.into_iter().find(|it| it.kind == "Undrifted");
        let found = found.ok_or_else(|| Failure::new("it has no such condition"))?;
        Ok((found.status, found.message))
    }

    /// Waits for a promotion at its gates; answers with what that of drift says.
    async fn gate(&self, id: &str) -> Outcome<Gate> {
        let (promotion, _) = self.site.waits(id).await?;
        let found = promotion.gates.iter().find(|gate| gate.gate == GateKind::Drift).cloned();
        found.ok_or_else(|| Failure::new(format!("{:#?}", promotion.gates)))
    }

    /// The directories of looks at the stage.
    fn places(&self) -> Vec<PathBuf> {
        let of_stage = self.site.lockstepd.data_dir().join("looks").join(PROJECT).join("dev");
        let entries = std::fs::read_dir(of_stage).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    }

    /// Waits until nothing is left of a look: its directory goes after its record is written.
    async fn is_cleared(&self) -> Outcome {
        self.site
            .lockstepd
            .eventually(SOON, "nothing is left of the look", async || {
                let places = self.places();
                if places.is_empty() { Ok(()) } else { Err(Failure::new(format!("{places:?}"))) }
            })
            .await
    }
}

/// Puts the provider where the tool finds it without a registry; answers with the tool's configuration.
fn install(folder: &TempDir) -> Outcome<PathBuf> {
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let mirror = folder.path().join("mirror");
    let place = mirror.join(format!("example.test/acme/notes/1.0.0/linux_{arch}"));
    fs::create_dir_all(&place).at("the mirror")?;
    let provider = place.join("terraform-provider-notes_v1.0.0");
    fs::copy(process::binary("terraform-provider-notes")?, &provider).at("the provider")?;
    let config = folder.path().join("cli.tfrc");
    let path = mirror.display();
    let text = format!(
        "provider_installation {{\n  filesystem_mirror {{\n    path = \"{path}\"\n  }}\n}}\n"
    );
    fs::write(&config, text).at("the tool's configuration")?;
    Ok(config)
}

/// The contained provider is another user.
fn open_to_all(path: &Path) -> Outcome {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).at(path.display())
}

fn addresses(found: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let states = found["states"].as_array().into_iter().flatten();
    let resources = states.flat_map(|state| state["resources"].as_array().into_iter().flatten());
    resources.map(|it| (text(&it["address"]), text(&it["action"]))).collect()
}

fn pair(address: &str, action: &str) -> (String, String) {
    (address.to_owned(), action.to_owned())
}

#[tokio::test]
async fn what_changes_outside_is_seen_and_holds_what_would_write_over_it() -> Outcome {
    let shelf = Shelf::open().await?;
    let site = &shelf.site;
    let refused = site.cli()?.refused(1, &["drift", "dev", "--look"]).await?;
    assert!(refused.contains("no promotion has applied infra to stage dev"), "{refused}");
    let module = ("modules/shop/main.tf", notes_module(""));
    let first = site.commit_infra("notes", &[(module.0, &module.1)]).await?;
    site.promoted("dev", &first).await?;
    assert_eq!(shelf.condition().await?.0, ConditionStatus::Unknown);
    assert_eq!(shelf.look(0).await?["standing"], "clean");
    assert_eq!(shelf.condition().await?.0, ConditionStatus::True);

    // Somebody changes a note by hand, and a look changes nothing about that.
    shelf.rewrite("shop", "body", &json!("closed for today"))?;
    let (before, serial) = (fs::read(shelf.note("shop")).at("the note")?, site.state("dev")?);
    let found = shelf.look(5).await?;
    assert_eq!(addresses(&found), [pair("notes_note.shop", "changed")], "{found:#}");
    let attribute = &found["states"][0]["resources"][0]["attributes"][0];
    assert_eq!(
        attribute,
        &json!({
            "name": "body", "before": "\"open\"", "after": "\"closed for today\"",
        })
    );
    assert_eq!(fs::read(shelf.note("shop")).at("the note")?, before);
    assert_eq!(site.state("dev")?, serial);
    shelf.is_cleared().await?;
    let (status, message) = shelf.condition().await?;
    assert_eq!(status, ConditionStatus::False);
    assert!(message.contains("`notes_note.shop` was changed outside (body)"), "{message}");
    let listed = site.cli()?.run(&["drift"]).await?.ended_with(5)?;
    assert!(listed.stdout.contains("drifted"), "{}", listed.stdout);

    // A promotion that would write over it is held, with what and why.
    let second = site.commit_infra("second", &[("notes.txt", "second\n")]).await?;
    let held = site.promote("dev", &second).await?;
    let gate = shelf.gate(&held).await?;
    assert_eq!(gate.verdict, Verdict::Fail, "{gate:#?}");
    let told = "`notes_note.shop` was changed outside (body), and the plan would update it";
    assert!(gate.message.contains(told), "{}", gate.message);

    // One that does not touch it goes on, and what it applied was not looked at yet.
    shelf.stage(&json!(["notes_note.release"])).await?;
    let third = site.commit_infra("third", &[("notes.txt", "third\n")]).await?;
    site.promoted("dev", &third).await?;
    assert_eq!(fs::read(shelf.note("shop")).at("the note")?, before);
    let found = site.client()?.stage_drift(PROJECT, "dev").await?;
    assert_eq!(found.standing, DriftStanding::Unknown, "{found:#?}");

    // A look keeps to the targets of the apply.
    assert_eq!(shelf.look(0).await?["standing"], "clean");
    fs::remove_file(shelf.note("release")).at("the note")?;
    assert_eq!(addresses(&shelf.look(5).await?), [pair("notes_note.release", "deleted")]);
    Ok(())
}

#[tokio::test]
async fn a_look_that_is_killed_leaves_nothing_and_is_made_again() -> Outcome {
    let mut shelf = Shelf::open().await?;
    let module = ("modules/shop/main.tf", notes_module(""));
    let first = shelf.site.commit_infra("notes", &[(module.0, &module.1)]).await?;
    shelf.site.promoted("dev", &first).await?;
    let note = fs::read(shelf.note("shop")).at("the note")?;

    // Nothing comes out of this file, so that the provider waits for ever.
    fs::remove_file(shelf.note("shop")).at("the note")?;
    let made = Command::new("mkfifo").args(["-m", "666"]).arg(shelf.note("shop")).status();
    assert!(made.at("mkfifo")?.success());
    shelf.site.client()?.look_for_drift(PROJECT, "dev").await?;
    let data = shelf.site.lockstepd.data_dir();
    shelf
        .site
        .lockstepd
        .eventually(SOON, "the look is under way", async || {
            if providers_below(&data)?.is_empty() { Err(Failure::new("not yet")) } else { Ok(()) }
        })
        .await?;
    assert_eq!(shelf.places().len(), 1);
    shelf.site.lockstepd.kill().await?;
    shelf
        .site
        .lockstepd
        .eventually(SOON, "its processes are gone", async || {
            let left = providers_below(&data)?;
            if left.is_empty() { Ok(()) } else { Err(Failure::new(format!("{left:?}"))) }
        })
        .await?;
    fs::remove_file(shelf.note("shop")).at("the pipe")?;
    fs::write(shelf.note("shop"), &note).at("the note")?;

    shelf.site.lockstepd.restart().await?;
    // The lease of the one that was killed ends by itself; then the look that was asked for is made.
    let found = shelf
        .site
        .lockstepd
        .eventually(SOON, "it is looked at", async || {
            let found = shelf.site.client()?.stage_drift(PROJECT, "dev").await?;
            if found.asked { Err(Failure::new(format!("{found:#?}"))) } else { Ok(found) }
        })
        .await?;
    assert_eq!(found.standing, DriftStanding::Clean, "{found:#?}");
    shelf.is_cleared().await?;

    // A state that is gone is no clean one.
    fs::remove_file(shelf.site.lockstepd.state_file(PROJECT, "dev", STATE)).at("the state")?;
    let found = shelf.look(6).await?;
    let why = found["states"][0]["why"].as_str().unwrap_or_default();
    assert!(why.contains("restore"), "{found:#}");
    let second = shelf.site.commit_infra("second", &[("notes.txt", "second\n")]).await?;
    let id = shelf.site.promote("dev", &second).await?;
    shelf.site.is(&id, Phase::Failed).await?;
    Ok(())
}

/// The processes that run a provider which was installed below the data of a daemon.
fn providers_below(data: &Path) -> Outcome<Vec<String>> {
    let mut found = Vec::new();
    let data = data.display().to_string();
    for entry in fs::read_dir("/proc").at("the processes")? {
        let path = entry.at("a process")?.path();
        let command = fs::read(path.join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.starts_with(&data) && command.contains("terraform-provider-notes") {
            found.push(command);
        }
    }
    Ok(found)
}
