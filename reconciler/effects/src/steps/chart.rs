//! Dependencies of a chart: set to exact versions, and fetched where the chart holds their archives.
//!
//! Nothing here chooses a version: it is given, or the lock says it, or it stays unknown. What is fetched
//! is what the repository's index or manifest says by its hash, and, when a lost directory is made again,
//! what was fetched the first time.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use reconciler_domain::step::{
    ArtifactAt, ArtifactLayer, ChartCall, ChartsRecord, OciPull, Record,
};
use reconciler_domain::version::Version;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::download::received;
use super::files::{self, below, refused};
use super::http::{introduced, shown};
use super::vault::hex;
use super::workspace::rel_path;
use super::{Done, Halt, RunContext, blocking, oci};
use crate::edit::chart::{self, Pinned, Resolved};
use crate::scoped::Scoped;
use crate::sources::chart_index;
use crate::workdir::{EntryKind, RelPath, WorkDir, WorkdirError};

/// Most bytes of `Chart.yaml` and `Chart.lock`.
const TEXT_MAX_BYTES: u64 = 1 << 20;
/// Most bytes of a repository's index.
const INDEX_MAX_BYTES: usize = 64 << 20;
/// Most bytes of an archive.
const ARCHIVE_MAX_BYTES: usize = 20 << 20;
/// Most bytes of all archives together.
const ARCHIVES_MAX_BYTES: usize = 64 << 20;
/// Most dependencies of a chart.
const DEPENDENCIES_MAX: usize = 100;
/// Time for one answer.
const TIMEOUT: Duration = Duration::from_secs(2 * 60);
/// What holds a chart in a registry.
const LAYER: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

/// Sets the versions, and replaces archives.
pub(super) async fn update(
    effects: &Scoped,
    cx: &RunContext,
    dir: &WorkDir,
    call: &ChartCall,
) -> Result<Done, Halt> {
    let path = rel_path(&call.path)?;
    let (held, place, versions) = (dir.clone(), path.clone(), call.versions.clone());
    let (pinned, archives) = blocking(move || {
        let pinned = pinned(&held, &place, &versions)?;
        Ok::<_, Halt>((pinned, Archives::look(&held, &place)?))
    })
    .await?;
    let wanted = archives.wanted(&pinned.dependencies, call.vendor)?;
    let stale = archives.stale(&pinned.dependencies, call.vendor)?;
    let mut fetched = BTreeMap::new();
    let mut left = ARCHIVES_MAX_BYTES;
    for wanted in wanted {
        let name = wanted.file();
        if fetched.contains_key(&name) {
            continue;
        }
        let bytes = wanted.fetch(effects, cx).await?;
        left = left.checked_sub(bytes.len()).ok_or_else(|| {
            Halt::never(format_args!(
                "the archives of {} come to more than {} MiB together",
                call.path,
                ARCHIVES_MAX_BYTES >> 20,
            ))
        })?;
        same_as_before(&name, &bytes, call)?;
        fetched.insert(name, bytes);
    }
    let sha256 = fetched.iter().map(|(name, bytes)| (name.clone(), hash(bytes))).collect();
    let dir = dir.clone();
    let changed = blocking(move || put(&dir, &path, &pinned, &stale, &fetched)).await?;
    let record = Record::Charts(ChartsRecord { sha256 });
    Ok(Done::new([("changed", Value::Bool(changed))], record))
}

fn pinned(
    dir: &WorkDir,
    path: &RelPath,
    versions: &BTreeMap<String, String>,
) -> Result<Pinned, Halt> {
    let read = |name: &str| {
        dir.read_to_string(&below(path, name)?, TEXT_MAX_BYTES).map_or_else(
            |error| match error {
                WorkdirError::NotFound { .. } => Ok(None),
                error => Err(refused(&error)),
            },
            |text| Ok(Some(text)),
        )
    };
    let Some(chart) = read("Chart.yaml")? else {
        return Err(Halt::never(format_args!("{path} holds no Chart.yaml: it is no chart")));
    };
    chart::pin(&chart, read("Chart.lock")?.as_deref(), versions)
        .map_err(|why| Halt::never(format_args!("{path}: {why}")))
}

/// Writes everything, and says whether that changed anything.
fn put(
    dir: &WorkDir,
    path: &RelPath,
    pinned: &Pinned,
    stale: &[String],
    fetched: &BTreeMap<String, Vec<u8>>,
) -> Result<bool, Halt> {
    let mut changed = files::put(dir, &below(path, "Chart.yaml")?, pinned.chart.as_bytes())?;
    if let Some(lock) = &pinned.lock {
        changed |= files::put(dir, &below(path, "Chart.lock")?, lock.as_bytes())?;
    }
    let charts = below(path, "charts")?;
    for old in stale {
        dir.remove(&below(&charts, old)?).map_err(|error| refused(&error))?;
        changed = true;
    }
    for (name, bytes) in fetched {
        changed |= files::put(dir, &below(&charts, name)?, bytes)?;
    }
    Ok(changed)
}

