//! The check of names, fields, functions and argument counts before anything runs.
//!
//! Types are not inferred beyond the shapes of the known names: what the check accepts can still
//! fail when it runs (`1 + "a"`), but it cannot fail because of a typo in a name.

use std::{collections::BTreeMap, ops::RangeInclusive};

use cel::{
    IdedExpr,
    common::ast::{CallExpr, ComprehensionExpr, Expr, operators},
};

use super::{
    ExpressionError, Function, Names, Shape, functions,
    names::nearest,
    references::{chain, literal, selection},
    syntax::{Tokens, children},
};

/// All mistakes in the order of the text.
pub(super) fn check(source: &str, tree: &IdedExpr, names: &Names) -> Vec<ExpressionError> {
    let mut checker =
        Checker { names, tokens: Tokens::of(source), locals: Vec::new(), errors: Vec::new() };
    checker.shape(tree);
    let mut errors = checker.errors;
    errors.sort_by_key(|error| error.offset);
    errors.dedup();
    errors
}

struct Checker<'t> {
    names: &'t Names,
    tokens: Tokens<'t>,
    locals: Vec<(&'t str, Shape)>,
    errors: Vec<ExpressionError>,
}

impl<'t> Checker<'t> {
    /// Checks a node and says what shape its value has.
    fn shape(&mut self, node: &'t IdedExpr) -> Shape {
        if let Some((operand, field)) = selection(node) {
            let shape = self.shape(operand);
            return self.field(node, &shape, field);
        }
        match &node.expr {
            Expr::Ident(name) => self.name(name),
            Expr::Literal(_) => Shape::Scalar,
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::List(list) => {
                let shapes: Vec<Shape> =
                    list.elements.iter().map(|element| self.shape(element)).collect();
                Shape::list(common(shapes))
            }
            other => {
                children(other).into_iter().for_each(|child| drop(self.shape(child)));
                Shape::Any
            }
        }
    }

    fn name(&mut self, name: &str) -> Shape {
        if let Some((_, shape)) = self.locals.iter().rev().find(|(local, _)| *local == name) {
            return shape.clone();
        }
        if let Some(shape) = self.names.roots.get(name) {
            return shape.clone();
        }
        if !functions::is_type(name) {
            let known = self.names.roots.keys().map(String::as_str);
            let known = known.chain(self.locals.iter().map(|(local, _)| *local));
            let hint = hint(name, known.filter(|known| !known.starts_with('@')));
            let offset = self.tokens.path(&[name]);
            self.report(offset, format!("unknown name `{name}`{hint}"));
        }
        Shape::Any
    }

    fn field(&mut self, node: &'t IdedExpr, operand: &Shape, field: &str) -> Shape {
        let fields = match operand {
            Shape::Any => return Shape::Any,
            Shape::Open(fields) => return fields.get(field).cloned().unwrap_or(Shape::Any),
            Shape::Object(fields) => fields,
            Shape::Scalar => {
                self.report_field(node, field, |whole| format!("`{whole}` has no fields"));
                return Shape::Any;
            }
            Shape::List(_) => {
                let advice = "use an index or a loop";
                self.report_field(node, field, |whole| format!("`{whole}` is a list, {advice}"));
                return Shape::Any;
            }
        };
        if let Some(shape) = fields.get(field) {
            return shape.clone();
        }
        let hint = hint(field, fields.keys().map(String::as_str));
        self.report_field(node, field, |whole| format!("`{whole}` has no field `{field}`{hint}"));
        Shape::Any
    }

    fn report_field(
        &mut self,
        node: &IdedExpr,
        field: &str,
        message: impl FnOnce(String) -> String,
    ) {
        let (base, mut path) = chain(node);
        let root = match &base.expr {
            Expr::Ident(name) => name.clone(),
            Expr::Call(call) => format!("{}(…)", call.func_name),
            _ => "the value".to_owned(),
        };
        path.insert(0, root);
        let offset = self.tokens.path(&path).or_else(|| self.tokens.field(field));
        path.pop();
        self.report(offset, message(path.join(".")));
    }

    fn call(&mut self, call: &'t CallExpr) -> Shape {
        let arguments: Vec<&'t IdedExpr> =
            call.target.as_deref().into_iter().chain(&call.args).collect();
        let shapes: Vec<Shape> = arguments.iter().map(|argument| self.shape(argument)).collect();
        let name = call.func_name.as_str();
        if name == operators::CONDITIONAL {
            return common(shapes.into_iter().skip(1).collect());
        }
        if name == operators::INDEX {
            return element(shapes.first());
        }
        if matches!(name, operators::EQUALS | operators::NOT_EQUALS) {
            self.comparison(&arguments, &shapes);
        }
        if !functions::is_plain_name(name) {
            return Shape::Any;
        }
        if let Some(arity) = functions::arity(name) {
            self.arity(name, &arity, arguments.len());
            return Shape::Any;
        }
        let provided = &self.names.functions;
        let Some(function) = provided.get(name) else {
            let hint = hint(name, provided.keys().map(String::as_str).chain(functions::names()));
            let offset = self.tokens.call(name);
            self.report(offset, format!("unknown function `{name}`{hint}"));
            return Shape::Any;
        };
        self.arity(name, &function.arity, arguments.len());
        self.returns(name, function, &arguments)
    }

