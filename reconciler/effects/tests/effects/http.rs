//! Outgoing requests against servers that misbehave.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect};
use axum::routing::{any, get};
use futures::StreamExt as _;
use http::Method;
use reconciler_effects::http::{EgressPolicy, HttpClient, HttpError, Request, Response};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::support::scripted;

fn client() -> HttpClient {
    HttpClient::new(EgressPolicy::with_private()).unwrap()
}

async fn send(request: Request) -> Result<Response, HttpError> {
    client().send(request, &CancellationToken::new()).await
}

/// Answers with the method, the headers of interest and the body that it got.
async fn echo(method: Method, headers: HeaderMap, body: String) -> impl IntoResponse {
    let seen: Vec<String> = ["authorization", "x-api-key", "accept", "idempotency-key"]
        .iter()
        .filter_map(|name| Some(format!("{name}={}", headers.get(*name)?.to_str().ok()?)))
        .collect();
    format!("{method} [{}] {body}", seen.join(" "))
}

fn echo_server() -> Router {
    Router::new().route("/echo", any(echo))
}

fn post(url: &Url, path: &str) -> Request {
    Request::new(Method::POST, url.join(path).unwrap())
        .header("Authorization", "Bearer s3cret")
        .header("X-Api-Key", "k")
        .header("Accept", "text/plain")
        .header("Idempotency-Key", "i-1")
        .body("hello")
}

#[tokio::test]
async fn method_headers_and_body_arrive() {
    let url = scripted(echo_server()).await;
    let answer = send(post(&url, "/echo")).await.unwrap();
    assert_eq!(answer.status, 200);
    insta::assert_snapshot!(answer.text(), @"POST [authorization=Bearer s3cret x-api-key=k accept=text/plain idempotency-key=i-1] hello");
}

#[tokio::test]
async fn redirects_keep_secrets_in_their_origin() {
    let other = scripted(echo_server()).await;
    let far = other.join("/echo").unwrap().to_string();
    let far303 = far.clone();
    let url = scripted(
        echo_server()
            .route("/near", any(|| async { Redirect::temporary("/echo") }))
            .route("/far", any(move || async move { Redirect::temporary(&far) }))
            .route("/see", any(move || async move { Redirect::to(&far303) })),
    )
    .await;
    let text = async |path| send(post(&url, path)).await.unwrap().text().into_owned();
    insta::assert_snapshot!(text("/near").await, @"POST [authorization=Bearer s3cret x-api-key=k accept=text/plain idempotency-key=i-1] hello");
    insta::assert_snapshot!(text("/far").await, @"POST [accept=text/plain] hello");
    insta::assert_snapshot!(text("/see").await, @"GET [accept=text/plain] ");
}

#[tokio::test]
async fn endless_redirects_and_forbidden_targets_end() {
    let url = scripted(
        Router::new()
            .route("/loop", any(|| async { Redirect::temporary("/loop") }))
            .route(
                "/metadata",
                any(|| async { Redirect::temporary("http://169.254.169.254/latest") }),
            )
            .route("/file", any(|| async { Redirect::temporary("file:///etc/passwd") })),
    )
    .await;
    let error = async |path| send(Request::get(url.join(path).unwrap())).await.unwrap_err();
    let said = |error: HttpError| {
        assert!(error.may_have_been_sent() && !error.is_retryable());
        error.to_string().replace(url.authority(), "HOST")
    };
    insta::assert_snapshot!(said(error("/loop").await), @"the redirect by `HOST` is not followed: there were more than five in a row");
    insta::assert_snapshot!(said(error("/metadata").await), @"the redirect by `169.254.169.254` is not followed: the egress policy blocks the target");
    insta::assert_snapshot!(said(error("/file").await), @"the redirect by `file:…` is not followed: only http and https are spoken");
}

