//! Credentials. Secrets go in and never come out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use reconciler_api::problem::{FieldCode, FieldProblem};
use reconciler_api::v1::{self, CredentialOutline, CredentialSpec, CredentialStatus, SecretFrom};
use reconciler_domain::credential::{Credential, CredentialKind, Origin};
use reconciler_domain::id::CredentialName;

use super::Fields;

/// Reads a credential. `stored` says what is kept of a secret that was given, or what is wrong with
/// it.
pub(crate) fn parse_credential(
    name: CredentialName,
    spec: &CredentialSpec,
    stored: impl Fn(&str, &str) -> Result<Origin, String>,
) -> Result<Credential, Vec<FieldProblem>> {
    let mut fields = Fields::default();
    let mut secrets = BTreeMap::new();
    for (key, secret) in spec.data.iter().flatten() {
        let path = format!("data.{key}");
        let origin = fields.result(&path, FieldCode::Invalid, stored(key, secret.expose()));
        secrets.extend(origin.map(|origin| (key.clone(), origin)));
    }
    for (at, from) in spec.from.iter().enumerate() {
        let path = format!("from[{at}]");
        let Some(origin) = parse_from(&mut fields, &path, from) else { continue };
        if secrets.insert(from.key.clone(), origin).is_some() {
            let message = format!("there are two secrets {:?}", from.key);
            fields.add(&format!("{path}.key"), FieldCode::Duplicate, message);
        }
    }
    let address = match &spec.address {
        Some(text) => fields.parse("address", FieldCode::BadUrl, text).map(Some),
        None => Some(None),
    };
    let credential = address.map(|address| Credential {
        name,
        description: spec.description.clone(),
        kind: kind(spec.kind),
        address,
        username: spec.username.clone(),
        version: spec.version,
        secrets,
    });
    fields.finish(credential)
}

fn parse_from(fields: &mut Fields, path: &str, from: &SecretFrom) -> Option<Origin> {
    match (&from.env, &from.file) {
        (Some(name), None) => Some(Origin::Env(name.clone())),
        (None, Some(file)) if file.starts_with('/') => Some(Origin::File(file.clone())),
        (None, Some(_)) => {
            let message = "the path of a file on the daemon's machine begins with a slash";
            fields.add(&format!("{path}.file"), FieldCode::Invalid, message);
            None
        }
        (Some(_), Some(_)) | (None, None) => {
            fields.add(path, FieldCode::Conflicting, "give one of env and file");
            None
        }
    }
}

/// What is said of a credential.
pub(crate) fn credential_outline(credential: &Credential) -> CredentialOutline {
    let from = credential.secrets.iter().filter_map(|(key, origin)| {
        let (env, file) = match origin {
            Origin::Stored(_) => return None,
            Origin::Env(name) => (Some(name.clone()), None),
            Origin::File(path) => (None, Some(path.clone())),
        };
        Some(SecretFrom { key: key.clone(), env, file })
    });
    CredentialOutline {
        description: credential.description.clone(),
        kind: match credential.kind {
            CredentialKind::Git => v1::CredentialKind::Git,
            CredentialKind::Image => v1::CredentialKind::Image,
            CredentialKind::Http => v1::CredentialKind::Http,
        },
        address: credential.address.as_ref().map(ToString::to_string),
        username: credential.username.clone(),
        version: credential.version,
        from: from.collect(),
    }
}

/// What there is of its secrets.
pub(crate) fn credential_status(
    credential: &Credential,
    stored_at: Option<Timestamp>,
) -> CredentialStatus {
    let fingerprints = credential.secrets.iter().filter_map(|(key, origin)| match origin {
        Origin::Stored(fingerprint) => Some((key.clone(), fingerprint.clone())),
        Origin::Env(_) | Origin::File(_) => None,
    });
    CredentialStatus {
        keys: credential.secrets.keys().cloned().collect(),
        fingerprints: fingerprints.collect(),
        stored_at,
    }
}

fn kind(kind: v1::CredentialKind) -> CredentialKind {
    match kind {
        v1::CredentialKind::Git => CredentialKind::Git,
        v1::CredentialKind::Image => CredentialKind::Image,
        v1::CredentialKind::Http => CredentialKind::Http,
    }
}
