//! How things are said: sentences, and the name that was probably meant.

use std::borrow::Cow;

use reconciler_domain::near::nearest;

/// A longer message quotes something that nobody reads to its end.
const SENTENCE_MAX: usize = 4_000;
/// What is shown of the end of one.
const SENTENCE_END: usize = 400;

/// A one-line message as a sentence of its own; of one that is too long, beginning and end.
pub(crate) fn sentence(message: &str) -> String {
    let shortened = shortened(message.trim());
    let message = shortened.as_ref();
    let mut characters = message.chars();
    let Some(first) = characters.next() else { return String::new() };
    let rest = characters.as_str();
    // A name that is all of the first word stays as it is written: `tf_plan`, `freight.api`.
    let word = message.split([' ', ',', ':']).next().unwrap_or_default();
    let is_word = word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    let first = if is_word { first.to_ascii_uppercase() } else { first };
    let end = if message.ends_with(['.', '?', '!']) { "" } else { "." };
    format!("{first}{rest}{end}")
}

fn shortened(message: &str) -> Cow<'_, str> {
    if message.len() <= SENTENCE_MAX {
        return Cow::Borrowed(message);
    }
    let from = |place: usize| (place..message.len()).find(|at| message.is_char_boundary(*at));
    let begin = from(SENTENCE_MAX - SENTENCE_END).map_or(message, |at| &message[..at]);
    let end = from(message.len() - SENTENCE_END).map_or("", |at| &message[at..]);
    Cow::Owned(format!("{begin} […] {end}"))
}

/// A one-line message as the headline of a diagnostic.
pub(crate) fn headline(message: &str) -> String {
    sentence(message).trim_end_matches('.').to_owned()
}

/// `Did you mean "branch"?` where a known name is near, else the list of what there is.
pub(crate) fn did_you_mean<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    let near = nearest(name, known.iter().copied());
    let there_are = match known.as_slice() {
        [] => "There is none yet.".to_owned(),
        names => format!("There are: {}.", names.join(", ")),
    };
    match near {
        Some(candidate) if known.len() > 12 => format!("Did you mean {candidate:?}?"),
        Some(candidate) => format!("Did you mean {candidate:?}? {there_are}"),
        None => there_are,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_become_sentences() {
        for (message, expected) in [
            ("a stage needs a request", "A stage needs a request."),
            ("`x` is no range", "`x` is no range."),
            ("tf_plan takes no text", "tf_plan takes no text."),
            ("did you mean it?", "Did you mean it?"),
            ("", ""),
        ] {
            assert_eq!(sentence(message), expected);
        }
    }

    #[test]
    fn a_message_without_end_has_one() {
        let said = sentence(&format!("expected a list, found \"{}\" in it", "ä".repeat(100_000)));
        assert!(said.starts_with("Expected a list, found \"ää"), "{said}");
        assert!(said.contains("ä […] ä") && said.ends_with("ä\" in it."), "{said}");
        assert!(said.len() < 4_100, "{}", said.len());
        let most = "x".repeat(3_999);
        assert_eq!(sentence(&most).len(), 4_000);
    }

    #[test]
    fn near_names_are_offered() {
        assert_eq!(
            did_you_mean("stagin", ["prod", "staging"]),
            "Did you mean \"staging\"? There are: prod, staging."
        );
        assert_eq!(did_you_mean("x", ["prod"]), "There are: prod.");
        assert_eq!(did_you_mean("x", []), "There is none yet.");
    }
}
