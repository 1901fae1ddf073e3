//! Sets existing scalars in JSON text and leaves every other byte alone.

use std::ops::Range;

use serde_json::Value;

use super::yaml::KeyPath;
use super::{EditError, check_size, splice};

const LANGUAGE: &str = "JSON";

/// Sets scalars. Of a key that stands twice in an object the last counts, as readers take it.
///
/// # Errors
/// [`EditError`].
pub fn update(text: &str, updates: &[(KeyPath, Value)]) -> Result<String, EditError> {
    read(text)?;
    let pieces = updates.iter().map(|(key, value)| Ok((locate(text, key)?, value.to_string())));
    let edited = splice(text, pieces.collect::<Result<_, EditError>>()?);
    read(&edited)?;
    Ok(edited)
}

/// The text as data.
///
/// # Errors
/// [`EditError::Syntax`].
pub fn read(text: &str) -> Result<Value, EditError> {
    check_size(LANGUAGE, text)?;
    serde_json::from_str(text).map_err(|error| EditError::syntax(LANGUAGE, error))
}

/// Where the scalar at a path stands, in a text that is JSON.
fn locate(text: &str, key: &KeyPath) -> Result<Range<usize>, EditError> {
    let mut scanner = Scanner { text, at: 0 };
    for part in key.parts() {
        if !scanner.enter(part) {
            return Err(EditError::not_found(key));
        }
    }
    scanner.skip_space();
    let start = scanner.at;
    match scanner.here() {
        Some(b'{') => return Err(EditError::not_scalar(key, "an object")),
        Some(b'[') => return Err(EditError::not_scalar(key, "a list")),
        Some(_) | None => scanner.skip_value(),
    }
    Ok(start..scanner.at)
}

/// Walks over a text that is JSON.
struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl Scanner<'_> {
    fn here(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.here().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Goes to the value of a member or an element of the value that begins here.
    fn enter(&mut self, part: &str) -> bool {
        self.skip_space();
        match self.here() {
            Some(b'{') => self.enter_member(part),
            Some(b'[') => part.parse().is_ok_and(|index| self.enter_element(index)),
            Some(_) | None => false,
        }
    }

    fn enter_member(&mut self, name: &str) -> bool {
        self.at += 1;
        let mut found = None;
        loop {
            self.skip_space();
            if self.here() != Some(b'"') {
                break;
            }
            let start = self.at;
            self.skip_string();
            let key: Result<String, _> = serde_json::from_str(&self.text[start..self.at]);
            self.skip_space();
            self.at += 1;
            if key.is_ok_and(|key| key == name) {
                found = Some(self.at);
            }
            self.skip_value();
            self.skip_comma();
        }
        self.at = found.unwrap_or(self.at);
        found.is_some()
    }

    fn enter_element(&mut self, index: usize) -> bool {
        self.at += 1;
        for _ in 0..index {
            self.skip_space();
            if self.here() == Some(b']') {
                return false;
            }
            self.skip_value();
            self.skip_comma();
        }
        self.skip_space();
        self.here() != Some(b']')
    }

    fn skip_comma(&mut self) {
        self.skip_space();
        if self.here() == Some(b',') {
            self.at += 1;
        }
    }

    fn skip_value(&mut self) {
        self.skip_space();
        let mut depth = 0_usize;
        while let Some(byte) = self.here() {
            match byte {
                b'"' => {
                    self.skip_string();
                    if depth == 0 {
                        return;
                    }
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth <= 1 => {
                    // The end of this value, or of the one that it stands in.
                    self.at += depth;
                    return;
                }
                b'}' | b']' => depth -= 1,
                b',' if depth == 0 => return,
                byte if depth == 0 && byte.is_ascii_whitespace() => return,
                _ => {}
            }
            self.at += 1;
        }
    }

    fn skip_string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.here() {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn set(text: &str, key: &str, value: Value) -> String {
        match update(text, &[(key.parse().unwrap(), value)]) {
            Ok(text) => text,
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn only_the_value_changes() {
        let text = "{ \"a\" : {\"b.c\":[1, \"x\\\"]\" , {\"d\" :true}]},\n\t\"e\":-1.5e3 }\n";
        assert_eq!(set(text, "a.b\\.c.1", json!("y\"")), text.replace("\"x\\\"]\"", "\"y\\\"\""));
        assert_eq!(set(text, "a.b\\.c.2.d", json!(null)), text.replace("true", "null"));
        assert_eq!(set(text, "e", json!(7)), text.replace("-1.5e3", "7"));
        assert_eq!(set("[1]", "0", json!("x")), "[\"x\"]");
        assert_eq!(set("{\"a\":1,\"a\":2}", "a", json!(3)), "{\"a\":1,\"a\":3}");
        insta::assert_snapshot!(set(text, "a.b", json!(1)), @"key `a.b` is not there; only existing values are set");
        insta::assert_snapshot!(set(text, "a.b\\.c.3", json!(1)), @"key `a.b\\.c.3` is not there; only existing values are set");
        insta::assert_snapshot!(set(text, "a", json!(1)), @"key `a` holds an object, not a scalar that can be set in place");
        insta::assert_snapshot!(set("{,}", "a", json!(1)), @"the text is not usable JSON: key must be a string at line 1 column 2");
    }

    fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec(("[a-c\"\\\\]{1,2}", inner), 0..4)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_scalar_is_found(document in documents(), pretty in any::<bool>()) {
            let text = if pretty { format!("{document:#}") } else { document.to_string() };
            let mut scalars = Vec::new();
            walk(&document, &mut Vec::new(), &mut scalars);
            for (path, pointer) in scalars {
                let edited = update(&text, &[(path.parse().unwrap(), json!("new"))]).unwrap();
                let mut expected = document.clone();
                *expected.pointer_mut(&pointer).unwrap() = json!("new");
                prop_assert_eq!(read(&edited).unwrap(), expected);
            }
        }
    }

    /// Paths and pointers of all scalars below the top.
    fn walk(value: &Value, path: &mut Vec<String>, found: &mut Vec<(String, String)>) {
        let children: Vec<(String, &Value)> = match value {
            Value::Array(items) => {
                items.iter().enumerate().map(|(at, item)| (at.to_string(), item)).collect()
            }
            Value::Object(entries) => {
                entries.iter().map(|(key, value)| (key.clone(), value)).collect()
            }
            _ if path.is_empty() || path.iter().any(|part| part.ends_with('\\')) => return,
            _ => {
                let key: Vec<String> = path.iter().map(|part| part.replace('.', "\\.")).collect();
                let pointer = path.iter().map(|part| format!("/{part}")).collect();
                found.push((key.join("."), pointer));
                return;
            }
        };
        for (name, child) in children {
            path.push(name);
            walk(child, path, found);
            path.pop();
        }
    }
}
