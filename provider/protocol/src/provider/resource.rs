//! Managed resources.

use async_trait::async_trait;

use super::Context;
use crate::cty::{Path, Value};
use crate::diagnostic::Diagnostics;
use crate::schema::{Identity, Schema};

/// A managed resource type.
///
/// Values have the schema's form: every attribute is there, blocks that are absent are empty
/// lists. A value returned may leave attributes out: they are null.
#[async_trait]
pub trait Resource<C: Send + Sync + 'static>: Send + Sync + 'static {
    /// Name as in `resource "…"`, with the provider's prefix.
    fn type_name(&self) -> &'static str;

    /// What its block holds.
    fn schema(&self) -> Schema;

    /// What identifies an object for good; none for a type that is known by import ids alone.
    /// Clients that know of identities keep one beside each state; others never see it.
    fn identity(&self) -> Option<Identity> {
        None
    }

    /// The identity of the object that has this state: without more, its attributes of the same
    /// names. Null where the state does not say it, unknown where a plan does not.
    fn identify(&self, cx: &Context<C>, identity: &Identity, state: &Value) -> Value {
        let _ = cx;
        identity.in_state(state)
    }

    /// Checks the configuration further than its schema does. No network: values may be
    /// unknown, and there is no client. Report everything that is wrong.
    async fn validate(&self, cx: &Context<C>, config: &Value, diags: &mut Diagnostics) {
        let _ = (cx, config, diags);
    }

    /// Adjusts the plan of a create or an update; called for a no-op too ([`Plan::is_noop`]).
    ///
    /// The plan is there already: defaults, what stays, what becomes unknown, what forces a
    /// replacement. Only attributes that are computed and null in the configuration may be set.
    /// Must be a pure function of its input: it is called again when applying.
    async fn plan(&self, cx: &Context<C>, plan: &mut Plan<'_>, diags: &mut Diagnostics) {
        let _ = (cx, plan, diags);
    }

    /// May refuse a destroy with an error: deletion protection. `delete` must check again.
    async fn plan_destroy(&self, cx: &Context<C>, destroy: Destroy<'_>, diags: &mut Diagnostics) {
        let _ = (cx, destroy, diags);
    }

    /// Creates. A state together with errors is kept and marked tainted: give one when the
    /// object is there. None needs an error diagnostic.
    async fn create(
        &self,
        cx: &Context<C>,
        change: Change<'_>,
        diags: &mut Diagnostics,
    ) -> Option<State>;

    /// Reads what is there now. None without an error: the object is gone. On errors the state
    /// stays as it was.
    async fn read(&self, cx: &Context<C>, state: &State, diags: &mut Diagnostics) -> Option<State>;

    /// Updates. With errors, a state says what is true now; none keeps the state as it was.
    async fn update(
        &self,
        cx: &Context<C>,
        change: Change<'_>,
        diags: &mut Diagnostics,
    ) -> Option<State>;

