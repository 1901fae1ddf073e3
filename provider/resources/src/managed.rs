//! Managed objects: what is the same for every type.
//!
//! A type says what it holds ([`Definition`]); this creates, reads, updates, deletes, imports and
//! plans it ([`Managed`]), and lists all of them ([`Listing`]). The rules, which hold for all of them:
//!
//! - an object that somebody else made is not taken over: create fails, and shows the import.
//!   Only where the provider is told to adopt does it take over, and says so;
//! - a change that somebody else made since the last refresh is never overwritten;
//! - what is protected from deletion is neither destroyed nor replaced, and the plan says so;
//! - what is gone is gone: reading it ends its state, deleting it succeeds;
//! - a state has the user's form wherever it means what the daemon has.

mod apply;
mod graph;
mod kept;
mod listed;
mod plan;
mod preview;
mod protection;
mod read;
mod refused;
mod together;
mod upgrade;

use std::fmt::Display;
use std::marker::PhantomData;
use std::str::FromStr;

use async_trait::async_trait;
use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Type, Value};
use provider_protocol::provider::{
    Change, Context, Destroy, Plan, Reader, Resource, State, duplicates,
};
use provider_protocol::schema::{Attribute, Block, NestedBlock, Schema};
use reconciler_api::v1;

use crate::attribute::parsed;
use crate::failure::{Places, tell_unreadable};
use crate::form::{Keyed, keep};
use crate::place::Moved;
use crate::session::{Identity, Session};
use crate::stop;
use kept::Kept;
pub(crate) use listed::Listing;

/// Of a write without an answer.
const UNCERTAIN: &str = "It may have been done nevertheless. The next plan shows what is there; \
    should it create something that exists already, import that.";

