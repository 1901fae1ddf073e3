//! The action: a stamp on a note.

use async_trait::async_trait;
use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Value};
use provider_protocol::provider::{Action, Context, Field, Progress, Reader};
use provider_protocol::schema::{Attribute, Block, Schema};

use super::Shelf;

pub(crate) struct Stamp;

#[async_trait]
impl Action<Shelf> for Stamp {
    fn type_name(&self) -> &'static str {
        "notes_stamp"
    }

    fn schema(&self) -> Schema {
        Schema::new(
            Block::new()
                .attribute("note", Attribute::string().required().describe("Name of the note."))
                .attribute("text", Attribute::string().default("seen").describe("What it says."))
                .attribute("seal", Attribute::string().write_only().describe("Proves who it was.")),
        )
    }

    async fn plan(&self, _: &Context<Shelf>, config: &Value, diags: &mut Diagnostics) {
        if Reader::root(config).string("text") == Field::Known("") {
            diags.error_at(Path::attribute("text"), "Nothing to stamp", "Give it a text.");
        }
    }

    async fn invoke(
        &self,
        cx: &Context<Shelf>,
        config: &Value,
        progress: &Progress,
        diags: &mut Diagnostics,
    ) {
        let config = Reader::root(config);
        let (Some(shelf), Field::Known(name)) = (cx.client(diags), config.string("note")) else {
            return;
        };
        assert_ne!(name, "panic", "asked to");
        progress.report(format!("looking for {name}")).await;
        if name == "wait" {
            cx.cancel.cancelled().await;
            diags.error("Interrupted", "Nothing was stamped.");
            return;
        }
        let Some(mut file) = shelf.load(name, diags) else {
            return diags.error_at(Path::attribute("note"), "No such note", "Create it first.");
        };
        file["body"] = config.string("text").unwrap_or_default().into();
        if shelf.store(name, &file, diags).is_some() {
            progress.report("stamped").await;
        }
    }
}
