//! A git server over HTTP: axum in front of git's own `git http-backend`.
//!
//! Serves every bare repository below a folder, for reading and for pushing, optionally behind
//! Basic authentication. Listens on loopback only. Keeps a log of the requests and can be told to
//! misbehave in the ways that servers and networks do.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinHandle;

/// Bytes of a pushed pack that the server takes.
const MAX_BODY: usize = 256 << 20;

/// Who may read and push.
#[derive(Clone)]
pub(crate) enum Access {
    /// Everybody.
    Open,
    /// Whoever sends this user name and password.
    Basic {
        /// The user name.
        username: String,
        /// The password.
        password: String,
    },
}

/// One answered request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit {
    /// `METHOD /path?query`.
    pub(crate) request: String,
    /// Bytes of the answer's body.
    pub(crate) answered: usize,
}

/// A running server; dropping it stops it.
pub(crate) struct GitHttp {
    address: SocketAddr,
    server: Arc<Server>,
    task: JoinHandle<io::Result<()>>,
}

type Interlude = Box<dyn FnOnce() + Send>;

struct Server {
    root: PathBuf,
    access: Access,
    hits: Mutex<Vec<Hit>>,
    /// What another writer does before the next request of a push, and before those after it.
    before_push: Mutex<VecDeque<Interlude>>,
    /// The next push is carried out, but its reply is lost.
    lose_reply: AtomicBool,
    /// Protocol version 2 is not spoken.
    old_protocol: AtomicBool,
}

impl GitHttp {
    /// Serves the repositories below `root` on a free port of loopback.
    pub(crate) async fn start(root: impl Into<PathBuf>, access: Access) -> io::Result<Self> {
        Self::start_on(SocketAddr::from(([127, 0, 0, 1], 0)), root, access).await
    }

    /// Serves the repositories below `root` on `address`.
    pub(crate) async fn start_on(
        address: SocketAddr,
        root: impl Into<PathBuf>,
        access: Access,
    ) -> io::Result<Self> {
        Self::start_beside(address, root, access, Router::new()).await
    }

    /// The same, beside what else the host has an answer for.
    pub(crate) async fn start_beside(
        address: SocketAddr,
        root: impl Into<PathBuf>,
        access: Access,
        beside: Router,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let server = Arc::new(Server {
            root: root.into(),
            access,
            hits: Mutex::default(),
            before_push: Mutex::default(),
            lose_reply: AtomicBool::new(false),
            old_protocol: AtomicBool::new(false),
        });
        let git = Router::new().fallback(answer).with_state(Arc::clone(&server));
        let router = git.merge(beside);
        let task = tokio::spawn(axum::serve(listener, router).into_future());
        Ok(Self { address, server, task })
    }

    /// The URL of the repository in the folder `name`.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// The requests answered so far; forgets them.
    pub(crate) fn take_hits(&self) -> Vec<Hit> {
        std::mem::take(&mut lock(&self.server.hits))
    }

    /// Runs `interlude` when the next push begins, before the server looks at the branch. Called
    /// again, it is for the request after that: a push has two.
    pub(crate) fn before_next_push(&self, interlude: impl FnOnce() + Send + 'static) {
        lock(&self.server.before_push).push_back(Box::new(interlude));
    }

    /// Carries the next push out and answers 502.
    pub(crate) fn lose_next_reply(&self) {
        self.server.lose_reply.store(true, Ordering::SeqCst);
    }

    /// Speaks the protocol's version 0 only, as old servers do.
    pub(crate) fn speak_old_protocol(&self) {
        self.server.old_protocol.store(true, Ordering::SeqCst);
    }
}

