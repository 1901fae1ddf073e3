//! Credentials: who a project is towards servers, and the secrets that its steps name.
//!
//! Here are names only. A secret itself is sealed by the daemon and opened at the moment of the
//! effect that needs it; what decisions see of it is a keyed fingerprint.
//!
//! A credential is bound to an address ([`Address`]). Where that changes, the secret has to be given
//! again: whoever may repoint a credential must not get what was stored for another server.

mod address;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::check::{Problem, ProblemKind};
use crate::id::CredentialName;
use crate::step::did_you_mean;
pub use address::{Address, AddressError, Scheme};

/// Characters of the longest address.
pub const ADDRESS_MAX: usize = 2_000;
/// The key of the private key that commits and tags are signed with.
pub const SIGNING_KEY: &str = "signing_key";
/// The most secrets of one credential.
pub const SECRETS_MAX: usize = 50;

/// Who a project is towards the servers of one address, or a set of named secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Unique in the project.
    pub name: CredentialName,
    /// What it is for, in a sentence; may be empty.
    pub description: String,
    /// What it is used for.
    pub kind: CredentialKind,
    /// Where it is used, and nowhere else; absent: only by name.
    pub address: Option<Address>,
    /// The user name, which is no secret.
    pub username: Option<String>,
    /// What whoever gave the secrets calls their version.
    pub version: Option<u64>,
    /// The secrets by key.
    pub secrets: BTreeMap<String, Origin>,
}

/// What a credential is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// Git repositories.
    Git,
    /// Container images.
    Image,
    /// HTTP requests of steps and checks, and Prometheus.
    Http,
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It was given, and is kept sealed. The text is a keyed fingerprint of it.
    Stored(String),
    /// The daemon's environment variable of this name, read at each use.
    Env(String),
    /// The file of this path on the daemon's machine, read at each use.
    File(String),
}

impl CredentialKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Git, Self::Image, Self::Http];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Image => "image",
            Self::Http => "http",
        }
    }

    /// The keys that secrets of this kind may have: of those that log in exactly one, and of git the key
    /// that commits and tags are signed with, beside one of them or alone.
    #[must_use]
    pub fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Git => &["password", "token", "ssh_key", SIGNING_KEY],
            Self::Image => &["password"],
            Self::Http => &["password", "token"],
        }
    }

    /// The schemes of addresses of this kind.
    fn schemes(self) -> &'static [Scheme] {
        match self {
            Self::Git => &[Scheme::Https, Scheme::Http, Scheme::Ssh],
            Self::Image => &[Scheme::Oci],
            Self::Http => &[Scheme::Https, Scheme::Http],
        }
    }
}

impl Credential {
    /// Whether a secret that was stored for `self` may be used for `other`, too: only where nothing
    /// about the servers it is sent to is different.
    #[must_use]
    pub fn is_bound_as(&self, other: &Self) -> bool {
        self.kind == other.kind && self.address == other.address && self.username == other.username
    }
}

/// What is stored of a credential that is defined anew without its secrets: what was stored before,
/// but for those that come from elsewhere now.
///
/// # Errors
/// What was stored is bound to something else.
pub fn kept(
    before: Option<&Credential>,
    wanted: &Credential,
) -> Result<BTreeMap<String, Origin>, Problem> {
    let stored = before.into_iter().flat_map(|before| &before.secrets);
    let stored = stored.filter(|(_, origin)| matches!(origin, Origin::Stored(_)));
    let kept: BTreeMap<String, Origin> = stored
        .filter(|(key, _)| !wanted.secrets.contains_key(*key))
        .map(|(key, origin)| (key.clone(), origin.clone()))
        .collect();
    match before {
        Some(before) if !kept.is_empty() && !before.is_bound_as(wanted) => Err(Problem {
            path: "data".to_owned(),
            kind: ProblemKind::Missing,
            message: "kind, address or user name change, so what is stored is not used for it: \
                      give the secret again"
                .to_owned(),
        }),
        Some(_) | None => Ok(kept),
    }
}

/// Checks a credential by itself.
#[must_use]
pub fn check_credential(credential: &Credential) -> Vec<Problem> {
    let mut problems = Vec::new();
    check_address(credential, &mut problems);
    check_keys(credential, &mut problems);
    check_login(credential, &mut problems);
    problems
}

