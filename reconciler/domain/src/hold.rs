//! Holds: durable stops. A hold that people put stops everybody, automation and people, on a stage,
//! on one freight, or on every freight that has a matching artifact; it is named, says why, and may
//! end by itself. An automatic hold stops only automation on one stage: what a person did there, or
//! what went wrong, is not undone by a machine.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::artifact::Artifact;
use crate::freight::Freight;
use crate::id::{CommitPrefix, FreightId, HoldName, Principal, StageName, SubscriptionName};
use crate::snapshot::Defined;
use crate::url::{RepositoryKind, normalize};
use crate::version::Constraint;

/// A stop that somebody put.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// Unique in the project.
    pub name: HoldName,
    /// What it stops.
    pub target: Target,
    /// Why; mandatory.
    pub reason: String,
    /// When it ends by itself; absent: when somebody lifts it.
    pub expires: Option<Timestamp>,
}

/// What a hold stops.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "of")]
pub enum Target {
    /// Every promotion to a stage.
    Stage(StageName),
    /// Every promotion of one freight.
    Freight(FreightId),
    /// Every promotion of freight with an artifact that matches.
    Artifacts(ArtifactMatch),
}

/// Which artifacts: those that fulfil all of what is given. An artifact that does not have what is
/// asked (a commit has no digest, not every tag is a version) does not match.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ArtifactMatch {
    /// Found by the subscription of this name, in any warehouse.
    pub subscription: Option<SubscriptionName>,
    /// Of this repository, however its address is written.
    pub repo: Option<String>,
    /// An image of this digest.
    pub digest: Option<String>,
    /// A version in this range.
    pub version: Option<Constraint>,
    /// A commit whose id begins so.
    pub commit: Option<CommitPrefix>,
    /// A commit made at this instant or later.
    pub committed_from: Option<Timestamp>,
    /// A commit made at this instant or earlier.
    pub committed_until: Option<Timestamp>,
}

/// What stops automation on a stage, and no person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutomaticHold {
    /// Why.
    pub reason: String,
    /// Who put it there.
    pub by: Principal,
    /// Since when.
    pub at: Timestamp,
}

impl Hold {
    /// Whether it has ended by itself.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Whether it keeps the freight from the stage while it lasts.
    #[must_use]
    pub fn stops(&self, stage: &StageName, freight: &Freight) -> bool {
        match &self.target {
            Target::Stage(held) => held == stage,
            Target::Freight(held) => *held == freight.id,
            Target::Artifacts(held) => held.matches(freight),
        }
    }

    /// Whether it could keep any freight from the stage.
    #[must_use]
    pub fn concerns(&self, stage: &StageName) -> bool {
        match &self.target {
            Target::Stage(held) => held == stage,
            Target::Freight(_) | Target::Artifacts(_) => true,
        }
    }

    /// Whether it closes the stage, whatever the freight.
    #[must_use]
    pub fn closes(&self, stage: &StageName) -> bool {
        match &self.target {
            Target::Stage(held) => held == stage,
            Target::Freight(_) | Target::Artifacts(_) => false,
        }
    }
}

impl ArtifactMatch {
    /// Whether the freight has an artifact that fulfils all of what is given.
    #[must_use]
    pub fn matches(&self, freight: &Freight) -> bool {
        freight.artifacts.iter().any(|(subscription, artifact)| {
            let named = self.subscription.as_ref().is_none_or(|wanted| wanted == subscription);
            named && self.matches_artifact(artifact)
        })
    }

    /// Whether nothing is given: it would match every artifact.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn matches_artifact(&self, artifact: &Artifact) -> bool {
        let version = || artifact.version();
        let in_range =
            |range: &Constraint| version().is_some_and(|version| range.matches(&version));
        self.version.as_ref().is_none_or(in_range) && self.matches_source(artifact)
    }

    fn matches_source(&self, artifact: &Artifact) -> bool {
        match artifact {
            Artifact::Git(git) => {
                self.digest.is_none()
                    && same_repo(self.repo.as_deref(), RepositoryKind::Git, &git.repo)
                    && self.commit.as_ref().is_none_or(|prefix| prefix.begins(&git.commit))
                    && self.committed_from.is_none_or(|from| git.committed_at >= from)
                    && self.committed_until.is_none_or(|until| git.committed_at <= until)
            }
            Artifact::Image(image) => {
                self.commit.is_none()
                    && self.committed_from.is_none()
                    && self.committed_until.is_none()
                    && same_repo(self.repo.as_deref(), RepositoryKind::Image, &image.repo)
                    && self.digest.as_ref().is_none_or(|digest| *digest == image.digest)
            }
        }
    }
}