/// A type of object that users define.
pub(crate) trait Definition: Send + Sync + 'static {
    /// The object as the API has it.
    type Object: v1::Object<Spec: Send>;
    /// What its name is made of.
    type Name: FromStr<Err: Display> + 'static;

    /// Name as in `resource "…"`.
    const TYPE_NAME: &'static str;
    /// What it is, in Markdown.
    const DESCRIPTION: &'static str;
    /// The version of its state's form. A change that a state of before does not survive (an
    /// attribute that goes, or gets another type or name) raises it, and is told to
    /// [`Definition::upgrade`].
    const VERSION: i64 = 0;
    /// What a name is made of.
    const NAMED: &'static str = "lower-case letters, digits and hyphens, 63 at most";
    /// Whether a new name is a change in place, and not another object.
    const RENAMES: bool = false;
    /// Whether it can be protected from deletion: then it has the attribute
    /// `deletion_protection`, and its spec a field of that name.
    const PROTECTED: bool = false;
    /// Blocks that have names of their own.
    const KEYED: Keyed = &[];
    /// Fields of the spec that are elsewhere in the configuration.
    const MOVED: Moved = &[];

    /// Computed attributes: what the daemon says of the object. [`Definition::value`] has them, too.
    const OBSERVED: &'static [&'static str] = &[];

    /// What it holds, besides its identity.
    fn fields() -> Vec<(&'static str, Item)>;

    /// Checks a configuration further than its schema does. Values may be unknown.
    fn validate(config: &Reader<'_>, diags: &mut Diagnostics) {
        let _ = (config, diags);
    }

    /// Plans what the schema cannot know: computed attributes that stay.
    fn foretell(plan: &mut Plan<'_>) {
        let _ = plan;
    }

    /// Adds to a spec what stands in the configuration only: write-only values. `prior` and
    /// `planned` say whether they are to be sent again.
    fn confide(spec: &mut <Self::Object as v1::Object>::Spec, change: &Change<'_>) {
        let _ = (spec, change);
    }

    /// Whether a wholly known value has a spec: a state may have words of a newer version.
    fn is_of_this_version(value: &Reader<'_>) -> bool {
        let _ = value;
        true
    }

    /// The spec of a wholly known value of this version.
    fn spec(value: &Reader<'_>) -> <Self::Object as v1::Object>::Spec;

    /// The value of an object, without its identity: empty lists and texts are null.
    fn value(object: &Self::Object) -> Value;

    /// What was read, in the form of the state before wherever both mean the same.
    fn in_form_of(prior: &Value, read: Value) -> Value {
        keep(read, prior, Self::KEYED)
    }

    /// Brings a state of one version, as the client kept it, to the next.
    ///
    /// # Errors
    ///
    /// There is no such version: what is missing for it, in one sentence.
    fn upgrade(version: i64, state: serde_json::Value) -> Result<serde_json::Value, String> {
        drop(state);
        Err(format!("nothing is known of version {version}"))
    }

    /// What a preview is asked about; none if there is no preview of the kind.
    fn definition(spec: <Self::Object as v1::Object>::Spec) -> Option<v1::Definition> {
        drop(spec);
        None
    }
}

/// An attribute or a block.
pub(crate) enum Item {
    Attribute(Attribute),
    Block(NestedBlock),
}

impl From<Attribute> for Item {
    fn from(attribute: Attribute) -> Self {
        Self::Attribute(attribute)
    }
}

impl From<NestedBlock> for Item {
    fn from(block: NestedBlock) -> Self {
        Self::Block(block)
    }
}

/// A block of attributes and blocks.
pub(crate) fn block(fields: Vec<(&'static str, Item)>) -> Block {
    fields.into_iter().fold(Block::new(), |block, (name, item)| match item {
        Item::Attribute(attribute) => block.attribute(name, attribute),
        Item::Block(nested) => block.block(name, nested),
    })
}

/// The resource of a type.
pub(crate) struct Managed<D> {
    definition: PhantomData<D>,
}

impl<D: Definition> Managed<D> {
    const KIND: v1::Kind = <D::Object as v1::Object>::KIND;
    const HAS_PROJECT: bool = Self::KIND.is_in_project();
    const HAS_IMPACT: bool = matches!(Self::KIND, v1::Kind::Policy);

    /// The resource.
    pub(crate) const fn new() -> Self {
        Self { definition: PhantomData }
    }

    /// Where the API's fields are. Inside a list that is an attribute, and no list of blocks, the
    /// client can show an element and nothing of it.
    fn places() -> Places {
        let block = Self::schema_block();
        let mut ty = block.ty();
        if let Type::Object(fields) = &mut ty {
            for name in block.attributes.keys() {
                if let Some(list @ Type::List(_)) = fields.get_mut(name) {
                    *list = Type::list(Type::Dynamic);
                }
            }
        }
        Places { moved: D::MOVED, ty }
    }

    fn schema_block() -> Block {
        let mut name = parsed::<D::Name>().required();
        if !D::RENAMES {
            name = name.force_new();
        }
        let mut fields: Vec<(&str, Item)> = vec![("name", name.describe(Self::name_text()).into())];
        if Self::HAS_PROJECT {
            let project = parsed::<reconciler_domain::id::ProjectName>()
                .optional_computed()
                .stable()
                .force_new()
                .describe("The project that owns it. Default: the provider's.");
            fields.push(("project", project.into()));
        }
        fields.extend(D::fields());
        if D::PROTECTED {
            fields.push((protection::ATTRIBUTE, protection::attribute().into()));
        }
        fields.push(("id", Attribute::string().computed().describe(Self::id_text()).into()));
        if Self::HAS_IMPACT {
            fields.push(("impact", preview::impact_attribute().into()));
        }
        block(fields).describe(D::DESCRIPTION)
    }

    fn name_text() -> String {
        let owner = if Self::HAS_PROJECT { " in its project" } else { "" };
        let change = if D::RENAMES { " A new name is a change in place." } else { "" };
        format!("Its name, unique{owner}: {}.{change}", D::NAMED)
    }

    fn id_text() -> &'static str {
        if Self::HAS_PROJECT {
            "`PROJECT/NAME`; what `import` takes."
        } else {
            "The name; what `import` takes."
        }
    }

    /// What is done to which object, as people read it.
    fn doing(verb: &str, value: &Value) -> String {
        let id = Identity::of(Self::KIND, value).map(|identity| identity.to_string());
        format!("{verb} {} {}", Self::KIND, id.unwrap_or_default())
    }

    /// The spec that a value defines; none if something in it is not known yet, or to this version.
    fn spec(value: &Value) -> Option<<D::Object as v1::Object>::Spec> {
        let mut known = value.clone().with("id", Value::Null).with("impact", Value::Null);
        for name in D::OBSERVED {
            known.set(*name, Value::Null);
        }
        let reader = Reader::root(value);
        (known.is_wholly_known() && D::is_of_this_version(&reader)).then(|| D::spec(&reader))
    }

    /// The state of an object, in the form of the state before.
    fn state(object: &D::Object, prior: &Value) -> Value {
        let mut value = D::in_form_of(prior, D::value(object));
        let meta = v1::Object::meta(object);
        value.set("name", meta.name.as_str());
        if Self::HAS_PROJECT {
            value.set("project", meta.project.as_str());
        }
        if Self::HAS_IMPACT {
            value.set("impact", prior.get("impact").cloned().unwrap_or_default());
        }
        value.with("id", meta.id.as_str())
    }

    fn kept(object: &D::Object) -> Vec<u8> {
        let meta = v1::Object::meta(object);
        // A token is kept only where an answer in the state depends on it.
        let token = Self::HAS_IMPACT.then_some(meta.token);
        Kept::new(meta.generation, token).to_bytes()
    }
}

#[async_trait]
impl<D: Definition> Resource<Session> for Managed<D> {
    fn type_name(&self) -> &'static str {
        D::TYPE_NAME
    }

    fn schema(&self) -> Schema {
        Schema::new(Self::schema_block()).version(D::VERSION)
    }

    fn identity(&self) -> Option<provider_protocol::schema::Identity> {
        Some(Self::identity_schema())
    }

    async fn validate(&self, _: &Context<Session>, config: &Value, diags: &mut Diagnostics) {
        let reader = Reader::root(config);
        for (blocks, key) in D::KEYED {
            let all: Vec<Reader<'_>> = blocks.iter().flat_map(|name| reader.blocks(name)).collect();
            duplicates(&all, key, diags);
        }
        D::validate(&reader, diags);
    }

    async fn plan(&self, cx: &Context<Session>, plan: &mut Plan<'_>, diags: &mut Diagnostics) {
        Self::plan_change(cx, plan, diags).await;
    }

    async fn plan_destroy(
        &self,
        cx: &Context<Session>,
        destroy: Destroy<'_>,
        diags: &mut Diagnostics,
    ) {
        protection::refuse_removal(Self::KIND, destroy.state, diags);
        Self::plan_removal(cx, destroy.state, diags).await;
    }

    async fn create(
        &self,
        cx: &Context<Session>,
        change: Change<'_>,
        diags: &mut Diagnostics,
    ) -> Option<State> {
        let session = cx.client(diags)?;
        let created = stop::or_late(&cx.cancel, Self::create_object(&session, change, diags)).await;
        created.unwrap_or_else(|stopped| {
            stopped.tell(&Self::doing("create", change.planned), UNCERTAIN, diags);
            None
        })
    }

    async fn read(
        &self,
        cx: &Context<Session>,
        state: &State,
        diags: &mut Diagnostics,
    ) -> Option<State> {
        let Some(session) = &cx.client else {
            // The configuration of the provider is not known yet, and that was told already.
            if state.private.is_empty() {
                tell_unreadable(&Self::doing("import", &state.value), diags);
                return None;
            }
            return Some(state.clone());
        };
        let read = stop::or_now(&cx.cancel, Self::read_object(session, state, diags)).await;
        read.unwrap_or_else(|stopped| {
            stopped.tell(&Self::doing("read", &state.value), UNCERTAIN, diags);
            None
        })
    }

    async fn update(
        &self,
        cx: &Context<Session>,
        change: Change<'_>,
        diags: &mut Diagnostics,
    ) -> Option<State> {
        let session = cx.client(diags)?;
        let mut done = None;
        let update = Self::update_object(&session, change, &mut done, diags);
        let updated = stop::or_late(&cx.cancel, update).await;
        updated.unwrap_or_else(|stopped| {
            stopped.tell(&Self::doing("update", change.planned), UNCERTAIN, diags);
            done
        })
    }

    async fn delete(&self, cx: &Context<Session>, destroy: Destroy<'_>, diags: &mut Diagnostics) {
        let Some(session) = cx.client(diags) else { return };
        let deleted =
            stop::or_late(&cx.cancel, Self::delete_object(&session, destroy, diags)).await;
        if let Err(stopped) = deleted {
            stopped.tell(&Self::doing("delete", destroy.state), UNCERTAIN, diags);
        }
    }

    async fn import_identity(
        &self,
        cx: &Context<Session>,
        identity: &Value,
        diags: &mut Diagnostics,
    ) -> Option<State> {
        Self::start_of(cx, identity, diags)
    }

    async fn import(
        &self,
        _: &Context<Session>,
        id: &str,
        diags: &mut Diagnostics,
    ) -> Option<State> {
        let Some(identity) = Identity::parse(Self::KIND, id) else {
            let form = Identity::form(Self::KIND);
            let text = format!("{id:?} is not the id of a {}. It has the form {form}.", Self::KIND);
            diags.error_at(Path::root(), "Invalid import id", text);
            return None;
        };
        let mut value = Value::object([
            ("id", Value::from(identity.to_string())),
            ("name", identity.name.into()),
        ]);
        if Self::HAS_PROJECT {
            value.set("project", identity.project);
        }
        Some(State::new(value))
    }

    async fn upgrade(
        &self,
        version: i64,
        state: &serde_json::Value,
        diags: &mut Diagnostics,
    ) -> Option<Value> {
        Self::upgrade_state(version, state.clone(), diags)
    }
}
