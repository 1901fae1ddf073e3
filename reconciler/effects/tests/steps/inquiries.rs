//! Tickets and attestations: scripted servers, and a real registry with signatures that `openssl` made.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect};
use axum::routing::{any, get};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reconciler_domain::credential::CredentialKind;
use reconciler_domain::inquiry::{Context, Inquiry, Source, VerifyingKey, WebRequest};
use reconciler_domain::secret::SecretRef;
use reconciler_domain::verification::Measured;
use reconciler_effects::git::Secret;
use reconciler_effects::http::EgressPolicy;
use reconciler_effects::oci::{Digest, ImageRepo, Referrer, Registry, RegistryOptions};
use reconciler_effects::{Effects, EffectsConfig, Held};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::credentials::Wallets;
use crate::images::{Images, MANIFEST, SOURCE};
use crate::support::{free_port, scripted};
use crate::world::{World, shop};

const TOKEN: &str = "a token nobody may see";
const SCAN: &str = "https://example.com/scan/v1";

fn request(url: &str) -> WebRequest {
    WebRequest {
        url: url.to_owned(),
        method: "GET".to_owned(),
        headers: BTreeMap::new(),
        body: None,
        timeout: Duration::from_secs(5),
    }
}

fn inquiry(source: Source, success: &str, failure: Option<&str>) -> Inquiry {
    let context = Context {
        values: [("freight".to_owned(), json!({ "api": { "tag": "1.4.2" } }))].into(),
        freight: BTreeMap::new(),
    };
    let parsed = |text: &str| text.parse().unwrap();
    Inquiry { source, context, success: parsed(success), failure: failure.map(parsed) }
}

fn ticket(url: &str, success: &str, failure: Option<&str>) -> Inquiry {
    let source = Source::Response { request: request(url), secrets: Vec::new() };
    inquiry(source, success, failure)
}

async fn ask(effects: &Effects, inquiry: &Inquiry) -> (Measured, String) {
    let heard = effects.ask(&shop(), inquiry).await.unwrap();
    (heard.measured, heard.detail)
}

#[tokio::test]
async fn only_an_answer_that_was_judged_passes() {
    let world = World::new().await;
    let effects = world.open();
    let approved = || async { axum::Json(json!({ "approved": true, "version": "1.4.2" })) };
    let open = || async { axum::Json(json!({ "approved": false, "state": "open" })) };
    let router = Router::new()
        .route("/approved", any(approved))
        .route("/open", any(open))
        .route("/moved", any(|| async { Redirect::to("/approved") }))
        .route("/none", any(|| async { (StatusCode::NOT_FOUND, "{\"approved\":true}") }))
        .route("/login", any(|| async { (StatusCode::UNAUTHORIZED, "{\"approved\":true}") }))
        .route("/down", any(|| async { (StatusCode::BAD_GATEWAY, "{\"approved\":true}") }))
        .route("/page", any(|| async { "<html>please log in</html>" }))
        .route("/slow", any(|| async { tokio::time::sleep(Duration::from_secs(60)).await }));
    let server = scripted(router).await;
    let said = async |path: &str, success: &str, failure: Option<&str>| {
        let mut inquiry = ticket(server.join(path).unwrap().as_str(), success, failure);
        if let Source::Response { request, .. } = &mut inquiry.source
            && path == "slow"
        {
            request.timeout = Duration::from_millis(50);
        }
        ask(&effects, &inquiry).await
    };
    let approved = "response.json.approved";
    let (measured, detail) = said("approved", approved, None).await;
    assert_eq!(measured, Measured::Pass, "{detail}");
    assert!(detail.starts_with(&format!("GET {server}approved: 200: {{")), "{detail}");
    // It is for the version that is promoted, or for another.
    let same = "response.json.version == freight.api.tag";
    assert_eq!(said("approved", same, None).await.0, Measured::Pass);
    let other = "response.json.version == 'v' + freight.api.tag";
    assert_eq!(said("approved", other, None).await.0, Measured::Fail);
    assert_eq!(said("open", approved, None).await.0, Measured::Fail);
    let rejected = Some("response.json.state == 'rejected'");
    assert_eq!(said("open", approved, rejected).await.0, Measured::Unknown);
    let opened = Some("response.json.state == 'open'");
    assert_eq!(said("open", approved, opened).await.0, Measured::Fail);
    // Refused wins over approved, and what cannot be evaluated over both.
    assert_eq!(said("open", "true", opened).await.0, Measured::Fail);
    assert_eq!(said("open", "true", Some("response.json.nothing")).await.0, Measured::Unknown);
    assert_eq!(said("none", approved, None).await.0, Measured::Pass, "404 is an answer");
    let closed = format!("http://127.0.0.1:{}/", free_port());
    for (path, why) in [
        ("login", "says nothing of what was asked"),
        ("down", "says nothing of what was asked"),
        ("moved", "only this address was asked"),
        ("page", "cannot be"),
        ("slow", "no complete answer"),
        (closed.as_str(), "cannot connect"),
    ] {
        let (measured, detail) = said(path, approved, None).await;
        assert_eq!(measured, Measured::Unknown, "{path}: {detail}");
        assert!(path == "page" || detail.contains(why), "{path}: {detail}");
    }
    assert_eq!(said("approved", "response.status", None).await.0, Measured::Unknown);
    assert_eq!(said("approved", "response.json.missing", None).await.0, Measured::Unknown);
}

