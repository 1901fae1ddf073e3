//! Where a field of the API is in the configuration.
//!
//! The API names fields as `image[0].constraint`. Most are in the configuration under the same
//! name; some are inside a block, and lists of blocks have the name of one.

use provider_protocol::cty::{Path, Step, Type};

/// The fields of a kind's spec that are elsewhere in the configuration: the API's prefix, and what
/// stands in its place.
pub(crate) type Moved = &'static [(&'static str, &'static str)];

/// The attribute or block of a field, as deep as the type goes: what is inside a JSON text has no
/// place of its own.
pub(crate) fn attribute_path(field: &str, moved: Moved, ty: &Type) -> Path {
    let renamed = moved.iter().find_map(|(from, to)| {
        let rest = field.strip_prefix(from)?;
        let whole = rest.is_empty() || rest.starts_with(['.', '[']);
        whole.then(|| format!("{to}{rest}"))
    });
    let steps = steps(renamed.as_deref().unwrap_or(field));
    let mut at = ty;
    let mut path = Path::root();
    for step in steps {
        let below = match (at, &step) {
            (Type::Object(attributes), Step::Attribute(name)) => attributes.get(name.as_str()),
            (Type::List(element), Step::Index(_)) | (Type::Map(element), Step::Key(_)) => {
                Some(element.as_ref())
            }
            // A free key may be written like a field.
            (Type::Map(element), Step::Attribute(name)) => {
                path = path.key(name.clone());
                at = element;
                continue;
            }
            _ => None,
        };
        let Some(below) = below else { break };
        path = path.step(step);
        at = below;
    }
    path
}

/// Reads `a.b[0]["key"].c`. What is not of this form ends the path.
fn steps(field: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = field;
    while !rest.is_empty() {
        let read = match rest.strip_prefix('[') {
            Some(inside) => bracket(inside),
            None => {
                let name = rest.strip_prefix('.').unwrap_or(rest);
                let end = name.find(['.', '[']).unwrap_or(name.len());
                let step = Step::Attribute(name[..end].to_owned());
                (end > 0).then_some((step, &name[end..]))
            }
        };
        let Some((step, after)) = read else { break };
        steps.push(step);
        rest = after;
    }
    steps
}

/// Reads what stands behind a `[`: an index, or a key as JSON text.
fn bracket(inside: &str) -> Option<(Step, &str)> {
    if inside.starts_with('"') {
        let mut texts = serde_json::Deserializer::from_str(inside).into_iter::<String>();
        let key = texts.next()?.ok()?;
        let after = inside[texts.byte_offset()..].strip_prefix(']')?;
        return Some((Step::Key(key), after));
    }
    let (index, after) = inside.split_once(']')?;
    Some((Step::Index(index.parse().ok()?), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_their_place() {
        let text = || Type::String;
        let ty = Type::object([
            ("image", Type::list(Type::object([("constraint", text())]))),
            ("freight", Type::list(Type::object([("require", text())]))),
            ("request", Type::list(Type::object([("from", Type::list(text()))]))),
            ("steps", Type::list(Type::object([("config", text())]))),
            ("vars", Type::map(text())),
        ]);
        let moved: Moved = &[("require", "freight[0].require"), ("requests", "request")];
        for (field, place) in [
            ("image[0].constraint", "image[0].constraint"),
            ("require", "freight[0].require"),
            ("requests[1].from[2]", "request[1].from[2]"),
            ("requests", "request"),
            ("steps[3].config.checkout.infra", "steps[3].config"),
            (r#"vars["a.b]"]"#, r#"vars["a.b]"]"#),
            ("vars.region", r#"vars["region"]"#),
            ("required", ""),
            ("image[x].constraint", "image"),
            ("", ""),
        ] {
            assert_eq!(attribute_path(field, moved, &ty).to_string(), place, "{field}");
        }
    }
}
