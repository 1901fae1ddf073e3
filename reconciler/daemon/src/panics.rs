//! What is told of a panic: where it was, and no more than our own words.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic;

/// Has panics told in the log. What they say may hold anything that a project brought, secrets among
/// it, so only texts that stand in the program are repeated; whoever holds the panic, and knows what
/// must not be told, tells the rest.
pub fn tell() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let trace = Backtrace::capture();
        let trace = (trace.status() == BacktraceStatus::Captured).then(|| format!("\n{trace}"));
        tracing::error!(
            "panic at {place}: {}; this is a bug of lockstepd{}",
            harmless(info.payload()),
            trace.unwrap_or_default(),
        );
    }));
}

fn harmless(said: &(dyn Any + Send)) -> &'static str {
    said.downcast_ref::<&'static str>().copied().unwrap_or("what it said is not shown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_in_the_program_is_repeated() {
        let said = |panic: fn()| panic::catch_unwind(panic).expect_err("it panics");
        assert_eq!(harmless(said(|| panic!("a bug")).as_ref()), "a bug");
        let formatted = said(|| panic!("a bug with {}", std::process::id()));
        assert_eq!(harmless(formatted.as_ref()), "what it said is not shown");
    }
}
