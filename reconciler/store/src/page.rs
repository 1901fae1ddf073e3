//! Lists, whole or in pages. What cannot be read is named instead of hiding the rest.

use crate::error::Unreadable;

/// Every object of a kind; those that cannot be read are named.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed<T> {
    /// The objects.
    pub items: Vec<T>,
    /// Those that cannot be read.
    pub unreadable: Vec<Unreadable>,
}

/// Which part of a long list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The `next` of the page before; absent: the first page.
    pub after: Option<u64>,
    /// Most items.
    pub limit: u32,
}

/// A part of a long list.
#[derive(Debug, Clone, PartialEq)]
pub struct Paged<T> {
    /// The items that can be read.
    pub items: Vec<T>,
    /// Those that cannot.
    pub unreadable: Vec<Unreadable>,
    /// Where the next page begins; absent: this is the last.
    pub next: Option<u64>,
}
