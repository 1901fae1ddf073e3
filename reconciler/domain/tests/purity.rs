//! The architecture's promises about dependencies, kept by a test.
//!
//! The domain has no I/O, no async, no clock and no randomness: neither its manifest nor its
//! sources may bring them in. And crates depend on each other in one direction only.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may ask cargo and read sources"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use regex::Regex;
use serde_json::Value;

/// What the domain may depend on, with the features it may ask for.
const DOMAIN_DEPENDENCIES: [(&str, &[&str]); 15] = [
    ("base64", &[]),
    ("cel", &["chrono", "json", "parser_pratt", "regex"]),
    ("globset", &[]),
    ("hmac", &[]),
    ("indexmap", &["serde"]),
    ("jiff", &["serde", "tzdb-bundle-always"]),
    ("regex", &[]),
    ("schemars", &["jiff02", "preserve_order"]),
    ("semver", &["serde"]),
    ("serde", &["derive"]),
    ("serde_json", &["float_roundtrip", "preserve_order", "raw_value"]),
    ("sha2", &[]),
    ("strsim", &[]),
    ("thiserror", &[]),
    ("unicode-normalization", &[]),
];

/// What only the domain's tests may use besides.
const TEST_DEPENDENCIES: [&str; 3] = ["insta", "jsonschema", "proptest"];

/// Which of our crates each of our crates may name. Acceptance tests may name any.
const DIRECTIONS: [(&str, &[&str]); 11] = [
    ("provider-kit", &["provider-protocol"]),
    ("provider-protocol", &["provider-kit"]),
    (
        "provider-resources",
        &[
            "provider-kit",
            "provider-protocol",
            "reconciler-api",
            "reconciler-convert",
            "reconciler-domain",
        ],
    ),
    ("reconciler-api", &[]),
    ("reconciler-cli", &["reconciler-api", "reconciler-domain"]),
    ("reconciler-convert", &["reconciler-api", "reconciler-domain"]),
    (
        "reconciler-daemon",
        &[
            "reconciler-api",
            "reconciler-convert",
            "reconciler-domain",
            "reconciler-effects",
            "reconciler-store",
        ],
    ),
    ("reconciler-domain", &[]),
    ("reconciler-effects", &["reconciler-domain"]),
    ("reconciler-store", &["reconciler-domain"]),
    ("simulation", &["reconciler-domain", "reconciler-store"]),
];

const ANY_DIRECTION: &str = "acceptance";

struct Dependency {
    name: String,
    features: Vec<String>,
    for_tests: bool,
}

/// The direct dependencies of every crate of the workspace, as cargo reads their manifests.
fn workspace() -> BTreeMap<String, Vec<Dependency>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("metadata has packages");
    packages.iter().map(|package| (text(&package["name"]), dependencies(package))).collect()
}

fn dependencies(package: &Value) -> Vec<Dependency> {
    let dependencies = package["dependencies"].as_array().expect("a package has dependencies");
    let read = |dependency: &Value| Dependency {
        name: text(&dependency["name"]),
        features: dependency["features"].as_array().into_iter().flatten().map(text).collect(),
        for_tests: dependency["kind"] == "dev",
    };
    dependencies.iter().map(read).collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

#[test]
fn the_domain_depends_on_pure_libraries_only() {
    let workspace = workspace();
    for dependency in &workspace["reconciler-domain"] {
        let name = dependency.name.as_str();
        if dependency.for_tests && TEST_DEPENDENCIES.contains(&name) {
            continue;
        }
        let allowed = DOMAIN_DEPENDENCIES.iter().find(|(known, _)| *known == name);
        let (_, features) = allowed.unwrap_or_else(|| {
            panic!("reconciler-domain may not depend on `{name}`: do it in effects or the daemon")
        });
        for feature in &dependency.features {
            assert!(
                features.contains(&feature.as_str()),
                "reconciler-domain may not use the feature `{feature}` of `{name}`"
            );
        }
    }
}

#[test]
fn crates_depend_in_one_direction() {
    let workspace = workspace();
    let directions = BTreeMap::from(DIRECTIONS);
    let ours: BTreeSet<&String> = workspace.keys().collect();
    for (name, dependencies) in &workspace {
        if name == ANY_DIRECTION {
            continue;
        }
        let allowed = directions.get(name.as_str());
        let allowed = allowed.unwrap_or_else(|| panic!("say what the new crate `{name}` may use"));
        for dependency in dependencies.iter().filter(|d| ours.contains(&d.name)) {
            assert!(
                allowed.contains(&dependency.name.as_str()),
                "`{name}` may not depend on `{}`",
                dependency.name
            );
        }
    }
}

/// What no source of the domain may name.
fn forbidden() -> Regex {
    let modules = "env|fs|io|net|os|process|thread";
    let words = [
        &format!(r"\bstd::({modules})\b"),
        // The same inside of braces: `use std::{fmt, fs}`.
        &format!(r"\bstd::\{{[^;]*\b({modules})(::|,|\}}|\s)"),
        r"\b(SystemTime|Instant)\b",
        r"\b(Timestamp|Zoned|Utc|Local)::now\b",
        r"\b(async_trait|futures|getrandom|hyper|libc|log|rand|reqwest|rusqlite|tokio|tracing|ureq)(::|!)",
        r"\basync\s+(fn|move|\{|\|)|\.await\b",
        r"\b(println|eprintln|print|eprint|dbg)!",
        r"\bstatic\s+mut\b|\bthread_local!",
    ];
    Regex::new(&words.join("|")).expect("the pattern is valid")
}

/// A source without its comments and without the tests at its end.
fn product_code(source: &str) -> String {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("the directory can be read");
    let paths = entries.map(|entry| entry.expect("the entry can be read").path());
    let inner = paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    let is_test = |path: &Path| {
        path.file_stem().is_some_and(|stem| stem == "tests")
            || path.parent().is_some_and(|parent| parent.ends_with("tests"))
    };
    inner.filter(|path| path.extension().is_some_and(|e| e == "rs") && !is_test(path)).collect()
}

#[test]
fn the_domain_names_nothing_outside() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(sources.len() > 10, "the sources are found");
    let forbidden = forbidden();
    let found: Vec<String> = sources
        .iter()
        .filter_map(|path| {
            let source = fs::read_to_string(path).expect("a source can be read");
            let code = product_code(&source);
            forbidden.find(&code).map(|found| format!("{}: {}", path.display(), found.as_str()))
        })
        .collect();
    assert!(found.is_empty(), "not in the domain:\n{}", found.join("\n"));
}

#[test]
fn the_search_finds_what_it_is_for() {
    let forbidden = forbidden();
    for code in [
        "use std::fs;",
        "use std::{fmt, fs};",
        "use std::{\n    collections::BTreeMap,\n    net::TcpStream,\n};",
        "let now = jiff::Timestamp::now();",
        "let now = Instant::now();",
        "pub async fn run() {}",
        "tokio::spawn(work);",
        "let x = rand::random();",
        "println!(\"x\");",
    ] {
        assert!(forbidden.is_match(&product_code(code)), "{code}");
    }
    for code in [
        "use std::{fmt, str::FromStr};",
        "// std::fs is not for us",
        "let brand = strand::x();",
        "use std::time::Duration;",
        "fn at(now: Timestamp) {}\n#[cfg(test)]\nmod tests { use std::fs; }",
    ] {
        assert!(!forbidden.is_match(&product_code(code)), "{code}");
    }
}
