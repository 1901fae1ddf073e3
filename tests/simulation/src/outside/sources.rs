//! Where new versions come from: image registries and branches, and what measurements say of a version.

use jiff::Timestamp;
use reconciler_domain::artifact::{Artifact, GitCommit, ImageVersion};
use reconciler_domain::verification::{Check, FrozenCheck, Measured, Measurement};
use reconciler_domain::warehouse::{Discovery, DiscoveryError, Source};
use serde_json::Value;

use super::Outside;

impl Outside {
    /// Pushes a new image; bad ones fail every verification.
    pub(crate) fn release(&mut self, repo: &str, bad: bool) -> String {
        let count = self.images.get(repo).map_or(0, Vec::len) + 1;
        let tag = format!("{}.{}.{}", count / 100 + 1, count % 100, u8::from(bad));
        self.images.entry(repo.to_owned()).or_default().push(tag.clone());
        tag
    }

    /// The newest version of an image.
    pub(crate) fn newest_image(&self, repo: &str) -> Option<&str> {
        self.images.get(repo)?.last().map(String::as_str)
    }

    pub(crate) fn discover(
        &self,
        source: &Source,
        before: &Discovery,
        fails: bool,
        now: Timestamp,
    ) -> Discovery {
        if fails {
            let failures = before.error.as_ref().map_or(0, |error| error.failures) + 1;
            let message = "429: come back later".to_owned();
            let error = Some(DiscoveryError { message, failures, retry_at: None });
            return Discovery { looked_at: Some(now), error, ..before.clone() };
        }
        let versions = match source {
            Source::Image(image) => self.images_of(&image.repo, image.discovery_limit),
            Source::Git(git) => self.commits_of(&git.repo, &git.branch, git.discovery_limit),
        };
        let changed = versions.first() != before.versions.first();
        let newest_seen_at = if changed { Some(now) } else { before.newest_seen_at };
        Discovery { versions, newest_seen_at, looked_at: Some(now), error: None }
    }

    fn images_of(&self, repo: &str, limit: u32) -> Vec<Artifact> {
        let tags = self.images.get(repo).into_iter().flatten().rev().take(limit as usize);
        tags.map(|tag| {
            Artifact::Image(ImageVersion {
                repo: repo.to_owned(),
                tag: tag.clone(),
                digest: format!("sha256:{tag}"),
                created_at: None,
            })
        })
        .collect()
    }

    fn commits_of(&self, url: &str, branch: &str, limit: u32) -> Vec<Artifact> {
        let Ok(repo) = self.repo(url) else { return Vec::new() };
        repo.newest(limit as usize)
            .map(|commit| {
                Artifact::Git(GitCommit {
                    repo: url.to_owned(),
                    branch: branch.to_owned(),
                    commit: commit.id.clone(),
                    subject: commit.mark.clone(),
                    author: "Ann <ann@example.com>".to_owned(),
                    committed_at: Timestamp::UNIX_EPOCH,
                })
            })
            .collect()
    }

    /// Takes a measurement. The query of our template ends with the version that it asks about; one whose last
    /// number is 1 is bad.
    pub(crate) fn measure(
        &self,
        check: &FrozenCheck,
        trouble: Option<Measured>,
        now: Timestamp,
    ) -> Measurement {
        let subject = match &check.check {
            Check::Http(http) => &http.url,
            Check::Prometheus(prometheus) => &prometheus.query,
        };
        let measured = if is_bad(subject) { Measured::Fail } else { Measured::Pass };
        let measured = trouble.unwrap_or(measured);
        let detail = match measured {
            Measured::Pass => "as it should be",
            Measured::Fail => "too many errors",
            Measured::Unknown => "no sample",
        };
        let (check, detail) = (check.name.clone(), detail.to_owned());
        Measurement { check, at: now, measured, detail, evidence: Value::Null }
    }
}

/// Whether a version is one that fails.
fn is_bad(version: &str) -> bool {
    version.ends_with(".1")
}
