//! Warehouses: named subscriptions to artifact sources.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Kind, Meta, Object};

/// How many versions a subscription keeps in view when it names no number.
pub const DISCOVERY_LIMIT_DEFAULT: u32 = 20;

/// What a client says of a warehouse. Subscriptions are keyed by name across their kinds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WarehouseSpec {
    /// How often the sources are asked, a duration such as `5m`.
    #[serde(default = "WarehouseSpec::interval_default")]
    pub interval: String,
    /// Branches of git repositories.
    #[serde(default)]
    pub git: Vec<GitSubscription>,
    /// Repositories of container images.
    #[serde(default)]
    pub image: Vec<ImageSubscription>,
    /// What must hold across the subscriptions for a combination to become freight, in CEL over
    /// `freight`.
    #[serde(default)]
    pub require: Option<String>,
    /// Whether it is refused to be removed.
    #[serde(default)]
    pub deletion_protection: bool,
}

impl WarehouseSpec {
    /// How often sources are asked when the spec says nothing.
    pub const INTERVAL_DEFAULT: &str = "5m";

    fn interval_default() -> String {
        Self::INTERVAL_DEFAULT.to_owned()
    }
}

impl Default for WarehouseSpec {
    fn default() -> Self {
        Self {
            interval: Self::interval_default(),
            git: Vec::new(),
            image: Vec::new(),
            require: None,
            deletion_protection: false,
        }
    }
}

/// A branch of a git repository; each commit that touches the wanted paths is a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GitSubscription {
    /// How expressions address it: `freight.<name>`.
    pub name: String,
    /// The URL of the repository.
    pub repo: String,
    /// The branch.
    pub branch: String,
    /// Only commits that touch one of these paths count: a path and everything below it, or after
    /// `glob:` or `regex:` a pattern. Empty means every path.
    #[serde(default)]
    pub include_paths: Vec<String>,
    /// Paths that do not count, even if included.
    #[serde(default)]
    pub exclude_paths: Vec<String>,
    /// How many of the newest versions are kept in view.
    #[serde(default = "discovery_limit_default")]
    pub discovery_limit: u32,
}

/// A repository of container images; each tag that passes the filters is a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageSubscription {
    /// How expressions address it: `freight.<name>`.
    pub name: String,
    /// The repository, such as `registry.example.com/shop/api`.
    pub repo: String,
    /// Which versions count, a range such as `^1.4`. Null means every version.
    #[serde(default)]
    pub constraint: Option<String>,
    /// Whether a tag must be a full `major.minor.patch`, with an optional leading `v`.
    #[serde(default = "ImageSubscription::strict_semver_default")]
    pub strict_semver: bool,
    /// Regular expressions, unanchored, of which a tag must match one. Empty means every tag.
    #[serde(default)]
    pub allow_tags: Vec<String>,
    /// Regular expressions, unanchored, of which a tag may match none; judged first.
    #[serde(default)]
    pub ignore_tags: Vec<String>,
    /// Which platform an image must have, such as `linux/amd64`. Null means any.
    #[serde(default)]
    pub platform: Option<String>,
    /// Whether the registry is spoken to without TLS.
    #[serde(default)]
    pub insecure: bool,
    /// How many of the newest versions are kept in view.
    #[serde(default = "discovery_limit_default")]
    pub discovery_limit: u32,
}

fn discovery_limit_default() -> u32 {
    DISCOVERY_LIMIT_DEFAULT
}

impl ImageSubscription {
    /// Whether tags must be full versions where a subscription says nothing.
    pub const STRICT_SEMVER_DEFAULT: bool = true;

    const fn strict_semver_default() -> bool {
        Self::STRICT_SEMVER_DEFAULT
    }
}

/// A named set of subscriptions, and the rule for making freight of what they find.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Warehouse {
    /// Who and what it is.
    #[serde(flatten)]
    pub meta: Meta,
    /// Its definition.
    pub spec: WarehouseSpec,
    /// What the daemon has seen.
    pub status: WarehouseStatus,
}

/// What the daemon has seen of a warehouse.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WarehouseStatus {
    /// When every source was last asked.
    pub checked_at: Option<Timestamp>,
    /// When they are asked next.
    pub next_check_at: Option<Timestamp>,
    /// The id of the freight made last.
    pub newest_freight: Option<String>,
}

impl Object for Warehouse {
    type Spec = WarehouseSpec;

    const KIND: Kind = Kind::Warehouse;

    fn meta(&self) -> &Meta {
        &self.meta
    }
}
