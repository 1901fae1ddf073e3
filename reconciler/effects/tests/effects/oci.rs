//! A real registry, and scripted ones that are busy, broken or malicious.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http::Method;
use reconciler_effects::http::{EgressPolicy, HttpClient, Request};
use reconciler_effects::oci::{
    Credentials, Digest, ImageRepo, OciError, Platform, Registry, RegistryOptions,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::support::{self, scripted};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

pub(crate) fn registry() -> Registry {
    Registry::new(options()).unwrap()
}

pub(crate) fn options() -> RegistryOptions {
    RegistryOptions { egress: EgressPolicy::with_private(), ..RegistryOptions::default() }
}

pub(crate) fn repo(url: &Url, path: &str) -> ImageRepo {
    format!("{}/{path}", url.authority()).parse().unwrap()
}

pub(crate) fn never() -> CancellationToken {
    CancellationToken::new()
}

/// Puts images into a registry by its API.
pub(crate) struct Publisher {
    http: HttpClient,
    url: Url,
    authorization: Option<&'static str>,
}

impl Publisher {
    async fn put(
        &self,
        method: Method,
        url: Url,
        media_type: &str,
        body: Vec<u8>,
    ) -> BTreeMap<String, String> {
        let mut request = Request::new(method, url).header("content-type", media_type).body(body);
        if let Some(authorization) = self.authorization {
            request = request.header("authorization", authorization);
        }
        let answer = self.http.send(request, &never()).await.unwrap();
        assert!(answer.is_success(), "{}: {}", answer.status, answer.text());
        answer.headers
    }

    async fn blob(&self, path: &str, content: &Value) -> Digest {
        let bytes = serde_json::to_vec(content).unwrap();
        let digest = Digest::of(&bytes);
        let start = self.url.join(&format!("/v2/{path}/blobs/uploads/")).unwrap();
        let headers = self.put(Method::POST, start, CONFIG, vec![]).await;
        let mut upload = self.url.join(&headers["location"]).unwrap();
        upload.query_pairs_mut().append_pair("digest", digest.as_str());
        self.put(Method::PUT, upload, "application/octet-stream", bytes).await;
        digest
    }

    async fn manifest(&self, path: &str, reference: &str, content: &Value) -> (Digest, usize) {
        let bytes = serde_json::to_vec(content).unwrap();
        let (digest, size) = (Digest::of(&bytes), bytes.len());
        let url = self.url.join(&format!("/v2/{path}/manifests/{reference}")).unwrap();
        self.put(Method::PUT, url, content["mediaType"].as_str().unwrap(), bytes).await;
        (digest, size)
    }

    /// An image without layers, as the config describes it.
    pub(crate) async fn image(&self, path: &str, tag: &str, config: &Value) -> (Digest, usize) {
        let digest = self.blob(path, config).await;
        let size = serde_json::to_vec(config).unwrap().len();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
            "config": {"mediaType": CONFIG, "digest": digest, "size": size},
        });
        self.manifest(path, tag, &manifest).await
    }
}

async fn start_registry() -> (support::Server, Publisher) {
    serve_registry(tempfile::tempdir().unwrap(), "", None).await
}

/// A real registry with more settings, which may name files in `dir`.
pub(crate) async fn serve_registry(
    dir: tempfile::TempDir,
    settings: &str,
    authorization: Option<&'static str>,
) -> (support::Server, Publisher) {
    let port = support::free_port();
    let config = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: data}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n{settings}"
    );
    std::fs::write(dir.path().join("config.yml"), config).unwrap();
    let mut command = Command::new(support::program("docker-registry"));
    let server = support::serve(dir, port, command.args(["serve", "config.yml"])).await;
    let http = HttpClient::new(EgressPolicy::with_private()).unwrap();
    let publisher = Publisher { http, url: server.url.clone(), authorization };
    (server, publisher)
}

pub(crate) fn config(os: &str, arch: &str, created: &str) -> Value {
    json!({"os": os, "architecture": arch, "created": created, "rootfs": {"type": "layers", "diff_ids": []}})
}

