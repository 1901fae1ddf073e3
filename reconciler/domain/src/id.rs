//! Names and ids. Each is its own type, parsed once, so that a stage can never be taken for a
//! warehouse and a malformed name never reaches the store.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a name or an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("a {what} must not be empty")]
    Empty {
        /// What was being named.
        what: &'static str,
    },
    /// The text is longer than allowed.
    #[error("a {what} has at most {max} characters, this one has {found}")]
    TooLong {
        /// What was being named.
        what: &'static str,
        /// The limit.
        max: usize,
        /// The length found.
        found: usize,
    },
    /// The text has a character, or an order of characters, that is not allowed.
    #[error("{text:?} is not a {what}: use {rule}")]
    Malformed {
        /// What was being named.
        what: &'static str,
        /// The offending text.
        text: String,
        /// The rule in words.
        rule: &'static str,
    },
}

pub(crate) const NAME_LENGTH_MAX: usize = 63;

fn check_name(what: &'static str, text: &str) -> Result<(), NameError> {
    check_length(what, text)?;
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let well_formed =
        text.chars().all(|c| edge(c) || c == '-') && text.starts_with(edge) && text.ends_with(edge);
    if well_formed {
        return Ok(());
    }
    let rule = "lower-case letters, digits and '-', with a letter or digit at both ends";
    Err(NameError::Malformed { what, text: text.to_owned(), rule })
}

fn check_identifier(what: &'static str, text: &str) -> Result<(), NameError> {
    check_length(what, text)?;
    let well_formed = text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if well_formed {
        return Ok(());
    }
    let rule = "a lower-case letter, then lower-case letters, digits and '_' \
                (expressions address it as a field)";
    Err(NameError::Malformed { what, text: text.to_owned(), rule })
}

fn check_length(what: &'static str, text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what });
    }
    if text.len() > NAME_LENGTH_MAX {
        return Err(NameError::TooLong { what, max: NAME_LENGTH_MAX, found: text.len() });
    }
    Ok(())
}

fn check_freight_id(what: &'static str, text: &str) -> Result<(), NameError> {
    let well_formed = text.len() == FreightId::LENGTH
        && text.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
    if well_formed {
        return Ok(());
    }
    let rule = "40 lower-case hexadecimal digits";
    Err(NameError::Malformed { what, text: text.to_owned(), rule })
}

/// An alias is never taken for an id, or for a word that means freight.
fn check_alias(what: &'static str, text: &str) -> Result<(), NameError> {
    check_name(what, text)?;
    let malformed = |rule| Err(NameError::Malformed { what, text: text.to_owned(), rule });
    if matches!(text, "newest" | "previous") {
        return malformed("another one, because this word means freight already");
    }
    if text.chars().all(|c| c.is_ascii_hexdigit()) {
        return malformed("a name with a character that no id of freight has");
    }
    Ok(())
}

fn check_promotion_id(what: &'static str, text: &str) -> Result<(), NameError> {
    let well_formed = text.rsplit_once('.').is_some_and(|(stage, number)| {
        check_name(what, stage).is_ok() && number.parse::<u64>().is_ok_and(|n| n > 0)
    });
    if well_formed {
        return Ok(());
    }
    let rule = "STAGE.NUMBER, for example prod.12";
    Err(NameError::Malformed { what, text: text.to_owned(), rule })
}

/// A step's name as logs have it: parts joined by dots, the first of them as people write it.
fn check_qualified(what: &'static str, text: &str) -> Result<(), NameError> {
    let (first, rest) = text.split_once('.').unwrap_or((text, "x"));
    check_identifier(what, first)?;
    let part = |part: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        !part.is_empty() && part.chars().all(plain)
    };
    if text.len() > StepName::LENGTH_MAX {
        let (max, found) = (StepName::LENGTH_MAX, text.len());
        return Err(NameError::TooLong { what, max, found });
    }
    if rest.split('.').all(part) {
        return Ok(());
    }
    let rule = "parts of letters, digits, '_' and '-' joined by dots";
    Err(NameError::Malformed { what, text: text.to_owned(), rule })
}

