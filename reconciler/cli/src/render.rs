//! Objects as text for people.

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use jiff::Timestamp;
use reconciler_api::v1::Promotion;
use reconciler_domain::id::FreightId;

mod access;
mod age;
pub(crate) mod changes;
mod credential;
pub(crate) mod drift;
pub(crate) mod evidence;
pub(crate) mod explain;
pub(crate) mod forecast;
mod freeze;
mod freight;
mod gates;
mod hold;
mod objects;
pub(crate) mod pipeline;
pub(crate) mod plan;
mod policy;
pub(crate) mod preview;
pub(crate) mod promotion;
mod stage;
mod state;
mod warehouse;

pub(crate) use gates::stage_hold;
pub(crate) use state::{backend, embedded_states, state_versions};

/// An object that can be shown to people, as a row among others and in full.
pub(crate) trait Show {
    /// What stands above the columns.
    const HEADER: &'static [&'static str];

    /// The object as one row.
    fn row(&self, now: Timestamp) -> Vec<String>;

    /// What a row has no room for, as sections of text.
    fn details(&self, now: Timestamp) -> Vec<String>;
}

/// Objects as a table.
pub(crate) fn table_of<T: Show>(objects: &[T], now: Timestamp) -> String {
    if objects.is_empty() {
        return "none".to_owned();
    }
    table(T::HEADER, objects.iter().map(|it| it.row(now)))
}

/// One object in full.
pub(crate) fn one<T: Show>(object: &T, now: Timestamp) -> String {
    let mut sections = vec![table(T::HEADER, [object.row(now)])];
    sections.extend(object.details(now).into_iter().filter(|it| !it.is_empty()));
    sections.join("\n\n")
}

/// Columns under upper-case headers, three spaces apart.
fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    table.trim_fmt()
}

/// A titled table; empty if there are no rows.
fn section(title: &str, header: &[&str], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    format!("{title}\n{}", indent(&table(header, rows)))
}

/// A titled list; empty if there are no lines.
fn list<T: AsRef<str>>(title: &str, lines: &[T]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let lines: Vec<&str> = lines.iter().map(AsRef::as_ref).collect();
    format!("{title}\n{}", indent(&lines.join("\n")))
}

fn indent(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("  {line}")).collect();
    lines.join("\n")
}

/// What is not empty, joined; else a dash.
fn joined(parts: impl IntoIterator<Item = String>) -> String {
    let parts: Vec<String> = parts.into_iter().collect();
    if parts.is_empty() { "-".to_owned() } else { parts.join(", ") }
}

fn or_dash(text: Option<impl Into<String>>) -> String {
    text.map_or_else(|| "-".to_owned(), Into::into)
}

/// What a promotion brings, in short.
pub(crate) fn brought(promotion: &Promotion) -> String {
    several(&promotion.freight, &promotion.along)
}

/// Freight, and what comes along with it, in short.
fn several(freight: &str, along: &[String]) -> String {
    let along: Vec<&str> = along.iter().map(|freight| short(freight)).collect();
    match along.as_slice() {
        [] => short(freight).to_owned(),
        along => format!("{} with {}", short(freight), along.join(", ")),
    }
}

/// The beginning of a freight's id that people read and type.
pub(crate) fn short(freight: &str) -> &str {
    match freight.parse::<FreightId>() {
        Ok(id) => &freight[..id.short().len()],
        Err(_) => freight,
    }
}
