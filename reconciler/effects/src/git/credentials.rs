//! Who we are towards a git server.

use std::fmt;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

use super::key_file::KeyFile;
use super::signing::Signer;
use super::url::RepoUrl;

/// Text that is never printed and is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

/// What proves who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing is sent; `ssh` uses its agent and its configuration.
    Anonymous,
    /// HTTP Basic, RFC 7617; most forges take a token as the password.
    Basic {
        /// The user name.
        username: String,
        /// The password or token.
        password: Secret,
    },
    /// HTTP bearer token, RFC 6750.
    Bearer(Secret),
    /// A private key file for ssh; no other key is offered.
    SshKey(KeyFile),
}

/// Answers which credentials a repository needs.
#[async_trait]
pub trait CredentialSource: Send + Sync {
    /// The credentials for `repo`, asked once per operation so that a rotated secret is used at
    /// once. The error is shown to people: it says what is missing and never a secret.
    async fn credentials(&self, repo: &RepoUrl) -> Result<Credentials, String>;

    /// What signs the commits and annotated tags that are made for `repo`; `None`: nothing does. Asked
    /// as often, with the same kind of error.
    async fn signer(&self, _repo: &RepoUrl) -> Result<Option<Signer>, String> {
        Ok(None)
    }
}

/// No credentials for anything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Anonymous;

#[async_trait]
impl CredentialSource for Anonymous {
    async fn credentials(&self, _repo: &RepoUrl) -> Result<Credentials, String> {
        Ok(Credentials::Anonymous)
    }
}

/// The same credentials for each repository.
#[async_trait]
impl CredentialSource for Credentials {
    async fn credentials(&self, _repo: &RepoUrl) -> Result<Self, String> {
        Ok(self.clone())
    }
}

impl Secret {
    /// Takes the text over.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Credentials {
    /// The `Authorization` header, marked as sensitive; `None` if nothing is to be sent.
    pub(super) fn authorization(&self) -> Result<Option<HeaderValue>, String> {
        let text = match self {
            Self::Anonymous => return Ok(None),
            Self::Basic { username, password } => {
                let pair = Zeroizing::new(format!("{username}:{}", password.expose()));
                format!("Basic {}", STANDARD.encode(pair.as_bytes()))
            }
            Self::Bearer(token) => format!("Bearer {}", token.expose()),
            Self::SshKey(_) => return Err("an ssh key cannot be used with an http URL".to_owned()),
        };
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| "the token contains characters that HTTP forbids".to_owned())?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// Makes text of a server fit to be shown: one line, no control characters, at most 300
    /// characters, and without our secret should the server echo it.
    pub(super) fn presentable(&self, text: &str) -> String {
        let secret = match self {
            Self::Basic { password, .. } => password.expose(),
            Self::Bearer(token) => token.expose(),
            Self::Anonymous | Self::SshKey(_) => "",
        };
        let text = if secret.is_empty() {
            text.to_owned()
        } else {
            let encoded = STANDARD.encode(secret);
            text.replace(secret, "[redacted]").replace(&encoded, "[redacted]")
        };
        let clean = text.split(|c: char| c.is_control() || c.is_whitespace());
        let words: Vec<&str> = clean.filter(|word| !word.is_empty()).collect();
        words.join(" ").chars().take(300).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let basic =
            Credentials::Basic { username: "ci".to_owned(), password: Secret::new("hunter2") };
        let bearer = Credentials::Bearer(Secret::new("hunter2"));
        for credentials in [basic, bearer] {
            let header = credentials.authorization();
            let shown = format!("{credentials:?} {header:?}");
            assert!(!shown.contains("hunter2") && !shown.contains("Y2k6"), "{shown}");
            let echoed = credentials.presentable("bad\u{1b}[2J token\n hunter2!");
            assert_eq!(echoed, "bad [2J token [redacted]!");
        }
    }
}
