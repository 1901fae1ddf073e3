//! Reads a range; every refusal has its position and what was expected there.

use std::str::FromStr;

use super::{Comparison, Constraint, ConstraintError, Operator, Partial};

const OPERATOR_CHARACTERS: [char; 6] = ['=', '!', '<', '>', '~', '^'];

impl FromStr for Constraint {
    type Err = ConstraintError;

    fn from_str(text: &str) -> Result<Self, ConstraintError> {
        let mut parser = Parser { text, position: 0 };
        let mut alternatives = vec![parser.alternative()?];
        while parser.take("||") {
            alternatives.push(parser.alternative()?);
        }
        if parser.position < text.len() {
            return Err(parser.expected("a comparison, `,` or `||`"));
        }
        Ok(Self { alternatives })
    }
}

struct Parser<'t> {
    text: &'t str,
    position: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.position..]
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.position += token.len();
        }
        found
    }

    /// Skips blanks and says whether there were any.
    fn blanks(&mut self) -> bool {
        let start = self.position;
        self.position = self.text.len() - self.rest().trim_start_matches([' ', '\t']).len();
        self.position > start
    }

    fn alternative(&mut self) -> Result<Vec<Comparison>, ConstraintError> {
        let mut parts = Vec::new();
        self.blanks();
        loop {
            self.part(&mut parts)?;
            let blank = self.blanks();
            let comma = self.take(",");
            if comma {
                self.blanks();
            }
            let ends = self.rest().is_empty() || self.rest().starts_with("||");
            if !comma && (ends || !blank) {
                return Ok(parts);
            }
        }
    }

    fn part(&mut self, parts: &mut Vec<Comparison>) -> Result<(), ConstraintError> {
        let Some(operator) = self.operator()? else {
            let low = self.partial()?;
            if let Some(high) = self.hyphen_range()? {
                parts.push(Comparison { operator: Operator::AtLeast, operand: low });
                parts.push(Comparison { operator: Operator::AtMost, operand: high });
            } else {
                parts.push(Comparison { operator: Operator::Equal, operand: low });
            }
            return Ok(());
        };
        self.blanks();
        parts.push(Comparison { operator, operand: self.partial()? });
        Ok(())
    }

    /// The upper end of `low - high`, which needs a blank on both sides of the hyphen.
    fn hyphen_range(&mut self) -> Result<Option<Partial>, ConstraintError> {
        let rest = self.rest();
        let after = rest.trim_start_matches([' ', '\t']);
        let blank = after.len() < rest.len();
        if !blank || !(after.starts_with("- ") || after.starts_with("-\t")) {
            return Ok(None);
        }
        self.blanks();
        self.take("-");
        self.blanks();
        self.partial().map(Some)
    }

    fn operator(&mut self) -> Result<Option<Operator>, ConstraintError> {
        let length = self.rest().len() - self.rest().trim_start_matches(OPERATOR_CHARACTERS).len();
        let operator = match &self.rest()[..length] {
            "" => return Ok(None),
            "=" => Operator::Equal,
            "!=" => Operator::NotEqual,
            ">" => Operator::Greater,
            "<" => Operator::Less,
            ">=" | "=>" => Operator::AtLeast,
            "<=" | "=<" => Operator::AtMost,
            "~" | "~>" => Operator::Tilde,
            "^" => Operator::Caret,
            _ => return Err(self.expected("one of `= != > < >= <= ~ ^`")),
        };
        self.position += length;
        Ok(Some(operator))
    }

    fn partial(&mut self) -> Result<Partial, ConstraintError> {
        self.take("v");
        let mut numbers = [None; 3];
        let mut open = false;
        for (index, number) in numbers.iter_mut().enumerate() {
            if index > 0 && !self.take(".") {
                break;
            }
            // Behind an `x` a number means nothing: `1.x.3` is `1.x`.
            let read = self.number()?;
            open |= read.is_none();
            *number = read.filter(|_| !open);
        }
        let mut pre = semver::Prerelease::EMPTY;
        if self.rest().starts_with('-') {
            self.position += 1;
            pre = self.identifiers("a pre-release of letters, digits and hyphens")?;
        }
        if self.take("+") {
            // Build metadata has no precedence: it is read and means nothing.
            self.identifiers::<semver::BuildMetadata>("build metadata of letters and digits")?;
        }
        let [major, minor, patch] = numbers;
        Ok(Partial { major, minor, patch, pre })
    }

    fn number(&mut self) -> Result<Option<u64>, ConstraintError> {
        if self.rest().starts_with(['x', 'X', '*']) {
            self.position += 1;
            return Ok(None);
        }
        let length = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        if length == 0 {
            return Err(self.expected("a version"));
        }
        let number = self.rest()[..length].parse();
        let number = number.map_err(|_| self.expected("a number of at most 64 bits"))?;
        self.position += length;
        Ok(Some(number))
    }

    fn identifiers<T: FromStr>(&mut self, expected: &'static str) -> Result<T, ConstraintError> {
        let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
        let length = self.rest().bytes().take_while(allowed).count();
        let parsed = (length > 0).then(|| self.rest()[..length].parse().ok()).flatten();
        let parsed = parsed.ok_or_else(|| self.expected(expected))?;
        self.position += length;
        Ok(parsed)
    }

    fn expected(&self, expected: &'static str) -> ConstraintError {
        let found = self.rest().chars().next();
        ConstraintError {
            text: self.text.to_owned(),
            position: self.position,
            expected,
            found: found.map_or_else(|| "found the end".to_owned(), |c| format!("found `{c}`")),
        }
    }
}