#[tokio::test]
async fn a_private_address_is_asked_only_where_the_daemon_may() {
    let world = World::new().await;
    let server = scripted(Router::new().route("/", any(|| async { "{\"ok\":true}" }))).await;
    let config = EffectsConfig { egress: EgressPolicy::default(), ..world.config() };
    let effects = Effects::open(config).unwrap();
    let (measured, detail) = ask(&effects, &ticket(server.as_str(), "true", None)).await;
    assert_eq!(measured, Measured::Unknown);
    assert!(detail.contains("blocked"), "{detail}");
}

#[tokio::test]
async fn a_secret_is_sent_below_its_address_alone_and_told_to_nobody() {
    let world = World::new().await;
    let say = |headers: HeaderMap| async move {
        let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        axum::Json(json!({ "sent": sent }))
    };
    let router = Router::new().route("/v1/ticket", get(say)).route("/other", get(say));
    let server = scripted(router).await;
    let wallets = Wallets::default();
    let effects = wallets.open(&world, Vec::new());
    wallets.give(
        "shop",
        Held {
            name: "tickets".parse().unwrap(),
            kind: CredentialKind::Http,
            address: Some(format!("{server}v1").parse().unwrap()),
            username: None,
            secrets: [("key".to_owned(), Ok(Secret::new(TOKEN)))].into(),
        },
    );
    let secret = SecretRef { credential: "tickets".parse().unwrap(), key: "key".to_owned() };
    let with_secret = |path: &str| {
        let words = format!("Token {}", secret.words());
        let headers = [("Authorization".to_owned(), words)].into();
        let request = WebRequest { headers, ..request(server.join(path).unwrap().as_str()) };
        let source = Source::Response { request, secrets: vec![secret.clone()] };
        inquiry(source, &format!("response.json.sent == 'Token {TOKEN}'"), None)
    };
    let (measured, detail) = ask(&effects, &with_secret("v1/ticket")).await;
    assert_eq!(measured, Measured::Pass, "{detail}");
    assert!(detail.contains("[secret tickets/key]") && !detail.contains(TOKEN), "{detail}");
    let (measured, detail) = ask(&effects, &with_secret("v1/../other")).await;
    assert_eq!(measured, Measured::Unknown);
    assert!(detail.contains("is not for this address"), "{detail}");
    let stranger = effects.ask(&"other".parse().unwrap(), &with_secret("v1/ticket")).await.unwrap();
    assert_eq!(stranger.measured, Measured::Unknown);
    assert!(stranger.detail.contains("there is no credential tickets"), "{}", stranger.detail);
}

#[tokio::test]
async fn a_document_of_a_server_is_judged_or_unknown() {
    let world = World::new().await;
    let effects = world.open();
    let scan = || async { axum::Json(json!({ "criticals": 0 })) };
    let router = Router::new()
        .route("/scan", any(scan))
        .route("/text", any(|| async { "none" }))
        .route("/gone", any(|| async { StatusCode::NOT_FOUND.into_response() }));
    let server = scripted(router).await;
    let said = async |path: &str, success: &str| {
        let request = request(server.join(path).unwrap().as_str());
        let source = Source::Document { request, secrets: Vec::new() };
        ask(&effects, &inquiry(source, success, None)).await.0
    };
    assert_eq!(said("scan", "payload.criticals == 0").await, Measured::Pass);
    assert_eq!(said("scan", "payload.criticals > 0").await, Measured::Fail);
    assert_eq!(said("scan", "payload.high == 0").await, Measured::Unknown);
    assert_eq!(said("text", "true").await, Measured::Unknown);
    assert_eq!(said("gone", "true").await, Measured::Unknown);
}