    fn returns(&mut self, name: &str, function: &Function, arguments: &[&IdedExpr]) -> Shape {
        let (Some(by_name), [argument]) = (&function.by_name, arguments) else {
            return function.returns.clone();
        };
        let offset = self.tokens.call(name);
        let Some(key) = literal(argument) else {
            self.report(offset, format!("`{name}` takes a literal text, not a computed one"));
            return Shape::Any;
        };
        let Some(shape) = by_name.get(key) else {
            let hint = hint(key, by_name.keys().map(String::as_str));
            self.report(offset, format!("`{name}` knows no {key:?}{hint}"));
            return Shape::Any;
        };
        shape.clone()
    }

    fn arity(&mut self, name: &str, arity: &RangeInclusive<usize>, given: usize) {
        if !arity.contains(&given) {
            let (low, high) = (arity.start(), arity.end());
            let expected = if low == high { low.to_string() } else { format!("{low} to {high}") };
            let offset = self.tokens.call(name);
            self.report(offset, format!("`{name}` takes {expected} arguments, not {given}"));
        }
    }

    /// An object never equals a literal: `freight.api.version == "1.2.3"` would always be false.
    fn comparison(&mut self, arguments: &[&'t IdedExpr], shapes: &[Shape]) {
        let ([left, right], [left_shape, right_shape]) = (arguments, shapes) else { return };
        for (object, shape, other) in [(left, left_shape, right), (right, right_shape, left)] {
            let is_object = matches!(shape, Shape::Object(_));
            if is_object && matches!(other.expr, Expr::Literal(_)) {
                let (base, mut path) = chain(object);
                if let Expr::Ident(name) = &base.expr {
                    path.insert(0, name.clone());
                }
                let advice = if *shape == Shape::version() {
                    "compare its `.text`, its numbers, or use semver_match and semver_compare"
                } else {
                    "compare one of its fields"
                };
                let offset = self.tokens.path(&path);
                let whole = path.join(".");
                self.report(offset, format!("`{whole}` never equals a literal: {advice}"));
            }
        }
    }

    fn comprehension(&mut self, comprehension: &'t ComprehensionExpr) -> Shape {
        let range = self.shape(&comprehension.iter_range);
        let outer = self.locals.len();
        self.locals.push((&comprehension.accu_var, Shape::Any));
        self.locals.push((&comprehension.iter_var, item(&range)));
        if let Some(second) = &comprehension.iter_var2 {
            self.locals.push((second, Shape::Any));
        }
        for part in [
            &comprehension.accu_init,
            &comprehension.loop_cond,
            &comprehension.loop_step,
            &comprehension.result,
        ] {
            self.shape(part);
        }
        self.locals.truncate(outer);
        Shape::Any
    }

    fn report(&mut self, offset: Option<usize>, message: String) {
        self.errors.push(ExpressionError { message, offset: offset.unwrap_or(0) });
    }
}

/// What a loop over such a value sees: elements of a list, keys of a map.
fn item(range: &Shape) -> Shape {
    match range {
        Shape::List(element) => (**element).clone(),
        Shape::Object(_) | Shape::Open(_) => Shape::Scalar,
        Shape::Any | Shape::Scalar => Shape::Any,
    }
}

/// What a computed index yields.
fn element(operand: Option<&Shape>) -> Shape {
    match operand {
        Some(Shape::List(element)) => (**element).clone(),
        Some(Shape::Object(fields)) => common(fields.values().cloned().collect()),
        Some(Shape::Any | Shape::Scalar | Shape::Open(BTreeMap { .. })) | None => Shape::Any,
    }
}

fn common(mut shapes: Vec<Shape>) -> Shape {
    let Some(last) = shapes.pop() else { return Shape::Any };
    if shapes.iter().all(|shape| *shape == last) { last } else { Shape::Any }
}

fn hint<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    let known: Vec<&'n str> = known.collect();
    if let Some(near) = nearest(name, known.iter().copied()) {
        return format!(", did you mean `{near}`?");
    }
    if known.is_empty() || known.len() > 8 {
        return String::new();
    }
    format!(", there are: {}", known.join(", "))
}
