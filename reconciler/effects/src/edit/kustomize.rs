//! Image entries of a `kustomization.yaml`, set in place.
//!
//! A value that is there is replaced as [`yaml::update`] replaces it. A key or an entry that is missing
//! becomes lines of its own, in the columns of those around it; everything else stays as it is. The
//! result is read again: it must hold the wanted images, and beside them what it held before.

use std::ops::Range;

use serde_json::{Map, Value, json};

use super::yaml::{self, KeyPath, Scalar};

/// What is set of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// Another name for it.
    pub new_name: Option<String>,
    /// Its tag. A digest that is there goes, unless one is given: kustomize would prefer it.
    pub tag: Option<String>,
    /// Its digest. A tag that is there goes, unless one is given.
    pub digest: Option<String>,
}

/// Sets images by the name that the manifests have them by.
///
/// # Errors
/// What cannot be edited safely, and why. Nothing has changed then.
pub fn set_images<'a>(
    text: &str,
    images: impl IntoIterator<Item = (&'a str, Image)>,
) -> Result<String, String> {
    let mut edited = text.to_owned();
    for (name, image) in images {
        edited =
            set_image(&edited, name, &image).map_err(|why| format!("image {name:?}: {why}"))?;
    }
    Ok(edited)
}

fn set_image(text: &str, name: &str, image: &Image) -> Result<String, String> {
    let before = read(text)?;
    if !before.is_object() && !before.is_null() {
        return Err("the file holds no map".to_owned());
    }
    let listed = match before.get("images") {
        None | Some(Value::Null) => None,
        Some(Value::Array(entries)) => Some(entries.as_slice()),
        Some(_) => return Err("`images` is no list".to_owned()),
    };
    let at = listed.and_then(|entries| entries.iter().position(|entry| entry["name"] == *name));
    let edited = match (listed, at) {
        (Some(entries), Some(at)) => change(text, at, &entries[at], image)?,
        (Some(entries), None) => add(text, entries, name, image)?,
        (None, _) if before.get("images").is_some() => {
            return Err("`images` is empty; remove the key, or write an entry".to_owned());
        }
        (None, _) => begin(text, name, image)?,
    };
    if read(&edited)? == wanted(before, at, name, image) {
        Ok(edited)
    } else {
        Err("it is written in a form in which it cannot be set safely; write its entry in the usual \
             form, one key per line"
            .to_owned())
    }
}

fn read(text: &str) -> Result<Value, String> {
    yaml::read(text).map_err(|error| error.to_string())
}

/// The data once the image is set.
fn wanted(mut data: Value, at: Option<usize>, name: &str, image: &Image) -> Value {
    if data.is_null() {
        data = json!({});
    }
    let Some(document) = data.as_object_mut() else { return data };
    let entries = document.entry("images").or_insert_with(|| json!([]));
    let Some(entries) = entries.as_array_mut() else { return data };
    let at = at.unwrap_or_else(|| {
        entries.push(json!({ "name": name }));
        entries.len() - 1
    });
    if let Some(entry) = entries[at].as_object_mut() {
        for (key, value) in image.keys() {
            entry.insert(key.to_owned(), Value::from(value));
        }
        if let Some(gone) = image.replaces() {
            entry.shift_remove(gone);
        }
    }
    data
}

impl Image {
    /// Keys of the entry and what they are to hold.
    fn keys(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let keys = [("newName", &self.new_name), ("newTag", &self.tag), ("digest", &self.digest)];
        keys.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?)))
    }

    /// The key that must not stay beside those that are set.
    fn replaces(&self) -> Option<&'static str> {
        match (&self.tag, &self.digest) {
            (Some(_), None) => Some("digest"),
            (None, Some(_)) => Some("newTag"),
            (Some(_), Some(_)) | (None, None) => None,
        }
    }
}

/// Sets the keys of an entry that is there.
fn change(text: &str, at: usize, entry: &Value, image: &Image) -> Result<String, String> {
    let mut edited = text.to_owned();
    for (key, value) in image.keys() {
        edited = if entry.get(key).is_some() {
            let update = [(path(at, key)?, Scalar::from(value))];
            yaml::update(&edited, &update).map_err(|error| error.to_string())?
        } else {
            let line = Line::of(&edited, at, "name")?;
            let new = format!("{}{key}: {}{}", " ".repeat(line.column), quoted(value), line.end());
            insert(&edited, line.whole.end, &new)
        };
    }
    match image.replaces().filter(|gone| entry.get(gone).is_some()) {
        None => Ok(edited),
        Some(gone) => {
            let line = Line::of(&edited, at, gone)?;
            if line.dash.is_some() {
                return Err(format!("`{gone}` stands first in its entry; put `name` there"));
            }
            edited.replace_range(line.whole, "");
            Ok(edited)
        }
    }
}

