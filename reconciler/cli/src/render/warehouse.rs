//! Warehouses.

use jiff::Timestamp;
use reconciler_api::v1::Warehouse;

use super::age::{age, age_or_dash};
use super::objects::{conditions, definition, ready};
use super::{Show, joined, or_dash, section, short};

impl Show for Warehouse {
    const HEADER: &'static [&'static str] =
        &["NAME", "READY", "SUBSCRIPTIONS", "NEWEST", "CHECKED", "AGE"];

    fn row(&self, now: Timestamp) -> Vec<String> {
        let Self { meta, spec, status } = self;
        let git = spec.git.iter().map(|it| format!("{} (git)", it.name));
        let image = spec.image.iter().map(|it| format!("{} (image)", it.name));
        vec![
            meta.name.clone(),
            ready(meta),
            joined(git.chain(image)),
            or_dash(status.newest_freight.as_deref().map(short)),
            age_or_dash(status.checked_at, now),
            age(meta.created_at, now),
        ]
    }

    fn details(&self, now: Timestamp) -> Vec<String> {
        let git =
            self.spec.git.iter().map(|it| {
                vec![it.name.clone(), "git".to_owned(), it.repo.clone(), it.branch.clone()]
            });
        let image = self.spec.image.iter().map(|it| {
            let wanted = or_dash(it.constraint.clone());
            vec![it.name.clone(), "image".to_owned(), it.repo.clone(), wanted]
        });
        let rows = git.chain(image).collect();
        vec![
            section("subscriptions", &["NAME", "KIND", "SOURCE", "WANTED"], rows),
            self.spec.require.as_ref().map(|it| format!("requires {it}")).unwrap_or_default(),
            definition(&self.meta, now),
            conditions(&self.meta),
        ]
    }
}
