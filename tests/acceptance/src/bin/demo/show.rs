//! What the audience sees: numbered acts, claims that hold, excerpts.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use acceptance::{Failure, Outcome};

/// Longest excerpt, in lines.
const EXCERPT_MAX: usize = 40;

/// The screen.
pub(crate) struct Show {
    colours: bool,
    act: u32,
    claims: u32,
    /// When the last claim was shown.
    last: Instant,
}

#[derive(Clone, Copy)]
enum Colour {
    Bold = 1,
    Dim = 2,
    Red = 31,
    Green = 32,
}

impl Show {
    pub(crate) fn new() -> Self {
        let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { colours, act: 0, claims: 0, last: Instant::now() }
    }

    /// Begins an act.
    pub(crate) fn act(&mut self, title: &str) {
        self.act += 1;
        let title = format!("{}. {title}", self.act);
        self.line(&format!("\n{}", self.paint(Colour::Bold, &title)));
    }

    /// Shows something that is so, and how long it took to become so.
    pub(crate) fn holds(&mut self, claim: impl Display) {
        self.claims += 1;
        let took = format!("{:.1} s", self.last.elapsed().as_secs_f64());
        self.last = Instant::now();
        let (mark, took) = (self.paint(Colour::Green, "✓"), self.paint(Colour::Dim, &took));
        self.line(&format!("  {mark} {claim}  {took}"));
    }

    /// Shows a claim if it holds.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn claim(
        &mut self,
        holds: bool,
        claim: impl Display,
        seen: impl Display,
    ) -> Outcome {
        if !holds {
            return Err(Failure::new(format!("not so: {claim}")).with("seen", &seen.to_string()));
        }
        self.holds(claim);
        Ok(())
    }

    /// Shows a command and what it said.
    pub(crate) fn excerpt(&self, command: &str, text: &str) {
        self.line(&format!("    {}", self.paint(Colour::Bold, &format!("$ {command}"))));
        self.text(text);
    }

    /// Shows text, indented.
    pub(crate) fn text(&self, text: &str) {
        let lines: Vec<&str> = text.trim_matches('\n').lines().collect();
        for line in lines.iter().take(EXCERPT_MAX) {
            self.line(&format!("    {}", self.paint(Colour::Dim, line.trim_end())));
        }
        if lines.len() > EXCERPT_MAX {
            let more = format!("… {} lines more", lines.len() - EXCERPT_MAX);
            self.line(&format!("    {}", self.paint(Colour::Dim, &more)));
        }
    }

    /// Says something between claims.
    pub(crate) fn say(&self, text: impl Display) {
        self.line(&format!("  {text}"));
    }

    /// Ends it well.
    pub(crate) fn done(&self, took: Duration) {
        let text = format!("All {} claims hold, in {:.0} s.", self.claims, took.as_secs_f64());
        self.line(&format!("\n{}", self.paint(Colour::Green, &text)));
    }

    /// Ends it badly.
    pub(crate) fn failed(&self, failure: &Failure) {
        self.line(&format!("\n{} {failure}", self.paint(Colour::Red, "✗")));
    }

    fn paint(&self, colour: Colour, text: &str) -> String {
        if self.colours { format!("\x1b[{}m{text}\x1b[0m", colour as u8) } else { text.to_owned() }
    }

    /// Whoever closed the pipe has seen enough; the claims are still checked.
    fn line(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        drop(writeln!(out, "{text}").and_then(|()| out.flush()));
    }
}
