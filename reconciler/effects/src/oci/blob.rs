//! Blobs: read, mounted, and passed on from one repository to another.

use std::time::Duration;

use http::Method;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::exchange::{Access, Purpose};
use super::tags::refusal;
use super::{Digest, ImageRepo, OciError, Part, Registry};
use crate::http::{Incoming, Request};

/// Time for the body of one blob. A step has a shorter one where it says so.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(2 * 60 * 60);

/// Most bytes of what is said of a blob that does not come.
const REFUSAL_MAX_BYTES: usize = 64 << 10;

/// What the start of an upload came to.
enum Begun {
    /// The blob is there.
    There,
    /// It is to be sent to this address.
    At(Url),
}

impl Registry {
    /// A blob of at most `max_bytes`, verified.
    ///
    /// # Errors
    /// [`OciError`].
    pub async fn blob(
        &self,
        repo: &ImageRepo,
        part: &Part,
        max_bytes: u64,
        cancel: &CancellationToken,
    ) -> Result<Vec<u8>, OciError> {
        if part.size > max_bytes {
            let (what, limit) = ("the layer".to_owned(), format!("{max_bytes} bytes"));
            return Err(OciError::TooMuch { repo: repo.to_string(), what, limit });
        }
        let incoming = self.blob_opened(repo, part, cancel).await?;
        let answer = incoming.whole().await.map_err(|source| OciError::exchange(repo, source))?;
        let found = Digest::of(&answer.body);
        if found == part.digest {
            return Ok(answer.body);
        }
        let (host, repo) = (repo.host().to_owned(), repo.path().to_owned());
        Err(OciError::DigestMismatch { host, repo, wanted: part.digest.clone(), found })
    }

    /// A blob whose bytes are still to come, no more of them than it says.
    pub(super) async fn blob_opened(
        &self,
        repo: &ImageRepo,
        part: &Part,
        cancel: &CancellationToken,
    ) -> Result<Incoming, OciError> {
        let url = self.url(repo, &format!("/{}/blobs/{}", repo.path(), part.digest));
        let most = usize::try_from(part.size).unwrap_or(usize::MAX).max(REFUSAL_MAX_BYTES);
        let request = Request::get(url).max_body(most);
        let incoming = self.opened(&Purpose::new(repo, Access::Read), request, cancel).await?;
        if incoming.status() == 200 {
            return Ok(incoming);
        }
        let what = format!("blob {}", part.digest);
        // What is told of a refusal is short.
        let answer = incoming.whole().await;
        let answer = answer.map_err(|source| OciError::exchange(repo, source))?;
        Err(refusal(repo, &what, &answer))
    }

    /// Whether a blob is there.
    pub(super) async fn has_blob(
        &self,
        repo: &ImageRepo,
        digest: &Digest,
        cancel: &CancellationToken,
    ) -> Result<bool, OciError> {
        let url = self.url(repo, &format!("/{}/blobs/{digest}", repo.path()));
        let purpose = Purpose::new(repo, Access::Read);
        let answer = self.exchange(&purpose, Request::new(Method::HEAD, url), cancel).await?;
        match answer.status {
            200..=299 => Ok(true),
            404 => Ok(false),
            _ => Err(refusal(repo, &format!("blob {digest}"), &answer)),
        }
    }

    /// Sends a blob that is at hand, unless it is there.
    pub(super) async fn upload(
        &self,
        repo: &ImageRepo,
        bytes: &[u8],
        cancel: &CancellationToken,
    ) -> Result<Digest, OciError> {
        let digest = Digest::of(bytes);
        if self.has_blob(repo, &digest, cancel).await? {
            return Ok(digest);
        }
        let purpose = Purpose::new(repo, Access::Write);
        if let Begun::At(url) = self.begin(&purpose, &digest, None, cancel).await? {
            let request = finishing(url, &digest).body(bytes.to_vec());
            let answer = self.exchange(&purpose, request, cancel).await?;
            if !answer.is_success() {
                return Err(OciError::of_refusal(repo, &format!("blob {digest}"), &answer));
            }
        }
        Ok(digest)
    }

    /// Passes a blob on from another repository: mounted where both are of one registry that allows it,
    /// else sent as it comes.
    pub(super) async fn take_over(
        &self,
        repo: &ImageRepo,
        source: &Self,
        from: &ImageRepo,
        part: &Part,
        cancel: &CancellationToken,
    ) -> Result<(), OciError> {
        let beside = Some(from).filter(|from| from.host() == repo.host());
        let mut purpose = Purpose::new(repo, Access::Write);
        if let Some(other) = beside {
            purpose = purpose.beside(other);
        }
        let url = match self.begin(&purpose, &part.digest, beside, cancel).await? {
            Begun::There => return Ok(()),
            Begun::At(url) => url,
        };
        let incoming = source.blob_opened(from, part, cancel).await?;
        let request = finishing(url, &part.digest).timeout(TRANSFER_TIMEOUT);
        let request = self.passed(&purpose, request);
        let sent = self.http.pass_on(request, incoming, part.size, cancel).await;
        let answer = sent.map_err(|source| OciError::exchange(repo, source))?;
        if answer.is_success() {
            return Ok(());
        }
        Err(OciError::of_refusal(repo, &format!("blob {}", part.digest), &answer))
    }

    async fn begin(
        &self,
        purpose: &Purpose,
        digest: &Digest,
        beside: Option<&ImageRepo>,
        cancel: &CancellationToken,
    ) -> Result<Begun, OciError> {
        let repo = purpose.repo();
        let mut at = self.url(repo, &format!("/{}/blobs/uploads/", repo.path()));
        if let Some(other) = beside {
            let mut query = at.query_pairs_mut();
            query.append_pair("mount", digest.as_str()).append_pair("from", other.path());
        }
        let request = Request::new(Method::POST, at.clone());
        let answer = self.exchange(purpose, request, cancel).await?;
        match answer.status {
            201 => Ok(Begun::There),
            202 => self.own_address(repo, &at, answer.header("location")).map(Begun::At),
            _ => Err(OciError::of_refusal(repo, &format!("blob {digest}"), &answer)),
        }
    }
}

/// The request that ends an upload, and has its bytes.
fn finishing(mut url: Url, digest: &Digest) -> Request {
    url.query_pairs_mut().append_pair("digest", digest.as_str());
    Request::new(Method::PUT, url).header("content-type", "application/octet-stream")
}
