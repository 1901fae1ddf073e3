//! Queries to a real Prometheus, and answers that are not Prometheus's.

use std::process::Command;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;
use reconciler_effects::http::{EgressPolicy, HttpClient};
use reconciler_effects::metrics::{MetricError, Prometheus, QueryResult};
use tokio_util::sync::CancellationToken;
use url::Url;

fn prometheus(url: Url) -> Prometheus {
    Prometheus::new(HttpClient::new(EgressPolicy::with_private()).unwrap(), url)
}

async fn ask(server: &Prometheus, query: &str) -> Result<QueryResult, MetricError> {
    server.instant(query, None, Duration::from_secs(30), &CancellationToken::new()).await
}

async fn start() -> crate::support::Server {
    let (dir, port) = (tempfile::tempdir().unwrap(), crate::support::free_port());
    let config = format!(
        "scrape_configs: [{{job_name: self, scrape_interval: 1s, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]"
    );
    std::fs::write(dir.path().join("prometheus.yml"), config).unwrap();
    let mut command = Command::new(crate::support::program("prometheus"));
    command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    crate::support::serve(dir, port, &mut command).await
}

/// Asks until the answer is one that a server which is still starting does not give.
async fn settled(server: &Prometheus, query: &str) -> QueryResult {
    loop {
        match ask(server, query).await {
            Ok(QueryResult::Vector(samples)) if samples.is_empty() => {}
            Ok(result) => return result,
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_real_server_gives_typed_results() {
    let running = start().await;
    let server = prometheus(running.url.clone());
    let QueryResult::Vector(up) = settled(&server, "up == 1").await else { panic!("no vector") };
    assert_eq!((up[0].value, up[0].labels["job"].as_str()), (1.0, "self"));

    assert_eq!(ask(&server, "1 + 1").await.unwrap(), QueryResult::Scalar(2.0));
    assert_eq!(ask(&server, "\"x\"").await.unwrap(), QueryResult::Text("x".to_owned()));
    assert_eq!(ask(&server, "no_such_series").await.unwrap(), QueryResult::Vector(vec![]));
    let QueryResult::Scalar(nan) = ask(&server, "0 / 0").await.unwrap() else { panic!() };
    assert!(nan.is_nan());
    assert_eq!(ask(&server, "-1 / 0").await.unwrap(), QueryResult::Scalar(f64::NEG_INFINITY));

    assert!(matches!(ask(&server, "up[5m]").await, Err(MetricError::Range)));
    let Err(MetricError::Refused { kind, message, .. }) = ask(&server, "sum(").await else {
        panic!()
    };
    assert_eq!(kind, "bad_data");
    assert!(message.contains("parse error"), "{message}");

    let before_any_scrape = Some(jiff::Timestamp::UNIX_EPOCH);
    let fixed = server
        .instant("up", before_any_scrape, Duration::from_secs(30), &CancellationToken::new())
        .await;
    assert_eq!(fixed.unwrap(), QueryResult::Vector(vec![]));
}

#[tokio::test]
async fn other_servers_are_told_apart() {
    let url = crate::support::scripted(
        Router::new()
            .route(
                "/busy/{*rest}",
                any(|| async { (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "3")]) }),
            )
            .route("/down/{*rest}", any(|| async { StatusCode::SERVICE_UNAVAILABLE }))
            .route("/shut/{*rest}", any(|| async { StatusCode::UNAUTHORIZED }))
            .route("/site/{*rest}", any(|| async { "<html>" })),
    )
    .await;
    let at = async |path: &str| ask(&prometheus(url.join(path).unwrap()), "up").await.unwrap_err();
    let busy = at("/busy/").await;
    assert_eq!(busy.retry_after(), Some(Duration::from_secs(3)));
    assert!(busy.is_retryable());
    assert!(matches!(at("/down").await, MetricError::Unavailable { status: 503, .. }));
    assert!(matches!(at("/shut").await, MetricError::Unauthorized { status: 401, .. }));
    assert!(matches!(at("/site").await, MetricError::Malformed { .. }));
    let gone = format!("http://127.0.0.1:{}", crate::support::free_port()).parse().unwrap();
    let error = ask(&prometheus(gone), "up").await.unwrap_err();
    assert!(matches!(error, MetricError::Unreachable { .. }) && error.is_retryable());
}
