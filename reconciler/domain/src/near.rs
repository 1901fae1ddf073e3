//! The name that was probably meant.
//!
//! How far two texts are from each other costs their lengths multiplied. A text that is too long or too short
//! to be near is not compared: what people write may be of any size.

/// How many letters are another, missing, too many or swapped; `None`: more than `most`.
#[must_use]
pub fn distance(name: &str, candidate: &str, most: usize) -> Option<usize> {
    // A letter has four bytes at most: what is huge is not even counted.
    if name.len() / 4 > candidate.len() + most {
        return None;
    }
    // Each letter that one has more is one at least.
    let lengths = name.chars().count().abs_diff(candidate.chars().count());
    let near = (lengths <= most).then(|| strsim::osa_distance(name, candidate))?;
    (near <= most).then_some(near)
}

/// The nearest of the known names, if no more than a third of it is wrong; of several the first by name.
#[must_use]
pub fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let near = known.into_iter().filter_map(|candidate| {
        Some((distance(name, candidate, candidate.len().max(3) / 3)?, candidate))
    });
    near.min().map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_near_are_found() {
        let known = ["branch", "commit", "repo"];
        for (name, expected) in [
            ("brnach", Some("branch")),
            ("comit", Some("commit")),
            ("rep", Some("repo")),
            ("paths", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
        assert_eq!(distance("ab", "ba", 1), Some(1), "a swap is one");
        assert_eq!(distance("ab", "abcd", 1), None);
    }

    #[test]
    fn a_huge_text_is_near_nothing_at_once() {
        let huge = "x".repeat(4 << 20);
        let known: Vec<String> = (0..1_000).map(|number| format!("name-{number}")).collect();
        assert_eq!(nearest(&huge, known.iter().map(String::as_str)), None);
    }
}
