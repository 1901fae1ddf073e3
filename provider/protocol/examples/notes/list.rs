//! The list: every note there is.

use async_trait::async_trait;
use provider_protocol::Diagnostics;
use provider_protocol::cty::Value;
use provider_protocol::provider::{Context, Found, ListResource, Listed, Query, Reader};
use provider_protocol::schema::{Attribute, Block, Schema};

use super::Shelf;
use super::note::Note;

pub(crate) struct List;

#[async_trait]
impl ListResource<Shelf> for List {
    fn type_name(&self) -> &'static str {
        "notes_note"
    }

    fn schema(&self) -> Schema {
        let prefix = Attribute::string().default("").describe("Only names that begin so.");
        Schema::new(Block::new().attribute("prefix", prefix))
    }

    async fn list(
        &self,
        cx: &Context<Shelf>,
        query: Query<'_>,
        found: &mut Found,
        diags: &mut Diagnostics,
    ) {
        let Some(shelf) = cx.client(diags) else { return };
        let prefix = Reader::root(query.config).string("prefix").unwrap_or_default();
        for name in shelf.names(diags).unwrap_or_default() {
            if !name.starts_with(prefix) {
                continue;
            }
            let mut listed =
                Listed::new(Value::object([("id", Value::from(&name))]), format!("note {name}"));
            if query.include_object {
                let file = shelf.load(&name, &mut listed.diags);
                listed.object = file.map(|file| Note::state(&file).value);
            }
            if !found.send(listed).await {
                return;
            }
        }
    }
}