/// Adds an entry behind the last one.
fn add(text: &str, entries: &[Value], name: &str, image: &Image) -> Result<String, String> {
    let last = entries.len().checked_sub(1).ok_or("`images` is empty; write a first entry")?;
    let keys = entries[last].as_object().into_iter().flat_map(Map::keys);
    let lines: Vec<Line<'_>> =
        keys.map(|key| Line::of(text, last, key)).collect::<Result<_, String>>()?;
    let end = lines.iter().map(|line| line.whole.end).max().unwrap_or(text.len());
    let first = lines.iter().find_map(|line| Some((line.dash?, line)));
    let (dash, first) = first.ok_or("the last entry of `images` is not written as `- name: …`")?;
    let entry = entry(dash, first.column, name, image, first.end());
    Ok(insert(text, end, &entry))
}

/// Writes the list behind everything else.
fn begin(text: &str, name: &str, image: &Image) -> Result<String, String> {
    if text.lines().skip(1).any(|line| line.starts_with("---") || line.starts_with("...")) {
        return Err("the file has several documents; write `images` by hand first".to_owned());
    }
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    Ok(insert(text, text.len(), &format!("images:{end}{}", entry(0, 2, name, image, end))))
}

fn entry(dash: usize, column: usize, name: &str, image: &Image, end: &str) -> String {
    let gap = " ".repeat(column.saturating_sub(dash + 1));
    let mut text = format!("{}-{gap}name: {}{end}", " ".repeat(dash), quoted(name));
    for (key, value) in image.keys() {
        text.push_str(&format!("{}{key}: {}{end}", " ".repeat(column), quoted(value)));
    }
    text
}

/// Puts lines where a line begins, or behind the last one.
fn insert(text: &str, at: usize, lines: &str) -> String {
    let (before, after) = text.split_at(at);
    let gap = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    format!("{before}{gap}{lines}{after}")
}

/// A text that no reader takes for a number or a date. What is quoted in JSON is so in YAML.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn path(at: usize, key: &str) -> Result<KeyPath, String> {
    KeyPath::from_parts(vec!["images".to_owned(), at.to_string(), key.to_owned()])
        .map_err(|error| error.to_string())
}

/// The line of a key of an entry.
struct Line<'t> {
    text: &'t str,
    /// Bytes of the line, with its end.
    whole: Range<usize>,
    /// Where the key begins.
    column: usize,
    /// Where the dash of the entry is, if it is on this line.
    dash: Option<usize>,
}

impl<'t> Line<'t> {
    /// # Errors
    /// The key and its value do not stand on a line of their own.
    fn of(text: &'t str, at: usize, key: &str) -> Result<Self, String> {
        let unusual =
            || format!("`{key}` of its entry does not stand on a line of its own; put it there");
        let value = yaml::place(text, &path(at, key)?).map_err(|error| error.to_string())?;
        let start = text[..value.start].rfind('\n').map_or(0, |end| end + 1);
        let end = text[value.start..].find('\n').map_or(text.len(), |end| value.start + end + 1);
        let before = &text[start..value.start];
        let column = before.find(|c| c != ' ' && c != '-').ok_or_else(unusual)?;
        let head = before[column..].trim_end();
        let is_key = [format!("{key}:"), format!("{key:?}:"), format!("'{key}':")]
            .contains(&head.to_owned());
        let dashes = before[..column].matches('-').count();
        if !is_key || dashes > 1 || value.end > end {
            return Err(unusual());
        }
        let dash = before[..column].find('-');
        Ok(Self { text, whole: start..end, column, dash })
    }

    /// What ends its lines.
    fn end(&self) -> &'static str {
        if self.text[self.whole.clone()].ends_with("\r\n") { "\r\n" } else { "\n" }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use insta::assert_snapshot;

    use super::*;

    fn tag(tag: &str) -> Image {
        Image { tag: Some(tag.to_owned()), ..Image::default() }
    }

    fn digest(digest: &str) -> Image {
        Image { digest: Some(digest.to_owned()), ..Image::default() }
    }

    fn set(text: &str, name: &str, image: &Image) -> Result<String, String> {
        set_images(text, [(name, image.clone())])
    }

