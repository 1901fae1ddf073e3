//! What a kustomization refers to, before `kustomize` is let loose on it.
//!
//! Kustomize takes much for an address: of a file by HTTP, of a repository of git. Each resource, base,
//! component, generator and transformer has to be a file or directory beneath one directory of the working
//! directory, and is looked into in its turn; whatever else names a file must not look like an address.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::super::Halt;
use super::super::files::refused;
use super::super::workspace::rel_path;
use crate::edit::yaml;
use crate::workdir::{RelPath, WorkDir, WorkdirError};

/// The names of the file, in the order in which kustomize looks for it.
const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// Larger files are not parsed.
const FILE_MAX_BYTES: u64 = 8 << 20;
/// Most files and directories that one kustomization leads to.
const VISITED_MAX: usize = 5_000;
/// Lists of files, directories, or texts in place.
const PLACES: [&str; 6] =
    ["resources", "bases", "components", "generators", "transformers", "validators"];
/// Keys that name files, wherever they stand.
const FILES: [&str; 10] = [
    "path",
    "paths",
    "file",
    "files",
    "env",
    "envs",
    "crds",
    "configurations",
    "patchesstrategicmerge",
    "valuesfile",
];
/// Keys for charts, which kustomize would have helm fetch.
const CHARTS: [&str; 3] = ["helmcharts", "helmchartinflationgenerator", "helmglobals"];
/// The key by which YAML takes entries over from elsewhere.
const MERGE: &str = "<<";

/// Looks at the kustomization of a directory, and at all that it refers to. Everything has to be beneath
/// the directory `root`.
pub(super) fn look(dir: &WorkDir, source: &RelPath, root: &str) -> Result<(), Halt> {
    let root = if root == "." { PathBuf::new() } else { PathBuf::from(root) };
    let mut look = Look { dir, root, visited: BTreeSet::new() };
    look.directory(source.as_path(), false)
}

struct Look<'a> {
    dir: &'a WorkDir,
    root: PathBuf,
    /// Where it was, and whether what is there configures generators or transformers.
    visited: BTreeSet<(PathBuf, bool)>,
}

