//! The way out of a sandbox: a proxy outside of it that lets through what the egress policy opens.
//!
//! It listens on the loopback interface of the sandbox and connects from that of the machine: a socket belongs to
//! the network that it was made in, whoever holds it. It takes `CONNECT`, and requests for `http` addresses. Names are
//! resolved here, once, and the connection goes to the address that was judged.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use url::Host;

use super::outer;
use super::spec::Identity;
use crate::http::EgressPolicy;
use crate::process::{Command, ignore_polite_signals};

/// What follows [`outer::ARGUMENT`] for the proxy.
pub(super) const ARGUMENT: &str = "egress";
/// Where it listens, inside.
pub(super) const ADDRESS: &str = "127.0.0.1:3128";
/// Variables by which programs know it.
pub(super) const VARIABLES: [&str; 4] = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"];

/// Largest head of a request.
const HEAD_MAX_BYTES: usize = 64 << 10;
/// Time for a head, and for a connection to be made.
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections at once.
const CONNECTIONS_MAX: usize = 256;

/// The running proxy; ended when it goes out of scope.
pub(super) struct Proxy(std::process::Child);

impl Proxy {
    /// Serves a listening socket of the sandbox.
    pub(super) fn start(
        listener: OwnedFd,
        policy: &EgressPolicy,
        identity: Option<Identity>,
    ) -> io::Result<Self> {
        let policy = serde_json::to_string(policy)?;
        let mut command = Command::new("/proc/self/exe")
            .args([outer::ARGUMENT, ARGUMENT, policy.as_str()])
            .to_std();
        if let Some(Identity { uid, gid }) = identity {
            command.uid(uid).gid(gid);
        }
        command.stdin(Stdio::from(listener)).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map(Self)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait().map(drop)) {
            eprintln!("sandbox: the proxy cannot be ended: {error}");
        }
    }
}

/// Is the proxy, with the listening socket as its standard input.
pub(super) fn proxy_main(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let policy = args.next().and_then(|text| serde_json::from_str(text.to_str()?).ok());
    let Some(policy) = policy else {
        eprintln!("usage: {} {ARGUMENT} POLICY (started by a sandbox)", outer::ARGUMENT);
        return ExitCode::from(2);
    };
    match serve(policy) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandbox: the proxy does not run: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(policy: EgressPolicy) -> io::Result<()> {
    // It is there as long as the program that is asked to end.
    ignore_polite_signals()?;
    if io::stdin().is_terminal() {
        return Err(io::Error::other("standard input is no listening socket"));
    }
    let listener: std::net::TcpListener = io::stdin().as_fd().try_clone_to_owned()?.into();
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        let (policy, places) = (Arc::new(policy), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
        loop {
            let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
            let (client, _) = listener.accept().await?;
            let policy = Arc::clone(&policy);
            tokio::spawn(async move {
                // Whatever goes wrong with a connection ends it, and nobody else is told.
                pass(client, &policy).await.ok();
                drop(place);
            });
        }
    })
}

/// What a client wants.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    host: Host,
    port: u16,
    /// What is said to the server first; none: a tunnel.
    request: Option<Vec<u8>>,
}

async fn pass(mut client: TcpStream, policy: &EgressPolicy) -> io::Result<()> {
    let Ok(head) = tokio::time::timeout(PATIENCE, head(&mut client)).await else { return Ok(()) };
    let Some((head, rest)) = head? else {
        return answer(&mut client, "400 Bad Request", "this is no request for a proxy").await;
    };
    let Some(Wanted { host, port, request }) = wanted(&head) else {
        return answer(&mut client, "400 Bad Request", "this is no request for a proxy").await;
    };
    let mut server = match connect(&host, port, policy).await {
        Ok(server) => server,
        Err(Refused::Blocked(why)) => return answer(&mut client, "403 Forbidden", &why).await,
        Err(Refused::Failed(error)) => {
            return answer(&mut client, "502 Bad Gateway", &format!("{host}: {error}")).await;
        }
    };
    match request {
        None => client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?,
        Some(request) => server.write_all(&request).await?,
    }
    server.write_all(&rest).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// The head of a request with its empty line, and what came behind it.
async fn head(client: &mut TcpStream) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let mut read = Vec::new();
    let mut chunk = [0; 4096];
    while read.len() < HEAD_MAX_BYTES {
        let count = client.read(&mut chunk).await?;
        if count == 0 {
            return Ok(None);
        }
        read.extend_from_slice(&chunk[..count]);
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = read.split_off(end + 4);
            return Ok(Some((read, rest)));
        }
    }
    Ok(None)
}

