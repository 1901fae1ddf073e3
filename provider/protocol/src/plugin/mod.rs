//! The process: how the host starts it, talks to it and ends it.
//!
//! The order in [`serve`] matters. The handshake line is what the host waits for, so nothing
//! comes before it that it does not need; signals are taken before it, because the host may send
//! them from then on.

mod handshake;
mod logging;
pub(crate) mod panics;
mod services;
mod shutdown;
mod socket;
mod tls;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::transport::server::Router;

use crate::provider::Provider;
use crate::server::Service;
use crate::wire::health::health_server::HealthServer;
use crate::wire::plugin::grpc_broker_server::GrpcBrokerServer;
use crate::wire::plugin::grpc_controller_server::GrpcControllerServer;
use crate::wire::plugin::grpc_stdio_server::GrpcStdioServer;
use crate::wire::tfplugin6::provider_server::ProviderServer;
use handshake::{Launch, Mode};
use socket::{Listener, SocketError};
use tls::TlsError;

/// The largest message that is taken in. A state may be large; the client sets no limit of its own.
const MAX_MESSAGE: usize = 256 << 20;

/// Serves the provider to the host that started this process, until the host ends it.
///
/// Takes over the process: its standard streams, its signals and its panic hook. With the
/// argument `-debug` it serves hosts that are told where to find it, until interrupted.
pub fn serve<P: Provider>(provider: P) -> ExitCode {
    let launch = Launch::from_environment(provider.address());
    if launch.mode == Mode::ByHand {
        eprintln!("{}", handshake::by_hand(provider.address()));
        return ExitCode::FAILURE;
    }
    logging::install(&launch);
    panics::install();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let served = runtime.map_err(ServeError::Runtime).and_then(|runtime| {
        let served = runtime.block_on(run(provider, &launch));
        // Whatever still runs has been told to stop, and was given its time.
        runtime.shutdown_background();
        served
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("[ERROR] {error}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("cannot start the runtime: {0}")]
    Runtime(#[source] io::Error),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("cannot take over signals: {0}")]
    Signals(#[source] io::Error),
    #[error("cannot write the handshake to standard output: {0}")]
    Handshake(#[source] io::Error),
    #[error("cannot serve: {0}")]
    Serve(#[source] tonic::transport::Error),
}

async fn run<P: Provider>(provider: P, launch: &Launch) -> Result<(), ServeError> {
    let end = CancellationToken::new();
    shutdown::on_signals(launch.mode, &end).map_err(ServeError::Signals)?;
    shutdown::with_parent(launch.mode, &end);
    let tls = launch.client_certificate.as_deref().map(tls::mutual).transpose()?;
    let listener = Listener::bind(&launch.socket).await?;
    let line = match launch.mode {
        Mode::Debug => handshake::reattach(provider.address(), listener.address()),
        Mode::Hosted | Mode::ByHand => {
            let certificate = tls.as_ref().map(|tls| tls.certificate.as_ref());
            handshake::line(listener.address(), certificate, launch.multiplex)
        }
    };
    say(&line).map_err(ServeError::Handshake)?;
    let incoming = listener.incoming(tls.map(|tls| tls.acceptor), end.clone());
    let router = router(provider, &end);
    let served = router.serve_with_incoming_shutdown(incoming, end.clone().cancelled_owned());
    shutdown::within_grace(served, &end).await.map_err(ServeError::Serve)
}

/// The one line that is ever written to standard output.
fn say(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(line.as_bytes())?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

/// The provider as a service, without the process around it: to be called from this process.
pub fn service<P: Provider>(provider: P) -> ProviderServer<Service<P>> {
    ProviderServer::new(Service::new(provider))
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(usize::MAX)
}

fn router<P: Provider>(provider: P, end: &CancellationToken) -> Router {
    let streams = Arc::new(services::Streams::new(end.clone()));
    tonic::transport::Server::builder()
        .add_service(service(provider))
        .add_service(GrpcControllerServer::new(services::Controller::new(end.clone())))
        .add_service(GrpcStdioServer::from_arc(Arc::clone(&streams)))
        .add_service(GrpcBrokerServer::from_arc(streams))
        .add_service(HealthServer::new(services::Health))
}
