//! How things are said: sentences, and the name that was probably meant.

use reconciler_domain::near::nearest;

/// A one-line message as a sentence of its own.
pub(crate) fn sentence(message: &str) -> String {
    let message = message.trim();
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
    fn near_names_are_offered() {
        assert_eq!(
            did_you_mean("stagin", ["prod", "staging"]),
            "Did you mean \"staging\"? There are: prod, staging."
        );
        assert_eq!(did_you_mean("x", ["prod"]), "There are: prod.");
        assert_eq!(did_you_mean("x", []), "There is none yet.");
    }
}
