//! API tokens.

use jiff::Timestamp;
use reconciler_api::problem::{FieldCode, FieldProblem};
use reconciler_api::v1::{
    AccessToken, Meta, MintToken, TokenOutline, TokenSpec, TokenStatus, WorldToken,
};
use reconciler_domain::id::TokenName;
use reconciler_domain::token::{SecretOrigin, Wish, check_groups, check_secret, parse_digest};
use reconciler_store::{ApiToken, NewSecret, NewToken};

use super::{Fields, field_problems};
use crate::server::hash;

/// What a token is changed from.
#[derive(Clone, Copy)]
pub(crate) struct TokenBefore<'a> {
    /// The token that is there.
    pub(crate) token: Option<&'a ApiToken>,
    /// When it is changed.
    pub(crate) now: Timestamp,
}

/// Reads a token whose secret the client knows. No problem repeats a secret.
pub(crate) fn parse_token(
    name: TokenName,
    spec: &TokenSpec,
    before: TokenBefore<'_>,
) -> Result<NewToken, Vec<FieldProblem>> {
    let mut fields = Fields::default();
    let secret = parse_secret(&mut fields, spec, before.token);
    let kept = before.token.is_some_and(|token| token.expires_at == spec.expires_at);
    if !kept && spec.expires_at.is_some_and(|at| at <= before.now) {
        let message = "it is over already; revoke the token instead";
        fields.add("expires_at", FieldCode::Invalid, message);
    }
    for problem in field_problems(check_groups(&spec.groups)) {
        fields.add(&problem.path, problem.code, problem.message);
    }
    let token = NewToken {
        name,
        groups: spec.groups.iter().cloned().collect(),
        admin: spec.admin,
        secret,
        expires_at: spec.expires_at,
    };
    fields.finish(Some(token))
}

fn parse_secret(
    fields: &mut Fields,
    spec: &TokenSpec,
    before: Option<&ApiToken>,
) -> Option<NewSecret> {
    match (&spec.secret, &spec.secret_sha256) {
        (Some(secret), None) => {
            let origin = SecretOrigin::Client { version: spec.version };
            fields.result("secret", FieldCode::Invalid, check_secret(secret.expose()))?;
            Some(NewSecret { hash: hash(secret.expose()), origin })
        }
        (None, Some(digest)) => {
            let hash = fields.result("secret_sha256", FieldCode::Invalid, parse_digest(digest))?;
            Some(NewSecret { hash, origin: SecretOrigin::Digest })
        }
        (Some(_), Some(_)) => {
            let message = "give one of `secret` and `secret_sha256`";
            fields.add("secret_sha256", FieldCode::Conflicting, message);
            None
        }
        (None, None) => {
            if before.is_none() {
                let message = "a new token needs `secret` or `secret_sha256`";
                fields.add("secret", FieldCode::Missing, message);
            }
            None
        }
    }
}

/// Reads the wish for a minted token.
pub(crate) fn wish(spec: &MintToken) -> Result<Wish, Vec<FieldProblem>> {
    let mut fields = Fields::default();
    let lifetime = fields.optional_duration("lifetime", spec.lifetime.as_deref());
    let wish =
        lifetime.map(|lifetime| Wish { lifetime, groups: spec.groups.clone(), admin: spec.admin });
    fields.finish(wish)
}

/// A token as it is told; `world` is the last event that touched it.
pub(crate) fn access_token(token: &ApiToken, world: u64) -> AccessToken {
    let version = match token.origin {
        SecretOrigin::Client { version } => version,
        SecretOrigin::Daemon | SecretOrigin::Digest => None,
    };
    let digest = matches!(token.origin, SecretOrigin::Digest)
        .then(|| token.hash.iter().map(|byte| format!("{byte:02x}")).collect());
    AccessToken {
        meta: Meta {
            project: String::new(),
            name: token.name.clone(),
            id: token.name.clone(),
            generation: token.generation,
            token: WorldToken(world),
            conditions: Vec::new(),
            created_at: token.created_at,
            changed_at: token.changed_at,
            changed_by: token.changed_by.to_string(),
        },
        spec: TokenOutline {
            groups: token.groups.iter().cloned().collect(),
            admin: token.admin,
            expires_at: token.expires_at,
            version,
            secret_sha256: digest,
        },
        status: TokenStatus { minted_from: token.parent.clone(), last_used_at: token.last_used_at },
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const SECRET: &str = "lockstep_abcdefghijabcdefghijabcdefghij12";

    fn read(spec: &str, before: Option<&ApiToken>) -> Result<NewToken, String> {
        let spec: TokenSpec = serde_json::from_str(spec).unwrap();
        let before = TokenBefore { token: before, now: Timestamp::from_second(1000).unwrap() };
        parse_token("ci".parse().unwrap(), &spec, before).map_err(|problems| {
            let text = |it: &FieldProblem| format!("{}: {}", it.path, it.message);
            problems.iter().map(text).collect::<Vec<_>>().join("\n")
        })
    }

    #[test]
    fn a_secret_and_its_hash_are_the_same_token() {
        let given = read(&format!(r#"{{ "secret": "{SECRET}", "version": 3 }}"#), None).unwrap();
        let given = given.secret.unwrap();
        assert_eq!(given.origin, SecretOrigin::Client { version: Some(3) });
        let digest: String = given.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let hashed = read(&format!(r#"{{ "secret_sha256": "{digest}" }}"#), None).unwrap();
        assert_eq!(hashed.secret.unwrap(), NewSecret { origin: SecretOrigin::Digest, ..given });
    }

    #[test]
    fn what_is_wrong_is_told_without_the_secret() {
        let check = |spec: &str, expect: &str| assert_eq!(read(spec, None).unwrap_err(), expect);
        check("{}", "secret: a new token needs `secret` or `secret_sha256`");
        check(
            &format!(r#"{{ "secret": "{SECRET}", "secret_sha256": "00" }}"#),
            "secret_sha256: give one of `secret` and `secret_sha256`",
        );
        check(
            r#"{ "secret": "hunter2", "expires_at": "1970-01-01T00:00:00Z", "groups": [""] }"#,
            "secret: a secret begins with lockstep_, so that scanners of leaked secrets find it\n\
             expires_at: it is over already; revoke the token instead\n\
             groups[0]: a group has between 1 and 100 characters",
        );
    }
}