fn wanted(head: &[u8]) -> Option<Wanted> {
    let text = std::str::from_utf8(head).ok()?;
    let (first, headers) = text.split_once("\r\n")?;
    let mut words = first.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if method == "CONNECT" {
        let (host, port) = target.rsplit_once(':')?;
        return Some(Wanted {
            host: Host::parse(host).ok()?,
            port: port.parse().ok()?,
            request: None,
        });
    }
    let url: url::Url = target.parse().ok()?;
    if url.scheme() != "http" || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut request = format!("{method} {}{query} {version}\r\n", url.path());
    // One request for one connection: the next may be for another host.
    for header in headers.lines().filter(|line| !line.is_empty() && !is_for_us(line)) {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("Connection: close\r\n\r\n");
    Some(Wanted {
        host: url.host()?.to_owned(),
        port: url.port_or_known_default()?,
        request: Some(request.into_bytes()),
    })
}

fn is_for_us(header: &str) -> bool {
    let name = header.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(name.as_str(), "connection" | "keep-alive") || name.starts_with("proxy-")
}

enum Refused {
    Blocked(String),
    Failed(io::Error),
}

async fn connect(host: &Host, port: u16, policy: &EgressPolicy) -> Result<TcpStream, Refused> {
    let (name, addresses): (Option<&str>, Vec<IpAddr>) = match host {
        Host::Ipv4(address) => (None, vec![IpAddr::V4(*address)]),
        Host::Ipv6(address) => (None, vec![IpAddr::V6(*address)]),
        Host::Domain(name) => {
            let found = tokio::net::lookup_host((name.as_str(), port)).await;
            let found = found.map_err(Refused::Failed)?.map(|address| address.ip());
            (Some(name.as_str()), found.collect())
        }
    };
    let mut refused = Refused::Failed(io::Error::other("it has no address"));
    for address in addresses {
        if let Err(blocked) = policy.check(name, address) {
            refused = Refused::Blocked(blocked.to_string());
            continue;
        }
        let connecting = TcpStream::connect(SocketAddr::new(address, port));
        match tokio::time::timeout(PATIENCE, connecting).await {
            Ok(Ok(server)) => return Ok(server),
            Ok(Err(error)) => refused = Refused::Failed(error),
            Err(_) => refused = Refused::Failed(io::Error::other("no answer in time")),
        }
    }
    Err(refused)
}

async fn answer(client: &mut TcpStream, status: &str, why: &str) -> io::Result<()> {
    let length = why.len() + 1;
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n");
    client.write_all(format!("{head}Content-Type: text/plain\r\n\r\n{why}\n").as_bytes()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(head: &str, expect: Option<(&str, u16, Option<&str>)>) {
        let found = wanted(head.as_bytes());
        let expect = expect.map(|(host, port, request)| Wanted {
            host: Host::parse(host).expect("a host"),
            port,
            request: request.map(|text| text.as_bytes().to_vec()),
        });
        assert_eq!(found, expect, "{head:?}");
    }

    #[test]
    fn tunnels_and_plain_requests_are_understood() {
        check(
            "CONNECT a.example.com:443 HTTP/1.1\r\nHost: b\r\n\r\n",
            Some(("a.example.com", 443, None)),
        );
        check("CONNECT [::1]:443 HTTP/1.1\r\n\r\n", Some(("[::1]", 443, None)));
        // However it is written, it is judged as what it is.
        check("CONNECT 0x7f000001:80 HTTP/1.1\r\n\r\n", Some(("127.0.0.1", 80, None)));
        check(
            "GET http://a.example.com/x?y=1 HTTP/1.1\r\nHost: a\r\nProxy-Authorization: x\r\nConnection: keep-alive\r\n\r\n",
            Some((
                "a.example.com",
                80,
                Some("GET /x?y=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
            )),
        );
    }

    #[test]
    fn what_is_no_request_for_a_proxy_is_refused() {
        for head in [
            "GET / HTTP/1.1\r\n\r\n",
            "CONNECT a.example.com HTTP/1.1\r\n\r\n",
            "GET https://a.example.com/ HTTP/1.1\r\n\r\n",
            "GET http://user:secret@a.example.com/ HTTP/1.1\r\n\r\n",
            "\r\n\r\n",
        ] {
            check(head, None);
        }
    }
}
