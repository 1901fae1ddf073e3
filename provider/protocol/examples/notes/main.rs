//! A small provider that keeps notes as files in a directory: one of every kind that a provider
//! can offer. The tests of this crate run it under a real client.
//!
//! A note misbehaves on request, by its body: `panic` panics when it is created, `half` is
//! created but reports an error, `lie` comes back changed, `wait` waits to be interrupted,
//! `leak` panics with its secret, `overreach` plans what is not its own. One of body `twice` tells
//! in what is kept beside it how often it was planned.

mod count;
mod key;
mod list;
mod note;
mod stamp;
mod step;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use provider_protocol::cty::Path;
use provider_protocol::provider::{
    Action, Configure, DataSource, EphemeralResource, Field, Function, ListResource, Provider,
    Reader, Resource,
};
use provider_protocol::schema::{Attribute, Block, Schema};
use provider_protocol::{Diagnostics, serve};

fn main() -> ExitCode {
    serve(Notes)
}

struct Notes;

/// Where the notes are.
struct Shelf {
    directory: PathBuf,
}

#[async_trait]
impl Provider for Notes {
    type Client = Shelf;

    fn address(&self) -> &'static str {
        "acme/notes"
    }

    fn schema(&self) -> Schema {
        let directory = "Directory of the notes. Environment: `NOTES_DIRECTORY`.";
        Schema::new(Block::new().attribute("directory", Attribute::string().describe(directory)))
    }

    async fn configure(
        &self,
        request: Configure<'_>,
        diags: &mut Diagnostics,
    ) -> Option<Arc<Shelf>> {
        let directory = match Reader::root(request.config).string("directory") {
            Field::Unknown => {
                diags.warning_at(
                    Path::attribute("directory"),
                    "Directory is not known yet",
                    "Notes are planned without a look at those that are there.",
                );
                return None;
            }
            Field::Known(directory) => PathBuf::from(directory),
            Field::Null => {
                let Some(directory) = std::env::var_os("NOTES_DIRECTORY") else {
                    diags.error_at(
                        Path::attribute("directory"),
                        "No directory",
                        "Set directory in the provider block, or NOTES_DIRECTORY.",
                    );
                    return None;
                };
                PathBuf::from(directory)
            }
        };
        Some(Arc::new(Shelf { directory }))
    }

    fn resources(&self) -> Vec<Arc<dyn Resource<Shelf>>> {
        vec![Arc::new(note::Note)]
    }

    fn data_sources(&self) -> Vec<Arc<dyn DataSource<Shelf>>> {
        vec![Arc::new(count::Count)]
    }

    fn functions(&self) -> Vec<Arc<dyn Function>> {
        vec![Arc::new(step::Step)]
    }
    fn ephemeral_resources(&self) -> Vec<Arc<dyn EphemeralResource<Shelf>>> {
        vec![Arc::new(key::Key)]
    }

    fn list_resources(&self) -> Vec<Arc<dyn ListResource<Shelf>>> {
        vec![Arc::new(list::List)]
    }

    fn actions(&self) -> Vec<Arc<dyn Action<Shelf>>> {
        vec![Arc::new(stamp::Stamp)]
    }
}

impl Shelf {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.json"))
    }

    fn key(&self, owner: &str) -> PathBuf {
        self.directory.join(format!("{owner}.key"))
    }

    fn load(&self, name: &str, diags: &mut Diagnostics) -> Option<serde_json::Value> {
        let text = match std::fs::read_to_string(self.path(name)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            read => diags.take(Path::root(), "Cannot read the note", read)?,
        };
        diags.take(Path::root(), "Cannot read the note", serde_json::from_str(&text))
    }

    fn store(&self, name: &str, note: &serde_json::Value, diags: &mut Diagnostics) -> Option<()> {
        let written = std::fs::write(self.path(name), note.to_string());
        diags.take(Path::root(), "Cannot write the note", written)
    }
    /// The names of the notes, in order.
    fn names(&self, diags: &mut Diagnostics) -> Option<Vec<String>> {
        let entries = std::fs::read_dir(&self.directory);
        let entries = diags.take(Path::root(), "Cannot list the notes", entries)?;
        let files = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> =
            files.filter_map(|file| Some(file.strip_suffix(".json")?.to_owned())).collect();
        names.sort();
        Some(names)
    }
}
