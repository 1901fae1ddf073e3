//! The hidden line by which a pull request or a comment is known to be of one step of one promotion.
//!
//! It is an HTML comment, which every forge keeps and none shows.

/// As commits have it in their trailer.
const KEY: &str = "Lockstep-Promotion";

/// What marks a text as of one step: project, promotion and step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marker(String);

impl Marker {
    /// The marker with this value, as trailers have it.
    pub(crate) fn new(value: &str) -> Self {
        Self(format!("<!-- {KEY}: {value} -->"))
    }

    /// Whether a text carries it.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        text.lines().any(|line| line.trim() == self.0)
    }

    /// A text that carries it.
    pub(crate) fn put_on(&self, text: &str) -> String {
        match text.trim_end() {
            "" => self.0.clone(),
            text => format!("{text}\n\n{}", self.0),
        }
    }

    /// Whether a text carries that of any promotion of a project.
    pub(crate) fn is_of_project(project: &str, text: &str) -> bool {
        let begin = format!("<!-- {KEY}: {project}/");
        text.lines().any(|line| line.trim().starts_with(&begin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_text_is_of_its_step_only() {
        let marker = Marker::new("shop/prod.1/pr");
        let text = marker.put_on("Promotes 2.0.0.\n");
        assert_eq!(text, "Promotes 2.0.0.\n\n<!-- Lockstep-Promotion: shop/prod.1/pr -->");
        assert!(marker.is_in(&text.replace('\n', "\r\n")) && marker.is_in(&marker.put_on("")));
        assert!(!Marker::new("shop/prod.1/p").is_in(&text));
        assert!(!Marker::new("shop/prod.11/pr").is_in(&text));
        assert!(Marker::is_of_project("shop", &text) && !Marker::is_of_project("sho", &text));
    }
}