#[tokio::test]
async fn private_addresses_are_closed_by_literal_and_by_name() {
    let hits = Arc::new(AtomicUsize::new(0));
    let counted = hits.clone();
    let url = scripted(Router::new().route(
        "/",
        get(move || async move {
            counted.fetch_add(1, Ordering::SeqCst);
        }),
    ))
    .await;
    let port = url.port().unwrap();
    let strict = HttpClient::new(EgressPolicy::default()).unwrap();
    for host in ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"] {
        let request = Request::get(format!("http://{host}:{port}/").parse().unwrap());
        let error = strict.send(request, &CancellationToken::new()).await.unwrap_err();
        assert!(matches!(error, HttpError::Blocked { .. }), "{host}: {error}");
        assert!(!error.may_have_been_sent());
    }
    assert_eq!(hits.load(Ordering::SeqCst), 0);
    let listed =
        EgressPolicy { private: vec!["localhost".parse().unwrap()], ..EgressPolicy::default() };
    let request = Request::get(format!("http://localhost:{port}/").parse().unwrap());
    HttpClient::new(listed).unwrap().send(request, &CancellationToken::new()).await.unwrap();
    assert_eq!(hits.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn answers_end_at_the_limit_of_size_and_time() {
    let endless = || async {
        Body::from_stream(futures::stream::repeat(Ok::<_, std::convert::Infallible>(
            "x".repeat(8192),
        )))
    };
    let stalled = || async {
        Body::from_stream(
            futures::stream::iter([Ok::<_, std::io::Error>("first".to_owned())])
                .chain(futures::stream::pending()),
        )
    };
    let url =
        scripted(Router::new().route("/endless", get(endless)).route("/stalled", get(stalled)))
            .await;
    let endless = Request::get(url.join("/endless").unwrap()).max_body(100_000);
    assert!(matches!(send(endless).await, Err(HttpError::TooLarge { limit_bytes: 100_000, .. })));
    let stalled = Request::get(url.join("/stalled").unwrap()).timeout(Duration::from_millis(200));
    let error = send(stalled.clone()).await.unwrap_err();
    assert!(matches!(error, HttpError::Timeout { .. }));
    assert!(error.may_have_been_sent() && error.is_retryable());

    let cancel = CancellationToken::new();
    cancel.cancel();
    let error = client().send(stalled, &cancel).await.unwrap_err();
    assert!(matches!(error, HttpError::Cancelled { .. }));
}

#[tokio::test]
async fn a_closed_port_means_nothing_was_sent() {
    let url = format!("http://127.0.0.1:{}/", crate::support::free_port()).parse().unwrap();
    let error = send(Request::get(url)).await.unwrap_err();
    assert!(matches!(error, HttpError::Connect { .. }), "{error}");
    assert!(!error.may_have_been_sent() && error.is_retryable());
}

#[tokio::test]
async fn a_status_is_an_answer_and_says_when_to_come_back() {
    let busy = || async { (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")], "later") };
    let dated = || async {
        (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "Thu, 01 Jan 1970 00:01:00 GMT")], "")
    };
    let url = scripted(Router::new().route("/busy", get(busy)).route("/dated", get(dated))).await;
    let busy = send(Request::get(url.join("/busy").unwrap())).await.unwrap();
    assert_eq!((busy.status, busy.is_success()), (429, false));
    let epoch = jiff::Timestamp::UNIX_EPOCH;
    assert_eq!(busy.retry_after(epoch), Some(Duration::from_secs(7)));
    let dated = send(Request::get(url.join("/dated").unwrap())).await.unwrap();
    assert_eq!(dated.retry_after(epoch), Some(Duration::from_mins(1)));
}

#[tokio::test]
async fn urls_and_headers_are_checked_before_anything_is_sent() {
    let error = async |url: &str| send(Request::get(url.parse().unwrap())).await.unwrap_err();
    insta::assert_snapshot!(error("ftp://x/y?token=1").await, @"URL `ftp://x/y` cannot be requested: only http and https are spoken");
    insta::assert_snapshot!(error("http://u:p@x/y").await, @"URL `http://x/y` cannot be requested: it holds credentials; send them in a header");
    let smuggled = Request::get("http://127.0.0.1/".parse().unwrap()).header("X", "a\r\nY: b");
    insta::assert_snapshot!(send(smuggled).await.unwrap_err(), @"header `X` cannot be set: the value has control characters");
    let reserved = Request::get("http://127.0.0.1/".parse().unwrap()).header("Host", "other");
    insta::assert_snapshot!(send(reserved).await.unwrap_err(), @"header `Host` cannot be set: the connection sets it");
}
