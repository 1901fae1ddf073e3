//! Variables, and evaluation with them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, LazyLock},
};

use cel::{Context, DeclarationError, Env, ExecutionError, Value as Cel, objects::Key};
use serde_json::{Map, Number, Value};

use super::{
    Parsed, Reference, functions,
    guard::{self, Budget},
};

/// The most elements of a list that a variable may hold.
pub const MAX_LIST: usize = 10_000;

/// The longest text that is read without the language, in bytes.
const PLAIN_MAX: usize = 1 << 12;

/// The variables and functions an expression is evaluated with. Cheap to clone.
#[derive(Clone, Default)]
pub struct Scope {
    variables: BTreeMap<String, Arc<Value>>,
    functions: BTreeMap<String, Provided>,
}

type Provided = Arc<dyn Fn(&[Value]) -> Result<Value, String> + Send + Sync>;

impl Scope {
    /// A scope without any variable.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a variable. Numbers without a fraction are integers.
    pub fn set(&mut self, name: &str, value: Value) -> &mut Self {
        self.variables.insert(name.to_owned(), Arc::new(value));
        self
    }

    /// Forgets a variable.
    pub fn unset(&mut self, name: &str) -> &mut Self {
        self.variables.remove(name);
        self
    }

    /// A variable's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.variables.get(name).map(|value| &**value)
    }

    /// Defines a function over values, such as `secret` or `freight_from`. Its error is a phrase
    /// that tells people what to do; it must not contain a secret.
    pub fn define(
        &mut self,
        name: &str,
        function: impl Fn(&[Value]) -> Result<Value, String> + Send + Sync + 'static,
    ) -> &mut Self {
        self.functions.insert(name.to_owned(), Arc::new(function));
        self
    }
}

impl fmt::Debug for Scope {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("variables", &self.variables.keys())
            .field("functions", &self.functions.keys())
            .finish()
    }
}

/// An expression could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{expression}`: {failure}")]
pub struct EvaluationError {
    /// The text of the expression.
    pub expression: String,
    /// What failed.
    pub failure: EvaluationFailure,
}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationFailure {
    /// A name, a type, an index or a function's argument does not fit the values.
    #[error("{message}")]
    Failed {
        /// What does not fit.
        message: String,
    },
    /// The evaluation used up its work budget.
    #[error("takes more work than one evaluation may: use smaller lists or fewer loops")]
    Exhausted,
    /// A variable holds too long a list.
    #[error("`{variable}` holds a list of {length} elements, at most {MAX_LIST} are accepted")]
    TooLong {
        /// The variable.
        variable: String,
        /// The length of the list.
        length: usize,
    },
    /// A condition is neither true nor false.
    #[error("a condition must be true or false, this is {found}")]
    NotABool {
        /// The type of the value.
        found: &'static str,
    },
    /// The result has no JSON form.
    #[error("the result is {found}, which has no text form: convert it with string()")]
    NotData {
        /// The type of the result.
        found: String,
    },
    /// The evaluation broke off.
    #[error("the evaluation broke off, which is a defect: please report the expression")]
    Panicked,
}

/// The environment of every evaluation: the language without optional values.
static ENVIRONMENT: LazyLock<Arc<Env>> =
    LazyLock::new(|| Arc::new(Env::default().with_optional_support(false).with_stdlib()));

pub(super) fn evaluate(parsed: &Parsed, scope: &Scope) -> Result<Value, EvaluationFailure> {
    if let Some(value) = parsed.path.as_deref().and_then(|path| plain(path, scope)) {
        return Ok(value);
    }
    let budget = Budget::new();
    let context = context(parsed, scope, &budget)?;
    let run = || match Cel::resolve(&parsed.guarded, &context) {
        _ if budget.is_exhausted() => Err(EvaluationFailure::Exhausted),
        Ok(value) => to_json(&value),
        Err(error) => Err(EvaluationFailure::Failed { message: phrase(&error) }),
    };
    // A panic of the library must not end the promotion's worker. Nothing outlives the call that
    // the panic could leave half-changed.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(Err(EvaluationFailure::Panicked))
}