/// Runs openssl in a folder.
fn openssl(dir: &Path, args: &[&str]) -> Vec<u8> {
    let out = Command::new("openssl").args(args).current_dir(dir).output().unwrap();
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

/// A key of openssl, which signs envelopes.
struct Signer {
    dir: tempfile::TempDir,
    is_p256: bool,
}

impl Signer {
    fn new(is_p256: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let of_kind: &[&str] = if is_p256 {
            &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "key"]
        } else {
            &["genpkey", "-algorithm", "ed25519", "-out", "key"]
        };
        openssl(dir.path(), of_kind);
        Self { dir, is_p256 }
    }

    fn public(&self) -> VerifyingKey {
        let pem = openssl(self.dir.path(), &["pkey", "-in", "key", "-pubout"]);
        String::from_utf8(pem).unwrap().parse().unwrap()
    }

    /// An envelope round this statement, as `cosign attest` makes it.
    fn envelope(&self, statement: &Value) -> Value {
        let (kind, payload) = ("application/vnd.in-toto+json", statement.to_string());
        let signed = format!("DSSEv1 {} {kind} {} {payload}", kind.len(), payload.len());
        std::fs::write(self.dir.path().join("text"), signed).unwrap();
        let args: &[&str] = if self.is_p256 {
            &["dgst", "-sha256", "-sign", "key", "text"]
        } else {
            &["pkeyutl", "-sign", "-inkey", "key", "-rawin", "-in", "text"]
        };
        let signature = STANDARD.encode(openssl(self.dir.path(), args));
        json!({
            "payloadType": kind, "payload": STANDARD.encode(payload),
            "signatures": [{ "keyid": "", "sig": signature }],
        })
    }
}

fn statement(image: &Digest, criticals: u32) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1", "predicateType": SCAN,
        "subject": [{ "name": "api", "digest": { "sha256": &image.as_str()["sha256:".len()..] } }],
        "predicate": { "criticals": criticals },
    })
}

/// A registry with an image, to which things are attached.
struct Shelf {
    images: Images,
    registry: Registry,
    effects: Effects,
    _world: World,
}

impl Shelf {
    async fn open() -> Self {
        let (world, images) = (World::new().await, Images::start().await);
        let egress = EgressPolicy::with_private();
        let registry = Registry::new(RegistryOptions { egress, ..RegistryOptions::default() });
        let effects = world.open();
        Self { images, registry: registry.unwrap(), effects, _world: world }
    }

    fn repo(&self) -> ImageRepo {
        self.images.repo(SOURCE).parse().unwrap()
    }

    async fn attach(&self, image: &Digest, artifact_type: &str, predicate: &str, text: &Value) {
        let referrer = Referrer {
            subject: image.clone(),
            artifact_type: artifact_type.to_owned(),
            media_type: "application/vnd.dsse.envelope.v1+json".to_owned(),
            title: "attestation.json".to_owned(),
            bytes: text.to_string().into_bytes(),
            annotations: [("predicateType".to_owned(), predicate.to_owned())].into(),
        };
        let never = CancellationToken::new();
        self.registry.attach(&self.repo(), &referrer, &never).await.unwrap();
    }

    async fn said(&self, image: &Digest, key: Option<VerifyingKey>) -> (Measured, String) {
        let source = Source::Referrer {
            repo: self.repo().to_string(),
            digest: image.to_string(),
            artifact_type: SCAN.to_owned(),
            key,
            timeout: Duration::from_secs(20),
        };
        ask(&self.effects, &inquiry(source, "payload.predicate.criticals == 0", None)).await
    }
}

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