#[tokio::test]
async fn a_real_registry_lists_and_describes_images() {
    let (server, publisher) = start_registry().await;
    let (path, registry, cancel) = ("team/app", registry(), never());
    let app = repo(&server.url, path);
    let missing = registry.tags(&app, &cancel).await.unwrap_err();
    assert!(matches!(missing, OciError::NotFound { .. }), "{missing}");

    let (one, _) =
        publisher.image(path, "v1", &config("linux", "amd64", "2024-05-01T10:00:00Z")).await;
    let mut labelled = config("linux", "arm64", "1970-01-01T00:00:00Z");
    labelled["config"] = json!({"Labels": {"org.opencontainers.image.created": "2024-06-01T00:00:00Z", "team": "a"}});
    publisher.image(path, "v2", &labelled).await;
    let mut tags = registry.tags(&app, &cancel).await.unwrap();
    tags.sort();
    assert_eq!(tags, ["v1", "v2"]);

    let info = registry.resolve(&app, "v1", None, &cancel).await.unwrap();
    assert_eq!((info.digest.clone(), info.media_type.as_str()), (one, MANIFEST));
    assert_eq!(info.created.unwrap().to_string(), "2024-05-01T10:00:00Z");
    let amd64: Platform = "linux/amd64".parse().unwrap();
    assert_eq!(info.platforms, std::slice::from_ref(&amd64));
    let info = registry.resolve(&app, "v2", None, &cancel).await.unwrap();
    assert_eq!(info.created.unwrap().to_string(), "2024-06-01T00:00:00Z");
    assert_eq!(info.annotations["team"], "a");

    // A plain image is judged by its configuration, which an index would repeat.
    registry.resolve(&app, "v1", Some(&amd64), &cancel).await.unwrap();
    let other = registry.resolve(&app, "v2", Some(&amd64), &cancel).await.unwrap_err();
    let said = other.to_string();
    assert!(said.ends_with("is not there for linux/amd64; it is there for linux/arm64"), "{said}");
    let gone = registry.resolve(&app, "v9", None, &cancel).await.unwrap_err();
    assert!(matches!(gone, OciError::NotFound { .. }) && !gone.is_retryable());
}

#[tokio::test]
async fn an_index_counts_for_the_platforms_that_are_asked_for() {
    let (server, publisher) = start_registry().await;
    let (path, registry, cancel) = ("app", registry(), never());
    let app = repo(&server.url, path);
    let mut entries = Vec::new();
    for (arch, created) in [
        ("amd64", "2024-05-01T00:00:00Z"),
        ("arm64", "2024-07-01T00:00:00Z"),
        ("unknown", "2030-01-01T00:00:00Z"),
    ] {
        let os = if arch == "unknown" { "unknown" } else { "linux" };
        let (digest, size) =
            publisher.image(path, &format!("part-{arch}"), &config(os, arch, created)).await;
        entries.push(json!({"mediaType": MANIFEST, "digest": digest, "size": size, "platform": {"os": os, "architecture": arch}}));
    }
    let mut index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    let (digest, _) = publisher.manifest(path, "v1", &index).await;

    let whole = registry.resolve(&app, "v1", None, &cancel).await.unwrap();
    assert_eq!(whole.digest, digest);
    assert_eq!(whole.created.unwrap().to_string(), "2024-07-01T00:00:00Z");
    assert_eq!(whole.platforms.len(), 2, "attestations are no platform");
    let amd64: Platform = "linux/amd64".parse().unwrap();
    let part = registry.resolve(&app, "v1", Some(&amd64), &cancel).await.unwrap();
    assert_eq!(part.created.unwrap().to_string(), "2024-05-01T00:00:00Z");
    assert_eq!(part.digest, digest);
    let s390x: Platform = "linux/s390x".parse().unwrap();
    let absent = registry.resolve(&app, "v1", Some(&s390x), &cancel).await.unwrap_err();
    assert!(matches!(absent, OciError::NoPlatform { .. }), "{absent}");

    index["annotations"] = json!({"org.opencontainers.image.created": "2025-01-01T00:00:00Z"});
    publisher.manifest(path, "v2", &index).await;
    let annotated = registry.resolve(&app, "v2", Some(&amd64), &cancel).await.unwrap();
    assert_eq!(annotated.created.unwrap().to_string(), "2025-01-01T00:00:00Z");
}

/// Serves one manifest and its configuration and counts what is asked.
pub(crate) fn one_image(asked: Arc<AtomicUsize>) -> Router {
    let config_bytes =
        serde_json::to_vec(&config("linux", "amd64", "2024-05-01T10:00:00Z")).unwrap();
    let config_digest = Digest::of(&config_bytes);
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
        "config": {"mediaType": CONFIG, "digest": config_digest, "size": config_bytes.len()},
    }))
    .unwrap();
    Router::new()
        .route(
            "/v2/{repo}/manifests/{reference}",
            any({
                let asked = asked.clone();
                move |method: Method| async move {
                    asked.fetch_add(1, Ordering::SeqCst);
                    let digest = Digest::of(&manifest).to_string();
                    let body = if method == Method::HEAD { vec![] } else { manifest };
                    (
                        [("docker-content-digest", digest), ("content-type", MANIFEST.to_owned())],
                        body,
                    )
                }
            }),
        )
        .route(
            "/v2/{repo}/blobs/{digest}",
            get(move || async move {
                asked.fetch_add(1, Ordering::SeqCst);
                config_bytes
            }),
        )
}

