//! Access tokens and who their bearer is.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccessToken {
    /// How it is named when it is revoked.
    pub id: String,
    /// Who its bearer is.
    pub name: String,
    /// The groups that its bearer is in.
    pub groups: Vec<String>,
    /// Whether its bearer may create and revoke tokens.
    pub admin: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it stops working; null for never.
    pub expires_at: Option<Timestamp>,
}

/// A token just created: the only answer that ever holds its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreatedAccessToken {
    /// What can be seen of it later.
    #[serde(flatten)]
    pub access: AccessToken,
    /// What its bearer sends.
    pub token: Secret,
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
    /// The name.
    pub name: String,
    /// The groups.
    pub groups: Vec<String>,
    /// Whether tokens may be created and revoked.
    pub admin: bool,
}
