//! Freight: an immutable bundle, exactly one artifact per subscription of one warehouse.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::artifact::Artifact;
use crate::hold::ArtifactMatch;
use crate::id::{Alias, FreightId, StageName, SubscriptionName, WarehouseName};
use crate::stage::Request;

/// An immutable bundle of artifacts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freight {
    /// Hash of the content.
    pub id: FreightId,
    /// The warehouse it came from.
    pub warehouse: WarehouseName,
    /// One artifact per subscription, in the warehouse's order.
    pub artifacts: IndexMap<SubscriptionName, Artifact>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Order of making inside the project; larger is newer.
    pub sequence: i64,
}

impl Freight {
    /// The id that a bundle of these artifacts has, whatever their order.
    #[must_use]
    pub fn id_of(
        warehouse: &WarehouseName,
        artifacts: &IndexMap<SubscriptionName, Artifact>,
    ) -> FreightId {
        let parts: BTreeMap<&str, String> =
            artifacts.iter().map(|(name, artifact)| (name.as_str(), artifact.identity())).collect();
        let mut hash = Sha256::new();
        hash.update(warehouse.as_str());
        for (name, identity) in parts {
            hash.update([0]);
            hash.update(name);
            hash.update([0]);
            hash.update(identity);
        }
        let hex = hex(&hash.finalize());
        hex[..FreightId::LENGTH].parse().expect("forty digits of a SHA-256 in hexadecimal")
    }

    /// The value that expressions see as `freight`.
    #[must_use]
    pub fn scope(&self) -> Value {
        let mut scope = Map::new();
        for (name, artifact) in &self.artifacts {
            scope.insert(name.to_string(), artifact.scope());
        }
        Value::Object(scope)
    }

    /// A line for people: `api 1.4.2, infra main@1a2b3c4d5e`.
    #[must_use]
    pub fn summary(&self) -> String {
        let parts: Vec<String> =
            self.artifacts.iter().map(|(name, a)| format!("{name} {}", a.summary())).collect();
        parts.join(", ")
    }
}

/// One stay of freight in a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stay {
    /// When the promotion that brought it succeeded.
    pub entered_at: Timestamp,
    /// When other freight took its place; absent while it is there.
    pub left_at: Option<Timestamp>,
}

/// What happened to one freight so far: the facts from which availability follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreightFacts {
    /// The freight.
    pub freight: Freight,
    /// Stages that a person opened for it past their upstream, since when.
    pub approved_for: BTreeMap<StageName, Timestamp>,
    /// Stages that vouch for it, since when. Revoked verifications are absent.
    pub verified_in: BTreeMap<StageName, Timestamp>,
    /// Every stay in every stage, oldest first.
    pub stays: BTreeMap<StageName, Vec<Stay>>,
    /// The control-flow stages that pass on freight of its warehouse, with what they ask for. Their
    /// soak is that of the stages upstream of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub passed_on: BTreeMap<StageName, Request>,
    /// What steps noted about it, by key.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// The names that it has by now.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub aliases: BTreeSet<Alias>,
}

impl FreightFacts {
    /// Facts of freight to which nothing has happened.
    #[must_use]
    pub fn new(freight: Freight) -> Self {
        Self {
            freight,
            approved_for: BTreeMap::new(),
            verified_in: BTreeMap::new(),
            stays: BTreeMap::new(),
            passed_on: BTreeMap::new(),
            metadata: Map::new(),
            aliases: BTreeSet::new(),
        }
    }

    /// Whether the freight is in the stage now.
    #[must_use]
    pub fn is_in(&self, stage: &StageName) -> bool {
        self.stays.get(stage).is_some_and(|stays| stays.iter().any(|stay| stay.left_at.is_none()))
    }
}

/// Which freight is meant: what fulfils all of what is given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FreightFilter {
    /// Of this warehouse.
    pub warehouse: Option<WarehouseName>,
    /// That this stage vouches for.
    pub verified_in: Option<StageName>,
    /// That is in this stage now.
    pub current_in: Option<StageName>,
    /// With an artifact that matches.
    pub artifacts: ArtifactMatch,
    /// Made at this instant or later.
    pub created_from: Option<Timestamp>,
    /// Made at this instant or earlier.
    pub created_until: Option<Timestamp>,
}

impl FreightFilter {
    /// Freight of one warehouse.
    #[must_use]
    pub fn of_warehouse(warehouse: WarehouseName) -> Self {
        Self { warehouse: Some(warehouse), ..Self::default() }
    }

    /// Whether the freight itself is what is meant; not what happened to it.
    #[must_use]
    pub fn admits(&self, freight: &Freight) -> bool {
        self.warehouse.as_ref().is_none_or(|wanted| *wanted == freight.warehouse)
            && self.created_from.is_none_or(|from| freight.created_at >= from)
            && self.created_until.is_none_or(|until| freight.created_at <= until)
            && (self.artifacts.is_empty() || self.artifacts.matches(freight))
    }

    /// Whether the freight and what happened to it is what is meant.
    #[must_use]
    pub fn admits_facts(&self, facts: &FreightFacts) -> bool {
        self.admits(&facts.freight)
            && self.verified_in.as_ref().is_none_or(|stage| facts.verified_in.contains_key(stage))
            && self.current_in.as_ref().is_none_or(|stage| facts.is_in(stage))
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}
