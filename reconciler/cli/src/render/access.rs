//! Tokens.

use jiff::Timestamp;
use reconciler_api::v1::AccessToken;

use super::age::age;
use super::{Show, joined};

impl Show for AccessToken {
    const HEADER: &'static [&'static str] = &["ID", "NAME", "GROUPS", "ADMIN", "EXPIRES", "AGE"];

    fn row(&self, now: Timestamp) -> Vec<String> {
        let admin = if self.admin { "yes" } else { "no" };
        vec![
            self.id.clone(),
            self.name.clone(),
            joined(self.groups.clone()),
            admin.to_owned(),
            self.expires_at.map_or_else(|| "never".to_owned(), |it| age(it, now)),
            age(self.created_at, now),
        ]
    }

    fn details(&self, _now: Timestamp) -> Vec<String> {
        Vec::new()
    }
}