#[tokio::test]
async fn what_is_signed_and_attached_to_an_image_is_found_and_judged() {
    let shelf = Shelf::open().await;
    let (image, other) = (shelf.images.new.clone(), shelf.images.old.clone());
    for signer in [Signer::new(false), Signer::new(true)] {
        // Each key begins with an image of its own.
        let tag = if signer.is_p256 { "p256" } else { "ed25519" };
        let image = shelf.images.artifact(SOURCE, tag, &[("a.txt", tag)]).await;
        let key = || Some(signer.public());
        let (measured, detail) = shelf.said(&image, key()).await;
        assert_eq!(measured, Measured::Unknown);
        assert!(detail.ends_with("there is none"), "{detail}");
        // What counts is none of these: not signed, signed by another, about another image, of another type.
        shelf.attach(&image, SCAN, SCAN, &statement(&image, 0)).await;
        let stranger = Signer::new(signer.is_p256).envelope(&statement(&image, 0));
        shelf.attach(&image, BUNDLE, SCAN, &json!({ "dsseEnvelope": stranger })).await;
        shelf.attach(&image, BUNDLE, SCAN, &signer.envelope(&statement(&other, 0))).await;
        let mut retyped = statement(&image, 0);
        retyped["predicateType"] = json!("https://example.com/other");
        shelf.attach(&image, BUNDLE, SCAN, &signer.envelope(&retyped)).await;
        let mut altered = signer.envelope(&statement(&image, 7));
        altered["payload"] = json!(STANDARD.encode(statement(&image, 0).to_string()));
        shelf.attach(&image, BUNDLE, SCAN, &altered).await;
        let (measured, detail) = shelf.said(&image, key()).await;
        assert_eq!(measured, Measured::Unknown, "{detail}");
        assert!(detail.contains("of 5 that are attached none counts"), "{detail}");
        // This does.
        let bundle = json!({ "dsseEnvelope": signer.envelope(&statement(&image, 0)) });
        shelf.attach(&image, BUNDLE, SCAN, &bundle).await;
        let (measured, detail) = shelf.said(&image, key()).await;
        assert_eq!(measured, Measured::Pass, "{detail}");
        // A later scan that finds something is not hidden by the one before.
        shelf.attach(&image, BUNDLE, SCAN, &signer.envelope(&statement(&image, 2))).await;
        let (measured, detail) = shelf.said(&image, key()).await;
        assert_eq!(measured, Measured::Fail, "{detail}");
    }
    // Without a key whoever may write to the registry is believed, but not about another image.
    shelf.attach(&image, SCAN, "none", &json!({ "predicate": { "criticals": 0 } })).await;
    assert_eq!(shelf.said(&image, None).await.0, Measured::Pass);
    shelf.attach(&image, SCAN, "none", &statement(&other, 0)).await;
    let (measured, detail) = shelf.said(&image, None).await;
    assert_eq!(measured, Measured::Unknown, "{detail}");
    assert!(detail.contains("about something else"), "{detail}");
}

#[tokio::test]
async fn what_cosign_puts_under_a_tag_is_found() {
    let shelf = Shelf::open().await;
    let (image, signer) = (shelf.images.new.clone(), Signer::new(true));
    let under = format!("{}.att", image.as_str().replace(':', "-"));
    let mut layers = Vec::new();
    for (kind, criticals) in [(SCAN, 0), ("https://example.com/other", 9)] {
        let text = signer.envelope(&statement(&image, criticals)).to_string();
        let digest = shelf.images.blob(SOURCE, &text).await;
        layers.push(json!({
            "mediaType": "application/vnd.dsse.envelope.v1+json", "digest": digest,
            "size": text.len(), "annotations": { "predicateType": kind },
        }));
    }
    let config = shelf.images.blob(SOURCE, "{}").await;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": layers,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2 },
    });
    shelf.images.manifest(SOURCE, &under, &manifest).await;
    let (measured, detail) = shelf.said(&image, Some(signer.public())).await;
    assert_eq!(measured, Measured::Pass, "{detail}");
    assert!(detail.contains("(of 1)"), "{detail}");
    let (measured, detail) = shelf.said(&image, Some(Signer::new(true).public())).await;
    assert_eq!(measured, Measured::Unknown, "{detail}");
}

#[tokio::test]
async fn a_registry_that_is_gone_says_nothing() {
    let world = World::new().await;
    let source = Source::Referrer {
        repo: format!("127.0.0.1:{}/shop/api", free_port()),
        digest: Digest::of(b"x").to_string(),
        artifact_type: SCAN.to_owned(),
        key: None,
        timeout: Duration::from_secs(5),
    };
    let (measured, detail) = ask(&world.open(), &inquiry(source, "true", None)).await;
    assert_eq!(measured, Measured::Unknown, "{detail}");
}