impl Drop for GitHttp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(server): State<Arc<Server>>, request: Request) -> Response<Body> {
    let name = format!("{} {}", request.method(), request.uri());
    if !server.admits(request.headers()) {
        let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")];
        return axum::response::IntoResponse::into_response((StatusCode::UNAUTHORIZED, challenge));
    }
    let pushes = name.contains("git-receive-pack");
    let interlude = if pushes { lock(&server.before_push).pop_front() } else { None };
    if let Some(interlude) = interlude {
        interlude();
    }
    let answered = match server.run(request).await {
        Ok(response) => response,
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    };
    let (parts, body) = answered.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    lock(&server.hits).push(Hit { request: name.clone(), answered: body.len() });
    let loses = name.starts_with("POST") && pushes;
    if loses && server.lose_reply.swap(false, Ordering::SeqCst) {
        return plain(StatusCode::BAD_GATEWAY, "the reply was lost".to_owned());
    }
    Response::from_parts(parts, body.into())
}

impl Server {
    fn admits(&self, headers: &HeaderMap) -> bool {
        match &self.access {
            Access::Open => true,
            Access::Basic { username, password } => {
                let wanted = format!("Basic {}", STANDARD.encode(format!("{username}:{password}")));
                headers.get(header::AUTHORIZATION).is_some_and(|value| value == &wanted)
            }
        }
    }

    /// Runs git's CGI program for one request (RFC 3875).
    async fn run(&self, request: Request) -> io::Result<Response<Body>> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, MAX_BODY).await.map_err(io::Error::other)?;
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let mut backend = Command::new("git");
        backend.arg("http-backend").env_clear();
        backend.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        backend.env("HOME", &self.root).env("GIT_CONFIG_NOSYSTEM", "1");
        backend.env("GIT_PROJECT_ROOT", &self.root).env("GIT_HTTP_EXPORT_ALL", "1");
        backend.env("PATH_INFO", parts.uri.path());
        backend.env("QUERY_STRING", parts.uri.query().unwrap_or_default());
        backend.env("REQUEST_METHOD", parts.method.as_str());
        backend.env("CONTENT_TYPE", text("content-type").unwrap_or_default());
        backend.env("CONTENT_LENGTH", body.len().to_string());
        backend.env("REMOTE_ADDR", "127.0.0.1");
        // git lets only named users push; who got here was admitted above.
        backend.env("REMOTE_USER", "admitted");
        if let Some(encoding) = text("content-encoding") {
            backend.env("HTTP_CONTENT_ENCODING", encoding);
        }
        if let Some(version) = text("git-protocol").filter(|_| !self.is_old()) {
            backend.env("GIT_PROTOCOL", version);
        }
        backend.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = backend.kill_on_drop(true).spawn()?;
        let mut stdin = child.stdin.take().ok_or_else(|| io::Error::other("no pipe"))?;
        // git may answer, and close its input, before it has read everything.
        let feed = tokio::spawn(async move { drop(stdin.write_all(&body).await) });
        let output = child.wait_with_output().await?;
        feed.await.map_err(io::Error::other)?;
        Ok(parse_cgi(&output.stdout))
    }

    fn is_old(&self) -> bool {
        self.old_protocol.load(Ordering::SeqCst)
    }
}

/// Splits a CGI answer into status, headers and body.
fn parse_cgi(output: &[u8]) -> Response<Body> {
    let end = output.windows(4).position(|window| window == b"\r\n\r\n");
    let Some(end) = end else {
        return plain(StatusCode::BAD_GATEWAY, "git http-backend said nothing".to_owned());
    };
    let mut response = Response::new(Body::from(output[end + 4..].to_vec()));
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("status") {
            let code = value.split_whitespace().next().and_then(|code| code.parse().ok());
            *response.status_mut() = code.unwrap_or(StatusCode::BAD_GATEWAY);
        } else if let (Ok(name), Ok(value)) =
            (name.parse::<HeaderName>(), HeaderValue::from_str(value.trim()))
        {
            response.headers_mut().append(name, value);
        }
    }
    response
}

fn plain(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes an empty bare repository for the server to serve.
pub(crate) fn init_bare(path: &Path) -> io::Result<()> {
    let mut git = std::process::Command::new("git");
    git.args(["init", "--quiet", "--bare", "--initial-branch=main"]).arg(path);
    let done =
        git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").status()?;
    if done.success() { Ok(()) } else { Err(io::Error::other("git init failed")) }
}
