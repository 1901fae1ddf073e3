//! Merging into a text: what one file says over another is spliced in, and the rest stays as it is written.
//!
//! Scalars are replaced in place, entries of block mappings are replaced, added behind the last one, or taken
//! out. Each change is read back; where it cannot be made so in the form in which the text is written, such as in
//! a flow mapping, the entry round it is written anew, and its comments go.

use std::ops::Range;

use serde_json::{Map, Value};

use super::document::{Document, Item};
use super::value::{data_of, merge, read, without_nulls, write};
use super::{KeyPath, Scalar, YamlEditError, update};

/// The first document of a text with `over` merged into it, as [`merge`] does it with data.
///
/// # Errors
/// [`YamlEditError`]; among them that a change would reach what aliases stand for.
pub fn merge_into(text: &str, over: &Map<String, Value>) -> Result<String, YamlEditError> {
    let mut wanted = match read(text)? {
        Value::Null => Value::Object(Map::new()),
        data => data,
    };
    let mut changes = Vec::new();
    let document = Document::parse(text)?;
    match document.root() {
        Some(root) if matches!(document.item_of(root), Item::Start(_)) => {
            let path = Path { document: &document, parts: Vec::new(), shared: false };
            path.look(root, over, &mut changes)?;
        }
        // Nothing but comments.
        Some(_) | None => changes.extend(
            over.iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (vec![key.clone()], Change::Put(without_nulls(value.clone())))),
        ),
    }
    let (scalars, others): (Vec<_>, Vec<_>) =
        changes.into_iter().partition(|(_, change)| matches!(change, Change::Set(_)));
    let mut text = text.to_owned();
    let mut left = others;
    match set(&text, &scalars) {
        Ok(edited) => text = edited,
        // Some of them are in a form of their own: each entry by itself.
        Err(_) => left.extend(scalars),
    }
    for (path, change) in left {
        text = make(&text, &path, &change)?;
    }
    merge(&mut wanted, Value::Object(over.clone()));
    if same(&read(&text)?, &wanted) { Ok(text) } else { Err(unsafe_at(&[])) }
}

/// What is to become of an entry.
enum Change {
    /// Its scalar becomes another one.
    Set(Scalar),
    /// It becomes this, or is new.
    Put(Value),
    /// It goes.
    Remove,
}

type Changes = Vec<(Vec<String>, Change)>;

/// A place on the way through the document.
struct Path<'a, 'd> {
    document: &'a Document<'d>,
    parts: Vec<String>,
    /// Whether aliases stand for what is here, or this is one.
    shared: bool,
}

impl Path<'_, '_> {
    fn below(&self, key: &str, node: usize) -> Self {
        let parts = self.parts.iter().map(String::as_str).chain([key]).map(str::to_owned).collect();
        let shared = self.shared || self.document.is_shared(node);
        Self { document: self.document, parts, shared }
    }

    /// Collects what has to change so that `over` is merged into the mapping at `node`.
    fn look(
        &self,
        node: usize,
        over: &Map<String, Value>,
        changes: &mut Changes,
    ) -> Result<(), YamlEditError> {
        for (key, value) in over {
            let Some(child) = self.document.value_at(node, key) else {
                if !value.is_null() {
                    let path = self.below(key, node);
                    changes.push(path.changed(Change::Put(without_nulls(value.clone())))?);
                }
                continue;
            };
            let path = self.below(key, child);
            let followed = self.document.follow_node(child);
            match (self.document.item_of(followed), value) {
                (_, Value::Null) => {
                    let path =
                        Self { shared: path.shared || self.document.holds_shared(child), ..path };
                    changes.push(path.changed(Change::Remove)?);
                }
                (Item::Start(collection), Value::Object(over)) if collection.is_mapping() => {
                    path.look(followed, over, changes)?;
                }
                (item, value) => {
                    let value = without_nulls(value.clone());
                    if same(&data_of(self.document, followed)?, &value) {
                        continue;
                    }
                    let change = match (item, Scalar::try_from(&value)) {
                        (Item::Scalar(_), Ok(scalar)) => Change::Set(scalar),
                        _ => Change::Put(value),
                    };
                    let path =
                        Self { shared: path.shared || self.document.holds_shared(child), ..path };
                    changes.push(path.changed(change)?);
                }
            }
        }
        Ok(())
    }