/// The value at a path, where it is the same in the language and in JSON: most templates read one text,
/// and need not carry everything else that a variable holds into the language and back.
fn plain(path: &[String], scope: &Scope) -> Option<Value> {
    let (root, fields) = path.split_first()?;
    let value = fields.iter().try_fold(scope.get(root)?, |value, field| value.get(field))?;
    match value {
        Value::Null | Value::Bool(_) => Some(value.clone()),
        // What a longer one costs is charged as ever.
        Value::String(text) if text.len() <= PLAIN_MAX => Some(value.clone()),
        Value::Number(number) if !number.is_f64() => Some(value.clone()),
        Value::String(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A context with the variables that the expression reads, and no others.
fn context(
    parsed: &Parsed,
    scope: &Scope,
    budget: &Budget,
) -> Result<Context<'static, 'static>, EvaluationFailure> {
    let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
    let read = parsed.references.iter().map(Reference::root);
    // A variable may have the name of a type, which is no reference otherwise.
    let roots: BTreeSet<&str> = read.chain(functions::TYPES).collect();
    for root in roots {
        if let Some(value) = scope.get(root) {
            let value = from_json(value).map_err(|length| EvaluationFailure::TooLong {
                variable: root.to_owned(),
                length,
            })?;
            context.add_variable_from_value(root, value);
        }
        if let Some(function) = scope.functions.get(root) {
            provide(&mut context, root, function, budget).map_err(|error| undeclared(&error))?;
        }
    }
    guard::install(&mut context, budget).map_err(|error| undeclared(&error))?;
    functions::install(&mut context, &parsed.source, budget).map_err(|error| undeclared(&error))?;
    Ok(context)
}

fn undeclared(error: &DeclarationError) -> EvaluationFailure {
    EvaluationFailure::Failed { message: error.to_string() }
}

fn provide(
    context: &mut Context<'_, '_>,
    name: &str,
    function: &Provided,
    budget: &Budget,
) -> Result<(), DeclarationError> {
    let function = Arc::clone(function);
    functions::add(context, name, 0..=usize::MAX, budget, move |args, _| {
        let args: Vec<Value> =
            args.iter().map(to_json).collect::<Result<_, _>>().map_err(|e| e.to_string())?;
        from_json(&function(&args)?)
            .map_err(|length| format!("returns a list of {length} elements"))
    })
}

/// The value in the language; the error is the length of a list that is too long.
fn from_json(value: &Value) -> Result<Cel, usize> {
    Ok(match value {
        Value::Null => Cel::Null,
        Value::Bool(truth) => Cel::Bool(*truth),
        Value::Number(number) => from_number(number),
        Value::String(text) => Cel::from(text.as_str()),
        Value::Array(items) if items.len() > MAX_LIST => return Err(items.len()),
        Value::Array(items) => {
            Cel::List(Arc::new(items.iter().map(from_json).collect::<Result<_, _>>()?))
        }
        Value::Object(fields) => {
            let entry = |(name, value): (&String, &Value)| {
                Ok((Key::from(name.as_str()), from_json(value)?))
            };
            Cel::from(fields.iter().map(entry).collect::<Result<HashMap<Key, Cel>, usize>>()?)
        }
    })
}

fn from_number(number: &Number) -> Cel {
    if let Some(integer) = number.as_i64() {
        return Cel::Int(integer);
    }
    number.as_u64().map_or_else(|| Cel::Float(number.as_f64().unwrap_or(f64::NAN)), Cel::UInt)
}

/// The value as JSON, maps in the order of their keys so that the same values print the same.
fn to_json(value: &Cel) -> Result<Value, EvaluationFailure> {
    let not_data = || EvaluationFailure::NotData { found: article(&value.type_of().to_string()) };
    Ok(match value {
        Cel::Null => Value::Null,
        Cel::Bool(truth) => Value::Bool(*truth),
        Cel::Int(integer) => Value::from(*integer),
        Cel::UInt(integer) => Value::from(*integer),
        Cel::Float(number) => Number::from_f64(*number).map(Value::Number).ok_or_else(not_data)?,
        Cel::String(text) => Value::String(text.to_string()),
        Cel::List(items) => Value::Array(items.iter().map(to_json).collect::<Result<_, _>>()?),
        Cel::Map(map) => {
            let mut entries: Vec<(String, &Cel)> =
                map.map.iter().map(|(key, value)| (key.to_string(), value)).collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            let entries = entries.into_iter().map(|(key, value)| Ok((key, to_json(value)?)));
            Value::Object(entries.collect::<Result<Map<String, Value>, _>>()?)
        }
        Cel::Timestamp(time) => Value::String(time.to_rfc3339()),
        Cel::Duration(_) | Cel::Bytes(_) | Cel::Function(..) | Cel::Opaque(_) | Cel::Struct(_) => {
            return Err(not_data());
        }
    })
}

/// The type of a value as a phrase.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn article(noun: &str) -> String {
    let vowel = noun.starts_with(['a', 'e', 'i', 'o']);
    format!("{} {noun}", if vowel { "an" } else { "a" })
}

/// The library's error without the values that its own texts print.
fn phrase(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(name) => format!("there is no `{name}`"),
        ExecutionError::UndeclaredReference(name) => format!("unknown name `{name}`"),
        ExecutionError::NoSuchOverload(overload) => {
            operands(overload.function(), &overload.argument_types().join(" and "))
        }
        ExecutionError::UnsupportedBinaryOperator(operator, left, right) => {
            operands(operator, &format!("{} and {}", left.type_of(), right.type_of()))
        }
        ExecutionError::ValuesNotComparable(left, right) => {
            format!("{} and {} cannot be compared", left.type_of(), right.type_of())
        }
        ExecutionError::UnsupportedIndex(index, value) => {
            format!(
                "{} has no index of type {}",
                article(&value.type_of().to_string()),
                index.type_of()
            )
        }
        ExecutionError::IndexOutOfBounds(Cel::Int(index)) => {
            format!("there is no element {index}")
        }
        ExecutionError::FunctionError { function, message } => {
            format!("{}: {message}", sign(function))
        }
        ExecutionError::InvalidArgumentCount { expected, actual } => {
            format!("a function takes {expected} arguments, not {actual}")
        }
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::RemainderByZero(_) => "remainder of a division by zero".to_owned(),
        ExecutionError::Overflow(operator, ..) => format!("overflow in `{}`", sign(operator)),
        ExecutionError::DuplicateKey(_) => "a map has the same key twice".to_owned(),
        ExecutionError::UnsupportedKeyType(key) => {
            format!("{} cannot be a key", article(&key.type_of().to_string()))
        }
        ExecutionError::MissingArgumentOrTarget => "a function lacks its argument".to_owned(),
        // The remaining errors of the library print values.
        _ => "the types of the values do not fit".to_owned(),
    }
}

fn operands(operator: &str, types: &str) -> String {
    format!("`{}` does not take {types}", sign(operator))
}

/// `_+_`, which some errors call `add`, as people write it.
fn sign(operator: &str) -> &str {
    match operator {
        "add" => "+",
        "sub" => "-",
        "mul" => "*",
        "div" => "/",
        "rem" => "%",
        other => other.trim_matches(['_', '@']),
    }
}
