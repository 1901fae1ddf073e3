//! How libgit2 reaches a server: not at all by itself, but through the streams of this module.
//!
//! libgit2 is given a URL that means nothing outside this process,
//! `lockstep-session://NUMBER`. The number names a [`Session`] with the real address and the
//! credentials, so neither can leak through the library, and the typed error of a failed exchange
//! waits in the session instead of being squeezed through the library's text.

mod http_stream;
mod register;
mod ssh_stream;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream};
use tokio::runtime::Handle;

use super::config::Caps;
use super::error::GitError;
use super::http::{HttpLink, Program};
use super::receive_pack;
use super::url::RepoUrl;
pub(super) use register::install;
pub(super) use ssh_stream::SshLink;

const SCHEME: &str = "lockstep-session";

static SESSIONS: LazyLock<Mutex<HashMap<u64, Arc<Session>>>> = LazyLock::new(Mutex::default);
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The way to the server.
pub(super) enum Link {
    Http(HttpLink),
    Ssh(SshLink),
}

/// One operation's connection, as the streams see it.
struct Session {
    repo: RepoUrl,
    link: Link,
    caps: Caps,
    runtime: Handle,
    error: Mutex<Option<GitError>>,
}

/// A session as its operation holds it; dropping it makes the URL meaningless.
pub(super) struct OpenSession {
    number: u64,
    session: Arc<Session>,
}

impl OpenSession {
    pub(super) fn new(repo: &RepoUrl, link: Link, caps: Caps, runtime: Handle) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let error = Mutex::new(None);
        let session = Arc::new(Session { repo: repo.clone(), link, caps, runtime, error });
        let mut sessions = SESSIONS.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.insert(number, Arc::clone(&session));
        Self { number, session }
    }

    /// The URL to give to libgit2.
    pub(super) fn url(&self) -> String {
        format!("{SCHEME}://{}", self.number)
    }

    /// Why the exchange failed, if it was the exchange that failed.
    pub(super) fn take_error(&self) -> Option<GitError> {
        self.session.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A push of our own over the session's streams.
impl receive_pack::Wire for OpenSession {
    fn advertisement(&mut self) -> io::Result<Box<dyn receive_pack::Stream>> {
        self.stream(Service::ReceivePackLs)
    }

    fn request(&mut self) -> io::Result<Option<Box<dyn receive_pack::Stream>>> {
        // Without requests of their own the conversation goes on where it is.
        if !self.session.stateless() {
            return Ok(None);
        }
        self.stream(Service::ReceivePack).map(Some)
    }
}

impl OpenSession {
    fn stream(&self, service: Service) -> io::Result<Box<dyn receive_pack::Stream>> {
        let transport = Subtransport { session: Arc::clone(&self.session) };
        let stream = transport.action("", service);
        Ok(Box::new(stream.map_err(|error| io::Error::other(error.message().to_owned()))?))
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        SESSIONS.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

impl Session {
    fn find(url: &str) -> Option<Arc<Self>> {
        let number = url.strip_prefix(SCHEME)?.strip_prefix("://")?.parse().ok()?;
        SESSIONS.lock().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }

    /// Keeps the first error for the operation and gives libgit2 a text without NUL for it.
    fn fail(&self, error: GitError) -> io::Error {
        let text = error.to_string().replace('\0', " ");
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        io::Error::other(text)
    }

    /// Whether each exchange is a request of its own.
    fn stateless(&self) -> bool {
        match self.link {
            Link::Http(_) => true,
            Link::Ssh(_) => false,
        }
    }
}

/// libgit2's view of a session.
struct Subtransport {
    session: Arc<Session>,
}

impl SmartSubtransport for Subtransport {
    fn action(
        &self,
        _url: &str,
        service: Service,
    ) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let session = Arc::clone(&self.session);
        let (program, advertise) = match service {
            Service::UploadPackLs => (Program::UploadPack, true),
            Service::UploadPack => (Program::UploadPack, false),
            Service::ReceivePackLs => (Program::ReceivePack, true),
            Service::ReceivePack => (Program::ReceivePack, false),
        };
        match &self.session.link {
            Link::Http(_) => {
                Ok(Box::new(http_stream::HttpStream::new(session, program, advertise)))
            }
            Link::Ssh(_) => match ssh_stream::SshStream::start(session, program) {
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) => Err(git2::Error::from_str(&error.to_string())),
            },
        }
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}
