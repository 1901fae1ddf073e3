//! Credentials from terraform: used where they are meant, rotated by a new version, and nowhere to be
//! read.

use std::fs;
use std::path::Path;

use acceptance::git::GitServer;
use acceptance::lockstepd::{Lockstepd, Settings};
use acceptance::registry::{LOGIN, Registry};
use acceptance::terraform::{Tool, installed};
use acceptance::{At as _, Failure, Outcome};
use jiff::Timestamp;
use reconciler_api::v1::{Condition, ConditionStatus, Credential, Object as _, Warehouse};

use super::root;
use crate::site::{PROJECT, SOON};

const GIT_USER: &str = "fetcher";
const GIT_PASSWORD: &str = "git-password-of-the-shop";
const WRONG_PASSWORD: &str = "git-password-that-was";

const CONFIG: &str = r#"
variable "git_password" {
  type      = string
  ephemeral = true
}

variable "version_of_it" { type = number }
variable "git" { type = string }
variable "elsewhere" { type = string }
variable "registry" { type = string }
variable "password_file" { type = string }

resource "lockstep_project" "shop" { name = "shop" }

resource "lockstep_credential" "git" {
  project         = lockstep_project.shop.name
  name            = "git"
  kind            = "git"
  address         = var.git
  username        = "fetcher"
  data_wo         = { password = var.git_password }
  data_wo_version = var.version_of_it
}

resource "lockstep_credential" "registry" {
  project  = lockstep_project.shop.name
  name     = "registry"
  kind     = "image"
  address  = "oci://${var.registry}"
  username = "puller"

  from {
    key  = "password"
    file = var.password_file
  }
}

resource "lockstep_warehouse" "here" {
  project  = lockstep_project.shop.name
  name     = "here"
  interval = "1h"

  git {
    name   = "infra"
    repo   = "${var.git}/infra.git"
    branch = "main"
  }

  image {
    name     = "api"
    repo     = "${var.registry}/shop/api"
    insecure = true
  }
}

resource "lockstep_warehouse" "elsewhere" {
  project  = lockstep_project.shop.name
  name     = "elsewhere"
  interval = "1h"

  git {
    name   = "infra"
    repo   = "${var.elsewhere}/infra.git"
    branch = "main"
  }
}
"#;

/// Everything that wants a password, and a daemon that may read one from a file.
struct Places {
    git: GitServer,
    elsewhere: GitServer,
    registry: Registry,
    lockstepd: Lockstepd,
    secrets: tempfile::TempDir,
}

impl Places {
    async fn start() -> Outcome<Self> {
        let git = GitServer::start_private(GIT_USER, GIT_PASSWORD).await?;
        let elsewhere = GitServer::start_private(GIT_USER, GIT_PASSWORD).await?;
        for server in [&git, &elsewhere] {
            server.create("infra").await?.commit("begin", &[("a.txt", "one\n")]).await?;
        }
        let registry = Registry::start_private().await?;
        registry.push("shop/api", "1.0.0", Timestamp::UNIX_EPOCH).await?;
        let secrets = tempfile::tempdir().at("a folder for secrets")?;
        fs::write(secrets.path().join("registry"), LOGIN.password).at("a secret")?;
        let config = format!("secret_dirs = [{:?}]\n", secrets.path().display().to_string());
        let settings = Settings { config: Some(config), ..Settings::default() };
        let environment = vec![("LOCKSTEPD_LOG".to_owned(), "trace".to_owned())];
        let lockstepd = Lockstepd::start_with(Settings { environment, ..settings }).await?;
        Ok(Self { git, elsewhere, registry, lockstepd, secrets })
    }

    /// What a subscription of a warehouse says of its last look.
    async fn looked(&self, warehouse: &str, subscription: &str, like: &str) -> Outcome<String> {
        let client = self.lockstepd.client()?;
        let kind = format!("Discovered/{subscription}");
        let what = format!("{warehouse}: {kind} says {like:?}");
        self.lockstepd
            .eventually(SOON, &what, async || {
                let found: Warehouse = client.get(PROJECT, warehouse).await?;
                let said = found.meta.conditions.iter().find(|it| it.kind == kind);
                let message = said.map(|it| it.message.clone()).unwrap_or_default();
                if message.contains(like) { Ok(message) } else { Err(Failure::new(message)) }
            })
            .await
    }
}

