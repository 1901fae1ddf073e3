//! What a user is told: errors and warnings, at the attribute that they are about.

use std::borrow::Cow;

use crate::cty::Path;
use crate::secret::mask;
use crate::wire::tfplugin6;

/// The longest detail that is sent, in bytes.
const MAX_DETAIL: usize = 16 << 10;

/// How serious a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The operation fails.
    Error,
    /// The operation goes on.
    Warning,
}

/// One thing that a user is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How serious it is.
    pub severity: Severity,
    /// Short, and the same for every case of one kind.
    pub summary: String,
    /// What happened, where, and what to do.
    pub detail: String,
    /// The attribute or block it is about; the root when it is about the whole.
    pub path: Path,
}

/// Diagnostics in the order in which they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an error about the whole.
    pub fn error(&mut self, summary: impl Into<String>, detail: impl Into<String>) {
        self.error_at(Path::root(), summary, detail);
    }

    /// Adds an error at an attribute or block.
    pub fn error_at(&mut self, path: Path, summary: impl Into<String>, detail: impl Into<String>) {
        self.add(Severity::Error, path, summary, detail);
    }

    /// Adds a warning about the whole.
    pub fn warning(&mut self, summary: impl Into<String>, detail: impl Into<String>) {
        self.warning_at(Path::root(), summary, detail);
    }

    /// Adds a warning at an attribute or block.
    pub fn warning_at(
        &mut self,
        path: Path,
        summary: impl Into<String>,
        detail: impl Into<String>,
    ) {
        self.add(Severity::Warning, path, summary, detail);
    }

    fn add(
        &mut self,
        severity: Severity,
        path: Path,
        summary: impl Into<String>,
        detail: impl Into<String>,
    ) {
        self.push(Diagnostic { severity, summary: summary.into(), detail: detail.into(), path });
    }

    /// Adds one that is made already.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Adds all of `others`.
    pub fn append(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// The value of a result; of an error, none and a diagnostic at `path` with its text.
    pub fn take<T, E: std::fmt::Display>(
        &mut self,
        path: Path,
        summary: &str,
        result: Result<T, E>,
    ) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.error_at(path, summary, error.to_string());
                None
            }
        }
    }

    /// Whether any of them is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The diagnostics in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    pub(crate) fn to_wire(&self) -> Vec<tfplugin6::Diagnostic> {
        self.iter().map(Diagnostic::to_wire).collect()
    }
}

impl<'d> IntoIterator for &'d Diagnostics {
    type Item = &'d Diagnostic;
    type IntoIter = std::slice::Iter<'d, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A text of a length that can be read: a message may quote a value of any size.
fn short(text: Cow<'_, str>) -> String {
    if text.len() <= MAX_DETAIL {
        return text.into_owned();
    }
    let end = (0..=MAX_DETAIL).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    format!("{}… ({} bytes more)", &text[..end], text.len() - end)
}

impl Diagnostic {
    fn to_wire(&self) -> tfplugin6::Diagnostic {
        let severity = match self.severity {
            Severity::Error => tfplugin6::diagnostic::Severity::Error,
            Severity::Warning => tfplugin6::diagnostic::Severity::Warning,
        };
        tfplugin6::Diagnostic {
            severity: severity.into(),
            summary: mask(&self.summary).into_owned(),
            detail: short(mask(&self.detail)),
            attribute: Some(self.path.to_wire()).filter(|path| !path.steps.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_have_an_end() {
        let mut diags = Diagnostics::new();
        diags.error("Odd", "ä".repeat(MAX_DETAIL));
        let sent = diags.to_wire().remove(0).detail;
        assert!(sent.len() < MAX_DETAIL + 50);
        assert!(sent.ends_with("ä… (16384 bytes more)"), "{}", &sent[sent.len() - 40..]);
    }
}
