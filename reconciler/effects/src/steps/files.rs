//! Changes of files in the working directory, and values read from them.
//!
//! Every path is resolved beneath the working directory and through no symbolic link. What is copied
//! is counted: a tree with more files or bytes than configuration has is refused.

use indexmap::IndexMap;
use reconciler_domain::expression::{Expression, Scope};
use reconciler_domain::step::{FileCall, ImageCall, Language, ParseCall, Record};
use reconciler_domain::template::Template;
use serde_json::{Map, Value};

use super::workspace::rel_path;
use super::{Done, Halt, archive, blocking};
use crate::edit::yaml::KeyPath;
use crate::edit::{hcl, json, kustomize, toml, yaml};
use crate::workdir::{EntryKind, RelPath, WorkDir, WorkdirError};

/// Larger files are neither parsed nor edited.
const TEXT_MAX_BYTES: u64 = 8 << 20;
/// Larger files are not copied.
pub(super) const FILE_MAX_BYTES: u64 = 256 << 20;
/// Most files of one copy.
pub(super) const FILES_MAX: usize = 50_000;
/// Most bytes of one copy.
pub(super) const BYTES_MAX: u64 = 1 << 30;
/// What belongs to git is nobody else's.
pub(super) const GIT: &str = ".git";

/// Makes a change.
pub(super) async fn change(dir: &WorkDir, call: &FileCall) -> Result<Done, Halt> {
    let (dir, call) = (dir.clone(), call.clone());
    let outputs = blocking(move || match &call {
        FileCall::Copy { from, to } => copy(&dir, from, to).map(|()| Map::new()),
        FileCall::Delete { paths, strict } => delete(&dir, paths, *strict).map(|()| Map::new()),
        FileCall::Clear { dir: cleared } => clear(&dir, cleared).map(|()| Map::new()),
        FileCall::Tar { from, to, gzip } => archive::pack(&dir, from, to, *gzip),
        FileCall::Untar { from, to, strip } => {
            archive::unpack(&dir, from, to, *strip).map(|()| Map::new())
        }
        FileCall::Write { path, text, overwrite } => {
            if !overwrite && dir.exists(&rel_path(path)?).map_err(|error| refused(&error))? {
                return Err(Halt::never(format_args!(
                    "{path} is there already; set `overwrite` if it may be replaced"
                )));
            }
            write(&dir, path, text)
        }
        FileCall::Template { path, to, values } => {
            let text = render(&read(&dir, path)?, values)
                .map_err(|error| Halt::never(format_args!("{path}: {error}")))?;
            write(&dir, to, &text)
        }
        FileCall::Merge { from, to, ignore_missing } => {
            write(&dir, to, &merged(&dir, from, *ignore_missing)?)
        }
        FileCall::Images { path, images } => {
            let edited = kustomized(&read(&dir, path)?, images)
                .map_err(|error| Halt::never(format_args!("{path}: {error}")))?;
            write(&dir, path, &edited)
        }
        FileCall::Update { language, path, updates } => {
            let updates: Vec<(&String, &Value)> = updates.iter().collect();
            let text = read(&dir, path)?;
            let edited = updated(*language, &text, &updates)
                .map_err(|error| Halt::never(format_args!("{path}: {error}")))?;
            write(&dir, path, &edited)
        }
    });
    Ok(Done { outputs: outputs.await?, record: Record::None })
}

/// Reads values.
pub(super) async fn parse(dir: &WorkDir, call: &ParseCall) -> Result<Done, Halt> {
    let (dir, call) = (dir.clone(), call.clone());
    let outputs = blocking(move || {
        let file = &call.path;
        let document = document(call.language, &read(&dir, file)?)
            .map_err(|error| Halt::never(format_args!("{file}: {error}")))?;
        let mut scope = Scope::new();
        scope.set("document", document);
        let mut outputs = Map::new();
        for (name, text) in &call.outputs {
            let wrong =
                |error: String| Halt::never(format_args!("{file}: output {name:?}: {error}"));
            let expression = Expression::parse(text).map_err(|error| wrong(error.to_string()))?;
            let value = expression.evaluate(&scope).map_err(|error| wrong(error.to_string()))?;
            outputs.insert(name.clone(), value);
        }
        Ok::<_, Halt>(outputs)
    });
    Ok(Done { outputs: outputs.await?, record: Record::None })
}

fn document(language: Language, text: &str) -> Result<Value, String> {
    match language {
        Language::Yaml => yaml::read(text).map_err(|error| error.to_string()),
        Language::Json => json::read(text).map_err(|error| error.to_string()),
        Language::Toml => toml::read(text).map_err(|error| error.to_string()),
        Language::Hcl => hcl::read(text).map_err(|error| error.to_string()),
    }
}

