//! Looking at the sources of a warehouse.
//!
//! A look never loses what earlier ones found: when it fails, the versions stay and the error says
//! what to do. That nothing matches is not an error.

pub(crate) mod chart_index;
mod git;
mod image;

pub(crate) use git::Tips;
pub(crate) use image::Registries;

use std::time::Duration;

use jiff::Timestamp;
use reconciler_domain::artifact::Artifact;
use reconciler_domain::id::ProjectName;
use reconciler_domain::warehouse::{Discovery, DiscoveryError, Source};

use crate::scoped::Scoped;
use crate::{Effects, fault};

/// Why a look failed.
struct Failure {
    message: String,
    /// How long the server asks to be left alone.
    retry_after: Option<Duration>,
}

impl Failure {
    fn new(message: impl std::fmt::Display) -> Self {
        Self { message: message.to_string(), retry_after: None }
    }
}

pub(crate) async fn discover(
    effects: &Effects,
    project: &ProjectName,
    source: &Source,
    previous: &Discovery,
    now: Timestamp,
) -> Discovery {
    let scoped = match Scoped::open(effects, project).await {
        Ok(scoped) => scoped,
        Err(message) => return failed(previous, Failure::new(message), now),
    };
    let look = async {
        match source {
            Source::Git(git) => git::look(&scoped, git, &previous.versions).await,
            Source::Image(image) => image::look(&scoped, image, &previous.versions).await,
        }
    };
    let found = fault::held(look).await;
    match found.unwrap_or_else(|said| Err(Failure::new(fault::told(&said)))) {
        Ok(versions) => succeeded(previous, versions, now),
        Err(failure) => {
            let message = scoped.clean(&failure.message);
            failed(previous, Failure { message, ..failure }, now)
        }
    }
}

fn succeeded(previous: &Discovery, versions: Vec<Artifact>, now: Timestamp) -> Discovery {
    let newest = |versions: &[Artifact]| versions.first().map(Artifact::identity);
    let newest_seen_at = match newest(&versions) {
        None => None,
        same if same == newest(&previous.versions) => previous.newest_seen_at.or(Some(now)),
        Some(_) => Some(now),
    };
    Discovery { versions, newest_seen_at, looked_at: Some(now), error: None }
}

fn failed(previous: &Discovery, failure: Failure, now: Timestamp) -> Discovery {
    let failures = previous.error.as_ref().map_or(0, |error| error.failures).saturating_add(1);
    let retry_at = failure.retry_after.and_then(|pause| now.checked_add(pause).ok());
    let error = DiscoveryError { message: failure.message, failures, retry_at };
    Discovery { looked_at: Some(now), error: Some(error), ..previous.clone() }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use reconciler_domain::artifact::ImageVersion;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn version(tag: &str) -> Artifact {
        Artifact::Image(ImageVersion {
            repo: "registry.example.com/api".to_owned(),
            tag: tag.to_owned(),
            digest: format!("sha256:{tag}"),
            created_at: None,
        })
    }

    #[test]
    fn the_newest_version_is_seen_once() {
        let first = succeeded(&Discovery::default(), vec![version("1")], at(10));
        assert_eq!(first.newest_seen_at, Some(at(10)));
        let same = succeeded(&first, vec![version("1")], at(20));
        assert_eq!((same.newest_seen_at, same.looked_at), (Some(at(10)), Some(at(20))));
        let next = succeeded(&same, vec![version("2"), version("1")], at(30));
        assert_eq!(next.newest_seen_at, Some(at(30)));
        assert_eq!(succeeded(&next, Vec::new(), at(40)).newest_seen_at, None);
    }

    #[test]
    fn a_failed_look_keeps_what_was_found() {
        let found = succeeded(&Discovery::default(), vec![version("1")], at(10));
        let pause = Some(Duration::from_secs(90));
        let one = failed(&found, Failure { message: "no".to_owned(), retry_after: pause }, at(20));
        let two = failed(&one, Failure::new("still no"), at(30));
        assert_eq!((&two.versions, two.newest_seen_at), (&found.versions, Some(at(10))));
        assert_eq!(one.error.unwrap().retry_at, Some(at(110)));
        let error = two.error.unwrap();
        assert_eq!((error.failures, error.retry_at), (2, None));
        assert_eq!(succeeded(&found, found.versions.clone(), at(40)).error, None);
    }
}
