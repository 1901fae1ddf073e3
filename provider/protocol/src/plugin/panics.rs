//! Panics: inside a request they are caught and told as a diagnostic; anywhere else the host is
//! told that the process crashed.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::pin::pin;
use std::task::Poll;

use crate::secret::mask;

thread_local! {
    /// Whether this thread works on a request right now.
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    /// Where the last panic of this thread was, and how it got there.
    static LAST: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

/// A panic that was caught.
#[derive(Debug)]
pub(crate) struct Panic {
    message: String,
    place: String,
    pub(crate) backtrace: String,
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.message, self.place)
    }
}

/// Sets the hook that keeps caught panics quiet. The host takes a line that begins with `panic: `
/// for a crash of the process, and shows it even where no log is wanted: only a panic that
/// nobody catches is one.
pub(super) fn install() {
    set_hook(Box::new(|info| {
        let place =
            info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        if CATCHING.get() {
            let backtrace = Backtrace::force_capture().to_string();
            LAST.set(Some((place, backtrace)));
        } else {
            let message = message(info.payload());
            let message = mask(message);
            eprintln!("panic: {message} at {place}\n\n{}", Backtrace::force_capture());
        }
    }));
}

/// Runs a future to its end, or to its panic.
pub(crate) async fn catch<T>(future: impl Future<Output = T>) -> Result<T, Panic> {
    let mut future = pin!(future);
    // Whatever the panic left half done belonged to the request, and goes with it.
    poll_fn(|cx| {
        CATCHING.set(true);
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        CATCHING.set(false);
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(payload) => Poll::Ready(Err(panic(payload.as_ref()))),
        }
    })
    .await
}

fn panic(payload: &(dyn Any + Send)) -> Panic {
    let (place, backtrace) =
        LAST.take().unwrap_or_else(|| ("an unknown place".to_owned(), String::new()));
    Panic { message: message(payload).to_owned(), place, backtrace }
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_value() {
        let panicking = async {
            tokio::task::yield_now().await;
            panic!("no stage {}", 7)
        };
        let caught: Panic = catch::<()>(panicking).await.unwrap_err();
        assert!(caught.to_string().starts_with("no stage 7 at "), "{caught}");
        assert_eq!(catch(async { 7 }).await.unwrap(), 7);
    }
}
