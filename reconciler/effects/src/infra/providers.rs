//! Which providers infra modules may use, and where those come from.
//!
//! The tools hold to it themselves: it is written as the `provider_installation` of their command line
//! configuration, which then is the only way to a provider. What is built into the tool needs none.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Longest part of a provider's address.
const PART_MAX: usize = 100;

/// Providers by address: `NAMESPACE/TYPE` of the tool's own registry, or `HOST/NAMESPACE/TYPE`; `*` stands for any
/// type, or for any namespace and type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProviderPattern(String);

/// Why a text is no [`ProviderPattern`].
#[derive(Debug, thiserror::Error)]
#[error(
    "{text:?} names no providers: write NAMESPACE/TYPE, such as `hashicorp/aws`, or HOST/NAMESPACE/TYPE, such as \
     `registry.example.com/acme/*`"
)]
pub struct PatternError {
    text: String,
}

impl FromStr for ProviderPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let parts: Vec<&str> = text.split('/').collect();
        let is_well_formed = match parts.as_slice() {
            [namespace, name] => are_names(namespace, name),
            [host, namespace, name] => is_host(host) && are_names(namespace, name),
            _ => false,
        };
        if is_well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(PatternError { text: text.to_owned() })
        }
    }
}

fn are_names(namespace: &str, name: &str) -> bool {
    let plain = |part: &str| {
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        !part.is_empty() && part.len() <= PART_MAX && part.chars().all(known)
    };
    match (namespace, name) {
        ("*", "*") => true,
        (namespace, "*") => plain(namespace),
        (namespace, name) => plain(namespace) && plain(name),
    }
}

fn is_host(host: &str) -> bool {
    let known =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | ':');
    host.len() <= 253 && host.contains(['.', ':']) && host.chars().all(known)
}

impl fmt::Display for ProviderPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which providers may be used, and where they come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Providers {
    /// Which; empty: all.
    pub allow: Vec<ProviderPattern>,
    /// A directory with providers, laid out as a filesystem mirror of the tools; absent: none.
    pub mirror: Option<PathBuf>,
    /// Whether they may come from their registries, too.
    pub registries: bool,
}

impl Providers {
    /// The command line configuration that says so.
    pub(super) fn settings(&self) -> String {
        let mut text = "provider_installation {\n".to_owned();
        if let Some(mirror) = &self.mirror {
            self.method("filesystem_mirror", Some(mirror), &mut text);
        }
        if self.registries {
            self.method("direct", None, &mut text);
        }
        text.push_str("}\n");
        text
    }

    fn method(&self, name: &str, path: Option<&Path>, text: &mut String) {
        let path = path.map(|path| format!("    path = {}\n", quoted(&path.to_string_lossy())));
        let allowed: Vec<String> = self.allow.iter().map(|pattern| quoted(&pattern.0)).collect();
        let include = match allowed.as_slice() {
            [] => String::new(),
            allowed => format!("    include = [{}]\n", allowed.join(", ")),
        };
        let path = path.unwrap_or_default();
        text.push_str(&format!("  {name} {{\n{path}{include}  }}\n"));
    }

    /// What people are told where a provider is not to be had.
    pub(crate) fn told(&self) -> String {
        let which = match self.allow.as_slice() {
            [] => "any provider".to_owned(),
            allowed => allowed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        };
        let from = match (&self.mirror, self.registries) {
            (Some(mirror), true) => format!("{} or a registry", mirror.display()),
            (Some(mirror), false) => mirror.display().to_string(),
            (None, true) => "a registry".to_owned(),
            (None, false) => "nowhere".to_owned(),
        };
        format!(
            "lockstepd lets modules use {which} from {from}: ask whoever runs it for another one \
             (`infra_providers` of its configuration)"
        )
    }
}

/// A text in the language of the configuration, which knows no way to write `${`: paths do without.
fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn patterns_are_what_the_tools_take() {
        for text in [
            "hashicorp/aws",
            "hashicorp/*",
            "*/*",
            "registry.example.com/acme/*",
            "a.example:8443/*/*",
        ] {
            assert_eq!(text.parse::<ProviderPattern>().unwrap().to_string(), text);
        }
        for text in [
            "aws",
            "*/aws",
            "",
            "/",
            "a/b/c/d",
            "host/acme/x",
            "Acme/x",
            "a/\"",
            "*/a/b",
            "a b/c",
            "a/${x}",
        ] {
            assert!(text.parse::<ProviderPattern>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_settings_name_every_way_and_no_other() {
        let allow = ["hashicorp/aws", "example.com/acme/*"].map(|text| text.parse().unwrap());
        let mirror = Some(PathBuf::from("/srv/a \"b\""));
        let both = Providers { allow: allow.into(), mirror, registries: true };
        insta::assert_snapshot!(both.settings(), @r#"
        provider_installation {
          filesystem_mirror {
            path = "/srv/a \"b\""
            include = ["hashicorp/aws", "example.com/acme/*"]
          }
          direct {
            include = ["hashicorp/aws", "example.com/acme/*"]
          }
        }
        "#);
        let all = Providers { registries: true, ..Providers::default() };
        insta::assert_snapshot!(all.settings(), @r"
        provider_installation {
          direct {
          }
        }
        ");
    }
}
