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
use hcl_edit::structure::{Block, Body};
use hcl_edit::template::{Element, HeredocTemplate, StringTemplate};
use hcl_edit::visit::Visit;
use hcl_edit::{Decorated, Spanned};
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
    if module.containment.as_ref().is_some_and(|containment| !containment.read.is_empty()) {
        found.doubt("it may read more of the machine".to_owned());
    }
    if let Some(values) = said.get("vars") {
        found.value("a variable", values);
    }
    for (name, value) in module.env.iter().filter(|(name, _)| name.starts_with("TF_VAR_")) {
        found.value(name, &Value::from(value.as_str()));
    }
    let names = said.get("var_files").and_then(Value::as_array).into_iter().flatten();
    for file in names.filter_map(Value::as_str).filter(|file| !file.ends_with(".tfvars")) {
        found.doubt(format!("{file} is no .tfvars"));
    }
    if let Some(why) = found.doubt {
        return Ok(Inputs::Unknown(why));
    }
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
            if [".tf.json", ".tofu.json", ".tfvars.json"].iter().any(|end| name.ends_with(end)) {
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
        // Any of them may be a template, or hold variables.
        if let Some(why) = std::str::from_utf8(&bytes).ok().and_then(reads_more) {
            self.doubt(format!("{}: {why}", self.relative(path).display()));
        }
        if path.extension().is_some_and(|end| end == "tfvars") {
            match std::str::from_utf8(&bytes).ok().and_then(|text| text.parse::<Body>().ok()) {
                Some(body) => self.paths(self.relative(path).to_owned().as_path(), &body),
                None => self.doubt(format!("{} cannot be read", self.relative(path).display())),
            }
        }
        self.files.insert(self.relative(path).to_owned(), bytes);
        Ok(())
    }

    /// Looks for paths that lead out of the module.
    fn paths(&mut self, file: &Path, body: &Body) {
        let mut paths = Paths::default();
        paths.visit_body(body);
        if let Some(path) = paths.outside {
            let path = hcl_string(&path);
            self.doubt(format!(
                "{}: {path} may be a file that is not the module's",
                file.display()
            ));
        }
    }

    fn value(&mut self, what: &str, value: &Value) {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
            Value::String(text) if leads_out(text) => {
                self.doubt(format!("{what} may name a file that is not the module's"));
            }
            Value::String(_) => {}
            Value::Array(items) => items.iter().for_each(|item| self.value(what, item)),
            Value::Object(items) => items.values().for_each(|item| self.value(what, item)),
        }
    }

    /// The directories of the modules that a file calls.
    fn configuration(&mut self, dir: &Path, file: &Path, bytes: &[u8]) -> Vec<PathBuf> {
        let text = String::from_utf8_lossy(bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let Ok(body) = text.parse::<Body>() else {
            self.doubt(format!("{} cannot be read", file.display()));
            return Vec::new();
        };
        self.paths(file, &body);
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

/// The first text that may be a path out of the module: a provider reads what it is given the name of.
#[derive(Default)]
struct Paths {
    outside: Option<String>,
}

impl Paths {
    fn see(&mut self, text: &str, leads_out: bool) {
        if leads_out {
            self.outside.get_or_insert_with(|| text.to_owned());
        }
    }

    fn template<'a>(&mut self, elements: impl Iterator<Item = &'a Element>) {
        for (at, element) in elements.enumerate() {
            match element {
                Element::Literal(text) => {
                    self.see(text, climbs(text) || (at == 0 && is_absolute(text)));
                }
                Element::Interpolation(_) | Element::Directive(_) => self.visit_element(element),
            }
        }
    }
}

impl Visit for Paths {
    fn visit_block(&mut self, block: &Block) {
        let is_call = block.ident.as_str() == "module";
        for structure in &block.body {
            // The directory of a module that is called is read by itself.
            let source = structure.as_attribute().is_some_and(|it| it.key.as_str() == "source");
            if !(is_call && source) {
                self.visit_structure(structure);
            }
        }
    }

    fn visit_string(&mut self, text: &Decorated<String>) {
        self.see(text, leads_out(text));
    }

    fn visit_string_template(&mut self, template: &StringTemplate) {
        self.template(template.iter());
    }

    fn visit_heredoc_template(&mut self, template: &HeredocTemplate) {
        self.template(template.template.iter());
    }

    // Of what is below a directive; its place is not its template's first.
    fn visit_literal(&mut self, text: &Spanned<String>) {
        self.see(text, leads_out(text));
    }
}

fn leads_out(text: &str) -> bool {
    is_absolute(text) || climbs(text)
}

fn is_absolute(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with(['/', '~']) || text.starts_with("file:")
}

/// Whether `..` is in it as the name of a directory: not in `...`, nor at the end of a word.
fn climbs(text: &str) -> bool {
    static UP: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?:^|[^.\w])\.\.(?:[^.\w]|$)").expect("the pattern is fixed")
    });
    UP.is_match(text)
}

/// What a file of configuration, or a template, reads beside the files of its module.
fn reads_more(text: &str) -> Option<String> {
    static IMPURE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\b(timestamp|plantimestamp|uuid|bcrypt|pathexpand|abspath)\s*\(|\bpath\.cwd\b|\bprovider::")
            .expect("the pattern is fixed")
    });
    static FILES: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\b(?:file[a-z0-9]*|templatefile)\s*\(\s*").expect("the pattern is fixed")
    });
    if let Some(found) = IMPURE.find(text) {
        return Some(format!(
            "{} may be another one each time",
            found.as_str().trim_end_matches('(')
        ));
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
        check("a = provider::local::direxists(var.x)", false);
    }

    fn check_paths(text: &str, inside: bool) {
        let mut paths = Paths::default();
        paths.visit_body(&text.parse::<Body>().expect("it is HCL"));
        assert_eq!(paths.outside.is_none(), inside, "{text}");
    }

    #[test]
    fn a_provider_is_given_no_path_out_of_the_module() {
        check_paths("resource \"a\" \"b\" {\n  chart = \"../../charts/app\"\n}\n", false);
        check_paths("a = \"charts/app\"\n", true);
        check_paths("a = \"${path.module}/charts/app\"\n", true);
        check_paths("a = \"${path.root}/../dist/site.zip\"\n", false);
        check_paths("a = [{ b = join(\"/\", [path.module, \"..\"]) }]\n", false);
        check_paths("a = \"/etc/hosts\"\n", false);
        check_paths("a = \"~/x\"\n", false);
        check_paths("a = \"--values=../x\"\n", false);
        check_paths("a = <<-EOT\n  ../x ${var.b}\nEOT\n", false);
        check_paths("a = \"10.0.0.0/8, and so on...\"\n", true);
        check_paths("module \"m\" {\n  source = \"../m\"\n}\n", true);
        check_paths("module \"m\" {\n  source = \"../m\"\n  x = \"../y\"\n}\n", false);
        check_paths("resource \"a\" \"b\" {\n  source = \"../dist/site.zip\"\n}\n", false);
    }
}
