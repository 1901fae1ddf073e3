//! API tokens: who their bearer is, what their secrets look like, and what a bearer may mint.
//!
//! A bearer mints tokens that last for a short time: they act as whoever minted them, with no more
//! rights and for no longer. So nobody becomes two people by minting, and what is withdrawn from a
//! token is withdrawn from all that came of it: their rights are looked at anew with each request.
//! A minted token cannot prolong itself; only what minted it can.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::check::{Problem, ProblemKind};
use crate::duration;

/// What every secret begins with, so that scanners of leaked secrets find it.
pub const SECRET_PREFIX: &str = "lockstep_";
/// Characters behind the prefix that a secret has at least.
pub const SECRET_LENGTH_MIN: usize = 32;
/// Bytes that a secret has at most.
pub const SECRET_LENGTH_MAX: usize = 255;

/// How long a minted token lasts where nobody says.
pub const LIFETIME_DEFAULT: Duration = Duration::from_secs(60 * 60);
/// How long a minted token lasts at least.
pub const LIFETIME_MIN: Duration = Duration::from_secs(60);
/// How long a minted token lasts at most.
pub const LIFETIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How many tokens may stand between a minted token and one that was not minted.
pub const DEPTH_MAX: usize = 4;

/// Bytes that the name of a group has at most.
const GROUP_LENGTH_MAX: usize = 100;

/// Where a token's secret comes from. The daemon keeps a hash of it, whatever it says here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum SecretOrigin {
    /// The daemon drew it.
    Daemon,
    /// A client gave it, and calls it by this version.
    Client {
        /// What the client calls it; absent: nothing.
        version: Option<u64>,
    },
    /// A client gave its hash only.
    Digest,
}

/// What a token says of itself, as far as rights depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its name.
    pub name: String,
    /// The groups that its bearer is in.
    pub groups: BTreeSet<String>,
    /// Whether its bearer may administer the daemon.
    pub admin: bool,
    /// When it stops being good; absent: never.
    pub expires_at: Option<Timestamp>,
}

/// Whoever sends a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// The name of the token that was sent.
    pub token: String,
    /// Who it is: the name of the token that this one was minted from, or its own.
    pub name: String,
    /// The groups that the bearer is in.
    pub groups: BTreeSet<String>,
    /// Whether the bearer may administer the daemon.
    pub admin: bool,
    /// When this ends; absent: never.
    pub expires_at: Option<Timestamp>,
    /// How many tokens stand behind this one.
    pub depth: usize,
}

/// A token that is no longer good, or one that it was minted from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the token {name} has expired")]
pub struct Expired {
    /// Its name.
    pub name: String,
}

/// Who sends a token: it, and behind it the tokens that it was minted from, in order. A bearer has
/// what all of them have.
///
/// # Errors
/// One of them has expired.
pub fn bearer(token: &Token, behind: &[Token], now: Timestamp) -> Result<Bearer, Expired> {
    let mut bearer = Bearer {
        token: token.name.clone(),
        name: token.name.clone(),
        groups: token.groups.clone(),
        admin: token.admin,
        expires_at: token.expires_at,
        depth: behind.len(),
    };
    for each in std::iter::once(token).chain(behind) {
        if each.expires_at.is_some_and(|at| at <= now) {
            return Err(Expired { name: each.name.clone() });
        }
        bearer.name.clone_from(&each.name);
        bearer.groups.retain(|group| each.groups.contains(group));
        bearer.admin &= each.admin;
        bearer.expires_at = earlier(bearer.expires_at, each.expires_at);
    }
    Ok(bearer)
}

/// What a minted token is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// How long it lasts; absent: [`LIFETIME_DEFAULT`].
    pub lifetime: Option<Duration>,
    /// The groups that its bearer is in; absent: all of those that the caller is in.
    pub groups: Option<Vec<String>>,
    /// Whether its bearer may administer the daemon.
    pub admin: bool,
}

/// A minted token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Minted {
    /// The groups that its bearer is in.
    pub groups: BTreeSet<String>,
    /// Whether its bearer may administer the daemon.
    pub admin: bool,
    /// When it stops being good.
    pub expires_at: Timestamp,
}