fn check_commit(what: &'static str, text: &str) -> Result<(), NameError> {
    let hexadecimal = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if (CommitPrefix::LENGTH_MIN..=40).contains(&text.len()) && text.chars().all(hexadecimal) {
        return Ok(());
    }
    let rule = "the first 7 to 40 lower-case hexadecimal digits of its id";
    Err(NameError::Malformed { what, text: text.to_owned(), rule })
}

/// The name of a token stands for a person in approvals: it is readable, and not the machine's. It
/// has no `~`, which names of minted tokens have.
fn check_token(what: &'static str, text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what });
    }
    if text.len() > TokenName::LENGTH_MAX {
        return Err(NameError::TooLong { what, max: TokenName::LENGTH_MAX, found: text.len() });
    }
    let malformed = |rule| Err(NameError::Malformed { what, text: text.to_owned(), rule });
    if text == "automation" {
        return malformed("another one, because this stands for what nobody asked for");
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    if text.chars().all(allowed) && !matches!(text, "." | "..") {
        return Ok(());
    }
    malformed("letters, digits, '-', '_', '.' and '@'")
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        name_type!($(#[$doc])* $name, $what, $check, stored $check);
    };
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path, stored $stored:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                $check($what, text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                $stored($what, &text)?;
                Ok(Self(text))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type!(
    /// A tenant; owns everything below.
    ProjectName, "project name", check_name
);
name_type!(
    /// A warehouse, unique in its project.
    WarehouseName, "warehouse name", check_name
);
name_type!(
    /// A subscription, unique in its warehouse; a field of `freight` in expressions.
    SubscriptionName, "subscription name", check_identifier
);
name_type!(
    /// A stage, unique in its project.
    StageName, "stage name", check_name
);
name_type!(
    /// A step, unique in its stage; a field of `steps` in expressions. What a step is expanded to
    /// has a qualified name, `deploy.eu.push`, which people never write as a name: parsing refuses
    /// it, reading it from a log does not.
    StepName, "step name", check_identifier, stored check_qualified
);
name_type!(
    /// A task, unique in its project.
    TaskName, "task name", check_name
);
name_type!(
    /// An input of a task, unique in it; a field of `inputs` in expressions.
    InputName, "input name", check_identifier
);
name_type!(
    /// A promotion policy, unique in its project.
    PolicyName, "policy name", check_name
);
name_type!(
    /// A hold, unique in its project.
    HoldName, "hold name", check_name
);
name_type!(
    /// A freeze, unique in its project.
    FreezeName, "freeze name", check_name
);
name_type!(
    /// The beginning of a commit's id: 7 to 40 hexadecimal digits.
    CommitPrefix, "commit", check_commit
);
name_type!(
    /// A verification template, unique in its project.
    VerificationName, "verification name", check_name
);
name_type!(
    /// A credential, unique in its project.
    CredentialName, "credential name", check_name
);
name_type!(
    /// An API token; in no project. It is who its bearer is.
    TokenName, "token name", check_token
);
name_type!(
    /// A name of freight that people choose, and that may go on to other freight.
    Alias, "alias", check_alias
);
name_type!(
    /// Freight: the hash of its content, 40 hexadecimal digits.
    FreightId, "freight id", check_freight_id
);
name_type!(
    /// A promotion: its stage and a number that rises in the stage, as in `prod.12`.
    PromotionId, "promotion id", check_promotion_id
);

impl FreightId {
    /// Digits of an id.
    pub const LENGTH: usize = 40;

    /// The form shown to people: the first ten digits.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..10]
    }
}

impl TokenName {
    /// Bytes of a token's name.
    pub const LENGTH_MAX: usize = 100;
}

impl StepName {
    /// Bytes of a qualified name.
    pub const LENGTH_MAX: usize = 160;

    /// The name of a part of this step: `deploy` and `eu` give `deploy.eu`.
    ///
    /// # Errors
    /// The part is not of letters, digits, `_` and `-`, or the whole is too long.
    pub fn part(&self, part: &str) -> Result<Self, NameError> {
        Self::try_from(format!("{self}.{part}"))
    }

    /// What a path below `steps` reads of this step: the rest of the path, empty if it reads the
    /// step as a whole or something that contains it; absent if it reads others.
    #[must_use]
    pub fn read_by<'p>(&self, path: &'p [String]) -> Option<&'p [String]> {
        let parts = self.0.split('.').count();
        let common = self.0.split('.').zip(path);
        if !common.clone().all(|(part, read)| part == read) {
            return None;
        }
        Some(path.get(parts..).unwrap_or_default())
    }
}

