//! What every defined object shares: identity, generation, conditions, pages.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The number of objects in a page when the client names none.
pub const PAGE_LIMIT_DEFAULT: u32 = 100;

/// The largest page that the daemon answers; a larger wish is cut to this.
pub const PAGE_LIMIT_MAX: u32 = 500;

wire_enum! {
    /// The kinds of objects that a client defines.
    Kind {
        /// A tenant.
        Project = "project",
        /// A set of subscriptions.
        Warehouse = "warehouse",
        /// A place where freight is promoted to.
        Stage = "stage",
        /// A template of measurements.
        Verification = "verification",
        /// Steps that several stages share.
        Task = "task",
        /// Whether and when stages are promoted to.
        Policy = "policy",
        /// A durable stop.
        Hold = "hold",
        /// A time in which nothing happens.
        Freeze = "freeze",
        /// Who a project is towards servers.
        Credential = "credential",
        /// What a bearer of it may do, and as whom; in no project.
        Token = "token",
        /// A time in which nothing happens in any project; in none.
        InstanceFreeze = "instance_freeze",
    }
}

impl Kind {
    /// The path segment of the kind's collection.
    #[must_use]
    pub const fn collection(self) -> &'static str {
        match self {
            Self::Project => "projects",
            Self::Warehouse => "warehouses",
            Self::Stage => "stages",
            Self::Verification => "verifications",
            Self::Task => "tasks",
            Self::Policy => "policies",
            Self::Hold => "holds",
            Self::Freeze | Self::InstanceFreeze => "freezes",
            Self::Credential => "credentials",
            Self::Token => "tokens",
        }
    }

    /// Whether objects of the kind belong to a project.
    #[must_use]
    pub const fn is_in_project(self) -> bool {
        match self {
            Self::Project | Self::Token | Self::InstanceFreeze => false,
            Self::Warehouse
            | Self::Stage
            | Self::Verification
            | Self::Task
            | Self::Policy
            | Self::Hold
            | Self::Freeze
            | Self::Credential => true,
        }
    }
}

/// A kind of object that a client reads and writes under a name.
pub trait Object: DeserializeOwned + Send + Sync + 'static {
    /// What is sent to define it.
    type Spec: Serialize + Sync;

    /// Which kind it is.
    const KIND: Kind;

    /// Who and what it is.
    fn meta(&self) -> &Meta;
}

/// The number of the newest event that the caller has seen; it stands for the state of the world
/// as of that event. A string of decimal digits on the wire.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct WorldToken(pub u64);

impl fmt::Display for WorldToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl From<WorldToken> for String {
    fn from(token: WorldToken) -> Self {
        token.0.to_string()
    }
}

impl TryFrom<String> for WorldToken {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.parse() {
            Ok(number) => Ok(Self(number)),
            Err(_) => Err(format!("a token is a string of decimal digits, not {text:?}")),
        }
    }
}

/// Who and what an object is, and how it fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Meta {
    /// The project that owns it. A project is its own; a token and an instance freeze have none, which is
    /// empty.
    pub project: String,
    /// Its name within the project.
    pub name: String,
    /// `project/name`; of what is in no project, its name alone.
    pub id: String,
    /// Grows by one with each change of the definition; what `If-Match` compares.
    pub generation: u64,
    /// The state of the world as of which this answer was given, counting only events that matter
    /// to this object.
    pub token: WorldToken,
    /// How it fares, sorted by type.
    pub conditions: Vec<Condition>,
    /// When it was first defined.
    pub created_at: Timestamp,
    /// When its definition last changed.
    pub changed_at: Timestamp,
    /// Who changed it last.
    pub changed_by: String,
}

/// One aspect of how an object fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Condition {
    /// Which aspect, in CamelCase, such as `Ready`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why, as one CamelCase word.
    pub reason: String,
    /// Why, as one stable sentence.
    pub message: String,
}

wire_enum! {
    /// Whether a condition holds.
    ConditionStatus {
        /// It holds.
        True = "true",
        /// It does not hold.
        False = "false",
        /// It is not known.
        Unknown = "unknown",
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub struct Page<T> {
    /// The objects of this page.
    pub items: Vec<T>,
    /// What to send as `page` to get the next page; null on the last.
    pub next: Option<String>,
}

/// Which page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// How many objects at most: 100 when left out, never more than 500.
    pub limit: Option<u32>,
    /// The `next` of the page before.
    pub page: Option<String>,
}
