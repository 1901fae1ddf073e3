//! Bodies that are too large for memory: read piece by piece, and sent on as they come.

use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::header;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    HttpClient, HttpError, Request, Response, host_of, read, redirect_target, sending_error,
};

/// How long a sender may pause between two pieces.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// An answer whose body is still to come.
#[derive(Debug)]
pub struct Incoming {
    url: Url,
    answer: reqwest::Response,
    /// How many bytes may still come.
    left: u64,
    limit_bytes: u64,
}

impl HttpClient {
    /// Sends a request, and gives the answer when its head is there. The request's deadline is for that
    /// much; its cap on the body counts as ever.
    ///
    /// # Errors
    /// [`HttpError`]; a status of 400 and above is an answer.
    pub async fn open(
        &self,
        request: Request,
        cancel: &CancellationToken,
    ) -> Result<Incoming, HttpError> {
        let (host, timeout) = (host_of(&request.url), request.timeout);
        let limit_bytes = request.max_body as u64;
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(HttpError::Cancelled { host }),
            () = tokio::time::sleep(timeout) => Err(HttpError::Timeout { host, timeout }),
            reached = self.reach(request) => {
                let (url, answer) = reached?;
                Ok(Incoming { url, answer, left: limit_bytes, limit_bytes })
            }
        }
    }

    /// Sends a request whose body is what comes in, `length` bytes of it. It is not redirected: a body that
    /// came once does not come again.
    ///
    /// # Errors
    /// [`HttpError`]; a status of 400 and above is an answer.
    pub async fn pass_on(
        &self,
        request: Request,
        body: Incoming,
        length: u64,
        cancel: &CancellationToken,
    ) -> Result<Response, HttpError> {
        self.check(&request.url)?;
        let mut headers = request.header_map()?;
        headers.insert(header::CONTENT_LENGTH, length.into());
        let Request { method, url, timeout, max_body, .. } = request;
        let pieces = stream::try_unfold(body, |mut body| async move {
            let piece = body.piece().await?;
            Ok::<_, HttpError>(piece.map(|piece| (piece, body)))
        });
        let sending = self.inner.request(method, url.clone()).headers(headers);
        let sending = sending.body(reqwest::Body::wrap_stream(pieces)).send();
        let host = host_of(&url);
        let exchange = async {
            let answer = sending.await.map_err(|error| sending_error(&url, &error, false))?;
            if redirect_target(&url, &answer)?.is_some() {
                let reason = "what is sent cannot be sent a second time";
                return Err(HttpError::Redirect { host: host_of(&url), reason });
            }
            read(&url, answer, max_body).await
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(HttpError::Cancelled { host }),
            () = tokio::time::sleep(timeout) => Err(HttpError::Timeout { host, timeout }),
            answer = exchange => answer,
        }
    }
}

impl Incoming {
    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.answer.status().as_u16()
    }

    /// A header by its lower-case name; several of one name are joined by `, `.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let values = self.answer.headers().get_all(name).into_iter();
        let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        values.reduce(|before, value| format!("{before}, {value}"))
    }

    /// The next piece of the body; none: that was all.
    ///
    /// # Errors
    /// [`HttpError::TooLarge`], or the exchange broke off or stood still.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, HttpError> {
        let host = || host_of(&self.url);
        let Ok(piece) = tokio::time::timeout(PAUSE_MAX, self.answer.chunk()).await else {
            return Err(HttpError::Timeout { host: host(), timeout: PAUSE_MAX });
        };
        let Some(piece) = piece.map_err(|error| sending_error(&self.url, &error, false))? else {
            return Ok(None);
        };
        let limit_bytes = usize::try_from(self.limit_bytes).unwrap_or(usize::MAX);
        let too_large = HttpError::TooLarge { host: host(), limit_bytes };
        self.left = self.left.checked_sub(piece.len() as u64).ok_or(too_large)?;
        Ok(Some(piece))
    }

    /// All that is still to come, as an answer.
    ///
    /// # Errors
    /// As of [`Incoming::piece`].
    pub async fn whole(mut self) -> Result<Response, HttpError> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece().await? {
            body.extend_from_slice(&piece);
        }
        Ok(Response::new(self.answer.status(), self.answer.headers(), body))
    }
}