impl CommitPrefix {
    /// Digits that are enough.
    pub const LENGTH_MIN: usize = 7;

    /// Whether the commit's id begins so.
    #[must_use]
    pub fn begins(&self, commit: &str) -> bool {
        commit.starts_with(&self.0)
    }
}

impl PromotionId {
    /// The id of the `number`-th promotion of `stage`.
    #[must_use]
    pub fn new(stage: &StageName, number: u64) -> Self {
        Self(format!("{stage}.{number}"))
    }

    /// The number inside the stage; a later promotion has a larger one.
    #[must_use]
    pub fn number(&self) -> u64 {
        let digits = self.0.rsplit_once('.').map_or("", |(_, number)| number);
        digits.parse().expect("checked when the id was parsed")
    }
}

/// Who did something: a person's token name, or the automation itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "name")]
pub enum Principal {
    /// A policy of mode automatic or gated.
    Automation,
    /// A person or machine, by the name of its token.
    Named(String),
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Automation => f.write_str("automation"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr<Err = NameError>>(text: &str, expect: &str) {
        let found = match text.parse::<T>() {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expect, "for {text:?}");
    }

    #[test]
    fn names_are_dns_labels() {
        check::<StageName>("prod-eu1", "ok");
        check::<StageName>("", "a stage name must not be empty");
        check::<StageName>(
            "Prod",
            "\"Prod\" is not a stage name: use lower-case letters, digits and '-', \
             with a letter or digit at both ends",
        );
        check::<StageName>(
            &"a".repeat(64),
            "a stage name has at most 63 characters, this one has 64",
        );
    }

    #[test]
    fn tokens_are_named_after_people_and_machines() {
        for good in ["ada", "Ada.Lovelace@example.com", "terraform-ci_2"] {
            check::<TokenName>(good, "ok");
        }
        check::<TokenName>(
            "automation",
            "\"automation\" is not a token name: use another one, because this stands for what \
             nobody asked for",
        );
        for bad in ["a b", "ada~1", "..", "a/b", "adä"] {
            let rule = "use letters, digits, '-', '_', '.' and '@'";
            check::<TokenName>(bad, &format!("{bad:?} is not a token name: {rule}"));
        }
    }

    #[test]
    fn subscriptions_and_steps_are_identifiers() {
        check::<SubscriptionName>("api_v2", "ok");
        check::<StepName>(
            "git-push",
            "\"git-push\" is not a step name: use a lower-case letter, then lower-case letters, \
             digits and '_' (expressions address it as a field)",
        );
    }

    #[test]
    fn only_logs_have_qualified_names_of_steps() {
        assert!("deploy.eu".parse::<StepName>().is_err());
        let deploy: StepName = "deploy".parse().expect("well formed");
        let push = deploy.part("eu-1").and_then(|each| each.part("push")).expect("plain parts");
        assert_eq!(push.as_str(), "deploy.eu-1.push");
        assert_eq!(StepName::try_from(push.to_string()), Ok(push.clone()));
        for bad in ["", "a b", "a..b", "é"] {
            assert!(deploy.part(bad).is_err(), "{bad:?}");
        }
        let path = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        let reads = |text: &str| push.read_by(&path(text)).map(<[String]>::to_vec);
        assert_eq!(reads("deploy.eu-1.push.commit"), Some(vec!["commit".to_owned()]));
        assert_eq!(reads("deploy"), Some(Vec::new()));
        assert_eq!(reads("deploy.eu-2.push.commit"), None);
    }

    #[test]
    fn promotions_name_their_stage_and_number() {
        check::<PromotionId>("prod.12", "ok");
        for bad in ["prod", "prod.0", "prod.x", ".1", "PROD.1"] {
            check::<PromotionId>(
                bad,
                &format!("{bad:?} is not a promotion id: use STAGE.NUMBER, for example prod.12"),
            );
        }
        let id: PromotionId = "prod-eu.7".parse().expect("well formed");
        assert_eq!(id.number(), 7);
    }
}
