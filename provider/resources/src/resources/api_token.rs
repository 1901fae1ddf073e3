//! `lockstep_api_token`.
//!
//! Its secret is the user's: write-only, or only its hash. It is sent when the object is made and
//! when its version changes.

use jiff::Timestamp;
use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Value};
use provider_protocol::provider::{Change, Reader};
use provider_protocol::schema::Attribute;
use reconciler_api::v1::{self, Secret, TokenOutline, TokenSpec};
use reconciler_domain::id::TokenName;
use reconciler_domain::token::{check_secret, parse_digest};

use crate::attribute::{checked, count, filled_list, instant};
use crate::form::{self, Read as _};
use crate::managed::{Definition, Item};
use crate::place::Moved;
use crate::words::sentence;

/// The write-only secret.
const SECRET: &str = "secret_wo";
/// What it is called.
const VERSION: &str = "secret_wo_version";
/// Its hash, instead.
const DIGEST: &str = "secret_sha256";

pub(crate) struct ApiToken;

impl Definition for ApiToken {
    type Object = v1::AccessToken;
    type Name = TokenName;

    const TYPE_NAME: &'static str = "lockstep_api_token";
    const DESCRIPTION: &'static str = "A token of the API: who its bearer is, and in which groups. \
        It belongs to no project, and takes an administrator's token to manage. The secret is \
        yours: give it in `secret_wo`, which needs Terraform or OpenTofu 1.11, or only its hash in \
        `secret_sha256`. It is in no state, plan or log, and the daemon keeps its hash. A new \
        secret works at once and the old one no longer; to change without a gap, make a second \
        token first. Destroying the resource revokes the token, and all that were minted from it. A configuration \
        that the client writes for one that is there has no secret: add `secret_wo`, or the hash, \
        and plan again.";
    const NAMED: &'static str = "letters, digits, `-`, `_`, `.` and `@`, 100 at most; approvals \
        and the ledger name its bearer so";
    const MOVED: Moved = &[("secret", SECRET), ("version", VERSION)];

    fn fields() -> Vec<(&'static str, Item)> {
        vec![
            (
                "groups",
                filled_list()
                    .describe("The groups that its bearer is in; policies ask for them.")
                    .into(),
            ),
            (
                "admin",
                Attribute::bool()
                    .default(false)
                    .describe("Whether its bearer may manage tokens.")
                    .into(),
            ),
            (
                "expires_at",
                instant()
                    .describe(
                        "When it stops working, such as `2030-01-01T08:00:00Z`. Without it, it \
                         works until it is revoked.",
                    )
                    .into(),
            ),
            (
                SECRET,
                checked(|text| check_secret(text).map_err(|problem| sentence(&problem)))
                    .write_only()
                    .sensitive()
                    .describe(
                        "The secret: `lockstep_` and at least 32 random letters, digits, `-` and \
                         `_`. This or `secret_sha256`.",
                    )
                    .into(),
            ),
            (
                VERSION,
                count(1)
                    .describe(
                        "Send `secret_wo` when this changes. A secret that somebody changed \
                         elsewhere shows as another version in the next plan.",
                    )
                    .into(),
            ),
            (
                DIGEST,
                checked(|text| {
                    parse_digest(text).map(drop).map_err(|problem| sentence(&problem))
                })
                .describe(
                    "The SHA-256 of the secret in hexadecimal digits, as `sha256(…)` gives it. It \
                     is in the state: a secret that is not random could be guessed from it.",
                )
                .into(),
            ),
        ]
    }

    fn validate(config: &Reader<'_>, diags: &mut Diagnostics) {
        let given = |name| !config.get(name).is_null();
        match (given(SECRET), given(DIGEST)) {
            (false, false) => {
                let text = "A token needs a secret: give it in `secret_wo`, or its hash in \
                            `secret_sha256`.";
                diags.error_at(Path::root(), "Missing secret", text);
            }
            (true, true) => {
                let text = "Give one of `secret_wo` and `secret_sha256`.";
                diags.error_at(Path::attribute(DIGEST), "Conflicting settings", text);
            }
            (true, false) | (false, true) => {}
        }
        if given(SECRET) != given(VERSION) && !given(DIGEST) {
            let text = "`secret_wo` is sent when `secret_wo_version` changes: begin with 1.";
            diags.error_at(Path::attribute(SECRET), "Missing version", text);
        }
        if given(VERSION) && given(DIGEST) {
            let text = "It is the version of `secret_wo`, and there is none.";
            diags.error_at(Path::attribute(VERSION), "Conflicting settings", text);
        }
    }

    fn confide(spec: &mut TokenSpec, change: &Change<'_>) {
        let same = |prior: &Value| prior.get(VERSION) == change.planned.get(VERSION);
        if change.prior.is_some_and(same) {
            return;
        }
        spec.secret = Reader::root(change.config).text(SECRET).map(Secret::new);
    }

    fn spec(value: &Reader<'_>) -> TokenSpec {
        let expires_at = value.text("expires_at").and_then(|text| text.parse::<Timestamp>().ok());
        TokenSpec {
            groups: value.texts("groups"),
            admin: value.flag("admin"),
            expires_at,
            secret: None,
            version: value.count(VERSION).map(u64::from),
            secret_sha256: value.text(DIGEST),
        }
    }

    fn value(object: &v1::AccessToken) -> Value {
        let TokenOutline { groups, admin, expires_at, version, secret_sha256 } = &object.spec;
        Value::object([
            ("groups", form::texts(groups)),
            ("admin", (*admin).into()),
            ("expires_at", form::instant(*expires_at)),
            (SECRET, Value::Null),
            (VERSION, version.and_then(|version| u32::try_from(version).ok()).into()),
            (DIGEST, secret_sha256.clone().into()),
        ])
    }
}
