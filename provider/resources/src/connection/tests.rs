#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Write as _;

use provider_protocol::provider::Capabilities;
use tokio_util::sync::CancellationToken;

use super::*;

/// Nothing listens there: the port is reserved and needs privileges.
const NOBODY: &str = "http://127.0.0.1:1";

/// What a configuration and an environment lead to: diagnostics, and whether there is a session.
async fn told(config: &[(&str, Value)], environment: &[(&str, &str)]) -> (Vec<String>, bool) {
    let names = schema().block.attributes.into_keys();
    let mut value = Value::object(names.map(|name| (name, Value::Null)));
    for (name, setting) in config {
        value.set(*name, setting.clone());
    }
    let environment = |name: &str| {
        let found = environment.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, text)| (*text).to_owned())
    };
    let mut diags = Diagnostics::new();
    validate(&value, &mut diags);
    let request = Configure {
        config: &value,
        tool_version: "1.11.4",
        capabilities: Capabilities::default(),
        cancel: &CancellationToken::new(),
    };
    let session = open(request, &environment, &mut diags).await;
    if let Some(session) = &session {
        session.reach.goes_without(&mut diags);
    }
    (diags.iter().map(|it| format!("{}: {}", it.path, it.summary)).collect(), session.is_some())
}

async fn check(
    config: &[(&str, Value)],
    environment: &[(&str, &str)],
    expected: &[&str],
    opens: bool,
) {
    let (told, opened) = told(config, environment).await;
    assert_eq!(told, expected, "{config:?} {environment:?}");
    assert_eq!(opened, opens, "{config:?} {environment:?}");
}

#[tokio::test]
async fn what_is_missing_is_told_once_for_each() {
    check(&[], &[], &["endpoint: Missing endpoint", "token: Missing token"], false).await;
    check(&[("token", "t".into())], &[], &["endpoint: Missing endpoint"], false).await;
    // An empty variable is none.
    let empty = [("LOCKSTEP_ENDPOINT", ""), ("LOCKSTEP_TOKEN", "t")];
    check(&[], &empty, &["endpoint: Missing endpoint"], false).await;
}

#[tokio::test]
async fn settings_that_conflict_are_refused() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "t").unwrap();
    let file = file.path().to_str().unwrap();
    let endpoint = ("endpoint", Value::from(NOBODY));
    let down = ": Lockstep is not reachable";
    let both = [("LOCKSTEP_TOKEN", "t"), ("LOCKSTEP_TOKEN_FILE", file)];
    let config = [endpoint.clone()];
    check(&config, &both, &["token: Conflicting settings"], false).await;
    let config = [endpoint.clone(), ("token", "t".into()), ("token_file", file.into())];
    check(&config, &[], &["token_file: Conflicting settings", down], true).await;
    // What is configured goes before the environment.
    let config = [endpoint.clone(), ("token_file", file.into())];
    check(&config, &both, &[down], true).await;
    let config = [endpoint, ("token", "t".into())];
    check(&config, &both, &[down], true).await;
}

#[tokio::test]
async fn settings_that_are_wrong_are_told_at_their_attribute() {
    let file = ("token_file", Value::from("/nonexistent/token"));
    let endpoint = ("endpoint", Value::from(NOBODY));
    check(&[endpoint.clone(), file], &[], &["token_file: Cannot read the token"], false).await;
    check(&[endpoint, ("token", "a b".into())], &[], &["token: Invalid token"], false).await;
    let config = [("endpoint", "ftp://x".into()), ("token", "t".into())];
    check(&config, &[], &["endpoint: Invalid endpoint"], false).await;
}

#[tokio::test]
async fn what_is_not_known_yet_is_no_mistake() {
    let config = [("endpoint", Value::unknown())];
    check(&config, &[], &["endpoint: Provider configuration is not known yet"], false).await;
}

#[tokio::test]
async fn variables_of_another_form_are_told() {
    let endpoint = ("endpoint", Value::from(NOBODY));
    let config = [endpoint, ("token", "t".into())];
    let down = ": Lockstep is not reachable";
    for (variable, text, told) in [
        ("LOCKSTEP_ADOPT_EXISTING", "yes", "adopt_existing: Neither true nor false"),
        ("LOCKSTEP_ADOPT_EXISTING", "1", ""),
        ("LOCKSTEP_DELETION_PROTECTION", "on", "deletion_protection: Neither true nor false"),
        ("LOCKSTEP_DELETION_PROTECTION", "false", ""),
        ("LOCKSTEP_REQUEST_TIMEOUT", "soon", "request_timeout: Invalid timeout"),
        ("LOCKSTEP_REQUEST_TIMEOUT", "1h", "request_timeout: Invalid timeout"),
        ("LOCKSTEP_REQUEST_TIMEOUT", "5s", ""),
    ] {
        let expected = if told.is_empty() { down } else { told };
        check(&config, &[(variable, text)], &[expected], told.is_empty()).await;
    }
}

#[tokio::test]
async fn a_project_of_the_environment_has_a_name() {
    let environment = |project: &'static str| {
        [("LOCKSTEP_ENDPOINT", NOBODY), ("LOCKSTEP_TOKEN", "t"), ("LOCKSTEP_PROJECT", project)]
    };
    check(&[], &environment("My Shop"), &["project: Invalid project"], false).await;
    check(&[], &environment("shop"), &[": Lockstep is not reachable"], true).await;
    let configured = [("project", Value::from("shop"))];
    check(&configured, &environment("My Shop"), &[": Lockstep is not reachable"], true).await;
}

#[test]
fn every_attribute_has_a_variable() {
    let schema = schema();
    let offered: Vec<&str> = schema.block.attributes.keys().map(String::as_str).collect();
    assert_eq!(offered, settings::ALL.map(|it| it.attribute));
    for Setting { attribute, variable } in settings::ALL {
        assert_eq!(variable, format!("LOCKSTEP_{}", attribute.to_ascii_uppercase()));
        let description = &schema.block.attributes[attribute].description;
        assert!(description.contains(&format!("`{variable}`")), "{attribute}: {description}");
    }
}
