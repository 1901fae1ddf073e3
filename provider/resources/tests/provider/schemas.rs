//! The schemas keep to the client's rules.

use provider_protocol::provider::{Provider as _, check};
use provider_protocol::schema::{Block, Schema};
use provider_resources::Lockstep;

#[test]
fn the_client_takes_everything() {
    assert_eq!(check(&Lockstep), [""; 0]);
}

#[test]
fn everything_is_described() {
    fn undescribed(block: &Block, at: &str, found: &mut Vec<String>) {
        let attributes = block.attributes.iter();
        let bare = attributes.filter(|(_, attribute)| attribute.description.is_empty());
        found.extend(bare.map(|(name, _)| format!("{at}.{name}")));
        for (name, nested) in &block.blocks {
            let at = format!("{at}.{name}");
            if nested.block.description.is_empty() {
                found.push(at.clone());
            }
            undescribed(&nested.block, &at, found);
        }
    }
    let check = |schema: Schema, name: &str| {
        let mut found = Vec::new();
        undescribed(&schema.block, name, &mut found);
        assert_eq!(found, [""; 0]);
    };
    check(Lockstep.schema(), "provider");
    Lockstep.resources().iter().for_each(|it| check(it.schema(), it.type_name()));
    Lockstep.data_sources().iter().for_each(|it| check(it.schema(), it.type_name()));
    Lockstep.ephemeral_resources().iter().for_each(|it| check(it.schema(), it.type_name()));
    Lockstep.list_resources().iter().for_each(|it| check(it.schema(), it.type_name()));
    Lockstep.actions().iter().for_each(|it| check(it.schema(), it.type_name()));
    for function in Lockstep.functions() {
        let (name, signature) = (function.name(), function.signature());
        assert!(!signature.summary.is_empty() && !signature.description.is_empty(), "{name}");
        for parameter in signature.parameters.iter().chain(&signature.variadic) {
            assert!(!parameter.description.is_empty(), "{name}: {}", parameter.name);
        }
    }
    for resource in Lockstep.resources() {
        for (name, attribute) in resource.identity().iter().flat_map(|it| &it.attributes) {
            assert!(!attribute.description.is_empty(), "{}: {name}", resource.type_name());
        }
    }
}
