//! The client's rules for what a provider offers, so that one it would refuse fails in a test.

use std::collections::BTreeSet;

use super::Provider;
use crate::schema::{Schema, check};

/// What is wrong with anything that the provider offers, each with where it is; empty when
/// nothing is.
#[must_use]
pub fn check<P: Provider>(provider: &P) -> Vec<String> {
    let mut problems = Problems::default();
    problems.add("provider", "", &check::provider(&provider.schema()));
    let mut identified = BTreeSet::new();
    for item in provider.resources() {
        problems.named("resource", item.type_name(), &check::resource(&item.schema()));
        if let Some(identity) = item.identity() {
            problems.add("identity of resource", item.type_name(), &check::identity(&identity));
            identified.insert(item.type_name());
        }
    }
    for item in provider.data_sources() {
        problems.named("data source", item.type_name(), &check::resource(&item.schema()));
    }
    for item in provider.ephemeral_resources() {
        let mut found = check::resource(&item.schema());
        found.extend(check::no_write_only(&item.schema()));
        problems.named("ephemeral resource", item.type_name(), &found);
    }
    for item in provider.list_resources() {
        let mut found = of_config(&item.schema());
        found.extend(check::no_write_only(&item.schema()));
        if !identified.contains(item.type_name()) {
            found.push("no resource with an identity has this name".to_owned());
        }
        problems.named("list resource", item.type_name(), &found);
    }
    for item in provider.actions() {
        problems.named("action", item.type_name(), &of_config(&item.schema()));
    }
    for item in provider.functions() {
        problems.named("function", item.name(), &[]);
    }
    problems.found
}

fn of_config(schema: &Schema) -> Vec<String> {
    schema.check().into_iter().chain(check::no_computed(schema)).collect()
}

#[derive(Default)]
struct Problems {
    found: Vec<String>,
    names: BTreeSet<(&'static str, &'static str)>,
}

impl Problems {
    fn named(&mut self, kind: &'static str, name: &'static str, found: &[String]) {
        if !self.names.insert((kind, name)) {
            self.found.push(format!("{kind} {name}: is there twice"));
        }
        self.add(kind, name, found);
    }

    fn add(&mut self, kind: &str, name: &str, found: &[String]) {
        let place = format!("{kind} {name}");
        self.found.extend(found.iter().map(|problem| format!("{}: {problem}", place.trim())));
    }
}
