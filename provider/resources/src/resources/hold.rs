//! `lockstep_hold`.

use provider_protocol::Diagnostics;
use provider_protocol::cty::Value;
use provider_protocol::provider::Reader;
use provider_protocol::schema::{Block, NestedBlock};
use reconciler_api::v1::{self, ArtifactSelector, HoldSpec};
use reconciler_domain::id::{CommitPrefix, FreightId, HoldName, StageName, SubscriptionName};

use crate::attribute::{filled, instant, parsed, version_range};
use crate::form::{self, Keyed, Read as _};
use crate::managed::{Definition, Item, block};
use crate::place::Moved;

/// What says what is stopped; exactly one of them.
const TARGETS: [&str; 3] = ["stage", "freight", "artifacts"];

const CRITERIA: [&str; 7] =
    ["subscription", "repo", "digest", "version", "commit", "committed_from", "committed_until"];

pub(crate) struct Hold;

impl Definition for Hold {
    type Object = v1::Hold;
    type Name = HoldName;

    const TYPE_NAME: &'static str = "lockstep_hold";
    const DESCRIPTION: &'static str = "A durable stop, for automation and for people: on a stage, \
        on one freight, or on every freight with a matching artifact. What is there already stays; \
        a promotion that waits does not commit. Destroying the resource lifts the hold.";
    const KEYED: Keyed = &[];
    const MOVED: Moved = &[("artifacts", "artifacts[0]")];

    fn fields() -> Vec<(&'static str, Item)> {
        let freight =
            parsed::<FreightId>().describe("Stops every promotion of this freight: its whole id.");
        let expires = instant().describe(
            "When it ends by itself, such as `2030-01-01T08:00:00Z`. Without it, it lasts until it \
             is lifted.",
        );
        vec![
            ("reason", filled().required().describe("Why; whoever it stops reads it.").into()),
            (
                "stage",
                parsed::<StageName>().describe("Stops every promotion to this stage.").into(),
            ),
            ("freight", freight.into()),
            ("artifacts", NestedBlock::list(artifacts()).max(1).into()),
            ("expires", expires.into()),
        ]
    }

    fn validate(config: &Reader<'_>, diags: &mut Diagnostics) {
        let is_set = |name: &&str| match config.get(name) {
            Value::List(blocks) => !blocks.is_empty(),
            value => !value.is_null(),
        };
        let given: Vec<&str> = TARGETS.into_iter().filter(|name| is_set(name)).collect();
        match given.as_slice() {
            [_] => {}
            [] => diags.error(
                "Nothing to hold",
                "Set `stage` or `freight`, or write a block `artifacts`: it says what the hold \
                 stops.",
            ),
            [_, others @ ..] => {
                for other in others {
                    diags.error_at(
                        config.path_of(other),
                        "A hold stops one thing",
                        "Set one of `stage`, `freight` and `artifacts`. What stops several is \
                         several holds.",
                    );
                }
            }
        }
        for artifacts in config.blocks("artifacts") {
            if CRITERIA.iter().all(|name| artifacts.get(name).is_null()) {
                diags.error_at(
                    artifacts.path().clone(),
                    "No artifacts are named",
                    "Say which artifacts: without that the hold would stop every freight.",
                );
            }
            ordered(&artifacts, diags);
        }
    }

    fn spec(value: &Reader<'_>) -> HoldSpec {
        HoldSpec {
            reason: value.required("reason"),
            stage: value.text("stage"),
            freight: value.text("freight"),
            artifacts: value.block("artifacts").map(|artifacts| selector(&artifacts)),
            expires: value.instant("expires"),
        }
    }

    fn value(object: &v1::Hold) -> Value {
        let HoldSpec { reason, stage, freight, artifacts, expires } = &object.spec;
        Value::object([
            ("reason", reason.into()),
            ("stage", stage.clone().into()),
            ("freight", freight.clone().into()),
            ("artifacts", Value::list(artifacts.iter().map(selector_value))),
            ("expires", form::instant(*expires)),
        ])
    }

    fn definition(spec: HoldSpec) -> Option<v1::Definition> {
        Some(v1::Definition::Hold(spec))
    }
}

/// A range of instants that is the wrong way round stops nothing.
fn ordered(artifacts: &Reader<'_>, diags: &mut Diagnostics) {
    let at = |name| artifacts.instant(name);
    if let (Some(from), Some(until)) = (at("committed_from"), at("committed_until"))
        && from > until
    {
        diags.error_at(
            artifacts.path_of("committed_until"),
            "No commit can match",
            "It is before `committed_from`.",
        );
    }
}

fn artifacts() -> Block {
    block(vec![
        (
            "subscription",
            parsed::<SubscriptionName>()
                .describe("Found by the subscription of this name, in any warehouse.")
                .into(),
        ),
        ("repo", filled().describe("Of this repository, of images or of git.").into()),
        ("digest", filled().describe("An image of this digest, such as `sha256:…`.").into()),
        (
            "version",
            version_range()
                .describe(
                    "A version in this range, such as `>=1.4.0 <1.4.3`. What has no version is in \
                     no range, and a pre-release only in a range that names one.",
                )
                .into(),
        ),
        (
            "commit",
            parsed::<CommitPrefix>()
                .describe("The commit whose id begins so, 7 digits or more.")
                .into(),
        ),
        ("committed_from", instant().describe("Commits made at this instant or later.").into()),
        ("committed_until", instant().describe("Commits made at this instant or earlier.").into()),
    ])
    .describe(
        "Stops every promotion of freight with an artifact that fulfils all of what is set here.",
    )
}

fn selector(artifacts: &Reader<'_>) -> ArtifactSelector {
    ArtifactSelector {
        subscription: artifacts.text("subscription"),
        repo: artifacts.text("repo"),
        digest: artifacts.text("digest"),
        version: artifacts.text("version"),
        commit: artifacts.text("commit"),
        committed_from: artifacts.instant("committed_from"),
        committed_until: artifacts.instant("committed_until"),
    }
}

fn selector_value(artifacts: &ArtifactSelector) -> Value {
    let ArtifactSelector {
        subscription,
        repo,
        digest,
        version,
        commit,
        committed_from,
        committed_until,
    } = artifacts;
    Value::object([
        ("subscription", subscription.clone().into()),
        ("repo", repo.clone().into()),
        ("digest", digest.clone().into()),
        ("version", version.clone().into()),
        ("commit", commit.clone().into()),
        ("committed_from", form::instant(*committed_from)),
        ("committed_until", form::instant(*committed_until)),
    ])
}
