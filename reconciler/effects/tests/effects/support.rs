//! Servers for the tests: real programs in temporary directories, and small scripted ones.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Router;
use url::Url;

/// A real server, killed with the test.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: Url,
    _dir: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts a program that serves on the port which `command` was told, and waits until it accepts.
pub(crate) async fn serve(dir: tempfile::TempDir, port: u16, command: &mut Command) -> Server {
    let log = std::fs::File::create(dir.path().join("server.log")).unwrap();
    let mut child = command
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        if let Some(status) = child.try_wait().unwrap() {
            let log = std::fs::read_to_string(dir.path().join("server.log")).unwrap();
            panic!("the server ended with {status}: {log}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Server { child, url: format!("http://127.0.0.1:{port}").parse().unwrap(), _dir: dir }
}

/// Serves a router on a free loopback port for as long as the test's run time lives.
pub(crate) async fn scripted(router: Router) -> Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}").parse().unwrap()
}

/// A program that the tests need, or a panic that names it.
pub(crate) fn program(name: &str) -> PathBuf {
    std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|dir| dir.join(name))
        .find(|path| is_file(path))
        .unwrap_or_else(|| panic!("install {name}: the tests run against the real one"))
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file())
}
