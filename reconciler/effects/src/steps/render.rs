//! Manifests, rendered by `kustomize` and `helm` where they are installed.
//!
//! A program runs in a sandbox without a network, and sees what it is to read and a directory of its own for what
//! it keeps. Where the daemon contains nothing, it still gets an environment with nothing in it and no way to
//! fetch anything: what a kustomization refers to is looked at first ([`kustomization`]), `git` is not to be
//! found, and a proxy that nobody serves is named for what would go out nevertheless (loopback addresses
//! are the exception that its language makes). Links are not followed: a chart that holds one is refused, and
//! kustomize keeps to the directories that it is given.
//!
//! What it writes is read as anything else that is in the working directory: counted, and through no link.

mod kustomization;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reconciler_domain::step::{HelmTemplate, Record, RenderCall, Renderer, top};
use serde_json::{Value, json};

use super::files::{self, below, refused};
use super::run;
use super::workspace::rel_path;
use super::{Done, Halt, blocking};
use crate::infra::on_path;
use crate::layout::{make_private_dir, remove_tree};
use crate::process::{Command, Output, ProcessError};
use crate::sandbox::{Access, Beyond, Bounds, Limits, Network, SandboxError, Share};
use crate::scoped::Scoped;
use crate::workdir::{EntryKind, RelPath, WorkDir};

/// Most bytes of manifests in one file.
const OUTPUT_MAX_BYTES: usize = 32 << 20;
/// Most files and directories of a chart.
const CHART_FILES_MAX: usize = 20_000;
/// How long a program gets to end once it is asked to.
const GRACE: Duration = Duration::from_secs(1);
/// Where a program writes several files, in the working directory.
const DRAFT: &str = ".rendered";
/// What is the program's own, in the directory of its run.
const OWN: &str = "own";
/// A port that nobody serves.
const NO_PROXY: &str = "http://127.0.0.1:9";
/// How much a program may use.
const LIMITS: Limits = Limits {
    processes: 512,
    memory: 2 << 30,
    disk: 256 << 20,
    open_files: 4096,
    beyond: Beyond::End,
};

/// Renders, with a private directory for the program's own files.
pub(super) async fn render(
    effects: &Scoped,
    dir: &WorkDir,
    scratch: &Path,
    call: &RenderCall,
) -> Result<Done, Halt> {
    let (source, to) = (rel_path(&call.path)?, rel_path(&call.to)?);
    let looked = (dir.clone(), call.clone(), source.clone());
    blocking(move || {
        let (dir, call, source) = looked;
        look(&dir, &call, &source)
    })
    .await?;
    let tool = Tool::installed(effects, &call.by)?;
    let draft = rel_path(DRAFT)?;
    let output = run_tool(effects, dir, scratch, call, &tool, &draft).await?;
    let what = tool.named(call);
    if !output.status.success() {
        return Err(Halt::never(format_args!(
            "{what} ended with {}: {}",
            output.status,
            output.stderr.tail(),
        )));
    }
    let text = if call.is_one_file() {
        if output.stdout.truncated {
            return Err(Halt::never(format_args!(
                "{what} gives more than {OUTPUT_MAX_BYTES} bytes; give it a directory"
            )));
        }
        Some(output.stdout.bytes)
    } else {
        None
    };
    let (dir, scratch) = (dir.clone(), scratch.to_owned());
    let changed = blocking(move || {
        let changed = match text {
            Some(text) => files::put(&dir, &to, &text)?,
            None => {
                let changed = files::put_all(&dir, &draft, &to)?;
                dir.remove(&draft).map_err(|error| refused(&error))?;
                changed
            }
        };
        // Nobody misses it if it stays.
        std::fs::remove_dir_all(scratch).ok();
        Ok::<_, Halt>(changed)
    });
    Ok(Done::new([("changed", Value::Bool(changed.await?))], Record::None))
}

