//! Where a module keeps its state: found in its files, or put where the caller says.
//!
//! A module that declares no backend would write its state beside its files, in a working directory that
//! can be lost at any time. For such a module an override file puts a `local` backend at a durable path;
//! the tool then writes every completed resource there at once, so that a killed run loses nothing.

use std::path::{Path, PathBuf};

use hcl_edit::structure::Body;

/// The generated file. The tools merge `*_override.tf` last, so it wins over what the module says.
pub(super) const OVERRIDE_FILE: &str = "lockstep_backend_override.tf";

const FILE_MAX_BYTES: u64 = 4 << 20;

/// What a root module says about its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend {
    /// Nothing.
    None,
    /// A `backend` block of this type.
    Declared(String),
    /// A `cloud` block.
    Cloud,
}

/// Why the files do not tell.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// A file cannot be read.
    #[error("cannot read `{path}`")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
    /// A file is not in the language.
    #[error("`{path}` cannot be parsed, so the module's backend is unknown: {reason}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// A file is larger than configuration is.
    #[error("`{path}` is larger than {FILE_MAX_BYTES} bytes, so the module's backend is unknown")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

/// Reads the configuration files of a root module for a `backend` or `cloud` block.
///
/// # Errors
/// [`BackendError`]: a guess could put two states in the world.
pub fn of_module(dir: &Path) -> Result<Backend, BackendError> {
    let io = |source| BackendError::Io { path: dir.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io)? {
        files.push(entry.map_err(io)?.path());
    }
    files.sort();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ignored = name.starts_with('.') || name.ends_with('~') || name == OVERRIDE_FILE;
        let found = if ignored {
            Backend::None
        } else if name.ends_with(".tf") || name.ends_with(".tofu") {
            in_hcl(&file, &read(&file)?)?
        } else if name.ends_with(".tf.json") || name.ends_with(".tofu.json") {
            in_json(&file, &read(&file)?)?
        } else {
            Backend::None
        };
        if found != Backend::None {
            return Ok(found);
        }
    }
    Ok(Backend::None)
}

/// Puts the state of the module in `dir` at `state`, an absolute path.
pub(super) fn write_override(dir: &Path, state: &Path) -> Result<(), BackendError> {
    let path = dir.join(OVERRIDE_FILE);
    let text = format!(
        "terraform {{\n  backend \"local\" {{\n    path          = {}\n    workspace_dir = {}\n  }}\n}}\n",
        hcl_string(&state.to_string_lossy()),
        hcl_string(&workspace_dir(state).to_string_lossy()),
    );
    super::write_file(&path, text.as_bytes()).map_err(|source| BackendError::Io { path, source })
}

/// Where the states of workspaces other than the default one are.
fn workspace_dir(state: &Path) -> PathBuf {
    let mut dir = state.as_os_str().to_owned();
    dir.push(".d");
    dir.into()
}

fn read(file: &Path) -> Result<String, BackendError> {
    let io = |source| BackendError::Io { path: file.to_owned(), source };
    if file.metadata().map_err(io)?.len() > FILE_MAX_BYTES {
        return Err(BackendError::TooLarge { path: file.to_owned() });
    }
    std::fs::read_to_string(file).map_err(io)
}

fn in_hcl(file: &Path, text: &str) -> Result<Backend, BackendError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let body: Body = text.parse().map_err(|error: hcl_edit::parser::Error| {
        BackendError::Syntax { path: file.to_owned(), reason: error.to_string() }
    })?;
    for terraform in body.get_blocks("terraform") {
        if let Some(backend) = terraform.body.get_blocks("backend").next() {
            let kind = backend.labels.first().map(|label| label.as_str().to_owned());
            return Ok(Backend::Declared(kind.unwrap_or_default()));
        }
        if terraform.body.has_blocks("cloud") {
            return Ok(Backend::Cloud);
        }
    }
    Ok(Backend::None)
}

