//! Access tokens and who their bearer is.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Kind, Meta, Object};

/// Asks for a token for a person or a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateAccessToken {
    /// Who its bearer is; approvals count people by this name.
    pub name: String,
    /// The groups that its bearer is in.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Whether its bearer may create and revoke tokens.
    #[serde(default)]
    pub admin: bool,
    /// When it stops working; null for never.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

/// What a client says of a token. What comes back is a [`TokenOutline`], which has no place for a
/// secret. One of `secret` and `secret_sha256`, where the token is new; without both it keeps the
/// secret that it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenSpec {
    /// The groups that its bearer is in.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Whether its bearer may create and revoke tokens.
    #[serde(default)]
    pub admin: bool,
    /// When it stops working; null for never.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// What its bearer sends: `lockstep_` and at least 32 random letters, digits, `-` and `_`. The
    /// daemon keeps its SHA-256 only. Another secret works at once, and the one before no longer.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// What the client calls this version of `secret`; the daemon gives it back and reads nothing
    /// into it. A change of the secret by somebody else shows as another version.
    #[serde(default)]
    pub version: Option<u64>,
    /// The SHA-256 of the secret, as 64 lower-case hexadecimal digits, instead of the secret. Of a
    /// secret that is not random it can be guessed from that.
    #[serde(default)]
    pub secret_sha256: Option<String>,
}

/// What is said of a token: everything but its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenOutline {
    /// The groups that its bearer is in.
    pub groups: Vec<String>,
    /// Whether its bearer may create and revoke tokens.
    pub admin: bool,
    /// When it stops working; null for never.
    pub expires_at: Option<Timestamp>,
    /// What its author calls the version of the secret; null if the daemon made the secret, or has
    /// it from its hash.
    pub version: Option<u64>,
    /// The SHA-256 of the secret, where that is how it was given.
    pub secret_sha256: Option<String>,
}

/// What the daemon has of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenStatus {
    /// The token that this one was minted from; null if it was not minted.
    pub minted_from: Option<String>,
    /// When it was last used, give or take a minute.
    pub last_used_at: Option<Timestamp>,
}

/// A token, without its secret. It is in no project: its `project` is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccessToken {
    /// Who its bearer is, and how it is named when it is revoked.
    #[serde(flatten)]
    pub meta: Meta,
    /// Its definition.
    pub spec: TokenOutline,
    /// What the daemon has of it.
    pub status: TokenStatus,
}

impl Object for AccessToken {
    type Spec = TokenSpec;

    const KIND: Kind = Kind::Token;

    fn meta(&self) -> &Meta {
        &self.meta
    }
}

/// A token just created, rotated or minted: the only answer that ever holds its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreatedAccessToken {
    /// What can be seen of it later.
    #[serde(flatten)]
    pub access: AccessToken,
    /// What its bearer sends.
    pub secret: Secret,
}

/// Asks for a token that acts as the caller for a short time, with no more rights than the caller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MintToken {
    /// How long it lasts, such as `30m`, between a minute and a day; null for an hour. It ends with the
    /// token that it is minted from, if that is earlier.
    #[serde(default)]
    pub lifetime: Option<String>,
    /// The groups that its bearer is in, of those that the caller is in; null for all of them.
    #[serde(default)]
    pub groups: Option<Vec<String>>,
    /// Whether its bearer may create and revoke tokens; only if the caller may.
    #[serde(default)]
    pub admin: bool,
}

/// Lets a token that the caller minted last longer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RenewToken {
    /// How long it lasts from now on, as when it is minted.
    #[serde(default)]
    pub lifetime: Option<String>,
}

/// Which tokens of all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenQuery {
    /// How many at most: 100 when left out, never more than 500.
    pub limit: Option<u32>,
    /// The `next` of the page before.
    pub page: Option<String>,
    /// Those that were minted, instead of those that were not.
    pub minted: Option<bool>,
}

/// The secret of a token. It is shown once, and never by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps the text of a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Whoever calls this answers for where it goes.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

/// Who the bearer of the sent token is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Whoami {
    /// The name; of a minted token that of the token that it acts as.
    pub name: String,
    /// The groups.
    pub groups: Vec<String>,
    /// Whether tokens may be created and revoked.
    pub admin: bool,
}
