//! Tokens.

use jiff::Timestamp;
use reconciler_api::v1::AccessToken;

use super::age::age;
use super::{Show, joined};

impl Show for AccessToken {
    const HEADER: &'static [&'static str] = &["NAME", "GROUPS", "ADMIN", "EXPIRES", "USED", "AGE"];

    fn row(&self, now: Timestamp) -> Vec<String> {
        let admin = if self.spec.admin { "yes" } else { "no" };
        vec![
            self.meta.name.clone(),
            joined(self.spec.groups.clone()),
            admin.to_owned(),
            self.spec.expires_at.map_or_else(|| "never".to_owned(), |it| age(it, now)),
            self.status.last_used_at.map_or_else(|| "never".to_owned(), |it| age(it, now)),
            age(self.meta.created_at, now),
        ]
    }

    fn details(&self, _now: Timestamp) -> Vec<String> {
        Vec::new()
    }
}
