//! Provider functions.

use crate::cty::{Type, Value};

/// A function: pure, offline, and called without configuration.
///
/// The client compares the results of one run and of plan and apply: same arguments, same result.
pub trait Function: Send + Sync + 'static {
    /// Name as in `provider::lockstep::…`.
    fn name(&self) -> &'static str;

    /// Its parameters and result.
    fn signature(&self) -> Signature;

    /// Calls it. There is one value for each parameter, then one for each further argument of
    /// a variadic one; each known, unless its parameter allows unknowns, and not null, unless
    /// its parameter allows null. An argument of a dynamic parameter is a [`Value::Dynamic`].
    ///
    /// # Errors
    ///
    /// With the argument at fault, when the arguments make no sense.
    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError>;
}

/// Parameters and result of a function.
#[derive(Clone, Debug)]
pub struct Signature {
    /// The parameters in order.
    pub parameters: Vec<Parameter>,
    /// Takes any number of further arguments.
    pub variadic: Option<Parameter>,
    /// Type of the result.
    pub result: Type,
    /// One line.
    pub summary: String,
    /// What it does, in Markdown.
    pub description: String,
}

impl Signature {
    /// A function of these parameters.
    #[must_use]
    pub fn new(parameters: impl IntoIterator<Item = Parameter>, result: Type) -> Self {
        Self {
            parameters: parameters.into_iter().collect(),
            variadic: None,
            result,
            summary: String::new(),
            description: String::new(),
        }
    }

    /// Takes any number of further arguments.
    #[must_use]
    pub fn variadic(self, parameter: Parameter) -> Self {
        Self { variadic: Some(parameter), ..self }
    }

    /// What it does: one line, and more in Markdown.
    #[must_use]
    pub fn describe(self, summary: impl Into<String>, markdown: impl Into<String>) -> Self {
        Self { summary: summary.into(), description: markdown.into(), ..self }
    }
}

/// A parameter of a function.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Type of its argument; [`Type::Dynamic`] takes any.
    pub ty: Type,
    /// Whether the argument may be null.
    pub allow_null: bool,
    /// Whether the function is called while the argument is not known.
    pub allow_unknown: bool,
    /// What it is, in Markdown.
    pub description: String,
}

impl Parameter {
    /// A parameter whose argument is known and not null.
    #[must_use]
    pub fn new(name: impl Into<String>, ty: Type) -> Self {
        Self {
            name: name.into(),
            ty,
            allow_null: false,
            allow_unknown: false,
            description: String::new(),
        }
    }

    /// The argument may be null.
    #[must_use]
    pub fn allow_null(self) -> Self {
        Self { allow_null: true, ..self }
    }

    /// The function is called even while the argument, or something inside it, is unknown.
    #[must_use]
    pub fn allow_unknown(self) -> Self {
        Self { allow_unknown: true, ..self }
    }

    /// What it is, in Markdown.
    #[must_use]
    pub fn describe(self, markdown: impl Into<String>) -> Self {
        Self { description: markdown.into(), ..self }
    }
}

/// Why a function cannot be called with these arguments.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct FunctionError {
    /// What is wrong, and what to do.
    pub text: String,
    /// Which argument is at fault, counted from 0.
    pub argument: Option<usize>,
}

impl FunctionError {
    /// An error of the whole call.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), argument: None }
    }

    /// An error of one argument, counted from 0.
    pub fn argument(argument: usize, text: impl Into<String>) -> Self {
        Self { text: text.into(), argument: Some(argument) }
    }
}
