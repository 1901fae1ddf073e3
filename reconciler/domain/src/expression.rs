//! Expressions: the Common Expression Language (<https://cel.dev>), guarded.
//!
//! A definition's text reaches the reconciler from people, so an expression is bounded before it
//! runs and while it runs:
//!
//! - the source is at most [`MAX_SOURCE`] bytes, its tree at most [`MAX_NODES`] nodes, nested at
//!   most [`MAX_DEPTH`] deep, with at most [`MAX_LOOPS`] loops inside each other;
//! - every name is checked when the definition is planned ([`Expression::check`]), so that a typo
//!   is an error at its attribute and not a failed promotion at night;
//! - evaluation works against a budget of work, which loops and every value that is handed to a
//!   function, an operator or a literal are charged to ([`EvaluationFailure::Exhausted`]).
//!
//! Only the library's hand-written parser is used: the generated one can overflow the stack, which
//! ends the process.
//!
//! - `syntax`: parsing and the limits; where in the text a name stands
//! - `references`: which names an expression reads
//! - `names`, `check`: the known names, and the check against them
//! - `guard`: the work budget
//! - `functions`: what can be called
//! - `scope`: variables and evaluation

mod check;
mod functions;
mod guard;
mod names;
mod references;
mod scope;
mod syntax;

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use cel::IdedExpr;
pub use names::{Function, Names, Shape};
pub use references::Reference;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
pub use scope::{EvaluationError, EvaluationFailure, MAX_LIST, Scope};
use serde::{Deserialize, Serialize};
pub use syntax::{MAX_DEPTH, MAX_LOOPS, MAX_NODES, MAX_SOURCE};

/// A parsed expression. Cheap to clone; two are equal if their text is.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Cow<'_, str>", into = "String")]
pub struct Expression(Arc<Parsed>);

struct Parsed {
    source: String,
    tree: IdedExpr,
    guarded: IdedExpr,
    references: Vec<Reference>,
    /// The names of `a.b.c`, if it is nothing else.
    path: Option<Vec<String>>,
}

/// What is wrong with the text of an expression, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (offset {offset})")]
pub struct ExpressionError {
    /// What is wrong and, where there is one, the probable remedy.
    pub message: String,
    /// Byte offset in the text, from 0.
    pub offset: usize,
}

impl Expression {
    /// Parses an expression.
    ///
    /// # Errors
    ///
    /// A syntax error or a limit that the text exceeds, with its offset.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let tree = syntax::parse(text)?;
        let guarded = guard::charge(&tree);
        let (references, path) = (references::collect(&tree), references::path(&tree));
        Ok(Self(Arc::new(Parsed { source: text.to_owned(), tree, guarded, references, path })))
    }

    /// The text it was parsed from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The names it reads, sorted, each once. Variables of its own loops are not among them.
    #[must_use]
    pub fn references(&self) -> &[Reference] {
        &self.0.references
    }

    /// Checks every name, field and function against the known ones.
    ///
    /// # Errors
    ///
    /// All mistakes in the order of the text, each with its offset and the nearest known name.
    pub fn check(&self, names: &Names) -> Result<(), Vec<ExpressionError>> {
        let errors = check::check(&self.0.source, &self.0.tree, names);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Evaluates it with these variables.
    ///
    /// # Errors
    ///
    /// [`EvaluationError`] names the expression and what failed, and never prints a value, which
    /// may be a secret.
    pub fn evaluate(&self, scope: &Scope) -> Result<serde_json::Value, EvaluationError> {
        scope::evaluate(&self.0, scope).map_err(|failure| self.failed(failure))
    }

    /// Evaluates a condition.
    ///
    /// # Errors
    ///
    /// As for [`Expression::evaluate`]; a result that is neither true nor false is an error too.
    pub fn holds(&self, scope: &Scope) -> Result<bool, EvaluationError> {
        let value = self.evaluate(scope)?;
        let found = scope::kind(&value);
        value.as_bool().ok_or_else(|| self.failed(EvaluationFailure::NotABool { found }))
    }

    fn failed(&self, failure: EvaluationFailure) -> EvaluationError {
        EvaluationError { expression: self.source().trim().to_owned(), failure }
    }
}

impl FromStr for Expression {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        Self::parse(text)
    }
}

impl TryFrom<Cow<'_, str>> for Expression {
    type Error = ExpressionError;

    fn try_from(text: Cow<'_, str>) -> Result<Self, ExpressionError> {
        Self::parse(&text)
    }
}

impl From<Expression> for String {
    fn from(expression: Expression) -> Self {
        expression.source().to_owned()
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.source())
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.source())
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source() == other.source()
    }
}

impl Eq for Expression {}

impl JsonSchema for Expression {
    fn schema_name() -> Cow<'static, str> {
        "Expression".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "An expression in the Common Expression Language.",
            "maxLength": MAX_SOURCE,
            "examples": ["freight.api.version.major >= 2"],
        })
    }
}

#[cfg(test)]
mod tests;
