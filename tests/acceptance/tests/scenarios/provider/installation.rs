//! The provider where a tool finds it by itself: in the local mirror, and as a release.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use acceptance::terraform::{Tool, installed};
use acceptance::{At as _, Outcome, process};
use tempfile::TempDir;

use crate::site::Site;

const DEADLINE: Duration = Duration::from_secs(120);
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A root module of somebody who has nothing but a tool, and a home of their own.
struct Newcomer {
    home: TempDir,
}

impl Newcomer {
    fn new() -> Outcome<Self> {
        let home = process::folder("home")?;
        fs::create_dir(home.path().join("module")).at("a folder for a root module")?;
        let text = format!(
            "terraform {{\n  required_providers {{\n    lockstep = {{ source = \
             \"lockstep/lockstep\", version = \"{VERSION}\" }}\n  }}\n}}\n\
             resource \"lockstep_project\" \"mine\" {{ name = \"mine\" }}\n"
        );
        fs::write(home.path().join("module/main.tf"), text).at("main.tf")?;
        Ok(Self { home })
    }

    /// The tool's own settings; without the file it has none.
    fn settings(&self) -> PathBuf {
        self.home.path().join("settings.tfrc")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.home.path().join("module"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home.path()).env("CHECKPOINT_DISABLE", "1");
        if self.settings().exists() {
            command.env("TF_CLI_CONFIG_FILE", self.settings());
        }
        command
    }

    /// Runs `provider/package`.
    async fn package(&self, arguments: &[&str]) -> Outcome {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../provider/package");
        let provider = process::binary("terraform-provider-lockstep")?;
        let mut command = self.command(&script.display().to_string());
        let (verb, rest) = arguments.split_at(1);
        command.args(verb).arg(provider).arg(VERSION).args(rest);
        process::run(&command, DEADLINE).await?.ok().map(drop)
    }

    /// Runs the tool; it must end well.
    async fn run(&self, tool: &Tool, site: &Site, arguments: &[&str]) -> Outcome<String> {
        let mut command = self.command(tool.name);
        command.args(arguments).env("LOCKSTEP_ENDPOINT", site.lockstepd.endpoint());
        command.env("LOCKSTEP_TOKEN_FILE", site.lockstepd.token_file());
        Ok(process::run(&command, DEADLINE).await?.ok()?.said())
    }

    async fn applies(&self, tool: &Tool, site: &Site) -> Outcome {
        let said = self.run(tool, site, &["init", "-no-color"]).await?;
        assert!(said.contains(&format!("Installed lockstep/lockstep v{VERSION}")), "{said}");
        self.run(tool, site, &["apply", "-auto-approve", "-no-color"]).await?;
        self.run(tool, site, &["destroy", "-auto-approve", "-no-color"]).await.map(drop)
    }
}

#[tokio::test]
async fn what_is_installed_is_found_by_init() -> Outcome {
    let site = Site::start(&[]).await?;
    for tool in installed()? {
        let newcomer = Newcomer::new()?;
        newcomer.package(&["install"]).await?;
        // Again, as after an update.
        newcomer.package(&["install"]).await?;
        newcomer.applies(&tool, &site).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_release_has_what_a_registry_wants_and_works_from_a_mirror() -> Outcome {
    let site = Site::start(&[]).await?;
    for tool in installed()? {
        let newcomer = Newcomer::new()?;
        let dist = newcomer.home.path().join("dist");
        newcomer.package(&["archive", &dist.display().to_string()]).await?;
        let mut files = names(&dist)?;
        files.sort();
        let [sums, archive, manifest] = files.as_slice() else { panic!("{files:?}") };
        let prefix = format!("terraform-provider-lockstep_{VERSION}_");
        assert_eq!(*manifest, format!("{prefix}manifest.json"));
        assert_eq!(*sums, format!("{prefix}SHA256SUMS"));
        assert!(archive.starts_with(&prefix) && archive.ends_with(".zip"), "{archive}");
        let mut check = newcomer.command("sha256sum");
        check.args(["--check", "--strict", sums]).current_dir(&dist);
        let checked = process::run(&check, DEADLINE).await?.ok()?.stdout;
        assert_eq!(checked, format!("{archive}: OK\n{manifest}: OK\n"));

        for host in ["registry.terraform.io", "registry.opentofu.org"] {
            let mirror = newcomer.home.path().join(format!("mirror/{host}/lockstep/lockstep"));
            fs::create_dir_all(&mirror).at(mirror.display())?;
            fs::copy(dist.join(archive), mirror.join(archive)).at(archive)?;
        }
        let settings = format!(
            "provider_installation {{\n  filesystem_mirror {{ path = {:?} }}\n}}\n",
            newcomer.home.path().join("mirror")
        );
        fs::write(newcomer.settings(), &settings).at("the settings of the tool")?;
        newcomer.applies(&tool, &site).await?;
    }
    Ok(())
}

fn names(dir: &Path) -> Outcome<Vec<String>> {
    let entries: Vec<PathBuf> = fs::read_dir(dir)
        .at(dir.display())?
        .map(|entry| Ok(entry.at(dir.display())?.path()))
        .collect::<Outcome<_>>()?;
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(entries.iter().map(name).collect())
}
