//! Every conformance vector of one directory, `LOCKSTEP_CONFORMANCE_DIR` or the project's own.
//!
//! The directory is data: JSON files `{ "category", "cases": [{ "name", "input", "expect" }] }`. A
//! category that nobody here answers for fails, and so do a file that cannot be read, a file
//! without cases, and a directory without files.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde_json::Value;

#[path = "../../../reconciler/domain/tests/vectors/mod.rs"]
mod domain;
#[path = "../../../reconciler/effects/tests/vectors/mod.rs"]
mod effects;
#[path = "../../../provider/protocol/tests/vectors/mod.rs"]
mod protocol;

/// What came out of one directory.
#[derive(Default)]
struct Report {
    /// Cases run and failed, by category.
    categories: BTreeMap<String, (usize, usize)>,
    /// What is wrong, one line each.
    problems: Vec<String>,
}

fn run_case(category: &str, case: &Value) -> Result<(), String> {
    let (input, expect) = (&case["input"], &case["expect"]);
    if domain::CATEGORIES.contains(&category) {
        return domain::run(category, input, expect).expect("one of its categories");
    }
    if effects::CATEGORIES.contains(&category) {
        return effects::run(category, input, expect).expect("one of its categories");
    }
    protocol::run(category, input, expect)
}

fn is_known(category: &str) -> bool {
    domain::CATEGORIES.contains(&category)
        || effects::CATEGORIES.contains(&category)
        || protocol::CATEGORIES.contains(&category)
}

/// A case that cannot be read makes its runner panic: that case failed, and the others still run.
fn outcome(category: &str, case: &Value) -> Result<(), String> {
    let caught = catch_unwind(AssertUnwindSafe(|| run_case(category, case)));
    caught.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("cannot be run: {}", text.unwrap_or("panicked")))
    })
}

impl Report {
    fn of(dir: &Path) -> Self {
        let mut report = Self::default();
        let files = match json_files(dir) {
            Ok(files) => files,
            Err(error) => {
                report.problems.push(format!("{}: {error}", dir.display()));
                return report;
            }
        };
        if files.is_empty() {
            report.problems.push(format!("{}: there is no *.json", dir.display()));
        }
        for file in files {
            if let Err(problem) = report.add(&file) {
                report.problems.push(format!("{}: {problem}", file.display()));
            }
        }
        report
    }

    fn add(&mut self, file: &Path) -> Result<(), String> {
        let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
        let data: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let category = data["category"].as_str().ok_or("`category` is no text")?;
        if !is_known(category) {
            return Err(format!("unknown category {category:?}"));
        }
        let cases = data["cases"].as_array().ok_or("`cases` is no list")?;
        if cases.is_empty() {
            return Err("there are no cases".to_owned());
        }
        for (index, case) in cases.iter().enumerate() {
            let ran = outcome(category, case);
            let (run, failed) = self.categories.entry(category.to_owned()).or_default();
            *run += 1;
            if let Err(difference) = ran {
                *failed += 1;
                let number = index.to_string();
                let name = case["name"].as_str().unwrap_or(&number);
                self.problems.push(format!("{category}/{name}: {difference}"));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<24} {:>9} {:>7}", "category", "cases run", "failed")?;
        let mut total = (0, 0);
        for (category, (run, failed)) in &self.categories {
            writeln!(f, "{category:<24} {run:>9} {failed:>7}")?;
            total = (total.0 + run, total.1 + failed);
        }
        writeln!(f, "{:<24} {:>9} {:>7}", "total", total.0, total.1)?;
        self.problems.iter().try_for_each(|problem| writeln!(f, "FAILED {problem}"))
    }
}

fn json_files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    let paths = entries.into_iter().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|kind| kind == "json")).collect();
    files.sort();
    Ok(files)
}

#[test]
#[expect(clippy::print_stdout, reason = "the table is what `make conformance` shows")]
fn every_vector_holds() {
    let dir = std::env::var_os("LOCKSTEP_CONFORMANCE_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance"),
        PathBuf::from,
    );
    let report = Report::of(&dir);
    println!("{report}");
    assert!(report.problems.is_empty(), "{} problems", report.problems.len());
}

/// Writes one file into a directory of its own and runs it.
fn report_of(name: &str, text: &str) -> String {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join(name), text).expect("writable");
    Report::of(dir.path()).problems.join("\n").replace(&*dir.path().to_string_lossy(), "DIR")
}

#[test]
fn what_nobody_can_answer_for_fails() {
    let check = |name: &str, text: &str, expect: &str| assert_eq!(report_of(name, text), expect);
    let unknown =
        r#"{"category": "horoscope", "cases": [{"name": "a", "input": {}, "expect": {}}]}"#;
    check("a.json", unknown, "DIR/a.json: unknown category \"horoscope\"");
    check("a.json", r#"{"category": "template"}"#, "DIR/a.json: `cases` is no list");
    check("a.json", r#"{"category": "template", "cases": []}"#, "DIR/a.json: there are no cases");
    check("a.json", "[1]", "DIR/a.json: `category` is no text");
    check("a.json", "{", "DIR/a.json: EOF while parsing an object at line 1 column 1");
    check("readme.txt", unknown, "DIR: there is no *.json");
}

#[test]
fn a_directory_that_is_not_there_fails() {
    let report = Report::of(Path::new("/nonexistent/vectors"));
    let expect = ["/nonexistent/vectors: No such file or directory (os error 2)"];
    assert_eq!(report.problems, expect);
}

#[test]
fn a_failed_case_is_named_and_the_others_still_run() {
    let cases = r#"{"category": "semver_parse", "cases": [
        {"name": "wrong", "input": {"tag": "1.2.3", "strict": true}, "expect": {"ok": false}},
        {"name": "unreadable", "input": {"strict": true}, "expect": {"ok": false}},
        {"name": "right", "input": {"tag": "one", "strict": true}, "expect": {"ok": false}}
    ]}"#;
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("a.json"), cases).expect("writable");
    let report = Report::of(dir.path());
    assert_eq!(report.categories["semver_parse"], (3, 2));
    let [wrong, unreadable] = &report.problems[..] else { panic!("{:?}", report.problems) };
    let expected =
        r#"semver_parse/wrong: expected {"ok":false}, got {"ok":true,"canonical":"1.2.3"}"#;
    assert_eq!(wrong, expected);
    assert!(unreadable.starts_with("semver_parse/unreadable: cannot be run: `tag` is a text"));
}
