//! The choice among many tags.

use std::cmp::Reverse;

use super::{Constraint, Version};
use crate::filter::TagFilter;

/// What [`select`] keeps.
#[derive(Clone, Copy, Debug)]
pub struct SelectOptions<'a> {
    /// Whether tags must be full versions ([`Version::strict`]).
    pub strict: bool,
    /// Which tags count at all.
    pub filter: &'a TagFilter,
    /// The range the version must be in; `None` takes every version, pre-releases included.
    pub constraint: Option<&'a Constraint>,
    /// How many to return at most.
    pub limit: usize,
}

/// The tags that are versions and pass the filter and the range: highest precedence first, equal
/// precedence by the tag in descending byte order, at most `limit` of them.
pub fn select<'t>(
    tags: impl IntoIterator<Item = &'t str>,
    options: &SelectOptions<'_>,
) -> Vec<Version> {
    let read = if options.strict { Version::strict } else { Version::loose };
    let mut versions: Vec<Version> = tags
        .into_iter()
        .filter(|tag| options.filter.keeps(tag))
        .filter_map(|tag| read(tag).ok())
        .filter(|version| options.constraint.is_none_or(|range| range.matches(version)))
        .collect();
    versions.sort_by(|a, b| b.precedence(a).then_with(|| b.tag().cmp(a.tag())));
    versions.truncate(options.limit);
    versions
}

/// The tags that pass the filter, in descending byte order, at most `limit` of them.
pub fn select_lexical<'t>(
    tags: impl IntoIterator<Item = &'t str>,
    filter: &TagFilter,
    limit: usize,
) -> Vec<&'t str> {
    let mut tags: Vec<&str> = tags.into_iter().filter(|tag| filter.keeps(tag)).collect();
    tags.sort_by_key(|tag| Reverse(tag.as_bytes()));
    tags.truncate(limit);
    tags
}
