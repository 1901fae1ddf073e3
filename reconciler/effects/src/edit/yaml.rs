//! Sets existing scalars in YAML text and leaves every other byte alone.
//!
//! An edit replaces the token of one scalar in place: comments, indentation, quoting elsewhere, line ends
//! and later documents of the stream stay as they are. A string keeps the quotes of the scalar it
//! replaces; a bare one stays bare where every YAML 1.1 and 1.2 reader takes it for the same string, and
//! gets double quotes otherwise.
//!
//! Each result is parsed again and compared with the input event by event: if anything but the wanted
//! scalars changed, the edit fails. An edit never adds or removes keys, never writes through an alias, and
//! touches the first document only.
//!
//! [`merge_into`] also adds and removes keys.
//! [`read`], [`merge`] and [`write`] take a text as data and make one of data; comments are not data.

mod document;
mod merge;
mod scalar;
mod value;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use self::document::{Document, Item};
pub use self::merge::merge_into;
pub use self::scalar::Scalar;
pub use self::value::{first_tag, merge, read, write};
use super::TEXT_MAX_BYTES;

/// Where a scalar is: keys and list indices joined by dots; `\.` is a dot inside a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPath(Vec<String>);

/// A scalar as read.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The text, with quotes and escapes taken off but otherwise as written: `1.10` stays `1.10`.
    pub text: String,
    /// The value under the YAML 1.2 core schema.
    pub scalar: Scalar,
}

/// Why an edit was refused. On an error nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum YamlEditError {
    /// The text is not YAML, or is beyond the limits.
    #[error("the text is not usable YAML at line {line}, column {column}: {reason}")]
    InvalidYaml {
        /// 1-based line.
        line: usize,
        /// 1-based column.
        column: usize,
        /// What is wrong.
        reason: String,
    },
    /// The key path has an empty part.
    #[error(
        "key `{key}` has an empty part; write parts joined by single dots, with `\\.` for a dot in a part"
    )]
    InvalidKey {
        /// The path as given.
        key: String,
    },
    /// Nothing is at the path.
    #[error("key `{key}` is not in the first document; only existing values are set")]
    KeyNotFound {
        /// The path.
        key: KeyPath,
    },
    /// Something other than one plain value is at the path.
    #[error("key `{key}` holds {found}, not a scalar that can be set in place")]
    NotScalar {
        /// The path.
        key: KeyPath,
        /// What is there.
        found: &'static str,
    },
    /// Aliases stand for what is at the path.
    #[error(
        "key `{key}` is what an anchor names, or an alias: a change would reach other places too; write it \
         out by hand first"
    )]
    Shared {
        /// The path.
        key: String,
    },
    /// The replacement could not be proved to change nothing else.
    #[error(
        "key `{key}` is written in a form in which it cannot be set safely; set it by hand in the usual form first"
    )]
    Unsafe {
        /// The path, or the first of several.
        key: KeyPath,
    },
}

impl YamlEditError {
    /// The error's name in conformance data and logs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::InvalidYaml { .. } => "invalid_yaml",
            Self::InvalidKey { .. } => "invalid_key",
            Self::KeyNotFound { .. } => "key_not_found",
            Self::NotScalar { .. } => "not_scalar",
            Self::Shared { .. } => "shared",
            Self::Unsafe { .. } => "unsafe",
        }
    }
}

impl FromStr for KeyPath {
    type Err = YamlEditError;

    fn from_str(key: &str) -> Result<Self, YamlEditError> {
        let mut parts = vec![String::new()];
        let mut chars = key.chars().peekable();
        while let Some(next) = chars.next() {
            let last = parts.last_mut().expect("there is always a last part");
            match next {
                '\\' if chars.next_if_eq(&'.').is_some() => last.push('.'),
                '.' => parts.push(String::new()),
                other => last.push(other),
            }
        }
        if parts.iter().any(String::is_empty) {
            return Err(YamlEditError::InvalidKey { key: key.to_owned() });
        }
        Ok(Self(parts))
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            write!(f, "{dot}{}", part.replace('.', "\\."))?;
        }
        Ok(())
    }
}

impl KeyPath {
    /// A path of the given parts, taken literally.
    ///
    /// # Errors
    /// [`YamlEditError::InvalidKey`] without parts or with an empty one.
    pub fn from_parts(parts: Vec<String>) -> Result<Self, YamlEditError> {
        if parts.is_empty() || parts.iter().any(String::is_empty) {
            return Err(YamlEditError::InvalidKey { key: parts.join(".") });
        }
        Ok(Self(parts))
    }

    /// The parts, unescaped.
    #[must_use]
    pub fn parts(&self) -> &[String] {
        &self.0
    }
}