    const FILE: &str = "\
# What prod is made of.
resources:
- ../base   # shared
images:
# Ours.
- name: api   # the API
  newTag: \"1.0.0\" # set by Lockstep
- name: web
  newName: registry.example.com/web
  digest: sha256:aa
patches: []
";

    #[test]
    fn a_tag_that_is_there_is_replaced() {
        assert_eq!(set(FILE, "api", &tag("1.1.0")).unwrap(), FILE.replace("1.0.0", "1.1.0"));
        assert_eq!(set(FILE, "api", &tag("1.0.0")).unwrap(), FILE);
    }

    #[test]
    fn what_kustomize_would_prefer_goes() {
        assert_snapshot!(set(FILE, "web", &tag("2.0.0")).unwrap(), @r#"
        # What prod is made of.
        resources:
        - ../base   # shared
        images:
        # Ours.
        - name: api   # the API
          newTag: "1.0.0" # set by Lockstep
        - name: web
          newTag: "2.0.0"
          newName: registry.example.com/web
        patches: []
        "#);
        assert_snapshot!(set(FILE, "api", &digest("sha256:bb")).unwrap(), @r#"
        # What prod is made of.
        resources:
        - ../base   # shared
        images:
        # Ours.
        - name: api   # the API
          digest: "sha256:bb"
        - name: web
          newName: registry.example.com/web
          digest: sha256:aa
        patches: []
        "#);
    }

    #[test]
    fn entries_and_keys_that_are_missing_are_added() {
        let both = Image { new_name: Some("ghcr.io/db".to_owned()), ..tag("3") };
        assert_snapshot!(set(FILE, "db", &both).unwrap(), @r#"
        # What prod is made of.
        resources:
        - ../base   # shared
        images:
        # Ours.
        - name: api   # the API
          newTag: "1.0.0" # set by Lockstep
        - name: web
          newName: registry.example.com/web
          digest: sha256:aa
        - name: "db"
          newName: "ghcr.io/db"
          newTag: "3"
        patches: []
        "#);
        assert_snapshot!(set("resources: [a]", "api", &tag("1")).unwrap(), @r#"
        resources: [a]
        images:
        - name: "api"
          newTag: "1"
        "#);
        assert_snapshot!(set("", "api", &tag("1")).unwrap(), @r#"
        images:
        - name: "api"
          newTag: "1"
        "#);
        let indented = "images:\n    -   name: api\n        # none yet\n";
        assert_snapshot!(set(indented, "api", &tag("1")).unwrap(), @r#"
        images:
            -   name: api
                newTag: "1"
                # none yet
        "#);
        assert_snapshot!(set(indented, "web", &tag("1")).unwrap(), @r#"
        images:
            -   name: api
            -   name: "web"
                newTag: "1"
                # none yet
        "#);
        let windows = "images:\r\n- name: api\r\n";
        assert_eq!(
            set(windows, "web", &tag("1")).unwrap(),
            "images:\r\n- name: api\r\n- name: \"web\"\r\n  newTag: \"1\"\r\n"
        );
    }

    #[test]
    fn several_are_set_together() {
        let both = [("a", tag("1")), ("b", tag("2"))];
        let text = set_images("images:\n- name: a\n", both).unwrap();
        assert_eq!(text, "images:\n- name: a\n  newTag: \"1\"\n- name: \"b\"\n  newTag: \"2\"\n");
    }

    #[test]
    fn what_cannot_be_set_safely_is_named() {
        let told = |text: &str, name: &str| set(text, name, &tag("1")).unwrap_err();
        assert_snapshot!(told("images: { a: b }\n", "api"), @r#"image "api": `images` is no list"#);
        assert_snapshot!(told("images: []\n", "api"), @r#"image "api": `images` is empty; write a first entry"#);
        assert_snapshot!(told("images: [{ name: api }]\n", "api"), @r#"image "api": `name` of its entry does not stand on a line of its own; put it there"#);
        assert_snapshot!(told("images: [{ name: api }]\n", "web"), @r#"image "web": `name` of its entry does not stand on a line of its own; put it there"#);
        assert_snapshot!(told("images:\n- digest: sha256:aa\n  name: api\n", "api"), @r#"image "api": `digest` stands first in its entry; put `name` there"#);
        assert_snapshot!(told("a: 1\n---\nb: 2\n", "api"), @r#"image "api": the file has several documents; write `images` by hand first"#);
        assert_snapshot!(told("- a\n", "api"), @r#"image "api": the file holds no map"#);
        assert_snapshot!(told("a: [\n", "api"), @r#"image "api": the text is not usable YAML at line 1, column 4: unclosed bracket '['"#);
    }
}