fn updated(
    language: Language,
    text: &str,
    updates: &[(&String, &Value)],
) -> Result<String, String> {
    let keys = updates.iter().map(|(key, value)| {
        let path: KeyPath = key.parse().map_err(|error: yaml::YamlEditError| error.to_string())?;
        Ok((path, (*value).clone()))
    });
    let keys: Vec<(KeyPath, Value)> = keys.collect::<Result<_, String>>()?;
    match language {
        Language::Yaml => {
            let scalars = keys.into_iter().map(|(key, value)| {
                yaml::Scalar::try_from(&value)
                    .map(|scalar| (key, scalar))
                    .map_err(|error| error.to_string())
            });
            let scalars = scalars.collect::<Result<Vec<_>, String>>()?;
            yaml::update(text, &scalars).map_err(|error| error.to_string())
        }
        Language::Json => json::update(text, &keys).map_err(|error| error.to_string()),
        Language::Toml => toml::update(text, &keys).map_err(|error| error.to_string()),
        Language::Hcl => hcl::update(text, &keys).map_err(|error| error.to_string()),
    }
}

fn kustomized(text: &str, images: &IndexMap<String, ImageCall>) -> Result<String, String> {
    let images = images.iter().map(|(name, ImageCall { new_name, tag, digest })| {
        let (new_name, tag, digest) = (new_name.clone(), tag.clone(), digest.clone());
        (name.as_str(), kustomize::Image { new_name, tag, digest })
    });
    kustomize::set_images(text, images)
}

fn render(text: &str, values: &Map<String, Value>) -> Result<String, String> {
    let mut scope = Scope::new();
    scope.set("values", Value::Object(values.clone()));
    let template = Template::parse(text).map_err(|error| error.to_string())?;
    match template.render(&scope).map_err(|error| error.to_string())? {
        Value::String(text) => Ok(text),
        other => Ok(other.to_string()),
    }
}

fn merged(dir: &WorkDir, files: &[String], ignore_missing: bool) -> Result<String, Halt> {
    let mut whole: Option<String> = None;
    for file in files {
        let text = match dir.read_to_string(&rel_path(file)?, TEXT_MAX_BYTES) {
            Err(WorkdirError::NotFound { .. }) if ignore_missing => continue,
            text => text.map_err(|error| refused(&error))?,
        };
        let wrong = |error: &dyn std::fmt::Display| Halt::never(format_args!("{file}: {error}"));
        let layer = match yaml::read(&text).map_err(|error| wrong(&error))? {
            Value::Null => Map::new(),
            Value::Object(layer) => layer,
            _ => return Err(wrong(&"only maps can be merged, and this is none")),
        };
        whole = Some(match whole {
            None => text,
            Some(whole) => {
                // What is merged is data, and data has no tags.
                if let Some(key) = yaml::first_tag(&text).map_err(|error| wrong(&error))? {
                    return Err(wrong(&format_args!(
                        "key `{key}` has a YAML tag, which cannot be merged into another file; leave it out here, \
                         or have it in the first file"
                    )));
                }
                let merged = yaml::merge_into(&whole, &layer);
                merged.map_err(|error| {
                    wrong(&format_args!("merged into what is before it: {error}"))
                })?
            }
        });
    }
    Ok(whole.unwrap_or_else(|| "{}\n".to_owned()))
}

fn read(dir: &WorkDir, path: &str) -> Result<String, Halt> {
    dir.read_to_string(&rel_path(path)?, TEXT_MAX_BYTES).map_err(|error| refused(&error))
}

/// Writes a text and says whether that changed anything.
fn write(dir: &WorkDir, path: &str, text: &str) -> Result<Map<String, Value>, Halt> {
    let changed = put(dir, &rel_path(path)?, text.as_bytes())?;
    Ok(Map::from_iter([("changed".to_owned(), Value::Bool(changed))]))
}

/// Puts what a directory holds into another, and says whether that changed anything.
pub(super) fn put_all(dir: &WorkDir, from: &RelPath, to: &RelPath) -> Result<bool, Halt> {
    let mut budget = Budget { files: FILES_MAX, bytes: BYTES_MAX };
    put_dir(dir, from, to, &mut budget)
}

fn put_dir(dir: &WorkDir, from: &RelPath, to: &RelPath, budget: &mut Budget) -> Result<bool, Halt> {
    let mut changed = false;
    for entry in dir.list(from).map_err(|error| refused(&error))? {
        let (inner, target) = (below(from, &entry.name)?, below(to, &entry.name)?);
        changed |= match entry.kind {
            EntryKind::Directory => put_dir(dir, &inner, &target, budget)?,
            EntryKind::File => {
                let bytes = dir.read(&inner, FILE_MAX_BYTES).map_err(|error| refused(&error))?;
                budget.spend(&bytes)?;
                put(dir, &target, &bytes)?
            }
            EntryKind::Other => {
                return Err(Halt::never(format_args!("{inner} is no regular file")));
            }
        };
    }
    Ok(changed)
}