/// The token that a bearer may mint as wished: never with more than the bearer has, nor for longer.
///
/// # Errors
/// What of the wish goes too far, each with its field.
pub fn mint(bearer: &Bearer, wish: &Wish, now: Timestamp) -> Result<Minted, Vec<Problem>> {
    let mut problems = Vec::new();
    if bearer.depth >= DEPTH_MAX {
        let message = format!(
            "{} was minted from tokens that were minted themselves, {DEPTH_MAX} times over; \
             mint from one of those",
            bearer.token
        );
        problems.push(problem("", message));
    }
    if wish.admin && !bearer.admin {
        let message = format!("{} is not an administrator", bearer.name);
        problems.push(problem("admin", message));
    }
    let groups = wish.groups.as_deref().unwrap_or_default();
    for (at, group) in groups.iter().enumerate().filter(|(_, it)| !bearer.groups.contains(*it)) {
        let message = format!("{} is not in group {group:?}", bearer.name);
        problems.push(problem(&format!("groups[{at}]"), message));
    }
    let lifetime = wish.lifetime.unwrap_or(LIFETIME_DEFAULT);
    problems.extend(check_lifetime(lifetime));
    if !problems.is_empty() {
        return Err(problems);
    }
    let groups = match &wish.groups {
        Some(groups) => groups.iter().cloned().collect(),
        None => bearer.groups.clone(),
    };
    Ok(Minted { groups, admin: wish.admin, expires_at: end(bearer, lifetime, now) })
}

/// When a token that the bearer minted ends if it is renewed now for this long.
///
/// # Errors
/// No token lasts so long, or so short.
pub fn renew(bearer: &Bearer, lifetime: Duration, now: Timestamp) -> Result<Timestamp, Problem> {
    check_lifetime(lifetime).map_or_else(|| Ok(end(bearer, lifetime, now)), Err)
}

fn end(bearer: &Bearer, lifetime: Duration, now: Timestamp) -> Timestamp {
    let wished = now.checked_add(lifetime).unwrap_or(Timestamp::MAX);
    bearer.expires_at.map_or(wished, |end| end.min(wished))
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

/// What is wrong with a lifetime.
#[must_use]
pub fn check_lifetime(lifetime: Duration) -> Option<Problem> {
    let message = format!(
        "a minted token lasts between {} and {}, not {}",
        duration::print(LIFETIME_MIN),
        duration::print(LIFETIME_MAX),
        duration::print(lifetime)
    );
    let fits = (LIFETIME_MIN..=LIFETIME_MAX).contains(&lifetime);
    (!fits).then(|| problem("lifetime", message))
}

/// What is wrong with the groups of a token.
#[must_use]
pub fn check_groups(groups: &[String]) -> Vec<Problem> {
    let check = |(at, group): (usize, &String)| {
        let path = format!("groups[{at}]");
        if group.trim().is_empty() || group.len() > GROUP_LENGTH_MAX {
            let message = format!("a group has between 1 and {GROUP_LENGTH_MAX} characters");
            return Some(problem(&path, message));
        }
        let repeated = groups[..at].contains(group);
        let message = format!("group {group:?} stands twice");
        repeated.then_some(Problem { path, kind: ProblemKind::Duplicate, message })
    };
    groups.iter().enumerate().filter_map(check).collect()
}

/// Checks the form of a secret that a client chose. What it says never repeats the secret.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub fn check_secret(secret: &str) -> Result<(), String> {
    let Some(random) = secret.strip_prefix(SECRET_PREFIX) else {
        return Err(format!(
            "a secret begins with {SECRET_PREFIX}, so that scanners of leaked secrets find it"
        ));
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !random.chars().all(allowed) {
        return Err("a secret is of letters, digits, '-' and '_'".to_owned());
    }
    if random.len() < SECRET_LENGTH_MIN || secret.len() > SECRET_LENGTH_MAX {
        return Err(format!(
            "a secret has at least {SECRET_LENGTH_MIN} random characters behind \
             {SECRET_PREFIX}, and {SECRET_LENGTH_MAX} in all at most; this has {} behind it",
            random.len()
        ));
    }
    Ok(())
}

/// Reads the SHA-256 of a secret.
///
/// # Errors
/// It is not written as 64 lower-case hexadecimal digits.
pub fn parse_digest(text: &str) -> Result<[u8; 32], String> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pair = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    let pairs = text.as_bytes().chunks_exact(2);
    let bytes: Option<Vec<u8>> = if text.len() == 64 { pairs.map(pair).collect() } else { None };
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
        "a SHA-256 is written as 64 lower-case hexadecimal digits, as `sha256sum` does".to_owned()
    })
}

