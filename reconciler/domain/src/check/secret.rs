//! Checks of the secrets that the arguments of a step name.

use serde_json::Value;

use super::{Problem, ProblemKind, Surroundings, unknown};
use crate::credential::CredentialKind;
use crate::secret::{SecretRef, named};
use crate::step::{Step, did_you_mean};

/// Checks the secrets of one argument: that they are there, and may be sent to where the step sends.
pub(super) fn check_secrets(
    step: &Step,
    value: &Value,
    path: &str,
    around: &Surroundings<'_>,
    problems: &mut Vec<Problem>,
) {
    check_sent(step.config["url"].as_str(), value, path, around, problems);
}

/// Checks the secrets of a text that is sent to this address: that they are there, and may be sent there.
pub(super) fn check_sent(
    url: Option<&str>,
    value: &Value,
    path: &str,
    around: &Surroundings<'_>,
    problems: &mut Vec<Problem>,
) {
    match named(value) {
        Ok(secrets) => {
            for secret in secrets {
                check_secret(url, &secret, path, around, problems);
            }
        }
        Err(message) => {
            problems.push(Problem::new(path, ProblemKind::Expression, message));
        }
    }
}

fn check_secret(
    url: Option<&str>,
    SecretRef { credential: name, key }: &SecretRef,
    path: &str,
    around: &Surroundings<'_>,
    problems: &mut Vec<Problem>,
) {
    let Some(credential) = around.credentials.get(name) else {
        let known: Vec<&str> = around.credentials.keys().map(|name| name.as_str()).collect();
        return unknown("credential", name.as_str(), &known, path.to_owned(), problems);
    };
    let mut wrong = |message| problems.push(Problem::new(path, ProblemKind::Invalid, message));
    if credential.kind != CredentialKind::Http {
        let kind = credential.kind.as_str();
        return wrong(format!("credential {name} is of kind {kind}, requests take those of http"));
    }
    if !credential.secrets.contains_key(key) {
        let known: Vec<&str> = credential.secrets.keys().map(String::as_str).collect();
        return wrong(format!(
            "credential {name} has no secret {key:?}; {}",
            did_you_mean(key, &known)
        ));
    }
    let url = url.filter(|url| !url.contains("{{"));
    if let (Some(address), Some(url)) = (&credential.address, url)
        && !address.covers(url)
    {
        let url = url.split(['?', '#']).next().unwrap_or(url);
        wrong(format!("credential {name} is for {address} and below, and not sent to {url}"));
    }
}
