//! Sets existing literals in the language of infra modules and leaves every other byte alone.
//!
//! A path names attributes and keys of objects; in front of them stand the type and the labels of
//! each block: `module.network.source`, `variable.tag.default`, `locals.tag`. What is not a literal
//! (a call, a reference, a template) is never replaced: nobody can say what it meant.

use std::ops::Range;

use hcl_edit::Span as _;
use hcl_edit::expr::{Expression, ObjectKey, UnaryOperator};
use hcl_edit::structure::{Block, BlockLabel, Body};
use serde_json::{Map, Number, Value};

use super::yaml::KeyPath;
use super::{EditError, check_size, splice};

const LANGUAGE: &str = "HCL";

/// Sets literals.
///
/// # Errors
/// [`EditError`].
pub fn update(text: &str, updates: &[(KeyPath, Value)]) -> Result<String, EditError> {
    let body = parse(text)?;
    let pieces = updates.iter().map(|(key, value)| {
        let range = in_body(&body, key.parts(), key)?.ok_or_else(|| EditError::not_found(key))?;
        Ok((range, literal(key, value)?))
    });
    let edited = splice(text, pieces.collect::<Result<_, EditError>>()?);
    parse(&edited)?;
    Ok(edited)
}

/// The text as data: literals as they are, any other expression as its text. A block stands below its
/// type and labels; several alike are a list.
///
/// # Errors
/// [`EditError::Syntax`].
pub fn read(text: &str) -> Result<Value, EditError> {
    Ok(body_data(&parse(text)?))
}

fn parse(text: &str) -> Result<Body, EditError> {
    check_size(LANGUAGE, text)?;
    text.parse().map_err(|error: hcl_edit::parser::Error| EditError::syntax(LANGUAGE, error))
}

/// Where the literal at a path of a body stands.
fn in_body(body: &Body, path: &[String], key: &KeyPath) -> Result<Option<Range<usize>>, EditError> {
    let Some((name, rest)) = path.split_first() else {
        return Err(EditError::not_scalar(key, "a block"));
    };
    if let Some(attribute) = body.get_attribute(name) {
        return in_expression(&attribute.value, rest, key);
    }
    for block in body.get_blocks(name) {
        let Some(inside) = after_labels(block, rest) else { continue };
        if let Some(found) = in_body(&block.body, inside, key)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// What is left of a path after the labels of a block; absent: it names another block.
fn after_labels<'p>(block: &Block, path: &'p [String]) -> Option<&'p [String]> {
    let (labels, rest) = path.split_at_checked(block.labels.len())?;
    let same = block.labels.iter().zip(labels).all(|(label, part)| label.as_str() == part);
    same.then_some(rest)
}

fn in_expression(
    expression: &Expression,
    path: &[String],
    key: &KeyPath,
) -> Result<Option<Range<usize>>, EditError> {
    let Some((part, rest)) = path.split_first() else {
        return match is_literal(expression) {
            Ok(()) => Ok(expression.span()),
            Err(found) => Err(EditError::not_scalar(key, found)),
        };
    };
    let inner = match expression {
        Expression::Array(items) => part.parse().ok().and_then(|at: usize| items.get(at)),
        Expression::Object(object) => object
            .iter()
            .find(|(name, _)| key_text(name).as_deref() == Some(part))
            .map(|(_, value)| value.expr()),
        _ => None,
    };
    inner.map_or(Ok(None), |inner| in_expression(inner, rest, key))
}

fn key_text(key: &ObjectKey) -> Option<String> {
    match key {
        ObjectKey::Ident(name) => Some(name.as_str().to_owned()),
        ObjectKey::Expression(Expression::String(text)) => Some(text.as_str().to_owned()),
        ObjectKey::Expression(Expression::Variable(name)) => Some(name.as_str().to_owned()),
        ObjectKey::Expression(_) => None,
    }
}

/// Whether an expression is one plain value; else what it is.
fn is_literal(expression: &Expression) -> Result<(), &'static str> {
    match expression {
        Expression::Null(_) | Expression::Bool(_) | Expression::Number(_) => Ok(()),
        Expression::String(_) => Ok(()),
        Expression::UnaryOp(negative) => match (negative.operator.value(), &negative.expr) {
            (UnaryOperator::Neg, Expression::Number(_)) => Ok(()),
            (UnaryOperator::Neg | UnaryOperator::Not, _) => Err("an expression"),
        },
        Expression::Array(_) => Err("a list"),
        Expression::Object(_) => Err("an object"),
        Expression::StringTemplate(_) | Expression::HeredocTemplate(_) => Err("a template"),
        Expression::Parenthesis(_)
        | Expression::Variable(_)
        | Expression::Conditional(_)
        | Expression::FuncCall(_)
        | Expression::Traversal(_)
        | Expression::BinaryOp(_)
        | Expression::ForExpr(_) => Err("an expression"),
    }
}

