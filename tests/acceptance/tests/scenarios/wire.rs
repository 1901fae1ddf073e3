//! A wire to a server that can be cut and mended: the server stays what it is, its address goes.

use acceptance::process::free_port;
use acceptance::{At as _, Failure, Outcome};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A port of loopback behind which a server is, or nobody.
pub(crate) struct Wire {
    port: u16,
    to: u16,
    task: Option<JoinHandle<()>>,
}

impl Wire {
    /// A wire to the server of a URL, or of a repository in a registry, cut so far.
    pub(crate) fn to(place: &str) -> Outcome<Self> {
        let host = place.trim_start_matches("http://").split('/').next();
        let port = host.and_then(|host| host.split(':').nth(1)).and_then(|port| port.parse().ok());
        let to = port.ok_or_else(|| Failure::new(format!("{place} names no port")))?;
        Ok(Self { port: free_port()?, to, task: None })
    }

    /// `host:port` of the near end.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Connects both ends.
    pub(crate) async fn mend(&mut self) -> Outcome {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.at("mending a wire")?;
        self.task = Some(tokio::spawn(forward(listener, self.to)));
        Ok(())
    }

    /// Ends every connection and refuses new ones.
    pub(crate) async fn cut(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            // Until it is gone the port is still taken.
            drop(task.await);
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn forward(listener: TcpListener, to: u16) {
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        connections.spawn(async move {
            let mut far = TcpStream::connect(("127.0.0.1", to)).await?;
            tokio::io::copy_bidirectional(&mut near, &mut far).await
        });
    }
}
