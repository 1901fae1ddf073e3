//! What can be set: by an attribute of the `provider` block, else by an environment variable.

use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use provider_protocol::cty::Path;
use provider_protocol::provider::{Field, Reader};
use provider_protocol::schema::Attribute;
use provider_protocol::{Diagnostics, hide};
use reconciler_api::client::REQUEST_TIMEOUT_DEFAULT;
use reconciler_api::v1::Secret;
use reconciler_domain::duration;
use reconciler_domain::id::ProjectName;

use crate::attribute::{checked, span};
use crate::words::sentence;

/// An attribute, and the environment variable that stands in for it.
#[derive(Clone, Copy)]
pub(super) struct Setting {
    pub(super) attribute: &'static str,
    pub(super) variable: &'static str,
}

pub(super) const ENDPOINT: Setting =
    Setting { attribute: "endpoint", variable: "LOCKSTEP_ENDPOINT" };
pub(super) const TOKEN: Setting = Setting { attribute: "token", variable: "LOCKSTEP_TOKEN" };
pub(super) const TOKEN_FILE: Setting =
    Setting { attribute: "token_file", variable: "LOCKSTEP_TOKEN_FILE" };
pub(super) const PROJECT: Setting = Setting { attribute: "project", variable: "LOCKSTEP_PROJECT" };
pub(super) const DELETION_PROTECTION: Setting =
    Setting { attribute: "deletion_protection", variable: "LOCKSTEP_DELETION_PROTECTION" };
pub(super) const ADOPT_EXISTING: Setting =
    Setting { attribute: "adopt_existing", variable: "LOCKSTEP_ADOPT_EXISTING" };
pub(super) const REQUEST_TIMEOUT: Setting =
    Setting { attribute: "request_timeout", variable: "LOCKSTEP_REQUEST_TIMEOUT" };

/// All of them.
#[cfg(test)]
pub(super) const ALL: [Setting; 7] =
    [ENDPOINT, TOKEN, TOKEN_FILE, PROJECT, DELETION_PROTECTION, ADOPT_EXISTING, REQUEST_TIMEOUT];

/// Reads an environment variable.
pub(crate) type Environment<'e> = &'e (dyn Fn(&str) -> Option<String> + Sync);

/// The configuration and the environment.
pub(super) struct Settings<'s> {
    pub(super) config: Reader<'s>,
    pub(super) environment: Environment<'s>,
}

/// A token, and the attribute that it is told at.
pub(super) struct Token {
    pub(super) secret: Secret,
    pub(super) path: Path,
}

impl Token {
    /// A token of wherever: nothing that is told or logged from now on has it.
    fn new(text: &str, path: Path) -> Self {
        hide(text.trim());
        Self { secret: Secret::new(text), path }
    }
}

