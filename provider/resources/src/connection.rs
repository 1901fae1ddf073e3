//! The provider's configuration: attributes first, then environment variables.
//!
//! A value that is not known yet is no mistake: the client plans with it, and asks again when it
//! applies. Nothing is guessed meanwhile.

mod settings;

use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Value};
use provider_protocol::provider::{Configure, Reader};
use provider_protocol::schema::{Attribute, Block, Schema};
use reconciler_api::client::{Client, ClientError};
use reconciler_api::v1::Whoami;
use reconciler_domain::id::ProjectName;

use crate::attribute::{check_http_url, checked, filled, parsed};
use crate::failure::detail;
use crate::overlay::Overlay;
use crate::reach::Reach;
use crate::reads::Reads;
use crate::session::Session;
use crate::stop::or_now;
use settings::{
    ADOPT_EXISTING, DELETION_PROTECTION, ENDPOINT, Environment, PROJECT, REQUEST_TIMEOUT, Setting,
    Settings, TOKEN, TOKEN_FILE, request_timeout_attribute,
};

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
        )
        .attribute(
            DELETION_PROTECTION.attribute,
            Attribute::bool().describe(or_variable(
                "The `deletion_protection` of every project, warehouse and stage that says nothing \
                 itself. A change of it is planned for each of them. Default: new objects are not \
                 protected, and those that are there stay as they are.",
                DELETION_PROTECTION,
            )),
        )
        .attribute(
            ADOPT_EXISTING.attribute,
            Attribute::bool().describe(or_variable(
                "Whether creating something that exists takes it over instead of failing: the \
                 object keeps its history, is changed to what the configuration says, and a \
                 warning names it, who defined it last, and what was changed. For moving to a new \
                 state, not for every day: two configurations with this would take the object \
                 from each other. Default: `false`.",
                ADOPT_EXISTING,
            )),
        )
        .attribute(
            REQUEST_TIMEOUT.attribute,
            request_timeout_attribute().describe(or_variable(
                "How long one request may take until `lockstepd` counts as not answering; one \
                 about the effect of a change takes up to a minute more. Default: `30s`.",
                REQUEST_TIMEOUT,
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
    request: Configure<'_>,
    environment: Environment<'_>,
    diags: &mut Diagnostics,
) -> Option<Session> {
    let Configure { config, tool_version, cancel, .. } = request;
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
    let deletion_protection = settings.flag(DELETION_PROTECTION, diags);
    let adopt_existing = settings.flag(ADOPT_EXISTING, diags);
    let timeout = settings.request_timeout(diags);
    let project = settings.project(diags);
    let (endpoint, token) = (endpoint?, token?);
    let (deletion_protection, adopt_existing) = (deletion_protection?, adopt_existing?);
    let (timeout, project) = (timeout?, project?);
    let agent = user_agent(tool_version, environment);
    let api = match Client::new(&endpoint, Some(&token.secret), &agent) {
        Ok(api) => api.with_timeout(timeout),
        Err(error @ ClientError::InvalidToken) => {
            diags.error_at(token.path, "Invalid token", detail(&error));
            return None;
        }
        Err(error) => {
            diags.error_at(Path::attribute(ENDPOINT.attribute), "Invalid endpoint", detail(&error));
            return None;
        }
    };
    let reach = Reach::default();
    let greeted = or_now(cancel, greet(&api, token.path, &reach, diags)).await;
    let whoami = greeted.unwrap_or_else(|stopped| {
        stopped.tell("configure the provider", "", diags);
        None
    })?;
    Some(Session {
        api,
        project,
        deletion_protection,
        adopt_existing: adopt_existing.unwrap_or(false),
        reach,
        reads: Reads::default(),
        principal: whoami.map(|whoami| whoami.name),
        overlay: Overlay::default(),
    })
}

/// Asks once whether the daemon is there and knows the token, so that not each resource has to
/// tell. None if nothing can be done with it. One that is away is no reason to stop: what goes
/// without it tells so.
async fn greet(
    api: &Client,
    token: Path,
    reach: &Reach,
    diags: &mut Diagnostics,
) -> Option<Option<Whoami>> {
    let endpoint = Path::attribute(ENDPOINT.attribute);
    match api.whoami().await {
        Ok(whoami) => return Some(Some(whoami)),
        Err(error) if error.is_unreachable() => {
            reach.noticed(&error);
            return Some(None);
        }
        Err(error @ ClientError::Unauthorized { .. }) => {
            diags.error_at(token, "Token is not accepted", detail(&error));
        }
        Err(error) => diags.error_at(endpoint, "Cannot use the endpoint", detail(&error)),
    }
    None
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
