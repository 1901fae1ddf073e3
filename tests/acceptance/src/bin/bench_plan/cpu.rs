//! Who spends the CPU of a plan: the client, or our provider.
//!
//! A client does much for each resource of any provider: it reads values by their schema, compares, writes them, and
//! calls. What it spends by itself is the least that a plan with that configuration costs, whoever wrote the provider.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use acceptance::process::{binary, folder};
use acceptance::terraform::{Tool, Workspace};
use acceptance::{At as _, Failure, Outcome};

const PROVIDER: &str = "terraform-provider-lockstep";

/// User and system time of one plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu {
    /// Of the client alone.
    pub(crate) client: Duration,
    /// Of the provider, over all its starts.
    pub(crate) provider: Duration,
}

/// What one plan takes. The provider is started by a script that notes its time.
pub(crate) fn of_a_plan(tool: &Tool, workspace: &Workspace) -> Outcome<Cpu> {
    let made = folder("meter")?;
    let (noted, script) = (made.path().join("noted"), made.path().join(PROVIDER));
    let text = format!("#!/bin/sh\n{:?} \"$@\"\ntimes >> {noted:?}\n", binary(PROVIDER)?);
    fs::write(&script, text).at(script.display())?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).at(script.display())?;
    fs::write(&noted, "").at(noted.display())?;
    let settings = made.path().join("cli.tfrc");
    let text = ["terraform.io", "opentofu.org"]
        .map(|host| format!("    \"registry.{host}/lockstep/lockstep\" = {:?}\n", made.path()));
    let text = format!("provider_installation {{\n  dev_overrides {{\n{}  }}\n}}\n", text.concat());
    fs::write(&settings, text).at(settings.display())?;
    let mut command = Command::new("sh");
    command
        .args(["-c", "\"$0\" plan >/dev/null || exit 1; times"])
        .arg(tool.program())
        .current_dir(workspace.folder())
        .envs(workspace.environment().iter().map(|(name, value)| (name, value)))
        .env("TF_CLI_CONFIG_FILE", &settings)
        .stdin(Stdio::null());
    let output = command.output().at("a metered plan")?;
    if !output.status.success() {
        return Err(Failure::new(String::from_utf8_lossy(&output.stderr)));
    }
    let all = children(&String::from_utf8_lossy(&output.stdout))?;
    let provider = children(&read(&noted)?)?;
    Ok(Cpu { client: all.saturating_sub(provider), provider })
}

fn read(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).at(path.display())
}

/// The sum over what `times` said: of each two lines the second is about the children of the shell.
fn children(text: &str) -> Outcome<Duration> {
    let words = text.lines().skip(1).step_by(2).flat_map(str::split_whitespace);
    words.map(|word| time(word).ok_or_else(|| Failure::new(format!("no time: {word:?}")))).sum()
}

/// `1m2.50s`, as POSIX has `times` write it.
fn time(word: &str) -> Option<Duration> {
    let (minutes, seconds) = word.strip_suffix('s')?.split_once('m')?;
    let minutes = Duration::from_secs(60 * minutes.parse::<u64>().ok()?);
    Some(minutes + Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?)
}