/// The JSON form: a block is an object, or a list of objects.
fn in_json(file: &Path, text: &str) -> Result<Backend, BackendError> {
    let root: serde_json::Value = serde_json::from_str(text).map_err(|error| {
        BackendError::Syntax { path: file.to_owned(), reason: error.to_string() }
    })?;
    for terraform in blocks(&root["terraform"]) {
        if let Some(backend) = blocks(&terraform["backend"]).next() {
            let kind = backend.as_object().and_then(|backend| backend.keys().next().cloned());
            return Ok(Backend::Declared(kind.unwrap_or_default()));
        }
        if blocks(&terraform["cloud"]).next().is_some() {
            return Ok(Backend::Cloud);
        }
    }
    Ok(Backend::None)
}

fn blocks(value: &serde_json::Value) -> Box<dyn Iterator<Item = &serde_json::Value> + '_> {
    match value {
        serde_json::Value::Array(list) => Box::new(list.iter().filter(|item| item.is_object())),
        serde_json::Value::Object(_) => Box::new(std::iter::once(value)),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => Box::new(std::iter::empty()),
    }
}

pub(super) fn hcl_string(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
        .replace("${", "$${")
        .replace("%{", "%%{");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn check(files: &[(&str, &str)], expected: &Backend) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        assert_eq!(of_module(dir.path()).unwrap(), *expected, "{files:?}");
    }

    #[test]
    fn backends_are_found_wherever_they_may_stand() {
        let s3 = Backend::Declared("s3".to_owned());
        check(&[], &Backend::None);
        check(&[("a.tf", "terraform {\n  required_version = \">= 1\"\n}\n")], &Backend::None);
        check(&[("a.tf", "locals {}\n"), ("b.tf", "terraform {\n  backend \"s3\" {}\n}\n")], &s3);
        check(
            &[("a.tf", "terraform {\n  cloud {\n    organization = \"x\"\n  }\n}\n")],
            &Backend::Cloud,
        );
        check(&[("a.tf.json", r#"{"terraform": [{"backend": {"s3": {}}}]}"#)], &s3);
        check(&[("a.tofu", "terraform {\n  backend \"s3\" {}\n}\n")], &s3);
        check(&[("x_override.tf", "terraform {\n  backend \"s3\" {}\n}\n")], &s3);
    }

    #[test]
    fn what_only_looks_like_a_backend_is_none() {
        check(
            &[(
                "a.tf",
                "# terraform { backend \"s3\" {} }\n/* terraform {\nbackend \"s3\" {}\n} */\n",
            )],
            &Backend::None,
        );
        check(
            &[("a.tf", "locals {\n  x = <<EOT\nterraform {\n  backend \"s3\" {}\n}\nEOT\n}\n")],
            &Backend::None,
        );
        check(&[("a.tf", "resource \"x\" \"y\" {\n  backend \"s3\" {}\n}\n")], &Backend::None);
        check(&[("notes.txt", "terraform {\n  backend \"s3\" {}\n}\n")], &Backend::None);
        check(&[(OVERRIDE_FILE, "terraform {\n  backend \"local\" {}\n}\n")], &Backend::None);
    }

    #[test]
    fn a_file_that_cannot_be_parsed_is_no_answer() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.tf"), "terraform {").unwrap();
        assert!(matches!(of_module(dir.path()), Err(BackendError::Syntax { .. })));
    }

    #[test]
    fn the_override_survives_odd_paths() {
        let dir = tempfile::tempdir().unwrap();
        let state = Path::new("/x/${y} \"%{z}\\/s.tfstate");
        write_override(dir.path(), state).unwrap();
        let text = std::fs::read_to_string(dir.path().join(OVERRIDE_FILE)).unwrap();
        let body: Body = text.parse().unwrap();
        let backend =
            body.get_blocks("terraform").next().unwrap().body.get_blocks("backend").next();
        let path = backend.unwrap().body.get_attribute("path").unwrap();
        assert_eq!(
            path.value.as_str().unwrap_or("a template").replace("$${", "${").replace("%%{", "%{"),
            state.to_str().unwrap()
        );
    }
}