fn problem(path: &str, message: String) -> Problem {
    Problem { path: path.to_owned(), kind: ProblemKind::Invalid, message }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn token(name: &str, groups: &[&str], admin: bool, expires: Option<i64>) -> Token {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        Token { name: name.to_owned(), groups, admin, expires_at: expires.map(at) }
    }

    /// What a wish gives a bearer, or what is wrong with it.
    fn minted(of: &Bearer, wish: &Wish) -> String {
        match mint(of, wish, at(1000)) {
            Ok(Minted { groups, admin, expires_at }) => {
                format!("{groups:?} admin {admin} until {}", expires_at.as_second())
            }
            Err(problems) => {
                problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            }
        }
    }

    #[test]
    fn a_bearer_has_what_all_tokens_behind_have() {
        let ada = token("ada", &["sre", "dev"], true, Some(9000));
        let run = token("ada~1", &["sre", "dev", "gone"], true, Some(2000));
        let job = token("ada~1~2", &["sre", "gone"], false, Some(3000));
        let found = bearer(&job, &[run.clone(), ada.clone()], at(1000)).unwrap();
        assert_eq!(
            found,
            Bearer {
                token: "ada~1~2".to_owned(),
                name: "ada".to_owned(),
                groups: ["sre".to_owned()].into(),
                admin: false,
                expires_at: Some(at(2000)),
                depth: 2,
            }
        );
        // It ends with the first of them, at that instant.
        let refused =
            |now| bearer(&job, &[run.clone(), ada.clone()], at(now)).map_err(|it| it.name);
        assert_eq!(refused(1999).map(|it| it.name), Ok("ada".to_owned()));
        assert_eq!(refused(2000).unwrap_err(), "ada~1");
        // What is taken from the first is taken from the last.
        let plain = token("ada", &["dev"], false, None);
        let found = bearer(&run, &[plain], at(1000)).unwrap();
        assert_eq!((found.groups, found.admin), (["dev".to_owned()].into(), false));
    }

    #[test]
    fn nobody_mints_more_than_they_have() {
        let ada = bearer(&token("ada", &["dev", "sre"], false, Some(5000)), &[], at(1000)).unwrap();
        let root = bearer(&token("root", &[], true, None), &[], at(1000)).unwrap();
        let check = |of: &Bearer, wish: Wish, expect: &str| assert_eq!(minted(of, &wish), expect);
        let wish = Wish::default();
        check(&root, wish.clone(), "{} admin false until 4600");
        check(&ada, wish.clone(), r#"{"dev", "sre"} admin false until 4600"#);
        let hours = |count: u64| Some(Duration::from_secs(count * 3600));
        check(
            &ada,
            Wish { lifetime: hours(2), ..wish.clone() },
            r#"{"dev", "sre"} admin false until 5000"#,
        );
        check(&root, Wish { admin: true, ..wish.clone() }, "{} admin true until 4600");
        check(&ada, Wish { admin: true, ..wish.clone() }, "admin: ada is not an administrator");
        let groups = |names: &[&str]| Some(names.iter().map(|it| (*it).to_owned()).collect());
        check(
            &ada,
            Wish { groups: groups(&["sre"]), ..wish.clone() },
            r#"{"sre"} admin false until 4600"#,
        );
        check(&ada, Wish { groups: groups(&[]), ..wish.clone() }, "{} admin false until 4600");
        // An administrator is in no group by that.
        let refused = r#"groups[1]: root is not in group "sre""#;
        let wished = Wish { groups: groups(&["", "sre"]), ..wish.clone() };
        assert!(minted(&root, &wished).ends_with(refused));
        check(
            &root,
            Wish { lifetime: hours(25), ..wish.clone() },
            "lifetime: a minted token lasts between 1m and 1d, not 1d1h",
        );
        let deep = Bearer { depth: DEPTH_MAX, ..root };
        assert!(minted(&deep, &wish).contains("4 times over"));
    }

    #[test]
    fn a_renewed_token_does_not_outlive_what_minted_it() {
        let check = |expires, expect| {
            let of = bearer(&token("ada", &[], false, expires), &[], at(1000)).unwrap();
            assert_eq!(renew(&of, LIFETIME_DEFAULT, at(1000)), Ok(at(expect)));
        };
        check(None, 4600);
        check(Some(4000), 4000);
        check(Some(5000), 4600);
    }

    #[test]
    fn secrets_can_be_found_and_not_guessed() {
        let good = format!("{SECRET_PREFIX}{}", "aB3-_".repeat(8));
        assert_eq!(check_secret(&good), Ok(()));
        for bad in
            [&good[9..], &good[..40], &format!("{good} "), &good.repeat(9), "", SECRET_PREFIX]
        {
            let error = check_secret(bad).unwrap_err();
            assert!(bad.len() < 12 || !error.contains(bad), "{error}");
        }
    }

    #[test]
    fn digests_are_hexadecimal() {
        let text = "00ff".repeat(16);
        assert_eq!(parse_digest(&text).unwrap()[..2], [0, 255]);
        for bad in ["", "00", &text.to_uppercase(), &"é".repeat(32), &format!("{text}00")] {
            assert!(parse_digest(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn groups_have_names() {
        let check = |groups: &[&str]| {
            let groups: Vec<String> = groups.iter().map(|it| (*it).to_owned()).collect();
            check_groups(&groups).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(check(&["sre", "dev"]), [""; 0]);
        assert_eq!(
            check(&["sre", " ", "sre"]),
            [
                "groups[1]: a group has between 1 and 100 characters",
                "groups[2]: group \"sre\" stands twice"
            ]
        );
    }
}