/// Runs the program to its end, contained. Several files go to the draft.
async fn run_tool(
    effects: &Scoped,
    dir: &WorkDir,
    scratch: &Path,
    call: &RenderCall,
    tool: &Tool,
    draft: &RelPath,
) -> Result<Output, Halt> {
    let own = scratch.join(OWN);
    let made = (scratch.to_owned(), own.clone());
    let made = blocking(move || fresh(&made.0, &made.1)).await;
    made.map_err(|error| Halt::later(format_args!("cannot make {}: {error}", scratch.display())))?;
    let mut shares = seen(effects, dir, call, tool)?;
    shares.extend([Share::write(&own), Share::write(own.join("tmp")).at("/tmp")]);
    let mut command = bare(tool, &own, call).args(arguments(dir, call, &own).await?);
    if !call.is_one_file() {
        let draft = dir.create_dir(draft).map_err(|error| refused(&error))?;
        shares.push(Share::write(&draft));
        let option = match call.by {
            Renderer::Kustomize => "--output",
            Renderer::Helm(_) => "--output-dir",
        };
        command = command.arg(option).arg(draft);
    }
    let notes = scratch.join("notes");
    let bounds = Bounds { shares, network: Network::None, limits: LIMITS, notes };
    let contained =
        effects.sandbox().contain(command, &bounds).map_err(|error| run::halt(&error))?;
    match contained.run(effects.cancel()).await {
        Err(SandboxError::Process(ProcessError::Cancelled { .. })) => Err(Halt::Interrupted),
        ended => ended.map_err(|error| run::halt(&error)),
    }
}

/// Whether the program would read anything but what it is to read.
fn look(dir: &WorkDir, call: &RenderCall, source: &RelPath) -> Result<(), Halt> {
    match &call.by {
        Renderer::Kustomize => kustomization::look(dir, source, top(&call.path)),
        Renderer::Helm(_) => {
            let mut left = CHART_FILES_MAX;
            no_links(dir, source, &mut left)
        }
    }
}

fn no_links(dir: &WorkDir, path: &RelPath, left: &mut usize) -> Result<(), Halt> {
    for entry in dir.list(path).map_err(|error| refused(&error))? {
        let inner = below(path, &entry.name)?;
        *left = left.checked_sub(1).ok_or_else(|| {
            Halt::never(format_args!(
                "a chart of more than {CHART_FILES_MAX} files is not rendered"
            ))
        })?;
        match entry.kind {
            EntryKind::Directory => no_links(dir, &inner, left)?,
            EntryKind::File => {}
            EntryKind::Other => {
                return Err(Halt::never(format_args!(
                    "{inner} is a symbolic link or a special file, which helm would follow: not rendered"
                )));
            }
        }
    }
    Ok(())
}

/// A program that renders, as it is installed.
struct Tool {
    /// What it is called, with its subcommand, for people.
    words: &'static str,
    /// Without links: where it is may not be seen in a sandbox, but what it is has to be.
    program: PathBuf,
    subcommand: &'static str,
}