fn same_as_before(name: &str, bytes: &[u8], call: &ChartCall) -> Result<(), Halt> {
    let found = hash(bytes);
    match call.sha256.get(name) {
        Some(before) if *before != found => Err(Halt::never(format_args!(
            "{name} is sha256:{found} now, and was sha256:{before} when the promotion was prepared: its \
             repository gives something else by the same version; promote again if that is meant"
        ))),
        Some(_) | None => Ok(()),
    }
}

/// What `charts/` holds.
struct Archives {
    files: Vec<String>,
    directories: Vec<String>,
}

impl Archives {
    fn look(dir: &WorkDir, path: &RelPath) -> Result<Self, Halt> {
        let mut found = Self { files: Vec::new(), directories: Vec::new() };
        let entries = match dir.list(&below(path, "charts")?) {
            Err(WorkdirError::NotFound { .. }) => return Ok(found),
            entries => entries.map_err(|error| refused(&error))?,
        };
        for entry in entries {
            match entry.kind {
                EntryKind::File => found.files.push(entry.name),
                EntryKind::Directory => found.directories.push(entry.name),
                EntryKind::Other => {}
            }
        }
        Ok(found)
    }

    /// Archives of the chart, by whatever version.
    fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a String> {
        self.files.iter().filter(move |file| is_archive_of(file, name))
    }

    /// What is to be fetched.
    fn wanted<'a>(
        &self,
        dependencies: &'a [Resolved],
        vendor: bool,
    ) -> Result<Vec<Wanted<'a>>, Halt> {
        if dependencies.len() > DEPENDENCIES_MAX {
            return Err(Halt::never(format_args!(
                "a chart with more than {DEPENDENCIES_MAX} dependencies is not updated"
            )));
        }
        let mut wanted = Vec::new();
        for dependency in dependencies {
            let name = &dependency.name;
            let is_held = self.of(name).next().is_some();
            let is_local = is_local(dependency);
            if dependency.is_set && (is_local || self.directories.contains(name)) {
                return Err(Halt::never(format_args!(
                    "dependency {name} is taken from files beside the chart, whatever its version says: \
                     remove it from `versions`, or the files from the chart"
                )));
            }
            if is_local || !(vendor || (dependency.is_set && is_held)) {
                continue;
            }
            let Some(version) = &dependency.version else {
                return Err(unknown(name));
            };
            let found = Wanted { name, repository: &dependency.repository, version };
            // One that is there was fetched when its version was set.
            if dependency.is_set || !self.files.contains(&found.file()) {
                wanted.push(found);
            }
        }
        Ok(wanted)
    }

    /// Archives of versions that no dependency has any more, where versions are set or all are put there.
    ///
    /// # Errors
    /// Nobody knows which archive a dependency of the same chart uses.
    fn stale(&self, dependencies: &[Resolved], vendor: bool) -> Result<Vec<String>, Halt> {
        let mut stale = Vec::new();
        for dependency in dependencies.iter().filter(|it| !is_local(it) && (vendor || it.is_set)) {
            let name = &dependency.name;
            let held: Vec<&String> = self.of(name).collect();
            let mut used = Vec::new();
            for dependency in dependencies.iter().filter(|it| it.name == *name) {
                match &dependency.version {
                    Some(version) => used.push(archive(name, version)),
                    None if held.is_empty() => {}
                    None => return Err(unknown(name)),
                }
            }
            stale.extend(held.into_iter().filter(|file| !used.contains(file)).cloned());
        }
        stale.sort();
        stale.dedup();
        Ok(stale)
    }
}

/// Whether it is in the same checkout: without a repository, or with a path for one.
fn is_local(dependency: &Resolved) -> bool {
    dependency.repository.is_empty() || dependency.repository.starts_with("file:")
}

fn unknown(name: &str) -> Halt {
    Halt::never(format_args!(
        "dependency {name} asks for a range, and no Chart.lock says which version of it: give it in \
         `versions`, or commit a Chart.lock"
    ))
}

/// The name that helm gives the archive of a chart.
fn archive(name: &str, version: &str) -> String {
    format!("{name}-{version}.tgz")
}

fn is_archive_of(file: &str, name: &str) -> bool {
    let version = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
    let version = version.and_then(|rest| rest.strip_suffix(".tgz"));
    version.is_some_and(|version| Version::strict(version).is_ok())
}