fn literal(key: &KeyPath, value: &Value) -> Result<String, EditError> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::String(text) => Ok(quoted(text)),
        Value::Array(_) | Value::Object(_) => Err(EditError::Unrepresentable {
            key: key.clone(),
            language: LANGUAGE,
            value: value.to_string(),
        }),
    }
}

/// A text in double quotes, in which nothing is a template.
fn quoted(text: &str) -> String {
    use std::fmt::Write as _;
    let mut written = String::with_capacity(text.len() + 2);
    written.push('"');
    let mut chars = text.chars().peekable();
    while let Some(next) = chars.next() {
        match next {
            '"' => written.push_str("\\\""),
            '\\' => written.push_str("\\\\"),
            '\n' => written.push_str("\\n"),
            '\r' => written.push_str("\\r"),
            '\t' => written.push_str("\\t"),
            '$' | '%' if chars.peek() == Some(&'{') => {
                written.push(next);
                written.push(next);
            }
            control if control.is_control() => {
                write!(written, "\\u{:04x}", u32::from(control)).expect("a text takes all");
            }
            plain => written.push(plain),
        }
    }
    written.push('"');
    written
}

fn body_data(body: &Body) -> Value {
    let mut data = Map::new();
    for attribute in body.attributes() {
        data.insert(attribute.key.as_str().to_owned(), expression_data(&attribute.value));
    }
    for block in body.blocks() {
        let path = std::iter::once(block.ident.as_str());
        let path: Vec<&str> = path.chain(block.labels.iter().map(BlockLabel::as_str)).collect();
        put(&mut data, &path, body_data(&block.body));
    }
    Value::Object(data)
}

/// Puts a block at its path; where one is there already, both become a list.
fn put(data: &mut Map<String, Value>, path: &[&str], block: Value) {
    let Some((name, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        match data.get_mut(*name) {
            Some(Value::Array(blocks)) => blocks.push(block),
            Some(before) => *before = Value::Array(vec![before.take(), block]),
            None => {
                data.insert((*name).to_owned(), block);
            }
        }
        return;
    }
    let inner = data.entry(*name).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(inner) = inner {
        put(inner, rest, block);
    }
}

fn expression_data(expression: &Expression) -> Value {
    match expression {
        Expression::Null(_) => Value::Null,
        Expression::Bool(value) => (*value.value()).into(),
        Expression::String(text) => text.as_str().into(),
        Expression::Number(number) => number_data(&number.value().to_string()),
        Expression::UnaryOp(_) if is_literal(expression).is_ok() => {
            number_data(&source(expression).replace(' ', ""))
        }
        Expression::Array(items) => items.iter().map(expression_data).collect(),
        Expression::Object(object) => {
            let entries = object.iter().map(|(name, value)| {
                let name = key_text(name).unwrap_or_else(|| match name {
                    ObjectKey::Ident(name) => name.as_str().to_owned(),
                    ObjectKey::Expression(name) => source(name),
                });
                (name, expression_data(value.expr()))
            });
            Value::Object(entries.collect())
        }
        other => source(other).into(),
    }
}

fn number_data(text: &str) -> Value {
    let number: Option<Number> = serde_json::from_str(text).ok();
    number.map_or_else(|| text.into(), Value::Number)
}

/// The text of an expression.
fn source(expression: &Expression) -> String {
    expression.to_string().trim().to_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_reads_as_data() {
        let text = "a = -1\nb = [\"x\", var.y]\nmodule \"net\" {\n  source = \"./net\"\n}\n\
                    provider \"x\" {}\nprovider \"x\" { alias = \"eu\" }\n";
        assert_eq!(
            read(text).unwrap(),
            json!({
                "a": -1,
                "b": ["x", "var.y"],
                "module": { "net": { "source": "./net" } },
                "provider": { "x": [{}, { "alias": "eu" }] },
            }),
        );
    }

    #[test]
    fn what_is_no_literal_stays() {
        let key: KeyPath = "locals.a".parse().unwrap();
        for (text, found) in [("upper(\"x\")", "an expression"), ("\"${var.x}\"", "a template")] {
            let text = format!("locals {{\n  a = {text}\n}}\n");
            let refused = update(&text, &[(key.clone(), json!("x"))]);
            assert_eq!(refused, Err(EditError::not_scalar(&key, found)));
        }
    }
}