impl Tool {
    /// `kubectl` has a kustomize of its own, for those who have installed nothing else.
    fn installed(effects: &Scoped, by: &Renderer) -> Result<Self, Halt> {
        let known: &[(&str, &str, &'static str)] = match by {
            Renderer::Kustomize => &[
                ("kustomize", "build", "kustomize build"),
                ("kubectl", "kustomize", "kubectl kustomize"),
            ],
            Renderer::Helm(_) => &[("helm", "template", "helm template")],
        };
        for (name, subcommand, words) in known {
            if let Some(program) = on_path(effects.search_path(), name) {
                let program = program.canonicalize().unwrap_or(program);
                return Ok(Self { words, program, subcommand });
            }
        }
        let names: Vec<String> = known.iter().map(|(name, ..)| format!("`{name}`")).collect();
        Err(Halt::never(format_args!(
            "there is no {} on the PATH of lockstepd: install it on the daemon's host",
            names.join(" and no ")
        )))
    }

    fn named(&self, call: &RenderCall) -> String {
        format!("`{}` of {}", self.words, call.path)
    }
}

/// What the program sees, beside a directory of its own.
fn seen(
    effects: &Scoped,
    dir: &WorkDir,
    call: &RenderCall,
    tool: &Tool,
) -> Result<Vec<Share>, Halt> {
    let foreign = effects.sandbox_settings().read.iter().chain([&tool.program]);
    let mut shares: Vec<Share> = foreign.map(|path| Share::foreign(path, Access::Read)).collect();
    let read = match &call.by {
        // An overlay refers to bases beside it.
        Renderer::Kustomize => vec![top(&call.path)],
        Renderer::Helm(template) => {
            let values = template.values_files.iter().map(String::as_str);
            [call.path.as_str()].into_iter().chain(values).collect()
        }
    };
    for path in read {
        let path = dir.resolve(&rel_path(path)?).map_err(|error| refused(&error))?;
        shares.push(Share::read(path));
    }
    Ok(shares)
}

/// The program with nothing around it.
fn bare(tool: &Tool, own: &Path, call: &RenderCall) -> Command {
    let home = |name: &str| own.join(name).into_os_string();
    let mut command = Command::new(&tool.program)
        .arg(tool.subcommand)
        .current_dir(own)
        .deadline(call.timeout)
        .grace(GRACE)
        .output_limit(OUTPUT_MAX_BYTES)
        .env("PATH", home("none"))
        .env("HOME", home("home"))
        .env("TMPDIR", home("tmp"))
        .env("KUBECONFIG", home("none"));
    for (name, place) in [
        ("XDG_CONFIG_HOME", "config"),
        ("XDG_CACHE_HOME", "cache"),
        ("XDG_DATA_HOME", "data"),
        ("HELM_CONFIG_HOME", "config"),
        ("HELM_CACHE_HOME", "cache"),
        ("HELM_DATA_HOME", "data"),
        ("HELM_PLUGINS", "none"),
        ("KUSTOMIZE_PLUGIN_HOME", "none"),
    ] {
        command = command.env(name, home(place));
    }
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
        command = command.env(name, NO_PROXY);
    }
    command
}

/// What the program is told, but where to write.
async fn arguments(dir: &WorkDir, call: &RenderCall, own: &Path) -> Result<Vec<OsString>, Halt> {
    let place = dir.resolve(&rel_path(&call.path)?).map_err(|error| refused(&error))?;
    match &call.by {
        Renderer::Kustomize => {
            let restricted = "--load-restrictor=LoadRestrictionsRootOnly";
            Ok(vec![place.into(), restricted.into()])
        }
        Renderer::Helm(template) => helm(dir, template, &place, own).await,
    }
}

async fn helm(
    dir: &WorkDir,
    template: &HelmTemplate,
    chart: &Path,
    own: &Path,
) -> Result<Vec<OsString>, Halt> {
    let mut given: Vec<OsString> = vec![template.release.as_str().into(), chart.into()];
    for file in &template.values_files {
        let file = dir.resolve(&rel_path(file)?).map_err(|error| refused(&error))?;
        given.extend(["--values".into(), file.into()]);
    }
    if !template.values.is_empty() {
        // In a file: every user of the host can read the arguments of a program.
        let (file, text) = (own.join("values.json"), json!(template.values).to_string());
        let written = file.clone();
        let wrote = blocking(move || std::fs::write(written, text)).await;
        wrote.map_err(|error| Halt::later(format_args!("cannot write the values: {error}")))?;
        given.extend(["--values".into(), file.into()]);
    }
    for (option, value) in
        [("--namespace", &template.namespace), ("--kube-version", &template.kube_version)]
    {
        given.extend(value.iter().flat_map(|value| [option.into(), value.as_str().into()]));
    }
    given.extend(
        template.api_versions.iter().flat_map(|api| ["--api-versions".into(), api.as_str().into()]),
    );
    for (option, is_set) in [
        ("--include-crds", template.include_crds),
        ("--no-hooks", !template.hooks),
        ("--skip-tests", !template.tests),
    ] {
        given.extend(is_set.then(|| option.into()));
    }
    Ok(given)
}

fn fresh(scratch: &Path, own: &Path) -> std::io::Result<()> {
    remove_tree(scratch)?;
    for name in ["home", "tmp", "none"] {
        make_private_dir(&own.join(name))?;
    }
    Ok(())
}
