//! Credentials: who a project is towards servers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Kind, Meta, Object, Secret};

/// What a client says of a credential. What comes back is a [`CredentialOutline`], which has no place
/// for a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialSpec {
    /// What it is for, in a sentence.
    #[serde(default)]
    pub description: String,
    /// What it is used for.
    pub kind: CredentialKind,
    /// Where it is used, and nowhere else: `https://git.example.com/team`, `git@git.example.com:team`,
    /// `oci://registry.example.com/team`. The most exact one of a project is used.
    #[serde(default)]
    pub address: Option<String>,
    /// The user name that goes with a password.
    #[serde(default)]
    pub username: Option<String>,
    /// What the client calls this version of `data`; the daemon gives it back and reads nothing into
    /// it. A change of secrets by somebody else shows as another version.
    #[serde(default)]
    pub version: Option<u64>,
    /// Secrets that the daemon reads at each use from what its configuration allows.
    #[serde(default)]
    pub from: Vec<SecretFrom>,
    /// The secrets by key, all of them: `password`, `token` or `ssh_key`, and of git the `signing_key` of
    /// its commits and tags, beside one of them or alone. Null keeps those that are stored, unless the
    /// credential would then be sent to another address.
    #[serde(default)]
    pub data: Option<BTreeMap<String, Secret>>,
}

/// Where the daemon reads one secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretFrom {
    /// The key of the secret.
    pub key: String,
    /// An environment variable of the daemon. This or `file`.
    #[serde(default)]
    pub env: Option<String>,
    /// A file on the daemon's machine; white space at its ends does not count. This or `env`.
    #[serde(default)]
    pub file: Option<String>,
}

wire_enum! {
    /// What a credential is used for.
    CredentialKind {
        /// Git repositories.
        Git = "git",
        /// Container images.
        Image = "image",
        /// HTTP requests of steps and checks, and Prometheus.
        Http = "http",
    }
}

/// What is said of a credential: everything but its secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CredentialOutline {
    /// What it is for, in a sentence.
    pub description: String,
    /// What it is used for.
    pub kind: CredentialKind,
    /// Where it is used, in the form in which addresses are compared.
    pub address: Option<String>,
    /// The user name that goes with a password.
    pub username: Option<String>,
    /// What its author calls the version of the secrets.
    pub version: Option<u64>,
    /// Secrets that the daemon reads at each use.
    pub from: Vec<SecretFrom>,
}

/// What the daemon has of a credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CredentialStatus {
    /// The keys of all secrets, sorted.
    pub keys: Vec<String>,
    /// Of each stored secret a keyed hash, by key: it changes when the secret does, and says nothing
    /// else.
    pub fingerprints: BTreeMap<String, String>,
    /// When the stored secrets were last given; null if none is stored.
    pub stored_at: Option<Timestamp>,
}

/// Who a project is towards the servers of one address, or a set of named secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Credential {
    /// Who and what it is.
    #[serde(flatten)]
    pub meta: Meta,
    /// Its definition, without secrets.
    pub spec: CredentialOutline,
    /// What the daemon has of it.
    pub status: CredentialStatus,
}

impl Object for Credential {
    type Spec = CredentialSpec;

    const KIND: Kind = Kind::Credential;

    fn meta(&self) -> &Meta {
        &self.meta
    }
}
