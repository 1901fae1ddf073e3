//! The resource: a note.

use async_trait::async_trait;
use provider_protocol::Diagnostics;
use provider_protocol::cty::json::{self, Extra};
use provider_protocol::cty::{Path, Type, Value};
use provider_protocol::provider::{
    Change, Context, Destroy, Field, Move, Plan, Reader, Resource, State, duplicates,
};
use provider_protocol::schema::{Attribute, Block, Identity, NestedBlock, Schema};

use super::Shelf;

pub(crate) struct Note;

impl Note {
    /// What is in the file: all that the user configured, and how often it was written.
    fn file(planned: &Value, revision: i64) -> serde_json::Value {
        let mut file = json::to_plain(planned);
        file["revision"] = revision.into();
        file
    }

    pub(crate) fn state(file: &serde_json::Value) -> State {
        let fields = file.as_object().into_iter().flatten();
        let value = Value::object(fields.map(|(name, value)| (name, Value::from(value))));
        State::new(value).private(format!("revision {}", file["revision"]))
    }
}

fn name_of(value: &Value) -> &str {
    Reader::root(value).string("name").unwrap_or_default()
}

fn same_json(left: &Value, right: &Value) -> bool {
    let parse = |value: &Value| {
        value.as_str().and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok())
    };
    parse(left).is_some_and(|json| Some(json) == parse(right))
}

fn is_json(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map(|_| ())
        .map_err(|error| format!("Not JSON: {error}."))
}

