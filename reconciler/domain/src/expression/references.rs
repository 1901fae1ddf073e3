//! Which names an expression reads.

use std::{collections::BTreeSet, fmt};

use cel::{
    IdedExpr,
    common::ast::{CallExpr, Expr, LiteralValue, operators},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{functions, syntax};

/// One thing an expression reads from outside.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// A variable and the fields that are selected on it, as far as they are literal:
    /// `steps.out.url` and `steps["out"].url`, but only `steps` of `steps[name].url`.
    Path(Vec<String>),
    /// A function that is not part of the language, such as `secret` or `freight_from`.
    Call {
        /// Its name.
        function: String,
        /// Its arguments; `None` for one that is computed.
        arguments: Vec<Option<String>>,
        /// The fields that are selected on the result.
        path: Vec<String>,
    },
}

impl Reference {
    /// The first segment: the variable or the function.
    #[must_use]
    pub fn root(&self) -> &str {
        match self {
            Self::Path(path) => path.first().map_or("", String::as_str),
            Self::Call { function, .. } => function,
        }
    }

    /// Whether it reads this variable or field, a part of it, or something that contains it.
    #[must_use]
    pub fn touches(&self, path: &[&str]) -> bool {
        match self {
            Self::Path(own) => own.iter().zip(path).all(|(own, other)| own == other),
            Self::Call { .. } => false,
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.write_str(&path.join(".")),
            Self::Call { function, arguments, path } => {
                let arguments: Vec<String> = arguments
                    .iter()
                    .map(|value| value.as_ref().map_or("…".to_owned(), |v| format!("{v:?}")))
                    .collect();
                write!(f, "{function}({})", arguments.join(", "))?;
                path.iter().try_for_each(|field| write!(f, ".{field}"))
            }
        }
    }
}

/// The references of a tree, sorted, each once.
pub(super) fn collect(tree: &IdedExpr) -> Vec<Reference> {
    let mut collector = Collector { found: BTreeSet::new(), locals: Vec::new() };
    collector.visit(tree);
    collector.found.into_iter().collect()
}

struct Collector<'t> {
    found: BTreeSet<Reference>,
    locals: Vec<&'t str>,
}

impl<'t> Collector<'t> {
    fn visit(&mut self, node: &'t IdedExpr) {
        let (base, path) = chain(node);
        match &base.expr {
            Expr::Ident(name) => self.name(name, path),
            Expr::Call(call) if is_foreign(call) => self.call(call, path),
            Expr::Comprehension(loops) => {
                self.visit(&loops.iter_range);
                self.visit(&loops.accu_init);
                let outer = self.locals.len();
                self.locals.extend([loops.iter_var.as_str(), loops.accu_var.as_str()]);
                self.locals.extend(loops.iter_var2.as_deref());
                self.visit(&loops.loop_cond);
                self.visit(&loops.loop_step);
                self.visit(&loops.result);
                self.locals.truncate(outer);
            }
            other => syntax::children(other).into_iter().for_each(|child| self.visit(child)),
        }
    }

    fn name(&mut self, name: &str, path: Vec<String>) {
        if !self.locals.contains(&name) && !functions::is_type(name) {
            self.found
                .insert(Reference::Path(std::iter::once(name.to_owned()).chain(path).collect()));
        }
    }

    fn call(&mut self, call: &'t CallExpr, path: Vec<String>) {
        let arguments: Vec<&IdedExpr> =
            call.target.as_deref().into_iter().chain(&call.args).collect();
        self.found.insert(Reference::Call {
            function: call.func_name.clone(),
            arguments: arguments.iter().map(|arg| literal(arg).map(str::to_owned)).collect(),
            path,
        });
        arguments.into_iter().for_each(|argument| self.visit(argument));
    }
}

fn is_foreign(call: &CallExpr) -> bool {
    functions::is_plain_name(&call.func_name) && functions::arity(&call.func_name).is_none()
}

/// What a chain of literal selections starts from, and its fields in order.
pub(super) fn chain(node: &IdedExpr) -> (&IdedExpr, Vec<String>) {
    let mut node = node;
    let mut path = Vec::new();
    while let Some((operand, field)) = selection(node) {
        path.push(field.to_owned());
        node = operand;
    }
    path.reverse();
    (node, path)
}

/// The names of a tree that is `a.b.c` and nothing else.
pub(super) fn path(tree: &IdedExpr) -> Option<Vec<String>> {
    let mut node = tree;
    let mut path = Vec::new();
    loop {
        match &node.expr {
            Expr::Select(select) if !select.test => {
                path.push(select.field.clone());
                node = &select.operand;
            }
            Expr::Ident(name) if !functions::is_type(name) => {
                path.push(name.clone());
                path.reverse();
                return Some(path);
            }
            _ => return None,
        }
    }
}

/// `a.b` and `a["b"]` as `a` and `b`.
pub(super) fn selection(node: &IdedExpr) -> Option<(&IdedExpr, &str)> {
    match &node.expr {
        Expr::Select(select) => Some((&select.operand, &select.field)),
        Expr::Call(call) if call.func_name == operators::INDEX && call.target.is_none() => {
            let [operand, index] = call.args.as_slice() else { return None };
            literal(index).map(|field| (operand, field))
        }
        _ => None,
    }
}

/// The text of a string literal.
pub(super) fn literal(node: &IdedExpr) -> Option<&str> {
    match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}