/// Sets each key to its value and returns the new text. Given twice, the last value of a key counts.
///
/// # Errors
/// [`YamlEditError`]; then none of the updates is made.
pub fn update(text: &str, updates: &[(KeyPath, Scalar)]) -> Result<String, YamlEditError> {
    let document = Document::parse(limited(text)?)?;
    let mut edits: Vec<Edit<'_>> = Vec::with_capacity(updates.len());
    for (key, value) in updates {
        let edit = plan(&document, key, value)?;
        edits.retain(|earlier| earlier.item != edit.item);
        edits.push(edit);
    }
    edits.sort_by_key(|edit| edit.range.start);
    let edited = splice(text, &edits);
    verify(&document, &edited, &edits)?;
    Ok(edited)
}

/// Reads the scalar at `key`. An alias reads as the scalar that it stands for.
///
/// # Errors
/// [`YamlEditError`].
pub fn get(text: &str, key: &KeyPath) -> Result<Found, YamlEditError> {
    let document = Document::parse(limited(text)?)?;
    let item = document.follow(document.find(key)?);
    match document.item(item) {
        Item::Scalar(token) => Ok(Found { text: token.text.clone(), scalar: Scalar::read(token) }),
        other => Err(YamlEditError::NotScalar { key: key.clone(), found: other.describe() }),
    }
}

/// Where the token of the scalar at `key` stands.
///
/// # Errors
/// [`YamlEditError`].
pub fn place(text: &str, key: &KeyPath) -> Result<Range<usize>, YamlEditError> {
    let document = Document::parse(limited(text)?)?;
    match document.item(document.find(key)?) {
        Item::Scalar(token) => Ok(token.span.clone()),
        other => Err(YamlEditError::NotScalar { key: key.clone(), found: other.describe() }),
    }
}

/// One token to replace.
struct Edit<'a> {
    key: &'a KeyPath,
    value: &'a Scalar,
    /// Index of the scalar among the items of the stream.
    item: usize,
    range: Range<usize>,
    replacement: String,
}

fn plan<'a>(
    document: &Document<'_>,
    key: &'a KeyPath,
    value: &'a Scalar,
) -> Result<Edit<'a>, YamlEditError> {
    let item = document.find(key)?;
    let Item::Scalar(token) = document.item(item) else {
        let found = document.item(item).describe();
        return Err(YamlEditError::NotScalar { key: key.clone(), found });
    };
    if token.tag.is_some() && !matches!(value, Scalar::String(_)) {
        return Err(YamlEditError::NotScalar { key: key.clone(), found: "a tagged value" });
    }
    let rendered = value.render(token.style, document.in_flow(item));
    let (range, replacement) = document
        .replacement(item, &rendered)
        .ok_or_else(|| YamlEditError::Unsafe { key: key.clone() })?;
    Ok(Edit { key, value, item, range, replacement })
}

fn splice(text: &str, edits: &[Edit<'_>]) -> String {
    let mut edited = String::with_capacity(text.len() + 64);
    let mut copied = 0;
    for edit in edits {
        edited.push_str(&text[copied..edit.range.start]);
        edited.push_str(&edit.replacement);
        copied = edit.range.end;
    }
    edited.push_str(&text[copied..]);
    edited
}

/// Proves that the edited text differs from the old one in the wanted scalars and nowhere else.
fn verify(old: &Document<'_>, edited: &str, edits: &[Edit<'_>]) -> Result<(), YamlEditError> {
    let Some(first) = edits.first() else { return Ok(()) };
    let unsafe_at = |key: &KeyPath| YamlEditError::Unsafe { key: key.clone() };
    let new = Document::parse(edited).map_err(|_| unsafe_at(first.key))?;
    for edit in edits {
        let read_back = match new.items().get(edit.item) {
            Some(Item::Scalar(token)) => edit.value.reads_back_from(token),
            Some(_) | None => false,
        };
        if !read_back {
            return Err(unsafe_at(edit.key));
        }
    }
    let wanted = |index| edits.iter().any(|edit| edit.item == index);
    let untouched = old.items().len() == new.items().len()
        && (old.items().iter().zip(new.items()).enumerate())
            .all(|(index, (old, new))| wanted(index) || old.means_the_same(new));
    if untouched { Ok(()) } else { Err(unsafe_at(first.key)) }
}

