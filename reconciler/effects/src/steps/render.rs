//! Manifests, rendered by `kustomize` and `helm` where they are installed.
//!
//! A program gets a directory of its own for what it keeps, an environment with nothing in it, and no way to
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
use super::workspace::rel_path;
use super::{Done, Halt, blocking};
use crate::infra::on_path;
use crate::layout::make_private_dir;
use crate::process::{Command, ProcessError};
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
/// A port that nobody serves.
const NO_PROXY: &str = "http://127.0.0.1:9";

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
    let program = program(effects, &call.by)?;
    let place = dir.resolve(&source).map_err(|error| refused(&error))?;
    let home = scratch.to_owned();
    let made = blocking(move || fresh(&home)).await;
    made.map_err(|error| Halt::later(format_args!("cannot make {}: {error}", scratch.display())))?;
    let draft = rel_path(DRAFT)?;
    let mut command = bare(&program, scratch, call);
    command = command.args(arguments(dir, call, &place, scratch).await?);
    if !call.is_one_file() {
        let draft = dir.create_dir(&draft).map_err(|error| refused(&error))?;
        let option = match call.by {
            Renderer::Kustomize => "--output",
            Renderer::Helm(_) => "--output-dir",
        };
        command = command.arg(option).arg(draft);
    }
    let output = command.run(effects.cancel()).await.map_err(|error| halt(&error))?;
    let what = named(call);
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

/// The program, as it is installed.
fn program(effects: &Scoped, by: &Renderer) -> Result<PathBuf, Halt> {
    let name = match by {
        Renderer::Kustomize => "kustomize",
        Renderer::Helm(_) => "helm",
    };
    on_path(effects.search_path(), name).ok_or_else(|| {
        Halt::never(format_args!(
            "there is no `{name}` on the PATH of lockstepd: install it on the daemon's host"
        ))
    })
}

/// The program with nothing around it.
fn bare(program: &Path, scratch: &Path, call: &RenderCall) -> Command {
    let home = |name: &str| scratch.join(name).into_os_string();
    let mut command = Command::new(program)
        .current_dir(scratch)
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
async fn arguments(
    dir: &WorkDir,
    call: &RenderCall,
    place: &Path,
    scratch: &Path,
) -> Result<Vec<OsString>, Halt> {
    match &call.by {
        Renderer::Kustomize => {
            let restricted = "--load-restrictor=LoadRestrictionsRootOnly";
            Ok(vec!["build".into(), place.into(), restricted.into()])
        }
        Renderer::Helm(template) => helm(dir, template, place, scratch).await,
    }
}

async fn helm(
    dir: &WorkDir,
    template: &HelmTemplate,
    chart: &Path,
    scratch: &Path,
) -> Result<Vec<OsString>, Halt> {
    let mut given: Vec<OsString> =
        vec!["template".into(), template.release.as_str().into(), chart.into()];
    for file in &template.values_files {
        let file = dir.resolve(&rel_path(file)?).map_err(|error| refused(&error))?;
        given.extend(["--values".into(), file.into()]);
    }
    if !template.values.is_empty() {
        // In a file: every user of the host can read the arguments of a program.
        let (file, text) = (scratch.join("values.json"), json!(template.values).to_string());
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

fn fresh(scratch: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(scratch) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    for name in ["home", "tmp", "none"] {
        make_private_dir(&scratch.join(name))?;
    }
    Ok(())
}

fn named(call: &RenderCall) -> String {
    match call.by {
        Renderer::Kustomize => format!("`kustomize build` of {}", call.path),
        Renderer::Helm(_) => format!("`helm template` of {}", call.path),
    }
}

fn halt(error: &ProcessError) -> Halt {
    let may_pass = match error {
        ProcessError::Spawn { .. } | ProcessError::Wait { .. } => true,
        ProcessError::DeadlineExceeded { .. } => true,
        ProcessError::NotFound { .. } | ProcessError::Cancelled { .. } => false,
    };
    Halt::of(error, may_pass)
}