#[tokio::test]
async fn what_a_digest_names_is_asked_for_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let url = scripted(one_image(asked.clone())).await;
    let registry = registry();
    let first = registry.resolve(&repo(&url, "app"), "v1", None, &never()).await.unwrap();
    assert_eq!(asked.swap(0, Ordering::SeqCst), 3, "HEAD, manifest, configuration");
    let second = registry.resolve(&repo(&url, "app"), "v1", None, &never()).await.unwrap();
    assert_eq!((asked.load(Ordering::SeqCst), second), (1, first));
}

#[tokio::test]
async fn tag_lists_are_followed_to_their_end_and_not_beyond() {
    let page = |Path(repo): Path<String>, Query(query): Query<BTreeMap<String, String>>| async move {
        let last = query.get("last").cloned().unwrap_or_default();
        let (tag, link) = match (repo.as_str(), last.as_str()) {
            ("paged", "") => ("a", Some("</v2/paged/tags/list?last=o%3Ea%2C&n=1>; rel=\"next\"")),
            ("paged", "o>a,") => ("b", Some("<list?last=b>; rel=next")),
            ("loop", _) => ("a", Some("</v2/loop/tags/list?last=x>; rel=\"next\"")),
            ("away", _) => ("a", Some("<http://127.0.0.2:1/v2/away/tags/list>; rel=\"next\"")),
            _ => ("c", None),
        };
        let body = axum::Json(json!({"name": repo, "tags": [tag]}));
        match link {
            Some(link) => ([("link", link)], body).into_response(),
            None => body.into_response(),
        }
    };
    let endless = |Query(query): Query<BTreeMap<String, String>>| async move {
        let last: u32 = query.get("last").and_then(|last| last.parse().ok()).unwrap_or(0);
        let link = format!("</v2/endless/tags/list?last={}>; rel=\"next\"", last + 1);
        ([("link", link)], axum::Json(json!({"tags": ["x"]})))
    };
    let none = || async { axum::Json(json!({"name": "none", "tags": null})) };
    let url = scripted(
        Router::new()
            .route("/v2/endless/tags/list", get(endless))
            .route("/v2/none/tags/list", get(none))
            .route("/v2/{repo}/tags/list", get(page)),
    )
    .await;
    let registry = Registry::new(RegistryOptions { tag_pages_max: 20, ..options() }).unwrap();
    let tags = async |path| registry.tags(&repo(&url, path), &never()).await;
    assert_eq!(tags("paged").await.unwrap(), ["a", "b", "c"]);
    assert_eq!(tags("none").await.unwrap(), [] as [&str; 0]);
    assert!(matches!(tags("loop").await, Err(OciError::Malformed { .. })));
    assert!(matches!(tags("away").await, Err(OciError::Malformed { .. })));
    assert!(matches!(tags("endless").await, Err(OciError::TooMany { .. })));
}

