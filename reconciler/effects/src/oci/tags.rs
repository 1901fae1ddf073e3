//! Lists of tags, by our own client: every page, within limits, and the wait that a busy registry asks for.

use std::collections::BTreeSet;

use http::Method;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::image::MANIFEST_TYPES;
use super::registry::lock;
use super::{ImageRepo, OciError, Registry};
use crate::http::{Request, Response};

const TAGS_PER_PAGE: usize = 1000;
const TAG_PAGE_MAX_BYTES: usize = 16 << 20;

#[derive(Deserialize)]
struct TagPage {
    /// Some registries write `null` for none.
    tags: Option<Vec<String>>,
}

impl Registry {
    /// All tags of a repository, in the registry's order.
    ///
    /// # Errors
    /// [`OciError`].
    pub async fn tags(
        &self,
        repo: &ImageRepo,
        cancel: &CancellationToken,
    ) -> Result<Vec<String>, OciError> {
        let too_many = |limit: String| OciError::TooMany { repo: repo.to_string(), limit };
        let (mut tags, mut seen) = (Vec::new(), BTreeSet::new());
        let mut next =
            Some(self.url(repo, &format!("/{}/tags/list?n={TAGS_PER_PAGE}", repo.path())));
        while let Some(url) = next {
            if seen.len() >= self.options.tag_pages_max {
                return Err(too_many(format!("{} pages", self.options.tag_pages_max)));
            }
            if !seen.insert(url.clone()) {
                let reason = "it repeats a page without end".to_owned();
                return Err(OciError::malformed(repo, "tag list", reason));
            }
            let answer = self.tag_page(repo, url.clone(), cancel).await?;
            let page: TagPage = serde_json::from_slice(&answer.body)
                .map_err(|error| OciError::malformed(repo, "tag list", error.to_string()))?;
            tags.extend(page.tags.unwrap_or_default());
            if tags.len() > self.options.tags_max {
                return Err(too_many(self.options.tags_max.to_string()));
            }
            next = next_page(repo, &url, &answer)?;
        }
        Ok(tags)
    }

    /// One page; it logs in at most once.
    async fn tag_page(
        &self,
        repo: &ImageRepo,
        url: Url,
        cancel: &CancellationToken,
    ) -> Result<Response, OciError> {
        let request = Request::get(url).max_body(TAG_PAGE_MAX_BYTES);
        let mut answer = self.send(repo, self.signed(repo, request.clone()), cancel).await?;
        if answer.status == 401
            && let Some(authorization) = self.authorization(repo, cancel).await?
        {
            lock(&self.tokens).insert(repo.clone(), authorization);
            answer = self.send(repo, self.signed(repo, request), cancel).await?;
        }
        if answer.is_success() { Ok(answer) } else { Err(refusal(repo, "tags", &answer)) }
    }

    /// The error with the wait that the registry asks for, which [`oci_client`] does not tell.
    pub(super) async fn with_wait(
        &self,
        repo: &ImageRepo,
        error: OciError,
        cancel: &CancellationToken,
    ) -> OciError {
        let busy = match &error {
            OciError::RateLimited { retry_after: None, .. } => 429,
            OciError::Unavailable { status: 503, retry_after: None, .. } => 503,
            _ => return error,
        };
        // Registries do not count a HEAD as a pull, and their limits hold for every manifest.
        let url = self.url(repo, &format!("/{}/manifests/latest", repo.path()));
        let request = Request::new(Method::HEAD, url).header("accept", MANIFEST_TYPES.join(", "));
        match self.send(repo, self.signed(repo, request), cancel).await {
            Ok(answer) if answer.status == busy => refusal(repo, "manifest", &answer),
            Ok(_) | Err(_) => error,
        }
    }

    /// The request with what the registry took the last time.
    fn signed(&self, repo: &ImageRepo, request: Request) -> Request {
        match lock(&self.tokens).get(repo) {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        }
    }

    /// Sends a request by our own client.
    pub(super) async fn send(
        &self,
        repo: &ImageRepo,
        request: Request,
        cancel: &CancellationToken,
    ) -> Result<Response, OciError> {
        let sent = self.http.send(request.timeout(self.options.timeout), cancel).await;
        sent.map_err(|source| OciError::exchange(repo, source))
    }
}

/// The target of a `Link` header with `rel="next"` (RFC 8288); it must stay with the registry.
pub(super) fn next_page(
    repo: &ImageRepo,
    url: &Url,
    answer: &Response,
) -> Result<Option<Url>, OciError> {
    let Some(link) = answer.header("link") else { return Ok(None) };
    let is_next = |part: &&str| part.contains("rel=\"next\"") || part.contains("rel=next");
    // A comma may stand inside a target but not before the `<` of the next one.
    let Some(part) = link.split(", <").find(is_next) else { return Ok(None) };
    let target = part.trim_start_matches('<').split('>').next().unwrap_or_default();
    let malformed = |reason| OciError::malformed(repo, "Link header", reason);
    let next = url.join(target).map_err(|error| malformed(error.to_string()))?;
    if next.origin() != url.origin() {
        return Err(malformed("the next page is on another host".to_owned()));
    }
    Ok(Some(next))
}

pub(super) fn refusal(repo: &ImageRepo, what: &str, answer: &Response) -> OciError {
    let retry_after = answer.retry_after(jiff::Timestamp::now());
    OciError::of_status(repo, what, answer.status, retry_after, &answer.text())
}