    fn changed(self, change: Change) -> Result<(Vec<String>, Change), YamlEditError> {
        if self.shared {
            return Err(YamlEditError::Shared { key: self.parts.join(".") });
        }
        Ok((self.parts, change))
    }
}

fn set(text: &str, changes: &Changes) -> Result<String, YamlEditError> {
    let mut updates = Vec::with_capacity(changes.len());
    for (path, change) in changes {
        if let Change::Set(scalar) = change {
            updates.push((KeyPath::from_parts(path.clone())?, scalar.clone()));
        }
    }
    update(text, &updates)
}

/// Makes one change, in the smallest entry in which it can be made.
fn make(text: &str, path: &[String], change: &Change) -> Result<String, YamlEditError> {
    let mut wanted = read(text)?;
    if wanted.is_null() {
        wanted = Value::Object(Map::new());
    }
    apply(&mut wanted, path, change);
    let is_so = |edited: &String| read(edited).is_ok_and(|data| same(&data, &wanted));
    if let Change::Set(scalar) = change
        && let Ok(key) = KeyPath::from_parts(path.to_vec())
        && let Ok(edited) = update(text, &[(key, scalar.clone())])
        && is_so(&edited)
    {
        return Ok(edited);
    }
    for depth in (1..=path.len()).rev() {
        let path = &path[..depth];
        let value = path.iter().try_fold(&wanted, |value, key| value.get(key));
        if let Some(edited) = entry(text, path, value)?.filter(is_so) {
            return Ok(edited);
        }
    }
    // The document itself, if there is no other that would go with it.
    let edited = write(&wanted);
    if Document::parse(text)?.is_alone() { Ok(edited) } else { Err(unsafe_at(path)) }
}

fn apply(data: &mut Value, path: &[String], change: &Change) {
    let Some((last, before)) = path.split_last() else { return };
    let mut at = data;
    for key in before {
        let Some(next) = at.get_mut(key) else { return };
        at = next;
    }
    let Value::Object(entries) = at else { return };
    let value = match change {
        Change::Remove => {
            entries.shift_remove(last);
            return;
        }
        Change::Put(value) => value.clone(),
        Change::Set(scalar) => scalar.data(),
    };
    entries.insert(last.clone(), value);
}

/// The text with an entry replaced, added, or taken out (no value); none: it is not in a block mapping.
fn entry(
    text: &str,
    path: &[String],
    value: Option<&Value>,
) -> Result<Option<String>, YamlEditError> {
    let document = Document::parse(text)?;
    let Some((key, parents)) = path.split_last() else { return Ok(None) };
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let Some(root) =
        document.root().filter(|root| matches!(document.item_of(*root), Item::Start(_)))
    else {
        let Some(value) = value else { return Ok(None) };
        let gap = if text.is_empty() || text.ends_with('\n') { "" } else { newline };
        return Ok(Some(format!("{text}{gap}{}", rendered(key, value, 0, newline))));
    };
    let mut node = root;
    for part in parents {
        let Some(child) = document.value_at(node, part) else { return Ok(None) };
        node = child;
    }
    if !document.is_block_mapping(node) {
        return Ok(None);
    }
    let Some(there) = document
        .children(node)
        .chunks_exact(2)
        .position(|pair| document.key_text(pair[0]) == Some(key.as_str()))
    else {
        let Some(value) = value else { return Ok(None) };
        return Ok(added(text, &document, node, key, value, newline));
    };
    let Some(place) = document.entry(node, there) else { return Ok(None) };
    let replacement = match value {
        None => {
            let line = line_start(text, place.start);
            if !text[line..place.start].trim().is_empty() {
                return Ok(None);
            }
            return Ok(Some(format!("{}{}", &text[..line], &text[place.end..])));
        }
        Some(value) => {
            let column = place.start - line_start(text, place.start);
            let written = rendered("k", value, column, newline);
            let key = document.children(node)[there * 2];
            let Some(key) = document.span_of(key) else { return Ok(None) };
            format!("{}{}", &text[key], &written[column + 1..])
        }
    };
    Ok(Some(spliced(text, &place, &replacement, newline)))
}