/// Writes a file and says whether that changed anything.
pub(super) fn put(dir: &WorkDir, path: &RelPath, bytes: &[u8]) -> Result<bool, Halt> {
    let before = match dir.read(path, FILE_MAX_BYTES) {
        Ok(bytes) => Some(bytes),
        Err(WorkdirError::NotFound { .. }) => None,
        Err(error) => return Err(refused(&error)),
    };
    let changed = before.as_deref() != Some(bytes);
    if changed {
        dir.write(path, bytes).map_err(|error| refused(&error))?;
    }
    Ok(changed)
}

fn delete(dir: &WorkDir, paths: &[String], strict: bool) -> Result<(), Halt> {
    for path in paths {
        let relative = rel_path(path)?;
        // Removal does not follow a link at the end of the path, so neither may the look at it.
        let there = match dir.exists(&relative) {
            Ok(there) => there,
            Err(WorkdirError::Escape { .. }) => true,
            Err(error) => return Err(refused(&error)),
        };
        if strict && !there {
            return Err(Halt::never(format_args!("{path} is not there to be deleted")));
        }
        dir.remove(&relative).map_err(|error| refused(&error))?;
    }
    Ok(())
}

/// Removes what a directory holds, links as links.
fn clear(dir: &WorkDir, path: &str) -> Result<(), Halt> {
    let path = rel_path(path)?;
    for entry in dir.list(&path).map_err(|error| refused(&error))? {
        dir.remove(&below(&path, &entry.name)?).map_err(|error| refused(&error))?;
    }
    Ok(())
}

fn copy(dir: &WorkDir, from: &str, to: &str) -> Result<(), Halt> {
    let (source, target) = (rel_path(from)?, rel_path(to)?);
    if target.as_path() != source.as_path() && target.as_path().starts_with(source.as_path()) {
        return Err(Halt::never(format_args!("{to} lies inside {from}: it would copy itself")));
    }
    let mut budget = Budget { files: FILES_MAX, bytes: BYTES_MAX };
    match dir.list(&source) {
        Ok(_) => copy_dir(dir, &source, &target, &mut budget),
        Err(_) => copy_file(dir, &source, &target, &mut budget),
    }
}

/// What may still be copied.
struct Budget {
    files: usize,
    bytes: u64,
}

impl Budget {
    fn spend(&mut self, bytes: &[u8]) -> Result<(), Halt> {
        let left = self.files.checked_sub(1).zip(self.bytes.checked_sub(bytes.len() as u64));
        let Some((files, left)) = left else {
            return Err(Halt::never(format_args!(
                "more than {FILES_MAX} files, or {BYTES_MAX} bytes, are not copied"
            )));
        };
        *self = Self { files, bytes: left };
        Ok(())
    }
}

fn copy_dir(dir: &WorkDir, from: &RelPath, to: &RelPath, budget: &mut Budget) -> Result<(), Halt> {
    dir.create_dir(to).map_err(|error| refused(&error))?;
    for entry in dir.list(from).map_err(|error| refused(&error))? {
        let (inner, target) = (below(from, &entry.name)?, below(to, &entry.name)?);
        match entry.kind {
            EntryKind::Directory if entry.name == GIT => {}
            EntryKind::Directory => copy_dir(dir, &inner, &target, budget)?,
            EntryKind::File => copy_file(dir, &inner, &target, budget)?,
            EntryKind::Other => {
                return Err(Halt::never(format_args!(
                    "{inner} is a symbolic link or a special file, which is not copied"
                )));
            }
        }
    }
    Ok(())
}

fn copy_file(dir: &WorkDir, from: &RelPath, to: &RelPath, budget: &mut Budget) -> Result<(), Halt> {
    let bytes = dir.read(from, FILE_MAX_BYTES).map_err(|error| refused(&error))?;
    budget.spend(&bytes)?;
    dir.write(to, &bytes).map_err(|error| refused(&error))?;
    let executable = dir.is_executable(from).map_err(|error| refused(&error))?;
    dir.set_executable(to, executable).map_err(|error| refused(&error))
}

pub(super) fn below(dir: &RelPath, name: &str) -> Result<RelPath, Halt> {
    rel_path(&dir.as_path().join(name).to_string_lossy())
}

pub(super) fn refused(error: &WorkdirError) -> Halt {
    let may_pass = matches!(error, WorkdirError::Io { .. });
    Halt::of(error, may_pass)
}
