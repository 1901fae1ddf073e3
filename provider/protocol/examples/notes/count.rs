//! The data source: how many notes there are.

use async_trait::async_trait;
use provider_protocol::Diagnostics;
use provider_protocol::cty::Value;
use provider_protocol::provider::{Context, DataSource, Reader};
use provider_protocol::schema::{Attribute, Block, Schema};

use super::Shelf;

pub(crate) struct Count;

#[async_trait]
impl DataSource<Shelf> for Count {
    fn type_name(&self) -> &'static str {
        "notes_count"
    }

    fn schema(&self) -> Schema {
        Schema::new(
            Block::new()
                .attribute("prefix", Attribute::string().describe("Only names that begin so."))
                .attribute("count_of", Attribute::number().computed().describe("How many.")),
        )
    }

    async fn read(
        &self,
        cx: &Context<Shelf>,
        config: &Value,
        diags: &mut Diagnostics,
    ) -> Option<Value> {
        let shelf = cx.client(diags)?;
        let prefix = Reader::root(config).string("prefix").unwrap_or_default();
        let names = shelf.names(diags)?;
        let found = names.iter().filter(|name| name.starts_with(prefix)).count();
        Some(config.clone().with("count_of", found))
    }
}