#[tokio::test]
async fn tokens_are_fetched_with_the_credentials_that_are_meant() {
    async fn token(headers: HeaderMap, Query(query): Query<BTreeMap<String, String>>) -> Response {
        // user:pass
        if headers.get("authorization").is_none_or(|value| value != "Basic dXNlcjpwYXNz") {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        assert_eq!(query["service"], "reg");
        axum::Json(json!({"access_token": format!("for {}", query["scope"])})).into_response()
    }
    let tokens = Arc::new(AtomicUsize::new(0));
    let counted = tokens.clone();
    let service = scripted(Router::new().route(
        "/token",
        get(move |headers, query| {
            counted.fetch_add(1, Ordering::SeqCst);
            token(headers, query)
        }),
    ))
    .await;
    let realm = service.join("/token").unwrap();
    let guarded = move |headers: HeaderMap| async move {
        let expected = "Bearer for repository:team/app:pull";
        if headers.get("authorization").is_some_and(|value| value == expected) {
            return axum::Json(json!({"tags": ["v1"]})).into_response();
        }
        let challenge = format!("Bearer realm=\"{realm}\",service=\"reg\"");
        (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response()
    };
    let routes = Router::new().route("/v2/", get(guarded.clone()));
    let url = scripted(routes.route("/v2/team/app/tags/list", get(guarded))).await;
    let app = repo(&url, "team/app");

    let anonymous = registry().tags(&app, &never()).await.unwrap_err();
    assert!(matches!(anonymous, OciError::Unauthorized { status: 401, .. }), "{anonymous}");
    let elsewhere = registry().with_credentials(Credentials::new("other.io", "user", "pass"));
    assert!(elsewhere.tags(&app, &never()).await.is_err(), "credentials of another registry");

    tokens.store(0, Ordering::SeqCst);
    let scope = format!("{}/team", url.authority());
    let known = registry().with_credentials(Credentials::new(&scope, "user", "pass"));
    assert_eq!(known.tags(&app, &never()).await.unwrap(), ["v1"]);
    assert_eq!(known.tags(&app, &never()).await.unwrap(), ["v1"]);
    assert_eq!(tokens.load(Ordering::SeqCst), 1, "the token is kept");
}

#[tokio::test]
async fn basic_credentials_go_to_the_registry_itself() {
    let tags = |headers: HeaderMap| async move {
        if headers.get("authorization").is_some_and(|value| value == "Basic dXNlcjpwYXNz") {
            return axum::Json(json!({"tags": ["v1"]})).into_response();
        }
        (StatusCode::UNAUTHORIZED, [("www-authenticate", "Basic realm=\"r\"")]).into_response()
    };
    let url = scripted(Router::new().route("/v2/app/tags/list", get(tags))).await;
    let credentials = Credentials::new(url.authority(), "user", "pass");
    let registry = registry().with_credentials(credentials);
    assert_eq!(registry.tags(&repo(&url, "app"), &never()).await.unwrap(), ["v1"]);
}

#[tokio::test]
async fn busy_broken_and_lying_registries_are_told_apart() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let manifests = |Path((repo, _)): Path<(String, String)>| async move {
        let digest =
            |text: &str| [("docker-content-digest", Digest::of(text.as_bytes()).to_string())];
        match repo.as_str() {
            "lying" => (digest("something else"), "{}").into_response(),
            "garbage" => (digest("{]"), "{]").into_response(),
            "huge" => (digest(&"x".repeat(5 << 20)), "x".repeat(5 << 20)).into_response(),
            _ => StatusCode::FORBIDDEN.into_response(),
        }
    };
    let url = scripted(
        Router::new()
            .route(
                "/v2/busy/tags/list",
                get(move || async move {
                    counted.fetch_add(1, Ordering::SeqCst);
                    (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "42")])
                }),
            )
            .route("/v2/down/tags/list", get(|| async { StatusCode::BAD_GATEWAY }))
            .route("/v2/slow/tags/list", get(std::future::pending::<String>))
            .route("/v2/{repo}/manifests/{reference}", get(manifests)),
    )
    .await;
    let registry =
        Registry::new(RegistryOptions { timeout: Duration::from_millis(500), ..options() })
            .unwrap();
    let tags = async |path| registry.tags(&repo(&url, path), &never()).await.unwrap_err();
    let resolve =
        async |path| registry.resolve(&repo(&url, path), "v1", None, &never()).await.unwrap_err();

    let busy = tags("busy").await;
    assert_eq!(busy.retry_after(), Some(Duration::from_secs(42)));
    assert!(busy.is_retryable());
    assert_eq!(asked.load(Ordering::SeqCst), 1, "never asked again by itself");
    let said = busy.to_string().replace(url.authority(), "HOST");
    insta::assert_snapshot!(said, @"`HOST` limits requests; `busy` must wait 42 s");
    let down = tags("down").await;
    assert!(matches!(down, OciError::Unavailable { status: 502, .. }) && down.is_retryable());
    assert!(tags("slow").await.is_retryable());
    assert!(matches!(resolve("lying").await, OciError::DigestMismatch { .. }));
    assert!(matches!(resolve("garbage").await, OciError::Malformed { .. }));
    assert!(matches!(resolve("huge").await, OciError::Exchange { .. }));
    assert!(matches!(resolve("shut").await, OciError::Unauthorized { status: 403, .. }));
}

#[tokio::test]
async fn private_registries_are_closed_unless_opened() {
    let url = scripted(Router::new()).await;
    let strict = Registry::new(RegistryOptions::default()).unwrap();
    let error = strict.tags(&repo(&url, "app"), &never()).await.unwrap_err();
    assert!(matches!(error, OciError::Exchange { .. }) && !error.is_retryable());
    let error = strict.digest(&repo(&url, "app"), "v1", &never()).await.unwrap_err();
    assert!(matches!(error, OciError::Exchange { .. }) && !error.is_retryable());
}
