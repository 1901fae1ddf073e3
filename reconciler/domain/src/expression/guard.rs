//! The work budget: what keeps an expression from taking the process's time and memory.
//!
//! The library evaluates a tree without any limit. So before it runs, the tree is rewritten: each
//! step of a loop, and each value that is handed to a function, an operator, a literal or a loop,
//! passes through a function that charges its size to the budget of this evaluation. The names of
//! these functions cannot be written in an expression.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use cel::{
    Context, DeclarationError, ExecutionError, IdedExpr,
    common::{
        ast::{
            CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedEntryExpr, ListExpr, MapEntryExpr,
            MapExpr, SelectExpr, operators,
        },
        types::{CelBytes, CelList, CelMap, CelString},
        value::Val,
    },
};

use super::functions::{MATCHES, Native};

/// Charges the size of a value that is passed on.
const PASS: &str = "@pass";

/// Charges a step of a loop and the size of the value that is passed on.
const STEP: &str = "@step";

/// The work one evaluation may do: bytes looked at or made, plus a fee for each value and step.
pub(super) const WORK: u64 = 16 << 20;

const VALUE_FEE: u64 = 16;
const STEP_FEE: u64 = 128;

/// What is left of the work of one evaluation.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<AtomicU64>);

impl Budget {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(WORK)))
    }

    /// Takes this much, or fails for the rest of the evaluation.
    pub(super) fn charge(&self, work: u64) -> Result<(), ExecutionError> {
        let left = self.0.load(Ordering::Relaxed).saturating_sub(work);
        self.0.store(left, Ordering::Relaxed);
        if left == 0 {
            Err(ExecutionError::InternalError("out of work".to_owned()))
        } else {
            Ok(())
        }
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// Charges a value by its size, looking no further into it than the budget reaches.
    pub(super) fn charge_value(&self, value: &dyn Val) -> Result<(), ExecutionError> {
        if let Some(text) = value.downcast_ref::<CelString<'_>>() {
            return self.charge(VALUE_FEE + text.inner().len() as u64);
        }
        if let Some(bytes) = value.downcast_ref::<CelBytes<'_>>() {
            return self.charge(VALUE_FEE + bytes.inner().len() as u64);
        }
        self.charge(VALUE_FEE)?;
        if let Some(list) = value.downcast_ref::<CelList<'_>>() {
            return list.inner().iter().try_for_each(|item| self.charge_value(item.as_ref()));
        }
        if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
            return map.inner().iter().try_for_each(|(key, item)| {
                self.charge_value(key.inner())?;
                self.charge_value(item.as_ref())
            });
        }
        Ok(())
    }
}

/// Adds the charging functions to a context.
pub(super) fn install(
    context: &mut Context<'_, '_>,
    budget: &Budget,
) -> Result<(), DeclarationError> {
    context.add_function(PASS, charging(budget.clone(), 0))?;
    context.add_function(STEP, charging(budget.clone(), STEP_FEE))
}

fn charging(budget: Budget, fee: u64) -> Native {
    Box::new(move |call| {
        let value = call.args.pop().ok_or_else(ExecutionError::missing_argument_or_target)?;
        budget.charge(fee)?;
        budget.charge_value(value.as_ref())?;
        Ok(value)
    })
}

/// Rewrites a tree so that its evaluation is charged.
pub(super) fn charge(node: &IdedExpr) -> IdedExpr {
    let expr = match &node.expr {
        Expr::Call(call) => Expr::Call(charge_call(call)),
        Expr::List(list) => Expr::List(ListExpr {
            elements: list.elements.iter().map(passed).collect(),
            optional_indices: list.optional_indices.clone(),
        }),
        Expr::Map(map) => {
            Expr::Map(MapExpr { entries: map.entries.iter().map(charge_entry).collect() })
        }
        Expr::Select(select) => Expr::Select(SelectExpr {
            operand: Box::new(charge(&select.operand)),
            field: select.field.clone(),
            test: select.test,
        }),
        Expr::Comprehension(comprehension) => {
            Expr::Comprehension(Box::new(charge_loop(comprehension)))
        }
        Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {
            node.expr.clone()
        }
    };
    IdedExpr { id: node.id, expr }
}

