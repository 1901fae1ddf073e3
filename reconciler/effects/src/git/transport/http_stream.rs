//! One request and its answer as the stream that libgit2 wants: it writes the request, then
//! reads the answer.

use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::super::error::GitError;
use super::super::http::{Body, HttpLink, Program, Protocol};
use super::{Link, Session};

/// Runs on a blocking thread; waits there for the asynchronous client.
pub(super) struct HttpStream {
    session: Arc<Session>,
    program: Program,
    advertise: bool,
    request: Vec<u8>,
    answer: Option<Body>,
    unread: Bytes,
}

impl HttpStream {
    pub(super) fn new(session: Arc<Session>, program: Program, advertise: bool) -> Self {
        let (request, unread) = (Vec::new(), Bytes::new());
        Self { session, program, advertise, request, answer: None, unread }
    }

    fn fill(&mut self) -> Result<(), GitError> {
        let session = Arc::clone(&self.session);
        let Link::Http(link) = &session.link else {
            unreachable!("this stream is made for HTTP sessions only");
        };
        let mut answer = match self.answer.take() {
            Some(answer) => answer,
            None => session.runtime.block_on(self.ask(link))?,
        };
        self.unread = session.runtime.block_on(link.chunk(&mut answer))?.unwrap_or_default();
        self.answer = Some(answer);
        Ok(())
    }

    async fn ask(&mut self, link: &HttpLink) -> Result<Body, GitError> {
        let caps = self.session.caps;
        if self.advertise {
            return link.advertisement(self.program, Protocol::Oldest, caps.advertisement).await;
        }
        let request = std::mem::take(&mut self.request).into();
        link.call(self.program, Protocol::Oldest, request, caps.fetch).await
    }
}

impl Read for HttpStream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.unread.is_empty() {
            self.fill().map_err(|error| self.session.fail(error))?;
        }
        let length = self.unread.len().min(into.len());
        self.unread.copy_to_slice(&mut into[..length]);
        Ok(length)
    }
}

impl Write for HttpStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let limit = self.session.caps.push;
        if (self.request.len() + bytes.len()) as u64 > limit {
            let (repo, what) = (self.session.repo.clone(), "the pack to push".to_owned());
            return Err(self.session.fail(GitError::TooLarge { repo, what, limit }));
        }
        self.request.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
