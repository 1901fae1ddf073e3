//! What happens before and around a read: logging in, the egress policy, limits, refusals.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use axum::routing::{any, get};
use reconciler_effects::http::{EgressPolicy, HttpError};
use reconciler_effects::oci::{Credentials, Digest, OciError, Registry, RegistryOptions};
use serde_json::json;

use crate::oci::{config, never, one_image, options, registry, repo, serve_registry};
use crate::support::scripted;

/// `pass`, by bcrypt.
const HTPASSWD: &str = "user:$2b$04$abcdefghijklmnopqrstuufznL8bkzdtHwLhca4To/v9Lo9bA7fR6\n";

#[tokio::test]
async fn a_real_registry_asks_for_basic_credentials() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("htpasswd"), HTPASSWD).unwrap();
    let settings = "auth: {htpasswd: {realm: test, path: htpasswd}}\n";
    // user:pass
    let (server, publisher) = serve_registry(dir, settings, Some("Basic dXNlcjpwYXNz")).await;
    let (digest, _) =
        publisher.image("team/app", "v1", &config("linux", "amd64", "2024-05-01T10:00:00Z")).await;
    let (app, cancel) = (repo(&server.url, "team/app"), never());

    let anonymous = registry();
    let refused = anonymous.resolve(&app, "v1", None, &cancel).await.unwrap_err();
    assert!(matches!(refused, OciError::Unauthorized { status: 401, .. }), "{refused}");
    let refused = anonymous.tags(&app, &cancel).await.unwrap_err();
    assert!(matches!(refused, OciError::Unauthorized { status: 401, .. }), "{refused}");

    let scope = format!("{}/team", server.url.authority());
    let known = anonymous.with_credentials(Credentials::new(&scope, "user", "pass"));
    // The registry is met first where the credentials are not meant, which must not stick.
    let other = known.digest(&repo(&server.url, "other/app"), "v1", &cancel).await.unwrap_err();
    assert!(matches!(other, OciError::Unauthorized { .. }), "{other}");
    let info = known.resolve(&app, "v1", None, &cancel).await.unwrap();
    assert_eq!(info.digest, digest);
    assert_eq!(info.created.unwrap().to_string(), "2024-05-01T10:00:00Z");
    assert_eq!(known.tags(&app, &cancel).await.unwrap(), ["v1"]);
    let wrong = anonymous.with_credentials(Credentials::new(&scope, "user", "word"));
    assert!(matches!(
        wrong.digest(&app, "v1", &cancel).await,
        Err(OciError::Unauthorized { status: 401, .. })
    ));
}