    /// Deletes. An object that is gone already is a success; with errors it stays in the state.
    async fn delete(&self, cx: &Context<C>, destroy: Destroy<'_>, diags: &mut Diagnostics);

    /// The start of a state for the object of this id; it is read next. None needs an error
    /// diagnostic, which shows the form an id has.
    async fn import(&self, cx: &Context<C>, id: &str, diags: &mut Diagnostics) -> Option<State>;

    /// The start of a state for the object of this identity; it is read next. Without more, the
    /// state's attributes of the same names. Attributes that an import may leave out are null.
    async fn import_identity(
        &self,
        cx: &Context<C>,
        identity: &Value,
        diags: &mut Diagnostics,
    ) -> Option<State> {
        let _ = (cx, diags);
        Some(State::new(identity.clone()))
    }

    /// A configuration that describes the object as it is, for the client to print. It is made
    /// by the [schema](crate::schema::Block::configuration) already; a resource that knows better what
    /// people would write may change it.
    fn generate(&self, state: &Value, config: Value) -> Value {
        let _ = state;
        config
    }

    /// Brings a state of an older schema version to the current one. A number that needs more than
    /// 64 bits is text in it, here and in [`Move`]: [`decode`](crate::cty::json::decode) takes both.
    async fn upgrade(
        &self,
        version: i64,
        state: &serde_json::Value,
        diags: &mut Diagnostics,
    ) -> Option<Value> {
        let _ = state;
        diags.error(
            "State is of an older version",
            format!(
                "The state of this {} has version {version}, and this provider cannot read it. \
                 Remove it with `state rm` and import the object again.",
                self.type_name()
            ),
        );
        None
    }

    /// Brings an identity of an older version to the current one.
    async fn upgrade_identity(
        &self,
        version: i64,
        identity: &serde_json::Value,
        diags: &mut Diagnostics,
    ) -> Option<Value> {
        let _ = identity;
        diags.error(
            "Identity is of an older version",
            format!(
                "The identity of this {} has version {version}, and this provider cannot read \
                 it. Remove the resource with `state rm` and import the object again.",
                self.type_name()
            ),
        );
        None
    }

    /// Takes over the state of an object of another type, for a `moved` block.
    async fn move_from(&self, source: Move<'_>, diags: &mut Diagnostics) -> Option<State> {
        diags.error(
            "Cannot move from this type",
            format!(
                "A {} cannot become a {}. Remove the `moved` block; import the object instead.",
                source.type_name,
                self.type_name()
            ),
        );
        None
    }
}

/// A state, and what the resource keeps beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The attributes.
    pub value: Value,
    /// Bytes that the client keeps for the resource and shows to nobody. Not for secrets: they
    /// are in the state file.
    pub private: Vec<u8>,
}

impl State {
    /// A state with nothing beside it.
    #[must_use]
    pub fn new(value: Value) -> Self {
        Self { value, private: Vec::new() }
    }

    /// With these bytes beside it.
    #[must_use]
    pub fn private(self, private: impl Into<Vec<u8>>) -> Self {
        Self { private: private.into(), ..self }
    }
}

/// The plan of a create or an update.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The state before; none on create.
    pub prior: Option<&'a Value>,
    /// The configuration; unknown where it depends on something that is not there yet.
    pub config: &'a Value,
    /// The state to plan for.
    pub planned: Value,
    /// What was kept beside the state, and will be given to create or update.
    pub private: Vec<u8>,
    /// What the plan that is carried out now kept, when this one is made while applying. Only
    /// clients with [`planned_private`](super::Capabilities::planned_private) give it back.
    pub kept: Option<&'a [u8]>,
    /// Attributes whose change replaces the object; those the schema says are in it already.
    pub requires_replace: Vec<Path>,
}

impl Plan<'_> {
    /// Whether the object is created.
    #[must_use]
    pub fn is_create(&self) -> bool {
        self.prior.is_none()
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_noop(&self) -> bool {
        self.prior == Some(&self.planned)
    }

    /// Whether the attribute differs from the state before, or is not known.
    #[must_use]
    pub fn changes(&self, name: &str) -> bool {
        self.prior.and_then(|prior| prior.get(name)) != self.planned.get(name)
    }

    /// Sets a computed attribute that the configuration leaves to the provider.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.planned.set(name, value);
    }
}

/// A create or an update that is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The state before; none on create.
    pub prior: Option<&'a Value>,
    /// What was planned. Every known value in it must be in the new state.
    pub planned: &'a Value,
    /// The configuration, wholly known; the only place of write-only values.
    pub config: &'a Value,
    /// What the plan kept beside the state.
    pub private: &'a [u8],
}

/// A destroy that is to be planned or done.
#[derive(Clone, Copy, Debug)]
pub struct Destroy<'a> {
    /// The state of the object.
    pub state: &'a Value,
    /// What was kept beside it.
    pub private: &'a [u8],
}

/// The state of an object of another type.
#[derive(Clone, Copy, Debug)]
pub struct Move<'a> {
    /// Source address of the provider it comes from, with a host that differs by tool.
    pub provider: &'a str,
    /// Its type.
    pub type_name: &'a str,
    /// Version of its schema.
    pub version: i64,
    /// Its state, by its schema.
    pub state: &'a serde_json::Value,
    /// What was kept beside it.
    pub private: &'a [u8],
    /// Its identity, by its own schema and that one's version; none when it has none, or the
    /// client does not know of identities.
    pub identity: Option<(i64, &'a serde_json::Value)>,
}