impl Look<'_> {
    fn directory(&mut self, path: &Path, configures: bool) -> Result<(), Halt> {
        if !self.enter(path, configures)? {
            return Ok(());
        }
        for name in NAMES {
            let file = path.join(name);
            if let Some(text) = self.read(&file)? {
                return self.document(path, &file, &text, configures);
            }
        }
        Err(Halt::never(format_args!("{} has no {}", path.display(), NAMES[0])))
    }

    fn document(
        &mut self,
        dir: &Path,
        file: &Path,
        text: &str,
        configures: bool,
    ) -> Result<(), Halt> {
        for document in parsed(file, text)? {
            self.refers(dir, file, &document, configures)?;
        }
        Ok(())
    }

    fn refers(
        &mut self,
        dir: &Path,
        file: &Path,
        document: &Value,
        configures: bool,
    ) -> Result<(), Halt> {
        for key in document.as_object().into_iter().flatten().map(|(key, _)| key) {
            if CHARTS.contains(&folded(key).as_str()) {
                return Err(Halt::never(format_args!(
                    "{}: {key} would be fetched; render the chart by a `helm_template` step before",
                    file.display(),
                )));
            }
            if key == MERGE {
                let file = file.display();
                return Err(Halt::never(format_args!(
                    "{file}: {key} is not looked into: write it out"
                )));
            }
        }
        no_addresses(file, document)?;
        for (key, value) in document.as_object().into_iter().flatten() {
            let folded = folded(key);
            let key = folded.as_str();
            let entries = value.as_array().filter(|_| PLACES.contains(&key));
            for entry in entries.into_iter().flatten().filter_map(Value::as_str) {
                let configures = configures || is_configuration(key);
                // A text in place, or the name of one.
                if !entry.contains('\n') {
                    self.entry(dir, file, (key, entry), configures)?;
                } else if configures {
                    all_without(file, entry)?;
                }
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        dir: &Path,
        file: &Path,
        (key, entry): (&str, &str),
        configures: bool,
    ) -> Result<(), Halt> {
        let refuse = |why: &str| {
            Err(Halt::never(format_args!(
                "{}: {key}: {entry:?} {why}; nothing is fetched: check it out, pull or download it by a \
                 step before",
                file.display(),
            )))
        };
        let Some(target) = joined(dir, entry) else {
            return refuse("leads out of the working directory");
        };
        if !target.starts_with(&self.root) {
            return refuse("leads out of the directory that is rendered from");
        }
        let Ok(place) = rel_path(&target.to_string_lossy()) else {
            return refuse("is not in the working directory");
        };
        match self.dir.list(&place) {
            Ok(_) => return self.directory(&target, configures),
            Err(WorkdirError::NotFound { .. }) => return refuse("is not in the working directory"),
            Err(_) => {}
        }
        // A file; of a generator or transformer its own references count.
        match self.read(&target)? {
            None => refuse("is not in the working directory"),
            Some(text) if configures && self.enter(&target, true)? => all_without(&target, &text),
            Some(_) => Ok(()),
        }
    }

    /// Whether it was not looked at before.
    fn enter(&mut self, path: &Path, configures: bool) -> Result<bool, Halt> {
        if self.visited.len() >= VISITED_MAX {
            return Err(Halt::never(format_args!(
                "a kustomization that leads to more than {VISITED_MAX} places is not rendered"
            )));
        }
        Ok(self.visited.insert((path.to_owned(), configures)))
    }

    fn read(&self, file: &Path) -> Result<Option<String>, Halt> {
        match self.dir.read_to_string(&rel_path(&file.to_string_lossy())?, FILE_MAX_BYTES) {
            Ok(text) => Ok(Some(text)),
            Err(WorkdirError::NotFound { .. }) => Ok(None),
            Err(error) => Err(refused(&error)),
        }
    }
}

/// A key as kustomize reads it, which takes `Resources` for `resources`.
fn folded(key: &str) -> String {
    key.to_uppercase().to_lowercase()
}

fn is_configuration(key: &str) -> bool {
    matches!(key, "generators" | "transformers" | "validators")
}

/// Every document of a text. What cannot be read here is not let through: kustomize may read it.
fn parsed(file: &Path, text: &str) -> Result<Vec<Value>, Halt> {
    let mut documents = vec![String::new()];
    for line in text.lines() {
        // A marker begins a line, whatever stands before it.
        let rest = line.strip_prefix("---").or_else(|| line.strip_prefix("..."));
        let marked = rest.filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']));
        if marked.is_some() {
            documents.push(String::new());
        }
        if let Some(document) = documents.last_mut() {
            document.push_str(marked.unwrap_or(line));
            document.push('\n');
        }
    }
    let read = |text: &String| {
        yaml::read(text).map_err(|error| Halt::never(format_args!("{}: {error}", file.display())))
    };
    documents.iter().filter(|text| !text.trim().is_empty()).map(read).collect()
}

/// A path seen from a directory, without what leads up; none: it leads out.
fn joined(dir: &Path, entry: &str) -> Option<PathBuf> {
    let mut path = dir.to_owned();
    for part in Path::new(entry).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::Normal(name) => path.push(name),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

fn all_without(file: &Path, text: &str) -> Result<(), Halt> {
    parsed(file, text)?.iter().try_for_each(|document| no_addresses(file, document))
}

/// What names a file looks like no address.
fn no_addresses(file: &Path, document: &Value) -> Result<(), Halt> {
    match document {
        Value::Object(entries) => {
            for (key, value) in entries {
                let folded = folded(key);
                let is_file = FILES.contains(&folded.as_str()) || PLACES.contains(&folded.as_str());
                if let Some(found) = address(value).filter(|_| is_file) {
                    return Err(Halt::never(format_args!(
                        "{}: {key}: {found:?} is an address, and nothing is fetched: check it out, pull or \
                         download it by a step before",
                        file.display(),
                    )));
                }
                no_addresses(file, value)?;
            }
            Ok(())
        }
        Value::Array(items) => items.iter().try_for_each(|item| no_addresses(file, item)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// The first text of a value that looks like an address.
fn address(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => {
            let is_address =
                text.contains("://") || text.contains("::") || text.starts_with("git@");
            (is_address && !text.contains('\n')).then_some(text)
        }
        Value::Array(items) => items.iter().find_map(address),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}