/// The text with an entry behind the last one of a block mapping.
fn added(
    text: &str,
    document: &Document<'_>,
    node: usize,
    key: &str,
    value: &Value,
    newline: &str,
) -> Option<String> {
    let count = document.children(node).len() / 2;
    let first = document.span_of(*document.children(node).first()?)?;
    let column = first.start - line_start(text, first.start);
    let end = document.entry(node, count.checked_sub(1)?)?.end;
    let written = rendered(key, value, column, newline);
    Some(spliced(text, &(end..end), &written, newline))
}

fn spliced(text: &str, place: &Range<usize>, replacement: &str, newline: &str) -> String {
    let (before, after) = (&text[..place.start], &text[place.end..]);
    if after.is_empty() && !text.ends_with('\n') {
        // The last line has no end, and gets none.
        let gap = if place.is_empty() && !before.is_empty() { newline } else { "" };
        return format!("{before}{gap}{}", replacement.trim_end_matches(['\r', '\n']));
    }
    format!("{before}{replacement}{after}")
}

/// An entry as lines, indented by so many columns.
fn rendered(key: &str, value: &Value, column: usize, newline: &str) -> String {
    let whole = Value::Object(Map::from_iter([(key.to_owned(), value.clone())]));
    let indent = " ".repeat(column);
    write(&whole).lines().map(|line| format!("{indent}{line}{newline}")).collect()
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// Equal as YAML reads them: the order of keys is no difference.
fn same(left: &Value, right: &Value) -> bool {
    left == right
}

fn unsafe_at(path: &[String]) -> YamlEditError {
    let parts = if path.is_empty() { vec!["(the whole file)".to_owned()] } else { path.to_vec() };
    YamlEditError::Unsafe { key: KeyPath(parts) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use insta::assert_snapshot;
    use proptest::prelude::*;

    use super::*;

    fn merged(text: &str, over: &str) -> Result<String, YamlEditError> {
        let Value::Object(over) = read(over)? else { panic!("{over}") };
        merge_into(text, &over)
    }

    const VALUES: &str = "\
# The shop.
image:
  repository: 'registry.example/shop' # ours
  tag: \"1.0.0\"   # the release

replicas: 2
resources: # of each
  limits:
    memory: 256Mi
hosts:
  - a.example
  - b.example
# The end.
";

    #[test]
    fn only_what_differs_is_touched() {
        let over = "\
image: { tag: 1.1.0, pullPolicy: Always }
replicas: 2
resources: { limits: { cpu: 1 } }
hosts: [c.example]
debug: true
";
        assert_snapshot!(merged(VALUES, over).unwrap(), @r#"
        # The shop.
        image:
          repository: 'registry.example/shop' # ours
          tag: "1.1.0"   # the release
          pullPolicy: Always

        replicas: 2
        resources: # of each
          limits:
            memory: 256Mi
            cpu: 1
        hosts:
          - c.example
        debug: true
        # The end.
        "#);
        assert_eq!(merged(VALUES, "replicas: 2\nimage: { tag: 1.0.0 }\n").unwrap(), VALUES);
    }

    #[test]
    fn what_is_null_goes() {
        assert_snapshot!(merged(VALUES, "image: { repository: null }\nhosts: null\nnone: null\n").unwrap(), @r#"
        # The shop.
        image:
          tag: "1.0.0"   # the release

        replicas: 2
        resources: # of each
          limits:
            memory: 256Mi
        # The end.
        "#);
        assert_eq!(
            merged("a:\n  b: 1 # c\nd: 2 # e\n", "a: { b: null }\n").unwrap(),
            "a: {}\nd: 2 # e\n"
        );
    }

    #[test]
    fn other_forms() {
        for (text, over, expected) in [
            ("a: {b: 1, c: 2} # x\nd: 3 # y\n", "a: {b: 7}", "a: {b: 7, c: 2} # x\nd: 3 # y\n"),
            ("a: {b: 1}\nd: 3 # y\n", "a: {c: 2}", "a:\n  b: 1\n  c: 2\nd: 3 # y\n"),
            ("a: 1 # x\r\nb:\r\n  c: 2\r\n", "b: {d: 3}", "a: 1 # x\r\nb:\r\n  c: 2\r\n  d: 3\r\n"),
            ("a: 1 # x", "b: 2", "a: 1 # x\nb: 2"),
            ("a: |\n  one\n\n  two\nb: 1 # y\n", "c: 2", "a: |\n  one\n\n  two\nb: 1 # y\nc: 2\n"),
            ("b: 1 # y\na: |\n  one\n  # two\n", "c: 2", "b: 1 # y\na: |\n  one\n  # two\nc: 2\n"),
            ("a: 1 # x\n---\nb: 2\n", "c: 3", "a: 1 # x\nc: 3\n---\nb: 2\n"),
            ("# nothing yet\n", "a: {b: 1}", "# nothing yet\na:\n  b: 1\n"),
            ("", "a: 1", "a: 1\n"),
            ("a: 1 # x\n", "a: {b: 1}", "a:\n  b: 1\n"),
            ("a: # x\nb: 1 # y\n", "a: 7", "a: 7 # x\nb: 1 # y\n"),
            ("a: !Ref x\nb: 1 # y\n", "a: 7", "a: 7\nb: 1 # y\n"),
            ("{a: 1}\n", "b: 2", "a: 1\nb: 2\n"),
        ] {
            assert_eq!(merged(text, over).as_deref(), Ok(expected), "{text:?} {over:?}");
        }
    }

    #[test]
    fn what_aliases_stand_for_is_not_changed_behind_their_back() {
        let text =
            "base: &base # of all\n  tag: 1\ndev: *base\nprod:\n  <<: *base\n  size: 2 # big\n";
        let refused = |over: &str| merged(text, over).unwrap_err();
        assert_snapshot!(refused("base: { tag: 2 }\n"), @"key `base.tag` is what an anchor names, or an alias: a change would reach other places too; write it out by hand first");
        for over in ["dev: { tag: 2 }\n", "base: null\n", "base: [1]\n", "base: { more: 1 }\n"] {
            assert_eq!(refused(over).kind(), "shared", "{over}");
        }
        let edited = merged(text, "prod: { size: 3 }\nbase: { tag: 1 }\nnew: 1\n").unwrap();
        assert_eq!(edited, text.replace("size: 2", "size: 3") + "new: 1\n");
    }

    fn data() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-9..9_i64).prop_map(Value::from),
            "[ -~]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-d]|[ -~]{1,3}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn map() -> impl Strategy<Value = Map<String, Value>> {
        prop::collection::btree_map("[a-d]", data(), 0..5).prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        #[test]
        fn it_is_what_merging_the_data_gives(base in map(), over in map()) {
            let text = format!("# begin\n{}# end\n", write(&Value::Object(base.clone())));
            prop_assume!(!base.is_empty());
            let mut wanted = read(&text).unwrap();
            merge(&mut wanted, Value::Object(over.clone()));
            let edited = merge_into(&text, &over).unwrap();
            prop_assert_eq!(read(&edited).unwrap(), wanted, "{}", edited);
            prop_assert_eq!(merge_into(&edited, &over).unwrap(), edited);
        }
    }
}