impl Settings<'_> {
    /// The configured value, or that of the environment; and whether it was configured.
    pub(super) fn get(&self, setting: Setting) -> Option<(String, bool)> {
        if let Field::Known(text) = self.config.string(setting.attribute) {
            return Some((text.to_owned(), true));
        }
        self.variable(setting).map(|text| (text, false))
    }

    fn variable(&self, setting: Setting) -> Option<String> {
        (self.environment)(setting.variable).filter(|text| !text.is_empty())
    }

    /// True or false, or neither where nothing is set. None if the variable has another word.
    pub(super) fn flag(&self, setting: Setting, diags: &mut Diagnostics) -> Option<Option<bool>> {
        if let Field::Known(flag) = self.config.bool(setting.attribute) {
            return Some(Some(flag));
        }
        match self.variable(setting).as_deref() {
            None => Some(None),
            Some("true" | "1") => Some(Some(true)),
            Some("false" | "0") => Some(Some(false)),
            Some(other) => {
                let text = format!(
                    "The environment variable {} is {other:?}. Set it to true or false.",
                    setting.variable
                );
                diags.error_at(Path::attribute(setting.attribute), "Neither true nor false", text);
                None
            }
        }
    }

    /// How long a request may take. None if what is set is no such time.
    pub(super) fn request_timeout(&self, diags: &mut Diagnostics) -> Option<Duration> {
        let Some((text, configured)) = self.get(REQUEST_TIMEOUT) else {
            return Some(REQUEST_TIMEOUT_DEFAULT);
        };
        match parse_timeout(&text) {
            Ok(timeout) => Some(timeout),
            // A configured one was checked, and told, by the schema.
            Err(_) if configured => None,
            Err(problem) => {
                let text =
                    format!("The environment variable {}: {problem}", REQUEST_TIMEOUT.variable);
                diags.error_at(Path::attribute(REQUEST_TIMEOUT.attribute), "Invalid timeout", text);
                None
            }
        }
    }

    /// The project of what names none. None if what is set is no name of one.
    pub(super) fn project(&self, diags: &mut Diagnostics) -> Option<Option<String>> {
        let Some((project, configured)) = self.get(PROJECT) else { return Some(None) };
        match project.parse::<ProjectName>() {
            Ok(_) => Some(Some(project)),
            // A configured one was checked, and told, by the schema.
            Err(_) if configured => None,
            Err(error) => {
                let problem = sentence(&error.to_string());
                let text = format!("The environment variable {}: {problem}", PROJECT.variable);
                diags.error_at(Path::attribute(PROJECT.attribute), "Invalid project", text);
                None
            }
        }
    }

    pub(super) fn required_endpoint(&self, diags: &mut Diagnostics) -> Option<String> {
        let endpoint = self.get(ENDPOINT);
        if endpoint.is_none() {
            diags.error_at(
                Path::attribute(ENDPOINT.attribute),
                "Missing endpoint",
                "Set the provider's `endpoint`, or the environment variable LOCKSTEP_ENDPOINT, to \
                 where lockstepd is, such as http://127.0.0.1:7480.",
            );
        }
        endpoint.map(|(endpoint, _)| endpoint)
    }

    pub(super) fn token(&self, diags: &mut Diagnostics) -> Option<Token> {
        let token_path = Path::attribute(TOKEN.attribute);
        let found = match (self.get(TOKEN), self.get(TOKEN_FILE)) {
            // What is configured goes before what is in the environment.
            (Some((token, true)), _) | (Some((token, _)), None) => {
                return Some(Token::new(&token, token_path));
            }
            (Some(_), Some((_, false))) => Err((
                "Conflicting settings",
                "Both LOCKSTEP_TOKEN and LOCKSTEP_TOKEN_FILE are set. Unset one of them, or set \
                 the provider's `token` or `token_file`.",
            )),
            (_, Some((file, _))) => Ok(file),
            (None, None) => Err((
                "Missing token",
                "Set the provider's `token` or `token_file`, or the environment variable \
                 LOCKSTEP_TOKEN or LOCKSTEP_TOKEN_FILE. `lockstep token create --as NAME` makes a \
                 token; the first is in the file that lockstepd names at its start.",
            )),
        };
        match found {
            Ok(file) => read_token(&PathBuf::from(file), diags),
            Err((summary, detail)) => {
                diags.error_at(token_path, summary, detail);
                None
            }
        }
    }
}

fn read_token(file: &FilePath, diags: &mut Diagnostics) -> Option<Token> {
    let path = Path::attribute(TOKEN_FILE.attribute);
    match fs::read_to_string(file) {
        Ok(text) => Some(Token::new(text.trim(), path)),
        Err(error) => {
            let text = format!("{} cannot be read: {error}.", file.display());
            diags.error_at(path, "Cannot read the token", text);
            None
        }
    }
}

/// The attribute of [`REQUEST_TIMEOUT`].
pub(super) fn request_timeout_attribute() -> Attribute {
    let checked = checked(|text| parse_timeout(text).map(drop));
    Attribute { checks: checked.checks, ..span() }
}

/// Reads a length of time in which a request can be answered at all.
fn parse_timeout(text: &str) -> Result<Duration, String> {
    let timeout = duration::parse(text).map_err(|error| sentence(&error.to_string()))?;
    if timeout < Duration::from_secs(1) || timeout > Duration::from_secs(600) {
        return Err(format!("{text:?} is not between 1s and 10m."));
    }
    Ok(timeout)
}
