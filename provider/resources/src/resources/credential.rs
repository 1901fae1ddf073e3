//! `lockstep_credential`.
//!
//! Its secrets are write-only: the configuration has them, and nothing else. They are sent when the
//! object is made, when their version changes, and when they would be used elsewhere.

use std::collections::BTreeMap;

use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Type, Value};
use provider_protocol::provider::{Change, Field, Plan, Reader};
use provider_protocol::schema::{Attribute, Block, NestedBlock};
use reconciler_api::v1::{
    self, CredentialKind, CredentialOutline, CredentialSpec, Secret, SecretFrom,
};
use reconciler_domain::check::ProblemKind;
use reconciler_domain::credential::{self, Address, Origin, check_credential};
use reconciler_domain::id::CredentialName;

use crate::attribute::parsed;
use crate::attribute::{count, filled, text_map, word, words};
use crate::form::{self, Keyed, Read as _};
use crate::managed::{Definition, Item, block};
use crate::place::Moved;
use crate::words::{did_you_mean, sentence};

/// The write-only secrets.
const DATA: &str = "data_wo";
/// What they are called.
const VERSION: &str = "data_wo_version";
/// What secrets are bound to: with another one they are sent again.
const BOUND: [&str; 4] = [VERSION, "kind", "address", "username"];

pub(crate) struct Credential;

impl Definition for Credential {
    type Object = v1::Credential;
    type Name = CredentialName;

    const TYPE_NAME: &'static str = "lockstep_credential";
    const DESCRIPTION: &'static str = "Who a project is towards the servers of one address: git, \
        registries, HTTP. Secrets are kept sealed by the daemon and are never in a state, a plan or \
        a log: give them in `data_wo`, which needs Terraform or OpenTofu 1.11, or let the daemon \
        read them with `from`. A credential is used below its address only, and is not sent on by \
        redirects. A configuration that the client writes for one that is there has no secrets: \
        add `data_wo`, and plan again.";
    const KEYED: Keyed = &[(&["from"], "key")];
    const MOVED: Moved = &[("data", DATA), ("version", VERSION)];
    const OBSERVED: &'static [&'static str] = &["fingerprints"];

    fn fields() -> Vec<(&'static str, Item)> {
        let kinds = words(CredentialKind::ALL, CredentialKind::as_str);
        vec![
            ("description", Attribute::string().describe("What it is for, in a sentence.").into()),
            (
                "kind",
                word(kinds)
                    .required()
                    .describe(
                        "What it is used for: `git`, `image` or `http` (requests of steps \
                         and checks, and Prometheus).",
                    )
                    .into(),
            ),
            (
                "address",
                address()
                    .required()
                    .describe(
                        "Where it is used, and nowhere else: `https://git.example.com/team`, \
                         `git@git.example.com:team`, `oci://registry.example.com/team`. The most \
                         exact one of a project is used.",
                    )
                    .into(),
            ),
            ("username", filled().describe("The user name that goes with a `password`.").into()),
            (
                DATA,
                text_map()
                    .write_only()
                    .sensitive()
                    .describe(
                        "The secrets by key, 8 characters at least: `password` (with \
                         `username`) or `token`; of git over SSH `ssh_key`. Of git also \
                         `signing_key`, beside one of these or alone: an Ed25519 private key in the \
                         format of OpenSSH, without a passphrase, by which all commits and annotated \
                         tags that promotions make at the address are signed, their undo included.",
                    )
                    .into(),
            ),
            (
                VERSION,
                count(1)
                    .describe(
                        "Send `data_wo` again when this changes. Whoever changes the secrets \
                         elsewhere changes it too, which the next plan shows.",
                    )
                    .into(),
            ),
            (
                "fingerprints",
                Attribute::map(Type::String)
                    .computed()
                    .describe(
                        "Of each stored secret a keyed hash, by key: it changes when the secret \
                         does.",
                    )
                    .into(),
            ),
            ("from", NestedBlock::list(from()).into()),
        ]
    }

    fn validate(config: &Reader<'_>, diags: &mut Diagnostics) {
        let data = config.get(DATA);
        let from = config.get("from");
        if !from.is_unknown() && data.is_null() && config.blocks("from").is_empty() {
            let text = "A credential needs secrets: give them in `data_wo`, or say with `from` \
                        where the daemon reads them.";
            diags.error_at(Path::root(), "Missing secret", text);
        }
        let version = config.get(VERSION);
        if !data.is_null() && version.is_null() {
            let text = "`data_wo` is sent when `data_wo_version` changes: begin with 1.";
            diags.error_at(Path::attribute(DATA), "Missing version", text);
        }
        if data.is_null() && !version.is_null() {
            let text = "It is the version of `data_wo`, and there is none.";
            diags.error_at(Path::attribute(VERSION), "Conflicting settings", text);
        }
        let kind = config.string("kind").known().and_then(|kind| kind.parse().ok());
        if let (Some(kind), Some(data)) = (kind, data.as_map()) {
            check_keys(kind, data.keys().map(String::as_str), diags);
        }
        check_login(config, diags);
        for from in config.blocks("from") {
            let is_set = |name| !from.get(name).is_null();
            if is_set("env") == is_set("file") {
                let text = "Give one of `env` and `file`.";
                diags.error_at(from.path().clone(), "Conflicting settings", text);
            }
        }
    }

    fn foretell(plan: &mut Plan<'_>) {
        let Some(prior) = plan.prior else { return };
        let stays = !BOUND.iter().any(|name| plan.changes(name)) && !plan.changes("from");
        if stays && let Some(fingerprints) = prior.get("fingerprints") {
            plan.set("fingerprints", fingerprints.clone());
        }
    }

    fn confide(spec: &mut CredentialSpec, change: &Change<'_>) {
        let is_bound =
            |prior: &Value| BOUND.iter().all(|name| prior.get(name) == change.planned.get(name));
        if change.prior.is_some_and(is_bound) {
            return;
        }
        let data: BTreeMap<String, String> = Reader::root(change.config).text_map(DATA);
        if !data.is_empty() {
            spec.data =
                Some(data.into_iter().map(|(key, text)| (key, Secret::new(text))).collect());
        }
    }

    fn is_of_this_version(value: &Reader<'_>) -> bool {
        value.text("kind").is_some_and(|kind| kind.parse::<CredentialKind>().is_ok())
    }

    fn spec(value: &Reader<'_>) -> CredentialSpec {
        CredentialSpec {
            description: value.text("description").unwrap_or_default(),
            kind: value
                .text("kind")
                .and_then(|kind| kind.parse().ok())
                .expect("it is of this version, so its kind is one"),
            address: value.text("address"),
            username: value.text("username"),
            version: value.count(VERSION).map(u64::from),
            from: value.blocks("from").iter().map(from_spec).collect(),
            data: None,
        }
    }

    fn value(object: &v1::Credential) -> Value {
        let CredentialOutline { description, kind, address, username, version, from } =
            &object.spec;
        Value::object([
            ("description", form::text(description)),
            ("kind", kind.as_str().into()),
            ("address", address.clone().into()),
            ("username", username.clone().into()),
            (DATA, Value::Null),
            (VERSION, version.and_then(|version| u32::try_from(version).ok()).into()),
            ("fingerprints", object.status.fingerprints.clone().into()),
            ("from", Value::list(from.iter().map(from_value))),
        ])
    }
}

