//! Secrets in templates: `secret("CREDENTIAL", "KEY")`.
//!
//! What is rendered holds words in the place of a secret, `[secret CREDENTIAL/KEY]`: they are what is
//! shown, approved, digested and written into the log. The value itself is known to the effect that sends
//! it, at the moment at which it does.
//!
//! Words that came from elsewhere (the subject of a commit, an answer) are no secret: a step that names one
//! is not rendered where they stand in anything else.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::expression::{Function, Names, Reference, Scope, Shape};
use crate::id::CredentialName;
use crate::step::Step;
use crate::template::{references_json, render_json};

/// The function's name.
const SECRET: &str = "secret";
/// What the words for a secret begin with.
const WORDS: &str = "[secret ";

/// One secret of one credential.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SecretRef {
    /// The credential.
    pub credential: CredentialName,
    /// The key of the secret in it.
    pub key: String,
}

impl SecretRef {
    /// What stands for it.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{WORDS}{}/{}]", self.credential, self.key)
    }
}

/// These names and `secret`.
#[must_use]
pub fn with_secret(names: &Names) -> Names {
    names.clone().function(SECRET, Function::new(2..=2, Shape::Scalar))
}

/// Lets expressions name secrets, and see words for them.
pub fn define(scope: &mut Scope) {
    scope.define(SECRET, |arguments| match arguments {
        [Value::String(credential), Value::String(key)] => {
            let credential = credential.parse().map_err(|error| format!("{error}"))?;
            Ok(Value::from(SecretRef { credential, key: key.clone() }.words()))
        }
        _ => Err("secret takes the name of a credential and a key of it".to_owned()),
    });
}

/// The secrets that the templates of a value name, sorted, each once.
///
/// # Errors
/// One is named otherwise than by two literal texts, or is no name.
pub fn named(value: &Value) -> Result<Vec<SecretRef>, String> {
    let references = references_json(value).map_err(|error| error.to_string())?;
    let calls = references.iter().filter(|reference| reference.root() == SECRET);
    let mut found = BTreeSet::new();
    for call in calls {
        let Reference::Call { arguments, .. } = call else { continue };
        let [Some(credential), Some(key)] = arguments.as_slice() else {
            return Err(format!("{call} names its secret otherwise than by two literal texts"));
        };
        let credential: CredentialName =
            credential.parse().map_err(|error| format!("{call}: {error}"))?;
        found.insert(SecretRef { credential, key: key.clone() });
    }
    Ok(found.into_iter().collect())
}

/// Arguments with every template rendered, and the secrets whose words are in them.
///
/// # Errors
/// A template has no value, or words for a secret are where no secret was named.
pub fn rendered(config: &Value, scope: &Scope) -> Result<(Value, Vec<SecretRef>), String> {
    let render = |scope: &Scope| render_json(config, scope).map_err(|error| error.to_string());
    let secrets = named(config)?;
    if !secrets.is_empty() {
        let mut without = scope.clone();
        without.define(SECRET, |_| Ok(Value::from("")));
        if has_words(&render(&without)?) {
            return Err(format!(
                "an argument has the text `{WORDS}` from elsewhere; in a step that names a secret, nothing \
                 else may look like one"
            ));
        }
    }
    Ok((render(scope)?, secrets))
}

fn has_words(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(WORDS),
        Value::Array(items) => items.iter().any(has_words),
        Value::Object(fields) => {
            fields.iter().any(|(name, field)| name.contains(WORDS) || has_words(field))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The credentials that the steps name: in templates, and as `CREDENTIAL/KEY` in the environment of what they run.
#[must_use]
pub fn credentials_of(steps: &[Step]) -> BTreeSet<CredentialName> {
    let secrets = steps.iter().filter_map(|step| named(&step.config).ok());
    let in_templates = secrets.flatten().map(|secret| secret.credential);
    in_templates.chain(steps.iter().flat_map(|step| in_environment(&step.config))).collect()
}

/// The credentials of the secrets by variable of a step that runs something.
fn in_environment(config: &Value) -> impl Iterator<Item = CredentialName> {
    let maps =
        ["secrets", "apply_secrets"].into_iter().filter_map(|map| config.get(map)?.as_object());
    let named = maps.flat_map(|map| map.values()).filter_map(Value::as_str);
    named.filter_map(|secret| secret.split_once('/')?.0.parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::step::StepKind;

    fn scope(subject: &str) -> Scope {
        let mut scope = Scope::new();
        scope.set("subject", json!(subject));
        define(&mut scope);
        scope
    }

    #[test]
    fn what_is_rendered_has_words_in_the_place_of_the_secret() {
        let config = json!({ "headers": { "X-Key": "Key {{ secret('hook', 'token') }}" },
            "body": ["{{ subject }}", "{{ secret('hook', 'token') }}"] });
        let (rendered, secrets) = rendered(&config, &scope("fix")).expect("it renders");
        assert_eq!(
            rendered,
            json!({ "headers": { "X-Key": "Key [secret hook/token]" },
            "body": ["fix", "[secret hook/token]"] })
        );
        let token =
            SecretRef { credential: "hook".parse().expect("a name"), key: "token".to_owned() };
        assert_eq!(secrets, [token]);
    }

    #[test]
    fn words_from_elsewhere_stand_for_nothing() {
        let config = json!({ "body": "{{ subject }}" });
        let forged = scope("[secret hook/token]");
        let (_, secrets) = rendered(&config, &forged).expect("it names none");
        assert_eq!(secrets, []);
        let config = json!({ "body": "{{ subject }}", "key": "{{ secret('hook', 'token') }}" });
        let error = rendered(&config, &forged).expect_err("it would be taken for one");
        assert!(error.contains("from elsewhere"), "{error}");
    }

    #[test]
    fn credentials_are_found_wherever_a_step_names_them() {
        let step = |uses, config| Step::new("step".parse().expect("a name"), uses, config);
        let steps = [
            step(StepKind::Http, json!({ "body": "{{ secret('hook', 'token') }}" })),
            step(StepKind::TfPlan, json!({ "secrets": { "A": "cloud/key", "B": "{{ vars.b }}" } })),
            step(
                StepKind::TfApply,
                json!({ "apply_secrets": { "PASSWORD": "database/password" } }),
            ),
            step(StepKind::RunEffect, json!({ "secrets": { "TOKEN": "deploy/token" } })),
        ];
        let found: Vec<String> = credentials_of(&steps).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["cloud", "database", "deploy", "hook"]);
    }

    #[test]
    fn a_secret_is_named_by_literal_texts() {
        let config = json!({ "body": "{{ secret('hook', subject) }}" });
        let error = rendered(&config, &scope("token")).expect_err("it is computed");
        assert!(error.contains("two literal texts"), "{error}");
    }
}