/// An archive to fetch.
struct Wanted<'a> {
    name: &'a str,
    repository: &'a str,
    version: &'a str,
}

impl Wanted<'_> {
    fn file(&self) -> String {
        archive(self.name, self.version)
    }

    async fn fetch(&self, effects: &Scoped, cx: &RunContext) -> Result<Vec<u8>, Halt> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.name.starts_with(['.', '-']) || !self.name.chars().all(is_name) {
            return Err(Halt::never(format_args!("{:?} is not the name of a chart", self.name)));
        }
        match self.repository.split_once("://") {
            Some(("oci", repository)) => self.get_from_registry(effects, repository).await,
            Some(("https" | "http", _)) => self.get_from_index(effects, cx).await,
            Some(_) | None => Err(Halt::never(format_args!(
                "dependency {} comes from {:?}: give the URL of its repository, with https:// or oci://; \
                 what somebody's helm has by that name is not known here",
                self.name, self.repository,
            ))),
        }
    }

    async fn get_from_registry(&self, effects: &Scoped, repository: &str) -> Result<Vec<u8>, Halt> {
        let call = OciPull {
            repo: format!("{}/{}", repository.trim_end_matches('/'), self.name),
            // A tag has no `+`; helm writes an underscore.
            at: ArtifactAt::Tag(self.version.replace('+', "_")),
            layer: ArtifactLayer::MediaType(LAYER.to_owned()),
            platform: None,
            to: self.file(),
            max_bytes: ARCHIVE_MAX_BYTES as u64,
        };
        let (bytes, _) = oci::layer(effects, &call).await?;
        Ok(bytes)
    }

    async fn get_from_index(&self, effects: &Scoped, cx: &RunContext) -> Result<Vec<u8>, Halt> {
        let base = format!("{}/", self.repository.trim_end_matches('/'));
        let bad = |error| Halt::never(format_args!("repository {}: {error}", shown(&base)));
        let base: Url = base.parse().map_err(bad)?;
        let index = base.join("index.yaml").map_err(bad)?;
        let (name, version) = (self.name.to_owned(), self.version.to_owned());
        let bytes = get(effects, cx, &index, INDEX_MAX_BYTES).await?;
        let (said, at) = (shown(index.as_str()).to_owned(), base.clone());
        let (url, digest) = blocking(move || {
            let wrong = |why: &dyn std::fmt::Display| Halt::never(format_args!("{said}: {why}"));
            let text = std::str::from_utf8(&bytes).map_err(|error| wrong(&error))?;
            let listed = chart_index::versions(text, &name).map_err(|why| wrong(&why))?;
            let Some(listed) = listed else {
                return Err(wrong(&format_args!("there is no chart {name:?}")));
            };
            let found = listed.into_iter().find(|listed| same_version(&listed.version, &version));
            let Some(found) = found else {
                return Err(wrong(&format_args!("chart {name} has no version {version}")));
            };
            let Some(url) = found.url else {
                return Err(wrong(&format_args!("{name} {version} has no `urls`")));
            };
            let url = at.join(&url).map_err(|error| wrong(&error))?;
            Ok((url, found.digest))
        })
        .await?;
        if digest.is_none() && (base.scheme(), url.scheme()) == ("https", "http") {
            return Err(Halt::never(format_args!(
                "{} says that an archive is at {}, without TLS and without its hash: not taken",
                shown(index.as_str()),
                shown(url.as_str()),
            )));
        }
        let bytes = get(effects, cx, &url, ARCHIVE_MAX_BYTES).await?;
        let found = hash(&bytes);
        let said = digest.as_deref().map(|digest| digest.trim_start_matches("sha256:"));
        match said {
            Some(said) if !said.eq_ignore_ascii_case(&found) => Err(Halt::never(format_args!(
                "{} is sha256:{found}, and its index says sha256:{said}: it was changed, or cut",
                shown(url.as_str()),
            ))),
            Some(_) | None => Ok(bytes),
        }
    }
}

async fn get(
    effects: &Scoped,
    cx: &RunContext,
    url: &Url,
    max_bytes: usize,
) -> Result<Vec<u8>, Halt> {
    let request = introduced(effects, Method::GET, url.clone(), &BTreeMap::new())?;
    received(effects, cx, request.timeout(TIMEOUT).max_body(max_bytes), url.as_str()).await
}

/// Whether two texts are one version: repositories and people put a `v` before it, or do not.
fn same_version(left: &str, right: &str) -> bool {
    let canonical = |text: &str| Version::strict(text).map(|version| version.canonical()).ok();
    left == right || canonical(left).is_some_and(|left| canonical(right) == Some(left))
}

fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
