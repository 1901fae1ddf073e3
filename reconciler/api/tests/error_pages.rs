//! Every code has a page, and every page a code.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use reconciler_api::problem::{FieldCode, ProblemCode};

fn pages() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors")
}

fn page(name: &str) -> String {
    let path = pages().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The codes that a daemon may send.
fn sent() -> impl Iterator<Item = ProblemCode> {
    ProblemCode::ALL.iter().copied().filter(|code| *code != ProblemCode::Unknown)
}

#[test]
fn every_code_has_a_page_that_says_what_to_do() {
    for code in sent() {
        let page = page(&format!("{code}.md"));
        let begins = format!("# `{code}`: {}\n\nHTTP status {}.\n", code.title(), code.status());
        assert!(page.starts_with(&begins), "{code}.md does not begin with {begins:?}");
        for part in ["\n## What happened\n", "\n## What to do\n"] {
            assert!(page.contains(part), "{code}.md has no {}", part.trim());
        }
    }
}

#[test]
fn the_index_lists_every_code_and_no_page_is_of_none() {
    let index = page("README.md");
    for code in sent() {
        let row = format!("| [`{code}`]({code}.md) | {} | {} |\n", code.status(), code.title());
        assert!(index.contains(&row), "README.md has no row {row:?}");
    }
    let known: BTreeSet<String> =
        sent().map(|code| format!("{code}.md")).chain(["README.md".to_owned()]).collect();
    let entries = fs::read_dir(pages()).unwrap();
    let found: BTreeSet<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, known);
}

#[test]
fn the_codes_of_fields_are_explained_with_invalid() {
    let page = page("invalid.md");
    for code in FieldCode::ALL.iter().filter(|code| **code != FieldCode::Unknown) {
        assert!(page.contains(&format!("`{code}`")), "invalid.md says nothing of {code}");
    }
}