fn same_repo(wanted: Option<&str>, kind: RepositoryKind, found: &str) -> bool {
    wanted.is_none_or(|wanted| normalize(kind, wanted) == normalize(kind, found))
}

/// The holds that keep the freight from the stage now.
pub fn stopping<'a>(
    holds: &'a [Defined<Hold>],
    stage: &'a StageName,
    freight: &'a Freight,
    now: Timestamp,
) -> impl Iterator<Item = &'a Defined<Hold>> {
    holds.iter().filter(move |hold| hold.spec.stops(stage, freight) && !hold.spec.is_over(now))
}

/// The holds that close the stage now, whatever the freight.
pub fn closing<'a>(
    holds: &'a [Defined<Hold>],
    stage: &'a StageName,
    now: Timestamp,
) -> impl Iterator<Item = &'a Defined<Hold>> {
    holds.iter().filter(move |hold| hold.spec.closes(stage) && !hold.spec.is_over(now))
}

/// A hold in one phrase: `hold cve-7 of ann: …`.
#[must_use]
pub fn describe(hold: &Defined<Hold>) -> String {
    let Defined { spec, changed_by, .. } = hold;
    format!("hold {} of {changed_by}: {}", spec.name, spec.reason)
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::*;
    use crate::artifact::{GitCommit, ImageVersion};

    fn freight() -> Freight {
        let git = Artifact::Git(GitCommit {
            repo: "https://git.example/infra.git".to_owned(),
            branch: "main".to_owned(),
            commit: "1a2b3c4d5e6f708192a3b4c5d6e7f80912345678".to_owned(),
            subject: "release 2.1.0".to_owned(),
            author: "Ann <ann@example.com>".to_owned(),
            committed_at: "2026-01-10T00:00:00Z".parse().expect("an instant"),
        });
        let image = Artifact::Image(ImageVersion {
            repo: "registry.example/shop/api".to_owned(),
            tag: "1.4.2".to_owned(),
            digest: "sha256:aa".to_owned(),
            created_at: None,
        });
        let name = |text: &str| text.parse().expect("a subscription");
        let artifacts = IndexMap::from([(name("infra"), git), (name("api"), image)]);
        let warehouse = "shop".parse().expect("a warehouse");
        Freight {
            id: Freight::id_of(&warehouse, &artifacts),
            warehouse,
            artifacts,
            created_at: Timestamp::UNIX_EPOCH,
            sequence: 1,
        }
    }

    fn check(wanted: &str, expect: bool) {
        let parsed: ArtifactMatch = serde_json::from_str(wanted).expect("what is to match");
        assert_eq!(parsed.matches(&freight()), expect, "{wanted}");
    }

    #[test]
    fn artifacts_match_all_that_is_given() {
        for wanted in [
            r#"{ "subscription": "api", "version": ">=1.4.0 <1.4.3" }"#,
            r#"{ "version": "^2" }"#,
            r#"{ "digest": "sha256:aa" }"#,
            r#"{ "repo": "https://GIT.example/infra" }"#,
            r#"{ "repo": "registry.example/shop/api", "version": "1.4.2" }"#,
            r#"{ "commit": "1a2b3c4" }"#,
            r#"{ "committed_from": "2026-01-10T00:00:00Z", "committed_until": "2026-01-10T00:00:00Z" }"#,
            r#"{ "subscription": "infra" }"#,
        ] {
            check(wanted, true);
        }
        for wanted in [
            r#"{ "subscription": "api", "version": "^2" }"#,
            r#"{ "subscription": "db" }"#,
            r#"{ "subscription": "infra", "digest": "sha256:aa" }"#,
            r#"{ "subscription": "api", "commit": "1a2b3c4" }"#,
            r#"{ "repo": "registry.example/shop/web" }"#,
            r#"{ "commit": "1a2b3c5" }"#,
            r#"{ "committed_from": "2026-01-10T00:00:01Z" }"#,
            r#"{ "committed_until": "2026-01-09T23:59:59Z" }"#,
            r#"{ "digest": "sha256:aa", "commit": "1a2b3c4" }"#,
        ] {
            check(wanted, false);
        }
    }

    #[test]
    fn a_hold_is_over_at_its_instant() {
        let expires: Timestamp = "2026-01-10T00:00:00Z".parse().expect("an instant");
        let hold = Hold {
            name: "cve".parse().expect("a name"),
            target: Target::Stage("prod".parse().expect("a stage")),
            reason: "wait".to_owned(),
            expires: Some(expires),
        };
        assert!(!hold.is_over(expires - jiff::SignedDuration::from_nanos(1)));
        assert!(hold.is_over(expires));
        assert!(!Hold { expires: None, ..hold }.is_over(Timestamp::MAX));
    }
}