fn check_address(credential: &Credential, problems: &mut Vec<Problem>) {
    let kind = credential.kind;
    let problem = |problem, message| Problem { path: "address".to_owned(), kind: problem, message };
    match (&credential.address, kind.schemes()) {
        (None, _) => problems.push(problem(
            ProblemKind::Missing,
            format!(
                "a credential of kind {} is for one address and what is below it",
                kind.as_str()
            ),
        )),
        (Some(address), allowed) if !allowed.contains(&address.scheme()) => {
            let allowed: Vec<&str> = allowed.iter().map(|scheme| scheme.prefix()).collect();
            problems.push(problem(
                ProblemKind::Invalid,
                format!(
                    "a credential of kind {} is for {}, not for {}",
                    kind.as_str(),
                    allowed.join(" or "),
                    address.scheme().prefix()
                ),
            ));
        }
        (Some(_), _) => {}
    }
}

fn check_keys(credential: &Credential, problems: &mut Vec<Problem>) {
    let Credential { kind, secrets, .. } = credential;
    let mut add = |path: &str, kind, message: String| {
        problems.push(Problem { path: path.to_owned(), kind, message });
    };
    if secrets.is_empty() {
        add("data", ProblemKind::Missing, "there is no secret: give `data` or `from`".to_owned());
    }
    if secrets.len() > SECRETS_MAX {
        let message = format!("a credential has at most {SECRETS_MAX} secrets");
        add("data", ProblemKind::Invalid, message);
    }
    for (key, origin) in secrets {
        let path = place(key, origin);
        if !is_key(key) {
            let message = format!(
                "{key:?} is no key: use letters, digits, '_', '-' and '.', a letter first, 63 at most"
            );
            add(&path, ProblemKind::Invalid, message);
        } else if !kind.keys().contains(&key.as_str()) {
            let hint = did_you_mean(key, kind.keys());
            let message = format!("kind {} has no secret {key:?}; {hint}", kind.as_str());
            add(&path, ProblemKind::Invalid, message);
        }
    }
    if secrets.keys().filter(|key| *key != SIGNING_KEY).count() > 1 {
        let known = kind.keys().iter().filter(|key| **key != SIGNING_KEY);
        let known = known.copied().collect::<Vec<_>>().join(", ");
        let message = format!("kind {} takes exactly one of {known}", kind.as_str());
        add("data", ProblemKind::Conflict, message);
    }
}

/// That the login fits the server.
fn check_login(credential: &Credential, problems: &mut Vec<Problem>) {
    let Credential { kind, address, username, secrets, .. } = credential;
    let mut add = |path: String, kind, message: &str| {
        problems.push(Problem { path, kind, message: message.to_owned() });
    };
    let is_ssh = address.as_ref().is_some_and(|address| address.scheme() == Scheme::Ssh);
    let with_password = secrets.contains_key("password");
    match username {
        Some(_) if !with_password => {
            let message = "a user name goes with a password only";
            add("username".to_owned(), ProblemKind::Conflict, message);
        }
        Some(name) if name.is_empty() || name.contains(':') || name.contains(char::is_control) => {
            let message = "a user name is not empty and has no colon";
            add("username".to_owned(), ProblemKind::Invalid, message);
        }
        None if with_password => {
            let message = "a password goes with a user name";
            add("username".to_owned(), ProblemKind::Missing, message);
        }
        Some(_) | None => {}
    }
    if *kind == CredentialKind::Git && address.is_some() {
        for (key, origin) in secrets.iter().filter(|(key, _)| *key != SIGNING_KEY) {
            if is_ssh != (key == "ssh_key") {
                let message = if is_ssh {
                    "ssh takes an ssh_key"
                } else {
                    "an ssh_key opens ssh:// repositories only"
                };
                add(place(key, origin), ProblemKind::Conflict, message);
            }
        }
    }
}

/// Where a secret is in what was sent.
fn place(key: &str, origin: &Origin) -> String {
    match origin {
        Origin::Stored(_) => format!("data.{key}"),
        Origin::Env(_) | Origin::File(_) => format!("from[{key:?}]"),
    }
}

