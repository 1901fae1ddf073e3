//! Which images are the newest.

use super::Digest;

/// A tag with what it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaggedImage {
    /// The tag.
    pub tag: String,
    /// What it names.
    pub digest: Digest,
    /// When that was built.
    pub created: jiff::Timestamp,
}

/// The newest images whose tag `passes`: latest built first, equal times by tag in descending byte order, at
/// most `limit` of them.
pub fn newest_builds(
    images: &[TaggedImage],
    passes: impl Fn(&str) -> bool,
    limit: usize,
) -> Vec<&TaggedImage> {
    let mut passing: Vec<_> = images.iter().filter(|image| passes(&image.tag)).collect();
    passing.sort_by(|a, b| (b.created, &b.tag).cmp(&(a.created, &a.tag)));
    passing.truncate(limit);
    passing
}
