//! Credentials, without their secrets.

use jiff::Timestamp;
use reconciler_api::v1::{Credential, CredentialStatus};

use super::age::age;
use super::objects::{conditions, definition, ready};
use super::{Show, joined, or_dash, section};

impl Show for Credential {
    const HEADER: &'static [&'static str] =
        &["NAME", "READY", "KIND", "ADDRESS", "SECRETS", "VERSION", "AGE"];

    fn row(&self, now: Timestamp) -> Vec<String> {
        let Self { meta, spec, status } = self;
        vec![
            meta.name.clone(),
            ready(meta),
            spec.kind.to_string(),
            or_dash(spec.address.clone()),
            joined(status.keys.clone()),
            or_dash(spec.version.map(|version| version.to_string())),
            age(meta.created_at, now),
        ]
    }

    fn details(&self, now: Timestamp) -> Vec<String> {
        let CredentialStatus { keys, fingerprints, .. } = &self.status;
        let origin = |key: &String| {
            if let Some(print) = fingerprints.get(key) {
                return format!("stored, fingerprint {print}");
            }
            let from = self.spec.from.iter().find(|from| from.key == *key);
            match from.map(|from| (&from.env, &from.file)) {
                Some((Some(env), _)) => format!("variable {env} of the daemon"),
                Some((None, Some(file))) => format!("file {file} of the daemon"),
                Some((None, None)) | None => "-".to_owned(),
            }
        };
        let rows = keys.iter().map(|key| vec![key.clone(), origin(key)]);
        vec![
            section("secrets", &["KEY", "FROM"], rows.collect()),
            definition(&self.meta, now),
            conditions(&self.meta),
        ]
    }
}
