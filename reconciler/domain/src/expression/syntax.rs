//! Parsing under limits, and where in the text a name stands.

use cel::{
    IdedExpr, ParseErrors,
    common::ast::{EntryExpr, Expr},
    parser::{
        PrattParser,
        pratt_parser::{Lexer, Token, TokenKind},
    },
};

use super::ExpressionError;

/// The longest source, in bytes.
pub const MAX_SOURCE: usize = 4 * 1024;

/// The most nodes of a tree, after loops are expanded.
pub const MAX_NODES: usize = 1_000;

/// The deepest nesting of a tree: `a + b + c` counts one level for each `+`.
///
/// Evaluation recurses for each level and must fit the 2 MiB stack of a worker thread, of which
/// an unoptimised build takes 40 KiB for each level.
pub const MAX_DEPTH: usize = 24;

/// The deepest nesting that the parser follows, parentheses included.
const MAX_PARSER_DEPTH: u16 = 64;

/// The most loops (`all`, `exists`, `map`, `filter`, …) inside each other.
pub const MAX_LOOPS: usize = 2;

/// Parses and applies the limits.
pub(super) fn parse(text: &str) -> Result<IdedExpr, ExpressionError> {
    if text.len() > MAX_SOURCE {
        let message = format!("the expression is longer than {MAX_SOURCE} bytes");
        return Err(ExpressionError { message, offset: MAX_SOURCE });
    }
    if text.trim().is_empty() {
        return Err(ExpressionError { message: "the expression is empty".to_owned(), offset: 0 });
    }
    let parser = PrattParser::new()
        .max_recursion_depth(MAX_PARSER_DEPTH)
        .max_expression_node_count(MAX_NODES);
    let tree = parser.parse(text).map_err(|errors| first_error(text, &errors))?;
    let mut measure = Measure { nodes: 0 };
    measure.visit(&tree, 0, 0).map_err(|message| ExpressionError { message, offset: 0 })?;
    Ok(tree)
}

fn first_error(text: &str, errors: &ParseErrors) -> ExpressionError {
    let Some(error) = errors.errors.first() else {
        return ExpressionError { message: "the expression cannot be read".to_owned(), offset: 0 };
    };
    let message = error.msg.trim_start_matches("Syntax error: ").replace('\n', " ");
    ExpressionError { message, offset: offset(text, error.pos) }
}

/// The byte offset of a line and column that both count from 1.
fn offset(text: &str, (line, column): (isize, isize)) -> usize {
    let at = |number: isize| usize::try_from(number - 1).unwrap_or(0);
    let before: usize = text.split_inclusive('\n').take(at(line)).map(str::len).sum();
    (before + at(column)).min(text.len())
}

struct Measure {
    nodes: usize,
}

impl Measure {
    fn visit(&mut self, node: &IdedExpr, depth: usize, loops: usize) -> Result<(), String> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(format!("the expression has more than {MAX_NODES} parts"));
        }
        if depth > MAX_DEPTH {
            return Err(format!("the expression is nested more than {MAX_DEPTH} levels deep"));
        }
        if let Expr::Comprehension(comprehension) = &node.expr {
            if loops == MAX_LOOPS {
                return Err(format!("more than {MAX_LOOPS} loops stand inside each other"));
            }
            self.visit(&comprehension.iter_range, depth + 1, loops)?;
            let inner = [
                &comprehension.accu_init,
                &comprehension.loop_cond,
                &comprehension.loop_step,
                &comprehension.result,
            ];
            return inner.into_iter().try_for_each(|part| self.visit(part, depth + 1, loops + 1));
        }
        if let Expr::Struct(message) = &node.expr {
            return Err(format!("messages are not supported: `{}{{…}}`", message.type_name));
        }
        children(&node.expr).into_iter().try_for_each(|child| self.visit(child, depth + 1, loops))
    }
}

/// The direct parts of a node, except those of a loop, whose parts differ in meaning.
pub(super) fn children(expr: &Expr) -> Vec<&IdedExpr> {
    match expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map
            .entries
            .iter()
            .flat_map(|entry| match &entry.expr {
                EntryExpr::StructField(field) => vec![&field.value],
                EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
            })
            .collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Comprehension(_)
        | Expr::Ident(_)
        | Expr::Literal(_)
        | Expr::Struct(_)
        | Expr::Unspecified => Vec::new(),
    }
}

/// The tokens of a text that was parsed, to find where a name stands: the parser keeps no
/// positions of the trees it accepts.
pub(super) struct Tokens<'t> {
    text: &'t str,
    tokens: Vec<Token>,
}

impl<'t> Tokens<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let mut lexer = Lexer::new(text);
        let mut tokens = Vec::new();
        loop {
            let token = lexer.lex();
            match token.kind {
                TokenKind::TokEnd | TokenKind::TokError => return Self { text, tokens },
                TokenKind::TokWhitespace | TokenKind::TokComment => {}
                _ => tokens.push(token),
            }
        }
    }

    /// The offset of the last segment of the first place where this path is spelled with dots or
    /// literal indices.
    pub(super) fn path<S: AsRef<str>>(&self, segments: &[S]) -> Option<usize> {
        let (root, fields) = segments.split_first()?;
        (0..self.tokens.len())
            .filter(|&at| self.is_name(at, root.as_ref()) && !self.follows_dot(at))
            .find_map(|at| self.fields(at, fields))
    }

    /// The offset of the first call of this function.
    pub(super) fn call(&self, name: &str) -> Option<usize> {
        (0..self.tokens.len())
            .find(|&at| {
                self.is_name(at, name)
                    && self.tokens.get(at + 1).map(|t| t.kind) == Some(TokenKind::TokLeftParen)
            })
            .map(|at| self.tokens[at].start)
    }

    /// The offset of the first place where this word stands as a field.
    pub(super) fn field(&self, name: &str) -> Option<usize> {
        (0..self.tokens.len())
            .find(|&at| self.is_name(at, name) && self.follows_dot(at))
            .map(|at| self.tokens[at].start)
    }

    fn fields<S: AsRef<str>>(&self, root: usize, fields: &[S]) -> Option<usize> {
        let mut at = root;
        for field in fields {
            let dotted = self.kind(at + 1) == Some(TokenKind::TokDot)
                && self.is_name(at + 2, field.as_ref());
            let indexed = self.kind(at + 1) == Some(TokenKind::TokLeftBracket)
                && self.is_string(at + 2, field.as_ref())
                && self.kind(at + 3) == Some(TokenKind::TokRightBracket);
            at = match (dotted, indexed) {
                (true, _) => at + 2,
                (_, true) => at + 3,
                _ => return None,
            };
        }
        let last = if self.kind(at) == Some(TokenKind::TokRightBracket) { at - 1 } else { at };
        Some(self.tokens[last].start)
    }

    fn kind(&self, at: usize) -> Option<TokenKind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    fn text(&self, at: usize) -> Option<&str> {
        self.tokens.get(at).and_then(|token| self.text.get(token.start..token.end))
    }

    fn is_name(&self, at: usize, name: &str) -> bool {
        self.text(at) == Some(name)
    }

    fn is_string(&self, at: usize, value: &str) -> bool {
        self.kind(at) == Some(TokenKind::TokString)
            && self.text(at).is_some_and(|text| text.trim_matches(['"', '\'']) == value)
    }

    fn follows_dot(&self, at: usize) -> bool {
        at > 0 && self.kind(at - 1) == Some(TokenKind::TokDot)
    }
}