/// An address; another way to write the same one is no change.
fn address() -> Attribute {
    let parse = |value: &Value| value.as_str().and_then(|text| text.parse::<Address>().ok());
    parsed::<Address>()
        .equal(move |left, right| parse(left).is_some() && parse(left) == parse(right))
}

fn check_keys<'k>(
    kind: CredentialKind,
    keys: impl Iterator<Item = &'k str>,
    diags: &mut Diagnostics,
) {
    let kind_there = match kind {
        CredentialKind::Git => credential::CredentialKind::Git,
        CredentialKind::Image => credential::CredentialKind::Image,
        CredentialKind::Http => credential::CredentialKind::Http,
    };
    let known = kind_there.keys();
    for key in keys.filter(|key| !known.contains(key)) {
        let hint = did_you_mean(key, known.iter().copied());
        let text = format!("Kind {kind} has no secret {key:?}. {hint}");
        diags.error_at(Path::attribute(DATA), "Unknown secret", text);
    }
}

/// Checks that secrets, user name and address go together, as the daemon does, once they are known.
fn check_login(config: &Reader<'_>, diags: &mut Diagnostics) {
    let text = |name: &str| match config.string(name) {
        Field::Known(text) => Some(Some(text.to_owned())),
        Field::Null => Some(None),
        Field::Unknown => None,
    };
    let (Some(Some(kind)), Some(Some(address)), Some(username)) =
        (text("kind"), text("address"), text("username"))
    else {
        return;
    };
    let kind = credential::CredentialKind::ALL.into_iter().find(|it| it.as_str() == kind);
    let (Some(kind), Ok(address)) = (kind, address.parse::<Address>()) else { return };
    let (data, from) = (config.get(DATA), config.blocks("from"));
    let froms: Option<Vec<String>> = from.iter().map(|from| from.text("key")).collect();
    let known = !data.is_unknown() && !config.get("from").is_unknown();
    let Some(froms) = froms.filter(|_| known) else { return };
    let stored = data.as_map().into_iter().flat_map(|data| data.keys());
    let stored = stored.map(|key| (key.clone(), Origin::Stored(String::new())));
    let froms = froms.into_iter().map(|key| (key, Origin::Env(String::new())));
    let checked = check_credential(&credential::Credential {
        name: "credential".parse().expect("a word is a name"),
        description: String::new(),
        kind,
        address: Some(address),
        username,
        version: None,
        secrets: stored.chain(froms).collect(),
    });
    for problem in checked {
        let field = problem.path.split(['.', '[']).next().unwrap_or_default();
        let named = match field {
            "address" | "username" => config.path_of(field),
            "from" => Path::attribute("from"),
            _ => Path::attribute(DATA),
        };
        // What is missing or unknown among the secrets has been told.
        let told = field == "data" && problem.kind != ProblemKind::Conflict;
        if !told {
            diags.error_at(named, "Credential cannot be", sentence(&problem.message));
        }
    }
}

fn from() -> Block {
    block(vec![
        ("key", filled().required().describe("The key of the secret, as in `data_wo`.").into()),
        ("env", filled().describe("An environment variable of the daemon.").into()),
        ("file", filled().describe("A file on the daemon's machine, by its whole path.").into()),
    ])
    .describe(
        "A secret that the daemon reads at each use, from what its configuration allows \
         (`secret_dirs`, `secret_variables`).",
    )
}

fn from_spec(from: &Reader<'_>) -> SecretFrom {
    SecretFrom { key: from.required("key"), env: from.text("env"), file: from.text("file") }
}

fn from_value(from: &SecretFrom) -> Value {
    let SecretFrom { key, env, file } = from;
    Value::object([
        ("key", Value::from(key)),
        ("env", env.clone().into()),
        ("file", file.clone().into()),
    ])
}
