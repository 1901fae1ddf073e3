//! The provider's configuration: attributes first, then environment variables.
//!
//! A value that is not known yet is no mistake: the client plans with it, and asks again when it
//! applies. Nothing is guessed meanwhile.

use std::fs;
use std::path::{Path as FilePath, PathBuf};

use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Value};
use provider_protocol::provider::{Field, Reader};
use provider_protocol::schema::{Block, Schema};
use reconciler_api::client::{Client, ClientError};
use reconciler_api::v1::Secret;
use reconciler_domain::id::ProjectName;

use crate::attribute::{check_http_url, checked, filled, parsed};
use crate::failure::detail;
use crate::overlay::Overlay;
use crate::session::Session;

const ENDPOINT: Setting = Setting { attribute: "endpoint", variable: "LOCKSTEP_ENDPOINT" };
const TOKEN: Setting = Setting { attribute: "token", variable: "LOCKSTEP_TOKEN" };
const TOKEN_FILE: Setting = Setting { attribute: "token_file", variable: "LOCKSTEP_TOKEN_FILE" };
const PROJECT: Setting = Setting { attribute: "project", variable: "LOCKSTEP_PROJECT" };

/// An attribute, and the environment variable that stands in for it.
#[derive(Clone, Copy)]
struct Setting {
    attribute: &'static str,
    variable: &'static str,
}

/// Reads an environment variable.
pub(crate) type Environment<'e> = &'e (dyn Fn(&str) -> Option<String> + Sync);

/// What a `provider` block holds.
pub(crate) fn schema() -> Schema {
    let or_variable =
        |text: &str, setting: Setting| format!("{text} Environment: `{}`.", setting.variable);
    let block = Block::new()
        .describe("Lockstep promotes applications and infrastructure as one unit.")
        .attribute(
            ENDPOINT.attribute,
            checked(check_http_url).describe(or_variable(
                "Where `lockstepd` is, such as `https://lockstep.example.com`.",
                ENDPOINT,
            )),
        )
        .attribute(
            TOKEN.attribute,
            filled()
                .sensitive()
                .describe(or_variable("A token of the daemon. Give this or `token_file`.", TOKEN)),
        )
        .attribute(
            TOKEN_FILE.attribute,
            filled()
                .describe(or_variable("A file that holds a token, and nothing else.", TOKEN_FILE)),
        )
        .attribute(
            PROJECT.attribute,
            parsed::<ProjectName>().describe(or_variable(
                "The project of everything that names none itself.",
                PROJECT,
            )),
        );
    Schema::new(block)
}

/// Checks what can be known of a configuration by itself.
pub(crate) fn validate(config: &Value, diags: &mut Diagnostics) {
    let reader = Reader::root(config);
    if !reader.get(TOKEN.attribute).is_null() && !reader.get(TOKEN_FILE.attribute).is_null() {
        diags.error_at(
            Path::attribute(TOKEN_FILE.attribute),
            "Conflicting settings",
            "Both `token` and `token_file` are set. Leave one of them out.",
        );
    }
}

/// Takes a configuration into use. None if it is not known yet, or wrong.
pub(crate) async fn open(
    config: &Value,
    tool_version: &str,
    environment: Environment<'_>,
    diags: &mut Diagnostics,
) -> Option<Session> {
    if let Some(unknown) = config.first_unknown() {
        diags.warning_at(
            unknown.clone(),
            "Provider configuration is not known yet",
            format!(
                "The provider's `{unknown}` is known only after apply, so this plan is made \
                 without the daemon: nothing can be read, and the effect on live freight is not \
                 shown."
            ),
        );
        return None;
    }
    let settings = Settings { config: Reader::root(config), environment };
    let endpoint = settings.required_endpoint(diags);
    let token = settings.token(diags);
    let (endpoint, token) = (endpoint?, token?);
    let agent = user_agent(tool_version, environment);
    let api = match Client::new(&endpoint, Some(&token.secret), &agent) {
        Ok(api) => api,
        Err(error @ ClientError::InvalidToken) => {
            diags.error_at(token.path, "Invalid token", detail(&error));
            return None;
        }
        Err(error) => {
            diags.error_at(Path::attribute(ENDPOINT.attribute), "Invalid endpoint", detail(&error));
            return None;
        }
    };
    let reachable = greet(&api, token.path, diags).await?;
    let project = settings.get(PROJECT).map(|(project, _)| project);
    Some(Session { api, project, reachable, overlay: Overlay::default() })
}

/// Asks once whether the daemon is there and knows the token, so that not each resource has to
/// tell. None if nothing can be done with it.
async fn greet(api: &Client, token: Path, diags: &mut Diagnostics) -> Option<bool> {
    let endpoint = Path::attribute(ENDPOINT.attribute);
    match api.whoami().await {
        Ok(_) => return Some(true),
        Err(error) if is_down(&error) => {
            let text = format!(
                "{}\n\nA plan goes on without the daemon; it does not show the effect on live \
                 freight. Anything that must be read or written fails.",
                detail(&error)
            );
            diags.warning_at(endpoint, "Lockstep is not reachable", text);
            return Some(false);
        }
        Err(error @ ClientError::Unauthorized { .. }) => {
            diags.error_at(token, "Token is not accepted", detail(&error));
        }
        Err(error) => diags.error_at(endpoint, "Cannot use the endpoint", detail(&error)),
    }
    None
}

/// Whether the daemon could not be asked, so that a plan does without its answer.
pub(crate) fn is_down(error: &ClientError) -> bool {
    error.is_unreachable()
        || error.code() == Some(reconciler_api::problem::ProblemCode::Unavailable)
}

struct Settings<'s> {
    config: Reader<'s>,
    environment: Environment<'s>,
}

struct Token {
    secret: Secret,
    path: Path,
}

impl Settings<'_> {
    /// The configured value, or that of the environment; and whether it was configured.
    fn get(&self, setting: Setting) -> Option<(String, bool)> {
        if let Field::Known(text) = self.config.string(setting.attribute) {
            return Some((text.to_owned(), true));
        }
        let text = (self.environment)(setting.variable).filter(|text| !text.is_empty());
        text.map(|text| (text, false))
    }

    fn required_endpoint(&self, diags: &mut Diagnostics) -> Option<String> {
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

    fn token(&self, diags: &mut Diagnostics) -> Option<Token> {
        let token_path = Path::attribute(TOKEN.attribute);
        let found = match (self.get(TOKEN), self.get(TOKEN_FILE)) {
            // What is configured goes before what is in the environment.
            (Some((token, true)), _) | (Some((token, _)), None) => {
                return Some(Token { secret: Secret::new(token), path: token_path });
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
        Ok(text) => Some(Token { secret: Secret::new(text.trim()), path }),
        Err(error) => {
            let text = format!("{} cannot be read: {error}.", file.display());
            diags.error_at(path, "Cannot read the token", text);
            None
        }
    }
}

fn user_agent(tool_version: &str, environment: Environment<'_>) -> String {
    let mut agent = format!("terraform-provider-lockstep/{}", env!("CARGO_PKG_VERSION"));
    // The protocol does not say whether the tool is Terraform or OpenTofu.
    if !tool_version.is_empty() {
        agent = format!("{agent} tf/{tool_version}");
    }
    match environment("TF_APPEND_USER_AGENT") {
        Some(more) if !more.trim().is_empty() => format!("{agent} {}", more.trim()),
        _ => agent,
    }
}

#[cfg(test)]
mod tests;
