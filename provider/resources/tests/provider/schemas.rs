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
}
