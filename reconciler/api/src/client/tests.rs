#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::IntoResponse;
use axum::routing::any;
use serde_json::{Value, json};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Client, ClientError, Duration, RetryPolicy};
use crate::problem::{Problem, ProblemCode};
use crate::v1::{
    FreightQuery, Kind, Precondition, PreviewSet, Project, ProjectSpec, Secret, WorldToken,
};
use crate::{VERSION, VERSION_HEADER};

/// Serves a router on a loopback port of its own, and a client of it.
async fn serve(router: Router) -> Client {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    client(&endpoint)
}

fn client(endpoint: &str) -> Client {
    let quick = RetryPolicy { first_pause: Duration::from_millis(1), ..RetryPolicy::default() };
    let token = Secret::new("s3cret");
    Client::new(endpoint, Some(&token), "tests/1").unwrap().with_retry(quick)
}

/// Answers every request the same way.
async fn always(answer: impl IntoResponse + Clone + Send + Sync + 'static) -> Client {
    serve(Router::new().fallback(any(move || std::future::ready(answer.clone())))).await
}

fn problem_response(problem: &Problem) -> (StatusCode, String) {
    let status = StatusCode::from_u16(problem.status).unwrap();
    (status, serde_json::to_string(problem).unwrap())
}

fn project_json(name: &str) -> Value {
    json!({
        "project": name, "name": name, "id": name, "generation": 3, "token": "17",
        "conditions": [], "created_at": "2026-01-01T00:00:00Z",
        "changed_at": "2026-01-02T00:00:00Z", "changed_by": "ana",
        "spec": { "description": "", "labels": {} }, "of_the_future": true,
    })
}

#[tokio::test]
async fn a_put_carries_token_precondition_and_spec() {
    let echo = |uri: Uri, headers: HeaderMap, body: String| async move {
        assert_eq!(uri.path(), "/below/v1/projects/shop");
        assert_eq!(headers["authorization"], "Bearer s3cret");
        assert_eq!(headers["user-agent"], "tests/1");
        assert_eq!(headers["if-match"], "\"2\"");
        assert_eq!(body, r#"{"description":"","labels":{},"deletion_protection":false}"#);
        axum::Json(project_json("shop"))
    };
    let server = serve(Router::new().fallback(any(echo))).await;
    let client = client(&format!("{}/below/", server.endpoint()));
    let spec = ProjectSpec::default();
    let project: Project =
        client.put("shop", "shop", &spec, Precondition::Generation(2)).await.unwrap();
    assert_eq!(project.meta.token, WorldToken(17));
    assert_eq!(project.spec, spec);
}

#[tokio::test]
async fn a_query_names_only_what_is_there() {
    let echo = |uri: Uri| async move {
        assert_eq!(uri.path(), "/v1/projects/a%2Fb/freight");
        assert_eq!(uri.query(), Some("stage=prod&limit=5"));
        axum::Json(json!({ "items": [], "next": null }))
    };
    let client = serve(Router::new().fallback(any(echo))).await;
    let query =
        FreightQuery { stage: Some("prod".into()), limit: Some(5), ..FreightQuery::default() };
    assert_eq!(client.list_freight("a/b", &query).await.unwrap().items, []);
}

#[tokio::test]
async fn an_absent_object_is_found_to_be_none() {
    let client = always(problem_response(&Problem::not_found("project", "shop"))).await;
    assert_eq!(client.find::<Project>("shop", "shop").await.unwrap(), None);
    let error = client.get::<Project>("shop", "shop").await.unwrap_err();
    assert_eq!(error.code(), Some(ProblemCode::NotFound));
}

#[tokio::test]
async fn reads_are_repeated_until_the_daemon_is_back() {
    let (client, seen) = failing(2, StatusCode::SERVICE_UNAVAILABLE).await;
    client.get::<Project>("shop", "shop").await.unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn repeating_ends() {
    let (client, seen) = failing(u32::MAX, StatusCode::BAD_GATEWAY).await;
    let error = client.get::<Project>("shop", "shop").await.unwrap_err();
    assert!(error.is_unreachable(), "{error}");
    assert_eq!(seen.load(Ordering::SeqCst), RetryPolicy::default().attempts_max);
}

#[tokio::test]
async fn a_write_that_may_have_been_taken_is_not_repeated() {
    let (client, seen) = failing(1, StatusCode::GATEWAY_TIMEOUT).await;
    create(&client).await.unwrap_err();
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_write_that_was_refused_for_now_is_repeated() {
    let (client, seen) = failing(1, StatusCode::TOO_MANY_REQUESTS).await;
    create(&client).await.unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}

/// Only the daemon knows that it wrote nothing; what stands before it does not.
#[tokio::test]
async fn a_write_that_the_daemon_cannot_serve_just_now_is_repeated() {
    let attempts = async |headers: &'static [(&'static str, &'static str)], problem: Problem| {
        let seen = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&seen);
        let (status, body) = problem_response(&problem);
        let answer = move || {
            let body = body.clone();
            let answer = match counter.fetch_add(1, Ordering::SeqCst) {
                0 => Err((status, axum::response::AppendHeaders(headers.iter().copied()), body)),
                _ => Ok(axum::Json(project_json("shop"))),
            };
            std::future::ready(answer)
        };
        let done = create(&serve(Router::new().fallback(any(answer))).await).await.is_ok();
        (done, seen.load(Ordering::SeqCst))
    };
    let ours = &[(VERSION_HEADER, VERSION), ("retry-after", "0")];
    let stopping = || Problem::unavailable("the daemon is stopping");
    assert_eq!(attempts(ours, stopping()).await, (true, 2));
    assert_eq!(attempts(&[("retry-after", "0")], stopping()).await, (false, 1));
    let mut other = Problem::internal();
    other.status = 503;
    assert_eq!(attempts(ours, other).await, (false, 1));
}

#[tokio::test]
async fn a_pause_that_the_daemon_asks_for_is_kept_to_or_nothing_is_sent_again() {
    let asked = async |retry_after: &'static str| {
        let seen = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&seen);
        let answer = move || {
            let answer = match counter.fetch_add(1, Ordering::SeqCst) {
                0 => Err((StatusCode::TOO_MANY_REQUESTS, [("retry-after", retry_after)])),
                _ => Ok(axum::Json(project_json("shop"))),
            };
            std::future::ready(answer)
        };
        // Without what the daemon asks for there would be a pause of hours.
        let slow = Duration::from_secs(4 * 60 * 60);
        let retry = RetryPolicy {
            first_pause: slow,
            longest_pause: slow,
            total_max: slow,
            ..RetryPolicy::default()
        };
        let client = serve(Router::new().fallback(any(answer))).await.with_retry(retry);
        let done = client.get::<Project>("shop", "shop").await.is_ok();
        (done, seen.load(Ordering::SeqCst))
    };
    assert_eq!(asked("0").await, (true, 2));
    assert_eq!(asked("Fri, 02 Jan 2026 03:04:15 GMT").await, (true, 2), "that is over");
    assert_eq!(asked("86400").await, (false, 1));
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let endless = || async {
        let chunk = axum::body::Bytes::from(vec![b' '; 1024 * 1024]);
        let chunks = futures::stream::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone()));
        axum::body::Body::from_stream(chunks)
    };
    let client = serve(Router::new().fallback(any(endless))).await;
    let error = client.get::<Project>("shop", "shop").await.unwrap_err();
    assert!(matches!(error, ClientError::NotLockstep { .. }), "{error}");
    assert!(error.to_string().contains("more than 64 MiB"), "{error}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_lost_and_one_that_does_not_come_is_late() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let half = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{";
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let _read = socket.read(&mut request).await;
            let _written = socket.write_all(half).await;
        }
    });
    let error = client(&endpoint).get::<Project>("shop", "shop").await.unwrap_err();
    assert!(matches!(error, ClientError::Lost { .. }) && error.is_uncertain(), "{error}");

    let never = serve(Router::new().fallback(any(std::future::pending::<()>))).await;
    let late = never.with_timeout(Duration::from_millis(50));
    let error = late.get::<Project>("shop", "shop").await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }) && error.is_uncertain(), "{error}");
}