#[tokio::test]
async fn passwords_open_what_they_are_for_and_are_nowhere_to_be_read() -> Outcome {
    let tool = with_write_only().await?;
    let places = Places::start().await?;
    let mut root = root(&tool, &places.lockstepd, CONFIG)?;
    let file = places.secrets.path().join("registry").display().to_string();
    for (name, value) in [
        ("git", places.git.base()),
        ("elsewhere", places.elsewhere.base()),
        ("registry", places.registry.repo("").trim_end_matches('/').to_owned()),
        ("password_file", file),
        ("version_of_it", "1".to_owned()),
        ("git_password", WRONG_PASSWORD.to_owned()),
    ] {
        root.set_env(&format!("TF_VAR_{name}"), &value);
    }
    root.set_env("TF_LOG", "trace");
    let mut told = String::new();
    let first = root.plan(&[]).await?;
    told.push_str(&first.text);
    told.push_str(&first.json.to_string());
    told.push_str(&root.apply_saved().await?.said());
    places.looked("here", "api", "1 versions").await?;
    places.looked("here", "infra", "HTTP 401").await?;
    let prints = fingerprint(&places).await?;

    // Rotated by a new version; the warehouse looks again by itself.
    root.set_env("TF_VAR_git_password", GIT_PASSWORD);
    let same = root.plan(&[]).await?;
    assert!(!same.changes, "another value of the same version is no change: {}", same.text);
    root.set_env("TF_VAR_version_of_it", "2");
    let second = root.plan(&[]).await?;
    let changed = [("lockstep_credential.git".to_owned(), "update".to_owned())];
    assert_eq!(second.actions(), changed);
    told.push_str(&second.text);
    told.push_str(&second.json.to_string());
    told.push_str(&root.apply_saved().await?.said());
    places.looked("here", "infra", "1 versions").await?;
    assert_ne!(fingerprint(&places).await?, prints);
    told.push_str(&root.plan(&[]).await?.text);

    // Another server has the same user and password, and is told neither.
    places.looked("elsewhere", "infra", "none were sent").await?;

    // Changed elsewhere, the plan puts it back.
    let cli = places.lockstepd.cli(PROJECT)?;
    let by_hand = places.secrets.path().join("by-hand");
    fs::write(&by_hand, WRONG_PASSWORD).at("a secret")?;
    let secret = format!("password={}", by_hand.display());
    let git = places.git.base();
    let set = ["credential", "set", "git", "--kind", "git", "--address", &git];
    let set = [&set[..], &["--username", GIT_USER, "--secret", &secret]].concat();
    told.push_str(&cli.ok(&set).await?);
    let third = root.plan(&[]).await?;
    assert_eq!(third.actions(), changed);
    told.push_str(&root.apply_saved().await?.said());
    told.push_str(&cli.ok(&["credential", "list"]).await?);

    for hidden in [GIT_PASSWORD, WRONG_PASSWORD, LOGIN.password] {
        assert!(!told.contains(hidden), "{hidden} is in what was told");
        assert!(!places.lockstepd.log().contains(hidden), "{hidden} is in the daemon's log");
        let folders = [places.lockstepd.data_dir(), root.folder()];
        for folder in folders {
            assert_eq!(files_with(&folder, hidden)?, [""; 0], "{hidden}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_secret_is_given_again_for_another_address_and_read_only_from_what_is_allowed() -> Outcome
{
    let places = Places::start().await?;
    let cli = places.lockstepd.cli(PROJECT)?;
    let client = places.lockstepd.client()?;
    let project = reconciler_api::v1::ProjectSpec::default();
    let absent = reconciler_api::v1::Precondition::Absent;
    client.put::<reconciler_api::v1::Project>(PROJECT, PROJECT, &project, absent).await?;
    let file = places.secrets.path().join("registry").display().to_string();
    let secret = format!("password={file}");
    let set = async |more: &[&str]| {
        let all = ["credential", "set", "git", "--kind", "git", "--username", GIT_USER];
        cli.run(&[&all[..], more].concat()).await
    };
    let good = "https://git.example.com/team";
    set(&["--address", good, "--secret", &secret]).await?.ok()?;
    // Without the secret everything may change but what it is bound to.
    set(&["--address", good, "--description", "of the team"]).await?.ok()?;
    let refused = set(&["--address", "https://evil.example.com"]).await?.ended_with(1)?;
    assert!(refused.stderr.contains("give the secret again"), "{}", refused.stderr);
    let refused = set(&["--address", good, "--from-file", "password=/etc/passwd"]).await?;
    let refused = refused.ended_with(1)?;
    assert!(refused.stderr.contains("does not allow file \"/etc/passwd\""), "{}", refused.stderr);
    let refused = set(&["--address", good, "--secret", LOGIN.password]).await?.ended_with(2)?;
    assert!(!refused.said().contains(LOGIN.password), "{}", refused.said());
    let from = format!("password={file}");
    set(&["--address", good, "--from-file", &from]).await?.ok()?;
    let usable = async |status: ConditionStatus| {
        let found: Credential = client.get(PROJECT, "git").await?;
        let conditions = &found.meta().conditions;
        let fits = |it: &&Condition| it.kind == "Usable" && it.status == status;
        let found = conditions.iter().find(fits).map(|it| it.message.clone());
        found.ok_or_else(|| Failure::new(format!("{conditions:?}")))
    };
    usable(ConditionStatus::True).await?;
    fs::remove_file(&file).at("the secret")?;
    let why = usable(ConditionStatus::False).await?;
    assert!(why.contains("cannot be read"), "{why}");
    Ok(())
}

#[tokio::test]
async fn a_new_key_seals_everything_anew() -> Outcome {
    let mut places = Places::start().await?;
    let cli = places.lockstepd.cli(PROJECT)?;
    let client = places.lockstepd.client()?;
    let project = reconciler_api::v1::ProjectSpec::default();
    let absent = reconciler_api::v1::Precondition::Absent;
    client.put::<reconciler_api::v1::Project>(PROJECT, PROJECT, &project, absent).await?;
    let file = places.secrets.path().join("registry").display().to_string();
    let address = "oci://registry.example.com/team";
    let set = ["credential", "set", "git", "--kind", "image", "--address", address];
    let login = ["--username", "lockstep", "--secret", &format!("password={file}")];
    cli.ok(&[&set[..], &login].concat()).await?;
    let key_file = places.lockstepd.data_dir().join("secret.key");
    let before = fs::read_to_string(&key_file).at("the key file")?;
    assert!(places.lockstepd.rotate_key().await.is_err(), "while the daemon runs");
    places.lockstepd.stop().await?;
    places.lockstepd.rotate_key().await?;
    let after = fs::read_to_string(&key_file).at("the key file")?;
    let id = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
    assert_ne!(id(&before), id(&after));
    assert_eq!(after.lines().count(), 1, "the old key is forgotten");
    places.lockstepd.restart().await?;
    let found: Credential = places.lockstepd.client()?.get(PROJECT, "git").await?;
    let usable = found.meta.conditions.iter().find(|it| it.kind == "Usable");
    assert_eq!(usable.map(|it| it.status), Some(ConditionStatus::True), "{found:?}");
    Ok(())
}

/// A tool that has write-only attributes.
pub(super) async fn with_write_only() -> Outcome<Tool> {
    let mut found = Vec::new();
    for tool in installed()? {
        let version = tool.version().await?;
        if release(&version).is_some_and(|release| release >= (1, 11)) {
            return Ok(tool);
        }
        found.push(version);
    }
    let found = found.join(", ");
    Err(Failure::new(format!(
        "write-only attributes need Terraform or OpenTofu 1.11; found {found}"
    )))
}

/// Major and minor of what a tool says that it is: `Terraform v1.11.4`.
fn release(version: &str) -> Option<(u32, u32)> {
    let numbers = version.rsplit(' ').next()?.trim_start_matches('v');
    let mut numbers = numbers.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[test]
fn a_tool_says_its_release() {
    for (version, expected) in [
        ("Terraform v1.11.4", Some((1, 11))),
        ("OpenTofu v1.9.0", Some((1, 9))),
        ("Terraform v2.0.1", Some((2, 0))),
        ("Terraform", None),
    ] {
        assert_eq!(release(version), expected, "{version}");
    }
    assert!(release("Terraform v2.0.1") >= Some((1, 11)));
}

async fn fingerprint(places: &Places) -> Outcome<String> {
    let found: Credential = places.lockstepd.client()?.get(PROJECT, "git").await?;
    Ok(found.status.fingerprints["password"].clone())
}

/// The files below a folder that hold a text.
pub(super) fn files_with(folder: &Path, text: &str) -> Outcome<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).at(folder.display())? {
        let path = entry.at(folder.display())?.path();
        if path.is_dir() {
            found.extend(files_with(&path, text)?);
        } else if path.is_file() {
            let bytes = fs::read(&path).at(path.display())?;
            if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
    Ok(found)
}
