//! What the plan of a module is made of, as one name for all of it.
//!
//! A plan that would be made of the same is not made again. So what cannot be named makes that nobody may say so: a
//! data source reads the world, a module from elsewhere has files that nobody has seen, a function reads the clock or
//! the machine. What is doubtful counts as such: the worst that comes of it is a plan.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use aws_lc_rs::hmac;
use hcl_edit::expr::Expression;
use hcl_edit::structure::Body;
use regex::Regex;
use serde_json::Value;

use super::backend::{OVERRIDE_FILE, hcl_string};
use super::{Module, imports, read_file};

/// The most files of a module that are read for this, and the most bytes of them.
const FILES_MAX: usize = 10_000;
const BYTES_MAX: u64 = 64 << 20;
/// What the tools call the file that pins providers.
const LOCK_FILE: &str = ".terraform.lock.hcl";
/// The provider that is part of the tool: nothing pins it but the tool's version.
const BUILT_IN: &str = "terraform_";

/// What a plan is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Inputs {
    /// All of it, by this name.
    Known(String),
    /// There is more to it, such as this.
    Unknown(String),
}

/// Texts that are part of it beside the files and the module: by name.
pub(crate) type Said = BTreeMap<&'static str, Value>;

/// Names what a plan of this module is made of. To be asked before anything is put into its directory; `tree` is
/// what may be read with it.
///
/// # Errors
/// Its files cannot be read.
pub(crate) fn inputs(
    module: &Module,
    tree: &Path,
    said: &Said,
    key: &[u8],
) -> std::io::Result<Inputs> {
    let mut found = Found { tree: tree.canonicalize()?, ..Found::default() };
    let (mut open, mut seen) = (vec![module.dir.clone()], BTreeSet::new());
    while let Some(dir) = open.pop() {
        let dir = dir.canonicalize()?;
        if !seen.insert(dir.clone()) {
            continue;
        }
        let Some(calls) = found.module(&dir)? else { break };
        open.extend(calls);
    }
    if let Some(why) = found.doubt {
        return Ok(Inputs::Unknown(why));
    }
    let lock = module.dir.canonicalize()?.join(LOCK_FILE);
    if found.has_foreign && !found.files.contains_key(found.relative(&lock)) {
        return Ok(Inputs::Unknown(format!("no {LOCK_FILE} pins its providers")));
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut name = hmac::Context::with_key(&key);
    let mut part = |bytes: &[u8]| {
        name.update(&(bytes.len() as u64).to_be_bytes());
        name.update(bytes);
    };
    part(b"lockstep plan inputs 1");
    let (kind, version) = (module.tool.kind.to_string(), module.tool.version.to_string());
    part(kind.as_bytes());
    part(version.as_bytes());
    part(module.providers.as_ref().map(super::Providers::settings).unwrap_or_default().as_bytes());
    part(module.workspace.as_deref().unwrap_or_default().as_bytes());
    part(serde_json::to_string(&module.env)?.as_bytes());
    part(serde_json::to_string(said)?.as_bytes());
    for (file, bytes) in &found.files {
        part(file.to_string_lossy().as_bytes());
        part(bytes);
    }
    let tag = name.sign();
    Ok(Inputs::Known(tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// What was read so far.
#[derive(Default)]
struct Found {
    tree: PathBuf,
    files: BTreeMap<PathBuf, Vec<u8>>,
    bytes: u64,
    /// Whether a provider is used that is not part of the tool.
    has_foreign: bool,
    doubt: Option<String>,
}

impl Found {
    /// Takes everything in the directory of a module; the directories of those that it calls, unless there is
    /// more to it than can be named.
    fn module(&mut self, dir: &Path) -> std::io::Result<Option<Vec<PathBuf>>> {
        self.directory(dir, &mut Vec::new())?;
        let mut calls = Vec::new();
        let own: Vec<(PathBuf, Vec<u8>)> = self
            .files
            .iter()
            .filter(|(file, _)| file.parent() == Some(self.relative(dir)))
            .map(|(file, bytes)| (file.clone(), bytes.clone()))
            .collect();
        for (file, bytes) in own {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.ends_with(".tf.json") || name.ends_with(".tofu.json") {
                self.doubt(format!("{} is JSON", file.display()));
            } else if name.ends_with(".tf") || name.ends_with(".tofu") {
                calls.extend(self.configuration(dir, &file, &bytes));
            }
        }
        Ok(self.doubt.is_none().then_some(calls))
    }

    fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.tree).unwrap_or(path)
    }

    fn doubt(&mut self, why: String) {
        self.doubt.get_or_insert(why);
    }

    fn directory(&mut self, dir: &Path, below: &mut Vec<PathBuf>) -> std::io::Result<()> {
        below.push(dir.to_owned());
        while let Some(dir) = below.pop() {
            for entry in std::fs::read_dir(&dir)? {
                let entry = entry?;
                let (path, kind) = (entry.path(), entry.file_type()?);
                let name = entry.file_name();
                if name == ".git" || name == ".terraform" {
                    continue;
                }
                if kind.is_dir() {
                    below.push(path);
                } else if kind.is_file() && name != OVERRIDE_FILE && name != imports::FILE {
                    self.file(&path)?;
                } else if !kind.is_file() {
                    self.doubt(format!("{} is a link", self.relative(&path).display()));
                }
                if self.doubt.is_some() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> std::io::Result<()> {
        self.bytes += path.symlink_metadata()?.len();
        if self.bytes > BYTES_MAX || self.files.len() >= FILES_MAX {
            self.doubt("it has too many files".to_owned());
            return Ok(());
        }
        let bytes = read_file(path)?.unwrap_or_default();
        self.files.insert(self.relative(path).to_owned(), bytes);
        Ok(())
    }

    /// The directories of the modules that a file calls.
    fn configuration(&mut self, dir: &Path, file: &Path, bytes: &[u8]) -> Vec<PathBuf> {
        let text = String::from_utf8_lossy(bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let Ok(body) = text.parse::<Body>() else {
            self.doubt(format!("{} cannot be read", file.display()));
            return Vec::new();
        };
        if let Some(why) = reads_more(text) {
            self.doubt(format!("{}: {why}", file.display()));
        }
        let mut calls = Vec::new();
        for block in body.blocks() {
            let label = block.labels.first().map_or("", |label| label.as_str());
            match block.ident.as_str() {
                "data" | "ephemeral" | "check" => {
                    let what = block.ident.as_str();
                    self.doubt(format!("{}: a {what} block reads the world", file.display()));
                }
                "resource" => self.has_foreign |= !label.starts_with(BUILT_IN),
                "provider" => self.has_foreign |= label != "terraform",
                "module" => match source(&block.body) {
                    Some(source) if source.starts_with("./") || source.starts_with("../") => {
                        calls.extend(self.called(dir, &source));
                    }
                    Some(_) | None => {
                        self.doubt(format!("module {label} is from elsewhere"));
                    }
                },
                _ => {}
            }
        }
        calls
    }

    /// The directory of a module that is called, inside what may be read.
    fn called(&mut self, dir: &Path, source: &str) -> Option<PathBuf> {
        let called = dir.join(source).canonicalize().ok()?;
        if called.starts_with(&self.tree) {
            return Some(called);
        }
        self.doubt(format!("module {} is outside of the checkout", hcl_string(source)));
        None
    }
}

fn source(module: &Body) -> Option<String> {
    match &module.get_attribute("source")?.value {
        Expression::String(source) => Some(source.as_str().to_owned()),
        _ => None,
    }
}

/// What a file of configuration reads beside the files of its module.
fn reads_more(text: &str) -> Option<String> {
    static IMPURE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\b(timestamp|plantimestamp|uuid|bcrypt|pathexpand|abspath)\s*\(|\bpath\.cwd\b")
            .expect("the pattern is fixed")
    });
    static FILES: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\b(?:file[a-z0-9]*|templatefile)\s*\(\s*").expect("the pattern is fixed")
    });
    if let Some(found) = IMPURE.find(text) {
        return Some(format!("{} is another one each time", found.as_str().trim_end_matches('(')));
    }
    let outside = FILES.find_iter(text).find(|found| !is_beneath(&text[found.end()..]));
    outside.map(|found| format!("{}…) may read any file", found.as_str()))
}

/// Whether an argument names a file of the module's own: a fixed path below it.
fn is_beneath(argument: &str) -> bool {
    for own in ["path.module", "path.root"] {
        if let Some(rest) = argument.strip_prefix(own) {
            // The patterns of a set of files.
            return rest.trim_start().starts_with(',') && !upto(rest, ')').contains("..");
        }
    }
    let Some(quoted) = argument.strip_prefix('"') else { return false };
    let quoted = quoted
        .strip_prefix("${path.module}/")
        .or_else(|| quoted.strip_prefix("${path.root}/"))
        .unwrap_or(quoted);
    let path = upto(quoted, '"');
    !path.starts_with(['/', '~']) && !path.contains("..") && !path.contains(['$', '%'])
}

fn upto(text: &str, end: char) -> &str {
    text.split(end).next().unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, beneath: bool) {
        assert_eq!(reads_more(text).is_none(), beneath, "{text}");
    }

    #[test]
    fn only_files_of_the_module_itself_are_read() {
        check(r#"a = file("x.txt")"#, true);
        check(r#"a = filesha256( "${path.module}/x/y.txt" )"#, true);
        check(r#"a = templatefile("${path.root}/x.tpl", { a = var.b })"#, true);
        check(r#"a = fileset(path.module, "*.txt")"#, true);
        check(r#"a = "a profile(x)""#, true);
        check("a = file(var.x)", false);
        check(r#"a = file("/etc/hosts")"#, false);
        check(r#"a = file("../x")"#, false);
        check(r#"a = file("${path.module}/../x")"#, false);
        check(r#"a = file("${var.x}/x")"#, false);
        check(r#"a = fileset(path.module, "../*.txt")"#, false);
        check("a = timestamp()", false);
        check("a = path.cwd", false);
        check("a = my_timestamp", true);
    }
}