async fn create(client: &Client) -> Result<Project, ClientError> {
    client.put("shop", "shop", &ProjectSpec::default(), Precondition::Absent).await
}

/// Fails so many times, then answers a project.
async fn failing(times: u32, status: StatusCode) -> (Client, Arc<AtomicU32>) {
    let seen = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&seen);
    let answer = move || {
        let count = counter.fetch_add(1, Ordering::SeqCst);
        let answer = if count < times { Err(status) } else { Ok(axum::Json(project_json("shop"))) };
        std::future::ready(answer)
    };
    (serve(Router::new().fallback(any(answer))).await, seen)
}

#[tokio::test]
async fn each_failure_says_what_to_do() {
    let check = async |client: Client| {
        let error = client.get::<Project>("shop", "shop").await.unwrap_err();
        let text = format!("{error}\n{}", error.hint().unwrap_or_default());
        text.replace(client.endpoint(), "ENDPOINT")
    };
    let versioned = |version: &str, body: &str| {
        let header = [(VERSION_HEADER.to_owned(), version.to_owned())];
        always((header, body.to_owned()))
    };
    insta::assert_snapshot!(check(client("http://127.0.0.1:1")).await, @r"
    cannot reach lockstepd at ENDPOINT: Connection refused (os error 111)
    is lockstepd running there, and does a firewall let through?
    ");
    let unauthorized = Problem::unauthenticated("the token is not known");
    insta::assert_snapshot!(check(always(problem_response(&unauthorized)).await).await, @r"
    lockstepd at ENDPOINT does not accept the token: the token is not known
    use a token of this daemon that is neither revoked nor expired; the first is in the file that lockstepd names at its start
    ");
    let conflict = Problem::already_exists(Kind::Project, "shop");
    insta::assert_snapshot!(check(always(problem_response(&conflict)).await).await, @r"
    project shop exists already
    import it, or choose another name
    ");
    insta::assert_snapshot!(check(always("hello").await).await, @r"
    what answers at ENDPOINT is not lockstepd: 200 OK with text/plain; charset=utf-8
    check scheme, host, port and path of the endpoint
    ");
    insta::assert_snapshot!(check(always((StatusCode::NOT_FOUND, "no")).await).await, @r"
    what answers at ENDPOINT is not lockstepd: 404 Not Found with text/plain; charset=utf-8
    check scheme, host, port and path of the endpoint
    ");
    insta::assert_snapshot!(check(always(StatusCode::FOUND).await).await, @r"
    what answers at ENDPOINT is not lockstepd: 302 Found with no content type
    check scheme, host, port and path of the endpoint
    ");
    let elsewhere = (StatusCode::FOUND, [("location", "https://sso.example.com/login?next=x")]);
    insta::assert_snapshot!(check(always(elsewhere).await).await, @r"
    what answers at ENDPOINT is not lockstepd: 302 Found to https://sso.example.com/login
    check scheme, host, port and path of the endpoint
    ");
    let page = (StatusCode::OK, [("content-type", "text/html")], project_json("shop").to_string());
    insta::assert_snapshot!(check(always(page).await).await, @r"
    what answers at ENDPOINT is not lockstepd: 200 OK with text/html
    check scheme, host, port and path of the endpoint
    ");
    let body = serde_json::to_string(&Problem::malformed("unknown field `x`")).unwrap();
    let older = (StatusCode::BAD_REQUEST, [(VERSION_HEADER, "0.0.9")], body);
    insta::assert_snapshot!(check(always(older).await).await, @r"
    lockstepd 0.0.9 at ENDPOINT does not understand this client, 0.1.0, or the other way round: unknown field `x`
    use the client and the daemon of one release
    ");
    insta::assert_snapshot!(check(versioned("9.0.0", "{}").await).await, @r"
    lockstepd 9.0.0 at ENDPOINT does not understand this client, 0.1.0, or the other way round: missing field `spec` at line 1 column 2
    use the client and the daemon of one release
    ");
    insta::assert_snapshot!(check(versioned(VERSION, "{}").await).await, @r"
    the answer of lockstepd at ENDPOINT cannot be read: missing field `spec` at line 1 column 2
    this is a fault of ours: please report it with the message
    ");
}

#[tokio::test]
async fn a_page_is_no_answer_to_a_removal() {
    let delete = async |client: Client| {
        client.delete(Kind::Project, "shop", "shop", Precondition::None).await
    };
    assert!(delete(always(StatusCode::NO_CONTENT).await).await.is_ok());
    let refused = delete(always("hello").await).await.unwrap_err();
    assert!(
        matches!(refused, ClientError::NotLockstep { .. }) && refused.is_foreign(),
        "{refused}"
    );
}

#[tokio::test]
async fn a_preview_is_waited_for_as_long_as_it_is_judged() {
    let never = serve(Router::new().fallback(any(std::future::pending::<()>))).await;
    let client = never.with_timeout(Duration::from_millis(50));
    let set = PreviewSet::default();
    let asked = client.preview_set("shop", &set);
    let waited = tokio::time::timeout(Duration::from_millis(500), asked).await;
    assert!(waited.is_err(), "it is still waited for: {waited:?}");
}

#[test]
fn bad_endpoints_and_tokens_are_refused_at_once() {
    let check = |endpoint: &str, token: &str| {
        Client::new(endpoint, Some(&Secret::new(token)), "tests/1").unwrap_err().to_string()
    };
    insta::assert_snapshot!(check("127.0.0.1:7480", "t"), @r#""127.0.0.1:7480" is no endpoint: relative URL without a base"#);
    insta::assert_snapshot!(check("ftp://host", "t"), @r#""ftp://host" is no endpoint: it begins with neither http:// nor https://"#);
    insta::assert_snapshot!(check("http://user:hunter2@host", "t"), @r#""http://…@host" is no endpoint: a token belongs beside the endpoint, not into it"#);
    insta::assert_snapshot!(check("http://host?x=1", "t"), @r#""http://host?x=1" is no endpoint: it has a query or a fragment"#);
    insta::assert_snapshot!(check("http://host", "s3\ncret"), @"the token is empty or has characters that a token cannot have");
    insta::assert_snapshot!(check("http://host", " "), @"the token is empty or has characters that a token cannot have");
}

#[tokio::test]
async fn a_name_cannot_leave_its_place_in_the_path() {
    let client = client("http://127.0.0.1:1");
    for name in ["", ".", ".."] {
        let error = client.get::<Project>("shop", name).await.unwrap_err();
        assert!(matches!(error, ClientError::InvalidName { .. }), "{error}");
    }
}

#[test]
fn the_token_is_in_no_debug() {
    let client = client("http://127.0.0.1:1");
    let shown = format!("{client:?} {:?} {:?}", client.shared.headers, Secret::new("s3cret"));
    assert!(!shown.contains("s3cret"), "{shown}");
}