fn charge_call(call: &CallExpr) -> CallExpr {
    // These look at one truth value or at one element: passing on costs nothing.
    let free = matches!(
        call.func_name.as_str(),
        operators::CONDITIONAL
            | operators::LOGICAL_AND
            | operators::LOGICAL_OR
            | operators::LOGICAL_NOT
            | operators::NOT_STRICTLY_FALSE
            | operators::NEGATE
            | operators::INDEX
    );
    let argument = if free { charge } else { passed };
    let func_name = if call.func_name == "matches" { MATCHES } else { &call.func_name };
    CallExpr {
        func_name: func_name.to_owned(),
        target: call.target.as_deref().map(|target| Box::new(argument(target))),
        args: call.args.iter().map(argument).collect(),
    }
}

fn charge_entry(entry: &IdedEntryExpr) -> IdedEntryExpr {
    let expr = match &entry.expr {
        EntryExpr::StructField(field) => EntryExpr::StructField(field.clone()),
        EntryExpr::MapEntry(entry) => EntryExpr::MapEntry(MapEntryExpr {
            key: passed(&entry.key),
            value: passed(&entry.value),
            optional: entry.optional,
        }),
    };
    IdedEntryExpr { id: entry.id, expr }
}

fn charge_loop(comprehension: &ComprehensionExpr) -> ComprehensionExpr {
    // A loop that appends is run without copying its result at each step as long as its
    // condition is a literal and its step keeps its form, so there the step is charged inside.
    let appended = charge_append(&comprehension.loop_step, &comprehension.accu_var);
    let loop_cond = match &appended {
        Some(_) => comprehension.loop_cond.clone(),
        None => through(STEP, charge(&comprehension.loop_cond)),
    };
    ComprehensionExpr {
        iter_range: passed(&comprehension.iter_range),
        iter_var: comprehension.iter_var.clone(),
        iter_var2: comprehension.iter_var2.clone(),
        accu_var: comprehension.accu_var.clone(),
        accu_init: comprehension.accu_init.clone(),
        loop_cond,
        loop_step: appended.unwrap_or_else(|| charge(&comprehension.loop_step)),
        result: comprehension.result.clone(),
    }
}

/// `result + [item]` or `condition ? result + [item] : result`, charged inside; `None` for any
/// other step.
fn charge_append(step: &IdedExpr, accu: &str) -> Option<IdedExpr> {
    let Expr::Call(call) = &step.expr else { return None };
    let is_accu = |node: &IdedExpr| matches!(&node.expr, Expr::Ident(name) if name == accu);
    let args = match (call.func_name.as_str(), call.args.as_slice()) {
        (operators::ADD, [result, items]) if is_accu(result) => {
            let Expr::List(list) = &items.expr else { return None };
            let elements = list.elements.iter().map(|item| through(STEP, charge(item))).collect();
            let list = Expr::List(ListExpr::new(elements));
            vec![result.clone(), IdedExpr { id: items.id, expr: list }]
        }
        (operators::CONDITIONAL, [condition, append, result]) if is_accu(result) => {
            let append = charge_append(append, accu)?;
            vec![through(STEP, charge(condition)), append, result.clone()]
        }
        _ => return None,
    };
    let call = CallExpr { func_name: call.func_name.clone(), target: None, args };
    Some(IdedExpr { id: step.id, expr: Expr::Call(call) })
}

/// A part whose value is passed on. Only what reads a value that is already there is charged:
/// a literal is no larger than the source, and what is made on the spot was charged as it was
/// made. That keeps the tree as deep as it was written, and so the stack.
fn passed(node: &IdedExpr) -> IdedExpr {
    let reads = match &node.expr {
        Expr::Ident(_) | Expr::Select(_) => true,
        Expr::Call(call) => {
            matches!(call.func_name.as_str(), operators::INDEX | operators::CONDITIONAL)
        }
        _ => false,
    };
    if reads { through(PASS, charge(node)) } else { charge(node) }
}

fn through(function: &str, node: IdedExpr) -> IdedExpr {
    let id = node.id;
    let call = CallExpr { func_name: function.to_owned(), target: None, args: vec![node] };
    IdedExpr { id, expr: Expr::Call(call) }
}
