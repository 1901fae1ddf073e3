//! Where the host connects to.
//!
//! A unix socket in a private place. Its path has room for about a hundred bytes, so a long
//! temporary directory is left for `/tmp`; and where there is no place for one, the loopback
//! interface serves. Only unix is served here.

use std::fmt;
use std::fs::Permissions;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

/// The shortest limit of any system on the path of a socket, with its terminating zero.
const MAX_PATH: usize = 104;
/// Connections that are open but not yet taken up.
const BACKLOG: usize = 16;
/// Before another try when none could be accepted: there may be too many files open.
const PAUSE: Duration = Duration::from_millis(50);

/// What the host says about where to listen.
#[derive(Clone, Debug)]
pub(super) struct Placement {
    /// Directory of the socket, instead of the temporary one.
    pub(super) directory: Option<PathBuf>,
    /// Group, by number or name, that may connect.
    pub(super) group: Option<String>,
    /// Ports of the loopback interface; from zero to zero for any.
    pub(super) ports: RangeInclusive<u16>,
}

/// Why there is nothing to connect to.
#[derive(Debug, thiserror::Error)]
pub(super) enum SocketError {
    #[error("cannot listen at {path}: {source}")]
    Unix { path: PathBuf, source: io::Error },
    #[error("cannot let group {group:?} use {path}: {source}")]
    Group { group: String, path: PathBuf, source: io::Error },
    #[error("cannot listen at any port of 127.0.0.1 from {} to {}: {source}", ports.start(), ports.end())]
    Tcp { ports: RangeInclusive<u16>, source: io::Error },
}

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl Address {
    pub(super) fn network(&self) -> &'static str {
        match self {
            Self::Unix(_) => "unix",
            Self::Tcp(_) => "tcp",
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

enum Bound {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// Removes the socket when nobody listens any more.
struct Unlink(PathBuf);

impl Drop for Unlink {
    fn drop(&mut self) {
        // It may be gone already, with its directory.
        drop(std::fs::remove_file(&self.0));
    }
}

/// An open place to connect to, for as long as this is there.
pub(super) struct Listener {
    bound: Arc<Bound>,
    address: Address,
    _unlink: Option<Unlink>,
}

impl Listener {
    pub(super) async fn bind(placement: &Placement) -> Result<Self, SocketError> {
        match socket_path(placement.directory.as_deref(), &std::env::temp_dir()) {
            Some(path) => Self::bind_unix(path, placement.group.as_deref()),
            None => Self::bind_tcp(&placement.ports).await,
        }
    }

    fn bind_unix(path: PathBuf, group: Option<&str>) -> Result<Self, SocketError> {
        let listener = UnixListener::bind(&path)
            .map_err(|source| SocketError::Unix { path: path.clone(), source })?;
        let unlink = Unlink(path.clone());
        match group {
            None => std::fs::set_permissions(&path, Permissions::from_mode(0o600))
                .map_err(|source| SocketError::Unix { path: path.clone(), source })?,
            Some(group) => share(&path, group).map_err(|source| SocketError::Group {
                group: group.to_owned(),
                path: path.clone(),
                source,
            })?,
        }
        let bound = Arc::new(Bound::Unix(listener));
        Ok(Self { bound, address: Address::Unix(path), _unlink: Some(unlink) })
    }

    async fn bind_tcp(ports: &RangeInclusive<u16>) -> Result<Self, SocketError> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for port in ports.clone() {
            let bound = match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
                Ok(listener) => listener.local_addr().map(|address| (listener, address)),
                Err(error) => Err(error),
            };
            match bound {
                Ok((listener, address)) => {
                    let bound = Arc::new(Bound::Tcp(listener));
                    return Ok(Self { bound, address: Address::Tcp(address), _unlink: None });
                }
                Err(error) => last = error,
            }
        }
        Err(SocketError::Tcp { ports: ports.clone(), source: last })
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// The connections, each with its TLS done. A client that never finishes its own part holds
    /// up nobody else.
    pub(super) fn incoming(
        &self,
        tls: Option<TlsAcceptor>,
        end: CancellationToken,
    ) -> impl Stream<Item = io::Result<Connection>> + use<> {
        let (connections, incoming) = mpsc::channel(BACKLOG);
        let bound = Arc::clone(&self.bound);
        tokio::spawn(async move {
            let accepting = async {
                loop {
                    match bound.accept().await {
                        Ok(stream) => take_up(stream, tls.clone(), connections.clone()),
                        Err(error) => {
                            tracing::warn!(%error, "no connection accepted");
                            tokio::time::sleep(PAUSE).await;
                        }
                    }
                }
            };
            end.run_until_cancelled(accepting).await;
        });
        ReceiverStream::new(incoming)
    }
}

impl Bound {
    async fn accept(&self) -> io::Result<Box<dyn Io>> {
        Ok(match self {
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
            Self::Tcp(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

/// Does the TLS of one connection, in a task of its own.
fn take_up(
    stream: Box<dyn Io>,
    tls: Option<TlsAcceptor>,
    connections: mpsc::Sender<io::Result<Connection>>,
) {
    tokio::spawn(async move {
        let stream = match tls {
            None => stream,
            Some(tls) => match tls.accept(stream).await {
                Ok(stream) => Box::new(stream),
                Err(error) => return tracing::warn!(%error, "connection refused"),
            },
        };
        // When nobody takes connections any more the server is ending.
        drop(connections.send(Ok(Connection(stream))).await);
    });
}

/// A path for the socket that is new, fits, and does not break the handshake line.
fn socket_path(directory: Option<&Path>, temporary: &Path) -> Option<PathBuf> {
    let nanos = jiff::Timestamp::now().subsec_nanosecond();
    let name = format!("plugin{}-{nanos}", std::process::id());
    let fits = |path: &PathBuf| {
        let path = path.as_os_str().as_encoded_bytes();
        path.len() < MAX_PATH && !path.contains(&b'|') && !path.contains(&b'\n')
    };
    let places = match directory {
        Some(directory) => vec![directory],
        None => vec![temporary, Path::new("/tmp")],
    };
    places.into_iter().map(|place| place.join(&name)).find(fits)
}

/// Lets a group connect, given by number or by name.
fn share(path: &Path, group: &str) -> io::Result<()> {
    let id = match group.parse() {
        Ok(id) => id,
        Err(_) => group_id(&std::fs::read_to_string("/etc/group")?, group)
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such group"))?,
    };
    chown(path, None, Some(id))?;
    std::fs::set_permissions(path, Permissions::from_mode(0o660))
}

fn group_id(groups: &str, name: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// A connection that is ready to be served.
pub(super) struct Connection(Box<dyn Io>);

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_socket_goes_where_it_fits() {
        let parent = |directory: Option<&str>, temporary: &str| {
            let path = socket_path(directory.map(Path::new), Path::new(temporary));
            path.and_then(|path| path.parent().map(Path::to_path_buf))
        };
        let long = format!("/{}", "d".repeat(100));
        assert_eq!(parent(None, "/var/tmp").unwrap(), Path::new("/var/tmp"));
        assert_eq!(parent(None, &long).unwrap(), Path::new("/tmp"));
        assert_eq!(parent(None, "/a|b").unwrap(), Path::new("/tmp"));
        assert_eq!(parent(Some("/run/host"), "/var/tmp").unwrap(), Path::new("/run/host"));
        assert_eq!(parent(Some(&long), "/var/tmp"), None);
    }

    #[test]
    fn groups_are_found_by_name() {
        let groups = "root:x:0:\nbroken\nbuild:x:1001:ci,dev\n";
        assert_eq!(group_id(groups, "build"), Some(1001));
        assert_eq!(group_id(groups, "dev"), None);
    }

    #[tokio::test]
    async fn without_a_place_for_a_socket_the_loopback_serves() {
        let directory = PathBuf::from(format!("/{}", "d".repeat(100)));
        let placement = Placement { directory: Some(directory), group: None, ports: 0..=0 };
        let listener = Listener::bind(&placement).await.unwrap();
        assert_eq!(listener.address().network(), "tcp");
        assert!(listener.address().to_string().starts_with("127.0.0.1:"));
    }

    #[tokio::test]
    async fn the_socket_is_removed_with_its_listener() {
        let directory = tempfile::tempdir().unwrap();
        let placement =
            Placement { directory: Some(directory.path().to_owned()), group: None, ports: 0..=0 };
        let listener = Listener::bind(&placement).await.unwrap();
        let Address::Unix(path) = listener.address().clone() else { unreachable!() };
        assert!(path.exists());
        drop(listener);
        assert!(!path.exists());
    }
}