#[tokio::test]
async fn a_token_that_ended_early_is_renewed_once() {
    let issued = Arc::new(AtomicUsize::new(0));
    let counted = issued.clone();
    let issue = move || async move {
        axum::Json(json!({"token": format!("t{}", counted.fetch_add(1, Ordering::SeqCst) + 1)}))
    };
    let service = scripted(Router::new().route("/token", get(issue))).await;
    let challenge = format!("Bearer realm=\"{}token\",service=\"reg\"", service.as_str());
    // The third token and the later ones are good.
    let guard = move |headers: HeaderMap, request: axum::extract::Request, next: Next| {
        let challenge = challenge.clone();
        async move {
            let token = headers.get("authorization").and_then(|value| value.to_str().ok());
            let number = token.and_then(|token| token.strip_prefix("Bearer t")?.parse().ok());
            match number {
                Some(3..=u32::MAX) => next.run(request).await,
                Some(_) | None => {
                    (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response()
                }
            }
        }
    };
    let routes = one_image(Arc::default()).route("/v2/", get(|| async {}));
    let url = scripted(routes.layer(middleware::from_fn(guard))).await;
    let (registry, app) = (registry(), repo(&url, "app"));
    let refused = registry.digest(&app, "v1", &never()).await.unwrap_err();
    assert!(matches!(refused, OciError::Unauthorized { status: 401, .. }), "{refused}");
    assert_eq!(issued.load(Ordering::SeqCst), 2, "one login, and one more");
    registry.resolve(&app, "v1", None, &never()).await.unwrap();
    assert_eq!(issued.load(Ordering::SeqCst), 3, "the token is kept");
}

#[tokio::test]
async fn a_token_service_has_to_be_open_too() {
    let challenge = || async {
        (
            StatusCode::UNAUTHORIZED,
            [("www-authenticate", "Bearer realm=\"http://169.254.169.254/token\"")],
        )
    };
    let url = scripted(Router::new().fallback(challenge)).await;
    let (registry, app) = (registry(), repo(&url, "app"));
    for error in [
        registry.digest(&app, "v1", &never()).await.unwrap_err(),
        registry.tags(&app, &never()).await.unwrap_err(),
    ] {
        let OciError::Exchange { source: HttpError::Blocked { host, .. }, .. } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(host, "169.254.169.254");
    }
}

#[tokio::test]
async fn names_and_addresses_are_judged_before_the_library_gets_them() {
    let url = scripted(one_image(Arc::default())).await;
    let named = url.as_str().replace("127.0.0.1", "localhost").parse().unwrap();
    for (rule, url, is_open) in [
        ("localhost", &named, true),
        ("localhost", &url, false),
        ("127.0.0.0/8", &url, true),
        ("example.com", &named, false),
        ("example.com", &url, false),
    ] {
        let egress =
            EgressPolicy { private: vec![rule.parse().unwrap()], ..EgressPolicy::default() };
        let registry = Registry::new(RegistryOptions { egress, ..options() }).unwrap();
        match registry.digest(&repo(url, "app"), "v1", &never()).await {
            Ok(_) => assert!(is_open, "{rule} must close {url}"),
            Err(OciError::Exchange { source: HttpError::Blocked { .. }, .. }) => {
                assert!(!is_open, "{rule} must open {url}");
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn refusals_are_told_apart_by_what_the_registry_says() {
    let answer = |Path((repo, _)): Path<(String, String)>| async move {
        let said = |status: u16, code: &str| {
            let body = axum::Json(json!({"errors": [{"code": code, "message": "so it is"}]}));
            (StatusCode::from_u16(status).unwrap(), [("retry-after", "7")], body).into_response()
        };
        match repo.as_str() {
            "busy" => said(429, "TOOMANYREQUESTS"),
            "paused" => said(503, "UNAVAILABLE"),
            "gone" => said(404, "MANIFEST_UNKNOWN"),
            "denied" => said(403, "DENIED"),
            "odd" => said(418, "TEAPOT"),
            _ => (StatusCode::CONFLICT, "an inner page").into_response(),
        }
    };
    let url = scripted(Router::new().route("/v2/{repo}/manifests/{reference}", any(answer))).await;
    let registry = registry();
    let mut told = String::new();
    for path in ["busy", "paused", "gone", "denied", "odd", "page"] {
        let error = registry.digest(&repo(&url, path), "v1", &never()).await.unwrap_err();
        let line =
            format!("{error} ({:?}, retry: {})\n", error.retry_after(), error.is_retryable());
        told.push_str(&line.replace(url.authority(), "HOST"));
    }
    insta::assert_snapshot!(told, @r"
    `HOST` limits requests; `busy` must wait 7 s (Some(7s), retry: true)
    `HOST` answers 503 for `paused`; the registry has a problem (Some(7s), retry: true)
    `HOST` has no tag `v1` in `gone`; check the name, and that the credentials may read it (None, retry: false)
    `HOST` refuses access to `denied` (403); configure credentials that may pull from it (None, retry: false)
    `HOST` refuses to read `odd` (400): so it is (None, retry: false)
    `HOST` refuses to read `page` (409): it gives no reason (None, retry: false)
    ");
}

#[tokio::test]
async fn a_configuration_has_a_cap_and_a_digest() {
    for (content, is_expected) in [
        (
            "x".repeat(5 << 20),
            (|error| matches!(error, OciError::Exchange { source: HttpError::TooLarge { .. }, .. }))
                as fn(&OciError) -> bool,
        ),
        ("{}".to_owned(), |error| matches!(error, OciError::DigestMismatch { .. })),
    ] {
        let wanted =
            if content.len() > 2 { Digest::of(content.as_bytes()) } else { Digest::of(b"other") };
        let manifest = json!({
            "schemaVersion": 2,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": wanted, "size": 2},
        })
        .to_string();
        let routes = Router::new()
            .route("/v2/{repo}/manifests/{reference}", any(|| async { manifest }))
            .route("/v2/{repo}/blobs/{digest}", get(|| async { content }));
        let url = scripted(routes).await;
        let error = registry().resolve(&repo(&url, "app"), "v1", None, &never()).await.unwrap_err();
        assert!(is_expected(&error), "{error:?}");
    }
}