fn is_key(key: &str) -> bool {
    key.len() <= 63
        && key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn credential(kind: CredentialKind, address: Option<&str>, keys: &[&str]) -> Credential {
        let stored = |key: &&str| ((*key).to_owned(), Origin::Stored("00".to_owned()));
        Credential {
            name: "git".parse().unwrap(),
            description: String::new(),
            kind,
            address: address.map(|text| text.parse().unwrap()),
            username: keys.contains(&"password").then(|| "ci".to_owned()),
            version: None,
            secrets: keys.iter().map(stored).collect(),
        }
    }

    fn check(credential: &Credential, expect: &[&str]) {
        let found: Vec<String> =
            check_credential(credential).iter().map(ToString::to_string).collect();
        assert_eq!(found, expect, "{credential:?}");
    }

    #[test]
    fn logins_that_fit_pass() {
        use CredentialKind::{Git, Http, Image};
        check(&credential(Git, Some("https://git.example.com/team"), &["password"]), &[]);
        check(&credential(Git, Some("https://git.example.com/team"), &["token"]), &[]);
        check(&credential(Git, Some("git@git.example.com:team"), &["ssh_key"]), &[]);
        let signing = ["ssh_key", "signing_key"];
        check(&credential(Git, Some("git@git.example.com:team"), &signing), &[]);
        check(&credential(Git, Some("https://git.example.com/team"), &["signing_key"]), &[]);
        check(&credential(Image, Some("oci://registry.example.com/team"), &["password"]), &[]);
        check(&credential(Http, Some("https://hooks.example.com"), &["token"]), &[]);
    }

    #[test]
    fn logins_that_do_not_fit_are_told_at_their_place() {
        use CredentialKind::{Git, Http, Image};
        check(
            &credential(Git, None, &["token"]),
            &["address: a credential of kind git is for one address and what is below it"],
        );
        check(
            &credential(Image, Some("https://registry.example.com"), &["password"]),
            &["address: a credential of kind image is for oci://, not for https://"],
        );
        check(
            &credential(Http, Some("https://a.example.com"), &["pasword"]),
            &["data.pasword: kind http has no secret \"pasword\"; did you mean \"password\"?"],
        );
        check(
            &credential(Git, Some("ssh://git@git.example.com"), &["token"]),
            &["data.token: ssh takes an ssh_key"],
        );
        check(
            &credential(Git, Some("https://git.example.com"), &["token", "password"]),
            &["data: kind git takes exactly one of password, token, ssh_key"],
        );
        check(
            &credential(Image, Some("oci://registry.example.com"), &["signing_key"]),
            &["data.signing_key: kind image has no secret \"signing_key\"; known: password"],
        );
        check(
            &credential(Git, Some("https://git.example.com"), &[]),
            &["data: there is no secret: give `data` or `from`"],
        );
        let nameless = Credential {
            username: None,
            ..credential(Http, Some("https://a.example.com"), &["password"])
        };
        check(&nameless, &["username: a password goes with a user name"]);
    }

    #[test]
    fn stored_secrets_are_kept_only_for_the_same_servers() {
        let before = credential(CredentialKind::Http, Some("https://a.example.com"), &["token"]);
        let without = |address: &str| Credential {
            secrets: BTreeMap::new(),
            address: Some(address.parse().unwrap()),
            ..before.clone()
        };
        assert_eq!(
            kept(Some(&before), &without("https://a.example.com/")),
            Ok(before.secrets.clone())
        );
        let moved = kept(Some(&before), &without("https://evil.example.com")).unwrap_err();
        assert_eq!(moved.path, "data");
        assert_eq!(kept(None, &without("https://a.example.com")), Ok(BTreeMap::new()));
        let from = Origin::Env("TOKEN".to_owned());
        let elsewhere = Credential {
            secrets: [("token".to_owned(), from)].into(),
            ..without("https://b.example.com")
        };
        assert_eq!(kept(Some(&before), &elsewhere), Ok(BTreeMap::new()));
    }

    #[test]
    fn a_secret_stays_with_what_it_was_given_for() {
        let git = |address| credential(CredentialKind::Git, Some(address), &["password"]);
        let one = git("https://git.example.com/team");
        assert!(one.is_bound_as(&git("https://GIT.example.com:443/team/")));
        assert!(!one.is_bound_as(&git("https://git.example.com")));
        assert!(!one.is_bound_as(&Credential { kind: CredentialKind::Http, ..one.clone() }));
        assert!(!one.is_bound_as(&Credential { username: None, ..one.clone() }));
    }
}
