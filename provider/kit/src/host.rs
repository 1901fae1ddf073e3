//! A plugin host: starts a provider's program as Terraform does, down to the odd certificate, and
//! connects to it.

use std::path::Path;

use std::process::Stdio;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P521_SHA512,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

/// The variable by which a provider knows that a host started it, and its value.
pub const COOKIE: (&str, &str) =
    ("TF_PLUGIN_MAGIC_COOKIE", "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2");

/// The certificate that a host makes for itself: an authority used as a leaf, with P-521.
#[derive(Debug)]
pub struct Identity {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Identity {
    /// A new one.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "each is another, and takes its time")]
    pub fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512).expect("a key");
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, "localhost");
        params.distinguished_name.push(DnType::OrganizationName, "HashiCorp");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
            KeyUsagePurpose::KeyAgreement,
            KeyUsagePurpose::KeyCertSign,
        ];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        Self { certificate: params.self_signed(&key).expect("a certificate"), key }
    }

    fn config(&self, server: CertificateDer<'static>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(server).expect("a root");
        let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(crypto)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_client_auth_cert(
                vec![self.certificate.der().clone()],
                PrivatePkcs8KeyDer::from(self.key.serialize_der()).into(),
            )
            .expect("a client certificate");
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }
}

/// A provider that was started, with what it said in its handshake.
#[derive(Debug)]
pub struct Started {
    /// The process. It is killed when this is dropped.
    pub child: Child,
    /// The parts of its line.
    pub fields: Vec<String>,
    stdout: Lines<BufReader<ChildStdout>>,
}

/// Starts a provider's program. With an identity it is asked for mutual TLS.
pub async fn start(
    program: &Path,
    identity: Option<&Identity>,
    variables: &[(&str, &str)],
) -> Started {
    let mut command = Command::new(program);
    command.env_remove("TF_LOG").env_remove("TF_LOG_PROVIDER").env(COOKIE.0, COOKIE.1);
    command.env("PLUGIN_PROTOCOL_VERSIONS", "5,6").envs(variables.iter().copied());
    if let Some(identity) = identity {
        command.env("PLUGIN_CLIENT_CERT", identity.certificate.pem());
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("the provider starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped")).lines();
    let line = stdout.next_line().await.expect("readable").expect("a handshake");
    let fields = line.split('|').map(str::to_owned).collect();
    Started { child, fields, stdout }
}

impl Started {
    /// Connects by the handshake, as `identity` if it is given.
    ///
    /// # Errors
    ///
    /// When there is no connection: the provider lets nobody in but who started it.
    pub async fn connect(
        &self,
        identity: Option<&Identity>,
    ) -> Result<Channel, tonic::transport::Error> {
        let path = self.fields[3].clone();
        let tls = identity.map(|identity| {
            let der = STANDARD_NO_PAD.decode(&self.fields[5]).expect("base64 without padding");
            TlsConnector::from(Arc::new(identity.config(CertificateDer::from(der))))
        });
        let connector = tower::service_fn(move |_: http::Uri| {
            let (path, tls) = (path.clone(), tls.clone());
            async move { dial(&path, tls).await.map(TokioIo::new) }
        });
        Endpoint::from_static("http://localhost").connect_with_connector(connector).await
    }

    /// Waits for the process to end; what it said since the handshake, and its exit code.
    pub async fn end(mut self) -> (String, String, Option<i32>) {
        let mut stderr = String::new();
        let mut pipe = self.child.stderr.take().expect("piped");
        pipe.read_to_string(&mut stderr).await.expect("readable");
        let mut said = String::new();
        while let Some(line) = self.stdout.next_line().await.expect("readable") {
            said.push_str(&line);
        }
        (said, stderr, self.child.wait().await.expect("an end").code())
    }
}

trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Stream for T {}

async fn dial(path: &str, tls: Option<TlsConnector>) -> std::io::Result<Box<dyn Stream>> {
    let stream = UnixStream::connect(path).await?;
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = tls.connect(name, stream).await?;
    // Newer hosts insist.
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    Ok(Box::new(stream))
}
