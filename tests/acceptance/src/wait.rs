//! Waiting for something to become true.

use std::time::{Duration, Instant};

use crate::{Failure, Outcome};

/// How often a probe is asked.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks `probe` until it answers, for at most `deadline`.
///
/// # Errors
/// What was waited for, how long, and what the probe said last.
pub async fn eventually<T>(
    deadline: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> Outcome<T>,
) -> Outcome<T> {
    let began = Instant::now();
    loop {
        let failure = match probe().await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        if began.elapsed() >= deadline {
            return Err(Failure::new(format!(
                "not within {:.1} s: {what}\nlast: {failure}",
                deadline.as_secs_f64()
            )));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_ends_the_wait_and_a_deadline_says_what_was_last() -> Outcome {
        let mut asked = 0;
        let probe = async || {
            asked += 1;
            if asked == 3 { Ok(asked) } else { Err(Failure::new("not yet")) }
        };
        assert_eq!(eventually(Duration::from_secs(60), "three", probe).await?, 3);
        let never = async || Err::<(), _>(Failure::new("still closed"));
        let failure = eventually(Duration::ZERO, "a door opens", never).await;
        let text = failure.map_err(|failure| failure.to_string());
        assert_eq!(text, Err("not within 0.0 s: a door opens\nlast: still closed".to_owned()));
        Ok(())
    }
}