fn limited(text: &str) -> Result<&str, YamlEditError> {
    if text.len() <= TEXT_MAX_BYTES {
        return Ok(text);
    }
    Err(YamlEditError::InvalidYaml {
        line: 1,
        column: 1,
        reason: format!("the text is larger than {TEXT_MAX_BYTES} bytes"),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use insta::assert_snapshot;
    use proptest::prelude::*;

    use super::*;

    fn set(text: &str, key: &str, value: impl Into<Scalar>) -> Result<String, YamlEditError> {
        update(text, &[(key.parse()?, value.into())])
    }

    #[test]
    fn block_scalars_give_way_to_one_token() {
        assert_snapshot!(set("a: |\n  x\n  y\n\n# c\nb: 1\n", "a", "v").unwrap(), @r"
        a: v

        # c
        b: 1
        ");
        assert_snapshot!(set("a: >- # why\n  x\nb: 1\n", "a", "v").unwrap(), @r"
        a: v # why
        b: 1
        ");
        assert_snapshot!(set("l:\n  - |2\n     x\n  - y\n", "l.0", "two\nlines").unwrap(), @r#"
        l:
          - "two\nlines"
          - y
        "#);
        assert_eq!(set("a: |\n  x", "a", "v").unwrap(), "a: v");
    }

    #[test]
    fn empty_values_get_one() {
        for (text, key, expected) in [
            ("a: # c\nb: 1\n", "a", "a: v # c\nb: 1\n"),
            ("a: &x\nb: *x\n", "a", "a: &x v\nb: *x\n"),
            ("a:\n  -\n  - # c\n", "a.0", "a:\n  - v\n  - # c\n"),
            ("a:\n  -\n  - # c\n", "a.1", "a:\n  -\n  - v # c\n"),
            ("{e: , f, g: }\n", "e", "{e: v , f, g: }\n"),
            ("{e: , f, g: }\n", "f", "{e: , f: v, g: }\n"),
            ("{e: , f, g: }\n", "g", "{e: , f, g: v }\n"),
            ("a: !!str\n", "a", "a: !!str v\n"),
        ] {
            assert_eq!(set(text, key, "v").as_deref(), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn anchors_tags_and_later_documents_stay() {
        assert_eq!(set("a: &q !!str v1\nb: *q\n", "a", "2").unwrap(), "a: &q !!str \"2\"\nb: *q\n");
        assert_eq!(set("a: 1\n---\na: 2\n", "a", 9).unwrap(), "a: 9\n---\na: 2\n");
        assert_eq!(set("a: !Ref x\n", "a", 1).unwrap_err().kind(), "not_scalar");
        assert_eq!(set("a: &q v\nb: *q\n", "b", "w").unwrap_err().kind(), "not_scalar");
        assert_eq!(set("a: 1\na: 2\n", "a", 3).unwrap_err().kind(), "invalid_yaml");
    }

    #[test]
    fn numbers_and_truth_read_back_typed() {
        assert_eq!(set("a: x\n", "a", true).unwrap(), "a: true\n");
        assert_eq!(set("a: 'x'\n", "a", 7).unwrap(), "a: 7\n");
        assert_eq!(set("a: x\n", "a", 1e300).unwrap(), "a: 1.0e+300\n");
        assert_eq!(set("a: x\n", "a", 0.1).unwrap(), "a: 0.1\n");
        assert_eq!(set("a: x\n", "a", f64::INFINITY).unwrap(), "a: .inf\n");
    }

    #[test]
    fn get_reads_text_and_type() {
        let found = get("a: 1.10\nb: &x 'y'\nc: *x\n", &"a".parse().unwrap()).unwrap();
        assert_eq!((found.text.as_str(), found.scalar), ("1.10", Scalar::Float(1.1)));
        let through_alias = get("b: &x 'y'\nc: *x\n", &"c".parse().unwrap()).unwrap();
        assert_eq!(through_alias.scalar, Scalar::String("y".to_owned()));
    }

    #[test]
    fn errors_say_where_and_what_to_do() {
        assert_snapshot!(set("a:\n\t- b\n", "a", 1).unwrap_err().kind(), @"invalid_yaml");
        assert_snapshot!(set("a: 1\n", "b.c\\.d", 1).unwrap_err(), @r"key `b.c\.d` is not in the first document; only existing values are set");
        assert_snapshot!(set("a: {}\n", "a", 1).unwrap_err(), @"key `a` holds a mapping, not a scalar that can be set in place");
        let deep = "[".repeat(5000);
        assert_eq!(set(&deep, "a", 1).unwrap_err().kind(), "invalid_yaml");
    }

    proptest! {
        #[test]
        fn any_string_reads_back_in_any_place(value in "\\PC{0,12}|[ -~\n\t]{0,8}|[0-9:._eExobyn~+-]{1,8}") {
            for text in ["a: x\n", "a: 'x'\n", "a: \"x\" # c\n", "a: |\n  x\n", "{a: x, b: y}\n", "a:\n"] {
                let edited = set(text, "a", value.as_str()).unwrap();
                let found = get(&edited, &"a".parse().unwrap()).unwrap();
                prop_assert_eq!(&found.scalar, &Scalar::String(value.clone()), "{}", edited);
            }
        }

        #[test]
        fn arbitrary_text_is_edited_or_refused(text in "[a-c:\\-\\[\\]{},&*!|>'\"#%@ \n0-2]{0,40}") {
            if let Ok(edited) = set(&text, "a", "value") {
                prop_assert_eq!(get(&edited, &"a".parse().unwrap()).unwrap().text, "value");
            }
        }
    }
}