#[async_trait]
impl Resource<Shelf> for Note {
    fn type_name(&self) -> &'static str {
        "notes_note"
    }

    fn schema(&self) -> Schema {
        let tag = Block::new()
            .describe("A tag of the note.")
            .attribute("name", Attribute::string().required().describe("Its name."))
            .attribute("color", Attribute::string().default("gray").describe("Its color."));
        let step = Type::object([
            ("name", Type::String),
            ("uses", Type::String),
            ("config", Type::String),
        ]);
        Schema::new(
            Block::new()
                .describe("A note.")
                .attribute("name", Attribute::string().required().force_new().describe("Its name."))
                .attribute("body", Attribute::string().describe("Its text."))
                .attribute("weight", Attribute::number().describe("How much it weighs."))
                .attribute(
                    "meta",
                    Attribute::string().validate(is_json).equal(same_json).describe("JSON."),
                )
                .attribute("labels", Attribute::map(Type::String).describe("Any labels."))
                .attribute("steps", Attribute::list(step).describe("What to do."))
                .attribute("protected", Attribute::bool().default(false).describe("Keep it."))
                .attribute("secret", Attribute::string().write_only().describe("Never kept."))
                .attribute("id", Attribute::string().computed().stable().describe("Its name."))
                .attribute("revision", Attribute::number().computed().describe("Writes so far."))
                .block("tag", NestedBlock::list(tag).max(5)),
        )
        .version(1)
    }

    fn identity(&self) -> Option<Identity> {
        Some(Identity::new().required("id", Type::String, "Name of the note."))
    }

    async fn validate(&self, _: &Context<Shelf>, config: &Value, diags: &mut Diagnostics) {
        duplicates(&Reader::root(config).blocks("tag"), "name", diags);
    }

    async fn plan(&self, _: &Context<Shelf>, plan: &mut Plan<'_>, _: &mut Diagnostics) {
        match Reader::root(plan.config).string("body") {
            Field::Known("overreach") => plan.set("weight", 7),
            Field::Known("twice") => {
                let kept = plan.kept.map(String::from_utf8_lossy);
                let kept = kept.map_or("planned".to_owned(), |kept| format!("{kept} again"));
                plan.private = kept.into_bytes();
            }
            Field::Known(_) | Field::Null | Field::Unknown => {}
        }
        if plan.is_create() {
            plan.set("revision", 1);
            if let Field::Known(name) = Reader::root(plan.config).string("name") {
                plan.set("id", name);
            }
        }
    }

    async fn plan_destroy(
        &self,
        _: &Context<Shelf>,
        destroy: Destroy<'_>,
        diags: &mut Diagnostics,
    ) {
        if Reader::root(destroy.state).bool("protected") == Field::Known(true) {
            diags.error_at(
                Path::attribute("protected"),
                "Note is protected",
                "Set protected = false and apply, then destroy it.",
            );
        }
    }

    async fn create(
        &self,
        cx: &Context<Shelf>,
        change: Change<'_>,
        diags: &mut Diagnostics,
    ) -> Option<State> {
        let shelf = cx.client(diags)?;
        let planned = change.planned.clone().with("id", name_of(change.planned));
        let body = Reader::root(&planned).string("body").unwrap_or_default().to_owned();
        assert_ne!(body, "panic", "asked to");
        let secret = change.config.get("secret");
        assert_ne!(body, "leak", "the secret is {}", secret.and_then(Value::as_str).unwrap_or("-"));
        if shelf.path(name_of(&planned)).exists() {
            let name = name_of(&planned);
            diags.error_at(
                Path::attribute("name"),
                "Note exists",
                format!("Import it: import {{ to = notes_note.{name}, id = {name:?} }}."),
            );
            return None;
        }
        let file = Self::file(&planned, 1);
        shelf.store(name_of(&planned), &file, diags)?;
        let mut state = Self::state(&file);
        match body.as_str() {
            "half" => diags.error("Note is half done", "It is there, but not as it should be."),
            "wait" => {
                cx.cancel.cancelled().await;
                diags.error("Interrupted", "The note is there, but it was not waited for.");
            }
            "lie" => state.value.set("body", "truth"),
            _ => {}
        }
        Some(state)
    }

    async fn read(
        &self,
        cx: &Context<Shelf>,
        state: &State,
        diags: &mut Diagnostics,
    ) -> Option<State> {
        let id = Reader::root(&state.value).string("id").unwrap_or_default();
        cx.client(diags)?.load(id, diags).map(|file| Self::state(&file))
    }

    async fn update(
        &self,
        cx: &Context<Shelf>,
        change: Change<'_>,
        diags: &mut Diagnostics,
    ) -> Option<State> {
        let shelf = cx.client(diags)?;
        let name = name_of(change.planned);
        let before = shelf.load(name, diags)?;
        let revision = before["revision"].as_i64().unwrap_or_default() + 1;
        let file = Self::file(change.planned, revision);
        shelf.store(name, &file, diags)?;
        Some(Self::state(&file))
    }

    async fn delete(&self, cx: &Context<Shelf>, destroy: Destroy<'_>, diags: &mut Diagnostics) {
        let Some(shelf) = cx.client(diags) else { return };
        match std::fs::remove_file(shelf.path(name_of(destroy.state))) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                diags.error("Cannot remove the note", error.to_string());
            }
            Ok(()) | Err(_) => {}
        }
    }

    async fn import(&self, _: &Context<Shelf>, id: &str, _: &mut Diagnostics) -> Option<State> {
        Some(State::new(Value::object([("id", Value::from(id))])))
    }

    /// Once, a note had a `text`.
    async fn upgrade(
        &self,
        version: i64,
        state: &serde_json::Value,
        diags: &mut Diagnostics,
    ) -> Option<Value> {
        if version != 0 {
            diags.error("State is of an older version", "Nobody has notes of that time.");
            return None;
        }
        let mut state = state.clone();
        let fields = state.as_object_mut();
        if let Some((fields, text)) =
            fields.and_then(|fields| fields.remove("text").map(|text| (fields, text)))
        {
            fields.insert("body".to_owned(), text);
        }
        let upgraded = json::decode(&state.to_string(), &self.schema().ty(), Extra::Refuse);
        diags.take(Path::root(), "Cannot read the state", upgraded)
    }

    /// The memos of another provider, which have a title, become notes.
    async fn move_from(&self, source: Move<'_>, diags: &mut Diagnostics) -> Option<State> {
        let Move { provider, type_name, version, state, private, identity } = source;
        if !(provider.ends_with("/acme/memos") && type_name == "memos_memo") {
            diags.error("Cannot move from this type", "Only a memos_memo becomes a note.");
            return None;
        }
        let title = state["title"].clone();
        let mut note = serde_json::json!({ "name": title, "id": title });
        note["weight"] = state["weight"].clone();
        note["meta"] =
            serde_json::json!({ "version": version, "identity": identity }).to_string().into();
        let moved = json::decode(&note.to_string(), &self.schema().ty(), Extra::Refuse);
        let moved = diags.take(Path::root(), "Cannot read the memo", moved)?;
        Some(State::new(moved).private(private))
    }
}
