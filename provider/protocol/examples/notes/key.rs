//! The ephemeral resource: a key to the notes, in a file for as long as it is open.

use std::io::ErrorKind;

use async_trait::async_trait;
use jiff::Timestamp;
use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Value};
use provider_protocol::provider::{Context, EphemeralResource, Opened, Reader, Renewed};
use provider_protocol::schema::{Attribute, Block, Schema};

use super::Shelf;

pub(crate) struct Key;

#[async_trait]
impl EphemeralResource<Shelf> for Key {
    fn type_name(&self) -> &'static str {
        "notes_key"
    }

    fn schema(&self) -> Schema {
        Schema::new(
            Block::new()
                .attribute("owner", Attribute::string().required().describe("Whose it is."))
                .attribute("shape", Attribute::string().default("flat").describe("Its shape."))
                .attribute("text", Attribute::string().computed().sensitive().describe("The key.")),
        )
    }

    async fn open(
        &self,
        cx: &Context<Shelf>,
        config: &Value,
        diags: &mut Diagnostics,
    ) -> Option<Opened> {
        let shelf = cx.client(diags)?;
        let owner = Reader::root(config).string("owner").unwrap_or_default();
        let written = std::fs::write(shelf.key(owner), "open");
        diags.take(Path::root(), "Cannot write the key", written)?;
        let opened = Opened::new(config.clone().with("text", format!("key of {owner}")));
        Some(opened.private(owner).renew_at(Timestamp::UNIX_EPOCH))
    }

    async fn renew(
        &self,
        cx: &Context<Shelf>,
        private: &[u8],
        diags: &mut Diagnostics,
    ) -> Option<Renewed> {
        let owner = String::from_utf8_lossy(private);
        let written = std::fs::write(cx.client(diags)?.key(&owner), "renewed");
        diags.take(Path::root(), "Cannot renew the key", written)?;
        Some(Renewed { private: private.to_vec(), renew_at: None })
    }

    async fn close(&self, cx: &Context<Shelf>, private: &[u8], diags: &mut Diagnostics) {
        let Some(shelf) = cx.client(diags) else { return };
        match std::fs::remove_file(shelf.key(&String::from_utf8_lossy(private))) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                diags.error("Cannot remove the key", error.to_string());
            }
            Ok(()) | Err(_) => {}
        }
    }
}
