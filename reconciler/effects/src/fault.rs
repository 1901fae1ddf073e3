//! Panics of our own code, held at the door: one call fails, and everything else goes on.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;

/// The work's result, or what it said when it panicked.
///
/// Nothing that it shares with others is left half changed: locks of the crate are taken for single
/// insertions, and what lies on the disk is not trusted after a crash either.
///
/// # Errors
/// It panicked. The text may hold anything, secrets among it: it is cleaned before it is told.
pub(crate) async fn held<T>(work: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| said(panic.as_ref()))
}

/// What is told of it.
pub(crate) fn told(said: &str) -> String {
    format!("lockstepd itself failed: {said}; this is a bug of it, and its log says where")
}

fn said(panic: &(dyn Any + Send)) -> String {
    let literal = panic.downcast_ref::<&'static str>().map(|text| (*text).to_owned());
    let text = literal.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "nothing that can be shown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_what_it_said() {
        assert_eq!(held(async { 7 }).await, Ok(7));
        assert_eq!(held::<()>(async { panic!("a bug") }).await, Err("a bug".to_owned()));
        let five = 5;
        assert_eq!(held::<()>(async { panic!("bug {five}") }).await, Err("bug 5".to_owned()));
        let odd = held::<()>(async { std::panic::panic_any(5_u8) }).await;
        assert_eq!(odd, Err("nothing that can be shown".to_owned()));
        // Also one on a thread for blocking work.
        let away = held(crate::blocking(|| panic!("on another thread"))).await;
        assert_eq!(away, Err::<(), _>("on another thread".to_owned()));
    }
}
